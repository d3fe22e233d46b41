//! Enrolment: from a signed consent to an allocated subject, or a screening that failed with its reasons.

use chrono::{DateTime, Utc};
use decider::{Command as _, Refusal};
use events::consent::{ConsentEvent, SignaturePurpose};
use events::enrolment::subject::{EligibilityOutcome, EligibilityRecorded, SubjectEvent};
use events::envelope::{Envelope, References, Role};
use events::ids::{NotificationId, PatientId, SiteId, SubjectId, TrialId};
use events::messaging::notification::Urgency;
use events::patient::PatientEvent;
use events::registry::AnyEvent;
use events::trial::EnrolmentMode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::consent::ConsentError;
use crate::enrolment::ledger::LedgerError;
use crate::enrolment::subject::{EnrolSubject, FailScreening, RecordEligibility, ScreenPatient, SubjectError};
use crate::messaging::notification::{NotificationError, RequestNotification};
use crate::process::{OnRefusal, Phase, ProcessManager, Route, Step};
use crate::site::SiteError;
use crate::trial::TrialError;
use crate::when::When;

/// Rules that leave no place: the screening fails with the rule as its reason.
const NO_PLACE: [&str; 4] =
    [LedgerError::SITE_CAP_REACHED, LedgerError::TRIAL_FULL, SiteError::NOT_ACTIVE, TrialError::CLOSED];
/// Rules that keep a subject from going on for now: somebody has to decide what becomes of them.
const ON_HOLD: [&str; 3] = [SiteError::NOT_ACTIVE, TrialError::NOT_OPEN, TrialError::CLOSED];
/// Refusals that mean that somebody else did the step, or that the process has ended.
const NOTHING_LEFT: [&str; 6] = [
    SubjectError::ALREADY_SCREENED,
    SubjectError::NOT_IN_SCREENING,
    SubjectError::ENDED,
    ConsentError::NOT_IN_FORCE,
    SubjectError::NOT_FOUND,
    NotificationError::ALREADY_REQUESTED,
];

/// The enrolment process manager; one instance per subject.
pub struct EnrolmentProcess;

/// What it knows of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing yet.
    #[default]
    New,
    /// On its way.
    Running(Who, Stage),
    /// Ended; whether the patient may be screened once more.
    Finished(Who, bool),
}

/// Whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    /// When the latest of what led here happened: what follows by itself
    /// happens as of then, whenever it is recorded.
    as_of: DateTime<Utc>,
    /// The signature that began it.
    signature: Uuid,
    /// Which of the patient's screenings it is, as far as it went.
    screening_number: u32,
}

/// Where the subject stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The consent was signed; screening comes.
    Consented,
    /// Screened; eligibility is assessed.
    Screened,
    /// These are missing to decide.
    Waiting(Vec<String>),
    /// Eligible, or not; the next step is on its way.
    Decided,
    /// Enrolled; allocation comes from outside.
    Enrolled,
}

