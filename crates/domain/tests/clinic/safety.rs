//! Adverse events, alerts, and what raises them.

use domain::consent::WithdrawConsent;
use domain::epro::report::{CorrectReport, SubmitReport};
use domain::patient::{RecordObservation, RegisterPatient};
use domain::safety::adverse_event::{AdverseEventError, ReportAdverseEvent, UpdateAdverseEvent};
use domain::safety::alert::{AcknowledgeAlert, AlertError, RaiseAlert, ResolveAlert};
use domain::trial::{DefineEligibility, DefineQuestionnaire};
use domain::validate::Invalid;
use events::ids::{AdverseEventId, AlertId, ReportId};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::given::{World, with};
use uuid::Uuid;

use crate::world::{command, enrolled, open_trial, patient, screen, subject, trial};

pub fn adverse_event(number: u128) -> AdverseEventId {
    Uuid::from_u128(0x600 + number).into()
}

pub fn report_event(more: Value) -> ReportAdverseEvent {
    let body = json!({"subject_id": subject(1), "term": "Headache", "severity": "mild", "serious": false});
    command(with(body, &more))
}

fn update_event(more: Value) -> UpdateAdverseEvent {
    command(with(json!({"reason": "more is known"}), &more))
}

#[test]
fn what_is_fatal_is_serious() {
    let world = enrolled(&open_trial(10, 10), 1);
    for fatal in [json!({"outcome": "FATAL"}), json!({"outcome": "fatal"}), json!({"ctcae_grade": 5})] {
        let reported = world.when(adverse_event(1), &report_event(fatal.clone())).payload("AdverseEventReported");
        assert_eq!(reported["serious"], true, "{fatal}");
        assert_eq!(reported["triggered_rules"][0]["rule"], "serious-adverse-event", "{fatal}");
    }
    // A record of the past is kept as it was told, and tells of it all the same.
    let past = report_event(json!({"outcome": "FATAL", "historical": true}));
    let world = world.as_role(events::Role::Integration);
    let reported = world.when(adverse_event(1), &past).payload("AdverseEventReported");
    assert_eq!(
        (&reported["serious"], &reported["triggered_rules"][0]["rule"]),
        (&json!(false), &json!("serious-adverse-event"))
    );
    let world = world.when(adverse_event(1), &report_event(json!({}))).then(&["AdverseEventReported"]);
    let died = world.when(adverse_event(1), &update_event(json!({"outcome": "FATAL"})));
    assert_eq!(died.payload("AdverseEventUpdated")["changes"], json!({"outcome": "FATAL", "serious": true}));
    let world = died.then(&["AdverseEventUpdated"]);
    let not = update_event(json!({"serious": false}));
    world.when(adverse_event(1), &not).then_refused(AdverseEventError::FATAL_IS_SERIOUS);
}

#[test]
fn a_serious_event_that_turns_fatal_is_told_again() {
    let world = enrolled(&open_trial(10, 10), 1);
    let world = world.when(adverse_event(1), &report_event(json!({"serious": true}))).then(&["AdverseEventReported"]);
    let steps = [
        (json!({"severity": "severe"}), 0),
        (json!({"outcome": "FATAL"}), 1),
        (json!({"term": "Stroke"}), 0),
        (json!({"outcome": null, "serious": false}), 0),
        (json!({"serious": true}), 1),
    ];
    steps.into_iter().fold(world, |world, (change, told)| {
        let updated = world.when(adverse_event(1), &update_event(change.clone()));
        let rules = updated.payload("AdverseEventUpdated")["triggered_rules"].clone();
        assert_eq!(rules.as_array().map(Vec::len), Some(told), "{change}");
        updated.then(&["AdverseEventUpdated"])
    });
}

