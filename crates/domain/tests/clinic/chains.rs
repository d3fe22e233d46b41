//! Any chain of corrections, against a model that keeps what is known as plain JSON: an event has exactly what differs,
//! with what it was; what changes nothing is refused; and the record ends as the model does.

use domain::epro::report::{CorrectReport, SubmitReport};
use domain::patient::{CorrectDemographics, CorrectObservation, RecordObservation, RegisterPatient};
use domain::safety::adverse_event::{ReportAdverseEvent, UpdateAdverseEvent};
use domain::validate::Invalid;
use domain::visit::{CorrectVisit, RecordVisit};
use events::ids::{AdverseEventId, ReportId, VisitId};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use testkit::given::{Outcome, World};
use uuid::Uuid;

use crate::world::{command, enrolled, open_trial, patient, subject};

type Fields = Map<String, Value>;

fn fields(value: &Value) -> Fields {
    value.as_object().expect("fields").clone()
}

/// Of each field of `all`, perhaps, one of its values.
fn some_of(all: &Value) -> impl Strategy<Value = Fields> + use<> {
    let choices: Vec<(String, Vec<Value>)> =
        fields(all).into_iter().map(|(name, values)| (name, values.as_array().expect("values").clone())).collect();
    let picks: Vec<_> = choices.iter().map(|(_, values)| proptest::option::weighted(0.4, 0..values.len())).collect();
    picks.prop_map(move |picks| {
        let picked = choices.iter().zip(picks);
        picked.filter_map(|((name, values), pick)| Some((name.clone(), values[pick?].clone()))).collect()
    })
}

/// What differs from what is known: as it becomes, and as it was.
fn differences(known: &Fields, correction: &Fields) -> (Fields, Fields) {
    let differs = |(name, value): &(&String, &Value)| known[name.as_str()] != **value;
    let changes: Fields =
        correction.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect();
    let previous = changes.keys().map(|name| (name.clone(), known[name.as_str()].clone())).collect();
    (changes, previous)
}

fn with_reason(correction: &Fields) -> Value {
    let mut body = correction.clone();
    body.insert("reason".to_owned(), json!("misread"));
    Value::Object(body)
}

/// Carries a chain out and follows it in the model; gives what is known in the end.
fn follow(
    mut known: Fields,
    mut world: World,
    chain: Vec<Fields>,
    event_type: &str,
    correct: impl Fn(&World, Value) -> Outcome,
) -> Result<(Fields, World), TestCaseError> {
    for correction in chain {
        let (changes, previous) = differences(&known, &correction);
        let outcome = correct(&world, with_reason(&correction));
        if changes.is_empty() {
            world = outcome.then_refused(Invalid::NOTHING_CHANGES);
            continue;
        }
        let payload = outcome.payload(event_type);
        prop_assert_eq!(&payload["changes"], &Value::Object(changes.clone()));
        prop_assert_eq!(&payload["previous"], &Value::Object(previous));
        known.extend(changes);
        world = outcome.then_either();
    }
    world.assert_snapshots_hold();
    Ok((known, world))
}

fn demographics() -> Value {
    json!({
        "name": ["Kari Nordmann", "Kari Normann", null],
        "national_id": ["01028012345", null],
        "mobile": ["+4791234567", "+4791234568", null],
        "birth_date": ["1980", "1980-02", "1980-02-01", null],
        "sex": ["F", "M", "U", "INTERSEX", null],
        "time_zone": ["Europe/Oslo", "Asia/Tokyo", null]
    })
}

fn visit() -> Value {
    json!({
        "visit": ["WEEK 2", "WEEK 4", "week 4"],
        "visit_number": [2, 2.1, 4, null],
        "attended_on": ["2026-01-30", "2026-01-31", "2026-01"]
    })
}

