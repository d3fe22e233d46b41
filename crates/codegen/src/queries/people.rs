//! The operations about single people that no view answers.

use domain::enrolment::eligibility_check::EligibilityCheck;
use events::readings::kind::ReadingKind;
use query_api::answers::{FoundPatient, PatientIdentity, ReadingBuckets, ReadingsPage, SubjectAllocation};
use schemars::generate::SchemaGenerator;
use serde_json::{Value, json};

use super::{Operation, Source};
use crate::parameters::{freshness, id, query};
use crate::responses::problems;

/// Whether a patient is eligible.
pub fn eligibility_of(generator: &mut SchemaGenerator) -> Value {
    let check = Operation {
        id: "checkEligibility".to_owned(),
        summary: "Tells whether a patient is eligible for a trial".to_owned(),
        description:
            "Whether the criteria that are in force are met on what is known now, with the result of each. Nothing \
                      is recorded; `recordEligibility` does that. Nothing lags behind the log."
                .to_owned(),
        tag: "patients",
        answer: generator.subschema_for::<EligibilityCheck>().to_value(),
        source: Source::Log,
    };
    let mut trial = query("trial_id", "For which trial", json!({"type": "string", "format": "uuid"}));
    trial["required"] = true.into();
    let mut operation = check.get([vec![id(), trial], freshness()].concat());
    if let Some(responses) = operation["get"]["responses"].as_object_mut() {
        responses.extend(problems(&["422"]));
    }
    operation
}

/// Who a patient is.
pub fn identity_of(generator: &mut SchemaGenerator) -> Value {
    let identity = Operation {
        id: "getPatientIdentity".to_owned(),
        summary: "Tells who a patient is".to_owned(),
        description:
            "Name, numbers and birth date as they are, to roles that may see them (`not-unmasked` otherwise). Who \
                      asked, when and what for is an event before it is answered: `listDisclosures`."
                .to_owned(),
        tag: "patients",
        answer: generator.subschema_for::<PatientIdentity>().to_value(),
        source: Source::Log,
    };
    identity.get(vec![id(), purpose(true)])
}

/// Which treatment a subject was allocated to.
pub fn allocation_of(generator: &mut SchemaGenerator) -> Value {
    let allocation = Operation {
        id: "getSubjectAllocation".to_owned(),
        summary: "Tells who broke the blind what a subject was allocated to".to_owned(),
        description: "To the account that sent `unblindSubject` for this subject within the last hour (`not-unblinded` \
                      otherwise) and signed in within the last 15 minutes (401 `sign-in-again`). That it was told is an \
                      event before it is answered: `listDisclosures`."
            .to_owned(),
        tag: "subjects",
        answer: generator.subschema_for::<SubjectAllocation>().to_value(),
        source: Source::Log,
    };
    allocation.get(vec![id()])
}

/// Who bears a national id.
pub fn found_by_national_id(generator: &mut SchemaGenerator) -> Value {
    let found = Operation {
        id: "findPatientByNationalId".to_owned(),
        summary: "Finds a patient by national id".to_owned(),
        description: "The id of who was registered with this national id, wherever that was, to roles that may see who \
                      people are (`not-unmasked` otherwise): so that a further site can admit them. That they were found \
                      is an event before it is answered: `listDisclosures`."
            .to_owned(),
        tag: "patients",
        answer: generator.subschema_for::<FoundPatient>().to_value(),
        source: Source::Log,
    };
    let number = json!({"name": "Anamnesis-National-Id", "in": "header", "required": true,
        "description": "The national id; blanks and dashes do not count. Not in the address, which logs keep.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 500, "pattern": "^[ -~]*[0-9A-Za-z][ -~]*$",
            "examples": ["09034812345"]}});
    found.get(vec![number, purpose(true)])
}

/// Asks for personal data as they are.
pub fn unmasked() -> Value {
    let truth = json!({"type": "boolean", "default": false});
    query(
        "unmasked",
        "Whether personal data are shown as they are: for a stated purpose, to roles that may see them",
        truth,
    )
}

/// Says what for.
pub fn purpose(required: bool) -> Value {
    json!({"name": "Anamnesis-Purpose", "in": "header", "required": required,
        "description": "What personal data are needed for; kept with who asked and when.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 500, "pattern": "^[ -~]*[!-~][ -~]*$",
            "examples": ["Call the participant about the visit of tomorrow"]}})
}

/// What a patient's wearables measured.
pub fn readings_of(generator: &mut SchemaGenerator) -> Value {
    let readings = Operation {
        id: "listPatientReadings".to_owned(),
        summary: "Lists readings of a patient".to_owned(),
        description: "Readings of one kind, in the order of their times.".to_owned(),
        tag: "readings",
        answer: generator.subschema_for::<ReadingsPage>().to_value(),
        source: Source::Log,
    };
    let text = json!({"type": "string", "pattern": "^[^\\u0000]*$"});
    let own = vec![
        query(
            "limit",
            "How many at most",
            json!({"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000}),
        ),
        query("after", "Begins behind an earlier page: its `next`", text),
    ];
    readings.get([of_readings(), own, freshness()].concat())
}

/// What these measurements come to.
pub fn buckets_of(generator: &mut SchemaGenerator) -> Value {
    let buckets = Operation {
        id: "sumPatientReadingsUp".to_owned(),
        summary: "Sums readings of a patient up".to_owned(),
        description: "What readings of one kind come to in spans of so many seconds each: for plots.".to_owned(),
        tag: "readings",
        answer: generator.subschema_for::<ReadingBuckets>().to_value(),
        source: Source::Log,
    };
    let seconds = json!({"type": "integer", "minimum": 1, "maximum": 31_622_400});
    let seconds = required(query("seconds", "How long each span is, counted from 1970 in UTC", seconds));
    buckets.get([of_readings(), vec![seconds], freshness()].concat())
}

fn required(mut parameter: Value) -> Value {
    parameter["required"] = true.into();
    parameter
}

/// Which readings are asked for.
fn of_readings() -> Vec<Value> {
    let uuid = || json!({"type": "string", "format": "uuid"});
    let time = || json!({"type": "string", "format": "date-time"});
    let kinds = json!({"type": "string", "enum": ReadingKind::ALL.map(ReadingKind::name)});
    vec![
        id(),
        required(query("trial_id", "In which trial", uuid())),
        required(query("kind", "What was measured", kinds)),
        query("device_id", "Only by this device", uuid()),
        query("from", "From this time on", time()),
        query("until", "Before this time; now where it is not said", time()),
    ]
}
