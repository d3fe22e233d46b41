//! Alert: raised where a rule is met, told, and escalated while nobody acknowledges it.
//!
//! An instance is one alert. What meets a rule begins the instances of all
//! alerts that it raises, so one event may begin several; it is keyed by the
//! source event until the alert exists. Where a blind was broken, those whom that
//! concerns are told as well, and not what came of it.

use chrono::{DateTime, Utc};
use decider::{Command as _, Refusal};
use events::enrolment::subject::SubjectEvent;
use events::envelope::{Envelope, References, Role};
use events::epro::report::ReportEvent;
use events::ids::{AlertId, NotificationId, SubjectId};
use events::messaging::notification::Urgency;
use events::readings::device::DeviceEvent;
use events::registry::AnyEvent;
use events::safety::adverse_event::AdverseEventChange;
use events::safety::alert::AlertEvent;
use events::trial::questionnaire::TriggeredRule;
use serde::{Deserialize, Serialize};

use crate::messaging::notification::{NotificationError, RequestNotification};
use crate::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use crate::safety::alert::{AlertError, EscalateAlert, RaiseAlert};

/// Who answers for the trial, for its safety and for the subject's care.
const TOLD_OF_UNBLINDING: [Role; 3] = [Role::Sponsor, Role::MedicalMonitor, Role::Investigator];

/// The alert process manager.
pub struct AlertProcess;

/// What it knows of an alert, or of the event that raises some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing yet.
    #[default]
    New,
    /// An event met rules and its alerts are raised, or it broke a blind, which is told.
    Raising(References),
    /// Nobody took notice yet.
    Open {
        /// The alert.
        alert_id: AlertId,
        /// What it is about.
        references: References,
        /// When it is escalated; absent at the last level.
        acknowledge_by: Option<DateTime<Utc>>,
    },
    /// Somebody took notice.
    Acknowledged(References),
    /// Done with.
    Finished(References),
}

impl ProcessManager for AlertProcess {
    const NAME: &'static str = "alert";
    const COMMANDS: &'static [&'static str] = &[RaiseAlert::NAME, EscalateAlert::NAME, RequestNotification::NAME];
    const STATE_VERSION: u32 = 2;
    type State = State;

    fn route(event: &AnyEvent, envelope: &Envelope) -> Route {
        match event {
            AnyEvent::Alert(AlertEvent::AlertRaised(_)) => Route::Start(envelope.stream.id),
            AnyEvent::Alert(_) => Route::Continue(envelope.stream.id),
            AnyEvent::Subject(SubjectEvent::SubjectUnblinded(_)) => Route::Start(envelope.event_id),
            event if !triggered(event).0.is_empty() => Route::Start(envelope.event_id),
            _ => Route::Nobody,
        }
    }

    fn evolve(state: State, event: &AnyEvent, envelope: &Envelope) -> State {
        let references = envelope.references;
        let alert_id = AlertId::from(envelope.stream.id);
        match event {
            AnyEvent::Alert(AlertEvent::AlertRaised(raised)) => {
                State::Open { alert_id, references, acknowledge_by: raised.acknowledge_by }
            }
            AnyEvent::Alert(AlertEvent::AlertEscalated(escalated)) => {
                State::Open { alert_id, references, acknowledge_by: escalated.acknowledge_by }
            }
            AnyEvent::Alert(AlertEvent::AlertAcknowledged(_)) => State::Acknowledged(references),
            AnyEvent::Alert(AlertEvent::AlertResolved(_)) => State::Finished(references),
            AnyEvent::Alert(AlertEvent::AlertNoteAdded(_)) => state,
            // Only what meets a rule or broke a blind is routed here.
            _ => State::Raising(references),
        }
    }

    fn react(_state: &State, event: &AnyEvent, envelope: &Envelope) -> Vec<Step> {
        match event {
            // Of what another system recorded long ago nobody is told.
            AnyEvent::Alert(AlertEvent::AlertRaised(raised)) if raised.historical => Vec::new(),
            AnyEvent::Alert(AlertEvent::AlertRaised(raised)) => notify(envelope, "alert-raised", &raised.recipients),
            AnyEvent::Alert(AlertEvent::AlertEscalated(escalated)) => {
                notify(envelope, "alert-escalated", &escalated.recipients)
            }
            AnyEvent::Subject(SubjectEvent::SubjectUnblinded(_)) => {
                notify(envelope, "subject-unblinded", &TOLD_OF_UNBLINDING)
            }
            event => {
                let Some(subject_id) = subject_of(envelope) else { return Vec::new() };
                let (rules, historical) = triggered(event);
                rules.iter().map(|rule| raise(rule, historical, subject_id, envelope)).collect()
            }
        }
    }

    fn wake_at(state: &State) -> Option<DateTime<Utc>> {
        match state {
            State::Open { acknowledge_by, .. } => *acknowledge_by,
            State::New | State::Raising(_) | State::Acknowledged(_) | State::Finished(_) => None,
        }
    }

    fn wake(state: &State, _due: DateTime<Utc>) -> Vec<Step> {
        match state {
            State::Open { alert_id, .. } => vec![Step::new("escalate", (*alert_id, EscalateAlert {}))],
            State::New | State::Raising(_) | State::Acknowledged(_) | State::Finished(_) => Vec::new(),
        }
    }

    fn on_refusal(_state: &State, _step: &Step, refusal: &Refusal) -> OnRefusal {
        match refusal.rule.as_str() {
            // Told already, or done with in the meantime.
            NotificationError::ALREADY_REQUESTED | AlertError::RESOLVED => OnRefusal::Ignore,
            _ => OnRefusal::DeadLetter,
        }
    }

    fn phase(state: &State) -> Phase {
        let (waiting_for, finished) = match state {
            State::New => ("a rule that is met".to_owned(), false),
            // Each alert goes on as an instance of its own.
            State::Raising(_) | State::Finished(_) => ("nothing".to_owned(), true),
            State::Open { acknowledge_by: Some(time), .. } => (format!("acknowledgement by {time}"), false),
            State::Open { acknowledge_by: None, .. } => ("acknowledgement".to_owned(), false),
            State::Acknowledged(_) => ("resolution".to_owned(), false),
        };
        Phase { waiting_for, finished }
    }

    fn references(state: &State) -> References {
        match state {
            State::New => References::default(),
            State::Raising(references)
            | State::Open { references, .. }
            | State::Acknowledged(references)
            | State::Finished(references) => *references,
        }
    }
}

