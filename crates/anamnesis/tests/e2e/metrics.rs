//! What Prometheus is told: by its conventions, all that is listed, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use service::metrics::{Kind, METRICS};
use testkit::eventually;

use crate::clinic::{Clinic, Plan, fresh};
use crate::system::{Process, System, http};

const PATIENCE: Duration = Duration::from_secs(60);

/// Told where messages are sent.
pub const OF_MESSAGES: [&str; 5] = [
    "anamnesis_breaker_changes_total",
    "anamnesis_message_attempts_total",
    "anamnesis_message_delay_seconds",
    "anamnesis_message_sending_duration_seconds",
    "anamnesis_outgoing_tries_total",
];
/// Series that only what went wrong brings about.
const OF_FAULTS: [&str; 7] = [
    "anamnesis_feed_foreign_messages_total",
    "anamnesis_http_connections_given_up_total",
    "anamnesis_http_limited_total",
    "anamnesis_http_shed_total",
    "anamnesis_log_rewinds_total",
    "anamnesis_relay_failures_total",
    "anamnesis_relay_referenced_total",
];

/// Names with their labels, of a scrape.
fn series(scrape: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        let histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        let is_histogram = |name: &&str| METRICS.iter().any(|metric| metric.name == *name);
        let name = histogram.into_iter().find(is_histogram).unwrap_or(name);
        let labels = found.entry(name.to_owned()).or_default();
        if let Some(inside) = rest.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
            let names =
                inside.0.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            labels.extend(names.filter(|name| name != "le"));
        }
    }
    found
}

