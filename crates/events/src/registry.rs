//! The kinds of stream, in one list: one line makes a kind known to ids, log, subjects and readers.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::envelope::Envelope;
use crate::ids::{StreamKey, UnknownStreamType};
use crate::set::{DecodeError, EventContract, EventSet};

macro_rules! streams {
    ($($(#[$doc:meta])* $kind:ident($key:ident, $name:literal, $set:path);)+) => {
        /// The kinds of stream in the log; one per aggregate.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum StreamType { $(
            #[serde(rename = $name)]
            $kind
        ),+ }

        impl StreamType {
            /// All kinds, in the order of the registry.
            pub const ALL: &'static [StreamType] = &[$(StreamType::$kind),+];

            /// The name in the log, in subjects and in addresses.
            pub const fn as_str(self) -> &'static str {
                match self { $(StreamType::$kind => $name),+ }
            }
        }

        impl FromStr for StreamType {
            type Err = UnknownStreamType;
            fn from_str(name: &str) -> Result<Self, UnknownStreamType> {
                match name {
                    $($name => Ok(StreamType::$kind),)+
                    other => Err(UnknownStreamType(other.to_owned())),
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
            #[serde(transparent)]
            pub struct $key(Uuid);

            impl $key {
                /// The id that this UUID is.
                pub const fn new(id: Uuid) -> Self { Self(id) }
                /// The id as a plain UUID.
                pub const fn uuid(self) -> Uuid { self.0 }
            }
            impl From<Uuid> for $key { fn from(id: Uuid) -> Self { Self(id) } }
            impl From<$key> for Uuid { fn from(id: $key) -> Uuid { id.0 } }
            impl FromStr for $key {
                type Err = uuid::Error;
                fn from_str(text: &str) -> Result<Self, uuid::Error> { text.parse().map(Self) }
            }
            impl fmt::Display for $key {
                fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(formatter) }
            }
            impl StreamKey for $key {
                const STREAM_TYPE: StreamType = StreamType::$kind;
                type Event = $set;
            }
            // The set says itself where it belongs; the two must agree.
            const _: () = assert!(<$set as EventSet>::STREAM_TYPE as usize == StreamType::$kind as usize);
        )+

        /// An event of any kind of stream, for readers that fold over several.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum AnyEvent { $(
            #[doc = concat!("An event of a `", $name, "` stream.")]
            $kind($set)
        ),+ }

        impl AnyEvent {
            /// Reads the event out of its envelope.
            ///
            /// # Errors
            /// [`DecodeError`] where the type is unknown or the payload does not fit.
            pub fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
                let (kind, version, payload) = (&envelope.event_type, envelope.schema_version, &envelope.payload);
                match envelope.stream.kind {
                    $(StreamType::$kind => <$set>::decode(kind, version, payload).map(Self::$kind)),+
                }
            }
        }

        /// The contract of every event type, by stream.
        pub fn contracts() -> impl Iterator<Item = &'static EventContract> {
            [$(<$set as EventSet>::CONTRACTS),+].into_iter().flatten()
        }
    };
}

streams! {
    /// A clinical trial.
    Trial(TrialId, "trial", crate::trial::TrialEvent);
    /// The claim of one protocol number.
    ProtocolNumber(ProtocolNumberId, "protocol-number", crate::trial::protocol_number::ProtocolNumberEvent);
    /// A site: a hospital or research centre in one trial.
    Site(SiteId, "site", crate::site::SiteEvent);
    /// A person.
    Patient(PatientId, "patient", crate::patient::PatientEvent);
    /// The consent of one patient to one trial.
    Consent(ConsentId, "consent", crate::consent::ConsentEvent);
    /// The enrolment ledger of one trial: its subject numbers and places.
    Enrolment(EnrolmentId, "enrolment", crate::enrolment::ledger::EnrolmentEvent);
    /// A patient in a trial.
    Subject(SubjectId, "subject", crate::enrolment::subject::SubjectEvent);
    /// A patient-reported outcome: one filled-in questionnaire.
    Report(ReportId, "report", crate::epro::report::ReportEvent);
    /// An adverse event of one subject.
    AdverseEvent(AdverseEventId, "adverse-event", crate::safety::adverse_event::AdverseEventChange);
    /// A safety alert.
    Alert(AlertId, "alert", crate::safety::alert::AlertEvent);
    /// One attended visit of one subject.
    Visit(VisitId, "visit", crate::visit::VisitEvent);
    /// One message to one recipient.
    Notification(NotificationId, "notification", crate::messaging::notification::NotificationEvent);
    /// A step of a process manager that could not be carried out.
    DeadLetter(DeadLetterId, "dead-letter", crate::operation::dead_letter::DeadLetterEvent);
}
