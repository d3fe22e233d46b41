//! Where a rule begins and ends: the last value on each side of it.

use domain::consent::PresentConsentForm;
use domain::enrolment::subject::{EnrolSubject, RecordEligibility, SubjectError};
use domain::epro::report::{CORRECTIONS_MAX, CorrectReport, ReportError, SubmitReport};
use domain::patient::{CorrectDemographics, OBSERVED_CODES_MAX, PatientError, RecordObservation, RegisterPatient};
use domain::safety::adverse_event::ReportAdverseEvent;
use domain::site::RegisterSite;
use domain::trial::{DefineEligibility, DefineQuestionnaire, PauseEnrolment, PublishConsentForm, TrialError};
use domain::validate::{self, Invalid};
use domain::visit::RecordVisit;
use events::ids::{AdverseEventId, ReportId, SiteId, VisitId};
use serde_json::{Value, json};
use testkit::given::World;
use uuid::Uuid;

use crate::world::{command, consented, enrolled, open_trial, patient, randomise, screen, site, subject, trial};

fn report_id(number: u128) -> ReportId {
    Uuid::from_u128(0x500 + number).into()
}

fn questionnaire(item: Value, rules: Value) -> DefineQuestionnaire {
    let definition = json!({"instrument": "X", "version": "1", "title": "T", "source": "S", "items": [item],
        "scores": [], "alert_rules": rules});
    command(json!({"questionnaire": {"definition": definition}}))
}

fn rule(operator: &str, value: Value) -> Value {
    json!([{"code": "R", "measure": {"kind": "answer", "item": "Q"}, "operator": operator, "value": value,
        "severity": "high", "recipients": ["investigator"], "acknowledge_within_minutes": 60}])
}

#[test]
fn days_are_of_1900_or_later() {
    let born = |day: &str| World::new().when(patient(1), &command::<RegisterPatient>(json!({"birth_date": day})));
    born("1900-01-01").then(&["PatientRegistered"]);
    born("1899-12-31").then_refused(Invalid::TOO_EARLY);
    let since = |time: &str| World::new().when(patient(1), &command::<RegisterPatient>(json!({"occurred_at": time})));
    since("1900-01-01T00:00:00Z").then(&["PatientRegistered"]);
    since("1899-12-31T23:59:59Z").then_refused(Invalid::TOO_EARLY);
    let world = enrolled(&open_trial(10, 10), 1);
    for (day, is_right) in [("1900", true), ("1899-12", false), ("0013-12-15", false)] {
        let visit: RecordVisit = command(json!({"subject_id": subject(1), "visit": "V", "attended_on": day}));
        let event: ReportAdverseEvent =
            command(json!({"subject_id": subject(1), "term": "T", "severity": "mild", "serious": false, "onset": day}));
        let visited = world.when(VisitId::from(Uuid::from_u128(0x60)), &visit);
        let reported = world.when(AdverseEventId::from(Uuid::from_u128(0x61)), &event);
        if is_right {
            visited.then(&["VisitAttended", "VisitFiled"]);
            reported.then(&["AdverseEventReported"]);
        } else {
            visited.then_refused(Invalid::TOO_EARLY);
            reported.then_refused(Invalid::TOO_EARLY);
        }
    }
    let effective = |day: &str| {
        let form = json!({"form_version": "9", "language": "en", "text_sha256": "0".repeat(64), "effective_on": day});
        open_trial(1, 1).when(trial(), &command::<PublishConsentForm>(form))
    };
    for (day, is_right) in [("1899-12-31", false), ("1900-01-01", true), ("2200-12-31", true), ("2201-01-01", false)] {
        let outcome = effective(day);
        if is_right {
            outcome.then(&["ConsentFormPublished"])
        } else {
            outcome.then_refused(Invalid::OUT_OF_RANGE)
        };
    }
}

#[test]
fn clocks_may_be_five_minutes_ahead() {
    let since = |time: &str| World::new().when(patient(1), &command::<RegisterPatient>(json!({"occurred_at": time})));
    since("2026-01-31T12:05:00.123456Z").then(&["PatientRegistered"]);
    since("2026-01-31T12:05:00.123457Z").then_refused(Invalid::IN_FUTURE);
}