impl ProcessManager for EnrolmentProcess {
    const NAME: &'static str = "enrolment";
    const COMMANDS: &'static [&'static str] = &[
        ScreenPatient::NAME,
        RecordEligibility::NAME,
        EnrolSubject::NAME,
        FailScreening::NAME,
        RequestNotification::NAME,
    ];
    const STATE_VERSION: u32 = 4;
    type State = State;

    fn route(event: &AnyEvent, envelope: &Envelope) -> Route {
        match event {
            AnyEvent::Consent(ConsentEvent::ConsentSigned(signed)) => {
                let subject_id = SubjectId::of(signed.patient_id, signed.trial_id).uuid();
                // Whoever signs another form while taking part goes on as before.
                match (signed.enrolment_mode, signed.purpose) {
                    (EnrolmentMode::Manual, _) | (_, SignaturePurpose::Reconsent) => Route::Nobody,
                    (EnrolmentMode::Automatic, SignaturePurpose::Initial | SignaturePurpose::Renewal) => {
                        Route::Start(subject_id)
                    }
                }
            }
            AnyEvent::Consent(ConsentEvent::ConsentWithdrawn(withdrawn)) => {
                Route::Continue(SubjectId::of(withdrawn.patient_id, withdrawn.trial_id).uuid())
            }
            AnyEvent::Subject(_) => Route::Continue(envelope.stream.id),
            AnyEvent::Patient(
                PatientEvent::ObservationRecorded(_)
                | PatientEvent::ObservationCorrected(_)
                | PatientEvent::DemographicsCorrected(_),
            ) => Route::Patient(PatientId::from(envelope.stream.id)),
            _ => Route::Nobody,
        }
    }

    fn evolve(state: State, event: &AnyEvent, envelope: &Envelope) -> State {
        let state = match state {
            State::Running(who, stage) => {
                State::Running(Who { as_of: who.as_of.max(envelope.occurred_at), ..who }, stage)
            }
            State::New | State::Finished(..) => state,
        };
        match (state, event) {
            (State::Running(who, _), AnyEvent::Consent(ConsentEvent::ConsentWithdrawn(_))) => {
                State::Finished(who, true)
            }
            (State::New | State::Finished(_, true), AnyEvent::Consent(ConsentEvent::ConsentSigned(signed))) => {
                let (patient_id, trial_id, site_id) = (signed.patient_id, signed.trial_id, signed.site_id);
                let as_of = envelope.occurred_at;
                let signature = envelope.event_id;
                let who = Who { patient_id, trial_id, site_id, as_of, signature, screening_number: 1 };
                State::Running(who, Stage::Consented)
            }
            (
                State::Running(who, _) | State::Finished(who, true),
                AnyEvent::Subject(SubjectEvent::PatientRescreened(again)),
            ) => {
                let (site_id, as_of, screening_number) = (again.site_id, envelope.occurred_at, again.screening_number);
                State::Running(Who { site_id, as_of, screening_number, ..who }, Stage::Screened)
            }
            // The end of the participation before, carried out after the patient consented anew: it makes way.
            (
                State::Running(who, Stage::Consented),
                AnyEvent::Subject(SubjectEvent::SubjectDiscontinued(_) | SubjectEvent::ScreeningFailed(_)),
            ) => State::Running(who, Stage::Consented),
            (State::Running(who, _), AnyEvent::Subject(event)) => advance(who, event),
            // It was not allocated when the consent was withdrawn; it was all the same, on its own way.
            (State::Finished(who, _), AnyEvent::Subject(SubjectEvent::SubjectRandomised(_))) => {
                State::Finished(who, false)
            }
            (state, _) => state,
        }
    }

    fn react(state: &State, event: &AnyEvent, _envelope: &Envelope) -> Vec<Step> {
        let State::Running(who, stage) = state else { return Vec::new() };
        let subject_id = SubjectId::of(who.patient_id, who.trial_id);
        let occurred_at = When::at(who.as_of);
        let assess = || {
            let record = RecordEligibility { occurred_at, ..RecordEligibility::default() };
            vec![Step::new("assess-eligibility", (subject_id, record))]
        };
        match (stage, event) {
            (
                Stage::Consented,
                AnyEvent::Consent(ConsentEvent::ConsentSigned(_))
                | AnyEvent::Subject(SubjectEvent::SubjectDiscontinued(_) | SubjectEvent::ScreeningFailed(_)),
            ) => {
                let screen = ScreenPatient { trial_id: who.trial_id, subject_number: None, occurred_at };
                vec![Step::new("screen", (who.patient_id, screen))]
            }
            (
                Stage::Screened,
                AnyEvent::Subject(SubjectEvent::PatientScreened(_) | SubjectEvent::PatientRescreened(_)),
            ) => assess(),
            // Also while an assessment is on its way: it may not have seen this one.
            (Stage::Screened | Stage::Waiting(_), AnyEvent::Patient(_)) => assess(),
            (Stage::Decided, AnyEvent::Subject(SubjectEvent::EligibilityRecorded(recorded))) => {
                vec![match recorded.outcome {
                    EligibilityOutcome::Eligible => Step::new("enrol", (subject_id, EnrolSubject { occurred_at })),
                    EligibilityOutcome::Ineligible | EligibilityOutcome::Undetermined => {
                        fail(subject_id, "fail-screening", deciding(recorded), who.as_of)
                    }
                }]
            }
            _ => Vec::new(),
        }
    }

    fn on_refusal(state: &State, step: &Step, refusal: &Refusal) -> OnRefusal {
        let rule = refusal.rule.as_str();
        if NOTHING_LEFT.contains(&rule) {
            return OnRefusal::Ignore;
        }
        match state {
            State::Running(who, _) if step.name == "enrol" && NO_PLACE.contains(&rule) => {
                let subject_id = SubjectId::of(who.patient_id, who.trial_id);
                OnRefusal::Instead(vec![fail(subject_id, "no-place", vec![rule.to_owned()], who.as_of)])
            }
            // Signed, or told of, as of a time before the earlier end.
            State::Running(who, _) if step.name == "screen" && rule == SubjectError::OUT_OF_ORDER => {
                let screen = ScreenPatient { trial_id: who.trial_id, subject_number: None, occurred_at: When::NOW };
                OnRefusal::Instead(vec![Step::new("screen-as-of-now", (who.patient_id, screen))])
            }
            // What was known when it was assessed was corrected since.
            State::Running(who, _) if step.name == "enrol" && rule == SubjectError::NOT_ELIGIBLE => {
                let record = RecordEligibility { occurred_at: When::at(who.as_of), ..RecordEligibility::default() };
                let subject_id = SubjectId::of(who.patient_id, who.trial_id);
                OnRefusal::Instead(vec![Step::new("assess-again", (subject_id, record))])
            }
            State::Running(who, _) if ON_HOLD.contains(&rule) => OnRefusal::Instead(vec![tell_on_hold(who)]),
            State::New | State::Running(..) | State::Finished(..) => OnRefusal::DeadLetter,
        }
    }

    fn phase(state: &State) -> Phase {
        let waiting_for = match state {
            State::New => "consent".to_owned(),
            State::Running(_, Stage::Consented) => "screening".to_owned(),
            State::Running(_, Stage::Screened) => "assessment of eligibility".to_owned(),
            State::Running(_, Stage::Waiting(missing)) if missing.is_empty() => "judgements".to_owned(),
            State::Running(_, Stage::Waiting(missing)) => format!("observations {}", missing.join(", ")),
            State::Running(_, Stage::Decided) => "enrolment or end of screening".to_owned(),
            State::Running(_, Stage::Enrolled) => "randomisation".to_owned(),
            State::Finished(..) => "nothing".to_owned(),
        };
        Phase { waiting_for, finished: matches!(state, State::Finished(..)) }
    }

    fn references(state: &State) -> References {
        match state {
            State::New => References::default(),
            State::Running(who, _) | State::Finished(who, _) => {
                References::subject(who.trial_id, who.site_id, who.patient_id)
            }
        }
    }
}

