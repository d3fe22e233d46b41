//! Carrying a command out: load → decide → append, again on conflict.

mod aggregates;
mod appends;
mod inquire;
mod marks;
mod own;
mod precondition;
mod turns;

use std::sync::Arc;

use decider::{Context, Decide, Decision, Fact, Facts, Halt, Need, Refusal, RefusalKind, StreamFold};
use events::envelope::Actor;
use events::ids::StreamId;
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::clock;
use crate::installation::{Installation, NotOpen};
use crate::log::{Append, AppendError, Appended, EventLog, LogError, MalformedAppend, PAYLOAD_BYTES_MAX, Receipt};
use crate::sealer::{SealError, Sealer};
use aggregates::Aggregates;
pub use aggregates::fold_on;
use appends::{compose, recollection, remembered, repeated};
pub use inquire::Answered;
pub use marks::Marks;
pub use precondition::{Precondition, State};
use turns::{Turn, Turns};

/// How often a command is decided before its conflicts are reported.
const TRIES_MAX: usize = 64;
/// How often one decision may halt for streams; more is a decision that never ends.
const HALTS_MAX: usize = 64;

/// How commands are carried out.
#[derive(Clone, Copy, Debug)]
pub struct ExecutorOptions {
    /// Folded streams that are kept in memory.
    pub cached_streams_max: u64,
    /// Events of a stream after which its folded state is kept as a snapshot.
    pub snapshot_every: u64,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self { cached_streams_max: 20_000, snapshot_every: 100 }
    }
}

/// A command's surroundings.
#[derive(Clone, Debug)]
pub struct Request {
    /// The command's id; the same id is carried out once.
    pub command_id: Uuid,
    /// What the command says, told apart and not told: by [`Marks::fingerprint`].
    pub fingerprint: [u8; 32],
    /// Who sends it.
    pub actor: Actor,
    /// The stream that the command's address names.
    pub target: StreamId,
    /// Whether the target is not expected to exist: then it is not read before it is written.
    pub creates: bool,
    /// At which version the stream that is written, or the one in the address, must be.
    pub if_match: Precondition,
    /// The first command of the conversation; by default this one.
    pub correlation_id: Option<Uuid>,
    /// The event that led to the command.
    pub causation_id: Option<Uuid>,
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
    /// Whether a rule's refusal is remembered: the same command then gets the same refusal for ever
    /// (docs/adr/0027). Such a command ends well with [`Receipt::refusal`].
    pub keep_refusal: bool,
    /// See [`Context::target_named`].
    pub target_named: bool,
}

impl Request {
    /// A command that nobody asked for over the interface, with nothing said of its surroundings.
    pub const fn own(command_id: Uuid, fingerprint: [u8; 32], actor: Actor, target: StreamId) -> Self {
        Self {
            command_id,
            fingerprint,
            actor,
            target,
            creates: false,
            if_match: Precondition::None,
            correlation_id: None,
            causation_id: None,
            trace_context: None,
            keep_refusal: false,
            target_named: true,
        }
    }
}

