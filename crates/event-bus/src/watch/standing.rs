//! Whether a watch can listen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use event_store::log::LogError;
use tokio::time::Instant;

use super::ANSWER_TIME_MAX;

/// How long it may fail to listen before that counts.
const FAILING_TIME_MAX: Duration = Duration::from_secs(10);
/// What is told then.
const TOLD: &str = "foreign messages are not looked for: ";

/// Why it cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum CannotListen {
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// The stream cannot be found.
    #[error("the stream cannot be found")]
    Stream(#[from] GetStreamError),
    /// No consumer can be made.
    #[error("no consumer can be made")]
    Consumer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// NATS does not answer.
    #[error("NATS does not answer within {} s: perhaps its rights forbid to listen", ANSWER_TIME_MAX.as_secs())]
    NoAnswer,
}

impl CannotListen {
    /// No consumer can be made, for this reason.
    pub fn consumer(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        CannotListen::Consumer(Box::new(source))
    }

    /// Whether there is nothing to listen to.
    fn is_nothing(&self) -> bool {
        let missing = ErrorCode::STREAM_NOT_FOUND;
        matches!(self, CannotListen::Stream(error)
            if matches!(error.kind(), GetStreamErrorKind::JetStream(said) if said.error_code() == missing))
    }
}

/// Since when, and why, it cannot listen.
#[derive(Clone, Default)]
pub struct Failing(Arc<Mutex<Option<(Instant, String)>>>);

impl Failing {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It listens, or there is nothing to listen to.
    pub fn ended(&self) {
        if self.lock().take().is_some_and(|(since, _)| since.elapsed() >= FAILING_TIME_MAX) {
            tracing::info!("foreign messages are looked for again");
        }
    }

    /// That NATS is away others say.
    pub fn because(&self, why: &CannotListen, is_connected: bool) {
        if why.is_nothing() || !is_connected {
            return self.ended();
        }
        let mut failing = self.lock();
        let told = with_causes(why);
        let (since, cause) = failing.get_or_insert_with(|| (Instant::now(), String::new()));
        let is_late = since.elapsed() >= FAILING_TIME_MAX;
        // Once, when it is late.
        if is_late && !cause.starts_with(TOLD) {
            tracing::warn!(error = why as &dyn std::error::Error, "foreign messages are not looked for");
        }
        *cause = if is_late { format!("{TOLD}{told}") } else { told };
    }
}

/// Tells whether a watch can listen.
#[derive(Clone)]
pub struct WatchHealth(pub(super) Failing);

impl WatchHealth {
    /// Whether messages of others would be seen.
    ///
    /// # Errors
    /// What keeps them from being seen.
    pub fn check(&self) -> Result<(), String> {
        match &*self.0.lock() {
            Some((since, cause)) if since.elapsed() >= FAILING_TIME_MAX => Err(cause.clone()),
            _ => Ok(()),
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
