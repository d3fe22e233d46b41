//! What belongs to one participant: the patient, the consent, the reports, the visits.

use events::envelope::References;
use events::ids::{ConsentId, ReportId, VisitId};
use serde_json::{Value, json};
use testkit::given::view::{Given, event, given, minute};
use testkit::given::with;
use uuid::Uuid;
use views::consent::consents::Consents;
use views::epro::reports::Reports;
use views::patient::patients::Patients;
use views::visit::visits::Visits;

use crate::{about, patient, site, subject, trial};

#[test]
fn a_patient_is_masked_and_shows_the_latest_observations() {
    let of_patient =
        |event_type, payload: Value| event(patient(), References::patient(patient()), event_type, &payload);
    let observed = |value: u32, at| json!({"code": "WEIGHT", "value": value, "unit": "kg", "observed_at": minute(at)});
    let registered =
        json!({"name": "Kari Nordmann", "birth_date": "1980-02", "time_zone": "Europe/Oslo", "site_id": site()});
    given([
        of_patient("PatientRegistered", registered),
        of_patient("ObservationRecorded", observed(71, 10)),
        // Told later, observed earlier.
        of_patient("ObservationRecorded", observed(80, 5)),
        of_patient("ObservationRecorded", json!({"code": "SEX", "value": "F", "observed_at": minute(1)})),
    ])
    .view::<Patients>(patient())
    .then(&json!({
        "patient_id": patient(), "registered_at": minute(0), "known": ["name", "birth_date"],
        "time_zone": "Europe/Oslo", "site_id": site(), "trial_id": null,
        "observations": {
            "SEX": {"value": "F", "unit": null, "observed_at": minute(1)},
            "WEIGHT": {"value": 71, "unit": "kg", "observed_at": minute(10)}
        },
        "earlier_observations": {"WEIGHT": [{"value": 80, "unit": "kg", "observed_at": minute(5)}]}
    }));
}

fn consent() -> ConsentId {
    ConsentId::of(patient(), trial())
}

fn of_consent(event_type: &str, more: Value) -> Given {
    let payload = with(json!({"patient_id": patient(), "trial_id": trial()}), &more);
    event(consent(), about(), event_type, &payload)
}

/// Signed, signed again, declined, withdrawn, signed anew.
fn course() -> [Given; 8] {
    let form =
        |version: &str| json!({"site_id": site(), "form_version": version, "language": "nb", "text_sha256": "ab"});
    let signature = |version: &str, number: u32, purpose: &str, at: i32| {
        json!({
            "site_id": site(), "form_version": version, "language": "nb", "text_sha256": "ab", "signer": "participant",
            "signed_at": minute(at), "signature_number": number, "purpose": purpose, "enrolment_mode": "manual"
        })
    };
    let declined = json!({
        "site_id": site(), "form_version": "3", "language": "nb", "reason": "too long", "declined_at": minute(36)
    });
    [
        of_consent("ConsentFormPresented", form("1")),
        of_consent("ConsentSigned", signature("1", 1, "initial", 30)),
        of_consent("ConsentSigned", signature("2", 2, "reconsent", 35)),
        of_consent("ConsentFormPresented", form("3")),
        of_consent("ConsentDeclined", declined),
        of_consent("ConsentWithdrawn", json!({"scope": "further-data", "withdrawn_at": minute(40)})),
        of_consent("ConsentFormPresented", form("3")),
        of_consent("ConsentSigned", signature("3", 3, "renewal", 50)),
    ]
}

fn signed(version: &str, number: u32, covered: u32, at: i32) -> Value {
    json!({
        "signature_number": number, "covered": covered, "form_version": version, "language": "nb",
        "text_sha256": "ab", "signer": "participant", "signed_at": minute(at)
    })
}

