//! Sending steps as commands.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use decider::Command as _;
use domain::commands::AnyCommand;
use domain::operation::dead_letter::RecordDeadLetter;
use event_store::execute::{ExecuteError, Executed, Executor, Request};
use event_store::sagas::{SagaStore, StepOrder, StoredStep};
use event_store::views::ViewError;
use events::envelope::Actor;
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

/// Steps that are sent at the same time.
const CONCURRENT_MAX: usize = 32;
/// Steps that are in memory; more wait in storage, in order.
const IN_MEMORY_MAX: usize = 2_000;
/// First pause before a step is sent again; doubles up to a minute.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How a step ended, or that it did not.
pub struct Outcome {
    /// The step.
    pub step: StoredStep,
    /// How it ended.
    pub result: Result<Executed, ExecuteError>,
}

/// Steps that wait, and steps that are on their way: one at a time for each instance.
///
/// In memory is whatever comes first in order, and behind `read_to` the rest
/// is in storage: so no step of an instance overtakes an earlier one.
#[derive(Default)]
pub struct Steps {
    waiting: HashMap<Uuid, VecDeque<StoredStep>>,
    queued: usize,
    // Tasks of their own: a step that is not polled would keep the
    // connections that it holds from the runner, which waits for them.
    running: JoinSet<Result<Executed, ExecuteError>>,
    sent: HashMap<task::Id, StoredStep>,
    // Instances with a step on its way, or with one that rests.
    busy: HashSet<Uuid>,
    resting: BTreeMap<(Instant, Uuid), StoredStep>,
    read_to: Option<StepOrder>,
    // Whether nothing waits in storage behind `read_to`.
    has_all: bool,
    // What the process manager sends, by name.
    commands: &'static [&'static str],
}

impl Steps {
    /// None yet, of a process manager that sends these commands.
    pub fn of(commands: &'static [&'static str]) -> Self {
        Self { commands, ..Self::default() }
    }

    /// Adds steps that were stored just now.
    pub fn add(&mut self, steps: impl IntoIterator<Item = StoredStep>) {
        for step in steps {
            let order = Some(step.order());
            if order > self.read_to {
                self.has_all &= self.len() < IN_MEMORY_MAX;
                if !self.has_all {
                    continue;
                }
                self.read_to = order;
            }
            self.queue(step);
        }
    }

    /// Reads on where there is room in memory and something waits in storage.
    pub async fn read_on(&mut self, sagas: &dyn SagaStore, saga: &str) -> Result<(), ViewError> {
        let room = IN_MEMORY_MAX.saturating_sub(self.len());
        if self.has_all || room < IN_MEMORY_MAX / 2 {
            return Ok(());
        }
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let page = sagas.pending(saga, self.read_to, limit).await?;
        self.has_all = page.len() < room;
        for step in page {
            self.read_to = Some(step.order());
            self.queue(step);
        }
        Ok(())
    }

    fn queue(&mut self, step: StoredStep) {
        let queue = self.waiting.entry(step.instance_id).or_default();
        let place = queue.partition_point(|known| known.order() < step.order());
        queue.insert(place, step);
        self.queued += 1;
    }

    /// How many steps in memory have not come to an end.
    pub fn len(&self) -> usize {
        self.queued + self.running.len() + self.resting.len()
    }

    /// When the next resting step is to be sent again.
    pub fn next_retry(&self) -> Option<Instant> {
        self.resting.keys().next().map(|(time, _)| *time)
    }

    /// Sends what may be sent now.
    pub fn start(&mut self, executor: &Executor) {
        while let Some(entry) = self.resting.first_entry() {
            if entry.key().0 > Instant::now() {
                break;
            }
            let step = entry.remove();
            self.busy.remove(&step.instance_id);
            self.queue(step);
        }
        let free = CONCURRENT_MAX.saturating_sub(self.running.len());
        let ready: Vec<Uuid> = self.waiting.keys().filter(|id| !self.busy.contains(id)).copied().take(free).collect();
        for id in ready {
            let Some(queue) = self.waiting.get_mut(&id) else { continue };
            let step = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&id);
            }
            if let Some(step) = step {
                self.queued -= 1;
                self.busy.insert(id);
                let task = self.running.spawn(send(executor.clone(), self.commands, step.clone()));
                self.sent.insert(task.id(), step);
            }
        }
    }

    /// Waits for steps to end; gives all that have.
    pub async fn ended(&mut self) -> Vec<Outcome> {
        if self.running.is_empty() {
            return std::future::pending().await;
        }
        let mut ended: Vec<_> = self.running.join_next_with_id().await.into_iter().collect();
        while let Some(more) = self.running.try_join_next_with_id() {
            ended.push(more);
        }
        ended.into_iter().filter_map(|ended| self.outcome(ended)).collect()
    }

    fn outcome(
        &mut self,
        ended: Result<(task::Id, Result<Executed, ExecuteError>), task::JoinError>,
    ) -> Option<Outcome> {
        match ended {
            Ok((id, result)) => Some(Outcome { step: self.sent.remove(&id)?, result }),
            Err(error) => {
                let step = self.sent.remove(&error.id())?;
                let result = Err(ExecuteError::Malformed(format!("sending the step failed: {error}")));
                Some(Outcome { step, result })
            }
        }
    }

    /// Lets the instance of a step go on with its next one.
    pub fn free(&mut self, step: &StoredStep) {
        self.busy.remove(&step.instance_id);
    }

    /// Sends the step again after a pause; its instance waits.
    pub fn rest(&mut self, mut step: StoredStep) {
        step.attempts = step.attempts.saturating_add(1);
        let pause = RETRY_PAUSE.saturating_mul(1 << step.attempts.min(12)).min(RETRY_PAUSE_MAX);
        self.resting.insert((Instant::now() + pause, step.command_id), step);
    }
}

async fn send(
    executor: Executor,
    commands: &'static [&'static str],
    step: StoredStep,
) -> Result<Executed, ExecuteError> {
    let command = AnyCommand::from_json(&step.command)
        .map_err(|error| ExecuteError::Malformed(format!("the stored step cannot be read: {error}")))?;
    // Steps are derived data: whoever can write those, and not the log, gets nothing carried out by it that is not what
    // the process manager is for.
    let is_letter = command.name() == RecordDeadLetter::NAME;
    if !is_letter && !commands.contains(&command.name()) {
        let (saga, name) = (&step.saga, command.name());
        return Err(ExecuteError::Malformed(format!("the stored step is no step of `{saga}`: it sends no {name}")));
    }
    // The id says which step it is; how a version of the program writes its command down does not matter.
    let fingerprint = executor.marks()?.fingerprint(&step.command_id.to_string());
    let request = Request {
        correlation_id: Some(step.correlation_id),
        causation_id: step.causation_id,
        trace_context: step.trace_context.clone(),
        keep_refusal: true,
        ..Request::own(step.command_id, fingerprint, Actor::system(&step.saga), command.target())
    };
    executor.execute(&request, &command).await
}
