//! The operations about single people that no view answers.

use domain::enrolment::eligibility_check::EligibilityCheck;
use query_api::answers::{FoundPatient, PatientIdentity, SubjectAllocation};
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
