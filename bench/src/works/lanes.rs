//! How far the alerts inbox falls behind while other views fail, are raised or are new, each with the whole log
//! before it, and commands come in.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use authority::Area;
use event_bus::LogFeedSource;
use event_store::Store;
use event_store::log::Expected;
use event_store::views::ViewSchema;
use events::envelope::Envelope;
use events::registry::AnyEvent;
use projector::Standing;
use schemars::{Schema, SchemaGenerator};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use views::{Changes, Collection, DynTable, DynView, Scope, Touched, ViewFault};

use super::rebuild::fill;
use crate::measure::{Goal, Row};
use crate::workload;
use crate::{Bench, BenchError};

/// Commands a second.
const RATE: u32 = 200;
/// What the inbox may be behind, in seconds.
const BEHIND_SECONDS_MAX: f64 = 2.0;
/// The view that must stay live.
const INBOX: &str = "alerts";
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Where the events of the commands go: streams of their own.
const FIRST_STREAM: usize = 1_000_000;

/// Figure 18.
pub async fn both(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let events = if bench.is_short() { 30_000 } else { 1_000_000 };
    let database = bench.database().await?;
    let mut rows = vec![of(bench, &database.store, events, "PostgreSQL").await?];
    database.close().await?;
    let file = bench.file().await?;
    rows.push(of(bench, &file.store, events, "embedded").await?);
    file.store.close().await;
    Ok(rows)
}

async fn of(bench: &Bench, store: &Store, events: usize, engine: &str) -> Result<Row, BenchError> {
    let events = fill(store, events).await?;
    let head = store.log.head().await?;
    // As they are, and up to date.
    let settled = Running::start(store, views::ALL);
    settled.all_at(store, views::ALL, head).await?;
    settled.stop().await;
    let disturbed: Vec<&'static dyn DynView> = views::ALL
        .iter()
        .map(|view| match view.schema().name {
            "reports" => Disturbed::of(*view, *view.schema(), true),
            "subjects" => Disturbed::of(*view, raised(view.schema()), false),
            _ => *view,
        })
        .chain([Disturbed::of(
            named("patients")?,
            ViewSchema { name: "patients_anew", ..*named("patients")?.schema() },
            false,
        )])
        .collect();
    let running = Running::start(store, Vec::leak(disturbed));
    let seconds = if bench.is_short() { 5 } else { 60 };
    let behind = send(store, Duration::from_secs(seconds)).await?;
    running.stop().await;
    let figure = format!(
        "the alerts inbox behind at most, while a view fails, one was raised and one is new, {events} events, {RATE} \
         commands/s, {engine}"
    );
    Ok(Row::new(18, figure, "s", Goal::AtMost(1.0), "2 s", vec![(behind, BEHIND_SECONDS_MAX)]))
}

const fn raised(schema: &ViewSchema) -> ViewSchema {
    ViewSchema { version: schema.version + 1, ..*schema }
}

fn named(name: &str) -> Result<&'static dyn DynView, BenchError> {
    let found = views::ALL.iter().find(|view| view.schema().name == name).copied();
    found.ok_or_else(|| BenchError::Said(format!("there is no view {name}")))
}

/// Sends at the rate, and gives the longest time, in seconds, that an event was not yet in the inbox.
async fn send(store: &Store, time: Duration) -> Result<f64, BenchError> {
    let stored: Arc<Mutex<VecDeque<(u64, Instant)>>> = Arc::default();
    let (done, waiting, inbox) = (Arc::new(AtomicBool::new(false)), stored.clone(), store.views.clone());
    let over = done.clone();
    let looking = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        loop {
            let position = inbox.position(INBOX).await?;
            let (behind, is_empty) = settle(&waiting, position);
            longest = longest.max(behind);
            if is_empty && over.load(Ordering::Relaxed) {
                return Ok::<_, event_store::views::ViewError>(longest);
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let begun = Instant::now();
    let mut number = FIRST_STREAM;
    while begun.elapsed() < time {
        ticks.tick().await;
        let mut append = workload::append(number, 0, 1);
        append.writes[0].expected = Expected::Any;
        let receipt = store.log.append(append).await.map_err(|error| BenchError::Said(format!("{error:?}")))?;
        let position = receipt.into_receipt().position;
        stored.lock().unwrap_or_else(PoisonError::into_inner).push_back((position, Instant::now()));
        number += 1;
    }
    done.store(true, Ordering::Relaxed);
    let longest = looking.await.map_err(|error| BenchError::Said(error.to_string()))?;
    Ok(longest.map_err(|error| BenchError::Said(format!("{error:?}")))?.as_secs_f64())
}

/// Takes out what the inbox has seen; gives how long the longest of them waited, or has waited by now, and whether
/// nothing waits any more.
fn settle(waiting: &Mutex<VecDeque<(u64, Instant)>>, position: u64) -> (Duration, bool) {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, mut longest) = (Instant::now(), Duration::ZERO);
    while let Some((_, at)) = waiting.front().filter(|(stored, _)| *stored <= position) {
        longest = longest.max(now - *at);
        waiting.pop_front();
    }
    let oldest = waiting.front().map(|(_, at)| now - *at);
    (longest.max(oldest.unwrap_or_default()), waiting.is_empty())
}

/// A projector at work.
struct Running {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(store: &Store, views: &'static [&'static dyn DynView]) -> Self {
        let shutdown = CancellationToken::new();
        let feed = Arc::new(LogFeedSource::new(store.log.clone()));
        let projecting = projector::run(store.clone(), feed, views, Standing::default(), shutdown.clone());
        Self { shutdown, task: tokio::spawn(projecting) }
    }

    async fn all_at(&self, store: &Store, views: &[&'static dyn DynView], head: u64) -> Result<(), BenchError> {
        for view in views {
            while store.views.position(view.schema().name).await.unwrap_or(0) < head {
                if self.task.is_finished() {
                    return Err(BenchError::Said("the projector ended".to_owned()));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn stop(self) {
        self.shutdown.cancel();
        drop(self.task.await);
    }
}

/// A view of another version or name than the program's, or one that cannot be folded.
struct Disturbed {
    inner: &'static dyn DynView,
    schema: &'static ViewSchema,
    is_faulty: bool,
}

impl Disturbed {
    /// Kept for the rest of the process, as the program's own are.
    fn of(inner: &'static dyn DynView, schema: ViewSchema, is_faulty: bool) -> &'static dyn DynView {
        Box::leak(Box::new(Self { inner, schema: Box::leak(Box::new(schema)), is_faulty }))
    }
}

impl DynTable for Disturbed {
    fn schema(&self) -> &'static ViewSchema {
        self.schema
    }

    fn collection(&self) -> &'static Collection {
        self.inner.collection()
    }

    fn area(&self) -> Area {
        self.inner.area()
    }

    fn scope(&self) -> Scope {
        self.inner.scope()
    }

    fn document_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        self.inner.document_schema(generator)
    }
}

impl DynView for Disturbed {
    fn touched(&self, events: &[(AnyEvent, Envelope)]) -> Touched {
        self.inner.touched(events)
    }

    fn fold(
        &self,
        events: &[(AnyEvent, Envelope)],
        touched: &Touched,
        loaded: HashMap<String, Box<RawValue>>,
    ) -> Result<Changes, ViewFault> {
        if self.is_faulty && !events.is_empty() {
            let source = serde_json::from_str::<u8>("no number").expect_err("no number");
            return Err(ViewFault::Document { view: self.schema.name, key: "key".to_owned(), source: source.into() });
        }
        self.inner.fold(events, touched, loaded)
    }
}
