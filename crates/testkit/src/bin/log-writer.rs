//! Writes to a log as fast as it can and records what it was told: one of the
//! processes of the order test, which is stopped and cut off meanwhile.
//!
//! `log-writer <database url> <writers> <appends each> <record>`

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use event_store::log::{EventLog, Expected, LogError, Write};
use event_store::{Store, StoreOptions};
use events::ids::{PatientId, StreamKey};
use testkit::appends::{event, guard, of_writes};
use testkit::recorder::Recorder;
use uuid::Uuid;

/// Streams that all writers fight for; a quarter of the appends goes there.
const HOT_STREAMS: u128 = 16;
/// Streams that writers seldom meet on.
const STREAMS: u128 = 2_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, writers, appends, record] = arguments.as_slice() else {
        panic!("log-writer <url> <writers> <appends> <record>")
    };
    let (writers, appends): (u128, u128) = (writers.parse().expect("a number"), appends.parse().expect("a number"));
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let store = Store::open(url, &options).await.expect("the store opens");
    let process =
        Writers { log: store.log.clone(), recorder: Recorder::create(Path::new(record)), versions: Arc::default() };
    let tasks = (0..writers).map(|writer| tokio::spawn(process.clone().write(writer, appends)));
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a writer");
    }
    process.recorder.flush();
}

#[derive(Clone)]
struct Writers {
    log: Arc<dyn EventLog>,
    recorder: Recorder,
    // Where streams stood when this process last looked.
    versions: Arc<Mutex<HashMap<PatientId, u64>>>,
}

impl Writers {
    async fn write(self, writer: u128, appends: u128) {
        for turn in 0..appends {
            while !self.append(writer, turn).await {}
        }
    }

    /// One append to one or two streams, with a guard on a third; whether it was taken.
    async fn append(&self, writer: u128, turn: u128) -> bool {
        let number = if turn.is_multiple_of(4) {
            (writer + turn / 4) % HOT_STREAMS
        } else {
            // Any spread will do, as long as it is the same in every run.
            HOT_STREAMS + (writer * 7_919 + turn * 104_729) % STREAMS
        };
        let stream = |number| PatientId::from(Uuid::from_u128(number + 1));
        let (first, second, seen) = (stream(number), stream(number + 1), stream((number + 2) % HOT_STREAMS));
        let mut writes = vec![first];
        if turn % 5 == 1 && second != seen {
            writes.push(second);
        }
        let looked = async {
            let mut sent = Vec::new();
            for (stream, count) in writes.iter().zip([1 + (turn % 3) as usize, 1]) {
                let expected = match self.version(*stream).await? {
                    0 => Expected::NoStream,
                    version => Expected::Exact(version),
                };
                let events = (0..count).map(|_| event(*stream, None)).collect();
                sent.push(Write { stream: stream.stream(), expected, events });
            }
            let mut append = of_writes(sent);
            if !writes.contains(&seen) {
                append.guards = vec![guard(seen.stream(), self.version(seen).await?)];
            }
            Ok::<_, LogError>(append)
        };
        // Cut off while looking: look again.
        let Ok(append) = looked.await else { return false };
        let Some(receipt) = self.recorder.append(&*self.log, &append).await else { return false };
        let mut versions = self.versions.lock().expect("the versions");
        for event in &receipt.events {
            let version = versions.entry(PatientId::from(event.stream.id)).or_insert(0);
            *version = event.version.max(*version);
        }
        true
    }

    /// The version of a stream, read from where it stood last.
    async fn version(&self, patient_id: PatientId) -> Result<u64, LogError> {
        let mut version = self.versions.lock().expect("the versions").get(&patient_id).copied().unwrap_or(0);
        loop {
            let events = self.log.read_stream(patient_id.stream(), version, 1_000).await?;
            match events.last() {
                Some(last) => version = last.version,
                None => break,
            }
        }
        let mut versions = self.versions.lock().expect("the versions");
        let known = versions.entry(patient_id).or_insert(0);
        *known = version.max(*known);
        Ok(*known)
    }
}
