//! Folding a batch of events onto the instances that they concern.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::process::{Route, Step, step_command_id, timer_trigger};
use event_store::Store;
use event_store::sagas::{StepChange, StepStatus};
use event_store::views::{ColumnValue, Filter, FilterOp, ListQuery, ViewBatch, ViewError};
use events::envelope::Envelope;
use events::ids::PatientId;
use events::operation::dead_letter::DeadLetterEvent;
use events::registry::AnyEvent;
use uuid::Uuid;

use crate::instance::{Instance, SCHEMA, instance_id, stored};
use crate::process::{DynProcess, PROCESSES, find};
use crate::run::RunError;

/// Unfinished instances about one patient that are looked for.
const PATIENT_INSTANCES_MAX: u32 = 1_000;
/// Instances that are woken at a time.
const DUE_INSTANCES_MAX: u32 = 100;
/// Steps of one trigger, at most: leaves room in a step's sequence.
const STEPS_PER_TRIGGER: i64 = 256;

/// What is to be stored in one transaction.
pub struct Work {
    generation: i64,
    instances: BTreeMap<Uuid, Instance>,
    /// Changes of steps.
    pub steps: Vec<StepChange>,
}

impl Work {
    /// Nothing yet.
    pub const fn new(generation: i64) -> Self {
        Self { generation, instances: BTreeMap::new(), steps: Vec::new() }
    }

    /// The instance, as this work has it or as it is kept.
    pub async fn instance(&mut self, store: &Store, id: Uuid) -> Result<Option<&mut Instance>, RunError> {
        if !self.instances.contains_key(&id) {
            let key = id.to_string();
            let loaded = store.views.load(SCHEMA.name, self.generation, std::slice::from_ref(&key)).await?;
            let Some(document) = loaded.get(&key) else { return Ok(None) };
            self.instances.insert(id, serde_json::from_str(document.get()).map_err(RunError::Document)?);
        }
        Ok(self.instances.get_mut(&id))
    }

