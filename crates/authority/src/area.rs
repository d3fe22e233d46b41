//! Kinds of things that are read.

use events::ids::StreamType;
use serde::Serialize;

/// A kind of thing that is read. Which roles read it, [`crate::matrix`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// What a trial is: its protocol, forms, questionnaires; and what everybody may read anyway.
    Protocol,
    /// How a trial goes: sites, enrolment, figures without persons.
    Conduct,
    /// What is known of participants.
    Clinical,
    /// How the program does.
    Operation,
    /// Who has accounts, what they may do and what they tried.
    Access,
}

impl Area {
    /// Every area, in the order in which they are told.
    pub const ALL: [Area; 5] = [Area::Protocol, Area::Conduct, Area::Clinical, Area::Operation, Area::Access];

    /// Of what the events of a kind of stream tell.
    pub const fn of(kind: StreamType) -> Self {
        match kind {
            StreamType::Trial | StreamType::ProtocolNumber | StreamType::Article => Area::Protocol,
            StreamType::Site | StreamType::Enrolment => Area::Conduct,
            StreamType::Patient
            | StreamType::NationalId
            | StreamType::Consent
            | StreamType::Subject
            | StreamType::Casebook
            | StreamType::Report
            | StreamType::AdverseEvent
            | StreamType::Alert
            | StreamType::Visit
            | StreamType::Device
            | StreamType::Notification
            | StreamType::Message => Area::Clinical,
            StreamType::DeadLetter => Area::Operation,
            StreamType::Account | StreamType::Identity | StreamType::Incident | StreamType::Disclosure => Area::Access,
        }
    }
}
