//! `examples/subscriber.rs`, as somebody would run it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use event_store::log::{EventLog, Expected, Write};
use events::ids::{StreamKey, TrialId};
use tempfile::TempDir;
use testkit::appends::{event, of_writes, patient};
use testkit::eventually;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;
use uuid::Uuid;

use crate::losing::{Log, in_epoch};
use crate::support::{PATIENCE, client_of, start_relay, wait_for_everything, wait_for_failure};

/// The example, and what it prints.
struct Subscriber {
    child: Child,
    lines: UnboundedReceiver<String>,
    heard: Vec<String>,
}

impl Subscriber {
    fn start(url: &str, trial: TrialId, checkpoint: &Path) -> Self {
        let tests = std::env::current_exe().expect("the test's own path");
        let built = tests.parent().and_then(Path::parent).expect("the build's folder");
        let mut command = Command::new(built.join("examples/subscriber"));
        command.args([url, &trial.to_string()]).arg(checkpoint).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the example is built with the tests");
        let output = BufReader::new(child.stderr.take().expect("its output"));
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, heard: Vec::new() }
    }

    /// Waits until it has printed so many lines; gives the positions that they begin with, or the line.
    async fn heard(&mut self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        while self.heard.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = tokio::time::timeout(left, self.lines.recv()).await;
            let Ok(Some(line)) = line else { panic!("only {:#?}: {line:?}", self.heard) };
            self.heard.push(line.split("  anamnesis.").next().unwrap_or(&line).trim().to_owned());
        }
        std::mem::take(&mut self.heard)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Appends events of the trial, one each to new patients.
async fn fill(log: &dyn EventLog, trial: TrialId, count: usize) {
    for _ in 0..count {
        let patient_id = patient();
        let events = vec![event(patient_id, Some(trial))];
        let write = Write { stream: patient_id.stream(), expected: Expected::NoStream, events };
        log.append(of_writes(vec![write])).await.expect("an append");
    }
}

/// Waits until the checkpoint is at the position.
async fn saved(checkpoint: &Path, position: u64) {
    let text = format!("\"position\":{position},");
    let saved = async || std::fs::read_to_string(checkpoint).is_ok_and(|file| file.contains(&text));
    eventually("the checkpoint is saved", PATIENCE, saved).await;
}

fn numbers(from: u64, to: u64) -> Vec<String> {
    (from..=to).map(|position| position.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_goes_on_where_it_stopped_and_forgets_what_the_log_lost() {
    let (nats, folder, trial) =
        (testkit::nats().await, TempDir::new().expect("a folder"), TrialId::from(Uuid::now_v7()));
    let (client, checkpoint, log) = (client_of(&nats).await, folder.path().join("checkpoint.json"), Log::new());
    let store = log.open().await;
    fill(&*store.log, trial, 4).await;
    store.close().await;
    log.keep();
    let store = log.open().await;
    let relay = start_relay(&store, &client);
    fill(&*store.log, trial, 2).await;
    wait_for_everything(&store, &client).await;
    let mut subscriber = Subscriber::start(&nats.url(), trial, &checkpoint);
    assert_eq!(subscriber.heard(6).await, numbers(1, 6));
    saved(&checkpoint, 6).await;
    drop(subscriber);
    fill(&*store.log, trial, 1).await;
    let mut subscriber = Subscriber::start(&nats.url(), trial, &checkpoint);
    assert_eq!(subscriber.heard(1).await, ["7"], "behind its checkpoint");
    saved(&checkpoint, 7).await;
    drop((subscriber, relay));
    store.close().await;
    log.restore();
    let lost = log.open().await;
    fill(&*lost.log, trial, 6).await;
    let relay = start_relay(&lost, &client);
    wait_for_failure(&relay, "they agree up to position 4").await;
    drop(relay);
    let store = in_epoch(&lost, 2).await;
    let _relay = start_relay(&store, &client);
    wait_for_everything(&store, &client).await;
    let mut subscriber = Subscriber::start(&nats.url(), trial, &checkpoint);
    let expected = [vec!["the log lost events: forget what came after position 4".to_owned()], numbers(5, 10)].concat();
    assert_eq!(subscriber.heard(7).await, expected);
}