#[test]
fn texts_have_their_lengths() {
    let paused = |reason: &str| open_trial(1, 1).when(trial(), &command::<PauseEnrolment>(json!({"reason": reason})));
    paused(&"x".repeat(10_000)).then(&["EnrolmentPaused"]);
    paused(&"x".repeat(10_001)).then_refused(Invalid::TOO_LONG);
    paused("one\ntwo\tthree\r\n4").then(&["EnrolmentPaused"]);
    // Reads as another text than it is; Arabic and Hebrew need no such characters.
    for turned in ["safe \u{202e}evif\u{202c}", "\u{202d}x"] {
        paused(turned).then_refused(Invalid::CONTROL_CHARACTER);
    }
    paused("\u{645}\u{631}\u{62d}\u{628}\u{627}\u{200f} 1").then(&["EnrolmentPaused"]);
    paused("one\u{b}two").then_refused(Invalid::CONTROL_CHARACTER);
    paused(" one").then_refused(Invalid::BLANK);
    let named = |name: &str| World::new().when(patient(1), &command::<RegisterPatient>(json!({"name": name})));
    named(&"\u{e6}".repeat(500)).then(&["PatientRegistered"]);
    named(&"\u{e6}".repeat(501)).then_refused(Invalid::TOO_LONG);
    named("one\ntwo").then_refused(Invalid::CONTROL_CHARACTER);
    let coded = |code: &str| {
        let register = json!({"trial_id": trial(), "code": code, "name": "H"});
        open_trial(1, 1).when(SiteId::from(Uuid::from_u128(0x21)), &command::<RegisterSite>(register))
    };
    coded(&"7".repeat(100)).then(&["SiteRegistered", "SiteJoined"]);
    coded(&"7".repeat(101)).then_refused(Invalid::TOO_LONG);
}

#[test]
fn countries_languages_and_telephones_have_their_forms() {
    let world = open_trial(1, 1);
    for (country, is_right) in [("NOR", true), ("nor", false), ("NORW", false), ("NO1", false), ("NO", false)] {
        let register = json!({"trial_id": trial(), "code": "702", "name": "H", "country": country});
        let outcome = world.when(SiteId::from(Uuid::from_u128(0x21)), &command::<RegisterSite>(register));
        if is_right {
            outcome.then(&["SiteRegistered", "SiteJoined"])
        } else {
            outcome.then_refused(Invalid::MALFORMED)
        };
    }
    let (longest, too_long) = ("en-12345678-12345678-12345678-12345", "en-12345678-12345678-12345678-123456");
    for (language, is_right) in [
        ("en", true),
        ("pt-BR", true),
        ("zh-Hant-TW", true),
        ("de-1996", true),
        ("abc", true),
        ("abcd", false),
        (longest, true),
        ("e", false),
        ("abcdefghi", false),
        ("e1", false),
        ("en-", false),
        ("en-123456789", false),
        ("en_GB", false),
        (too_long, false),
    ] {
        let form = json!({"form_version": "9", "language": language, "text_sha256": "0".repeat(64), "effective_on": "2026-01-01"});
        let outcome = world.when(trial(), &command::<PublishConsentForm>(form));
        if is_right {
            outcome.then(&["ConsentFormPublished"])
        } else {
            outcome.then_refused(Invalid::MALFORMED)
        };
    }
    for (digest, is_right) in
        [("0".repeat(64), true), ("0".repeat(63), false), ("A".repeat(64), false), ("g".repeat(64), false)]
    {
        let form = json!({"form_version": "9", "language": "en", "text_sha256": digest, "effective_on": "2026-01-01"});
        let outcome = world.when(trial(), &command::<PublishConsentForm>(form));
        if is_right {
            outcome.then(&["ConsentFormPublished"])
        } else {
            outcome.then_refused(Invalid::MALFORMED)
        };
    }
    for (mobile, is_right) in [
        ("+12345", true),
        ("+123456789012345", true),
        ("+1234", false),
        ("+1234567890123456", false),
        ("12345", false),
        ("+1234a", false),
        ("+", false),
    ] {
        let outcome = World::new().when(patient(1), &command::<RegisterPatient>(json!({"mobile": mobile})));
        if is_right {
            outcome.then(&["PatientRegistered"])
        } else {
            outcome.then_refused(Invalid::MALFORMED)
        };
    }
}

