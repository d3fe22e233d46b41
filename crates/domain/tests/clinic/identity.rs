//! What looks the same is the same; what is measured in another unit is converted, or decides nothing; what is sent
//! twice is on record once.

use domain::consent::{PresentConsentForm, SignConsent};
use domain::enrolment::subject::{EnrolSubject, RandomiseSubject, RecordEligibility, ScreenPatient, SubjectError};
use domain::epro::report::{ReportError, SubmitReport};
use domain::patient::{CorrectDemographics, CorrectObservation, PatientError, RecordObservation, RegisterPatient};
use domain::site::{ActivateSite, RegisterSite, SiteError};
use domain::trial::{AddArm, CloseEnrolment, DefineEligibility, RegisterTrial, TrialError};
use domain::validate::Invalid;
use domain::visit::{CorrectVisit, RecordVisit, VisitError};
use events::ids::{ReportId, SiteId, TrialId, VisitId};
use serde_json::{Value, json};
use testkit::given::{World, with};
use uuid::Uuid;

use crate::world::{command, consented, enrolled, open_trial, patient, site, subject, trial};

#[test]
fn identifiers_that_look_the_same_are_the_same() {
    let world = open_trial(10, 10);
    let trial_like = |protocol: &str| -> RegisterTrial {
        command(json!({"protocol": protocol, "title": "T", "blinding": "open-label", "planned_enrolment": 1}))
    };
    let other = TrialId::from(Uuid::from_u128(0x11));
    for protocol in ["p-1", "P\u{2011}1", "P-\u{200b}1", "\u{ff30}-1"] {
        world.when(other, &trial_like(protocol)).then_refused(TrialError::PROTOCOL_TAKEN);
    }
    let site_like = |code: &str| -> RegisterSite { command(json!({"trial_id": trial(), "code": code, "name": "H"})) };
    let second = SiteId::from(Uuid::from_u128(0x21));
    world.when(second, &site_like("70\u{feff}1")).then_refused(SiteError::CODE_TAKEN);
    let numbered = |number: &str| -> ScreenPatient { command(json!({"trial_id": trial(), "subject_number": number})) };
    let world = consented(&consented(&world, 1, 40), 2, 40);
    let screened = world.when(patient(1), &numbered("Os lo-7"));
    assert_eq!(screened.payload("SubjectNumberAssigned")["subject_number"], "Os lo-7", "the shown form is kept");
    let world = screened.then(&["PatientScreened", "SubjectNumberAssigned"]);
    for number in ["OS LO-7", "Os\u{a0}lo-7", "Os  lo-7", "\u{41e}s lo-7"] {
        world.when(patient(2), &numbered(number)).then_refused("subject-number-taken");
    }
    world.when(patient(2), &numbered("Oslo-7")).then(&["PatientScreened", "SubjectNumberAssigned"]);
}

