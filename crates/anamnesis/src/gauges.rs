//! Figures that are looked at now and then, not measured where something happens.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::Store;
use event_store::clock;
use event_store::log::lag::seconds_behind;
use event_store::views::{ColumnValue, Filter, FilterOp, LIST_LIMIT_MAX, ListQuery, ViewError};
use query_api::EventStreams;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use views::Table;
use views::safety::alerts::Alerts;

use crate::serve::Roles;

/// How often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often alerts are counted: what is open is read for it.
const COUNT_EVERY: u32 = 5;
/// Statuses of alerts that are not resolved.
const OPEN: [&str; 3] = ["raised", "escalated", "acknowledged"];
/// Severities of alerts.
const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];

/// What this process has to tell.
pub struct Watched {
    store: Store,
    // Who keeps views knows the alerts.
    alerts: bool,
    process_managers: bool,
    streams: Option<EventStreams>,
    nats: Option<async_nats::Client>,
}

impl Watched {
    /// What a process of these roles has.
    pub fn new(roles: Roles, store: &Store, streams: &EventStreams, nats: Option<async_nats::Client>) -> Self {
        Self {
            store: store.clone(),
            alerts: roles.projector,
            process_managers: roles.saga,
            streams: roles.query_api.then(|| streams.clone()),
            nats,
        }
    }

    /// Looks until asked to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = self.look() => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn look(&self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let mut looks = 0_u32;
        loop {
            ticks.tick().await;
            self.of_this_process();
            // Where log or views do not answer their last figures stand; readiness tells of it.
            if let Ok(head) = self.store.log.head().await {
                metrics::gauge!("anamnesis_log_position").set(head as f64);
                if self.process_managers {
                    self.process_managers(head).await;
                }
            }
            if self.alerts && looks.is_multiple_of(COUNT_EVERY) {
                drop(count_alerts(&self.store).await);
            }
            looks = looks.wrapping_add(1);
        }
    }

    fn of_this_process(&self) {
        for pool in self.store.connections() {
            let database = pool.database;
            for (state, count) in [("idle", pool.idle), ("in_use", pool.in_use)] {
                metrics::gauge!("anamnesis_database_connections", "database" => database, "state" => state).set(count);
            }
            metrics::gauge!("anamnesis_database_connections_max", "database" => database).set(pool.max);
        }
        if let Some(streams) = &self.streams {
            metrics::gauge!("anamnesis_event_streams").set(streams.open() as f64);
        }
        if let Some(nats) = &self.nats {
            let connected = nats.connection_state() == async_nats::connection::State::Connected;
            metrics::gauge!("anamnesis_nats_connected").set(f64::from(connected));
        }
    }

    async fn process_managers(&self, head: u64) {
        for process in saga::PROCESSES {
            let name = process.name();
            let Ok(cursor) = self.store.sagas.cursor(name).await else { continue };
            let position = cursor.map_or(0, |cursor| cursor.checkpoint.position);
            let events = head.saturating_sub(position) as f64;
            metrics::gauge!("anamnesis_process_manager_lag_events", "process_manager" => name).set(events);
            if let Ok(seconds) = seconds_behind(&*self.store.log, position, head).await {
                metrics::gauge!("anamnesis_process_manager_lag_seconds", "process_manager" => name).set(seconds);
            }
        }
    }
}

/// What is needed of an alert.
#[derive(Deserialize)]
struct OpenAlert {
    severity: String,
    acknowledge_by: Option<DateTime<Utc>>,
}

/// Counts the alerts that are not resolved, and those that nobody acknowledged in time: by the clock, so that it is told
/// also while the process manager that escalates them stands still.
async fn count_alerts(store: &Store) -> Result<(), ViewError> {
    let now = clock::now();
    let mut overdue: HashMap<String, u64> = HashMap::new();
    for status in OPEN {
        let mut open: HashMap<String, u64> = HashMap::new();
        let mut after = None;
        loop {
            let of_status = Filter {
                column: "status".to_owned(),
                op: FilterOp::Equals,
                values: vec![ColumnValue::Text(status.to_owned())],
            };
            let query = ListQuery { filters: vec![of_status], after, limit: LIST_LIMIT_MAX, ..ListQuery::default() };
            let page = store.views.list(Alerts::NAME, &query).await?;
            for (_, document) in &page.rows {
                let alert: OpenAlert = serde_json::from_str(document.get())
                    .map_err(|error| ViewError::Corrupt(format!("an alert: {error}")))?;
                if status != "acknowledged" && alert.acknowledge_by.is_some_and(|by| by < now) {
                    *overdue.entry(alert.severity.clone()).or_default() += 1;
                }
                *open.entry(alert.severity).or_default() += 1;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for severity in SEVERITIES {
            let count = open.get(severity).copied().unwrap_or(0);
            metrics::gauge!("anamnesis_alerts_open", "severity" => severity, "status" => status).set(count as f64);
        }
    }
    for severity in SEVERITIES {
        let count = overdue.get(severity).copied().unwrap_or(0);
        metrics::gauge!("anamnesis_alerts_overdue", "severity" => severity).set(count as f64);
    }
    Ok(())
}
