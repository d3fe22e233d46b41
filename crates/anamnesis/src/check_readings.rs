//! `anamnesis check-readings`: compares the readings of wearables with what the log says of them.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use event_store::log::LogError;
use event_store::readings::{ReadingsError, sha256};
use event_store::{OpenError, Store};
use events::AnyEvent;
use events::ids::StreamType;
use events::readings::device::{Chunk, DeviceEvent};
use events::set::DecodeError;
use serde_json::json;
use service::settings::StorageSettings;
use uuid::Uuid;

use crate::admin;
use crate::output::line;

/// Events that are read together.
const PAGE: usize = 1_000;
/// Faults that are told one by one.
const TOLD_MAX: usize = 50;

/// Where the readings are.
#[derive(Args)]
pub struct CheckReadingsArgs {
    /// Prints a JSON object: `chunks`, `readings`, `faults` (texts).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    storage: StorageSettings,
}

/// Why readings could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CheckReadingsError {
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    /// An event cannot be read.
    #[error("the event at position {0} cannot be read")]
    Event(u64, #[source] DecodeError),
    /// The readings cannot be read.
    #[error("the readings cannot be read")]
    Readings(#[from] ReadingsError),
}

/// Tells every chunk that is not as the log says; the exit code is 1 where there is one.
pub async fn run(args: CheckReadingsArgs) -> Result<ExitCode, CheckReadingsError> {
    let store = Store::open(&args.storage.url(), &admin::options(&args.storage)).await?;
    let compared = compare(&store).await;
    store.close().await;
    let (chunks, readings, faults) = compared?;
    if args.json {
        line(&json!({"chunks": chunks, "readings": readings, "faults": faults}).to_string());
    } else {
        line(&format!("{readings} readings in {chunks} chunks; {} are not as the log says", faults.len()));
        faults.iter().take(TOLD_MAX).for_each(|fault| line(fault));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn compare(store: &Store) -> Result<(usize, u64, Vec<String>), CheckReadingsError> {
    let (mut readings, mut faults) = (0, Vec::new());
    let told = told(store).await?;
    for (chunk_id, chunk) in &told {
        readings += u64::from(chunk.count);
        faults.extend(fault(store, *chunk_id, chunk).await?.map(|fault| format!("chunk {chunk_id}: {fault}")));
    }
    Ok((told.len(), readings, faults))
}

/// The chunks that there must be.
async fn told(store: &Store) -> Result<BTreeMap<Uuid, Chunk>, CheckReadingsError> {
    let (mut told, mut position) = (BTreeMap::new(), 0);
    loop {
        let events = store.log.read_all(position, PAGE).await?;
        let Some(last) = events.last() else { return Ok(told) };
        position = last.position;
        for envelope in events.iter().filter(|event| event.stream.kind == StreamType::Device) {
            let event = AnyEvent::from_envelope(envelope);
            match event.map_err(|source| CheckReadingsError::Event(envelope.position, source))? {
                AnyEvent::Device(DeviceEvent::ReadingsReceived(received)) => {
                    told.insert(received.chunk.chunk_id, received.chunk);
                }
                AnyEvent::Device(DeviceEvent::ReadingsQuarantined(apart)) => {
                    told.insert(apart.chunk.chunk_id, apart.chunk);
                }
                AnyEvent::Device(DeviceEvent::ReadingsDiscarded(discarded)) => {
                    discarded.chunk_ids.iter().for_each(|chunk_id| _ = told.remove(chunk_id));
                }
                _ => {}
            }
        }
    }
}

/// What is wrong with a chunk.
async fn fault(store: &Store, chunk_id: Uuid, chunk: &Chunk) -> Result<Option<String>, CheckReadingsError> {
    let Some(record) = store.readings.chunk(chunk_id).await? else {
        return Ok(Some(format!("its {} readings are missing", chunk.count)));
    };
    let found = record.readings.len();
    if found != chunk.count as usize {
        return Ok(Some(format!("it has {found} readings, the log says {}", chunk.count)));
    }
    let canonical = record.readings.iter().map(|(kind, at, lasts, value)| (kind.as_str(), *at, *lasts, *value));
    Ok((sha256(canonical) != chunk.sha256).then(|| "a reading in it was changed: its hash is another one".to_owned()))
}
