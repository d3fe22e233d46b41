//! What `proto/` says, as Rust, and as the descriptors by which servers tell of themselves. No protoc is needed.

use std::path::{Path, PathBuf};

use prost::Message as _;

/// Messages that are read from the JSON that the REST interface answers.
const READ_FROM_JSON: [&str; 17] = [
    "Actor",
    "ArmFigures",
    "CheckEligibilityResponse",
    "CommandAnswer",
    "CriterionCheck",
    "Event",
    "Observation",
    "Patient",
    "RecordedEvent",
    "Report",
    "Score",
    "Site",
    "SiteFigures",
    "Standing",
    "StreamId",
    "Subject",
    "TrialProgress",
];
/// Times, which JSON tells as text (RFC 3339).
const TIMES: [&str; 13] = [
    "Event.occurred_at",
    "Event.recorded_at",
    "Observation.observed_at",
    "Patient.registered_at",
    "Report.completed_at",
    "Report.recorded_at",
    "Report.started_at",
    "Subject.ended_at",
    "Subject.enrolled_at",
    "Subject.randomised_at",
    "Subject.screened_at",
    "Subject.unblinded_at",
    "TrialProgress.registered_at",
];
/// Words, which JSON tells in kebab-case.
const WORDS: [(&str, &str); 9] = [
    ("CheckEligibilityResponse.outcome", "EligibilityOutcome"),
    ("CriterionCheck.category", "CriterionCategory"),
    ("CriterionCheck.result", "CriterionResult"),
    ("Site.status", "SiteStatus"),
    ("Subject.eligibility", "EligibilityOutcome"),
    ("Subject.status", "SubjectStatus"),
    ("TrialProgress.blinding", "Blinding"),
    ("TrialProgress.enrolment_mode", "EnrolmentMode"),
    ("TrialProgress.status", "TrialStatus"),
];
/// Fields that JSON names otherwise, or tells in another form.
const OTHERWISE: [(&str, &str); 10] = [
    ("Event.changes_json", "rename = \"changes\", deserialize_with = \"crate::json::raw\""),
    ("Event.event_type", "rename = \"type\""),
    ("Event.payload_json", "rename = \"payload\", deserialize_with = \"crate::json::raw\""),
    ("Patient.earlier_observations", "deserialize_with = \"crate::json::lists\""),
    ("Patient.standing", "flatten"),
    ("Report.corrections", "deserialize_with = \"crate::json::count\""),
    ("Report.standing", "flatten"),
    ("Site.standing", "flatten"),
    ("Subject.standing", "flatten"),
    ("TrialProgress.standing", "flatten"),
];

/// Why there is no Rust of it.
#[derive(Debug, thiserror::Error)]
pub enum NotCompiled {
    /// The files cannot be read as what they should be.
    #[error("proto/ cannot be compiled")]
    Proto(#[from] protox::Error),
    /// There is no folder to write to.
    #[error("no Rust could be written")]
    Folder(#[from] std::io::Error),
}

/// The generated files.
///
/// # Errors
/// [`NotCompiled`].
pub fn files(root: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, NotCompiled> {
    let folder = root.join("proto");
    let mut named: Vec<PathBuf> = std::fs::read_dir(folder.join("anamnesis/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    named.sort();
    let descriptors = protox::compile(&named, [&folder])?;
    let out = tempfile::tempdir()?;
    let mut config = tonic_prost_build::configure()
        .out_dir(out.path())
        .build_transport(false)
        .boxed("anamnesis.v1.SubscribeResponse.message.event")
        .btree_map(".");
    for message in READ_FROM_JSON {
        config =
            config.type_attribute(format!("anamnesis.v1.{message}"), "#[derive(serde::Deserialize)] #[serde(default)]");
    }
    let otherwise = OTHERWISE.map(|(field, how)| (field, how.to_owned()));
    let times = TIMES.map(|field| (field, "deserialize_with = \"crate::json::time\"".to_owned()));
    let words = WORDS.map(|(field, name)| (field, format!("deserialize_with = \"crate::json::word::<{name}, _>\"")));
    for (field, how) in otherwise.into_iter().chain(times).chain(words) {
        config = config.field_attribute(format!("anamnesis.v1.{field}"), format!("#[serde({how})]"));
    }
    config.compile_fds(descriptors.clone())?;
    let text = std::fs::read(out.path().join("anamnesis.v1.rs"))?;
    Ok(vec![
        (PathBuf::from("crates/proto/src/generated.rs"), text),
        (PathBuf::from("crates/proto/src/descriptors.bin"), descriptors.encode_to_vec()),
    ])
}