pub fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new(xtask::install::promtool(&servers()).expect("promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn servers() -> PathBuf {
    root().join("target/servers")
}

#[tokio::test]
async fn every_series_is_listed_and_every_listed_one_is_told() {
    let system = System::on_postgres().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (_, subject) = clinic.randomised_subject("ARMACTIVE").await;
    clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 3]).await.ok();
    system.api.post(&format!("/v1/patients/{}/sign-consent", fresh()), json!({})).await;
    system.api.by_grpc().post(&format!("/v1/patients/{}/register-patient", fresh()), json!({})).await.ok();
    crate::readings::sent_by_somebody(&clinic).await;
    let process = &system.processes[0];
    let one = async |series: &str| process.metric(series).await.is_some_and(|value| value >= 1.0);
    // A timer fires only where somebody does not answer in time.
    let timer = "anamnesis_process_manager_timer_overdue_seconds";
    // Nor does a server ask anybody outside here: see `notifications`.
    let elsewhere = [&[timer], &OF_MESSAGES as &[&str]].concat();
    let is_told = |name: &str| !OF_FAULTS.contains(&name) && !elsewhere.contains(&name);
    let listed = || METRICS.iter().filter(|metric| is_told(metric.name));
    let all = async || {
        let told = series(&process.metrics().await.unwrap_or_default());
        listed().all(|metric| told.contains_key(metric.name))
            && one("anamnesis_alerts_open{severity=\"critical\",status=\"raised\"}").await
            && one("anamnesis_relay_leading").await
            && one("anamnesis_nats_connected").await
    };
    let missing = async || {
        let told = series(&process.metrics().await.unwrap_or_default());
        listed().map(|metric| metric.name).filter(|name| !told.contains_key(*name)).collect::<Vec<_>>()
    };
    let waited = tokio::time::timeout(PATIENCE, eventually("every series", PATIENCE * 2, all)).await;
    let scrape = process.metrics().await.expect("an answer");
    assert!(waited.is_ok(), "missing: {:?}\n{scrape}", missing().await);
    for (name, labels) in series(&scrape) {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is in no list"));
        assert_eq!(labels, metric.labels.iter().map(|label| (*label).to_owned()).collect(), "{name}");
        assert!(scrape.contains(&format!("# TYPE {name} {}\n", metric.kind.name())), "{name} is of another kind");
        assert!(scrape.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    promtool(&["check", "metrics"], &scrape);
    // Not for the public: the port of the interface does not have it.
    assert_eq!(system.api.get_raw("/metrics").await.status(), 404);
}

#[test]
fn names_follow_the_conventions_and_are_those_that_are_measured() {
    for metric in METRICS {
        let is_counter = metric.kind == Kind::Counter;
        assert_eq!(is_counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.name.starts_with("anamnesis_") || metric.name.starts_with("process_"), "{}", metric.name);
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{}", metric.name);
    }
    let mut measured = BTreeSet::new();
    let crates = std::fs::read_dir(root().join("crates")).expect("the crates").flatten();
    for entry in crates.filter(|entry| entry.path().join("src").is_dir()) {
        let files = glob(&entry.path().join("src"));
        for file in files.iter().filter(|file| !file.ends_with("metrics/list.rs")) {
            let text = std::fs::read_to_string(file).expect("a source file");
            let words = text.split('"').skip(1).step_by(2);
            let is_name = |word: &&str| {
                word.starts_with("anamnesis_") && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            measured.extend(words.filter(is_name).map(str::to_owned));
        }
    }
    let listed: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    for metric in METRICS.iter().filter(|metric| metric.name.starts_with("anamnesis_")) {
        assert!(measured.contains(metric.name), "{} is listed and never measured", metric.name);
    }
    let metrics = measured.iter().filter(|name| name.matches('_').count() > 1);
    assert_eq!(metrics.filter(|name| !listed.contains(*name)).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Every Rust file below a folder.
fn glob(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(glob(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn alert_rules_are_right_and_speak_of_what_there_is() {
    let file = root().join("deploy/prometheus/alerts.yml");
    promtool(&["check", "rules", "--lint-fatal", &file.to_string_lossy()], "");
    let tests = file.with_file_name("alerts.test.yml");
    promtool(&["test", "rules", &tests.to_string_lossy()], "");
    let rules = std::fs::read_to_string(&file).expect("the rules");
    let words = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    for word in words
        .filter(|word| word.starts_with("anamnesis_") || word.starts_with("process_") && *word != "process_manager")
    {
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
        assert!(METRICS.iter().any(|metric| metric.name == name || metric.name == word), "{word} is not measured");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relays_lag_is_true_while_nats_is_away() {
    let mut system = System::on_postgres().await;
    let mut nats = system.nats.take().expect("a nats-server");
    let register = async |system: &System| {
        system.api.post(&format!("/v1/patients/{}/register-patient", fresh()), json!({})).await.ok()
    };
    register(&system).await;
    let published = "anamnesis_relay_published_total";
    let first = async || system.processes[0].metric(published).await >= Some(1.0);
    eventually("the first is published", PATIENCE, first).await;
    is_behind(&system.processes[0], 0.0).await;
    nats.kill();
    for _ in 0..7 {
        register(&system).await;
    }
    is_behind(&system.processes[0], 7.0).await;
    let relay = async || {
        let ready = http().get(format!("{}/readyz", system.processes[0].url)).send().await.expect("an answer");
        let ready: serde_json::Value = ready.json().await.expect("JSON");
        let relay =
            ready["checks"].as_array().and_then(|checks| checks.iter().find(|check| check["name"] == "relay").cloned());
        relay.is_some_and(|relay| {
            relay["reason"].as_str().is_some_and(|reason| reason.contains("NATS is not connected"))
        })
    };
    eventually("readiness tells", PATIENCE, relay).await;
    assert!(system.processes[0].told().contains("NATS is away"), "{}", system.processes[0].told());

    // A process that begins without NATS tells the same from the start.
    system.processes[0].kill();
    system.processes[0].restart().await;
    // What it saved last may be a moment older than what was published.
    let told = async || {
        let (events, seconds) =
            (system.processes[0].metric("anamnesis_relay_lag_events").await, "anamnesis_relay_lag_seconds");
        events >= Some(7.0) && system.processes[0].metric(seconds).await > Some(0.0)
    };
    eventually("the lag is told from the start", PATIENCE, told).await;
    nats.resume().expect("nats-server starts again");
    is_behind(&system.processes[0], 0.0).await;
}

/// Waits until the relay tells that it is so many events behind.
async fn is_behind(process: &Process, events: f64) {
    let told = async || process.metric("anamnesis_relay_lag_events").await == Some(events);
    eventually(&format!("the relay is {events} behind"), PATIENCE, told).await;
}
