//! The history checker: whether what clients, readers and consumers saw during
//! a concurrent run can be true of one log that keeps its promises.
//!
//! A run is recorded as one JSON object per line ([`Observation`]), by any
//! number of processes into any number of files; the checker puts them
//! together. It knows nothing of any engine, so it can be pointed at other
//! event stores, too: `anamnesis check-history <file>…`.

mod appends;
mod fault;
mod log;
mod readers;

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

pub use fault::Fault;

/// One thing that somebody saw or did. Times are nanoseconds of one clock that
/// all who record share and that never goes back; without times the rules
/// about real time are not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "observed", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Observation {
    /// A client sends an append, perhaps not for the first time.
    Sent {
        /// Names the append; the same for every attempt.
        command: String,
        /// What is written, in order.
        writes: Vec<SentWrite>,
        /// What must not have changed.
        #[serde(default)]
        guards: Vec<SentGuard>,
        /// Just before it was sent.
        #[serde(default)]
        at_ns: Option<u64>,
    },
    /// A client is told that an append is stored.
    Acknowledged {
        /// The append.
        command: String,
        /// Its events, as the client was told.
        events: Vec<SeenEvent>,
        /// Just after the answer came.
        #[serde(default)]
        at_ns: Option<u64>,
    },
    /// A client is told that an append is not stored and never will be.
    Refused {
        /// The append.
        command: String,
    },
    /// A reader asked for what follows a position.
    Read {
        /// Who read.
        reader: String,
        /// Only what follows this position was asked for.
        after: u64,
        /// Only so many were asked for.
        limit: usize,
        /// What came, in the order in which it came.
        events: Vec<SeenEvent>,
        /// Just before it asked.
        #[serde(default)]
        at_ns: Option<u64>,
    },
    /// A consumer took an event in, with lasting effect.
    Consumed {
        /// Who.
        consumer: String,
        /// What.
        event: SeenEvent,
    },
    /// The log, read when all was over: one line per event.
    Logged {
        /// The event.
        event: SeenEvent,
        /// The append that it belongs to.
        command: String,
    },
}

/// Events for one stream, as a client sends them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentWrite {
    /// The stream.
    pub stream: String,
    /// The version that the stream must have; 0: must not exist; absent: any.
    #[serde(default)]
    pub expected: Option<u64>,
    /// How many events.
    pub events: usize,
}

/// A stream that must not have changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentGuard {
    /// The stream.
    pub stream: String,
    /// The version that it must have; 0: must not exist.
    pub version: u64,
}

/// An event as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenEvent {
    /// Its place in the log, from 1.
    pub position: u64,
    /// Its id.
    pub event: String,
    /// Its stream.
    pub stream: String,
    /// Its place in the stream, from 1.
    pub version: u64,
}

/// Why a recorded history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("line {line} cannot be read")]
    Read {
        /// Counted from 1.
        line: usize,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A line is not an observation.
    #[error("line {line} is not an observation")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

/// Everything that was recorded of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    sent: BTreeMap<String, Sent>,
    acknowledged: BTreeMap<String, Vec<Acknowledged>>,
    refused: Vec<String>,
    reads: Vec<Read>,
    consumed: BTreeMap<String, Vec<SeenEvent>>,
    log: Vec<Logged>,
}

#[derive(Clone, Debug)]
struct Sent {
    writes: Vec<SentWrite>,
    guards: Vec<SentGuard>,
    at_ns: Option<u64>,
}

#[derive(Clone, Debug)]
struct Acknowledged {
    events: Vec<SeenEvent>,
    at_ns: Option<u64>,
}

#[derive(Clone, Debug)]
struct Read {
    reader: String,
    after: u64,
    limit: usize,
    events: Vec<SeenEvent>,
    at_ns: Option<u64>,
}

#[derive(Clone, Debug)]
struct Logged {
    event: SeenEvent,
    command: String,
}

/// What the checker found, and in how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Promises that were broken; none: the history can be true.
    pub faults: Vec<Fault>,
    /// Events in the log.
    pub events: usize,
    /// Appends that were sent.
    pub sent: usize,
    /// Appends whose clients were told that they are stored.
    pub acknowledged: usize,
    /// Appends whose clients were told that they are not.
    pub refused: usize,
    /// Reads.
    pub reads: usize,
    /// Consumers.
    pub consumers: usize,
}

impl History {
    /// Adds one observation. Those of one reader, consumer and log must come in
    /// the order in which they were made; of the others any order will do.
    pub fn add(&mut self, observation: Observation) {
        match observation {
            Observation::Sent { command, writes, guards, at_ns } => {
                let sent = self.sent.entry(command).or_insert(Sent { writes, guards, at_ns });
                // It may have taken effect since the first attempt.
                sent.at_ns = sent.at_ns.min(at_ns);
            }
            Observation::Acknowledged { command, events, at_ns } => {
                self.acknowledged.entry(command).or_default().push(Acknowledged { events, at_ns });
            }
            Observation::Refused { command } => self.refused.push(command),
            Observation::Read { reader, after, limit, events, at_ns } => {
                self.reads.push(Read { reader, after, limit, events, at_ns });
            }
            Observation::Consumed { consumer, event } => self.consumed.entry(consumer).or_default().push(event),
            Observation::Logged { event, command } => self.log.push(Logged { event, command }),
        }
    }

    /// Adds a file of observations, one JSON object per line.
    ///
    /// # Errors
    /// [`HistoryError`] with the line at fault.
    pub fn read(&mut self, mut lines: impl BufRead) -> Result<(), HistoryError> {
        self.read_lines(&mut lines)
    }

    /// Of one type, so that reading is compiled here and not wherever a history is read.
    fn read_lines(&mut self, lines: &mut dyn BufRead) -> Result<(), HistoryError> {
        for (line, text) in (1..).zip(lines.lines()) {
            let text = text.map_err(|source| HistoryError::Read { line, source })?;
            if !text.trim().is_empty() {
                self.add(serde_json::from_str(&text).map_err(|source| HistoryError::Line { line, source })?);
            }
        }
        Ok(())
    }

    /// Proves or refutes that one log keeping its promises can have been seen so.
    pub fn check(&self) -> Verdict {
        let mut faults = Vec::new();
        log::check(&self.log, &mut faults);
        appends::check(self, &mut faults);
        readers::check(self, &mut faults);
        Verdict {
            faults,
            events: self.log.len(),
            sent: self.sent.len(),
            acknowledged: self.acknowledged.len(),
            refused: self.refused.len(),
            reads: self.reads.len(),
            consumers: self.consumed.len(),
        }
    }
}