/// How a command ended well, or with a refusal that is remembered.
#[derive(Clone, Debug)]
pub struct Executed {
    /// What was appended.
    pub receipt: Receipt,
    /// Whether the command had been carried out before.
    pub repeated: bool,
    /// The version at which the command's own stream was seen, where the decision looked at it.
    pub seen: Option<u64>,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A rule forbids it.
    #[error("refused")]
    Refused(#[source] Refusal),
    /// The stream is not at the version that the caller expects.
    #[error("{stream} stands at version {actual}, the caller expects {expected}")]
    VersionMismatch {
        /// The stream.
        stream: StreamId,
        /// What the caller expects.
        expected: Precondition,
        /// Where it stands.
        actual: u64,
    },
    /// Others changed the stream every time in between.
    #[error("{stream} changed {TRIES_MAX} times while the command was decided")]
    Conflict {
        /// The stream.
        stream: StreamId,
    },
    /// The command id was taken by another command.
    #[error("the command id was used before for another command")]
    CommandReused,
    /// An event would be larger than the log keeps and the bus carries.
    #[error("an event of the command would be larger than {PAYLOAD_BYTES_MAX} bytes")]
    TooLarge,
    /// The decision breaks the rules of decisions: a fault of the program.
    #[error("the decision is malformed: {0}")]
    Malformed(String),
    /// The secret by which commands are known is not there yet; nothing was looked at.
    #[error("commands cannot be told apart")]
    Keys(#[from] NotOpen),
    /// What is personal in the command's events cannot be sealed; nothing was done.
    #[error("nothing can be sealed")]
    Sealing(#[from] SealError),
    /// The log did not answer; the outcome may be unknown, the same command may be sent again.
    #[error("the log did not answer")]
    Log(#[source] LogError),
}

impl From<LogError> for ExecuteError {
    fn from(error: LogError) -> Self {
        ExecuteError::Log(error)
    }
}

/// Carries commands out. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<dyn EventLog>,
    installation: Installation,
    sealer: Sealer,
    aggregates: Aggregates,
    turns: Turns,
}

/// The facts of one try, with the way each of them is folded.
#[derive(Default)]
struct Seen {
    facts: Facts,
    folds: Vec<(StreamId, StreamFold)>,
}

impl Seen {
    fn add(&mut self, need: &Need, fact: Fact) {
        self.facts.insert(need.stream, fact);
        self.folds.push((need.stream, need.fold));
    }

    fn versions(&self) -> Vec<(StreamId, u64)> {
        self.facts.versions().collect()
    }
}

impl Executor {
    /// Carries commands out on `log`, which they are known in by the secret of the installation.
    pub fn new(log: Arc<dyn EventLog>, installation: Installation, options: ExecutorOptions) -> Self {
        let sealer = Sealer::new(installation.clone());
        let aggregates = Aggregates::new(log.clone(), sealer.clone(), options);
        Self { inner: Arc::new(Inner { log, installation, sealer, aggregates, turns: Turns::new() }) }
    }

    /// What commands are known by: whoever makes a [`Request`] makes its id and its fingerprint with them.
    ///
    /// # Errors
    /// [`ExecuteError::Keys`].
    pub fn marks(&self) -> Result<&Marks, ExecuteError> {
        Ok(self.inner.installation.marks()?)
    }

    /// What opens the events that were sealed here.
    pub fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    /// Decides and appends. A repeated command gives its first answer.
    ///
    /// # Errors
    /// [`ExecuteError`]; nothing is appended then, except perhaps after [`ExecuteError::Log`].
    pub fn execute<'caller>(
        &'caller self,
        request: &'caller Request,
        command: &'caller dyn Decide,
    ) -> BoxFuture<'caller, Result<Executed, ExecuteError>> {
        Box::pin(async move {
            let inner = &*self.inner;
            let mut turn: Option<Turn<'_>> = None;
            let mut collided = request.target;
            for turn_number in 0..TRIES_MAX {
                let mut seen = Seen::default();
                let incarnation = inner.aggregates.settle();
                // What was assumed wrongly is a conflict, or looked at before a refusal; then it is read.
                let assumed = (request.creates && turn_number == 0).then_some(request.target);
                let outcome = match inner.decide(request, command, assumed, &mut seen).await {
                    // Decided on what the log no longer holds.
                    Ok(_) if incarnation != inner.aggregates.settle() => Err(Failure::Conflict(request.target)),
                    Ok(decision) => match compose(request, decision, &seen) {
                        Ok(append) => inner.append(request, append, &mut seen).await,
                        Err(error) => Err(Failure::Final(error)),
                    },
                    Err(Failure::Final(ExecuteError::Refused(refusal))) if request.keep_refusal => {
                        // The guards prove that the refusal rests on what the log holds now.
                        let append = remembered(request, refusal, &seen);
                        inner.append(request, append, &mut seen).await
                    }
                    Err(error) => Err(error),
                };
                match outcome {
                    Ok(executed) => return Ok(executed),
                    Err(Failure::Conflict(stream)) => {
                        // Whoever collides on a stream queues for it, one at a
                        // time, so that many callers do not decide in vain, and
                        // keeps the turn until it is done. Another one is given
                        // back first: nobody ever holds two.
                        collided = stream;
                        if turn.as_ref().is_none_or(|turn| turn.of != stream) {
                            drop(turn.take());
                            turn = Some(inner.turns.wait(&request.actor.id, stream).await);
                        }
                        inner.aggregates.refresh(stream).await?;
                    }
                    Err(Failure::Final(error)) if rests_on_facts(&error) => {
                        // What is kept in memory may be behind what other processes
                        // appended. An append would have been caught by its
                        // versions; a refusal has to be looked at again.
                        if inner.aggregates.proved(&seen.versions()).await?.is_some() {
                            // Whoever may not send it any more is not told how it ended before either.
                            return if is_forbidden(&error) {
                                Err(error)
                            } else {
                                inner.first_answer(request, error).await
                            };
                        }
                    }
                    Err(Failure::Final(error)) => return Err(error),
                }
            }
            Err(ExecuteError::Conflict { stream: collided })
        })
    }
}

/// Whether other facts might have led to another end.
const fn rests_on_facts(error: &ExecuteError) -> bool {
    matches!(error, ExecuteError::Refused(_) | ExecuteError::VersionMismatch { .. })
}

fn is_forbidden(error: &ExecuteError) -> bool {
    matches!(error, ExecuteError::Refused(refusal) if refusal.kind == RefusalKind::Forbidden)
}

enum Failure {
    Conflict(StreamId),
    Final(ExecuteError),
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Failure::Final(error.into())
    }
}

