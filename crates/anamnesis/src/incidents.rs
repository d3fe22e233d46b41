//! Records what somebody tried and may not, and locks an account of which too much was refused.
//!
//! The first of a kind is in the log before it is answered; those that follow within a minute are counted and
//! recorded together, so that whoever tries a thousand times fills no log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::access::account::LockAccount;
use domain::access::incident::RecordIncident;
use domain::commands::AnyCommand;
use event_store::clock;
use event_store::execute::{ExecuteError, Executed, Executor};
use events::access::incident::IncidentKind;
use events::envelope::Actor;
use events::ids::{AccountId, IncidentId, StreamId, StreamKey as _};
use futures::future::BoxFuture;
use service::incidents::{Incident, Recorder, Unrecorded};
use service::supervise::Supervisor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long incidents of a kind are counted before they are recorded together.
const COUNTED_FOR: Duration = Duration::from_secs(60);
/// Kinds that are told apart at once; beyond that only what was tried is.
const KINDS_MAX: usize = 1_000;
/// Refusals within [`REFUSALS_WITHIN`] after which an account is locked.
const REFUSALS_MAX: usize = 20;
/// The time within which an account's refusals are counted.
const REFUSALS_WITHIN: TimeDelta = TimeDelta::minutes(15);
/// How long an account is locked.
const LOCKED_FOR: TimeDelta = TimeDelta::minutes(15);

/// Records incidents in the log.
#[derive(Clone)]
pub struct Incidents {
    executor: Executor,
    counted: Arc<Mutex<Counted>>,
}

#[derive(Default)]
struct Counted {
    // Since the first of its kind was recorded: how many more, and when.
    kinds: HashMap<Incident, Count>,
    refusals: HashMap<AccountId, Vec<DateTime<Utc>>>,
}

#[derive(Clone, Copy)]
struct Count {
    more: u32,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

/// Records what is told in a process that carries out commands. Who carries out none answers nobody, and hears of
/// nothing.
pub fn recorder(
    executor: Option<&Executor>,
    supervisor: &mut Supervisor,
    shutdown: &CancellationToken,
) -> Arc<dyn Recorder> {
    let Some(executor) = executor else { return Arc::new(Unrecorded) };
    let incidents = Incidents::new(executor.clone());
    supervisor.spawn("security events", incidents.clone().run(shutdown.clone()));
    Arc::new(incidents)
}

impl Incidents {
    /// Records by this executor.
    pub fn new(executor: Executor) -> Self {
        Self { executor, counted: Arc::default() }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the first of its kind lately; otherwise it is counted.
    fn is_first(&self, incident: &Incident, now: DateTime<Utc>) -> bool {
        let kinds = &mut self.counted().kinds;
        let mut kind = incident.clone();
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
            (kind.address, kind.operation) = (None, "several".to_owned());
        }
        match kinds.entry(kind) {
            Entry::Occupied(mut known) => {
                let count = known.get_mut();
                if count.more == 0 {
                    count.first_at = now;
                }
                count.more = count.more.saturating_add(1);
                count.last_at = now;
                false
            }
            Entry::Vacant(new) => {
                new.insert(Count { more: 0, first_at: now, last_at: now });
                true
            }
        }
    }

    /// Counts a refusal of the account; how many there were lately, where that is too many.
    fn refuse(&self, account_id: AccountId, now: DateTime<Utc>) -> Option<usize> {
        let refusals = &mut self.counted().refusals;
        if refusals.len() >= KINDS_MAX {
            refusals.retain(|_, times| times.last().is_some_and(|time| now - *time < REFUSALS_WITHIN));
        }
        let times = refusals.entry(account_id).or_default();
        times.retain(|time| now - *time < REFUSALS_WITHIN);
        times.push(now);
        let count = times.len();
        if count < REFUSALS_MAX {
            return None;
        }
        refusals.remove(&account_id);
        Some(count)
    }

    /// Records those that were counted, again and again, and a last time when the process is asked to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let is_over = tokio::select! {
                () = shutdown.cancelled() => true,
                () = tokio::time::sleep(COUNTED_FOR) => false,
            };
            let counted = std::mem::take(&mut self.counted().kinds);
            for (incident, count) in counted.into_iter().filter(|(_, count)| count.more > 0) {
                self.write(&incident, count.more, count.first_at, count.last_at).await;
            }
            if is_over {
                return;
            }
        }
    }

    async fn write(&self, incident: &Incident, count: u32, first_at: DateTime<Utc>, last_at: DateTime<Utc>) {
        let record = RecordIncident {
            kind: incident.kind,
            rule: incident.rule.clone(),
            account_id: incident.account.as_ref().map(|(account_id, _)| *account_id),
            username: incident.account.as_ref().map(|(_, username)| username.to_string()),
            operation: incident.operation.clone(),
            address: incident.address.clone(),
            count,
            first_at,
            last_at,
        };
        let incident_id = IncidentId::from(Uuid::now_v7());
        if !self.execute(incident_id.stream(), (incident_id, record).into()).await {
            self.count_again(incident, Count { more: count, first_at, last_at });
        }
    }

    /// Counts what could not be recorded: it is tried again with those that follow.
    fn count_again(&self, incident: &Incident, lost: Count) {
        let kinds = &mut self.counted().kinds;
        if let Some(count) = kinds.get_mut(incident) {
            count.more = count.more.saturating_add(lost.more);
            count.first_at = count.first_at.min(lost.first_at);
            count.last_at = count.last_at.max(lost.last_at);
        } else if kinds.len() < KINDS_MAX {
            kinds.insert(incident.clone(), lost);
        }
    }

    /// Carries a command out; tells whether it was.
    async fn execute(&self, target: StreamId, command: AnyCommand) -> bool {
        match self.try_to_execute(target, &command).await {
            Ok(_) => true,
            Err(error) => {
                // Nobody is let in all the same; that it was tried stands in the access log.
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, command = command.name(), "a security event could not be recorded");
                false
            }
        }
    }

    async fn try_to_execute(&self, target: StreamId, command: &AnyCommand) -> Result<Executed, ExecuteError> {
        let (actor, text) = (Actor::system("security"), command.to_json());
        self.executor.execute_own(Uuid::now_v7(), actor, target, (&text, command)).await
    }
}

impl Recorder for Incidents {
    fn record(&self, incident: Incident) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let now = clock::now();
            if self.is_first(&incident, now) {
                self.write(&incident, 1, now, now).await;
            }
            let Some((account_id, _)) = incident.account.filter(|_| incident.kind == IncidentKind::AuthorityRefused)
            else {
                return;
            };
            if let Some(count) = self.refuse(account_id, now) {
                let refusals = u32::try_from(count).unwrap_or(u32::MAX);
                let lock = LockAccount { refusals, until: now + LOCKED_FOR };
                self.execute(account_id.stream(), (account_id, lock).into()).await;
            }
        })
    }
}
