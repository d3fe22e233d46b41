//! What a report costs the processor, by itself: `cargo bench -p domain`.

use decider::{Command, Context, Facts};
use divan::{Bencher, black_box};
use domain::epro::report::SubmitReport;
use events::epro::report::ReportEvent;
use events::ids::ReportId;
use events::set::EventSet;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::given::{World, context};
use uuid::Uuid;
use world::{command, enrolled, open_trial, subject};

#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../tests/clinic/world.rs"]
mod world;

fn main() {
    divan::main();
}

/// A report, and a world in which its subject takes part.
fn given() -> (World, ReportId, SubmitReport) {
    let answers: Value = (1..=9).map(|item| (format!("PHQ010{item}"), json!(1))).collect();
    let report = command(json!({"subject_id": subject(1), "instrument": "PHQ-9", "answers": answers}));
    (enrolled(&open_trial(10, 10), 1), ReportId::from(Uuid::from_u128(0x30)), report)
}

/// Everything that the decision looks at, folded from its events.
#[divan::bench]
fn fold(bencher: Bencher<'_, '_>) {
    let (world, id, report) = given();
    bencher.bench(|| world.facts(id, black_box(&report)));
}

#[divan::bench]
fn decide(bencher: Bencher<'_, '_>) {
    let (world, id, report) = given();
    let (context, facts): (Context, Facts) = (context(), world.facts(id, &report));
    bencher.bench(|| report.decide(id, black_box(&context), black_box(&facts)));
}

/// The event that is decided on.
fn submitted() -> ReportEvent {
    let (world, id, report) = given();
    let payload = world.when(id, &report).payload("ReportSubmitted").to_string();
    ReportEvent::decode("ReportSubmitted", 1, payload.as_bytes()).expect("an event")
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let event = submitted();
    bencher.bench(|| black_box(&event).encode());
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let payload = submitted().encode();
    bencher.bench(|| ReportEvent::decode("ReportSubmitted", 1, black_box(&payload)));
}

/// The fingerprint by which a repeated command is known.
#[divan::bench]
fn hash(bencher: Bencher<'_, '_>) {
    let (_, _, report) = given();
    bencher.bench(|| Sha256::digest(serde_json::to_vec(black_box(&report)).expect("JSON")));
}