/// The rules that an event meets, and whether it is of the past.
fn triggered(event: &AnyEvent) -> (&[TriggeredRule], bool) {
    match event {
        AnyEvent::Report(ReportEvent::ReportSubmitted(event)) => (&event.triggered_rules, event.historical),
        AnyEvent::Report(ReportEvent::ReportCorrected(event)) => (&event.triggered_rules, event.historical),
        AnyEvent::AdverseEvent(AdverseEventChange::AdverseEventReported(event)) => {
            (&event.triggered_rules, event.historical)
        }
        AnyEvent::AdverseEvent(AdverseEventChange::AdverseEventUpdated(event)) => {
            (&event.triggered_rules, event.historical)
        }
        AnyEvent::Device(DeviceEvent::ReadingsReceived(event)) => (&event.triggered_rules, false),
        AnyEvent::Device(DeviceEvent::ReadingsReleased(event)) => (&event.triggered_rules, false),
        _ => (&[], false),
    }
}

/// The subject that the event is about: a patient in a trial is one.
fn subject_of(envelope: &Envelope) -> Option<SubjectId> {
    Some(SubjectId::of(envelope.references.patient_id?, envelope.references.trial_id?))
}

fn raise(rule: &TriggeredRule, historical: bool, subject_id: SubjectId, envelope: &Envelope) -> Step {
    let raise = RaiseAlert {
        source_event_id: envelope.event_id,
        source: envelope.stream,
        rule: rule.rule.clone(),
        severity: rule.severity,
        finding: rule.finding.clone(),
        subject_id,
        recipients: rule.recipients.clone(),
        acknowledge_within_minutes: rule.acknowledge_within_minutes,
        historical,
    };
    Step::new(format!("raise-{}", rule.rule), (AlertId::of(envelope.event_id, &rule.rule), raise))
}

fn notify(envelope: &Envelope, template: &str, recipients: &[Role]) -> Vec<Step> {
    let to = |recipient: &Role| {
        let name = role_name(*recipient);
        // Whoever has to know of an alert or a broken blind is told at any hour.
        let request =
            RequestNotification::to_role(envelope.event_id, template, *recipient, Urgency::Alert, envelope.references);
        let notification_id = NotificationId::of(envelope.event_id, template, &name);
        Step::new(format!("notify-{name}"), (notification_id, request))
    };
    recipients.iter().map(to).collect()
}

fn role_name(role: Role) -> String {
    match serde_json::to_value(role) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{role:?}"),
    }
}
