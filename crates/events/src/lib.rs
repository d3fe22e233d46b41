//! The facts of Anamnesis: what an event is, and which events exist.
//!
//! One folder per context, with the same names as in `domain` and `views`; one file per
//! aggregate with what can happen to it. All of them stand in this file: as modules, and as
//! kinds of stream in [`registry`]. What bears the name of its context is found there
//! directly: `consent::ConsentSigned`.
//!
//! This crate is pure data and serde. It knows no clock, no randomness and no
//! I/O, so that a byte written today can be read and checked in twenty-five
//! years.

#![expect(clippy::module_inception, reason = "an aggregate may bear the name of its context")]

#[macro_use]
mod macros;

pub mod change;
#[rustfmt::skip]
mod declared;
pub mod envelope;
mod form;
pub mod guarded;
pub mod identifier;
pub mod ids;
mod misfit;
pub mod paths;
mod personal;
pub mod set;
pub mod time_zone;
pub mod values;

/// What a declaration of events is written with.
pub mod prelude {
    pub use chrono::{DateTime, NaiveDate, Utc};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};

    pub use crate::change::{Change, OptionalChange};
    pub use crate::ids::*;
    pub use crate::time_zone::TimeZone;
    pub use crate::values::{Blinded, PartialDate, Personal, Prose, Quantity};
}

/// Who acts, what they may do, and what they tried.
pub mod access {
    pub mod account;
    pub mod disclosure;
    mod duty;
    pub mod identity;
    pub mod incident;

    pub use self::duty::Duty;
}
/// The consent of patients.
pub mod consent {
    mod consent;

    pub use self::consent::*;
}
/// The way of a patient into and through a trial.
pub mod enrolment {
    pub mod casebook;
    pub mod ledger;
    pub mod subject;
}
/// Patient-reported outcomes.
pub mod epro {
    pub mod report;
}
/// What everybody may read.
pub mod knowledge {
    pub mod article;
}
/// Messages to people.
pub mod messaging {
    pub mod contact;
    pub mod message;
    pub mod notification;
}
/// Running the program.
pub mod operation {
    pub mod dead_letter;
}
/// Patients, across trials.
pub mod patient {
    pub mod national_id;
    mod patient;

    pub use self::patient::*;
}
/// Wearables and what they measure.
pub mod readings {
    pub mod device;
    pub mod kind;
    pub mod rule;
}
/// Adverse events and alerts.
pub mod safety {
    pub mod adverse_event;
    pub mod alert;
}
/// Sites.
pub mod site {
    mod site;

    pub use self::site::*;
}
/// Trials as a whole.
pub mod trial {
    pub mod protocol_number;
    pub mod questionnaire;
    mod trial;

    pub use self::trial::*;
}
/// Visits.
pub mod visit {
    mod visit;

    pub use self::visit::*;
}

/// The kinds of stream, in one list: one line makes a kind known to ids, log, subjects and readers.
pub mod registry {
    streams! {
        /// A clinical trial.
        Trial(TrialId, "trial", crate::trial::TrialEvent);
        /// The claim of one protocol number.
        ProtocolNumber(ProtocolNumberId, "protocol-number", crate::trial::protocol_number::ProtocolNumberEvent);
        /// A site: a hospital or research centre in one trial.
        Site(SiteId, "site", crate::site::SiteEvent);
        /// A person.
        Patient(PatientId, "patient", crate::patient::PatientEvent);
        /// The claim of one national id: who bears it.
        NationalId(NationalIdKey, "national-id", crate::patient::national_id::NationalIdEvent);
        /// The consent of one patient to one trial.
        Consent(ConsentId, "consent", crate::consent::ConsentEvent);
        /// The enrolment ledger of one trial: its subject numbers and places.
        Enrolment(EnrolmentId, "enrolment", crate::enrolment::ledger::EnrolmentEvent);
        /// A patient in a trial.
        Subject(SubjectId, "subject", crate::enrolment::subject::SubjectEvent);
        /// The casebook of one subject: which reports and visits it has.
        Casebook(CasebookId, "casebook", crate::enrolment::casebook::CasebookEvent);
        /// A patient-reported outcome: one filled-in questionnaire.
        Report(ReportId, "report", crate::epro::report::ReportEvent);
        /// An adverse event of one subject.
        AdverseEvent(AdverseEventId, "adverse-event", crate::safety::adverse_event::AdverseEventChange);
        /// A safety alert.
        Alert(AlertId, "alert", crate::safety::alert::AlertEvent);
        /// One attended visit of one subject.
        Visit(VisitId, "visit", crate::visit::VisitEvent);
        /// A wearable in one trial.
        Device(DeviceId, "device", crate::readings::device::DeviceEvent);
        /// What somebody is to be told.
        Notification(NotificationId, "notification", crate::messaging::notification::NotificationEvent);
        /// One message to one person by one channel.
        Message(MessageId, "message", crate::messaging::message::MessageEvent);
        /// Something that everybody may read.
        Article(ArticleId, "article", crate::knowledge::article::ArticleEvent);
        /// Who acts, and what they may do.
        Account(AccountId, "account", crate::access::account::AccountEvent);
        /// For which account an issuer's subject speaks.
        Identity(IdentityId, "identity", crate::access::identity::IdentityEvent);
        /// Something that somebody tried and may not.
        Incident(IncidentId, "incident", crate::access::incident::IncidentEvent);
        /// Something about a person that somebody was shown.
        Disclosure(DisclosureId, "disclosure", crate::access::disclosure::DisclosureEvent);
        /// A step of a process manager that could not be carried out.
        DeadLetter(DeadLetterId, "dead-letter", crate::operation::dead_letter::DeadLetterEvent);
    }
}

pub use envelope::{Actor, Envelope, NewEvent, References, Role};
pub use ids::{StreamId, StreamKey, StreamType};
pub use misfit::Misfit;
pub use registry::AnyEvent;
pub use set::{DecodeError, EventSet};
pub use time_zone::TimeZone;
pub use values::{Blinded, PartialDate, Personal, Quantity};