#[test]
fn an_adverse_event_is_told_after_it_began_and_updated_after_that() {
    let world = enrolled(&open_trial(10, 10), 1);
    let at = "2026-01-31T12:00:00Z";
    let early = report_event(json!({"onset": "2026-01-31", "occurred_at": "2026-01-30"}));
    world.when(adverse_event(1), &early).then_refused(AdverseEventError::REPORTED_BEFORE_ONSET);
    let backwards = report_event(json!({"onset": "2026-01-20", "ended": "2026-01-19"}));
    world.when(adverse_event(1), &backwards).then_refused(AdverseEventError::ENDED_BEFORE_ONSET);
    // What is known of either may be the same month.
    let partly = report_event(json!({"onset": "2026-01-20", "ended": "2026-01", "occurred_at": at}));
    let world = world.when(adverse_event(1), &partly).then(&["AdverseEventReported"]);
    let early = update_event(json!({"term": "Migraine", "occurred_at": "2026-01-30T12:00:00Z"}));
    world.when(adverse_event(1), &early).then_refused(AdverseEventError::UPDATED_BEFORE);
    let same = update_event(json!({"term": "Headache", "onset": "2026-01-20"}));
    world.when(adverse_event(1), &same).then_refused(Invalid::NOTHING_CHANGES);
    let later = update_event(json!({"onset": "2026-02-01", "occurred_at": "2026-02-01T01:00:00Z"}));
    let tomorrow = world.minutes_later(14 * 60);
    tomorrow.when(adverse_event(1), &later).then_refused(AdverseEventError::REPORTED_BEFORE_ONSET);
    let same_day = update_event(json!({"onset": "2026-01-31", "ended": null}));
    world.when(adverse_event(1), &same_day).then(&["AdverseEventUpdated"]);
    let corrected = world.when(adverse_event(1), &update_event(json!({"term": "Migraine", "onset": "2026-01-19"})));
    let payload = corrected.payload("AdverseEventUpdated");
    assert_eq!(payload["changes"], json!({"term": "Migraine", "onset": "2026-01-19"}));
    assert_eq!(payload["previous"], json!({"term": "Headache", "onset": "2026-01-20"}));
    assert!(serde_json::from_value::<UpdateAdverseEvent>(json!({"term": null, "reason": "x"})).is_err());
}

pub fn alert() -> AlertId {
    AlertId::of(Uuid::from_u128(7), "rule")
}

/// An alert about subject 1, raised now.
pub fn raised(historical: bool) -> World {
    let raise: RaiseAlert = command(json!({
        "source_event_id": Uuid::from_u128(7), "source": {"type": "report", "id": Uuid::from_u128(8)}, "rule": "rule",
        "severity": "high", "finding": "something", "subject_id": subject(1), "recipients": ["investigator"],
        "acknowledge_within_minutes": 60, "historical": historical
    }));
    let world = enrolled(&enrolled(&open_trial(10, 10), 1), 2);
    let raised = world.when(alert(), &raise);
    assert_eq!(raised.payload("AlertRaised")["acknowledge_by"].is_null(), historical);
    raised.then(&["AlertRaised"])
}

#[test]
fn an_alert_is_handled_after_it_was_raised_and_everybodys_note_is_kept() {
    let world = raised(false);
    let acknowledge = |more: Value| command::<AcknowledgeAlert>(more);
    let resolve = |more: Value| command::<ResolveAlert>(with(json!({"action_taken": "called"}), &more));
    let early = json!({"occurred_at": "2025-01-01T00:00:00Z"});
    world.when(alert(), &acknowledge(early.clone())).then_refused(AlertError::HANDLED_BEFORE);
    world.when(alert(), &resolve(early)).then_refused(AlertError::HANDLED_BEFORE);
    let world = world.when(alert(), &acknowledge(json!({"note": "on it"}))).then(&["AlertAcknowledged"]);
    let second = world.when(alert(), &acknowledge(json!({"note": "me too"})));
    assert_eq!(second.payload("AlertNoteAdded"), json!({"note": "me too"}));
    let world = second.then(&["AlertNoteAdded"]);
    // Written a minute after it was raised, heard after somebody else's.
    let late = world.minutes_later(30).when(
        alert(),
        &acknowledge(json!({"note": "I was first",
        "occurred_at": "2026-01-31T12:01:00Z"})),
    );
    let world = late.then(&["AlertNoteAdded"]);
    let world = world.when(alert(), &acknowledge(json!({}))).then(&[]);
    // A record that it is linked to exists, and is of the same subject.
    let linked = |id| resolve(json!({"adverse_event_id": id}));
    world.when(alert(), &linked(adverse_event(1))).then_refused(AdverseEventError::NOT_FOUND);
    let others = report_event(json!({"subject_id": subject(2)}));
    let world = world.when(adverse_event(2), &others).then(&["AdverseEventReported"]);
    world.when(alert(), &linked(adverse_event(2))).then_refused(AlertError::OTHER_SUBJECT);
    let world = world.when(adverse_event(1), &report_event(json!({}))).then(&["AdverseEventReported"]);
    let world = world.when(alert(), &linked(adverse_event(1))).then(&["AlertResolved"]);
    world.when(alert(), &acknowledge(json!({}))).then_refused(AlertError::RESOLVED);
}

#[test]
fn a_historical_alert_starts_no_clock() {
    let escalate = domain::safety::alert::EscalateAlert {};
    raised(true).when(alert(), &escalate).then(&[]);
}

