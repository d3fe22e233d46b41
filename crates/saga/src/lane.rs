//! The lane of one process manager: its cursor, the instances and steps that it
//! has in hand, and what of them is not stored yet.
//!
//! The runner is the only writer: whatever it stores moves the cursor, and
//! another that stored in between would have moved it, too. So instances that
//! were read or written once, and those that do not exist, are known.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::process::{Step, step_command_id};
use event_store::Store;
use event_store::sagas::{About, Documents, SagaBatch, SagaCursor, StepChange, StepStatus, StoredStep};
use events::envelope::Envelope;
use uuid::Uuid;

use crate::instance::{Instance, SCHEMA};
use crate::process::DynProcess;
use crate::run::RunError;

/// Instances that are kept in memory from one batch to the next.
const KEPT_INSTANCES_MAX: usize = 20_000;
/// Instances that are read at a time.
const PAGE: u32 = 1_000;
/// Room between the steps of a trigger for what follows where one of them is refused.
const PLACES: i64 = 1 << 16;

/// What leads to steps.
pub struct Trigger {
    /// The event's id, or one that stands for a timer or a refused step.
    pub id: Uuid,
    /// The event.
    pub causation_id: Option<Uuid>,
    /// W3C `traceparent` of what led here.
    pub trace_context: Option<String>,
    /// When it was.
    pub at: DateTime<Utc>,
}

impl Trigger {
    /// An event.
    pub fn event(envelope: &Envelope) -> Self {
        Self {
            id: envelope.event_id,
            causation_id: Some(envelope.event_id),
            trace_context: envelope.trace_context.clone(),
            at: envelope.recorded_at,
        }
    }
}

/// The lane of one process manager.
pub struct Lane<'run> {
    /// The process manager.
    pub process: &'static dyn DynProcess,
    /// The storage.
    pub store: &'run Store,
    /// Where it stands, with what is not stored yet.
    pub cursor: SagaCursor,
    /// Up to here things happened before this runner: what the log knows of their steps is looked up first.
    pub catch_up_to: u64,
    generation: i64,
    among: &'run [String],
    // `None`: there is no such instance.
    instances: HashMap<Uuid, Option<Instance>>,
    // Instances by patient; some of them may have ended.
    patients: HashMap<Uuid, BTreeSet<Uuid>>,
    dirty: BTreeSet<Uuid>,
    changes: BTreeMap<Uuid, StepChange>,
    // Steps that were planned since the last commit, in order.
    planned: Vec<Uuid>,
    looked_up: usize,
}

impl<'run> Lane<'run> {
    /// The lane from where the cursor stands.
    pub fn new(
        process: &'static dyn DynProcess,
        store: &'run Store,
        generation: i64,
        among: &'run [String],
        cursor: SagaCursor,
        catch_up_to: u64,
    ) -> Self {
        let (instances, patients) = (HashMap::new(), HashMap::new());
        let (dirty, changes, planned) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let looked_up = 0;
        Self {
            process,
            store,
            cursor,
            catch_up_to,
            generation,
            among,
            instances,
            patients,
            dirty,
            changes,
            planned,
            looked_up,
        }
    }

    /// Whether everything that happened before this runner is folded.
    pub const fn has_caught_up(&self) -> bool {
        self.cursor.checkpoint.position >= self.catch_up_to
    }