fn advance(who: Who, event: &SubjectEvent) -> State {
    match event {
        SubjectEvent::PatientScreened(_) | SubjectEvent::PatientRescreened(_) => State::Running(who, Stage::Screened),
        SubjectEvent::EligibilityRecorded(recorded) => match recorded.outcome {
            EligibilityOutcome::Eligible | EligibilityOutcome::Ineligible => State::Running(who, Stage::Decided),
            EligibilityOutcome::Undetermined => {
                State::Running(who, Stage::Waiting(recorded.missing_observations.clone()))
            }
        },
        SubjectEvent::SubjectEnrolled(_) => State::Running(who, Stage::Enrolled),
        SubjectEvent::ScreeningFailed(_)
        | SubjectEvent::SubjectDiscontinued(_)
        | SubjectEvent::SubjectEndCorrected(_) => State::Finished(who, true),
        SubjectEvent::SubjectRandomised(_) | SubjectEvent::SubjectCompleted(_) | SubjectEvent::SubjectUnblinded(_) => {
            State::Finished(who, false)
        }
    }
}

fn fail(subject_id: SubjectId, name: &str, reasons: Vec<String>, as_of: DateTime<Utc>) -> Step {
    Step::new(name, (subject_id, FailScreening { reasons, occurred_at: When::at(as_of) }))
}

/// The criteria that decided against the subject.
fn deciding(recorded: &EligibilityRecorded) -> Vec<String> {
    let against = recorded.assessments.iter().filter(|assessment| assessment.against);
    against.map(|assessment| assessment.code.clone()).collect()
}

/// Tells the investigator that the site or the trial takes nobody at the
/// moment; once it does again, a person screens or enrols the subject.
fn tell_on_hold(who: &Who) -> Step {
    const TEMPLATE: &str = "enrolment-on-hold";
    let about = References::subject(who.trial_id, who.site_id, who.patient_id);
    let request = RequestNotification::to_role(who.signature, TEMPLATE, Role::Investigator, Urgency::Usual, about);
    // Each screening that is on hold is told of.
    let recipient = format!("investigator/{}", who.screening_number);
    let notification_id = NotificationId::of(who.signature, TEMPLATE, &recipient);
    Step::new("tell-on-hold", (notification_id, request))
}
