//! The process managers: from events to whole commands.

use domain::When;
use domain::enrolment::subject::{DiscontinueSubject, EnrolSubject, FailScreening, RecordEligibility, ScreenPatient};
use domain::messaging::notification::RequestNotification;
use domain::process::{AlertProcess, EnrolmentProcess, OnRefusal, Step, WithdrawalProcess};
use domain::safety::alert::EscalateAlert;
use events::consent::{ConsentEvent, ConsentSigned, ConsentWithdrawn, SignaturePurpose, Signer, WithdrawalScope};
use events::enrolment::subject::{
    EligibilityOutcome, EligibilityRecorded, PatientRescreened, PatientScreened, SubjectDiscontinued, SubjectEnrolled,
    SubjectEvent,
};
use events::envelope::{References, Role};
use events::ids::{AlertId, ConsentId, NotificationId, PatientId, SiteId, StreamKey as _, SubjectId, TrialId};
use events::messaging::notification::Urgency;
use events::patient::{ObservationRecorded, PatientEvent};
use events::safety::alert::{AlertAcknowledged, AlertEscalated, AlertEvent, AlertRaised, Severity};
use events::trial::{EnrolmentMode, ObservationValue};
use events::values::Quantity;
use testkit::given::process::{Happened, event_id, event_time, given, happened};
use uuid::Uuid;

pub fn patient_id() -> PatientId {
    PatientId::from(Uuid::from_u128(1))
}

pub fn trial_id() -> TrialId {
    TrialId::from(Uuid::from_u128(2))
}

pub fn site_id() -> SiteId {
    SiteId::from(Uuid::from_u128(3))
}

pub fn subject_id() -> SubjectId {
    SubjectId::of(patient_id(), trial_id())
}

pub fn about() -> References {
    References::subject(trial_id(), site_id(), patient_id())
}

fn signed(enrolment_mode: EnrolmentMode) -> Happened {
    let signed = ConsentSigned {
        patient_id: patient_id(),
        trial_id: trial_id(),
        site_id: site_id(),
        form_version: "1".to_owned(),
        language: "en".to_owned(),
        text_sha256: "0".repeat(64),
        signer: Signer::Participant,
        signed_at: event_time(1),
        signature_number: 1,
        purpose: SignaturePurpose::Initial,
        enrolment_mode,
    };
    happened::<_, ConsentEvent>(ConsentId::of(patient_id(), trial_id()), signed, about())
}

fn withdrawn(historical: bool) -> Happened {
    let withdrawn = ConsentWithdrawn {
        patient_id: patient_id(),
        trial_id: trial_id(),
        scope: WithdrawalScope::FurtherData,
        reason: None,
        withdrawn_at: event_time(0),
        historical,
    };
    happened::<_, ConsentEvent>(ConsentId::of(patient_id(), trial_id()), withdrawn, about())
}

fn on_subject(event: impl Into<SubjectEvent>) -> Happened {
    happened::<_, SubjectEvent>(subject_id(), event, about())
}

fn screened() -> Happened {
    let (patient_id, trial_id, site_id) = (patient_id(), trial_id(), site_id());
    on_subject(PatientScreened { patient_id, trial_id, site_id, subject_number: "701-001".to_owned() })
}

fn assessed(outcome: EligibilityOutcome, missing: &[&str]) -> Happened {
    let missing_observations = missing.iter().map(|code| (*code).to_owned()).collect();
    on_subject(EligibilityRecorded {
        criteria_version: 1,
        assessments: Vec::new(),
        outcome,
        missing_observations,
        missing_judgements: Vec::new(),
    })
}

fn observed() -> Happened {
    let (value, observed_at) = (ObservationValue::Number(Quantity::from(40)), event_time(1));
    let observed = ObservationRecorded { code: "AGE".to_owned(), value, unit: None, observed_at };
    happened::<_, PatientEvent>(patient_id(), observed, References::patient(patient_id()))
}

pub fn notification(number: u64, template: &str, recipient: Role, name: &str) -> (NotificationId, RequestNotification) {
    let urgency =
        if template.contains("alert") || template.contains("unblinded") { Urgency::Alert } else { Urgency::Usual };
    let request = RequestNotification::to_role(event_id(number), template, recipient, urgency, about());
    (NotificationId::of(event_id(number), template, name), request)
}

