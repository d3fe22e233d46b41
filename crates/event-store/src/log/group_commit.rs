//! One writer per process: whatever queued while the last batch committed is the next batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::envelope::Envelope;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::tail::Tail;
use super::{APPEND_EVENTS_MAX, Append, AppendError, Appended, LogError, MalformedAppend, PAYLOAD_BYTES_MAX};

/// Appends that may wait; beyond them callers wait to queue.
const QUEUE_LENGTH_MAX: usize = 4_096;
/// Probes that may wait.
const PROBES_MAX: usize = 16;
/// Events in one batch, so that a batch stays short.
const BATCH_EVENTS_MAX: usize = 2_048;
/// Payload bytes in one batch.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// First pause before a failed batch is tried again; doubles up to a second.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What happened to each append of a batch, in order.
pub type Outcomes = Vec<Result<Appended, AppendError>>;

/// What became of a batch.
pub struct Written {
    /// One for each append, in order.
    pub outcomes: Outcomes,
    /// The log's head afterwards.
    pub head: u64,
    /// The events that were stored, in order of position.
    pub events: Vec<Envelope>,
}

/// An engine's way to store one batch in one transaction.
#[async_trait]
pub trait BatchWriter: Send + 'static {
    /// Stores the batch.
    async fn write(&mut self, appends: &[Append]) -> Result<Written, LogError>;

    /// Commits something that changes nothing, as durably as a batch.
    async fn probe(&mut self) -> Result<(), LogError>;

    /// Whether the same batch may work when it is tried again.
    fn is_transient(&self, error: &LogError) -> bool;

    /// Gives up whatever connection is held.
    async fn close(&mut self);
}

struct Job {
    append: Append,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// The incarnation of the log on which it was decided, or a later one.
    incarnation: u64,
}

type Probe = oneshot::Sender<Result<(), LogError>>;

/// The queue in front of the one writer.
pub struct GroupCommit {
    queue: mpsc::Sender<Job>,
    probes: mpsc::Sender<Probe>,
    incarnation: watch::Receiver<u64>,
    tail: Arc<Tail>,
    writer: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl GroupCommit {
    /// Starts the writer. A batch that keeps failing is given up after `give_up_after`.
    /// `incarnation` counts how often the log went back.
    pub fn start(
        writer: impl BatchWriter,
        head: watch::Sender<u64>,
        incarnation: watch::Receiver<u64>,
        give_up_after: Duration,
    ) -> Self {
        let ((queue, jobs), (probes, probed)) = (mpsc::channel(QUEUE_LENGTH_MAX), mpsc::channel(PROBES_MAX));
        let tail = Arc::new(Tail::default());
        let kept = Writer { writer, head, tail: tail.clone(), incarnation: incarnation.clone(), give_up_after };
        let task = tokio::spawn(run(kept, jobs, probed));
        Self { queue, probes, incarnation, tail, writer: std::sync::Mutex::new(Some(task)) }
    }

    /// Whether an append would be stored now: the last one was, or nothing waits and a commit succeeds.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn ready(&self) -> Result<(), LogError> {
        let (answer, outcome) = oneshot::channel();
        self.probes.send(answer).await.map_err(|_| LogError::Stopped)?;
        outcome.await.map_err(|_| LogError::Stopped)?
    }

    /// Ends when the writer has ended, however it did.
    pub async fn stopped(&self) {
        self.queue.closed().await;
    }

    /// What this process has just written; `None` where that does not reach back to `after_position`.
    pub fn newest(&self, after_position: u64, limit: usize) -> Option<Vec<Envelope>> {
        self.tail.read(*self.incarnation.borrow(), after_position, limit)
    }

    /// Queues an append and waits for its outcome.
    ///
    /// # Errors
    /// As [`super::EventLog::append`].
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        check_form(&append)?;
        let (answer, outcome) = oneshot::channel();
        let incarnation = *self.incarnation.borrow();
        self.queue.send(Job { append, answer, incarnation }).await.map_err(|_| LogError::Stopped)?;
        outcome.await.map_err(|_| LogError::Stopped)?
    }

    /// Ends the writer at once; callers that wait are told that the log stopped.
    pub fn stop(&self) {
        let task = self.writer.lock().ok().and_then(|mut writer| writer.take());
        if let Some(task) = task {
            task.abort();
        }
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.stop();
    }
}

fn check_form(append: &Append) -> Result<(), AppendError> {
    let malformed = |how| Err(AppendError::Malformed(how));
    let events = || append.writes.iter().flat_map(|write| &write.events);
    if events().count() > APPEND_EVENTS_MAX {
        return malformed(MalformedAppend::TooManyEvents);
    }
    if events().any(|event| event.payload.len() > PAYLOAD_BYTES_MAX) {
        return malformed(MalformedAppend::PayloadTooLarge);
    }
    if append.writes.iter().any(|write| write.events.is_empty()) {
        return malformed(MalformedAppend::EmptyWrite);
    }
    if append.refusal.is_some() && !append.writes.is_empty() {
        return malformed(MalformedAppend::RefusedWithEvents);
    }
    let written = append.writes.iter().map(|write| write.stream);
    let guarded = append.guards.iter().map(|guard| guard.stream);
    let mut seen = HashSet::new();
    if !written.chain(guarded).all(|stream| seen.insert(stream)) {
        return malformed(MalformedAppend::StreamTwice);
    }
    Ok(())
}

