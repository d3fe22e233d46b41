//! What becomes of steps.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use decider::Refusal;
use domain::commands::AnyCommand;
use domain::process::{OnRefusal, Step};
use event_store::clock;
use event_store::execute::ExecuteError;
use event_store::log::Receipt;
use event_store::sagas::StoredStep;
use uuid::Uuid;

use crate::fold::asked;
use crate::lane::{Lane, Trigger};
use crate::letters::records_letter;
use crate::run::RunError;
use crate::steps::{Outcome, Steps};

impl Lane<'_> {
    /// Settles the planned steps that the log knows of: they were carried out, or refused, before.
    pub async fn settle_known(&mut self) -> Result<(), RunError> {
        loop {
            let asked = self.take_unasked();
            if asked.is_empty() {
                return Ok(());
            }
            let ids: Vec<Uuid> = asked.iter().map(|step| step.command_id).collect();
            let mut known: HashMap<Uuid, _> = self.store.log.find_commands(&ids).await?;
            for step in asked {
                if let Some(command) = known.remove(&step.command_id) {
                    self.end(&step, command.receipt).await?;
                }
            }
        }
    }

    /// Takes in how steps ended.
    pub async fn settle(&mut self, steps: &mut Steps, outcomes: Vec<Outcome>) -> Result<(), RunError> {
        for Outcome { step, result } in outcomes {
            let outcome = match &result {
                Ok(executed) if executed.receipt.refusal.is_none() => "done",
                Ok(_) | Err(ExecuteError::Refused(_)) => "refused",
                Err(_) => "failed",
            };
            metrics::counter!("anamnesis_process_manager_steps_total", "process_manager" => self.process.name(), "outcome" => outcome).increment(1);
            match result {
                Ok(executed) => {
                    steps.free(&step);
                    self.end(&step, executed.receipt).await?;
                }
                Err(ExecuteError::Refused(refusal)) => {
                    steps.free(&step);
                    self.refused(&step, refusal, clock::now()).await?;
                }
                Err(error) if may_pass(&error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, step = step.name, attempts = step.attempts, "a step is sent again");
                    steps.rest(step);
                }
                Err(error) => {
                    steps.free(&step);
                    self.bury(&step, "malformed", &error.to_string(), clock::now()).await?;
                }
            }
        }
        Ok(())
    }

    /// A step came to an end as the log remembers it.
    async fn end(&mut self, step: &StoredStep, receipt: Receipt) -> Result<(), RunError> {
        match receipt.refusal {
            None => self.note_end(step, "done", None, receipt.recorded_at).await,
            Some(refusal) => self.refused(step, refusal, receipt.recorded_at).await,
        }
    }

    async fn note_end(
        &mut self,
        step: &StoredStep,
        status: &str,
        rule: Option<&str>,
        at: DateTime<Utc>,
    ) -> Result<(), RunError> {
        self.remove(step.command_id);
        self.fetch(&[step.instance_id], &[]).await?;
        if let Some(instance) = self.instance_mut(step.instance_id) {
            instance.settle(step.command_id, status, rule, at);
        }
        Ok(())
    }

    /// A rule refused the step: the process manager says what comes of it.
    async fn refused(&mut self, step: &StoredStep, refusal: Refusal, at: DateTime<Utc>) -> Result<(), RunError> {
        let rule = refusal.rule.as_str();
        if records_letter(step) {
            // Nothing more can be recorded about it.
            tracing::error!(step = step.name, rule, "a dead letter was refused");
            return self.note_end(step, "refused", Some(rule), at).await;
        }
        let answer = asked(|| {
            let planned = Step { name: step.name.clone(), command: AnyCommand::from_json(&step.command)? };
            self.process.on_refusal(&step.state, &planned, &refusal)
        });
        match answer {
            Ok(OnRefusal::Ignore) => self.note_end(step, "refused", Some(rule), at).await,
            Ok(OnRefusal::Instead(instead)) => {
                self.note_end(step, "refused", Some(rule), at).await?;
                let (id, causation_id) = (step.trigger_id, step.causation_id);
                let trigger = Trigger { id, causation_id, trace_context: step.trace_context.clone(), at };
                self.plan(step.instance_id, &instead, &trigger, Some(step));
                Ok(())
            }
            Ok(OnRefusal::DeadLetter) => self.bury(step, rule, &refusal.message, at).await,
            Err(cause) => self.bury(step, rule, &format!("{}; {cause}", refusal.message), at).await,
        }
    }
}

/// Whether the same step may be carried out later, with nothing done about it.
const fn may_pass(error: &ExecuteError) -> bool {
    match error {
        ExecuteError::Log(_) | ExecuteError::Keys(_) | ExecuteError::Conflict { .. } => true,
        ExecuteError::Sealing(error) => error.may_pass(),
        ExecuteError::Refused(_)
        | ExecuteError::CommandReused
        | ExecuteError::Malformed(_)
        | ExecuteError::TooLarge
        | ExecuteError::VersionMismatch { .. } => false,
    }
}
