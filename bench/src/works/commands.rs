//! Commands carried out in the process: load, decide, append durably.

use decider::{Context, Facts};
use event_store::execute::{Executor, Request};
use event_store::log::EventLog;
use events::envelope::Actor;
use events::ids::StreamKey;
use futures::stream::{self, StreamExt, TryStreamExt};
use uuid::Uuid;

use crate::keys::executor;
use crate::load::{Caller, closed_loop};
use crate::measure::{Goal, Row};
use crate::workload::{EVENTS_BEFORE, STREAMS, append, decide, patient};
use crate::{Bench, BenchError};

const CALLERS: usize = 64;

/// Sends commands to streams in a fixed, scattered order.
pub struct Commander {
    executor: Executor,
    number: usize,
    sent: Vec<usize>,
}

impl Commander {
    /// The streams that it sent commands to, one after the other.
    pub fn sent(&self) -> &[usize] {
        &self.sent
    }
}

/// So many callers, each beginning elsewhere.
pub fn commanders(executor: &Executor, callers: usize) -> Vec<Commander> {
    let begin = |caller: usize| Commander { executor: executor.clone(), number: caller * 31, sent: Vec::new() };
    (0..callers).map(begin).collect()
}

impl Caller for Commander {
    async fn call(&mut self) -> Result<(), BenchError> {
        self.number = (self.number + 1_237) % STREAMS;
        let number = self.number;
        let request = Request::own(Uuid::now_v7(), [7; 32], Actor::system("bench"), patient(number).stream());
        self.executor.execute(&request, &|_: &Context, facts: &Facts| decide(facts, number)).await?;
        self.sent.push(number);
        Ok(())
    }
}

/// Every stream with its first events.
pub async fn prepare(log: &dyn EventLog) -> Result<(), BenchError> {
    let appends = stream::iter((0..STREAMS).map(|number| log.append(append(number, 0, EVENTS_BEFORE))));
    appends.buffer_unordered(CALLERS).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

/// Figure 1.
pub async fn postgres(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds() {
        let database = bench.database().await?;
        prepare(&*database.store.log).await?;
        let executor = executor(&database.store).await?;
        let (load, _) = closed_loop(commanders(&executor, CALLERS), bench.warm_up(), bench.duration(), None).await?;
        database.close().await?;
        rounds.push((load.rate(), bench.peer("postgres-es", CALLERS, Some(&bench.peer_database().await?)).await?));
    }
    let figure = format!("commands in the process, PostgreSQL, {CALLERS} callers");
    Ok(vec![Row::new(1, figure, "/s", Goal::AtLeast(6.0), "postgres-es 0.5", rounds)])
}