fn assess(as_of: u64) -> Step {
    let record = RecordEligibility { occurred_at: When::at(event_time(as_of)), ..RecordEligibility::default() };
    Step::new("assess-eligibility", (subject_id(), record))
}

fn failed(name: &str, reason: &str, as_of: u64) -> Step {
    let fail = FailScreening { reasons: vec![reason.to_owned()], occurred_at: When::at(event_time(as_of)) };
    Step::new(name, (subject_id(), fail))
}

#[test]
fn enrolment_goes_from_a_signature_to_allocation() {
    let occurred_at = When::at(event_time(1));
    let screen = ScreenPatient { trial_id: trial_id(), subject_number: None, occurred_at };
    let enrol = Step::new("enrol", (subject_id(), EnrolSubject { occurred_at: When::at(event_time(3)) }));
    let key = subject_id().uuid();
    given([signed(EnrolmentMode::Automatic)])
        .process::<EnrolmentProcess>()
        .then(&[Step::new("screen", (patient_id(), screen))])
        .when(screened())
        .then(&[assess(2)])
        .when(assessed(EligibilityOutcome::Eligible, &[]))
        .then(std::slice::from_ref(&enrol))
        .then_on_refusal(key, &enrol, "subject-ended", &OnRefusal::Ignore)
        .then_on_refusal(
            key,
            &enrol,
            "site-cap-reached",
            &OnRefusal::Instead(vec![failed("no-place", "site-cap-reached", 3)]),
        )
        .then_on_refusal(key, &enrol, "something-else", &OnRefusal::DeadLetter)
        .when(on_subject(SubjectEnrolled {}))
        .then(&[])
        .then_waits_for(key, "randomisation", false)
        .when(withdrawn(false))
        .then_waits_for(key, "nothing", true);
}

#[test]
fn enrolment_waits_for_what_is_missing() {
    given([signed(EnrolmentMode::Automatic), screened(), assessed(EligibilityOutcome::Undetermined, &["AGE"])])
        .process::<EnrolmentProcess>()
        .then(&[])
        .then_waits_for(subject_id().uuid(), "observations AGE", false)
        .when(observed())
        .then(&[assess(4)]);
}

#[test]
fn enrolment_of_an_ineligible_subject_ends_with_the_criteria_that_decided() {
    let fail = FailScreening { reasons: Vec::new(), occurred_at: When::at(event_time(3)) };
    given([signed(EnrolmentMode::Automatic), screened(), assessed(EligibilityOutcome::Ineligible, &[])])
        .process::<EnrolmentProcess>()
        .then(&[Step::new("fail-screening", (subject_id(), fail))]);
}

#[test]
fn enrolment_on_hold_tells_the_investigator() {
    let occurred_at = When::at(event_time(1));
    let screen = ScreenPatient { trial_id: trial_id(), subject_number: None, occurred_at };
    let screen = Step::new("screen", (patient_id(), screen));
    let tell = Step::new("tell-on-hold", notification(1, "enrolment-on-hold", Role::Investigator, "investigator/1"));
    given([signed(EnrolmentMode::Automatic)]).process::<EnrolmentProcess>().then_on_refusal(
        subject_id().uuid(),
        &screen,
        "site-not-active",
        &OnRefusal::Instead(vec![tell]),
    );
}

#[test]
fn enrolment_is_assessed_again_where_what_was_known_was_corrected() {
    let key = subject_id().uuid();
    let enrol = Step::new("enrol", (subject_id(), EnrolSubject { occurred_at: When::at(event_time(3)) }));
    let record = RecordEligibility { occurred_at: When::at(event_time(3)), ..RecordEligibility::default() };
    let again = Step::new("assess-again", (subject_id(), record));
    given([signed(EnrolmentMode::Automatic), screened(), assessed(EligibilityOutcome::Eligible, &[])])
        .process::<EnrolmentProcess>()
        .then_on_refusal(key, &enrol, "subject-not-eligible", &OnRefusal::Instead(vec![again]))
        .then_on_refusal(key, &assess(3), "subject-not-eligible", &OnRefusal::DeadLetter)
        .then_on_refusal(key, &enrol, "subject-stage-later", &OnRefusal::DeadLetter);
}

