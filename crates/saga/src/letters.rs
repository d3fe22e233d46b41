//! Dead letters: steps that wait for an operator.

use domain::commands::{AnyCommand, COMMANDS};
use domain::operation::dead_letter::RecordDeadLetter;
use domain::process::Step;
use event_store::sagas::{StepStatus, StoredStep};
use events::envelope::{Envelope, References};
use events::ids::{DeadLetterId, StreamId, StreamKey as _};
use events::operation::dead_letter::DeadLetterEvent;
use serde_json::Value;
use uuid::Uuid;

use crate::lane::{Lane, Trigger};
use crate::run::RunError;
use chrono::{DateTime, Utc};

/// Prefix of the step that records a dead letter.
const DEAD_LETTER: &str = "dead-letter-";

/// Whether a step records a dead letter.
pub fn records_letter(step: &StoredStep) -> bool {
    step.name.starts_with(DEAD_LETTER)
}

/// The command's name and target, also where this program can no longer read the rest of it.
fn addressed(step: &StoredStep) -> (String, StreamId) {
    if let Ok(command) = AnyCommand::from_json(&step.command) {
        return (command.name().to_owned(), command.target());
    }
    let command: Value = serde_json::from_str(&step.command).unwrap_or_default();
    let name = command["command"].as_str().unwrap_or("unknown").to_owned();
    let id = command["target"].as_str().and_then(|text| text.parse::<Uuid>().ok());
    let spec = COMMANDS.iter().find(|spec| spec.name == name);
    let target = spec.zip(id).map(|(spec, id)| StreamId::new(spec.target, id));
    (name, target.unwrap_or_else(|| DeadLetterId::of(step.command_id).stream()))
}

impl Lane<'_> {
    /// Lays a step aside for an operator and records why.
    pub async fn bury(
        &mut self,
        step: &StoredStep,
        rule: &str,
        cause: &str,
        at: DateTime<Utc>,
    ) -> Result<(), RunError> {
        self.lay_aside(step);
        self.fetch(&[step.instance_id], &[]).await?;
        let Some(instance) = self.instance_mut(step.instance_id) else { return Ok(()) };
        instance.settle(step.command_id, "dead", Some(rule), at);
        if records_letter(step) {
            // Nothing more can be recorded about it.
            tracing::error!(saga = step.saga, step = step.name, rule, "a dead letter cannot be recorded");
            return Ok(());
        }
        let (command, target) = addressed(step);
        let record = RecordDeadLetter {
            saga: instance.saga.clone(),
            saga_id: instance.saga_id,
            step: step.name.clone(),
            trigger_event_id: step.trigger_id,
            command,
            target,
            rule: rule.to_owned(),
            cause: cause.to_owned(),
            attempts: step.attempts.saturating_add(1),
            references: References { trial_id: instance.trial_id, site_id: None, patient_id: instance.patient_id },
        };
        let letter = Step::new(format!("{DEAD_LETTER}{}", step.name), (DeadLetterId::of(step.command_id), record));
        let trigger = Trigger {
            id: step.command_id,
            causation_id: step.causation_id,
            trace_context: step.trace_context.clone(),
            at,
        };
        self.plan(step.instance_id, &[letter], &trigger, Some(step));
        Ok(())
    }

    /// Folds what became of a dead letter: its step is sent once more, or given up.
    pub async fn dead_letter(&mut self, event: &DeadLetterEvent, envelope: &Envelope) -> Result<(), RunError> {
        if let DeadLetterEvent::StepDeadLettered(lettered) = event
            && lettered.saga != self.process.name()
        {
            return Ok(());
        }
        if envelope.position <= self.catch_up_to {
            // What it speaks of may have been planned a moment ago.
            self.settle_known().await?;
        }
        let command_id = envelope.stream.id;
        let Some(step) = self.step(command_id).await? else { return Ok(()) };
        self.fetch(&[step.instance_id], &[]).await?;
        let at = envelope.recorded_at;
        match event {
            DeadLetterEvent::StepDeadLettered(lettered) => {
                // Folded again: it could not be carried out then, and waits for an operator since.
                if step.status == StepStatus::Pending {
                    self.bury(&step, &lettered.rule, &lettered.cause, at).await?;
                }
            }
            DeadLetterEvent::DeadLetterRetried(_) => {
                // The log remembers that the command was refused: another try is another command.
                self.remove(command_id);
                if let Some(instance) = self.instance_mut(step.instance_id) {
                    instance.settle(command_id, "retried", None, at);
                }
                self.plan_again(&step, &Trigger::event(envelope), &addressed(&step).0);
            }
            DeadLetterEvent::DeadLetterDropped(_) => {
                self.remove(command_id);
                if let Some(instance) = self.instance_mut(step.instance_id) {
                    instance.settle(command_id, "dropped", None, at);
                }
            }
        }
        Ok(())
    }
}
