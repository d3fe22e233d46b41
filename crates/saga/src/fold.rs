//! Folding events onto the instances that they concern.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use domain::process::{Route, Step, step_command_id, timer_trigger};
use event_store::checkpoints::Checkpoint;
use event_store::sagas::{About, FanOut};
use events::Misfit;
use events::envelope::Envelope;
use events::registry::AnyEvent;
use uuid::Uuid;

use crate::instance::{FINISHED, Instance, RUNNING, STUCK, instance_id};
use crate::lane::{Lane, Trigger};
use crate::run::RunError;

/// Instances that one page of an event that concerns a whole trial is folded onto.
pub const FAN_OUT_PAGE: u32 = 500;
/// Instances that are woken at a time.
const DUE_INSTANCES_MAX: u32 = 100;

/// An event with the instances that it concerns.
pub struct Incoming {
    /// The event.
    pub event: AnyEvent,
    /// What is around it.
    pub envelope: Envelope,
    /// Which instances it concerns.
    pub route: Route,
}

/// Asks a process manager. One that cannot answer, or that breaks down over it, stops one instance and no other.
pub fn asked<T>(question: impl FnOnce() -> Result<T, serde_json::Error>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(question)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("the state cannot be read: {}", Misfit::from(error))),
        Err(_) => Err("the process manager broke down over it; the program's log says where".to_owned()),
    }
}