    /// Folds one event onto every instance that it concerns.
    pub async fn fold(&mut self, store: &Store, event: &AnyEvent, envelope: &Envelope) -> Result<(), RunError> {
        if let AnyEvent::DeadLetter(event) = event {
            return self.dead_letter(store, event, envelope).await;
        }
        for process in PROCESSES {
            match process.route(event, envelope) {
                Route::Nobody => {}
                Route::Start(key) => self.fold_one(store, *process, key, true, event, envelope).await?,
                Route::Continue(key) => self.fold_one(store, *process, key, false, event, envelope).await?,
                Route::Patient(patient_id) => {
                    for key in self.of_patient(store, *process, patient_id).await? {
                        self.fold_one(store, *process, key, false, event, envelope).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn fold_one(
        &mut self,
        store: &Store,
        process: &dyn DynProcess,
        key: Uuid,
        starts: bool,
        event: &AnyEvent,
        envelope: &Envelope,
    ) -> Result<(), RunError> {
        let id = instance_id(process.name(), key);
        let known = self.instance(store, id).await?;
        if known.is_none() && !starts {
            return Ok(());
        }
        let folded = process.fold(known.map(|instance| &instance.state), event, envelope);
        let folded = folded.map_err(RunError::Document)?;
        let instance = self.instances.entry(id).or_insert_with(|| begun(process, id, key, envelope));
        if instance.waiting_for != folded.phase.waiting_for {
            instance.waiting_since = envelope.recorded_at;
        }
        instance.waiting_for = folded.phase.waiting_for;
        instance.status = if folded.phase.finished { "finished" } else { "running" }.to_owned();
        instance.due_at = folded.wake_at;
        instance.state = folded.state;
        instance.refer(&folded.references);
        let sequence = i64::try_from(envelope.position).unwrap_or(i64::MAX / STEPS_PER_TRIGGER) * STEPS_PER_TRIGGER;
        self.plan(id, &folded.steps, envelope.event_id, Some(envelope.event_id), sequence, envelope.recorded_at)
    }

    /// Plans the steps of one trigger.
    pub fn plan(
        &mut self,
        id: Uuid,
        steps: &[Step],
        trigger_id: Uuid,
        causation_id: Option<Uuid>,
        sequence: i64,
        now: DateTime<Utc>,
    ) -> Result<(), RunError> {
        let Some(instance) = self.instances.get_mut(&id) else { return Ok(()) };
        for (step, place) in steps.iter().zip(0..STEPS_PER_TRIGGER) {
            let command_id = step_command_id(&instance.saga, instance.key, trigger_id, &step.name);
            instance.note(step, command_id, now);
            let row = stored(instance, step, command_id, trigger_id, causation_id, sequence + place);
            self.steps.push(StepChange::Add(row.map_err(RunError::Document)?));
        }
        Ok(())
    }

    /// Unfinished instances about a patient: those that are kept, and those that this work began.
    async fn of_patient(
        &self,
        store: &Store,
        process: &dyn DynProcess,
        patient_id: PatientId,
    ) -> Result<Vec<Uuid>, RunError> {
        let equals =
            |column: &str, value: ColumnValue| Filter { column: column.to_owned(), op: FilterOp::Equals, value };
        let query = ListQuery {
            filters: vec![
                equals("patient_id", patient_id.uuid().into()),
                equals("saga", process.name().into()),
                equals("status", "running".into()),
            ],
            limit: PATIENT_INSTANCES_MAX,
            ..ListQuery::default()
        };
        let mut keys = Vec::new();
        for (_, document) in store.views.list(SCHEMA.name, &query).await?.rows {
            let instance: Instance = serde_json::from_str(document.get()).map_err(RunError::Document)?;
            keys.push(instance.key);
        }
        let begun = self.instances.values().filter(|instance| {
            instance.saga == process.name() && instance.patient_id == Some(patient_id) && instance.status == "running"
        });
        for instance in begun {
            if !keys.contains(&instance.key) {
                keys.push(instance.key);
            }
        }
        Ok(keys)
    }

    /// An operator has looked at a step: it is sent again, or given up.
    async fn dead_letter(
        &mut self,
        store: &Store,
        event: &DeadLetterEvent,
        envelope: &Envelope,
    ) -> Result<(), RunError> {
        let command_id = envelope.stream.id;
        let Some(step) = store.sagas.find(command_id).await? else { return Ok(()) };
        let (status, change) = match event {
            DeadLetterEvent::StepDeadLettered(_) => return Ok(()),
            DeadLetterEvent::DeadLetterRetried(_) => {
                ("pending", StepChange::Set { command_id, status: StepStatus::Pending, attempts: 0 })
            }
            DeadLetterEvent::DeadLetterDropped(_) => ("dropped", StepChange::Remove(command_id)),
        };
        self.steps.push(change);
        if let Some(instance) = self.instance(store, step.instance_id).await? {
            instance.settle(command_id, status, None, envelope.recorded_at);
        }
        Ok(())
    }

    /// Wakes the instances whose time has come; gives how many there were.
    pub async fn wake(&mut self, store: &Store, now: DateTime<Utc>) -> Result<usize, RunError> {
        let due = due(store, Some(now), DUE_INSTANCES_MAX).await?;
        let count = due.len();
        for mut instance in due {
            let Some((process, due_at)) = find(&instance.saga).zip(instance.due_at) else { continue };
            let steps = process.wake(&instance.state, now).map_err(RunError::Document)?;
            // It is woken once; what its step leads to sets the next time.
            instance.due_at = None;
            let (id, trigger_id) = (instance.saga_id, timer_trigger(instance.key, due_at));
            self.instances.insert(id, instance);
            let sequence = i64::try_from(store.log.head().await?).unwrap_or(i64::MAX / STEPS_PER_TRIGGER);
            self.plan(id, &steps, trigger_id, None, sequence * STEPS_PER_TRIGGER, now)?;
        }
        Ok(count)
    }

    /// What is to be stored, standing at `from` and then at `to`.
    pub fn finish(self, from_position: u64, to_position: u64) -> Result<(ViewBatch, Vec<StepChange>), RunError> {
        let rows: Result<Vec<_>, _> = self.instances.values().map(Instance::row).collect();
        let batch = ViewBatch {
            view: SCHEMA.name.to_owned(),
            generation: self.generation,
            from_position,
            to_position,
            upserts: rows.map_err(RunError::Document)?,
            deletes: Vec::new(),
        };
        Ok((batch, self.steps))
    }
}

fn begun(process: &dyn DynProcess, id: Uuid, key: Uuid, envelope: &Envelope) -> Instance {
    Instance {
        saga_id: id,
        saga: process.name().to_owned(),
        key,
        status: "running".to_owned(),
        waiting_for: String::new(),
        waiting_since: envelope.recorded_at,
        due_at: None,
        trial_id: None,
        patient_id: None,
        correlation_id: envelope.correlation_id,
        steps: Vec::new(),
        state: serde_json::Value::Null,
    }
}

/// Instances that want to be woken, soonest first: all of them, or those whose time has come.
pub async fn due(store: &Store, now: Option<DateTime<Utc>>, limit: u32) -> Result<Vec<Instance>, RunError> {
    let far_past = DateTime::UNIX_EPOCH;
    let op = if now.is_some() { FilterOp::AtMost } else { FilterOp::AtLeast };
    let value = ColumnValue::Time(now.unwrap_or(far_past));
    let query = ListQuery {
        filters: vec![Filter { column: "due_at".to_owned(), op, value }],
        sort: Some(("due_at".to_owned(), event_store::views::Direction::Ascending)),
        after: None,
        limit,
    };
    let page = match store.views.list(SCHEMA.name, &query).await {
        Ok(page) => page,
        Err(ViewError::Unknown(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let read = |(_, document): (String, Box<serde_json::value::RawValue>)| {
        serde_json::from_str(document.get()).map_err(RunError::Document)
    };
    page.rows.into_iter().map(read).collect()
}
