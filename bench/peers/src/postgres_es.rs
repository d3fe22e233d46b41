//! postgres-es as its README sets it up: an event store without snapshots.

use std::error::Error;
use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, AggregateError, DomainEvent};
use postgres_es::{PostgresCqrs, default_postgress_pool, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::Executor;

use crate::{Arguments, EVENTS_BEFORE, STREAMS, closed_loop, payload};

/// The table of events as the crate's own `db/init.sql` describes it.
const TABLE: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL, aggregate_id text NOT NULL, sequence bigint CHECK (sequence >= 0) NOT NULL,
    event_type text NOT NULL, event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence))";

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Observed {
    code: String,
    value: String,
    unit: String,
    observed_at: String,
}

impl DomainEvent for Observed {
    fn event_type(&self) -> String {
        "Observed".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

impl Aggregate for Counter {
    const TYPE: &'static str = "patient";
    type Command = Observed;
    type Event = Observed;
    type Error = Never;
    type Services = ();

    async fn handle(&mut self, command: Observed, _services: &(), sink: &EventSink<Self>) -> Result<(), Never> {
        sink.write(command, self).await;
        Ok(())
    }

    fn apply(&mut self, _event: Observed) {
        self.count += 1;
    }
}

fn observed() -> Observed {
    Observed {
        code: "VITALS".to_owned(),
        value: payload(),
        unit: "mm[Hg]".to_owned(),
        observed_at: "1970-01-01T00:00:00Z".to_owned(),
    }
}

/// Carries out one command, again where another was first.
async fn execute(cqrs: &PostgresCqrs<Counter>, stream: usize) -> Result<(), String> {
    loop {
        match cqrs.execute(&format!("patient-{stream}"), observed()).await {
            Ok(()) => return Ok(()),
            Err(AggregateError::AggregateConflict) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Commands a second.
pub async fn rate(arguments: &Arguments) -> Result<f64, Box<dyn Error>> {
    let url = arguments.database_url.as_ref().ok_or("give --database-url")?;
    let pool = default_postgress_pool(url).await;
    pool.execute(TABLE).await?;
    let cqrs = Arc::new(postgres_cqrs::<Counter>(pool, Vec::new(), ()));
    let fillers = (0..32).map(|first| {
        let cqrs = cqrs.clone();
        tokio::spawn(async move {
            for stream in (first..STREAMS).step_by(32) {
                for _ in 0..EVENTS_BEFORE {
                    execute(&cqrs, stream).await?;
                }
            }
            Ok::<(), String>(())
        })
    });
    for filler in fillers.collect::<Vec<_>>() {
        filler.await??;
    }
    closed_loop(arguments, |caller| {
        let (cqrs, mut stream) = (cqrs.clone(), caller * 31);
        move || {
            stream = (stream + 1_237) % STREAMS;
            let (cqrs, stream) = (cqrs.clone(), stream);
            async move { execute(&cqrs, stream).await }
        }
    })
    .await
}
