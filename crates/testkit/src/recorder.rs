//! Records what is done to a log and seen of it, for the history checker.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use event_store::log::{Append, AppendError, EventLog, Expected, LogError, Receipt};
use events::envelope::Envelope;
use history_checker::{Observation, SeenEvent, SentGuard, SentWrite};
use rustix::time::{ClockId, clock_gettime};

/// How often an append is sent whose outcome is unknown.
const TRIES_MAX: usize = 100;

/// Writes observations to a file, one JSON object per line. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    file: Arc<Mutex<BufWriter<File>>>,
}

/// Nanoseconds of the machine's monotonic clock, which all its processes share.
fn now_ns() -> Option<u64> {
    let now = clock_gettime(ClockId::Monotonic);
    Some(u64::try_from(now.tv_sec).ok()? * 1_000_000_000 + u64::try_from(now.tv_nsec).ok()?)
}

impl Recorder {
    /// Records into a new file.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn create(path: &Path) -> Self {
        let file = File::create(path).expect("the record can be made");
        Self { file: Arc::new(Mutex::new(BufWriter::new(file))) }
    }

    /// Adds an observation.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn record(&self, observation: &Observation) {
        let mut line = serde_json::to_vec(observation).expect("an observation is JSON");
        line.push(b'\n');
        self.file.lock().expect("the record").write_all(&line).expect("the record can be written");
    }

    /// Writes out what is buffered.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn flush(&self) {
        self.file.lock().expect("the record").flush().expect("the record can be written");
    }

    /// Sends an append until its outcome is known; none where it conflicts.
    ///
    /// # Panics
    /// Where the log stays away.
    pub async fn append(&self, log: &dyn EventLog, append: &Append) -> Option<Receipt> {
        let command = append.command_id.to_string();
        self.record(&sent(append));
        for _ in 0..TRIES_MAX {
            match log.append(append.clone()).await {
                Ok(appended) => {
                    let at_ns = now_ns();
                    let receipt = appended.into_receipt();
                    let events = receipt.events.iter().map(|event| SeenEvent {
                        position: event.position,
                        event: event.event_id.to_string(),
                        stream: event.stream.to_string(),
                        version: event.version,
                    });
                    self.record(&Observation::Acknowledged { command, events: events.collect(), at_ns });
                    return Some(receipt);
                }
                Err(AppendError::Conflict { .. }) => {
                    self.record(&Observation::Refused { command });
                    return None;
                }
                Err(AppendError::Log(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("the log stays away");
    }

    /// Reads what follows `after`.
    ///
    /// # Errors
    /// Where the log does not answer; nothing is recorded then.
    pub async fn read(
        &self,
        reader: &str,
        log: &dyn EventLog,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, LogError> {
        let at_ns = now_ns();
        let envelopes = log.read_all(after, limit).await?;
        let events = envelopes.iter().map(seen).collect();
        self.record(&Observation::Read { reader: reader.to_owned(), after, limit, events, at_ns });
        Ok(envelopes)
    }

    /// Notes that a consumer took events in.
    pub fn consumed(&self, consumer: &str, events: &[Envelope]) {
        for event in events {
            self.record(&Observation::Consumed { consumer: consumer.to_owned(), event: seen(event) });
        }
    }

    /// Notes what the log holds in the end.
    pub fn logged(&self, events: &[Envelope]) {
        for event in events {
            self.record(&Observation::Logged { event: seen(event), command: event.command_id.to_string() });
        }
    }
}

fn sent(append: &Append) -> Observation {
    let writes = append.writes.iter().map(|write| SentWrite {
        stream: write.stream.to_string(),
        expected: match write.expected {
            Expected::Any => None,
            Expected::NoStream => Some(0),
            Expected::Exact(version) => Some(version),
        },
        events: write.events.len(),
    });
    let guards =
        append.guards.iter().map(|guard| SentGuard { stream: guard.stream.to_string(), version: guard.version });
    Observation::Sent {
        command: append.command_id.to_string(),
        writes: writes.collect(),
        guards: guards.collect(),
        at_ns: now_ns(),
    }
}

fn seen(event: &Envelope) -> SeenEvent {
    SeenEvent {
        position: event.position,
        event: event.event_id.to_string(),
        stream: event.stream.to_string(),
        version: event.version,
    }
}
