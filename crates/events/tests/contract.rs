//! The events' contract on disk: whatever was ever written must still be read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use events::event_set;
use events::registry::contracts;
use events::set::{DecodeError, EventSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/events/golden")
}

#[test]
fn every_golden_file_is_read_and_says_the_same() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(golden()).expect("the golden files").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let (event_type, version) =
            name.strip_suffix(".json").and_then(|name| name.split_once(".v")).expect("<EventType>.v<version>.json");
        let version: u16 = version.parse().expect("a version");
        let contract = contracts().find(|contract| contract.event_type == event_type);
        let contract = contract.unwrap_or_else(|| panic!("{event_type} is gone: what was written must be read"));
        let bytes = std::fs::read(entry.path()).expect("a file");
        let read = (contract.rewrite)(version, &bytes).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        if version == contract.schema_version {
            let written: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(without_nulls(read), without_nulls(written), "{name}");
        }
        found.insert((event_type.to_owned(), version));
    }
    for contract in contracts() {
        let current = (contract.event_type.to_owned(), contract.schema_version);
        assert!(found.contains(&current), "no golden file for {current:?}: run `cargo xtask codegen`");
    }
}

/// A field that is absent and one that is null say the same.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        value => value,
    }
}

#[test]
fn event_types_are_unique() {
    let mut seen = BTreeSet::new();
    for contract in contracts() {
        assert!(seen.insert(contract.event_type), "{} is declared twice", contract.event_type);
    }
}

/// An event that was split from one name into two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
struct Renamed {
    first: String,
    last: String,
    at: DateTime<Utc>,
}

fn lift(from: u16, mut payload: Value) -> Value {
    match from {
        1 => {
            let name = payload["name"].as_str().unwrap_or_default().to_owned();
            let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
            json!({"first": first, "last": last, "time": payload["time"]})
        }
        _ => {
            payload["at"] = payload["time"].take();
            payload
        }
    }
}

event_set! {
    /// A set whose event has come to its third version.
    enum Evolved in Patient {
        Renamed = 3, upcast lift;
    }
}

#[test]
fn old_payloads_are_lifted_step_by_step() {
    let time = "2026-01-31T12:00:00Z";
    let payloads = [
        (1, json!({"name": "Ada Lovelace", "time": time})),
        (2, json!({"first": "Ada", "last": "Lovelace", "time": time})),
        (3, json!({"first": "Ada", "last": "Lovelace", "at": time})),
    ];
    for (version, payload) in payloads {
        let bytes = serde_json::to_vec(&payload).expect("JSON");
        let Evolved::Renamed(read) = Evolved::decode("Renamed", version, &bytes).expect("a payload");
        assert_eq!((read.first.as_str(), read.last.as_str()), ("Ada", "Lovelace"), "version {version}");
    }
    let newer = Evolved::decode("Renamed", 4, b"{}");
    assert!(matches!(newer, Err(DecodeError::NewerVersion { found: 4, known: 3, .. })), "{newer:?}");
    assert!(matches!(Evolved::decode("Other", 1, b"{}"), Err(DecodeError::UnknownType { .. })));
}
