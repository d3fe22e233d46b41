//! Writes to a log as fast as it can and prints what was acknowledged: one of
//! the processes of the order test, which is stopped and cut off meanwhile.
//!
//! `log-writer <database url> <writers> <appends each>`; a line is
//! `<command id> <first position> <last position>`.

use std::io::Write as _;
use std::sync::Arc;

use event_store::log::{Append, AppendError, EventLog, Expected, LogError, Receipt};
use event_store::{Store, StoreOptions};
use events::ids::{PatientId, StreamKey};
use testkit::appends::{append, guard};
use uuid::Uuid;

/// Streams that all writers fight for.
const HOT_STREAMS: u128 = 16;
/// How often an append is sent whose outcome is unknown.
const TRIES_MAX: usize = 50;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, writers, appends] = arguments.as_slice() else { panic!("log-writer <url> <writers> <appends>") };
    let (writers, appends): (u128, u128) = (writers.parse().expect("a number"), appends.parse().expect("a number"));
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let store = Store::open(url, &options).await.expect("the store opens");
    let tasks = (0..writers).map(|writer| tokio::spawn(write(store.log.clone(), writer, appends)));
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a writer");
    }
}

async fn write(log: Arc<dyn EventLog>, writer: u128, appends: u128) {
    for turn in 0..appends {
        let receipt = loop {
            let stream = PatientId::from(Uuid::from_u128((writer + turn) % HOT_STREAMS + 1));
            let seen = PatientId::from(Uuid::from_u128((writer + turn + 1) % HOT_STREAMS + 1));
            let (Ok(version), Ok(guarded)) = (version(&*log, stream).await, version(&*log, seen).await) else {
                continue;
            };
            let expected = if version == 0 { Expected::NoStream } else { Expected::Exact(version) };
            let mut append = append(stream, expected, 1 + (turn % 3) as usize);
            append.guards = vec![guard(seen.stream(), guarded)];
            if let Some(receipt) = persist(&*log, append).await {
                break receipt;
            }
        };
        let (command_id, receipt) = receipt;
        let first = receipt.events.first().expect("an event").position;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{command_id} {first} {}", receipt.position).expect("somebody reads");
    }
}

/// The version of a stream, read until its end.
async fn version(log: &dyn EventLog, patient_id: PatientId) -> Result<u64, LogError> {
    let mut version = 0;
    loop {
        let events = log.read_stream(patient_id.stream(), version, 1_000).await?;
        match events.last() {
            Some(last) => version = last.version,
            None => return Ok(version),
        }
    }
}

/// Sends the same append until its outcome is known; none where it conflicts.
async fn persist(log: &dyn EventLog, append: Append) -> Option<(Uuid, Receipt)> {
    for _ in 0..TRIES_MAX {
        match log.append(append.clone()).await {
            Ok(appended) => return Some((append.command_id, appended.into_receipt())),
            Err(AppendError::Conflict { .. }) => return None,
            Err(AppendError::Log(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the log stays away");
}