#[test]
fn an_adverse_event_may_begin_and_end_on_the_day_that_it_is_told() {
    let world = enrolled(&open_trial(10, 10), 1);
    let days = json!({"onset": "2026-01-31", "ended": "2026-01-31"});
    world.when(adverse_event(1), &report_event(days)).then(&["AdverseEventReported"]);
    let turned = json!({"onset": "2026-01-31", "ended": "2026-01-30"});
    world.when(adverse_event(1), &report_event(turned)).then_refused(AdverseEventError::ENDED_BEFORE_ONSET);
}

fn define(definition: Value) -> DefineQuestionnaire {
    let definition = with(json!({"instrument": "X", "version": "1", "title": "T", "source": "S"}), &definition);
    command(json!({"questionnaire": {"definition": definition}}))
}

fn rule(measure: Value, operator: &str, value: Value) -> Value {
    json!({"code": "r", "measure": measure, "operator": operator, "value": value, "severity": "high",
        "recipients": ["investigator"], "acknowledge_within_minutes": 60})
}

/// Items of each kind.
fn items() -> Value {
    json!([
        {"code": "INT", "answers": {"kind": "integer", "min": 1, "max": 5}},
        {"code": "NUM", "answers": {"kind": "number", "min": 0.5, "max": 2.5}},
        {"code": "OPT", "answers": {"kind": "choice", "options": ["NO", "YES"]}},
        {"code": "VAL", "answers": {"kind": "choice", "options": [
            {"code": "NEVER", "value": 0}, {"code": "OFTEN", "value": 3}
        ]}},
        {"code": "TXT", "answers": {"kind": "text", "length_max": 200}}
    ])
}

#[test]
fn a_rule_that_can_never_be_met_is_refused() {
    let world = open_trial(10, 10);
    let answer = |item: &str| json!({"kind": "answer", "item": item});
    let score = json!({"code": "S", "items": ["INT", "VAL"], "method": "sum", "missing": {"kind": "complete"}});
    let outcome = |rule: Value| {
        let definition = json!({"items": items(), "scores": [score.clone()], "alert_rules": [rule]});
        world.when(trial(), &define(definition))
    };
    let cases = [
        ("INT", "at-least", json!(5), json!(6)),
        ("INT", "greater-than", json!(4), json!(5)),
        ("INT", "at-most", json!(1), json!(0)),
        ("INT", "less-than", json!(2), json!(1)),
        ("INT", "equals", json!(3), json!(2.5)),
        ("NUM", "equals", json!(0.5), json!(0.4)),
        ("VAL", "at-least", json!(3), json!(3.5)),
        ("VAL", "equals", json!("OFTEN"), json!("ALWAYS")),
        ("OPT", "equals", json!("YES"), json!(1)),
        ("OPT", "not-equals", json!("NO"), json!("MAYBE")),
    ];
    for (item, operator, can, cannot) in cases {
        outcome(rule(answer(item), operator, can)).then(&["QuestionnaireDefined"]);
        outcome(rule(answer(item), operator, cannot)).then_refused(Invalid::OUT_OF_RANGE);
    }
    outcome(rule(answer("OPT"), "at-least", json!("YES"))).then_refused(Invalid::OUT_OF_RANGE);
    outcome(rule(answer("TXT"), "equals", json!("5"))).then_refused(Invalid::OUT_OF_RANGE);
    let of_score = json!({"kind": "score", "score": "S"});
    outcome(rule(of_score.clone(), "at-least", json!(8))).then(&["QuestionnaireDefined"]);
    outcome(rule(of_score.clone(), "at-least", json!(8.5))).then_refused(Invalid::OUT_OF_RANGE);
    outcome(rule(of_score, "equals", json!("YES"))).then_refused(Invalid::OUT_OF_RANGE);
    let nobody = with(rule(answer("INT"), "at-least", json!(1)), &json!({"recipients": []}));
    outcome(nobody).then_refused(Invalid::BLANK);
    for wrong in [json!(["system"]), json!(["integration"]), json!(["investigator", "investigator"])] {
        let told = with(rule(answer("INT"), "at-least", json!(1)), &json!({"recipients": wrong}));
        outcome(told).then_refused(Invalid::OUT_OF_RANGE);
    }
}

