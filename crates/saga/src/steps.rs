//! Sending steps as commands.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use domain::commands::AnyCommand;
use domain::dead_letter::RecordDeadLetter;
use domain::process::{OnRefusal, Step};
use event_store::Store;
use event_store::execute::{ExecuteError, Executor, Request};
use event_store::sagas::{StepChange, StepStatus, StoredStep};
use events::decider::{Context, Facts, Refusal};
use events::envelope::{Actor, References};
use events::ids::DeadLetterId;
use sha2::{Digest, Sha256};
use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fold::Work;
use crate::process::find;
use crate::run::RunError;

/// Steps that are sent at the same time.
const CONCURRENT_MAX: usize = 32;
/// First pause before a step is sent again; doubles up to a minute.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Prefix of the step that records a dead letter.
const DEAD_LETTER: &str = "dead-letter-";

/// How a step ended, or that it did not.
pub struct Outcome {
    step: StoredStep,
    result: Result<(), ExecuteError>,
}

/// Steps that wait, and steps that are on their way: one at a time for each instance.
#[derive(Default)]
pub struct Steps {
    waiting: HashMap<Uuid, VecDeque<StoredStep>>,
    // Tasks of their own: a step that is not polled would keep the
    // connections that it holds from the runner, which waits for them.
    running: JoinSet<Result<(), ExecuteError>>,
    sent: HashMap<task::Id, StoredStep>,
    // Instances with a step on its way.
    busy: std::collections::HashSet<Uuid>,
    resting: BTreeMap<(Instant, Uuid), StoredStep>,
}

impl Steps {
    /// Adds steps that are to be sent; those that are known already stay as they are.
    pub fn add(&mut self, steps: impl IntoIterator<Item = StoredStep>) {
        for step in steps {
            let queue = self.waiting.entry(step.instance_id).or_default();
            if !queue.iter().any(|known| known.command_id == step.command_id) {
                let place = queue.partition_point(|known| known.sequence <= step.sequence);
                queue.insert(place, step);
            }
        }
    }

    /// How many steps have not come to an end.
    pub fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum::<usize>() + self.running.len() + self.resting.len()
    }

    /// Whether nothing waits and nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
            self.waiting.entry(step.instance_id).or_default().push_front(step);
        }
        let ready: Vec<Uuid> =
            self.waiting.keys().filter(|id| !self.busy.contains(id)).copied().take(CONCURRENT_MAX).collect();
        for id in ready {
            if self.running.len() >= CONCURRENT_MAX {
                return;
            }
            let Some(queue) = self.waiting.get_mut(&id) else { continue };
            let step = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&id);
            }
            if let Some(step) = step {
                self.busy.insert(id);
                let task = self.running.spawn(send(executor.clone(), step.clone()));
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

    fn outcome(&mut self, ended: Result<(task::Id, Result<(), ExecuteError>), task::JoinError>) -> Option<Outcome> {
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
    fn free(&mut self, step: &StoredStep) {
        self.busy.remove(&step.instance_id);
    }

    /// Sends the step again after a pause; its instance waits.
    fn rest(&mut self, mut step: StoredStep) {
        step.attempts = step.attempts.saturating_add(1);
        let pause = RETRY_PAUSE.saturating_mul(1 << step.attempts.min(12)).min(RETRY_PAUSE_MAX);
        self.resting.insert((Instant::now() + pause, step.command_id), step);
    }
}

async fn send(executor: Executor, step: StoredStep) -> Result<(), ExecuteError> {
    let command: Result<AnyCommand, _> = serde_json::from_str(&step.command);
    match command {
        Ok(command) => {
            let request = Request {
                command_id: step.command_id,
                fingerprint: Sha256::digest(step.command.as_bytes()).into(),
                actor: Actor::system("saga"),
                target: command.target(),
                creates: false,
                if_match: None,
                correlation_id: Some(step.correlation_id),
                causation_id: step.causation_id,
                trace_context: None,
            };
            let decide = |context: &Context, facts: &Facts| command.decide(context, facts);
            executor.execute(&request, &decide).await.map(drop)
        }
        Err(error) => Err(ExecuteError::Malformed(format!("the stored step cannot be read: {error}"))),
    }
}

/// Puts into `work` what the outcomes lead to.
pub async fn settle(work: &mut Work, steps: &mut Steps, store: &Store, outcomes: Vec<Outcome>) -> Result<(), RunError> {
    for Outcome { step, result } in outcomes {
        let outcome = match &result {
            Ok(()) => "done",
            Err(ExecuteError::Refused(_)) => "refused",
            Err(_) => "failed",
        };
        metrics::counter!("anamnesis_saga_steps", "outcome" => outcome).increment(1);
        match result {
            Ok(()) => {
                steps.free(&step);
                end(work, store, &step, "done", None).await?;
            }
            Err(ExecuteError::Refused(refusal)) => {
                steps.free(&step);
                refused(work, store, step, refusal).await?;
            }
            Err(error @ (ExecuteError::Log(_) | ExecuteError::Conflict { .. })) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, step = step.name, attempts = step.attempts, "a step is sent again");
                steps.rest(step);
            }
            Err(
                error @ (ExecuteError::CommandReused
                | ExecuteError::Malformed(_)
                | ExecuteError::TooLarge
                | ExecuteError::VersionMismatch { .. }),
            ) => {
                steps.free(&step);
                bury(work, store, &step, "malformed", &error.to_string()).await?;
            }
        }
    }
    Ok(())
}