struct Writer<W> {
    writer: W,
    head: watch::Sender<u64>,
    tail: Arc<Tail>,
    incarnation: watch::Receiver<u64>,
    give_up_after: Duration,
}

async fn run<W: BatchWriter>(mut writer: Writer<W>, mut jobs: mpsc::Receiver<Job>, mut probes: mpsc::Receiver<Probe>) {
    loop {
        let first = tokio::select! {
            biased;
            job = jobs.recv() => job,
            Some(probe) = probes.recv() => {
                if !probe.is_closed() {
                    drop(probe.send(writer.probe().await));
                }
                continue;
            }
        };
        let Some(first) = first else { break };
        let incarnation = first.incarnation;
        let (appends, answers) = gather(first, &mut jobs);
        metrics::histogram!("anamnesis_log_append_batch_size").record(appends.len() as f64);
        let started = Instant::now();
        // The oldest job came first: whoever decided on a log that has gone back since decides again.
        let outcomes = if incarnation == *writer.incarnation.borrow() {
            writer.store(&appends).await
        } else {
            fail_all(&appends, LogError::WentBack)
        };
        let failed = outcomes.iter().any(|outcome| matches!(outcome, Err(AppendError::Log(_))));
        // Under load no probe would ever have its turn: the batch speaks for it.
        while let Ok(probe) = probes.try_recv() {
            drop(probe.send(if failed { Err(LogError::BatchFailed) } else { Ok(()) }));
        }
        metrics::histogram!("anamnesis_log_append_duration_seconds").record(started.elapsed().as_secs_f64());
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // A caller that went away no longer wants its answer.
            drop(answer.send(outcome));
        }
        // Whoever was just answered may have something to append again: without
        // this the next batch would be the few that queued meanwhile.
        tokio::task::yield_now().await;
    }
    writer.writer.close().await;
}

/// Takes what waits, up to the limits of a batch.
fn gather(
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
) -> (Vec<Append>, Vec<oneshot::Sender<Result<Appended, AppendError>>>) {
    let size = |append: &Append| {
        let events = append.writes.iter().flat_map(|write| &write.events);
        events.fold((0, 0), |(count, bytes), event| (count + 1, bytes + event.payload.len()))
    };
    let (mut events, mut bytes) = size(&first.append);
    let (mut appends, mut answers) = (vec![first.append], vec![first.answer]);
    while events < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_MAX {
        let Ok(job) = jobs.try_recv() else { break };
        let (more_events, more_bytes) = size(&job.append);
        events += more_events;
        bytes += more_bytes;
        appends.push(job.append);
        answers.push(job.answer);
    }
    (appends, answers)
}

impl<W: BatchWriter> Writer<W> {
    /// Stores a batch. Where the commit's result is unknown it is run again:
    /// the recorded command ids tell what was stored.
    async fn store(&mut self, appends: &[Append]) -> Outcomes {
        let deadline = Instant::now() + self.give_up_after;
        let mut pause = RETRY_PAUSE;
        loop {
            let error = match self.writer.write(appends).await {
                Ok(Written { outcomes, head, events }) => {
                    self.tail.extend(*self.incarnation.borrow(), events);
                    self.head.send_if_modified(|seen| std::mem::replace(seen, head.max(*seen)) < head);
                    return outcomes;
                }
                Err(error) => error,
            };
            self.writer.close().await;
            if matches!(error, LogError::WentBack) {
                return fail_all(appends, error);
            }
            if !self.writer.is_transient(&error) {
                return self.isolate(appends, error).await;
            }
            if Instant::now() + pause > deadline {
                tracing::error!(error = &error as &dyn std::error::Error, "the log's database stays away");
                return fail_all(appends, error);
            }
            tracing::warn!(error = &error as &dyn std::error::Error, "a batch is tried again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// A broken connection is no reason not to be ready where another one works.
    async fn probe(&mut self) -> Result<(), LogError> {
        if self.writer.probe().await.is_ok() {
            return Ok(());
        }
        self.writer.close().await;
        let probed = self.writer.probe().await;
        if probed.is_err() {
            self.writer.close().await;
        }
        probed
    }

    /// One append that the database refuses must not take the others with it.
    async fn isolate(&mut self, appends: &[Append], error: LogError) -> Outcomes {
        if appends.len() == 1 {
            tracing::error!(error = &error as &dyn std::error::Error, "an append cannot be stored");
            return fail_all(appends, error);
        }
        let (left, right) = appends.split_at(appends.len() / 2);
        let mut outcomes = Box::pin(self.store(left)).await;
        outcomes.extend(Box::pin(self.store(right)).await);
        outcomes
    }
}

/// The first caller gets the cause, the others that the log did not answer.
fn fail_all(appends: &[Append], error: LogError) -> Outcomes {
    let mut error = Some(error);
    appends.iter().map(|_| Err(AppendError::Log(error.take().unwrap_or(LogError::BatchFailed)))).collect()
}