#[test]
fn enrolment_screens_as_of_now_what_was_signed_before_the_end() {
    let screen = |name: &str, occurred_at: When| {
        Step::new(name, (patient_id(), ScreenPatient { trial_id: trial_id(), subject_number: None, occurred_at }))
    };
    given([signed(EnrolmentMode::Automatic)]).process::<EnrolmentProcess>().then_on_refusal(
        subject_id().uuid(),
        &screen("screen", When::at(event_time(1))),
        "subject-stage-later",
        &OnRefusal::Instead(vec![screen("screen-as-of-now", When::NOW)]),
    );
}

#[test]
fn enrolment_waits_for_judgements_where_no_observation_is_missing() {
    let undetermined = || assessed(EligibilityOutcome::Undetermined, &[]);
    given([signed(EnrolmentMode::Automatic), screened(), undetermined()])
        .process::<EnrolmentProcess>()
        .then_waits_for(subject_id().uuid(), "judgements", false)
        .then_is_about(subject_id().uuid(), about());
}

#[test]
fn a_later_screening_at_another_site_is_followed_there() {
    let elsewhere = SiteId::from(Uuid::from_u128(9));
    let failed = on_subject(events::enrolment::subject::ScreeningFailed { reasons: vec!["I1".into()] });
    let again =
        on_subject(PatientRescreened { site_id: elsewhere, subject_number: "709-001".to_owned(), screening_number: 2 });
    given([signed(EnrolmentMode::Automatic), screened(), failed, again])
        .process::<EnrolmentProcess>()
        .then(&[assess(4)])
        .then_is_about(subject_id().uuid(), References::subject(trial_id(), elsewhere, patient_id()));
}

#[test]
fn the_criteria_that_decided_are_the_reasons_of_the_failure() {
    let assessment = |code: &str, against: bool| {
        serde_json::json!({"code": code, "result": if against { "not-met" } else { "met" }, "against": against,
            "observed": null})
    };
    let recorded: EligibilityRecorded = serde_json::from_value(serde_json::json!({
        "criteria_version": 1, "assessments": [assessment("I1", false), assessment("E1", true), assessment("E2", true)],
        "outcome": "ineligible", "missing_observations": [], "missing_judgements": []
    }))
    .expect("an event");
    let reasons = vec!["E1".to_owned(), "E2".to_owned()];
    let fail = FailScreening { reasons, occurred_at: When::at(event_time(3)) };
    given([signed(EnrolmentMode::Automatic), screened(), on_subject(recorded)])
        .process::<EnrolmentProcess>()
        .then(&[Step::new("fail-screening", (subject_id(), fail))]);
}

#[test]
fn enrolment_leaves_manual_trials_alone() {
    given([signed(EnrolmentMode::Manual), screened(), observed()])
        .process::<EnrolmentProcess>()
        .then(&[])
        .then_nothing_began();
}

#[test]
fn withdrawal_ends_participation_and_tells_the_investigator() {
    let discontinue = |name: &str, occurred_at: When, unless_consented| {
        let reason = "WITHDRAWAL BY SUBJECT".to_owned();
        Step::new(name, (subject_id(), DiscontinueSubject { reason, detail: None, unless_consented, occurred_at }))
    };
    let (key, step) = (subject_id().uuid(), discontinue("discontinue", When::at(event_time(0)), false));
    let tell =
        Step::new("notify-investigator", notification(1, "consent-withdrawn", Role::Investigator, "investigator"));
    given([withdrawn(false)])
        .process::<WithdrawalProcess>()
        .then(&[step.clone(), tell])
        .then_on_refusal(key, &step, "subject-not-found", &OnRefusal::Ignore)
        .then_on_refusal(
            key,
            &step,
            "subject-stage-later",
            &OnRefusal::Instead(vec![discontinue("discontinue-as-of-now", When::NOW, true)]),
        )
        .then_on_refusal(
            key,
            &discontinue("discontinue-as-of-now", When::NOW, true),
            "consent-in-force",
            &OnRefusal::Ignore,
        )
        .then_on_refusal(
            key,
            &discontinue("discontinue-as-of-now", When::NOW, true),
            "subject-stage-later",
            &OnRefusal::DeadLetter,
        )
        .then_is_about(key, about())
        .when(ended())
        .then(&[])
        .then_is_about(key, about())
        .then_waits_for(key, "nothing", true);
    // What is told late of a time before it is ended as well, unless the consent was given anew.
    let again = discontinue("discontinue", When::at(event_time(0)), true);
    for course in [vec![withdrawn(false), screened()], vec![withdrawn(false), ended(), screened()]] {
        let followed = given(course).process::<WithdrawalProcess>().then(std::slice::from_ref(&again));
        followed.then_on_refusal(key, &again, "consent-in-force", &OnRefusal::Ignore);
    }
    // Of what was brought in from the past nobody is told.
    given([withdrawn(true)]).process::<WithdrawalProcess>().then(&[step]);
}

