//! What belongs to one participant: the patient, the consent, the reports, the visits.

use events::envelope::References;
use events::ids::{ConsentId, ReportId, VisitId};
use serde_json::{Value, json};
use testkit::given::view::{Given, event, given, minute};
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
    let registered = json!({"name": "Kari Nordmann", "birth_date": "1980-02"});
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
        "observations": {
            "SEX": {"value": "F", "unit": null, "observed_at": minute(1)},
            "WEIGHT": {"value": 71, "unit": "kg", "observed_at": minute(10)}
        }
    }));
}

fn consent() -> ConsentId {
    ConsentId::of(patient(), trial())
}

fn of_consent(event_type: &str, more: Value) -> Given {
    let mut payload = json!({"patient_id": patient(), "trial_id": trial()});
    payload.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    event(consent(), about(), event_type, &payload)
}

#[test]
fn a_consent_is_presented_signed_and_withdrawn() {
    let form = json!({"site_id": site(), "form_version": "2", "language": "nb", "text_sha256": "ab"});
    let signature = json!({
        "site_id": site(), "form_version": "2", "language": "nb", "text_sha256": "ab", "signer": "participant",
        "signed_at": minute(30), "signature_number": 1, "enrolment_mode": "manual"
    });
    let course = [
        of_consent("ConsentFormPresented", form),
        of_consent("ConsentSigned", signature),
        of_consent("ConsentWithdrawn", json!({"scope": "further-data", "withdrawn_at": minute(40)})),
    ];
    let document = |status: &str, signatures: Value, withdrawn_at: Value, scope: Value| {
        json!({
            "consent_id": consent(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
            "status": status, "presented_version": "2", "signatures": signatures, "withdrawn_at": withdrawn_at,
            "withdrawal_scope": scope
        })
    };
    let signatures = json!([{
        "form_version": "2", "language": "nb", "text_sha256": "ab", "signer": "participant", "signed_at": minute(30)
    }]);
    let presented = document("presented", json!([]), Value::Null, Value::Null);
    let history = given(course[..1].to_vec());
    history.view::<Consents>(consent()).then(&presented).then_column("signed_at", &Value::Null);
    let in_force = document("in-force", signatures.clone(), Value::Null, Value::Null);
    let history = given(course[..2].to_vec());
    history.view::<Consents>(consent()).then(&in_force).then_column("signed_at", &json!(minute(30)));
    let withdrawn = document("withdrawn", signatures, json!(minute(40)), json!("further-data"));
    given(course).view::<Consents>(consent()).then(&withdrawn);
}

#[test]
fn a_report_keeps_what_its_corrections_replaced() {
    let report = ReportId::from(Uuid::from_u128(4));
    let score = |value: u32| json!([{"code": "TOTAL", "value": value, "answered": 1, "items": 1}]);
    let submitted = json!({
        "subject_id": subject(), "patient_id": patient(), "trial_id": trial(), "site_id": site(),
        "instrument": "PHQ-9", "questionnaire_version": "1", "answers": {"Q1": 1}, "scores": score(1),
        "triggered_rules": [], "completed_at": minute(-5), "visit": "WEEK 1"
    });
    let corrected = json!({
        "correction_number": 1, "answers": {"Q1": 2}, "scores": score(2), "previous_scores": score(1),
        "triggered_rules": [], "reason": "misread"
    });
    given([
        event(report, about(), "ReportSubmitted", &submitted).at(minute(-5)),
        event(report, about(), "ReportCorrected", &corrected),
    ])
    .view::<Reports>(report)
    .then(&json!({
        "report_id": report, "subject_id": subject(), "patient_id": patient(), "trial_id": trial(),
        "site_id": site(), "instrument": "PHQ-9", "questionnaire_version": "1", "visit": "WEEK 1",
        "answers": {"Q1": 2}, "scores": score(2), "completed_at": minute(-5), "recorded_at": minute(0),
        "corrections": [{"corrected_at": minute(1), "reason": "misread", "previous_scores": score(1)}]
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
        "site_id": site(), "visit": "WEEK 1", "visit_number": 1.1, "attended_on": "2026-02"
    }));
}
