//! All faults of a body are told at once.

use domain::epro::report::SubmitReport;
use domain::patient::{RecordObservation, RegisterPatient};
use domain::trial::{DefineEligibility, DefineQuestionnaire, RegisterTrial};
use events::ids::ReportId;
use serde_json::json;
use testkit::given::Outcome;
use uuid::Uuid;

use crate::world::{command, enrolled, open_trial, patient, subject, trial};

fn fields(outcome: &Outcome) -> Vec<String> {
    let refusal = outcome.refused();
    let first = refusal.faults.first().map(|fault| (fault.rule.clone(), fault.field.clone()));
    assert_eq!(first, Some((refusal.rule.clone(), refusal.field.clone())), "the first of them is the refusal");
    for fault in &refusal.faults {
        assert!(refusal.message.contains(&fault.message), "{refusal:?}");
    }
    refusal.faults.iter().map(|fault| fault.field.clone().unwrap_or_default()).collect()
}

#[test]
fn every_field_at_fault_is_named() {
    let world = open_trial(10, 10);
    let register: RegisterTrial = command(json!({"protocol": " ", "title": "", "blinding": "open-label",
        "phase": "I\u{7}", "planned_enrolment": 0}));
    let refused = world.when(Uuid::from_u128(0x11).into(), &register);
    assert_eq!(fields(&refused), ["protocol", "title", "phase", "planned_enrolment"]);
    let person: RegisterPatient = command(json!({"name": "", "national_id": "\n", "mobile": "123"}));
    assert_eq!(fields(&world.when(patient(1), &person)), ["name", "national_id", "mobile"]);
    let world = enrolled(&world, 1);
    let observe: RecordObservation = command(json!({"code": "", "value": 1, "unit": "furlong per fortnight"}));
    assert_eq!(fields(&world.when(patient(1), &observe)), ["code", "unit"]);
    let report: SubmitReport = command(json!({"subject_id": subject(1), "instrument": "PHQ-9",
        "answers": {"PHQ0101": 4, "PHQ0102": "x", "PHQ0110": 1, "PHQ0103": 3}}));
    let id = ReportId::from(Uuid::from_u128(0x50));
    assert_eq!(fields(&world.when(id, &report)), ["answers/PHQ0101", "answers/PHQ0102", "answers/PHQ0110"]);
    // One fault is told as such.
    let one: SubmitReport =
        command(json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": {"PHQ0101": 4}}));
    let refused = world.when(id, &one);
    assert_eq!(refused.refused().field.as_deref(), Some("answers/PHQ0101"));
    assert!(refused.refused().faults.is_empty());
}

#[test]
fn every_part_of_a_definition_at_fault_is_named() {
    let world = open_trial(10, 10);
    let criterion =
        |code: &str, test: serde_json::Value| json!({"code": code, "text": "t", "category": "exclusion", "test": test});
    let observed = |code: &str, operator: &str, value: serde_json::Value| json!({"kind": "observation", "code": code, "operator": operator, "value": value, "unit": "kg"});
    let define: DefineEligibility = command(json!({"criteria": [
        criterion("", json!({"kind": "judgement"})),
        criterion("A", observed("AGE", "at-least", json!(18))),
        criterion("a", observed("SMOKER", "at-least", json!("Y")))]}));
    assert_eq!(
        fields(&world.when(trial(), &define)),
        ["criteria/0/code", "criteria/1/test/unit", "criteria/2/test/operator", "criteria/2/test/unit", "criteria"]
    );
    let rule = |code: &str, item: &str, value: u32, recipients: serde_json::Value| {
        json!({"code": code, "measure": {"kind": "answer", "item": item}, "operator": "at-least", "value": value,
            "severity": "high", "recipients": recipients, "acknowledge_within_minutes": 0})
    };
    let definition = json!({"instrument": "X", "version": "1", "title": "T", "source": "S",
        "items": [
            {"code": "Q1", "answers": {"kind": "integer", "min": 5, "max": 1}},
            {"code": "Q2", "answers": {"kind": "integer", "min": 1, "max": 5}},
            {"code": "Q3", "answers": {"kind": "text", "length_max": 0}}],
        "scores": [{"code": "", "items": ["Q2", "Q3", "Q9"], "method": "sum", "reversed": ["Q1"],
            "missing": {"kind": "prorate", "missing_max": 3}, "bands": []}],
        "alert_rules": [rule("R", "Q2", 6, json!([])), rule("S", "Q8", 1, json!(["system", "investigator"]))]});
    let define: DefineQuestionnaire = command(json!({"questionnaire": {"definition": definition}}));
    assert_eq!(
        fields(&world.when(trial(), &define))
            .into_iter()
            .map(|field| field.replace("questionnaire/definition/", ""))
            .collect::<Vec<_>>(),
        [
            "items/0/answers",
            "items/2/answers/length_max",
            "scores/0/code",
            "scores/0/missing/missing_max",
            "scores/0/items/1",
            "scores/0/items/2",
            "scores/0/reversed/0",
            "alert_rules/0/recipients",
            "alert_rules/0/acknowledge_within_minutes",
            "alert_rules/0/value",
            "alert_rules/1/acknowledge_within_minutes",
            "alert_rules/1/recipients/0",
            "alert_rules/1/measure",
        ]
    );
}