    /// Whether instances or steps changed since the last commit.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.changes.is_empty()
    }

    /// Whether steps were planned since the last commit.
    pub const fn has_planned(&self) -> bool {
        !self.planned.is_empty()
    }

    /// Reads what is not known yet of these instances, and of those about these patients.
    pub async fn fetch(&mut self, ids: &[Uuid], patients: &[Uuid]) -> Result<(), RunError> {
        let unknown = ids.iter().filter(|id| !self.instances.contains_key(id));
        let keys: BTreeSet<String> = unknown.map(Uuid::to_string).collect();
        if !keys.is_empty() {
            let keys: Vec<String> = keys.into_iter().collect();
            let loaded = self.store.views.load(SCHEMA.name, self.generation, &keys).await?;
            self.know(loaded.into_iter().collect());
            for id in ids {
                self.instances.entry(*id).or_insert(None);
            }
        }
        let unknown: BTreeSet<Uuid> = patients.iter().filter(|id| !self.patients.contains_key(id)).copied().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        self.patients.extend(unknown.iter().map(|id| (*id, BTreeSet::new())));
        let about = About::Patients(unknown.into_iter().collect());
        let mut after: Option<String> = None;
        loop {
            let page = self.running(&about, after.as_deref(), PAGE).await?;
            self.index(page.iter().copied());
            after = page.last().map(Uuid::to_string);
            if page.len() < PAGE as usize {
                break;
            }
        }
        // What is not stored yet.
        self.index(self.dirty.clone());
        Ok(())
    }

    /// Running instances that are stored, by id, after `after`; they are known from then on.
    pub async fn running(&mut self, about: &About, after: Option<&str>, limit: u32) -> Result<Vec<Uuid>, RunError> {
        let sagas = &self.store.sagas;
        let documents = sagas.running(self.process.name(), self.generation, about, after, limit).await?;
        Ok(self.know(documents))
    }

    /// Instances whose time has come.
    pub async fn due(&mut self, by: DateTime<Utc>, limit: u32) -> Result<Vec<Uuid>, RunError> {
        let documents = self.store.sagas.due(self.process.name(), self.generation, by, limit).await?;
        Ok(self.know(documents))
    }

    /// What somebody has to look at.
    pub async fn count_troubles(&self) -> Result<(), RunError> {
        let troubles = self.store.sagas.troubles(self.process.name(), self.generation).await?;
        let name = self.process.name();
        metrics::gauge!("anamnesis_process_manager_stuck_instances", "process_manager" => name)
            .set(troubles.stuck as f64);
        metrics::gauge!("anamnesis_process_manager_dead_letters", "process_manager" => name).set(troubles.dead as f64);
        Ok(())
    }

    fn know(&mut self, documents: Documents) -> Vec<Uuid> {
        let mut ids = Vec::with_capacity(documents.len());
        for (key, document) in documents {
            // A key is written as the id that it stands for.
            let Ok(id) = key.parse::<Uuid>() else { continue };
            let known = self.instances.entry(id).or_insert(None);
            if known.is_none() {
                let (instance, could_be_read) = Instance::read(self.process.name(), id, &document);
                if !could_be_read {
                    // To be shown as such.
                    tracing::error!(saga = instance.saga, saga_id = %id, cause = instance.cause, "an instance is stuck");
                    self.dirty.insert(id);
                }
                *known = Some(instance);
            }
            ids.push(id);
        }
        ids
    }

    fn index(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            let Some(Some(instance)) = self.instances.get(&id) else { continue };
            let Some(patient_id) = instance.patient_id else { continue };
            if let Some(known) = self.patients.get_mut(&patient_id.uuid()) {
                known.insert(id);
            }
        }
    }

    /// The instances about a patient that was fetched.
    pub fn of_patient(&self, patient_id: Uuid) -> Vec<Uuid> {
        self.patients.get(&patient_id).into_iter().flatten().copied().collect()
    }

    /// An instance that was fetched.
    pub fn instance(&self, id: Uuid) -> Option<&Instance> {
        self.instances.get(&id)?.as_ref()
    }

    /// An instance that was fetched, to be changed.
    pub fn instance_mut(&mut self, id: Uuid) -> Option<&mut Instance> {
        let instance = self.instances.get_mut(&id)?.as_mut()?;
        self.dirty.insert(id);
        Some(instance)
    }

    /// Keeps an instance that is new or changed.
    pub fn keep(&mut self, instance: Instance) {
        let id = instance.saga_id;
        self.instances.insert(id, Some(instance));
        self.dirty.insert(id);
        self.index([id]);
    }

    /// Plans the steps that follow from a trigger; those of a `parent` come in its place, before all that follow it.
    pub fn plan(&mut self, id: Uuid, steps: &[Step], trigger: &Trigger, parent: Option<&StoredStep>) {
        if steps.is_empty() {
            return;
        }
        let saga = self.process.name();
        let Some(Some(instance)) = self.instances.get_mut(&id) else { return };
        let (sequence, mut place, spread) = match parent {
            Some(parent) => (parent.sequence, parent.place + 1, 1),
            None => (self.cursor.triggers + 1, 0, PLACES),
        };
        self.cursor.triggers = self.cursor.triggers.max(sequence);
        let state = parent.map_or_else(|| instance.state.to_string(), |parent| parent.state.clone());
        for step in steps {
            let command_id = step_command_id(saga, instance.key, trigger.id, &step.name);
            if instance.note(&step.name, step.command.name(), command_id, trigger.at) {
                let step = StoredStep {
                    command_id,
                    saga: saga.to_owned(),
                    instance_id: id,
                    sequence,
                    place,
                    name: step.name.clone(),
                    trigger_id: trigger.id,
                    causation_id: trigger.causation_id,
                    correlation_id: instance.correlation_id,
                    trace_context: trigger.trace_context.clone(),
                    command: step.command.to_json(),
                    state: state.clone(),
                    status: StepStatus::Pending,
                    attempts: 0,
                };
                self.changes.insert(command_id, StepChange::Put(Box::new(step)));
                self.planned.push(command_id);
            }
            place += spread;
        }
        self.dirty.insert(id);
    }

    /// Plans a step once more, as another command: a dead one that an operator wants tried again.
    pub fn plan_again(&mut self, dead: &StoredStep, trigger: &Trigger, command: &str) {
        let Some(Some(instance)) = self.instances.get_mut(&dead.instance_id) else { return };
        let command_id = step_command_id(&dead.saga, instance.key, trigger.id, &dead.name);
        if !instance.note(&dead.name, command, command_id, trigger.at) {
            return;
        }
        self.dirty.insert(dead.instance_id);
        self.cursor.triggers += 1;
        let step = StoredStep {
            command_id,
            sequence: self.cursor.triggers,
            place: 0,
            trigger_id: trigger.id,
            causation_id: trigger.causation_id,
            trace_context: trigger.trace_context.clone(),
            status: StepStatus::Pending,
            attempts: 0,
            ..dead.clone()
        };
        self.changes.insert(command_id, StepChange::Put(Box::new(step)));
        self.planned.push(command_id);
    }

    /// A step that has not come to an end, as it stands now.
    pub async fn step(&self, command_id: Uuid) -> Result<Option<StoredStep>, RunError> {
        match self.changes.get(&command_id) {
            Some(StepChange::Put(step)) => Ok(Some((**step).clone())),
            Some(StepChange::Remove(_)) => Ok(None),
            None => Ok(self.store.sagas.find(self.process.name(), command_id).await?),
        }
    }

    /// Notes that a step came to an end.
    pub fn remove(&mut self, command_id: Uuid) {
        if self.planned.contains(&command_id) {
            // It was never stored.
            self.changes.remove(&command_id);
        } else {
            self.changes.insert(command_id, StepChange::Remove(command_id));
        }
    }

    /// Lays a step aside.
    pub fn lay_aside(&mut self, step: &StoredStep) {
        let attempts = step.attempts.saturating_add(1);
        let dead = StoredStep { status: StepStatus::Dead, attempts, ..step.clone() };
        self.changes.insert(step.command_id, StepChange::Put(Box::new(dead)));
    }

    /// The planned steps that the log has not been asked about yet.
    pub fn take_unasked(&mut self) -> Vec<StoredStep> {
        let unasked = self.planned[self.looked_up..].iter();
        let steps = unasked.filter_map(|id| match self.changes.get(id) {
            Some(StepChange::Put(step)) if step.status == StepStatus::Pending => Some((**step).clone()),
            _ => None,
        });
        let steps = steps.collect();
        self.looked_up = self.planned.len();
        steps
    }

    /// Stores everything; gives the new steps that are to be sent, in order.
    ///
    /// # Errors
    /// [`RunError`]; the lane is of no more use then.
    pub async fn commit(&mut self) -> Result<Vec<StoredStep>, RunError> {
        let known = self.dirty.iter().filter_map(|id| self.instance(*id));
        let rows: Result<Vec<_>, _> = known.map(Instance::row).collect();
        self.dirty.clear();
        self.looked_up = 0;
        let pending = |id: Uuid| match self.changes.get(&id) {
            Some(StepChange::Put(step)) if step.status == StepStatus::Pending => Some((**step).clone()),
            _ => None,
        };
        let planned: Vec<StoredStep> = self.planned.iter().filter_map(|id| pending(*id)).collect();
        self.planned.clear();
        let revision = self.cursor.revision + 1;
        let batch = SagaBatch {
            saga: self.process.name().to_owned(),
            generation: self.generation,
            to: SagaCursor { revision, ..self.cursor.clone() },
            instances: rows.map_err(RunError::Document)?,
            steps: std::mem::take(&mut self.changes).into_values().collect(),
            among: self.among.to_vec(),
        };
        self.store.sagas.commit(batch).await?;
        self.cursor.revision = revision;
        if self.instances.len() > KEPT_INSTANCES_MAX {
            self.instances.clear();
            self.patients.clear();
        }
        Ok(planned)
    }
}
