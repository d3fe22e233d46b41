//! Readings of wearables, kept beside the log: the port of their store, and what both engines share.
//!
//! A portion of an upload is stored at once: its readings in chunks, one for each device, what was refused of it, and how far the
//! upload has come. The log is told of each chunk afterwards; until it is, nobody reads the chunk (docs/adr/0047).

mod hash;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use events::ids::{DeviceId, PatientId, SiteId, TrialId};
use uuid::Uuid;

pub use hash::{Canonical, sha256};

/// Why readings could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ReadingsError {
    /// The database refused or could not be reached.
    #[error("the database of readings failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The upload stands elsewhere, or has ended: somebody else sends it, too.
    #[error("the upload is no longer where this portion begins")]
    Moved,
}

impl ReadingsError {
    /// Wraps a database error with what was being done.
    pub fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> ReadingsError {
        move |source| ReadingsError::Database { doing, source }
    }
}

/// An upload that begins.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// By which it is known.
    pub upload_id: Uuid,
    /// The trial.
    pub trial_id: TrialId,
    /// The site.
    pub site_id: SiteId,
    /// Whose readings they are.
    pub patient_id: PatientId,
    /// What they are to be taken for, as JSON.
    pub parameters: String,
    /// The account that sends it, by its username.
    pub sent_by: String,
    /// Bytes that there will be, where that is known.
    pub length: Option<u64>,
    /// When it began.
    pub begun_at: DateTime<Utc>,
}

/// How far an upload has come.
#[derive(Clone, Debug)]
pub struct Upload {
    /// What it is.
    pub upload: NewUpload,
    /// The names of the columns, where the first line gave them.
    pub header: Option<String>,
    /// Bytes that were taken.
    pub received: u64,
    /// What they held of a line that is not whole yet.
    pub rest: Vec<u8>,
    /// Whether that line is too long, and its rest is passed over.
    pub skipping: bool,
    /// What became of it.
    pub counts: Counts,
    /// When all of it was there.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What became of what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that were looked at.
    pub lines: u64,
    /// Readings that are new.
    pub stored: u64,
    /// Readings that are new, of devices of which nobody knows that they are the subject's.
    pub apart: u64,
    /// Readings that were there before.
    pub known: u64,
    /// Readings, or whole lines, that were not taken.
    pub refused: u64,
}

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub kind: &'static str,
    /// When, or from when on.
    pub at: DateTime<Utc>,
    /// For how long, in milliseconds; 0 for a moment.
    pub lasts: i64,
    /// The value, in the unit of the kind.
    pub value: f64,
    /// The line that it came with.
    pub line: u64,
}

impl Reading {
    /// What tells it from others of its series.
    pub const fn key(&self) -> (&'static str, DateTime<Utc>, i64) {
        (self.kind, self.at, self.lasts)
    }
}

/// Readings of one device that are stored together.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// By which they are found.
    pub chunk_id: Uuid,
    /// The device.
    pub device_id: DeviceId,
    /// As it is called.
    pub device: String,
    /// Whether nobody knows that it is the subject's.
    pub apart: bool,
    /// By how many seconds its clock is ahead, where it was told.
    pub clock_ahead_seconds: Option<i64>,
    /// The readings; at least one.
    pub readings: Vec<Reading>,
}

/// A reading, or a line, that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// The line, from 1; 0 where it is not known any more.
    pub line: u64,
    /// The field at fault; empty for the line as a whole.
    pub field: String,
    /// The rule that it breaks.
    pub rule: String,
    /// What is wrong with it.
    pub message: String,
}

/// Lines of an upload that are told one by one; of those behind them it is told how many there are.
pub const REFUSED_KEPT_MAX: u64 = 100_000;

/// What is stored at once.
#[derive(Clone, Debug)]
pub struct Portion {
    /// The upload.
    pub upload_id: Uuid,
    /// How many bytes were taken before.
    pub from: u64,
    /// How many are now.
    pub to: u64,
    /// What they hold of a line that is not whole yet.
    pub rest: Vec<u8>,
    /// Whether that line is too long.
    pub skipping: bool,
    /// Lines that were looked at.
    pub lines: u64,
    /// The names of the columns, where a line of it gave them.
    pub header: Option<String>,
    /// What is to be stored.
    pub parcels: Vec<Parcel>,
    /// What is not.
    pub refused: Vec<RefusedLine>,
    /// When all of the upload was there, where it is now.
    pub ended_at: Option<DateTime<Utc>>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// What became of a portion.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Of each parcel the readings that are new, by their place in it.
    pub new: Vec<Vec<usize>>,
    /// Readings that were refused because another value is on record.
    pub refused: u64,
    /// Readings that were there before.
    pub known: u64,
}

/// The rule by which a second value of the same time is refused.
pub const ANOTHER_VALUE: &str = "reading-on-record";