#[test]
fn a_score_that_can_never_be_computed_is_refused() {
    let world = open_trial(10, 10);
    let outcome = |more: Value| {
        let score = with(
            json!({"code": "S", "items": ["INT", "VAL"], "method": "sum", "missing": {"kind": "complete"}}),
            &more,
        );
        world.when(trial(), &define(json!({"items": items(), "scores": [score]})))
    };
    let band = |from: i32, to: i32, label: &str| json!({"from": from, "to": to, "label": label});
    outcome(json!({"bands": [band(1, 4, "low"), band(5, 8, "high")]})).then(&["QuestionnaireDefined"]);
    for wrong in [
        json!({"items": ["INT", "OPT"]}),
        json!({"items": ["TXT"]}),
        json!({"missing": {"kind": "prorate", "missing_max": 2}}),
        json!({"missing": {"kind": "prorate", "missing_max": 0}}),
        json!({"reversed": ["NUM"]}),
        json!({"bands": [band(5, 1, "backwards")]}),
        json!({"bands": [band(9, 12, "beyond")]}),
        json!({"bands": [band(1, 4, "low"), band(4, 8, "high")]}),
    ] {
        outcome(wrong).then_refused(Invalid::OUT_OF_RANGE);
    }
    outcome(json!({"items": ["GONE"]})).then_refused(Invalid::MALFORMED);
}

fn report() -> ReportId {
    Uuid::from_u128(0x500).into()
}

#[test]
fn options_count_and_items_may_be_reversed() {
    let score = json!({"code": "S", "items": ["INT", "VAL"], "reversed": ["INT"], "method": "sum",
        "missing": {"kind": "prorate", "missing_max": 1}});
    let measure = json!({"kind": "answer", "item": "OPT"});
    let rules = json!([rule(measure, "equals", json!("YES"))]);
    let definition = json!({"items": items(), "scores": [score], "alert_rules": rules});
    let world = enrolled(&open_trial(10, 10), 1);
    let world = world.when(trial(), &define(definition)).then(&["QuestionnaireDefined"]);
    let answers = json!({"INT": 2, "VAL": "OFTEN", "OPT": "YES"});
    let submit: SubmitReport = command(json!({"subject_id": subject(1), "instrument": "X", "answers": answers}));
    let payload = world.when(report(), &submit).payload("ReportSubmitted");
    // 1 + 5 - 2, and 3.
    assert_eq!(payload["scores"][0]["value"], 7);
    assert_eq!(payload["triggered_rules"][0]["finding"], "answer OPT of X = YES");
}

#[test]
fn a_report_is_scored_by_the_version_that_was_in_force() {
    let version = |version: &str, from: &str| -> DefineQuestionnaire {
        let items = json!([{"code": "INT", "answers": {"kind": "integer", "min": 1, "max": 5}}]);
        let mut body = serde_json::to_value(define(json!({"version": version, "items": items}))).expect("JSON");
        body["occurred_at"] = json!(from);
        command(body)
    };
    let world = enrolled(&open_trial(10, 10), 1);
    let world = world.when(trial(), &version("1", "2026-01-10T00:00:00Z")).then(&["QuestionnaireDefined"]);
    let world = world.when(trial(), &version("2", "2026-01-20T00:00:00Z")).then(&["QuestionnaireDefined"]);
    let submit = |completed_at: &str| -> SubmitReport {
        command(json!({"subject_id": subject(1), "instrument": "X", "answers": {}, "completed_at": completed_at}))
    };
    for (time, expected) in [("2026-01-31T11:58:00Z", "2"), ("2026-01-31T12:00:00Z", "2")] {
        let payload = world.when(report(), &submit(time)).payload("ReportSubmitted");
        assert_eq!(payload["questionnaire_version"], expected);
    }
}

