//! Telling the log of what was stored, and storing nothing of which it does not want to hear.

use std::error::Error;
use std::time::Duration;

use chrono::TimeDelta;
use command_api::sending::{self, Sent};
use domain::commands::AnyCommand;
use domain::readings::receipt::ReceiveReadings;
use domain::readings::terms::{Terms, UploadTerms};
use event_store::Store;
use event_store::clock;
use event_store::execute::{ExecuteError, Executor};
use event_store::log::{EventLog, Receipt};
use event_store::readings::{
    Canonical, ChunkRecord, Parcel, Reading, ReadingStore, ReadingsError, RefusedLine, Settled,
};
use events::TimeZone;
use events::envelope::{Actor, Role};
use events::ids::{PatientId, StreamKey as _, TrialId};
use events::readings::device::Chunk;
use service::auth::Principal;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::summary;

/// How old a chunk is of which the log should have been told: whoever stored it is gone.
const LEFT_AFTER: TimeDelta = TimeDelta::seconds(60);
/// How often it is looked for such chunks.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Chunks that are looked at together.
const PAGE: u32 = 16;
/// The event that tells of readings that are stored apart.
const QUARANTINED: &str = "ReadingsQuarantined";

/// Who takes readings, and for whom.
#[derive(Clone, Copy)]
pub struct Of<'upload> {
    /// Who sends them.
    pub principal: &'upload Principal,
    /// The upload.
    pub upload_id: Uuid,
    /// Whose they are.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
}

/// What readings are judged by now.
///
/// # Errors
/// [`ExecuteError`].
pub async fn terms(
    executor: &Executor,
    patient_id: PatientId,
    trial_id: TrialId,
    devices: Vec<String>,
) -> Result<Terms, ExecuteError> {
    Ok(executor.inquire(&UploadTerms { patient_id, trial_id, devices }).await?.answer)
}

fn receive(of: (PatientId, TrialId), device: &str, chunk: Chunk) -> AnyCommand {
    let (patient_id, trial_id) = of;
    let receive = ReceiveReadings { trial_id, patient_id, device: device.to_owned(), chunk };
    (events::ids::DeviceId::of(trial_id, device), receive).into()
}

fn settled(receipt: &Receipt) -> Settled {
    match receipt.events.iter().any(|event| event.event_type == QUARANTINED) {
        true => Settled::Apart,
        false => Settled::Received,
    }
}

/// What became of a parcel.
#[derive(Debug)]
pub enum Told {
    /// The log has it, up to this position.
    At(u64),
    /// The log does not want it, and it is not stored any more.
    Refused(Box<ExecuteError>),
}