#[test]
fn codes_that_look_the_same_name_the_same_thing() {
    let world = open_trial(10, 10);
    let twice = json!({"criteria": [criterion("WEIGHT", "at-least", json!(50), Some("kg")),
        {"code": "i-weight", "text": "t", "category": "inclusion", "test": {"kind": "judgement"}}]});
    world.when(trial(), &command::<DefineEligibility>(twice)).then_refused(Invalid::DUPLICATE);
    let form = json!({"trial_id": trial(), "site_id": site(), "form_version": "1\u{200b}", "language": "en"});
    let world = world.when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let shown = world.when(patient(1), &command::<PresentConsentForm>(form));
    assert_eq!(shown.payload("ConsentFormPresented")["form_version"], "1");
    let world = shown.then(&["ConsentFormPresented", "PatientAdmitted"]);
    let sign: SignConsent = command(json!({"trial_id": trial(), "form_version": "\u{ff11}", "language": "en"}));
    world.when(patient(1), &sign).then(&["ConsentSigned"]);

    let world = enrolled(&open_trial(10, 10), 1);
    let randomised = world.when(subject(1), &command::<RandomiseSubject>(json!({"arm": "a"})));
    assert_eq!(randomised.payload("SubjectRandomised")["arm"], "A");
    let report = |answers: Value| -> SubmitReport {
        command(json!({"subject_id": subject(1), "instrument": "phq-9", "answers": answers}))
    };
    let id = ReportId::from(Uuid::from_u128(0x50));
    let submitted = world.when(id, &report(json!({"phq0101": 2})));
    let payload = submitted.payload("ReportSubmitted");
    assert_eq!((&payload["instrument"], &payload["answers"]), (&json!("PHQ-9"), &json!({"PHQ0101": 2})));
    world.when(id, &report(json!({"phq0101": 2, "PHQ0101": 2}))).then_refused(Invalid::DUPLICATE);
    // Nobody can add an arm that looks like one that is there.
    let fresh = World::new().when(
        trial(),
        &command::<RegisterTrial>(
            json!({"protocol": "Q", "title": "T", "blinding": "open-label", "planned_enrolment": 1}),
        ),
    );
    let fresh = fresh.then(&["TrialRegistered", "ProtocolNumberClaimed"]);
    let arm = |code: &str| -> AddArm { command(json!({"code": code, "name": "Arm"})) };
    let fresh = fresh.when(trial(), &arm("ACT")).then(&["ArmAdded"]);
    fresh.when(trial(), &arm("A\u{421}T")).then_refused(TrialError::ARM_EXISTS);
}

/// An inclusion criterion `I-<code>`.
fn criterion(code: &str, operator: &str, value: Value, unit: Option<&str>) -> Value {
    let mut test = json!({"kind": "observation", "code": code, "operator": operator, "value": value});
    if let Some(unit) = unit {
        test["unit"] = json!(unit);
    }
    json!({"code": format!("I-{code}"), "text": "t", "category": "inclusion", "test": test})
}

