//! Silence: a device that somebody has and that tells nothing raises an alert.

use chrono::TimeDelta;
use decider::Refusal;
use events::consent::ConsentEvent;
use events::enrolment::subject::SubjectEvent;
use events::envelope::Envelope;
use events::readings::device::{DeviceAssigned, DeviceEvent};
use events::readings::rule::{ReadingRule, ReadingTest};
use events::registry::AnyEvent;
use events::safety::alert::{AlertEvent, AlertRaised};
use uuid::Uuid;

use crate::prelude::*;
use crate::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use crate::safety::alert::RaiseAlert;

/// The silence process manager; one instance per device.
pub struct SilenceProcess;

/// What it knows of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing yet.
    #[default]
    New,
    /// Somebody has it.
    Out(Out),
    /// Nobody has it, or whoever has it takes part no longer.
    Quiet(References),
}

/// A device that somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    device_id: DeviceId,
    name: String,
    references: References,
    subject_id: SubjectId,
    rules: Vec<ReadingRule>,
    /// The time of its youngest reading, or from when on somebody has it.
    heard_at: DateTime<Utc>,
    /// What told so.
    heard_by: Uuid,
    /// Hours of silence of which an alert told already.
    told_hours: u32,
}

impl Out {
    fn of(assigned: &DeviceAssigned, envelope: &Envelope) -> Self {
        Self {
            device_id: DeviceId::from(envelope.stream.id),
            name: assigned.device.clone(),
            references: envelope.references,
            subject_id: assigned.subject_id,
            rules: assigned.silence_rules.clone(),
            heard_at: assigned.from,
            heard_by: envelope.event_id,
            told_hours: 0,
        }
    }

    /// Somebody who takes part was heard of at `time`.
    fn heard(&mut self, subject_id: SubjectId, time: DateTime<Utc>, envelope: &Envelope) {
        // A clock that is ahead does not keep a device from falling silent.
        let time = time.min(envelope.recorded_at);
        if subject_id == self.subject_id && time > self.heard_at {
            (self.heard_at, self.heard_by, self.told_hours) = (time, envelope.event_id, 0);
        }
    }

    /// The shortest silence of which nobody was told yet.
    fn next_hours(&self) -> Option<u32> {
        self.rules.iter().filter_map(hours).filter(|hours| *hours > self.told_hours).min()
    }

    /// Of a silence that lasts an alert tells now.
    fn told(&mut self, raised: &AlertRaised) {
        if raised.source_event_id == self.heard_by {
            let told = self.rules.iter().find(|rule| rule.code == raised.rule).and_then(hours);
            self.told_hours = self.told_hours.max(told.unwrap_or(0));
        }
    }

    fn due(&self) -> Option<DateTime<Utc>> {
        self.heard_at.checked_add_signed(TimeDelta::hours(self.next_hours()?.into()))
    }
}

const fn hours(rule: &ReadingRule) -> Option<u32> {
    match rule.test {
        ReadingTest::Silence { hours } => Some(hours),
        ReadingTest::OutOfRange { .. } => None,
    }
}

impl ProcessManager for SilenceProcess {
    const NAME: &'static str = "silence";
    const COMMANDS: &'static [&'static str] = &[RaiseAlert::NAME];
    const STATE_VERSION: u32 = 1;
    type State = State;

    fn route(event: &AnyEvent, envelope: &Envelope) -> Route {
        match event {
            AnyEvent::Device(DeviceEvent::DeviceAssigned(_)) => Route::Start(envelope.stream.id),
            AnyEvent::Device(_) => Route::Continue(envelope.stream.id),
            AnyEvent::Alert(AlertEvent::AlertRaised(raised)) if raised.source.kind == StreamType::Device => {
                Route::Continue(raised.source.id)
            }
            AnyEvent::Consent(ConsentEvent::ConsentWithdrawn(withdrawn)) => Route::Patient(withdrawn.patient_id),
            AnyEvent::Subject(
                SubjectEvent::SubjectDiscontinued(_)
                | SubjectEvent::SubjectCompleted(_)
                | SubjectEvent::ScreeningFailed(_),
            ) => envelope.references.patient_id.map_or(Route::Nobody, Route::Patient),
            _ => Route::Nobody,
        }
    }

    fn evolve(state: State, event: &AnyEvent, envelope: &Envelope) -> State {
        if let AnyEvent::Device(DeviceEvent::DeviceAssigned(assigned)) = event {
            return State::Out(Out::of(assigned, envelope));
        }
        let State::Out(mut out) = state else { return state };
        match event {
            AnyEvent::Device(DeviceEvent::DeviceReturned(_)) => return State::Quiet(out.references),
            AnyEvent::Device(DeviceEvent::ReadingsReceived(received)) => {
                out.heard(received.subject_id, received.chunk.until, envelope);
            }
            AnyEvent::Device(_) => {}
            AnyEvent::Alert(AlertEvent::AlertRaised(raised)) => out.told(raised),
            // Of another trial perhaps, in which the same person takes part.
            _ if envelope.references.trial_id == out.references.trial_id => return State::Quiet(out.references),
            _ => {}
        }
        State::Out(out)
    }

    fn react(_state: &State, _event: &AnyEvent, _envelope: &Envelope) -> Vec<Step> {
        Vec::new()
    }

    fn wake_at(state: &State) -> Option<DateTime<Utc>> {
        match state {
            State::Out(out) => out.due(),
            State::New | State::Quiet(_) => None,
        }
    }

    fn wake(state: &State, _due: DateTime<Utc>) -> Vec<Step> {
        let State::Out(out) = state else { return Vec::new() };
        let Some(now_due) = out.next_hours() else { return Vec::new() };
        out.rules.iter().filter(|rule| hours(rule) == Some(now_due)).map(|rule| raise(out, rule, now_due)).collect()
    }

    fn on_refusal(_state: &State, _step: &Step, _refusal: &Refusal) -> OnRefusal {
        OnRefusal::DeadLetter
    }

    fn phase(state: &State) -> Phase {
        let (waiting_for, finished) = match state {
            State::New => ("a device".to_owned(), false),
            State::Out(out) => match out.due() {
                Some(due) => (format!("readings by {due}"), false),
                None => ("readings".to_owned(), false),
            },
            State::Quiet(_) => ("nothing".to_owned(), true),
        };
        Phase { waiting_for, finished }
    }

    fn references(state: &State) -> References {
        match state {
            State::New => References::default(),
            State::Out(out) => out.references,
            State::Quiet(references) => *references,
        }
    }
}

fn raise(out: &Out, rule: &ReadingRule, hours: u32) -> Step {
    let raise = RaiseAlert {
        source_event_id: out.heard_by,
        source: out.device_id.stream(),
        rule: rule.code.clone(),
        severity: rule.severity,
        finding: format!("nothing from device {} for {hours} hours, since {}", out.name, out.heard_at),
        subject_id: out.subject_id,
        recipients: rule.recipients.clone(),
        acknowledge_within_minutes: rule.acknowledge_within_minutes,
        historical: false,
    };
    Step::new(format!("raise-{}", rule.code), (AlertId::of(out.heard_by, &rule.code), raise))
}
