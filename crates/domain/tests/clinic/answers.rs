//! Which answers an item takes, when a report was filled in, and where bands of a score may lie.

use domain::epro::report::{CorrectReport, ReportError, SubmitReport};
use domain::trial::DefineQuestionnaire;
use domain::validate::Invalid;
use events::ids::ReportId;
use serde_json::{Value, json};
use testkit::given::{Outcome, World};
use uuid::Uuid;

use crate::world::{command, enrolled, open_trial, subject, trial};

fn report() -> ReportId {
    Uuid::from_u128(0x700).into()
}

fn definition(answers: &Value, scores: &Value, rules: &Value) -> DefineQuestionnaire {
    let definition = json!({"instrument": "X", "version": "1", "title": "T", "source": "S",
        "items": [{"code": "Q", "answers": answers, "required": false}], "scores": scores, "alert_rules": rules});
    command(json!({"questionnaire": {"definition": definition}}))
}

fn asking(answers: &Value, rules: &Value) -> World {
    let world = enrolled(&open_trial(10, 10), 1);
    world.when(trial(), &definition(answers, &json!([]), rules)).then(&["QuestionnaireDefined"])
}

fn answered(world: &World, answer: &Value) -> Outcome {
    let body = json!({"subject_id": subject(1), "instrument": "X", "answers": {"Q": answer}});
    world.when(report(), &command::<SubmitReport>(body))
}

#[test]
fn an_answer_lies_within_what_its_item_takes() {
    let number = json!({"kind": "number", "min": -1.5, "max": 2.5});
    let integer = json!({"kind": "integer", "min": -1, "max": 2});
    let choice = json!({"kind": "choice", "options": ["NONE", "MILD"]});
    let text = json!({"kind": "text", "length_max": 3});
    for (item, answer, is_right) in [
        (&number, json!(-1.5), true),
        (&number, json!(-1.500001), false),
        (&number, json!(2.5), true),
        (&number, json!(2.500001), false),
        (&number, json!(0), true),
        (&number, json!("0"), false),
        (&integer, json!(-1), true),
        (&integer, json!(-2), false),
        (&integer, json!(2), true),
        (&integer, json!(3), false),
        (&integer, json!(0.5), false),
        (&choice, json!("MILD"), true),
        (&choice, json!("NONE"), true),
        (&choice, json!("SEVERE"), false),
        (&choice, json!(1), false),
        (&text, json!("abc"), true),
        (&text, json!("a"), true),
        (&text, json!("\u{e6}\u{e6}\u{e6}"), true),
        (&text, json!(""), true),
        (&text, json!("abcd"), false),
        (&text, json!(7), false),
    ] {
        let outcome = answered(&asking(item, &json!([])), &answer);
        if is_right {
            outcome.then(&["ReportSubmitted", "ReportFiled"]);
        } else {
            let refused = outcome.refused();
            assert_eq!((refused.rule.as_str(), refused.field.as_deref()), (Invalid::OUT_OF_RANGE, Some("answers/Q")));
        }
    }
    let long = json!({"kind": "text", "length_max": 30});
    answered(&asking(&long, &json!([])), &json!(" typed\n\u{a0}")).then(&["ReportSubmitted", "ReportFiled"]);
    answered(&asking(&long, &json!([])), &json!("a\u{b}b")).then_refused(Invalid::CONTROL_CHARACTER);
    // It is refused at the ends, too, where it counts as white space.
    answered(&asking(&long, &json!([])), &json!("a\u{b}")).then_refused(Invalid::BLANK);
}

#[test]
fn filling_in_may_take_no_time_but_not_less() {
    let world = asking(&json!({"kind": "integer", "min": 0, "max": 3}), &json!([]));
    let submit = |started_at: &str| {
        let body = json!({"subject_id": subject(1), "instrument": "X", "answers": {"Q": 1}, "started_at": started_at,
            "completed_at": "2026-01-31T12:00:00.123456Z"});
        world.when(report(), &command::<SubmitReport>(body))
    };
    submit("2026-01-31T12:00:00.123456Z").then(&["ReportSubmitted", "ReportFiled"]);
    submit("2026-01-31T11:00:00Z").then(&["ReportSubmitted", "ReportFiled"]);
    submit("2026-01-31T12:00:00.123457Z").then_refused(ReportError::COMPLETED_BEFORE_STARTED);
}