async fn end(
    work: &mut Work,
    store: &Store,
    step: &StoredStep,
    status: &str,
    rule: Option<String>,
) -> Result<(), RunError> {
    work.steps.push(StepChange::Remove(step.command_id));
    if let Some(instance) = work.instance(store, step.instance_id).await? {
        instance.settle(step.command_id, status, rule, event_store::clock::now());
    }
    Ok(())
}

/// A rule refused the step: the process manager says what comes of it.
async fn refused(work: &mut Work, store: &Store, step: StoredStep, refusal: Refusal) -> Result<(), RunError> {
    if step.name.starts_with(DEAD_LETTER) {
        // Nothing can be recorded about it; the step itself stays dead in the table.
        tracing::error!(step = step.name, rule = refusal.rule, "a dead letter was refused");
        return end(work, store, &step, "refused", Some(refusal.rule)).await;
    }
    let Some(instance) = work.instance(store, step.instance_id).await? else {
        return end(work, store, &step, "refused", Some(refusal.rule)).await;
    };
    let Some(process) = find(&instance.saga) else {
        return bury(work, store, &step, &refusal.rule, &refusal.message).await;
    };
    let command = serde_json::from_str(&step.command).map_err(RunError::Document)?;
    let planned = Step { name: step.name.clone(), command };
    match process.on_refusal(&instance.state, &planned, &refusal).map_err(RunError::Document)? {
        OnRefusal::Ignore => end(work, store, &step, "refused", Some(refusal.rule)).await,
        OnRefusal::Instead(instead) => {
            end(work, store, &step, "refused", Some(refusal.rule)).await?;
            let now = event_store::clock::now();
            work.plan(step.instance_id, &instead, step.trigger_id, step.causation_id, step.sequence + 1, now)
        }
        OnRefusal::DeadLetter => bury(work, store, &step, &refusal.rule, &refusal.message).await,
    }
}

/// Lays a step aside for an operator and records why.
async fn bury(work: &mut Work, store: &Store, step: &StoredStep, rule: &str, cause: &str) -> Result<(), RunError> {
    let now = event_store::clock::now();
    work.steps.push(StepChange::Set {
        command_id: step.command_id,
        status: StepStatus::Dead,
        attempts: step.attempts + 1,
    });
    let Some(instance) = work.instance(store, step.instance_id).await? else { return Ok(()) };
    instance.settle(step.command_id, "dead", Some(rule.to_owned()), now);
    let command: AnyCommand = match serde_json::from_str(&step.command) {
        Ok(command) => command,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, step = step.name, "a step cannot be read");
            return Ok(());
        }
    };
    let record = RecordDeadLetter {
        saga: instance.saga.clone(),
        saga_id: instance.saga_id,
        step: step.name.clone(),
        trigger_event_id: step.trigger_id,
        command: command.name().to_owned(),
        target: command.target(),
        rule: rule.to_owned(),
        cause: cause.to_owned(),
        attempts: step.attempts + 1,
        references: References { trial_id: instance.trial_id, site_id: None, patient_id: instance.patient_id },
    };
    // Dying again after a retry is another dead letter: the moment tells them apart.
    let name = format!("{DEAD_LETTER}{}-{}", step.name, now.timestamp_micros());
    let letter = Step::new(name, (DeadLetterId::of(step.command_id), record));
    work.plan(step.instance_id, &[letter], step.trigger_id, step.causation_id, step.sequence + 1, now)
}