impl Inner {
    /// Asks for a decision until all streams that it needs are loaded.
    /// `assumed` is a stream that is taken not to exist unless more is known of it.
    async fn decide(
        &self,
        request: &Request,
        command: &dyn Decide,
        assumed: Option<StreamId>,
        seen: &mut Seen,
    ) -> Result<Decision, Failure> {
        let context = Context {
            now: clock::now(),
            command_id: request.command_id,
            actor: request.actor.clone(),
            target_named: request.target_named,
            search: self.installation.marks().map_err(|error| Failure::Final(error.into()))?.clone(),
        };
        let decided = self.with_facts(command.reads(), assumed, seen, |facts| command.decide(&context, facts));
        decided.await.map_err(Failure::Final)
    }

    /// Tries until all streams that it asks for are loaded, those that it `reads` first.
    async fn with_facts<T>(
        &self,
        reads: Vec<Need>,
        assumed: Option<StreamId>,
        seen: &mut Seen,
        attempt: impl Fn(&Facts) -> Result<T, Halt>,
    ) -> Result<T, ExecuteError> {
        self.load(reads, assumed, seen).await?;
        for _ in 0..HALTS_MAX {
            match attempt(&seen.facts) {
                Ok(end) => return Ok(end),
                Err(Halt::Refused(refusal)) => return Err(ExecuteError::Refused(refusal)),
                Err(Halt::Needs(needs)) => self.load(needs, assumed, seen).await?,
            }
        }
        Err(ExecuteError::Malformed(format!("it asked for streams {HALTS_MAX} times")))
    }

    /// Adds the streams to what is seen: from memory, or all others in one read.
    async fn load(&self, needs: Vec<Need>, assumed: Option<StreamId>, seen: &mut Seen) -> Result<(), LogError> {
        let mut missing = Vec::new();
        for need in needs {
            match self.aggregates.cached(need.stream) {
                Some(fact) => seen.add(&need, fact),
                None if assumed == Some(need.stream) => {
                    seen.add(&need, Fact::absent(&need.fold));
                }
                None => missing.push(need),
            }
        }
        for (need, fact) in self.aggregates.load(missing).await? {
            seen.add(&need, fact);
        }
        Ok(())
    }

    async fn append(&self, request: &Request, mut append: Append, seen: &mut Seen) -> Result<Executed, Failure> {
        // What is folded on in memory stays open.
        let writes = append.writes.clone();
        self.sealer.seal(&mut append).await.map_err(|error| Failure::Final(error.into()))?;
        match self.log.append(append).await {
            Ok(Appended::Stored(receipt)) => {
                let version = seen.facts.version(request.target);
                self.aggregates.remember(&writes, &mut seen.facts, &seen.folds);
                Ok(Executed { receipt, repeated: false, seen: version })
            }
            Ok(Appended::Repeated(receipt)) => repeated(request, receipt).map_err(Failure::Final),
            Err(AppendError::Conflict { stream, .. }) => Err(Failure::Conflict(stream)),
            Err(AppendError::CommandReused) => Err(Failure::Final(ExecuteError::CommandReused)),
            Err(AppendError::Malformed(MalformedAppend::PayloadTooLarge)) => {
                Err(Failure::Final(ExecuteError::TooLarge))
            }
            Err(AppendError::Malformed(how)) => Err(Failure::Final(ExecuteError::Malformed(how.to_string()))),
            Err(AppendError::Log(error)) => Err(error.into()),
        }
    }

    /// What a command that was carried out before is told, although it would
    /// be refused now: its first answer.
    async fn first_answer(&self, request: &Request, error: ExecuteError) -> Result<Executed, ExecuteError> {
        match self.log.find_command(request.command_id).await? {
            Some(known) if known.fingerprint == request.fingerprint => {}
            Some(_) => return Err(ExecuteError::CommandReused),
            None => return Err(error),
        }
        // Where it is known by now: the writer answers when a standby has it, too.
        match self.log.append(recollection(request)).await {
            Ok(appended) => repeated(request, appended.into_receipt()),
            Err(AppendError::Log(error)) => Err(error.into()),
            // The log went back in between.
            Err(_) => Err(error),
        }
    }
}
