//! Any event of the log, for readers that fold over several kinds of stream.

use crate::adverse_event::AdverseEventEvent;
use crate::alert::AlertEvent;
use crate::consent::ConsentEvent;
use crate::dead_letter::DeadLetterEvent;
use crate::enrolment::EnrolmentEvent;
use crate::envelope::Envelope;
use crate::ids::StreamType;
use crate::notification::NotificationEvent;
use crate::patient::PatientEvent;
use crate::protocol::ProtocolEvent;
use crate::report::ReportEvent;
use crate::set::{DecodeError, EventContract, EventSet};
use crate::site::SiteEvent;
use crate::subject::SubjectEvent;
use crate::trial::TrialEvent;
use crate::visit::VisitEvent;

macro_rules! any_event {
    ($($variant:ident($set:ident)),+ $(,)?) => {
        /// An event of any kind of stream.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum AnyEvent { $(#[doc = concat!("An event of a `", stringify!($variant), "` stream.")] $variant($set)),+ }

        impl AnyEvent {
            /// Reads the event out of its envelope.
            ///
            /// # Errors
            /// [`DecodeError`] where the type is unknown or the payload does not fit.
            pub fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
                let (kind, version, payload) = (&envelope.event_type, envelope.schema_version, &envelope.payload);
                match envelope.stream.kind {
                    $(StreamType::$variant => $set::decode(kind, version, payload).map(Self::$variant)),+
                }
            }
        }

        /// The contract of every event type, by stream.
        pub fn contracts() -> impl Iterator<Item = &'static EventContract> {
            [$($set::CONTRACTS),+].into_iter().flatten()
        }
    };
}

any_event! {
    Trial(TrialEvent),
    Protocol(ProtocolEvent),
    Site(SiteEvent),
    Patient(PatientEvent),
    Consent(ConsentEvent),
    Enrolment(EnrolmentEvent),
    Subject(SubjectEvent),
    Report(ReportEvent),
    AdverseEvent(AdverseEventEvent),
    Alert(AlertEvent),
    Visit(VisitEvent),
    Notification(NotificationEvent),
    DeadLetter(DeadLetterEvent),
}