impl Lane<'_> {
    /// Folds events none of which concerns a whole trial.
    pub async fn fold(&mut self, events: &[Incoming]) -> Result<(), RunError> {
        let saga = self.process.name();
        let (mut ids, mut patients) = (Vec::new(), Vec::new());
        for incoming in events {
            match incoming.route {
                Route::Start(key) | Route::Continue(key) => ids.push(instance_id(saga, key)),
                Route::Patient(patient_id) => patients.push(patient_id.uuid()),
                Route::Nobody | Route::Trial(_) => {}
            }
        }
        self.fetch(&ids, &patients).await?;
        for Incoming { event, envelope, route } in events {
            if let AnyEvent::DeadLetter(event) = event {
                self.dead_letter(event, envelope).await?;
            }
            match *route {
                Route::Nobody | Route::Trial(_) => {}
                Route::Start(key) => self.fold_one(instance_id(saga, key), Some(key), event, envelope).await?,
                Route::Continue(key) => self.fold_one(instance_id(saga, key), None, event, envelope).await?,
                Route::Patient(patient_id) => {
                    for id in self.of_patient(patient_id.uuid()) {
                        if self.instance(id).is_some_and(Instance::is_running) {
                            self.fold_one(id, None, event, envelope).await?;
                        }
                    }
                }
            }
            self.cursor.checkpoint = Checkpoint::behind(envelope);
        }
        if let Some(last) = events.last().filter(|last| last.envelope.position <= self.catch_up_to) {
            self.settle_known().await?;
            tracing::debug!(saga, position = last.envelope.position, "catching up");
        }
        Ok(())
    }

    /// Folds an event onto the next page of a trial's instances; tells whether it was the last. Everything before
    /// must be stored. What is stored afterwards holds the place, so that whoever goes on does so behind it.
    pub async fn fan_out(&mut self, incoming: &Incoming, trial_id: Uuid) -> Result<bool, RunError> {
        let Incoming { event, envelope, .. } = incoming;
        let begun = self.cursor.fan_out.take().filter(|fan_out| fan_out.position == envelope.position);
        let after = begun.map(|fan_out| fan_out.after);
        let page = self.running(&About::Trial(trial_id), after.as_deref(), FAN_OUT_PAGE).await?;
        for id in &page {
            if self.instance(*id).is_some_and(Instance::is_running) {
                self.fold_one(*id, None, event, envelope).await?;
            }
        }
        if envelope.position <= self.catch_up_to {
            self.settle_known().await?;
        }
        match page.last() {
            Some(last) if page.len() == FAN_OUT_PAGE as usize => {
                self.cursor.fan_out = Some(FanOut { position: envelope.position, after: last.to_string() });
                Ok(false)
            }
            _ => {
                self.cursor.checkpoint = Checkpoint::behind(envelope);
                Ok(true)
            }
        }
    }

    /// Folds an event onto one instance; `begins` is what it is about where the event may begin it.
    async fn fold_one(
        &mut self,
        id: Uuid,
        begins: Option<Uuid>,
        event: &AnyEvent,
        envelope: &Envelope,
    ) -> Result<(), RunError> {
        let due = self.instance(id).and_then(|instance| instance.due_at);
        if let Some(due) = due.filter(|due| *due <= envelope.recorded_at && envelope.position <= self.catch_up_to) {
            self.wake_if_sent(id, due).await?;
        }
        let known = self.instance(id);
        let begun = |key| Instance::begun(self.process.name(), id, key, envelope);
        let Some(mut instance) = known.cloned().or_else(|| begins.map(begun)) else { return Ok(()) };
        if instance.status == STUCK {
            return Ok(());
        }
        let folded = asked(|| self.process.fold(known.map(|instance| &instance.state), event, envelope));
        let folded = match folded {
            Ok(folded) => folded,
            Err(cause) => {
                self.stick(instance, &format!("{cause} (event {})", envelope.event_id), envelope.recorded_at);
                return Ok(());
            }
        };
        if instance.waiting_for != folded.phase.waiting_for {
            instance.waiting_since = envelope.recorded_at;
        }
        instance.waiting_for = folded.phase.waiting_for;
        if folded.phase.finished { FINISHED } else { RUNNING }.clone_into(&mut instance.status);
        // For one time it is woken once.
        instance.due_at = folded.wake_at.filter(|due| instance.woken_for != Some(*due));
        instance.state = folded.state;
        instance.refer(&folded.references);
        self.keep(instance);
        self.plan(id, &folded.steps, &Trigger::event(envelope), None);
        Ok(())
    }

    /// Keeps an instance that cannot go on, for people to see.
    pub fn stick(&mut self, mut instance: Instance, cause: &str, at: DateTime<Utc>) {
        tracing::error!(saga = instance.saga, saga_id = %instance.saga_id, cause, "an instance is stuck");
        instance.stick(cause.to_owned(), at);
        self.keep(instance);
    }

    /// What follows because the instance's time has come.
    fn wake_steps(&mut self, id: Uuid, due: DateTime<Utc>) -> Option<Vec<Step>> {
        let instance = self.instance(id)?;
        match asked(|| self.process.wake(&instance.state, due)) {
            Ok(steps) => Some(steps),
            Err(cause) => {
                let instance = instance.clone();
                self.stick(instance, &cause, due);
                None
            }
        }
    }

    /// Wakes an instance if it was woken before: the log knows of a command that followed.
    async fn wake_if_sent(&mut self, id: Uuid, due: DateTime<Utc>) -> Result<(), RunError> {
        let Some(steps) = self.wake_steps(id, due) else { return Ok(()) };
        let Some(key) = self.instance(id).map(|instance| instance.key) else { return Ok(()) };
        let (saga, trigger) = (self.process.name(), timer_trigger(key, due));
        let ids: Vec<Uuid> = steps.iter().map(|step| step_command_id(saga, key, trigger, &step.name)).collect();
        let known = match ids.is_empty() {
            true => HashMap::new(),
            false => self.store.log.find_commands(&ids).await?,
        };
        if ids.is_empty() || !known.is_empty() {
            self.fire(id, due, &steps);
        }
        Ok(())
    }

    fn fire(&mut self, id: Uuid, due: DateTime<Utc>, steps: &[Step]) {
        let Some(instance) = self.instance_mut(id) else { return };
        // It is woken once; what its step leads to sets the next time.
        instance.due_at = None;
        instance.woken_for = Some(due);
        let trigger =
            Trigger { id: timer_trigger(instance.key, due), causation_id: None, trace_context: None, at: due };
        self.plan(id, steps, &trigger, None);
    }

    /// Wakes instances whose time has come; tells whether there may be more.
    pub async fn wake(&mut self, now: DateTime<Utc>) -> Result<bool, RunError> {
        let due = self.due(now, DUE_INSTANCES_MAX).await?;
        for id in &due {
            let Some(time) = self.instance(*id).and_then(|instance| instance.due_at).filter(|time| *time <= now) else {
                continue;
            };
            let overdue = (now - time).num_seconds().max(0);
            metrics::gauge!("anamnesis_process_manager_timer_overdue_seconds", "process_manager" => self.process.name()).set(overdue as f64);
            if let Some(steps) = self.wake_steps(*id, time) {
                self.fire(*id, time, &steps);
            }
        }
        Ok(due.len() == DUE_INSTANCES_MAX as usize)
    }
}
