//! Running process managers on a store, and looking at what they leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_bus::{FeedSource, LogFeedSource};
use event_store::Store;
use event_store::views::{ColumnValue, Filter, FilterOp, ListQuery};
use saga::{DynProcess, Instance, Options, PROCESSES, Runner, SCHEMA};
use testkit::{eventually, stores};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::courses::Count;

pub const PATIENCE: Duration = Duration::from_secs(120);

pub type Processes = &'static [&'static dyn DynProcess];

/// The process manager of this name, alone.
pub fn only(name: &str) -> Processes {
    let process = PROCESSES.iter().find(|process| process.name() == name).expect("a process manager");
    std::slice::from_ref(process)
}

/// A runner that looks often and is followed soon.
pub async fn runner(store: &Store, processes: Processes) -> Runner {
    let executor = stores::executor(store).await;
    let feed: Arc<dyn FeedSource> = Arc::new(LogFeedSource::new(store.log.clone()));
    let options = Options { look_every: Duration::from_millis(50), lease_time: Duration::from_millis(400) };
    Runner { processes, options, ..Runner::new(store.clone(), executor, feed) }
}

/// Runs until the handle is dropped: as by kill -9, whatever it was doing, and its leases, are left as they are.
pub fn start(runner: Runner) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(runner.run(CancellationToken::new())))
}

/// Runs until everything is done.
pub async fn run_until_quiet(store: &Store, runner: Runner) {
    let processes = runner.processes;
    let running = start(runner);
    eventually("all is done", PATIENCE, async || is_quiet(store, processes).await).await;
    drop(running);
}

/// Whether everything was folded, no timer is due, and every step came to its end: asked in this order, since each
/// leaves the next.
pub async fn is_quiet(store: &Store, processes: Processes) -> bool {
    let head = store.log.head().await.expect("the head");
    for process in processes {
        let Ok(Some(cursor)) = store.sagas.cursor(process.name()).await else { return false };
        if cursor.checkpoint.position != head || cursor.state_version != process.state_version() {
            return false;
        }
    }
    let due = ListQuery {
        filters: vec![Filter {
            column: "due_at".to_owned(),
            op: FilterOp::AtMost,
            values: vec![ColumnValue::Time(event_store::clock::now())],
        }],
        limit: 1,
        ..ListQuery::default()
    };
    if !store.views.list(SCHEMA.name, &due).await.expect("the instances").rows.is_empty() {
        return false;
    }
    for process in processes {
        if !store.sagas.pending(process.name(), None, 1).await.expect("the steps").is_empty() {
            return false;
        }
    }
    store.log.head().await.expect("the head") == head
}

/// How many events there are of each type.
pub async fn count(store: &Store) -> Count {
    let mut events = BTreeMap::new();
    for event in store.log.read_all(0, 100_000).await.expect("the log") {
        *events.entry(event.event_type).or_insert(0) += 1;
    }
    Count(events)
}

/// All instances, with their steps in an order of their own.
pub async fn instances(store: &Store) -> Vec<Instance> {
    let mut query = ListQuery { limit: 1_000, ..ListQuery::default() };
    let mut instances = Vec::new();
    loop {
        let page = store.views.list(SCHEMA.name, &query).await.expect("the instances");
        for (_, document) in page.rows {
            let mut instance: Instance = serde_json::from_str(document.get()).expect("an instance");
            instance.steps.sort_by_key(|step| step.command_id);
            instances.push(instance);
        }
        query.after = page.next;
        if query.after.is_none() {
            return instances;
        }
    }
}
