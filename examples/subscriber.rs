//! Prints the events of one trial as they happen, and goes on where it stopped.
//!
//! `cargo run --package event-bus --example subscriber -- nats://127.0.0.1:4222 <trial id> <checkpoint file> [<log id>]`
//!
//! What a subscriber must keep is its checkpoint: of which log, in which epoch,
//! and the last event that it took, by position *and* id. With these it notices
//! everything that can happen to a stream: messages that come again, a stream
//! that was filled anew, a log that lost events and began a new epoch, and a
//! message or a stream that is not of the log that it follows.
//! See docs/guides/subscribe-to-events.md.

use std::path::Path;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::{self, stream::Stream};
use async_nats::{HeaderMap, Message};
use event_bus::message::{Mark, data_ref, mark};
use event_bus::{Topology, control};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How far the subscriber has come.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    log_id: Uuid,
    epoch: u64,
    position: u64,
    event_id: Option<Uuid>,
    /// Where the event stood in the stream: only to find it faster.
    sequence: u64,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, trial, file, log @ ..] = arguments.as_slice() else {
        return Err("give the NATS address, a trial's id and a checkpoint file".into());
    };
    let file = Path::new(file);
    let context = jetstream::new(async_nats::connect(url).await?);
    let names = match log.first() {
        Some(log_id) => Some(Topology::of(log_id.parse()?)),
        None => Topology::find(&context).await?,
    };
    let names = names.ok_or("there is no stream of Anamnesis, or more than one: give the log's id")?;
    let stream = context.get_stream(names.stream_name()).await?;
    let mut checkpoint = load(file, names.log_id())?;
    let config = OrderedConfig {
        // The control messages come in order between the events.
        filter_subjects: vec![names.events_of_trial(trial.parse::<Uuid>()?.into()), names.all_controls()],
        deliver_policy: begin(&stream, &checkpoint).await,
        ..OrderedConfig::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let sequence = message.info()?.stream_sequence;
        if take(&mut checkpoint, &message, sequence)? {
            save(file, &checkpoint)?;
        }
    }
    Ok(())
}

fn load(file: &Path, log_id: Uuid) -> Result<Checkpoint, Error> {
    let checkpoint = match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => Checkpoint { log_id, epoch: 1, position: 0, event_id: None, sequence: 0 },
    };
    if checkpoint.log_id != log_id {
        return Err(format!("the checkpoint is of the log {}, this is {log_id}", checkpoint.log_id).into());
    }
    Ok(checkpoint)
}

/// Whole or not at all, whenever the process is ended.
fn save(file: &Path, checkpoint: &Checkpoint) -> Result<(), Error> {
    let part = file.with_extension("part");
    std::fs::write(&part, serde_json::to_vec(checkpoint)?)?;
    Ok(std::fs::rename(part, file)?)
}

/// Behind the event of the checkpoint, if it is still where it was; otherwise
/// from the stream's beginning: what comes again is passed over.
async fn begin(stream: &Stream, checkpoint: &Checkpoint) -> DeliverPolicy {
    let there = stream.get_raw_message(checkpoint.sequence).await;
    let mark = there.ok().and_then(|message| mark(&message.headers));
    match mark {
        Some(mark) if Some(mark.event_id) == checkpoint.event_id => {
            DeliverPolicy::ByStartSequence { start_sequence: checkpoint.sequence + 1 }
        }
        _ => DeliverPolicy::All,
    }
}

/// Takes a message; tells whether the checkpoint moved.
fn take(checkpoint: &mut Checkpoint, message: &Message, sequence: u64) -> Result<bool, Error> {
    let none = HeaderMap::new();
    let headers = message.headers.as_ref().unwrap_or(&none);
    let Some(mark) = mark(headers).filter(|mark| mark.log_id == checkpoint.log_id) else {
        eprintln!("message {sequence} is not of the log; ignored");
        return Ok(false);
    };
    if control::Why::of_subject(&message.subject).is_some() {
        let control = control::read(headers, &message.payload).ok_or("a control message that cannot be read")?;
        return Ok(turn(checkpoint, &control));
    }
    if mark.epoch < checkpoint.epoch {
        eprintln!("message {sequence} is of the epoch {}, which has ended; ignored", mark.epoch);
        return Ok(false);
    }
    if mark.position == checkpoint.position && checkpoint.event_id.is_some_and(|id| id != mark.event_id) {
        return Err(format!("the log has another event at position {}: stop and look", mark.position).into());
    }
    if mark.position <= checkpoint.position {
        return Ok(false);
    }
    match data_ref(headers) {
        // Too large for NATS: the query API has it, for who has a token.
        Some(reference) => eprintln!("{:>8}  {}  see {reference}", mark.position, message.subject),
        None => {
            let payload = String::from_utf8_lossy(&message.payload);
            eprintln!("{:>8}  {}  {payload}", mark.position, message.subject);
        }
    }
    let Mark { log_id, epoch, position, event_id } = mark;
    *checkpoint = Checkpoint { log_id, epoch, position, event_id: Some(event_id), sequence };
    Ok(true)
}

/// Heeds a control message: where the log began a new epoch, what was taken
/// after the place where it did never happened.
fn turn(checkpoint: &mut Checkpoint, control: &control::Control) -> bool {
    if control.epoch <= checkpoint.epoch {
        return false;
    }
    // Where nothing is known of the epoch, everything is taken again.
    let kept = control.begun.kept_of(checkpoint.epoch).unwrap_or(0);
    if kept < checkpoint.position {
        eprintln!("the log lost events: forget what came after position {kept}");
        (checkpoint.position, checkpoint.event_id) = (kept, None);
    }
    checkpoint.epoch = control.epoch;
    true
}
