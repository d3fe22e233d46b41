//! The trial's figures, its sites, its subjects.

use events::envelope::References;
use events::ids::{ConsentId, SiteId};
use serde_json::{Value, json};
use testkit::given::view::{Given, event, given, minute};
use testkit::given::with;
use uuid::Uuid;
use views::enrolment::subjects::Subjects;
use views::site::sites::Sites;
use views::trial::trial_enrolment::TrialEnrolment;

use crate::{about, patient, site, subject, trial};

fn of_trial(event_type: &str, payload: &Value) -> Given {
    event(trial(), References::trial(trial()), event_type, payload)
}

fn of_subject(event_type: &str, payload: &Value) -> Given {
    event(subject(), about(), event_type, payload)
}

fn registered() -> Given {
    let payload = json!({
        "protocol": "P-1", "title": "A trial", "blinding": "double-blind", "planned_enrolment": 10,
        "enrolment_mode": "automatic"
    });
    of_trial("TrialRegistered", &payload)
}

fn screened() -> Given {
    let payload = json!({
        "patient_id": patient(), "trial_id": trial(), "site_id": site(), "subject_number": "0001"
    });
    of_subject("PatientScreened", &payload)
}

fn signed(number: u32) -> Given {
    let payload = json!({
        "patient_id": patient(), "trial_id": trial(), "site_id": site(), "form_version": "1", "language": "en",
        "text_sha256": "00", "signer": "participant", "signed_at": minute(0), "signature_number": number,
        "purpose": if number == 1 { "initial" } else { "reconsent" }, "enrolment_mode": "automatic"
    });
    event(ConsentId::of(patient(), trial()), about(), "ConsentSigned", &payload)
}

#[test]
fn a_trial_counts_its_funnel_by_site_and_by_arm() {
    let other = SiteId::from(Uuid::from_u128(9));
    given([
        registered(),
        of_trial("SiteJoined", &json!({"site_id": site(), "code": "S1"})),
        of_trial("SiteJoined", &json!({"site_id": other, "code": "S2"})),
        of_trial("ArmAdded", &json!({"code": "A", "name": "Active", "allocation_weight": 1})),
        of_trial("ArmAdded", &json!({"code": "B", "name": "Placebo", "allocation_weight": 1})),
        of_trial("EnrolmentOpened", &json!({})),
        signed(1),
        // Signed again after an amendment: no new participant.
        signed(2),
        screened(),
        of_subject("SubjectEnrolled", &json!({})),
        of_subject("SubjectRandomised", &json!({"arm": "B"})),
        of_subject("SubjectDiscontinued", &json!({"reason": "ADVERSE EVENT"})),
        of_trial("EnrolmentPaused", &json!({"reason": "an interim look"})),
    ])
    .view::<TrialEnrolment>(trial())
    .then(&json!({
        "trial_id": trial(), "protocol": "P-1", "title": "A trial", "phase": null, "blinding": "double-blind",
        "enrolment_mode": "automatic", "status": "paused", "registered_at": minute(0), "planned": 10, "consented": 1,
        "screened": 1, "screen_failed": 0, "enrolled": 1, "randomised": 1, "discontinued": {"ADVERSE EVENT": 1},
        "completed": 0,
        "by_site": [
            {"site": "S1", "site_id": site(), "consented": 1, "screened": 1, "screen_failed": 0, "enrolled": 1,
                "randomised": 1, "discontinued": 1, "completed": 0},
            {"site": "S2", "site_id": other, "consented": 0, "screened": 0, "screen_failed": 0, "enrolled": 0,
                "randomised": 0, "discontinued": 0, "completed": 0}
        ],
        "by_arm": [
            {"arm": "A", "name": "Active", "randomised": 0},
            {"arm": "B", "name": "Placebo", "randomised": 1}
        ]
    }));
}