#[test]
fn only_an_integration_says_that_something_is_of_the_past() {
    let historical = json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": {}, "historical": true});
    let submit: SubmitReport = command(historical);
    let world = enrolled(&open_trial(10, 10), 1).as_role(events::Role::Integration);
    let payload = world.when(report(), &submit).payload("ReportSubmitted");
    assert_eq!(payload["historical"], true);
    world.as_role(events::Role::Investigator).when(report(), &submit).then_refused(Invalid::OUT_OF_RANGE);
    world.as_role(events::Role::Integration).when(report(), &submit).then(&["ReportSubmitted", "ReportFiled"]);
    let withdraw: WithdrawConsent = command(json!({"trial_id": trial(), "scope": "further-data", "historical": true}));
    assert_eq!(world.when(patient(1), &withdraw).payload("ConsentWithdrawn")["historical"], true);
    world.as_role(events::Role::Investigator).when(patient(1), &withdraw).then_refused(Invalid::OUT_OF_RANGE);
    world.as_role(events::Role::Integration).when(patient(1), &withdraw).then(&["ConsentWithdrawn"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Under any chain of corrections an alert is raised when the last answer meets the rule and the one before did
    /// not, or less so; and for no other reason.
    #[test]
    fn corrections_are_judged_on_what_is_true_now(chain in proptest::collection::vec(0..=3_u8, 1..8)) {
        let mut world = enrolled(&open_trial(10, 10), 1);
        let mut before: Option<u8> = None;
        for answer in chain {
            let answers = json!({"PHQ0109": answer});
            let (payload, outcome) = if before.is_some() {
                let correct: CorrectReport = command(json!({"answers": answers, "reason": "wrong"}));
                if before == Some(answer) {
                    world = world.when(report(), &correct).then_refused(Invalid::NOTHING_CHANGES);
                    continue;
                }
                let outcome = world.when(report(), &correct);
                (outcome.payload("ReportCorrected"), outcome)
            } else {
                let submit: SubmitReport =
                    command(json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": answers}));
                let outcome = world.when(report(), &submit);
                (outcome.payload("ReportSubmitted"), outcome)
            };
            let raised = payload["triggered_rules"].as_array().expect("rules").len();
            prop_assert_eq!(raised, usize::from(answer >= 1 && before.is_none_or(|before| answer > before)));
            if let Some(before) = before {
                prop_assert_eq!(&payload["previous"]["answers"]["PHQ0109"], &json!(before));
                prop_assert_eq!(&payload["changes"]["answers"]["PHQ0109"], &json!(answer));
            }
            world = outcome.then_either();
            before = Some(answer);
        }
        world.assert_snapshots_hold();
    }

    /// A date of birth that is known in part decides wherever each day that it can mean decides alike.
    #[test]
    fn a_partial_date_of_birth_decides_what_it_can(year in 2005..=2010_i32, month in 1..=12_u32, known in 0..3_usize) {
        let (born, first, last) = match known {
            0 => (format!("{year}"), (year, 1, 1), (year, 12, 31)),
            1 => (format!("{year}-{month:02}"), (year, month, 1), (year, month, 31)),
            _ => (format!("{year}-{month:02}-15"), (year, month, 15), (year, month, 15)),
        };
        // Eighteen on the 31 January 2026: born on the same day of 2008, or before.
        let expected = match (last <= (2008, 1, 31), first <= (2008, 1, 31)) {
            (true, _) => "eligible",
            (false, true) => "undetermined",
            (false, false) => "ineligible",
        };
        let register: RegisterPatient = command(json!({"birth_date": born}));
        prop_assert_eq!(outcome_for(&register, &[]), expected);
        // Where it cannot decide, what was written down does.
        let observed = if expected == "undetermined" { "eligible" } else { expected };
        prop_assert_eq!(outcome_for(&register, &[json!({"code": "AGE", "value": 18})]), observed);
    }
}

/// What the criterion "at least 18" says of a patient who was registered and observed so.
fn outcome_for(register: &RegisterPatient, observations: &[Value]) -> String {
    let world = open_trial(10, 10).when(patient(1), register).then(&["PatientRegistered"]);
    let world = observations.iter().fold(world, |world, observation| {
        world.when(patient(1), &command::<RecordObservation>(observation.clone())).then(&["ObservationRecorded"])
    });
    assessed(&world)
}

fn assessed(world: &World) -> String {
    let form = json!({"trial_id": trial(), "site_id": crate::world::site(), "form_version": "1", "language": "en"});
    let present: domain::consent::PresentConsentForm = command(form);
    let world = world.when(patient(1), &present).then(&["ConsentFormPresented", "PatientAdmitted"]);
    let world = world.when(patient(1), &crate::world::sign()).then(&["ConsentSigned"]);
    let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
    let assess = domain::enrolment::subject::RecordEligibility::default();
    world.when(subject(1), &assess).payload("EligibilityRecorded")["outcome"].as_str().expect("a word").to_owned()
}

#[test]
fn an_unknown_sex_stays_unknown() {
    let no_men: DefineEligibility = command(json!({"criteria": [{"code": "E1", "text": "Men", "category": "exclusion",
        "test": {"kind": "observation", "code": "SEX", "operator": "equals", "value": "M"}}]}));
    for (sex, expected) in [("U", "undetermined"), ("F", "eligible"), ("M", "ineligible")] {
        let world = open_trial(10, 10).when(trial(), &no_men).then(&["EligibilityDefined"]);
        // A date of birth beside it changes nothing.
        for known in [json!({"sex": sex}), json!({"sex": sex, "birth_date": "1980-05-01"})] {
            let registered = world.when(patient(1), &command::<RegisterPatient>(known.clone()));
            assert_eq!(assessed(&registered.then(&["PatientRegistered"])), expected, "{known}");
        }
    }
}