fn adverse_event() -> Value {
    json!({
        "term": ["Headache", "Migraine"],
        "severity": ["mild", "moderate", "severe"],
        "serious": [false, true],
        "outcome": ["RECOVERED/RESOLVED", "NOT RECOVERED/NOT RESOLVED", null],
        "onset": ["2026-01-20", "2026-01", null]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn demographics_follow_their_corrections(first in some_of(&demographics()), chain in vec(some_of(&demographics()), 0..6)) {
        let mut known: Fields = fields(&demographics()).into_iter().map(|(name, _)| (name, Value::Null)).collect();
        known.extend(first.clone());
        let claims = first.get("national_id").is_some_and(Value::is_string);
        let register: RegisterPatient = command(Value::Object(first));
        let events: &[&str] = if claims { &["PatientRegistered", "NationalIdClaimed"] } else { &["PatientRegistered"] };
        let world = World::new().when(patient(1), &register).then(events);
        follow(known, world, chain, "DemographicsCorrected", |world, body| {
            world.when(patient(1), &command::<CorrectDemographics>(body))
        })?;
    }

    #[test]
    fn visits_follow_their_corrections(chain in vec(some_of(&visit()), 0..6)) {
        let known = fields(&json!({"visit": "WEEK 2", "visit_number": null, "attended_on": "2026-01-31"}));
        let id = VisitId::from(Uuid::from_u128(0x60));
        let mut body = known.clone();
        body.insert("subject_id".to_owned(), json!(subject(1)));
        let record: RecordVisit = command(Value::Object(body.clone()));
        let world = enrolled(&open_trial(10, 10), 1).when(id, &record).then(&["VisitAttended", "VisitFiled"]);
        let (known, world) = follow(known, world, chain, "VisitCorrected", |world, body| {
            world.when(id, &command::<CorrectVisit>(body))
        })?;
        // The casebook has it as it is now.
        body.extend(known.clone());
        let again = world.with_targets_unnamed();
        let other = VisitId::from(Uuid::from_u128(0x61));
        let again = again.when(other, &command::<RecordVisit>(Value::Object(body)));
        if known["attended_on"] == "2026-01" {
            again.then(&["VisitAttended", "VisitFiled"]);
        } else {
            again.then_refused("visit-already-recorded");
        }
    }

    #[test]
    fn adverse_events_follow_their_corrections(chain in vec(some_of(&adverse_event()), 0..6)) {
        let known = fields(&json!({
            "term": "Headache", "severity": "mild", "serious": false, "outcome": null, "onset": "2026-01"}));
        let id = AdverseEventId::from(Uuid::from_u128(0x70));
        let mut body = known.clone();
        body.insert("subject_id".to_owned(), json!(subject(1)));
        let report: ReportAdverseEvent = command(Value::Object(body));
        let world = enrolled(&open_trial(10, 10), 1).when(id, &report).then(&["AdverseEventReported"]);
        let raises = chain.clone();
        let (_, world) = follow(known, world, chain, "AdverseEventUpdated", |world, body| {
            world.when(id, &command::<UpdateAdverseEvent>(body))
        })?;
        // An alert for each time that it became serious.
        let serious: Vec<bool> = raises.iter().filter_map(|change| change.get("serious")?.as_bool()).collect();
        let became = serious.iter().zip(std::iter::once(&false).chain(&serious)).filter(|(now, before)| **now && !**before);
        let alerts = world.events("AdverseEventUpdated").into_iter().filter(|(_, event)| {
            let payload: Value = serde_json::from_slice(&event.payload).expect("JSON");
            payload["triggered_rules"].as_array().is_some_and(|rules| !rules.is_empty())
        });
        prop_assert_eq!(alerts.count(), became.count());
    }

    /// Of each item a correction says nothing, takes the answer away, or gives another one.
    #[test]
    fn reports_follow_their_corrections(
        chain in vec(vec(proptest::option::of(proptest::option::of(0..=3_u8)), 9), 0..6),
    ) {
        let corrected = |answers: &[Option<Option<u8>>]| -> Fields {
            let numbered = answers.iter().enumerate();
            numbered.filter_map(|(index, answer)| Some((format!("PHQ010{}", index + 1), json!((*answer)?)))).collect()
        };
        let id = ReportId::from(Uuid::from_u128(0x50));
        let mut known = fields(&json!({"PHQ0101": 1}));
        let submit: SubmitReport =
            command(json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": known.clone()}));
        let mut world = enrolled(&open_trial(10, 10), 1).when(id, &submit).then(&["ReportSubmitted", "ReportFiled"]);
        for answers in chain {
            let correction = corrected(&answers);
            let correct: CorrectReport = command(json!({"answers": correction, "reason": "misread"}));
            let mut answers = known.clone();
            answers.extend(correction);
            answers.retain(|_, answer| !answer.is_null());
            let outcome = world.when(id, &correct);
            if answers == known {
                world = outcome.then_refused(Invalid::NOTHING_CHANGES);
                continue;
            }
            let payload = outcome.payload("ReportCorrected");
            // Of each item that differs: what it is, and what it was.
            for item in (1..=9).map(|number| format!("PHQ010{number}")) {
                let (new, old) = (answers.get(&item), known.get(&item));
                let (change, previous) = (&payload["changes"]["answers"], &payload["previous"]["answers"]);
                let expected = (new != old).then(|| (new.cloned().unwrap_or_default(), old.cloned().unwrap_or_default()));
                let found = change.get(&item).map(|change| (change.clone(), previous[item.as_str()].clone()));
                prop_assert_eq!(found, expected, "{}", item);
            }
            // PHQ-9: the sum of nine, of which two may be missing.
            let sum: u64 = answers.values().filter_map(Value::as_u64).sum();
            let total = &payload["scores"][0]["value"];
            match answers.len() {
                9 => prop_assert_eq!(total, &json!(sum)),
                7 | 8 => prop_assert!((total.as_f64().expect("a score") - sum as f64 * 9.0 / answers.len() as f64).abs() < 1e-6),
                _ => prop_assert!(total.is_null()),
            }
            known = answers;
            world = outcome.then(&["ReportCorrected"]);
        }
        world.assert_snapshots_hold();
    }

    /// The latest observation is the one of the latest time, whatever was moved where.
    #[test]
    fn observations_follow_their_corrections(
        recorded in vec((0..20_u32, 0..100_u32), 1..5), moves in vec((0..5_usize, 0..20_u32, 0..100_u32), 0..5),
    ) {
        let day = |day: u32| format!("2026-01-{:02}T12:00:00Z", day + 1);
        let mut world = World::new().when(patient(1), &RegisterPatient::default()).then(&["PatientRegistered"]);
        // Day and value, in the order in which they were recorded or moved.
        let mut model: Vec<(u32, u32)> = Vec::new();
        for (on, value) in recorded {
            let observe: RecordObservation = command(json!({"code": "X", "value": value, "observed_at": day(on)}));
            world = world.when(patient(1), &observe).then(&["ObservationRecorded"]);
            model.push((on, value));
        }
        for (which, to, value) in moves {
            let (from, _) = model[which % model.len()];
            let place = model.iter().rposition(|(on, _)| *on == from).expect("it is there");
            let correct: CorrectObservation = command(json!({
                "code": "X", "observed_at": day(from), "observed_at_corrected": day(to), "value": value, "reason": "x"}));
            let outcome = world.when(patient(1), &correct);
            if model[place] == (to, value) {
                world = outcome.then_refused(Invalid::NOTHING_CHANGES);
                continue;
            }
            world = outcome.then(&["ObservationCorrected"]);
            // It was the latest of its day, and is of the one that it comes to.
            model.remove(place);
            model.push((to, value));
        }
        let latest = model.iter().enumerate().max_by_key(|(index, (on, _))| (*on, *index)).map(|(_, (_, value))| *value);
        let stands = |value: u32| {
            let correct: CorrectObservation = command(json!({"code": "X",
                "observed_at": day(model.iter().map(|(on, _)| *on).max().expect("one")), "value": value, "reason": "x"}));
            world.when(patient(1), &correct)
        };
        stands(latest.expect("one")).then_refused(Invalid::NOTHING_CHANGES);
        stands(latest.expect("one") + 1).then(&["ObservationCorrected"]);
        world.assert_snapshots_hold();
    }
}