fn ended() -> Happened {
    on_subject(SubjectDiscontinued { reason: "WITHDRAWAL BY SUBJECT".to_owned(), detail: None })
}

#[test]
fn whoever_consents_anew_before_the_end_was_carried_out_is_screened_after_it() {
    let screen = |as_of: u64| {
        let occurred_at = When::at(event_time(as_of));
        Step::new("screen", (patient_id(), ScreenPatient { trial_id: trial_id(), subject_number: None, occurred_at }))
    };
    let key = subject_id().uuid();
    given([signed(EnrolmentMode::Automatic), screened(), withdrawn(false), signed(EnrolmentMode::Automatic)])
        .process::<EnrolmentProcess>()
        .then(&[screen(4)])
        .then_on_refusal(key, &screen(4), "subject-already-screened", &OnRefusal::Ignore)
        .then_waits_for(key, "screening", false)
        .when(ended())
        .then(&[screen(5)])
        .when(on_subject(PatientRescreened {
            site_id: site_id(),
            subject_number: "701-002".to_owned(),
            screening_number: 2,
        }))
        .then(&[assess(6)]);
}

#[test]
fn every_screening_that_is_on_hold_is_told_of() {
    let again = || {
        let (site_id, subject_number) = (site_id(), "701-002".to_owned());
        on_subject(PatientRescreened { site_id, subject_number, screening_number: 2 })
    };
    let failed = on_subject(events::enrolment::subject::ScreeningFailed { reasons: vec!["I1".into()] });
    let tell = Step::new("tell-on-hold", notification(1, "enrolment-on-hold", Role::Investigator, "investigator/2"));
    given([signed(EnrolmentMode::Automatic), screened(), failed, again()])
        .process::<EnrolmentProcess>()
        .then_on_refusal(subject_id().uuid(), &assess(4), "trial-not-open", &OnRefusal::Instead(vec![tell]));
}

#[test]
fn an_alert_is_told_and_escalated_until_somebody_acknowledges() {
    let alert_id = AlertId::of(event_id(0), "suicidality");
    let on_alert = |event: AlertEvent| happened::<_, AlertEvent>(alert_id, event, about());
    let raised = AlertRaised {
        source_event_id: event_id(0),
        source: patient_id().stream(),
        rule: "suicidality".to_owned(),
        severity: Severity::High,
        finding: "Item 9".to_owned(),
        subject_id: subject_id(),
        trial_id: trial_id(),
        site_id: site_id(),
        patient_id: patient_id(),
        recipients: vec![Role::Investigator],
        acknowledge_by: Some(event_time(60)),
        acknowledge_within_minutes: 60,
        historical: false,
    };
    let told = |number, template: &str, role, name: &str| {
        Step::new(format!("notify-{name}"), notification(number, template, role, name))
    };
    let escalate = [Step::new("escalate", (alert_id, EscalateAlert {}))];
    let recipients = vec![Role::Investigator, Role::MedicalMonitor];
    let escalated = AlertEscalated { level: 1, recipients, acknowledge_by: Some(event_time(120)) };
    let key = alert_id.uuid();
    given([on_alert(raised.into())])
        .process::<AlertProcess>()
        .then(&[told(1, "alert-raised", Role::Investigator, "investigator")])
        .then_wakes(key, Some((event_time(60), &escalate)))
        .then_on_refusal(key, &escalate[0], "alert-resolved", &OnRefusal::Ignore)
        .when(on_alert(escalated.into()))
        .then(&[
            told(2, "alert-escalated", Role::Investigator, "investigator"),
            told(2, "alert-escalated", Role::MedicalMonitor, "medical-monitor"),
        ])
        .then_wakes(key, Some((event_time(120), &escalate)))
        .when(on_alert(AlertAcknowledged { note: None }.into()))
        .then(&[])
        .then_wakes(key, None)
        .then_waits_for(key, "resolution", false);
}
