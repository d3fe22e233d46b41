//! Withdrawal: whoever withdraws consent takes part no longer.

use chrono::{DateTime, Utc};
use decider::{Command as _, Refusal};
use events::consent::ConsentEvent;
use events::enrolment::subject::SubjectEvent;
use events::envelope::{Envelope, References, Role};
use events::ids::{NotificationId, PatientId, SiteId, SubjectId, TrialId};
use events::messaging::notification::Urgency;
use events::registry::AnyEvent;
use serde::{Deserialize, Serialize};

use crate::consent::ConsentError;
use crate::enrolment::subject::{DiscontinueSubject, SubjectError};
use crate::messaging::notification::{NotificationError, RequestNotification};
use crate::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use crate::when::When;

/// CDISC codelist NCOMPLT (C66727).
const REASON: &str = "WITHDRAWAL BY SUBJECT";

/// The withdrawal process manager; one instance per subject.
pub struct WithdrawalProcess;

/// What it knows of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing yet.
    #[default]
    New,
    /// Consent was withdrawn.
    Withdrawn(Who),
    /// The subject was discontinued, or had ended before.
    Finished(Who),
}

/// Whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: Option<SiteId>,
    withdrawn_at: DateTime<Utc>,
}

impl ProcessManager for WithdrawalProcess {
    const NAME: &'static str = "withdrawal";
    const COMMANDS: &'static [&'static str] = &[DiscontinueSubject::NAME, RequestNotification::NAME];
    const STATE_VERSION: u32 = 4;
    type State = State;

    fn route(event: &AnyEvent, envelope: &Envelope) -> Route {
        match event {
            AnyEvent::Consent(ConsentEvent::ConsentWithdrawn(withdrawn)) => {
                Route::Start(SubjectId::of(withdrawn.patient_id, withdrawn.trial_id).uuid())
            }
            AnyEvent::Subject(_) => Route::Continue(envelope.stream.id),
            _ => Route::Nobody,
        }
    }

    fn evolve(state: State, event: &AnyEvent, envelope: &Envelope) -> State {
        match (state, event) {
            (_, AnyEvent::Consent(ConsentEvent::ConsentWithdrawn(withdrawn))) => State::Withdrawn(Who {
                patient_id: withdrawn.patient_id,
                trial_id: withdrawn.trial_id,
                site_id: envelope.references.site_id,
                withdrawn_at: withdrawn.withdrawn_at,
            }),
            (
                State::Withdrawn(who),
                AnyEvent::Subject(SubjectEvent::SubjectDiscontinued(_) | SubjectEvent::ScreeningFailed(_)),
            ) => State::Finished(who),
            (state, _) => state,
        }
    }

    fn react(state: &State, event: &AnyEvent, envelope: &Envelope) -> Vec<Step> {
        let (State::Withdrawn(who) | State::Finished(who)) = state else { return Vec::new() };
        let withdrawn = match event {
            AnyEvent::Consent(ConsentEvent::ConsentWithdrawn(withdrawn)) => withdrawn,
            // Told late, of a time before the withdrawal: that ends it as it ended everything else.
            AnyEvent::Subject(
                SubjectEvent::PatientScreened(_)
                | SubjectEvent::PatientRescreened(_)
                | SubjectEvent::SubjectEnrolled(_)
                | SubjectEvent::SubjectRandomised(_),
            ) => return vec![discontinue("discontinue", who, who.withdrawn_at.into(), true)],
            _ => return Vec::new(),
        };
        let discontinue = discontinue("discontinue", who, withdrawn.withdrawn_at.into(), false);
        // Of what another system recorded long ago nobody is told.
        if withdrawn.historical {
            return vec![discontinue];
        }
        let notification_id = NotificationId::of(envelope.event_id, "consent-withdrawn", "investigator");
        let about = References { trial_id: Some(who.trial_id), site_id: who.site_id, patient_id: Some(who.patient_id) };
        let notify = RequestNotification::to_role(
            envelope.event_id,
            "consent-withdrawn",
            Role::Investigator,
            Urgency::Usual,
            about,
        );
        vec![discontinue, Step::new("notify-investigator", (notification_id, notify))]
    }

    fn on_refusal(state: &State, step: &Step, refusal: &Refusal) -> OnRefusal {
        match (refusal.rule.as_str(), state) {
            // Never screened, or ended before: there is nobody to discontinue.
            (SubjectError::NOT_FOUND | SubjectError::ENDED | NotificationError::ALREADY_REQUESTED, _) => {
                OnRefusal::Ignore
            }
            // The withdrawal was recorded late, and the subject had gone on meanwhile.
            (SubjectError::OUT_OF_ORDER, State::Withdrawn(who) | State::Finished(who))
                if step.name == "discontinue" =>
            {
                OnRefusal::Instead(vec![discontinue("discontinue-as-of-now", who, When::NOW, true)])
            }
            // Or had consented anew.
            (ConsentError::IN_FORCE, _) => OnRefusal::Ignore,
            _ => OnRefusal::DeadLetter,
        }
    }

    fn phase(state: &State) -> Phase {
        let (waiting_for, finished) = match state {
            State::New => ("withdrawal", false),
            State::Withdrawn(_) => ("discontinuation", false),
            State::Finished(_) => ("nothing", true),
        };
        Phase { waiting_for: waiting_for.to_owned(), finished }
    }

    fn references(state: &State) -> References {
        match state {
            State::New => References::default(),
            State::Withdrawn(who) | State::Finished(who) => {
                References { trial_id: Some(who.trial_id), site_id: who.site_id, patient_id: Some(who.patient_id) }
            }
        }
    }
}

fn discontinue(step: &str, who: &Who, occurred_at: When, unless_consented: bool) -> Step {
    let discontinue = DiscontinueSubject { reason: REASON.to_owned(), detail: None, unless_consented, occurred_at };
    Step::new(step, (SubjectId::of(who.patient_id, who.trial_id), discontinue))
}