/// The line of a reading of which another value is on record.
pub(crate) fn another_value(reading: &Reading, on_record: f64) -> RefusedLine {
    RefusedLine {
        line: reading.line,
        field: "value".to_owned(),
        rule: ANOTHER_VALUE.to_owned(),
        message: format!(
            "the device measured a {} of {on_record} at this time, as it told before; that stays",
            reading.kind
        ),
    }
}

/// How the log took a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// As the subject's.
    Received,
    /// As stored apart.
    Apart,
    /// Not at all: its readings are deleted, and counted as refused by these lines.
    Refused(Vec<RefusedLine>),
}

/// A chunk of which the log was perhaps not told.
#[derive(Clone, Debug)]
pub struct ChunkRecord {
    /// Its number.
    pub chunk: i64,
    /// By which it is found.
    pub chunk_id: Uuid,
    /// The upload that it came with.
    pub upload_id: Uuid,
    /// The trial.
    pub trial_id: TrialId,
    /// Whose readings they are.
    pub patient_id: PatientId,
    /// The device.
    pub device_id: DeviceId,
    /// As it is called.
    pub device: String,
    /// By how many seconds its clock was ahead, where it was told.
    pub clock_ahead_seconds: Option<i64>,
    /// The account that sent it.
    pub sent_by: String,
    /// Its readings: no lines any more, and sorted as they are hashed.
    pub readings: Vec<(String, DateTime<Utc>, i64, f64)>,
}

/// Which readings are asked for: of a patient in a trial, of a span of time.
#[derive(Clone, Debug)]
pub struct ReadingQuery {
    /// The patient.
    pub patient_id: PatientId,
    /// The trial.
    pub trial_id: TrialId,
    /// What was measured.
    pub kind: &'static str,
    /// One device alone.
    pub device_id: Option<DeviceId>,
    /// From this time on.
    pub from: DateTime<Utc>,
    /// Before this time.
    pub until: DateTime<Utc>,
}

/// Where a page of readings ended.
pub type After = (DateTime<Utc>, i64, i64);

/// A reading as it is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    /// The device.
    pub device_id: DeviceId,
    /// When, or from when on.
    pub at: DateTime<Utc>,
    /// For how long, in milliseconds.
    pub lasts: i64,
    /// The value.
    pub value: f64,
    /// Where a page would end with it.
    pub place: After,
}

/// What the readings of a span of time come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// How many readings.
    pub count: u64,
    /// The smallest value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
}

/// What the log says of readings that are stored apart.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// Chunks that are the subject's.
    pub released: Vec<Uuid>,
    /// Chunks whose readings are to be deleted.
    pub discarded: Vec<Uuid>,
}

/// Keeps readings.
#[async_trait]
pub trait ReadingStore: Send + Sync {
    /// Notes that an upload begins; one that was noted before stays as it is.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn begin(&self, upload: &NewUpload) -> Result<(), ReadingsError>;

    /// How far an upload has come.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn upload(&self, upload_id: Uuid) -> Result<Option<Upload>, ReadingsError>;

    /// Stores a portion, all of it or nothing.
    ///
    /// # Errors
    /// [`ReadingsError::Moved`] where the upload is not where the portion begins.
    async fn store(&self, portion: &Portion) -> Result<Stored, ReadingsError>;

    /// Notes how the log took a chunk.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn settle(&self, chunk_id: Uuid, settled: &Settled) -> Result<(), ReadingsError>;

    /// Chunks of which the log was perhaps not told, that were stored before a time, behind the one of a number; with their
    /// readings.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn unsettled(&self, before: DateTime<Utc>, after: i64, limit: u32)
    -> Result<Vec<ChunkRecord>, ReadingsError>;

    /// A chunk with its readings, where there is one.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn chunk(&self, chunk_id: Uuid) -> Result<Option<ChunkRecord>, ReadingsError>;

    /// What of an upload was not taken, behind a line, in their order.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn refused(&self, upload_id: Uuid, after: u64, limit: u32) -> Result<Vec<RefusedLine>, ReadingsError>;

    /// Readings in the order of their times.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn read(&self, query: &ReadingQuery, after: Option<After>, limit: u32) -> Result<Vec<Read>, ReadingsError>;

    /// What readings come to in spans of so many seconds each, counted from 1970 in UTC; spans without readings are left out.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn buckets(&self, query: &ReadingQuery, seconds: u32) -> Result<Vec<Bucket>, ReadingsError>;

    /// Up to where the log was followed.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn followed(&self) -> Result<u64, ReadingsError>;

    /// Applies what the log says up to a position.
    ///
    /// # Errors
    /// [`ReadingsError`].
    async fn apply(&self, verdicts: &Verdicts, position: u64) -> Result<(), ReadingsError>;
}

/// Puts pages of several series, each in its own order, into one.
pub(crate) fn merged(mut pages: Vec<Vec<Read>>, limit: u32) -> Vec<Read> {
    let mut all: Vec<Read> = pages.drain(..).flatten().collect();
    all.sort_unstable_by_key(|read| read.place);
    all.truncate(limit as usize);
    all
}