/// The consent after its second signature, with what differs.
fn document(status: &str, more: Value) -> Value {
    with(
        json!({
            "consent_id": consent(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
            "status": status, "presented_version": "3", "signatures": [signed("1", 1, 0, 30), signed("2", 2, 0, 35)],
            "withdrawn_at": null, "withdrawal_scope": null, "declined": [],
            "covered": [{"from": minute(30), "until": null}]
        }),
        &more,
    )
}

fn declined_form() -> Value {
    json!([{"form_version": "3", "language": "nb", "declined_at": minute(36), "reason": "too long"}])
}

#[test]
fn a_consent_tells_what_was_signed_and_declined_and_what_time_it_covers() {
    let course = course();
    let presented = json!({"presented_version": "1", "signatures": [], "covered": []});
    let history = given(course[..1].to_vec());
    history.view::<Consents>(consent()).then(&document("presented", presented)).then_column("signed_at", &Value::Null);
    let declined = declined_form();
    let history = given(course[..5].to_vec());
    let in_force = document("in-force", json!({"declined": declined}));
    history.view::<Consents>(consent()).then(&in_force).then_column("signed_at", &json!(minute(35)));
    let withdrawn = json!({
        "declined": declined, "withdrawn_at": minute(40), "withdrawal_scope": "further-data",
        "covered": [{"from": minute(30), "until": minute(40)}]
    });
    given(course[..6].to_vec()).view::<Consents>(consent()).then(&document("withdrawn", withdrawn));
    let renewed = json!({
        "declined": declined, "signatures": [signed("1", 1, 0, 30), signed("2", 2, 0, 35), signed("3", 3, 1, 50)],
        "covered": [{"from": minute(30), "until": minute(40)}, {"from": minute(50), "until": null}]
    });
    given(course).view::<Consents>(consent()).then(&document("in-force", renewed));
}

#[test]
fn what_a_consent_covers_follows_its_corrections() {
    let (course, declined) = (course(), declined_form());
    let renewed = json!({
        "declined": declined, "signatures": [signed("1", 1, 0, 30), signed("2", 2, 0, 35), signed("3", 3, 1, 50)]
    });
    let corrected = |number: u32, changes: Value| {
        of_consent(
            "ConsentCorrected",
            json!({"signature_number": number, "changes": changes, "previous": {}, "reason": "misread"}),
        )
    };
    let mut expected = document("in-force", renewed);
    expected["signatures"][0]["signed_at"] = json!(minute(20));
    expected["signatures"][1]["signer"] = json!("legal-representative");
    expected["covered"] = json!([{"from": minute(20), "until": minute(45)}, {"from": minute(50), "until": null}]);
    let corrections = [
        corrected(1, json!({"signed_at": minute(20)})),
        corrected(2, json!({"signer": "legal-representative", "withdrawn_at": minute(45)})),
        corrected(9, json!({"signed_at": minute(1)})),
    ];
    given([course.to_vec(), corrections.to_vec()].concat()).view::<Consents>(consent()).then(&expected);
    let withdrawn = [course[..6].to_vec(), vec![corrected(2, json!({"withdrawal_scope": "all-use"}))]].concat();
    let withdrawal = json!({
        "declined": declined, "withdrawn_at": minute(40), "withdrawal_scope": "all-use",
        "covered": [{"from": minute(30), "until": minute(40)}]
    });
    given(withdrawn).view::<Consents>(consent()).then(&document("withdrawn", withdrawal));
}

#[test]
fn a_form_that_was_declined_may_be_shown_again() {
    let form = json!({"site_id": site(), "form_version": "1", "language": "nb", "text_sha256": "ab"});
    let declined = json!({
        "site_id": site(), "form_version": "1", "language": "nb", "reason": null, "declined_at": minute(1)
    });
    let course = [
        of_consent("ConsentFormPresented", form.clone()),
        of_consent("ConsentDeclined", declined),
        of_consent("ConsentFormPresented", form),
    ];
    given(course[..2].to_vec()).view::<Consents>(consent()).then_column("status", &json!("declined"));
    given(course).view::<Consents>(consent()).then_column("status", &json!("presented"));
}

#[test]
fn a_report_keeps_what_its_corrections_replaced() {
    let report = ReportId::from(Uuid::from_u128(4));
    let score = |value: u32| json!([{"code": "TOTAL", "value": value, "answered": 1, "items": 1}]);
    let submitted = json!({
        "subject_id": subject(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
        "instrument": "PHQ-9", "questionnaire_version": "1", "answers": {"Q1": 1}, "scores": score(1),
        "triggered_rules": [], "completed_at": minute(-5), "completed_on": "2026-01-31", "visit": "WEEK 1", "time_zone": "Europe/Oslo"
    });
    let corrected = json!({
        "correction_number": 1, "changes": {"answers": {"Q1": 2}, "scores": {"TOTAL": 2}},
        "previous": {"answers": {"Q1": 1}, "scores": {"TOTAL": 1}}, "answers": {"Q1": 2}, "scores": score(2),
        "triggered_rules": [], "reason": "misread"
    });
    let times =
        json!({"completed_at": minute(-9), "completed_on": "2026-01-30", "started_at": minute(-10), "visit": null});
    let before =
        json!({"completed_at": minute(-5), "completed_on": "2026-01-31", "started_at": null, "visit": "WEEK 1"});
    let moved = json!({
        "correction_number": 2, "changes": times, "previous": before, "answers": {"Q1": 2}, "scores": score(2),
        "triggered_rules": [], "reason": "a clock"
    });
    given([
        event(report, about(), "ReportSubmitted", &submitted).at(minute(-5)),
        event(report, about(), "ReportCorrected", &corrected).by("nurse-one"),
        event(report, about(), "ReportCorrected", &moved),
    ])
    .view::<Reports>(report)
    .then(&json!({
        "report_id": report, "subject_id": subject(), "patient_id": patient(), "trial_id": trial(),
        "site_id": site(), "instrument": "PHQ-9", "questionnaire_version": "1", "visit": null,
        "device": null, "time_zone": "Europe/Oslo", "answers": {"Q1": 2}, "scores": score(2), "started_at": minute(-10),
        "completed_at": minute(-9), "completed_on": "2026-01-30", "recorded_at": minute(0), "historical": false,
        "corrections": [{
            "corrected_at": minute(1), "corrected_by": "nurse-one", "reason": "misread",
            "changes": {"answers": {"Q1": 2}, "scores": {"TOTAL": 2}},
            "previous": {"answers": {"Q1": 1}, "scores": {"TOTAL": 1}}
        }, {
            "corrected_at": minute(2), "corrected_by": "tester", "reason": "a clock", "changes": times, "previous": before
        }]
    }));
}

#[test]
fn a_visit_is_what_was_attended() {
    let visit = VisitId::from(Uuid::from_u128(5));
    let attended = json!({
        "subject_id": subject(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
        "visit": "WEEK 1", "visit_number": 1.1, "attended_on": "2026-02"
    });
    given([event(visit, about(), "VisitAttended", &attended)]).view::<Visits>(visit).then(&json!({
        "visit_id": visit, "subject_id": subject(), "patient_id": patient(), "trial_id": trial(),
        "site_id": site(), "visit": "WEEK 1", "visit_number": 1.1, "attended_on": "2026-02", "corrections": 0
    }));
}

#[test]
fn corrections_show_what_is_true_now() {
    let visit = VisitId::from(Uuid::from_u128(5));
    let attended = json!({
        "subject_id": subject(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
        "visit": "WEEK 1", "visit_number": 1.1, "attended_on": "2026-02"
    });
    let corrected = json!({
        "changes": {"visit": "WEEK 2", "visit_number": null}, "previous": {"visit": "WEEK 1", "visit_number": 1.1},
        "reason": "the wrong row"
    });
    let course =
        [event(visit, about(), "VisitAttended", &attended), event(visit, about(), "VisitCorrected", &corrected)];
    given(course).view::<Visits>(visit).then(&json!({
        "visit_id": visit, "subject_id": subject(), "patient_id": patient(), "trial_id": trial(),
        "site_id": site(), "visit": "WEEK 2", "visit_number": null, "attended_on": "2026-02", "corrections": 1
    }));
    let of_patient =
        |event_type, payload: Value| event(patient(), References::patient(patient()), event_type, &payload);
    let person = json!({"changes": {"name": null, "sex": "F", "time_zone": "Asia/Tokyo"},
        "previous": {"name": "K", "sex": null, "time_zone": null}, "reason": "x"});
    let observation = json!({
        "code": "WEIGHT", "observed_at": minute(10), "changes": {"value": 17}, "previous": {"value": 71}, "reason": "x"
    });
    let moved = json!({
        "code": "weight", "observed_at": minute(20), "changes": {"observed_at": minute(5)},
        "previous": {"observed_at": minute(20)}, "reason": "x"
    });
    given([
        of_patient("PatientRegistered", json!({"name": "Kari Nordmann", "birth_date": "1980-02"})),
        of_patient("ObservationRecorded", json!({"code": "WEIGHT", "value": 71, "observed_at": minute(10)})),
        of_patient("DemographicsCorrected", person),
        of_patient("ObservationCorrected", observation),
        // One that was moved back leaves the latest to another, whose code is written otherwise.
        of_patient("ObservationRecorded", json!({"code": "weight", "value": 90, "observed_at": minute(20)})),
        of_patient("ObservationCorrected", moved),
    ])
    .view::<Patients>(patient())
    .then(&json!({
        "patient_id": patient(), "registered_at": minute(0), "known": ["birth_date", "sex"],
        "time_zone": "Asia/Tokyo", "site_id": null, "trial_id": null,
        "observations": {"WEIGHT": {"value": 17, "unit": null, "observed_at": minute(10)}},
        "earlier_observations": {"WEIGHT": [{"value": 90, "unit": null, "observed_at": minute(5)}]}
    }));
}
