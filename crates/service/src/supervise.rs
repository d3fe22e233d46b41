//! The tasks of a process: none ends unnoticed, and all end in time.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::Check;

/// How long the tasks may take to end after the process was asked to stop.
pub const END_MAX: Duration = Duration::from_secs(15);

/// Why a process could not go on, or not end cleanly.
#[derive(Debug, thiserror::Error)]
pub enum SupervisionError {
    /// A task panicked or returned although nobody had asked it to.
    #[error("the task `{0}` ended by itself")]
    Ended(&'static str),
    /// Tasks did not end in time.
    #[error("did not end within {} s: {}", END_MAX.as_secs(), .0.join(", "))]
    Hanging(Vec<&'static str>),
}

#[derive(Default)]
struct State {
    running: BTreeSet<&'static str>,
    ended: Option<&'static str>,
}

/// Tasks that live as long as the process. Where one ends by itself, all are asked to stop.
pub struct Supervisor {
    tasks: JoinSet<()>,
    state: Arc<Mutex<State>>,
    shutdown: CancellationToken,
}

impl Supervisor {
    /// Supervises tasks that watch `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), state: Arc::default(), shutdown }
    }

    /// Is cancelled when the process is to stop.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task; its name is told where it ends by itself or does not end.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_boxed(name, Box::pin(task));
    }

    fn spawn_boxed(&mut self, name: &'static str, task: BoxFuture<'static, ()>) {
        let (state, shutdown) = (self.state.clone(), self.shutdown.clone());
        lock(&state).running.insert(name);
        self.tasks.spawn(async move {
            let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
            let mut state = lock(&state);
            state.running.remove(name);
            if panicked || !shutdown.is_cancelled() {
                tracing::error!(task = name, panicked, "a task ended by itself; the process stops");
                state.ended.get_or_insert(name);
                shutdown.cancel();
            }
        });
    }

    /// Whether all tasks run.
    pub fn check(&self) -> Check {
        let state = self.state.clone();
        Check::new("tasks", move || {
            let ended = lock(&state).ended;
            let result = ended.map_or(Ok(()), |name| Err(format!("the task `{name}` ended by itself")));
            std::future::ready(result)
        })
    }

    /// Asks all tasks to stop and waits for them, not longer than `within`.
    ///
    /// # Errors
    /// Where one had ended by itself before, or does not end.
    pub async fn end(mut self, within: Duration) -> Result<(), SupervisionError> {
        self.shutdown.cancel();
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(within, ending).await.is_ok();
        let state = lock(&self.state);
        match state.ended {
            Some(name) => Err(SupervisionError::Ended(name)),
            None if in_time => Ok(()),
            None => Err(SupervisionError::Hanging(state.running.iter().copied().collect())),
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_stops_the_others_and_is_named() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        let asked = shutdown.clone();
        supervisor.spawn("patient", async move { asked.cancelled().await });
        supervisor.spawn("hasty", async { panic!("on purpose") });
        shutdown.cancelled().await;
        let ended = supervisor.end(END_MAX).await;
        assert!(matches!(ended, Err(SupervisionError::Ended("hasty"))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_task_that_returns_unasked_is_noticed_and_one_that_is_asked_is_not() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        supervisor.spawn("short", async {});
        shutdown.cancelled().await;
        assert!(matches!(supervisor.end(END_MAX).await, Err(SupervisionError::Ended("short"))));
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        supervisor.spawn("long", async move { shutdown.cancelled().await });
        supervisor.end(END_MAX).await.expect("it was asked to");
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_does_not_hold_the_process() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("hanging", std::future::pending());
        let ended = supervisor.end(Duration::from_millis(20)).await;
        let Err(SupervisionError::Hanging(names)) = ended else { panic!("{ended:?}") };
        assert_eq!(names, ["hanging"]);
    }
}