#[test]
fn what_was_judged_stays_until_the_criteria_change() {
    let criteria = |text: &str| -> DefineEligibility {
        command(json!({"criteria": [
            {"code": "J1", "text": text, "category": "inclusion", "test": {"kind": "judgement"}},
            {"code": "J2", "text": text, "category": "exclusion", "test": {"kind": "judgement"}},
            {"code": "A", "text": text, "category": "inclusion",
                "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}}]}))
    };
    let world = open_trial(10, 10).when(trial(), &criteria("first")).then(&["EligibilityDefined"]);
    let world =
        consented(&world, 1, 40).when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let judge = |judgements: Value| -> RecordEligibility { command(json!({"judgements": judgements})) };
    let results = |payload: &Value| -> Vec<String> {
        let assessments = payload["assessments"].as_array().expect("assessments");
        assessments.iter().map(|known| known["result"].as_str().expect("a result").to_owned()).collect()
    };
    let open = |outcome: &testkit::given::Outcome| outcome.payload("EligibilityRecorded")["missing_judgements"].clone();
    assert_eq!(open(&world.when(subject(1), &judge(json!({})))), json!(["J1", "J2"]));
    let first = world.when(subject(1), &judge(json!({"J1": true})));
    assert_eq!(open(&first), json!(["J2"]));
    assert_eq!(results(&first.payload("EligibilityRecorded")), ["met", "unknown", "met"]);
    let world = first.then(&["EligibilityRecorded"]);
    let second = world.when(subject(1), &judge(json!({"J2": false})));
    assert_eq!(results(&second.payload("EligibilityRecorded")), ["met", "not-met", "met"]);
    assert_eq!(open(&second), json!([]));
    let world = second.then(&["EligibilityRecorded"]);
    // Already so.
    let world = world.when(subject(1), &judge(json!({}))).then(&[]);
    let third = world.when(subject(1), &judge(json!({"J1": false})));
    assert_eq!(results(&third.payload("EligibilityRecorded")), ["not-met", "not-met", "met"]);
    // Why somebody cannot be enrolled is told by the criteria.
    let told = |world: &World| world.when(subject(1), &EnrolSubject::default()).refused().message.clone();
    let against = third.then(&["EligibilityRecorded"]);
    assert!(told(&against).ends_with("eligible: J1 speaks against it"), "{}", told(&against));
    let fresh = open_trial(10, 10).when(trial(), &criteria("first")).then(&["EligibilityDefined"]);
    let fresh = consented(&fresh, 1, 12).when(patient(1), &screen());
    let fresh = fresh.then(&["PatientScreened", "SubjectNumberAssigned"]);
    assert!(told(&fresh).ends_with("eligible: eligibility was not assessed yet"), "{}", told(&fresh));
    let young = fresh.when(subject(1), &judge(json!({"J1": true}))).then(&["EligibilityRecorded"]);
    assert!(told(&young).ends_with("eligible: A speaks against it; J2 is not decided"), "{}", told(&young));
    let open = consented(&fresh, 2, 40).when(patient(2), &screen());
    let open = open.then(&["PatientScreened", "SubjectNumberAssigned"]);
    let open = open.when(subject(2), &judge(json!({"J1": true}))).then(&["EligibilityRecorded"]);
    let undecided = open.when(subject(2), &EnrolSubject::default()).refused().message.clone();
    assert!(undecided.ends_with("eligible: J2 is not decided"), "{undecided}");
    world.when(subject(1), &EnrolSubject::default()).then(&["SubjectEnrolled", "PlaceTaken"]);
    // Judged on other criteria.
    let world = world.when(trial(), &criteria("second")).then(&["EligibilityDefined"]);
    world.when(subject(1), &EnrolSubject::default()).then_refused(SubjectError::NOT_ELIGIBLE);
    let anew = world.when(subject(1), &judge(json!({})));
    assert_eq!(results(&anew.payload("EligibilityRecorded")), ["unknown", "unknown", "met"]);
}

#[test]
fn nobody_is_enrolled_before_an_assessment_says_so() {
    let young: RegisterPatient = command(json!({"birth_date": "2015-01-01"}));
    let world = open_trial(10, 10).when(patient(1), &young).then(&["PatientRegistered"]);
    let present: PresentConsentForm =
        command(json!({"trial_id": trial(), "site_id": site(), "form_version": "1", "language": "en"}));
    let world = world.when(patient(1), &present).then(&["ConsentFormPresented", "PatientAdmitted"]);
    let world = world.when(patient(1), &crate::world::sign()).then(&["ConsentSigned"]);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let world = world.when(subject(1), &RecordEligibility::default()).then(&["EligibilityRecorded"]);
    let correct: CorrectDemographics = command(json!({"birth_date": "1985-01-01", "reason": "misread"}));
    let world = world.when(patient(1), &correct).then(&["DemographicsCorrected"]);
    world.when(subject(1), &EnrolSubject::default()).then_refused(SubjectError::NOT_ELIGIBLE);
    let world = world.when(subject(1), &RecordEligibility::default()).then(&["EligibilityRecorded"]);
    world.when(subject(1), &EnrolSubject::default()).then(&["SubjectEnrolled", "PlaceTaken"]);
}

#[test]
fn whoever_is_too_early_is_told_where_the_subject_stands() {
    let world = enrolled(&open_trial(10, 10), 1);
    let early = domain::enrolment::subject::RandomiseSubject {
        occurred_at: domain::When::at("2026-01-31T11:00:00Z".parse().expect("a time")),
        ..randomise()
    };
    let refused = world.when(subject(1), &early);
    // The consent is of later on that day, too: whichever of the two is told, it is told with its day.
    assert!(refused.refused().message.contains("2026-01-31"), "{:?}", refused.refused());
    let world = world.when(subject(1), &randomise()).then(&["SubjectRandomised"]);
    let complete: domain::enrolment::subject::CompleteSubject = command(json!({"occurred_at": "2026-01-31T11:58:00Z"}));
    world.when(subject(1), &complete).then(&["SubjectCompleted"]);
}

#[test]
fn a_list_may_be_as_long_as_is_said() {
    validate::list("items", &[(); validate::LIST_LENGTH_MAX]).expect("as many as may be");
    validate::list("items", &[(); validate::LIST_LENGTH_MAX + 1]).expect_err("one more");
}

#[test]
fn rules_can_be_met_at_their_ends() {
    let world = open_trial(10, 10);
    let integer = |min: i32, max: i32| json!({"code": "Q", "answers": {"kind": "integer", "min": min, "max": max}});
    let number = |min: f64, max: f64| json!({"code": "Q", "answers": {"kind": "number", "min": min, "max": max}});
    for (item, operator, value, can) in [
        (integer(1, 5), "at-least", json!(5), true),
        (integer(1, 5), "at-least", json!(5.1), false),
        (integer(1, 5), "greater-than", json!(4), true),
        (integer(1, 5), "greater-than", json!(5), false),
        (integer(1, 5), "at-most", json!(1), true),
        (integer(1, 5), "at-most", json!(0), false),
        (integer(1, 5), "less-than", json!(2), true),
        (integer(1, 5), "less-than", json!(1), false),
        (integer(1, 5), "equals", json!(1), true),
        (integer(1, 5), "equals", json!(5), true),
        (integer(1, 5), "equals", json!(6), false),
        (integer(1, 5), "equals", json!(2.5), false),
        (number(1.0, 5.0), "equals", json!(2.5), true),
        (number(1.0, 5.0), "equals", json!(5.5), false),
        (integer(3, 3), "not-equals", json!(3), false),
        (integer(3, 3), "not-equals", json!(4), true),
        (integer(3, 4), "not-equals", json!(3), true),
    ] {
        let define = questionnaire(item.clone(), rule(operator, value.clone()));
        let outcome = world.when(trial(), &define);
        if can {
            outcome.then(&["QuestionnaireDefined"]);
        } else {
            assert_eq!(outcome.refusal(), Invalid::OUT_OF_RANGE, "{item} {operator} {value}");
        }
    }
    let options = |codes: &[&str]| json!({"code": "Q", "answers": {"kind": "choice", "options": codes}});
    let other_than_no = || rule("not-equals", json!("NO"));
    world.when(trial(), &questionnaire(options(&["NO", "YES"]), other_than_no())).then(&["QuestionnaireDefined"]);
    world.when(trial(), &questionnaire(options(&["NO"]), other_than_no())).then_refused(Invalid::OUT_OF_RANGE);
    // One value is a range, none is not.
    world.when(trial(), &questionnaire(number(2.5, 2.5), json!([]))).then(&["QuestionnaireDefined"]);
    world.when(trial(), &questionnaire(number(2.5, 2.4), json!([]))).then_refused(Invalid::OUT_OF_RANGE);
    world.when(trial(), &questionnaire(integer(2, 2), json!([]))).then(&["QuestionnaireDefined"]);
}

#[test]
fn another_option_that_meets_the_rule_raises_again() {
    let item =
        json!({"code": "Q", "answers": {"kind": "choice", "options": ["NONE", "MILD", "SEVERE"]}, "required": true});
    let world = enrolled(&open_trial(10, 10), 1);
    let world =
        world.when(trial(), &questionnaire(item, rule("not-equals", json!("NONE")))).then(&["QuestionnaireDefined"]);
    let submit = |answers: Value| -> SubmitReport {
        command(json!({"subject_id": subject(1), "instrument": "X", "answers": answers}))
    };
    world.when(report_id(1), &submit(json!({}))).then_refused(Invalid::MISSING);
    let first = world.when(report_id(1), &submit(json!({"Q": "MILD"})));
    assert_eq!(first.payload("ReportSubmitted")["triggered_rules"][0]["finding"], "answer Q of X = MILD");
    let mut world = first.then(&["ReportSubmitted", "ReportFiled"]);
    for (number, (answer, raised)) in [("SEVERE", 1), ("NONE", 0), ("MILD", 1)].into_iter().enumerate() {
        let correct: CorrectReport = command(json!({"answers": {"Q": answer}, "reason": "misread"}));
        let outcome = world.when(report_id(1), &correct);
        let payload = outcome.payload("ReportCorrected");
        assert_eq!(payload["triggered_rules"].as_array().map(Vec::len), Some(raised), "{answer}");
        assert_eq!(payload["correction_number"], number + 1);
        world = outcome.then(&["ReportCorrected"]);
    }
}

#[test]
fn so_many_codes_are_kept_of_a_person_and_no_more() {
    let observe = |world: &World, code: usize| {
        world.when(patient(1), &command::<RecordObservation>(json!({"code": format!("C{code}"), "value": 1})))
    };
    let mut world = World::new().when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
    for code in 0..OBSERVED_CODES_MAX {
        world = observe(&world, code).then(&["ObservationRecorded"]);
    }
    observe(&world, OBSERVED_CODES_MAX).then_refused(PatientError::TOO_MANY_CODES);
    observe(&world, 0).then(&["ObservationRecorded"]);
}

#[test]
fn a_report_is_corrected_so_often_and_no_more() {
    let world = enrolled(&open_trial(10, 10), 1);
    let submit: SubmitReport =
        command(json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": {"PHQ0101": 0}}));
    let mut world = world.when(report_id(1), &submit).then(&["ReportSubmitted", "ReportFiled"]);
    let correct = |world: &World, number: u32| {
        let body = json!({"answers": {"PHQ0101": number % 2}, "reason": "Misheard"});
        world.when(report_id(1), &command::<CorrectReport>(body))
    };
    for number in 1..=CORRECTIONS_MAX {
        world = correct(&world, number).then(&["ReportCorrected"]);
    }
    correct(&world, CORRECTIONS_MAX + 1).then_refused(ReportError::TOO_MANY_CORRECTIONS);
    let many: serde_json::Map<String, Value> =
        (0..=validate::LIST_LENGTH_MAX).map(|n| (format!("A{n}"), json!(1))).collect();
    let body = json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": many});
    world.when(report_id(2), &command::<SubmitReport>(body)).then_refused(Invalid::TOO_MANY);
}

#[test]
fn a_questionnaire_is_not_dated_before_the_latest_one() {
    let world = open_trial(10, 10);
    let define = |version: &str, text: usize, occurred_at: Option<&str>| {
        let definition = json!({"instrument": "MOOD", "version": version, "title": "T", "source": "S", "items": [
            {"code": "Q", "text": "x".repeat(text), "answers": {"kind": "number", "min": 0, "max": 10}}],
            "scores": [], "alert_rules": []});
        let mut body = json!({"questionnaire": {"definition": definition}});
        if let Some(occurred_at) = occurred_at {
            body["occurred_at"] = json!(occurred_at);
        }
        command::<DefineQuestionnaire>(body)
    };
    let world = world.when(trial(), &define("1", 10, None)).then(&["QuestionnaireDefined"]);
    let back = define("2", 10, Some("2020-01-01T00:00:00Z"));
    world.when(trial(), &back).then_refused(TrialError::DEFINED_LATER);
}
