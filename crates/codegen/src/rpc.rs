//! What `proto/` says, as Rust, and as the descriptors by which servers tell of themselves. No protoc is needed.

use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FieldDescriptorProto;
use prost_types::field_descriptor_proto::Type;

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
/// Fields that JSON names otherwise, or tells in another form.
const OTHERWISE: [(&str, &str); 5] = [
    ("Event.changes_json", "rename = \"changes\", deserialize_with = \"crate::json::raw\""),
    ("Event.event_type", "rename = \"type\""),
    ("Event.payload_json", "rename = \"payload\", deserialize_with = \"crate::json::raw\""),
    ("Patient.earlier_observations", "deserialize_with = \"crate::json::lists\""),
    ("Report.corrections", "deserialize_with = \"crate::json::count\""),
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

/// How JSON tells what is of this type: times as text (RFC 3339), words in kebab-case, where a document stands beside what it
/// is about.
fn read_from_json(field: &FieldDescriptorProto) -> Option<String> {
    let name = field.type_name().rsplit('.').next()?;
    match field.r#type() {
        Type::Enum => Some(format!("deserialize_with = \"crate::json::word::<{name}, _>\"")),
        Type::Message if name == "Timestamp" => Some("deserialize_with = \"crate::json::time\"".to_owned()),
        Type::Message if name == "Standing" => Some("flatten".to_owned()),
        _ => None,
    }
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
    for (field, how) in OTHERWISE {
        config = config.field_attribute(format!("anamnesis.v1.{field}"), format!("#[serde({how})]"));
    }
    let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
    for message in messages.filter(|message| READ_FROM_JSON.contains(&message.name())) {
        for field in &message.field {
            if let Some(how) = read_from_json(field) {
                let path = format!("anamnesis.v1.{}.{}", message.name(), field.name());
                config = config.field_attribute(path, format!("#[serde({how})]"));
            }
        }
    }
    config.compile_fds(descriptors.clone())?;
    let text = std::fs::read(out.path().join("anamnesis.v1.rs"))?;
    Ok(vec![
        (PathBuf::from("crates/proto/src/generated.rs"), text),
        (PathBuf::from("crates/proto/src/descriptors.bin"), descriptors.encode_to_vec()),
    ])
}