#[test]
fn a_corrected_end_moves_subjects_between_the_figures() {
    let completed_to_withdrawn = json!({
        "changes": {"end": "discontinued", "discontinuation_reason": "DEATH", "ended_at": minute(9)},
        "previous": {"end": "completed", "discontinuation_reason": null, "ended_at": minute(4)}, "reason": "a letter"
    });
    let another_reason = json!({
        "changes": {"discontinuation_reason": "ADVERSE EVENT"}, "previous": {"discontinuation_reason": "DEATH"},
        "reason": "a call"
    });
    let course = [
        registered(),
        of_trial("SiteJoined", &json!({"site_id": site(), "code": "S1"})),
        screened(),
        of_subject("SubjectEnrolled", &json!({})),
        of_subject("SubjectRandomised", &json!({"arm": "A"})),
        of_subject("SubjectCompleted", &json!({})),
        of_subject("SubjectEndCorrected", &completed_to_withdrawn),
        of_subject("SubjectEndCorrected", &another_reason),
    ];
    let shown = |length: usize, completed: u32, discontinued: Value| {
        given(course[..length].to_vec()).view::<TrialEnrolment>(trial()).then(&json!({
            "trial_id": trial(), "protocol": "P-1", "title": "A trial", "phase": null, "blinding": "double-blind",
            "enrolment_mode": "automatic", "status": "registered", "registered_at": minute(0), "planned": 10,
            "consented": 0, "screened": 1, "screen_failed": 0, "enrolled": 1, "randomised": 1,
            "discontinued": discontinued, "completed": completed, "by_arm": [],
            "by_site": [{"site": "S1", "site_id": site(), "consented": 0, "screened": 1, "screen_failed": 0,
                "enrolled": 1, "randomised": 1, "discontinued": 1 - completed, "completed": completed}],
        }));
    };
    shown(6, 1, json!({}));
    shown(7, 0, json!({"DEATH": 1}));
    shown(8, 0, json!({"ADVERSE EVENT": 1}));
    given(course).view::<Subjects>(subject()).then(&json!({
        "subject_id": subject(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
        "subject_number": "0001", "earlier_subject_numbers": [], "status": "discontinued", "eligibility": null,
        "missing_observations": [], "missing_judgements": [], "screen_failure_reasons": [], "arm": "A",
        "discontinuation_reason": "ADVERSE EVENT", "screened_at": minute(2), "enrolled_at": minute(3),
        "randomised_at": minute(4), "ended_at": minute(9), "unblinded_at": null
    }));
}

#[test]
fn a_trial_without_its_first_event_is_none() {
    given([of_trial("EnrolmentOpened", &json!({})), screened()]).view::<TrialEnrolment>(trial()).then_none();
}

#[test]
fn a_subject_goes_from_screening_to_the_end() {
    let undetermined = json!({
        "criteria_version": 1, "assessments": [], "outcome": "undetermined", "missing_observations": ["AGE"],
        "missing_judgements": ["EXCL01"]
    });
    let eligible = json!({"criteria_version": 1, "assessments": [], "outcome": "eligible", "missing_observations": [],
        "missing_judgements": []});
    let course = [
        screened(),
        of_subject("EligibilityRecorded", &undetermined),
        of_subject("EligibilityRecorded", &eligible),
        of_subject("SubjectEnrolled", &json!({})),
        of_subject("SubjectRandomised", &json!({"arm": "A"})),
        of_subject("SubjectCompleted", &json!({})),
        of_subject("SubjectUnblinded", &json!({"category": "emergency", "reason": "Unconscious"})),
    ];
    let document = |status: &str| {
        json!({
            "subject_id": subject(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
            "subject_number": "0001", "earlier_subject_numbers": [], "status": status, "eligibility": null,
            "missing_observations": [], "missing_judgements": [],
            "screen_failure_reasons": [], "arm": null, "discontinuation_reason": null, "screened_at": minute(0),
            "enrolled_at": null, "randomised_at": null, "ended_at": null, "unblinded_at": null
        })
    };
    given(course[..1].to_vec()).view::<Subjects>(subject()).then(&document("screened"));
    let waiting =
        json!({"eligibility": "undetermined", "missing_observations": ["AGE"], "missing_judgements": ["EXCL01"]});
    given(course[..2].to_vec()).view::<Subjects>(subject()).then(&with(document("screened"), &waiting));
    let ended = json!({
        "eligibility": "eligible", "arm": "A", "enrolled_at": minute(3), "randomised_at": minute(4),
        "ended_at": minute(5), "unblinded_at": minute(6)
    });
    given(course).view::<Subjects>(subject()).then(&with(document("completed"), &ended));
    let failed = [screened(), of_subject("ScreeningFailed", &json!({"reasons": ["INCL01"]}))];
    let ended = json!({"screen_failure_reasons": ["INCL01"], "ended_at": minute(1)});
    given(failed.clone()).view::<Subjects>(subject()).then(&with(document("screen-failed"), &ended));
    let again = json!({"site_id": site(), "subject_number": "0007", "screening_number": 2});
    let rescreened = json!({
        "subject_number": "0007", "earlier_subject_numbers": ["0001"], "screened_at": minute(2)
    });
    let course = failed.into_iter().chain([of_subject("PatientRescreened", &again)]);
    given(course).view::<Subjects>(subject()).then(&with(document("screened"), &rescreened));
}

#[test]
fn a_site_is_activated_and_suspended() {
    let of_site = |event_type, payload: Value| event(site(), References::site(trial(), site()), event_type, &payload);
    let course = [
        of_site(
            "SiteRegistered",
            json!({"trial_id": trial(), "code": "S1", "name": "Site One", "country": "NOR",
            "time_zone": "Europe/Oslo"}),
        ),
        of_site("SiteActivated", json!({"enrolment_cap": 5, "investigator": "dr-one"})),
        of_site("SiteSuspended", json!({"reason": "an audit"})),
    ];
    let document = |status: &str, cap: Value, investigator: Value| {
        json!({
            "site_id": site(), "trial_id": trial(), "site": "S1", "name": "Site One", "country": "NOR",
            "time_zone": "Europe/Oslo", "status": status, "enrolment_cap": cap, "investigator": investigator
        })
    };
    let registered = given(course[..1].to_vec());
    registered.view::<Sites>(site()).then(&document("registered", Value::Null, Value::Null));
    let active = given(course[..2].to_vec());
    active.view::<Sites>(site()).then(&document("active", json!(5), json!("dr-one")));
    given(course).view::<Sites>(site()).then(&document("suspended", json!(5), json!("dr-one")));
    given([of_trial("EnrolmentOpened", &json!({}))]).view::<Sites>(site()).then_none();
}