/// Why the log could not be told.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The log or its keys are away.
    #[error("the log cannot be told of readings")]
    Execute(#[from] ExecuteError),
    /// The readings are.
    #[error("the readings cannot be kept")]
    Readings(#[from] ReadingsError),
}

/// Tells the log of the readings of a parcel that are new.
///
/// # Errors
/// [`RecordError`]; it is told later.
pub async fn record(
    executor: &Executor,
    store: &dyn ReadingStore,
    of: Of<'_>,
    zone: TimeZone,
    parcel: &Parcel,
    new: &[usize],
) -> Result<Option<Told>, RecordError> {
    let readings: Vec<&Reading> = new.iter().filter_map(|place| parcel.readings.get(*place)).collect();
    let canonical: Vec<Canonical<'_>> =
        readings.iter().map(|reading| (reading.kind, reading.at, reading.lasts, reading.value)).collect();
    let (chunk_id, ahead) = (parcel.chunk_id, parcel.clock_ahead_seconds);
    let Some(chunk) = summary::chunk(chunk_id, of.upload_id, ahead, zone, &canonical) else { return Ok(None) };
    let command = receive((of.patient_id, of.trial_id), &parcel.device, chunk);
    match sending::send(executor, of.principal, command, Sent::As(chunk_id)).await {
        Ok(executed) => {
            store.settle(chunk_id, &settled(&executed.receipt)).await?;
            Ok(Some(Told::At(executed.receipt.position)))
        }
        Err(error @ ExecuteError::Refused(_)) => {
            let lines = readings.iter().map(|reading| refused(reading.line, &error)).collect();
            store.settle(chunk_id, &Settled::Refused(lines)).await?;
            Ok(Some(Told::Refused(Box::new(error))))
        }
        Err(error) => Err(error.into()),
    }
}

fn refused(line: u64, error: &ExecuteError) -> RefusedLine {
    let (rule, message) = match error {
        ExecuteError::Refused(refusal) => (refusal.rule.clone(), refusal.message.clone()),
        other => ("refused".to_owned(), other.to_string()),
    };
    RefusedLine { line, field: "at".to_owned(), rule, message }
}

/// Tells the log of what was stored by somebody who did not come so far, again and again until asked to stop.
pub async fn tell_what_is_left(executor: Executor, all: Store, shutdown: CancellationToken) {
    let telling = async {
        loop {
            if let Err(error) = tell_some(&executor, &*all.log, &*all.readings).await {
                tracing::warn!(error = &error as &dyn Error, "the log is not told of all readings yet");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = telling => {}
        () = shutdown.cancelled() => {}
    }
}

async fn tell_some(executor: &Executor, log: &dyn EventLog, store: &dyn ReadingStore) -> Result<(), RecordError> {
    let mut after = 0;
    loop {
        let left = store.unsettled(clock::now() - LEFT_AFTER, after, PAGE).await?;
        for record in &left {
            after = record.chunk;
            // One that the log cannot take now does not keep the others waiting.
            if let Err(error) = tell_again(executor, log, store, record).await {
                let (chunk_id, error) = (record.chunk_id, &error as &dyn Error);
                tracing::warn!(error, %chunk_id, "the log is not told of these readings yet");
            }
        }
        if left.len() < PAGE as usize {
            return Ok(());
        }
    }
}

async fn tell_again(
    executor: &Executor,
    log: &dyn EventLog,
    store: &dyn ReadingStore,
    record: &ChunkRecord,
) -> Result<(), RecordError> {
    // Where the log has it, it says how: whatever would be said of it now.
    if let Some(known) = log.find_command(record.chunk_id).await.map_err(ExecuteError::from)? {
        return Ok(store.settle(record.chunk_id, &settled(&known.receipt)).await?);
    }
    let canonical: Vec<Canonical<'_>> =
        record.readings.iter().map(|(kind, at, lasts, value)| (kind.as_str(), *at, *lasts, *value)).collect();
    let told = match terms(executor, record.patient_id, record.trial_id, Vec::new()).await {
        Ok(terms) => {
            let ahead = record.clock_ahead_seconds;
            let chunk = summary::chunk(record.chunk_id, record.upload_id, ahead, terms.zone, &canonical);
            let Some(chunk) = chunk else {
                return Ok(store.settle(record.chunk_id, &Settled::Refused(Vec::new())).await?);
            };
            let command = receive((record.patient_id, record.trial_id), &record.device, chunk);
            // In the name of who sent it, by the program: whether they may was seen when it was stored.
            let actor = Actor { id: record.sent_by.clone(), role: Role::System, organisation: None };
            let (text, target) = (command.to_json(), record.device_id.stream());
            executor.execute_own(record.chunk_id, actor, target, (&text, &command)).await
        }
        Err(error) => Err(error),
    };
    let settled = match told {
        Ok(executed) => settled(&executed.receipt),
        Err(error @ ExecuteError::Refused(_)) => Settled::Refused(vec![left_behind(record, &error)]),
        Err(error) => return Err(error.into()),
    };
    Ok(store.settle(record.chunk_id, &settled).await?)
}

/// What is said of readings that were left behind and are not taken any more: their lines nobody knows.
fn left_behind(record: &ChunkRecord, error: &ExecuteError) -> RefusedLine {
    let refused = refused(0, error);
    let times = || record.readings.iter().map(|(_, at, ..)| *at);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let count = record.readings.len();
    let message = format!("{count} readings of {} from {first} to {last}: {}", record.device, refused.message);
    RefusedLine { field: String::new(), message, ..refused }
}