/// What `observed` says of a criterion that the weight is at least 50 kg, with the value that was looked at.
fn weighed(observed: Value) -> (String, Value) {
    let world = open_trial(10, 10);
    let criteria = json!({"criteria": [criterion("WEIGHT", "at-least", json!(50), Some("kg"))]});
    let world = world.when(trial(), &command::<DefineEligibility>(criteria)).then(&["EligibilityDefined"]);
    let world = consented(&world, 1, 40);
    let world = world.when(patient(1), &command::<RecordObservation>(observed)).then(&["ObservationRecorded"]);
    let world = world.when(patient(1), &crate::world::screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let assessed = world.when(subject(1), &RecordEligibility::default()).payload("EligibilityRecorded");
    let missing = assessed["missing_observations"] == json!(["WEIGHT"]);
    let assessment = assessed["assessments"][0].clone();
    assert_eq!(missing, assessment["result"] == "unknown", "{assessed}");
    (assessment["result"].as_str().expect("a result").to_owned(), assessment)
}

#[test]
fn observations_are_converted_to_the_criterions_unit() {
    for (value, unit, result) in [
        (json!(99), Some("[lb_av]"), "not-met"),
        (json!(111), Some("[lb_av]"), "met"),
        (json!(50), Some("kg"), "met"),
        (json!(50_000), Some("g"), "met"),
        (json!(49_999), Some("g"), "not-met"),
        // Nobody knows what it was measured in.
        (json!(99), None, "unknown"),
        (json!(99), Some("cm"), "unknown"),
        (json!(99), Some("{score}"), "unknown"),
        (json!("HEAVY"), None, "unknown"),
    ] {
        let mut observed = json!({"code": "weight", "value": value});
        if let Some(unit) = unit {
            observed["unit"] = json!(unit);
        }
        let (found, assessment) = weighed(observed);
        assert_eq!(found, result, "{value} {unit:?}");
        assert_eq!((&assessment["seen"], assessment.get("seen_unit")), (&value, unit.map(|unit| json!(unit)).as_ref()));
    }
}

#[test]
fn a_code_is_the_one_asked_for_or_another() {
    for (operator, code, result) in [
        ("equals", "NEVER", "met"),
        ("equals", "never", "met"),
        ("equals", "CURRENT", "not-met"),
        ("not-equals", "NEVER", "not-met"),
        ("not-equals", "CURRENT", "met"),
    ] {
        let criteria = json!({"criteria": [criterion("SMOKER", operator, json!("NEVER"), None)]});
        let world = open_trial(10, 10).when(trial(), &command::<DefineEligibility>(criteria));
        let world = consented(&world.then(&["EligibilityDefined"]), 1, 40);
        let observed: RecordObservation = command(json!({"code": "SMOKER", "value": code}));
        let world = world.when(patient(1), &observed).then(&["ObservationRecorded"]);
        let world = world.when(patient(1), &crate::world::screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
        let assessed = world.when(subject(1), &RecordEligibility::default()).payload("EligibilityRecorded");
        assert_eq!(assessed["assessments"][0]["result"], result, "{operator} {code}");
    }
}

#[test]
fn a_word_for_nothing_decides_nothing() {
    let outcome = |code: &str, operator: &str, wanted: &str, observed: &str| {
        let criteria = json!({"criteria": [criterion(code, operator, json!(wanted), None)]});
        let world = open_trial(10, 10).when(trial(), &command::<DefineEligibility>(criteria));
        let world = consented(&world.then(&["EligibilityDefined"]), 1, 40);
        let observe: RecordObservation = command(json!({"code": code, "value": observed}));
        let world = world.when(patient(1), &observe).then(&["ObservationRecorded"]);
        let world = world.when(patient(1), &crate::world::screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
        let assessed = world.when(subject(1), &RecordEligibility::default()).payload("EligibilityRecorded");
        assessed["assessments"][0]["result"].as_str().expect("a result").to_owned()
    };
    for nothing in ["UNKNOWN", "unk", "NA", "NOT DONE", "."] {
        assert_eq!(outcome("PREG", "not-equals", "Y", nothing), "unknown", "{nothing}");
    }
    assert_eq!(outcome("PREG", "not-equals", "Y", "N"), "met");
    for (sex, result) in [("U", "unknown"), ("female", "unknown"), ("f", "met"), ("M", "not-met")] {
        assert_eq!(outcome("SEX", "equals", "F", sex), result, "{sex}");
    }
}

#[test]
fn a_number_without_a_unit_compares_with_plain_numbers() {
    let outcome = |wanted: Option<&str>, observed: Option<&str>| {
        let criteria = json!({"criteria": [criterion("HBA1C", "at-most", json!(8), wanted)]});
        let world = open_trial(10, 10).when(trial(), &command::<DefineEligibility>(criteria));
        let world = consented(&world.then(&["EligibilityDefined"]), 1, 40);
        let mut observe = json!({"code": "HBA1C", "value": 7});
        if let Some(unit) = observed {
            observe["unit"] = json!(unit);
        }
        let world = world.when(patient(1), &command::<RecordObservation>(observe)).then(&["ObservationRecorded"]);
        let world = world.when(patient(1), &crate::world::screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
        let assessed = world.when(subject(1), &RecordEligibility::default()).payload("EligibilityRecorded");
        assessed["assessments"][0]["result"].as_str().expect("a result").to_owned()
    };
    for (wanted, observed, result) in [
        (Some("%"), Some("%"), "met"),
        (Some("%"), None, "unknown"),
        (None, Some("%"), "unknown"),
        (Some("mmol"), None, "unknown"),
        (Some("10*3"), None, "unknown"),
        (None, None, "met"),
        (None, Some("{score}"), "met"),
        (Some("1"), None, "met"),
    ] {
        assert_eq!(outcome(wanted, observed), result, "{wanted:?} {observed:?}");
    }
}

#[test]
fn units_are_those_of_ucum() {
    let world = open_trial(10, 10).when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let observe = |value: Value, unit: &str| -> RecordObservation {
        command(json!({"code": "SYSBP", "value": value, "unit": unit, "observed_at": "2026-01-20"}))
    };
    for unit in ["nonsense unit", "mmHg", "KG", "\u{b5}g"] {
        world.when(patient(1), &observe(json!(120), unit)).then_refused(Invalid::MALFORMED);
    }
    world.when(patient(1), &observe(json!("HIGH"), "mm[Hg]")).then_refused(Invalid::OUT_OF_RANGE);
    let world = world.when(patient(1), &observe(json!(120), "mm[Hg]")).then(&["ObservationRecorded"]);
    let correct = |change: Value| -> CorrectObservation {
        command(with(json!({"code": "sysbp", "observed_at": "2026-01-20", "reason": "misread"}), &change))
    };
    world.when(patient(1), &correct(json!({"unit": "torr"}))).then_refused(Invalid::MALFORMED);
    world.when(patient(1), &correct(json!({"value": "HIGH"}))).then_refused(Invalid::OUT_OF_RANGE);
    let corrected = world.when(patient(1), &correct(json!({"value": 12, "unit": "kPa"})));
    assert_eq!(corrected.payload("ObservationCorrected")["code"], "SYSBP");
    world.when(patient(1), &correct(json!({"value": "HIGH", "unit": null}))).then(&["ObservationCorrected"]);
}

#[test]
fn criteria_that_decide_nothing_are_refused() {
    let world = open_trial(10, 10);
    for (wrong, rule) in [
        (criterion("WEIGHT", "at-least", json!(50), Some("kilo")), Invalid::MALFORMED),
        (criterion("SMOKER", "equals", json!("Y"), Some("kg")), Invalid::OUT_OF_RANGE),
        (criterion("SMOKER", "at-least", json!("Y"), None), Invalid::OUT_OF_RANGE),
        (criterion("AGE", "at-least", json!("18"), None), Invalid::OUT_OF_RANGE),
        (criterion("AGE", "at-least", json!(216), Some("mo")), Invalid::OUT_OF_RANGE),
        (criterion("SEX", "equals", json!("U"), None), Invalid::OUT_OF_RANGE),
        (criterion("sex", "equals", json!("female"), None), Invalid::OUT_OF_RANGE),
        (criterion("SEX", "equals", json!(1), None), Invalid::OUT_OF_RANGE),
    ] {
        let define: DefineEligibility = command(json!({"criteria": [wrong.clone()]}));
        let refused = world.when(trial(), &define);
        assert_eq!(refused.refusal(), rule, "{wrong}");
    }
    for right in [
        criterion("AGE", "at-least", json!(18), Some("a")),
        criterion("SEX", "not-equals", json!("F"), None),
        criterion("SMOKER", "not-equals", json!("Y"), None),
    ] {
        world.when(trial(), &command::<DefineEligibility>(json!({"criteria": [right]}))).then(&["EligibilityDefined"]);
    }
}

#[test]
fn a_report_that_is_sent_again_without_a_name_is_known() {
    let world = enrolled(&open_trial(10, 10), 1);
    let report = |more: Value| -> SubmitReport {
        command(with(
            json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": {"PHQ0101": 1},
            "started_at": "2026-01-31T12:02:00Z", "completed_at": "2026-01-31T12:03:00Z", "visit": "WEEK 2"}),
            &more,
        ))
    };
    let id = |number: u128| ReportId::from(Uuid::from_u128(0x50 + number));
    let filed = ["ReportSubmitted", "ReportFiled"];
    // Named by its device, then sent by one that does not name it; also with other answers.
    let world = world.when(id(1), &report(json!({}))).then(&filed);
    let unnamed = world.with_targets_unnamed();
    for again in [json!({}), json!({"instrument": "phq-9", "visit": "Week  2"}), json!({"answers": {"PHQ0101": 2}})] {
        unnamed.when(id(2), &report(again)).then_refused(ReportError::ALREADY_SUBMITTED);
    }
    for other in [
        json!({"completed_at": "2026-01-31T12:04:00Z"}),
        json!({"started_at": null}),
        json!({"visit": "WEEK 3"}),
        json!({"visit": null}),
        // A day may have several, and now is never twice.
        json!({"completed_at": "2026-01-31", "started_at": null}),
        json!({"completed_at": null, "started_at": null}),
    ] {
        let world = unnamed.when(id(2), &report(other.clone())).then(&filed);
        if other["completed_at"] == "2026-01-31T12:04:00Z" {
            world.when(id(3), &report(other)).then_refused(ReportError::ALREADY_SUBMITTED);
        } else if other.get("completed_at").is_some() {
            world.when(id(3), &report(other)).then(&filed);
        }
    }
    // Whoever names it knows it from the other.
    world.when(id(2), &report(json!({}))).then(&filed);
    unnamed.assert_snapshots_hold();
}

#[test]
fn a_visit_that_is_sent_again_without_a_name_is_known() {
    let world = enrolled(&open_trial(10, 10), 1).with_targets_unnamed();
    let visit = |name: &str, number: Value, day: &str| -> RecordVisit {
        command(json!({"subject_id": subject(1), "visit": name, "visit_number": number, "attended_on": day}))
    };
    let id = |number: u128| VisitId::from(Uuid::from_u128(0x60 + number));
    let filed = ["VisitAttended", "VisitFiled"];
    let week_8 = visit("WEEK 8", json!(8), "2026-01-31");
    let world = world.when(id(1), &week_8).then(&filed);
    world.when(id(2), &week_8).then_refused(VisitError::ALREADY_RECORDED);
    for same in [visit("week 8", json!(8), "2026-01-31"), visit("WEEK 8", Value::Null, "2026-01-31")] {
        world.when(id(2), &same).then_refused(VisitError::ALREADY_RECORDED);
    }
    for other in [
        visit("WEEK 8", json!(8.1), "2026-01-31"),
        visit("WEEK 9", json!(8), "2026-01-31"),
        visit("WEEK 8", json!(8), "2026-01"),
    ] {
        world.when(id(2), &other).then(&filed);
    }
    // Corrected to another one, it no longer stands in the way; and is found as what it is.
    let correct: CorrectVisit = command(json!({"visit": "WEEK 4", "visit_number": 4, "reason": "the wrong row"}));
    let world = world.when(id(1), &correct).then(&["VisitCorrected", "VisitFiled"]);
    world.when(id(2), &week_8).then(&filed);
    world.when(id(2), &visit("WEEK 4", json!(4), "2026-01-31")).then_refused(VisitError::ALREADY_RECORDED);
    world.assert_snapshots_hold();
}

#[test]
fn a_patient_without_a_time_zone_has_that_of_the_site() {
    let world = open_trial(10, 10);
    let clinic = SiteId::from(Uuid::from_u128(0x21));
    let register: RegisterSite =
        command(json!({"trial_id": trial(), "code": "9", "name": "Clinic", "time_zone": "Asia/Tokyo"}));
    let world = world.when(clinic, &register).then(&["SiteRegistered", "SiteJoined"]);
    let person = |body: Value| -> RegisterPatient { command(body) };
    world.when(patient(1), &person(json!({"site_id": Uuid::from_u128(0x22)}))).then_refused(SiteError::NOT_FOUND);
    let observed = |body: Value, at: &str| {
        let world = world.when(patient(1), &person(body)).then(&["PatientRegistered"]);
        world.when(patient(1), &command::<RecordObservation>(json!({"code": "X", "value": 1, "observed_at": at})))
    };
    let time = |body: Value, at: &str| observed(body, at).payload("ObservationRecorded")["observed_at"].clone();
    let at = "2026-01-20T09:00:00";
    assert_eq!(time(json!({"site_id": clinic}), at), "2026-01-20T00:00:00Z");
    assert_eq!(time(json!({"site_id": clinic, "time_zone": "Europe/Oslo"}), at), "2026-01-20T08:00:00Z");
    assert_eq!(time(json!({"site_id": clinic}), "2026-01-20"), "2026-01-19T15:00:00Z");
    // Where nothing is known of the place, what clocks showed there says nothing.
    observed(json!({}), at).then_refused(Invalid::MALFORMED);
    assert_eq!(time(json!({}), "2026-01-20T09:00:00+09:00"), "2026-01-20T00:00:00Z");
}

#[test]
fn a_trial_that_is_closed_gets_no_more_sites() {
    let world = open_trial(10, 10);
    let clinic = SiteId::from(Uuid::from_u128(0x21));
    let register: RegisterSite = command(json!({"trial_id": trial(), "code": "9", "name": "Clinic"}));
    let registered = world.when(clinic, &register).then(&["SiteRegistered", "SiteJoined"]);
    let close: CloseEnrolment = command(json!({"reason": "done"}));
    world.when(trial(), &close).then(&["EnrolmentClosed"]).when(clinic, &register).then_refused(TrialError::CLOSED);
    let closed = registered.when(trial(), &close).then(&["EnrolmentClosed"]);
    let activate: ActivateSite = command(json!({"enrolment_cap": 1, "investigator": "dr"}));
    closed.when(clinic, &activate).then_refused(TrialError::CLOSED);
}

#[test]
fn judgements_are_named_by_codes_that_look_the_same() {
    let world = open_trial(10, 10);
    let criteria = json!({"criteria": [
        {"code": "EXCL 1", "text": "t", "category": "exclusion", "test": {"kind": "judgement"}}]});
    let world = world.when(trial(), &command::<DefineEligibility>(criteria)).then(&["EligibilityDefined"]);
    let world = consented(&world, 1, 40);
    let world = world.when(patient(1), &crate::world::screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let judge = |judgements: Value| -> RecordEligibility { command(json!({"judgements": judgements})) };
    world.when(subject(1), &judge(json!({"EXCL1": false}))).then_refused(SubjectError::NOT_JUDGED);
    world.when(subject(1), &judge(json!({"EXCL 1": false, "excl 1": true}))).then_refused(Invalid::DUPLICATE);
    let assessed = world.when(subject(1), &judge(json!({"excl 1": false})));
    assert_eq!(assessed.payload("EligibilityRecorded")["assessments"][0]["result"], "not-met");
    let world = assessed.then(&["EligibilityRecorded"]);
    world.when(subject(1), &EnrolSubject::default()).then(&["SubjectEnrolled", "PlaceTaken"]);
}

#[test]
fn a_national_id_is_of_one_person_whichever_way_it_is_written() {
    let register = |national_id: &str| -> RegisterPatient { command(json!({"national_id": national_id})) };
    let correct = |national_id: Value| -> CorrectDemographics {
        command(json!({"national_id": national_id, "reason": "It was misread"}))
    };
    let world = World::new().when(patient(1), &register("090348 12345"));
    let world = world.then(&["PatientRegistered", "NationalIdClaimed"]);
    let world = world.when(patient(2), &register("09034812345")).then_refused(PatientError::NATIONAL_ID_TAKEN);
    let world = world.when(patient(2), &RegisterPatient::default()).then(&["PatientRegistered"]);
    let world = world.when(patient(2), &correct(json!("0903-4812345"))).then_refused(PatientError::NATIONAL_ID_TAKEN);
    // Written in another way it is still theirs.
    let world = world.when(patient(1), &correct(json!("09034812345"))).then(&["DemographicsCorrected"]);
    let world = world.when(patient(1), &correct(json!("09034854321")));
    let world = world.then(&["DemographicsCorrected", "NationalIdReleased", "NationalIdClaimed"]);
    let world =
        world.when(patient(2), &correct(json!("09034812345"))).then(&["DemographicsCorrected", "NationalIdClaimed"]);
    let world = world.when(patient(1), &correct(Value::Null)).then(&["DemographicsCorrected", "NationalIdReleased"]);
    world.when(patient(3), &register("09034854321")).then(&["PatientRegistered", "NationalIdClaimed"]);
}