/// How many alerts follow where the answer was `first`, and `then` after a correction.
fn raised_by_correction(operator: &str, first: i32, then: i32) -> usize {
    let rule = json!([{"code": "R", "measure": {"kind": "answer", "item": "Q"}, "operator": operator, "value": 5,
        "severity": "high", "recipients": ["investigator"], "acknowledge_within_minutes": 60}]);
    let world = asking(&json!({"kind": "integer", "min": 0, "max": 10}), &rule);
    let world = answered(&world, &json!(first)).then(&["ReportSubmitted", "ReportFiled"]);
    let correct: CorrectReport = command(json!({"answers": {"Q": then}, "reason": "misread"}));
    let corrected = world.when(report(), &correct).payload("ReportCorrected");
    corrected["triggered_rules"].as_array().expect("rules").len()
}

#[test]
fn what_lies_further_beyond_its_threshold_raises_again() {
    for (operator, first, then, raised) in [
        ("at-least", 6, 7, 1),
        ("at-least", 7, 6, 0),
        ("greater-than", 6, 7, 1),
        ("greater-than", 7, 6, 0),
        ("at-most", 4, 3, 1),
        ("at-most", 3, 4, 0),
        ("less-than", 4, 3, 1),
        ("less-than", 3, 4, 0),
        ("not-equals", 3, 4, 1),
        ("not-equals", 5, 4, 1),
        ("equals", 4, 5, 1),
        ("equals", 5, 4, 0),
    ] {
        assert_eq!(raised_by_correction(operator, first, then), raised, "{operator}: {first}, then {then}");
    }
}

#[test]
fn what_stays_as_it_was_raises_nothing_again() {
    let items = json!([{"code": "Q", "answers": {"kind": "integer", "min": 0, "max": 10}},
        {"code": "P", "answers": {"kind": "integer", "min": 0, "max": 10}}]);
    for (operator, value) in [("at-least", 5), ("at-most", 7), ("not-equals", 5), ("equals", 6)] {
        let rules = json!([{"code": "R", "measure": {"kind": "answer", "item": "Q"}, "operator": operator,
            "value": value, "severity": "high", "recipients": ["investigator"], "acknowledge_within_minutes": 60}]);
        let definition = json!({"instrument": "X", "version": "1", "title": "T", "source": "S", "items": items,
            "scores": [], "alert_rules": rules});
        let define: DefineQuestionnaire = command(json!({"questionnaire": {"definition": definition}}));
        let world = enrolled(&open_trial(10, 10), 1).when(trial(), &define).then(&["QuestionnaireDefined"]);
        let submit = json!({"subject_id": subject(1), "instrument": "X", "answers": {"Q": 6, "P": 1}});
        let submitted = world.when(report(), &command::<SubmitReport>(submit));
        assert_eq!(submitted.payload("ReportSubmitted")["triggered_rules"].as_array().map(Vec::len), Some(1));
        let world = submitted.then(&["ReportSubmitted", "ReportFiled"]);
        let correct: CorrectReport = command(json!({"answers": {"Q": 6, "P": 2}, "reason": "misread"}));
        let corrected = world.when(report(), &correct).payload("ReportCorrected");
        assert_eq!(corrected["triggered_rules"], json!([]), "{operator}");
    }
}

#[test]
fn a_band_lies_where_the_score_can_be() {
    let world = open_trial(1, 1);
    let item = json!({"kind": "integer", "min": 2, "max": 5});
    let band = |from: f64, to: f64| json!({"from": from, "to": to, "label": "B"});
    for (bands, is_right) in [
        (json!([band(2.0, 5.0)]), true),
        (json!([band(2.0, 2.0)]), true),
        (json!([band(5.0, 5.0)]), true),
        (json!([band(0.0, 2.0)]), true),
        (json!([band(5.0, 9.0)]), true),
        (json!([band(0.0, 1.9)]), false),
        (json!([band(5.1, 9.0)]), false),
        (json!([band(3.0, 2.0)]), false),
        (json!([band(2.0, 3.0), band(4.0, 5.0)]), true),
        (json!([band(2.0, 3.0), band(3.0, 5.0)]), false),
        (json!([band(3.0, 5.0), band(2.0, 3.0)]), false),
    ] {
        let scores = json!([{"code": "S", "items": ["Q"], "method": "sum", "missing": {"kind": "complete"},
            "bands": bands}]);
        let outcome = world.when(trial(), &definition(&item, &scores, &json!([])));
        if is_right {
            outcome.then(&["QuestionnaireDefined"]);
        } else {
            assert_eq!(outcome.refusal(), Invalid::OUT_OF_RANGE, "{bands}");
        }
    }
}
