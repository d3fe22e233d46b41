//! The direction of dependencies, and what the pure crates do not know.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::tidy::{root, rust_files};

/// What each crate may depend on, as in ARCHITECTURE.md.
const ALLOWED: [(&str, &[&str]); 29] = [
    ("schemas-derive", &[]),
    ("schemas", &["schemas-derive"]),
    ("methods", &[]),
    ("events", &["schemas"]),
    ("decider", &["events"]),
    ("authority", &["events", "decider"]),
    ("domain", &["events", "decider", "authority", "methods", "schemas"]),
    ("view-schema", &[]),
    ("views", &["events", "authority", "view-schema", "schemas"]),
    ("sealing", &[]),
    ("event-store", &["events", "decider", "sealing", "view-schema"]),
    ("event-bus", &["events", "event-store", "schemas"]),
    ("service", &["events", "decider", "authority", "sealing", "event-store", "calls"]),
    ("command-api", &["domain", "events", "decider", "authority", "event-store", "service"]),
    ("projector", &["events", "views", "event-store", "event-bus", "service"]),
    ("query-api", &["events", "authority", "view-schema", "views", "event-store", "service", "schemas"]),
    ("proto", &["events"]),
    ("grpc-api", &["proto", "domain", "events", "service"]),
    ("saga", &["domain", "events", "decider", "event-store", "event-bus", "service"]),
    ("outbound", &["domain", "events", "decider", "event-store", "service", "views", "calls"]),
    ("readings", &["authority", "domain", "events", "methods", "event-store", "service", "command-api"]),
    ("history-checker", &[]),
    ("calls", &[]),
    ("client", &["calls", "domain", "decider", "events"]),
    ("sdtm", &["client", "domain", "decider", "events"]),
    ("simulation", &["client", "domain", "decider", "events"]),
    (
        "anamnesis",
        &[
            "decider",
            "domain",
            "events",
            "sealing",
            "event-store",
            "event-bus",
            "service",
            "command-api",
            "grpc-api",
            "outbound",
            "projector",
            "query-api",
            "readings",
            "saga",
            "history-checker",
            "calls",
            "client",
            "sdtm",
            "simulation",
            "views",
        ],
    ),
    (
        "codegen",
        &["authority", "domain", "events", "event-store", "event-bus", "view-schema", "views", "query-api", "schemas"],
    ),
    ("xtask", &[]),
];

#[test]
fn dependencies_point_where_the_architecture_says() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo's metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        // Tests may use anything; a `kind` of null is an ordinary dependency.
        let ordinary = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        let names = ordinary.filter_map(|dependency| dependency["name"].as_str());
        found.insert(name, names.filter(|name| ours.contains(name)).collect());
    }
    let tools = ["testkit", "xtask", "bench"];
    for name in found.keys().filter(|name| !tools.contains(name)) {
        assert!(ALLOWED.iter().any(|(known, _)| known == name), "{name} has no place in the architecture");
    }
    for (name, allowed) in ALLOWED {
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let surplus: Vec<_> = found[name].difference(&allowed).collect();
        assert!(surplus.is_empty(), "{name} must not depend on {surplus:?}");
    }
}

#[test]
fn the_pure_crates_know_no_clock_no_randomness_and_no_io() {
    let banned = [
        "Utc::now",
        "SystemTime",
        "Instant::now",
        "new_v4",
        "now_v7",
        "rand::",
        "tokio",
        "sqlx",
        "async fn",
        "std::fs",
        "std::net",
    ];
    for folder in [
        "crates/methods/src",
        "crates/events/src",
        "crates/decider/src",
        "crates/domain/src",
        "crates/view-schema/src",
        "crates/views/src",
        "crates/history-checker/src",
    ] {
        for file in rust_files(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            for word in banned {
                assert!(!text.contains(word), "{} mentions {word}", file.display());
            }
        }
    }
}
