//! Leaving somebody alone where too much fails, and trying whether it works again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tower::util::{ServiceFn, service_fn};
use tower::{Service as _, ServiceExt as _};
use tower_resilience_circuitbreaker::{
    CircuitBreaker, CircuitBreakerError, CircuitBreakerLayer, CircuitState, FnClassifier, SlidingWindowType,
};

use crate::policy::Breaking;

/// A try that was not begun yet.
pub type Try<T, E> = BoxFuture<'static, Result<T, E>>;

/// Whether what became of a try tells that the other side does not do.
type Judges<T, E> = fn(&Result<T, E>) -> bool;
type Runs<T, E> = ServiceFn<fn(Try<T, E>) -> Try<T, E>>;

/// Lets tries through, or not.
pub struct Breaker<T, E> {
    service: CircuitBreaker<Runs<T, E>, FnClassifier<Judges<T, E>>>,
    opened: Arc<Mutex<Option<Instant>>>,
    open_for: Duration,
}

/// Calls that try whether it works again. With more of them the library counts those that went well within the window and takes back
/// no permit: where calls are rare the first is forgotten before the last, and it would stay half-open for ever.
const PROBES: usize = 1;

impl<T, E> Breaker<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    /// Of an address of this service; both are told where its state changes. Of what becomes of a try `judge` tells whether
    /// the other side does not do.
    ///
    /// # Panics
    /// Where the policy is none: rates beyond 1, nothing that is looked at.
    pub fn new(service: &'static str, address: String, breaking: Breaking, judge: Judges<T, E>) -> Self {
        let opened: Arc<Mutex<Option<Instant>>> = Arc::default();
        let changed = opened.clone();
        let run: fn(Try<T, E>) -> Try<T, E> = |tried| tried;
        let built = CircuitBreakerLayer::builder()
            .name(service)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(breaking.window)
            .minimum_number_of_calls(breaking.calls_min)
            .failure_rate_threshold(breaking.failure_rate)
            .wait_duration_in_open(breaking.open_for)
            .permitted_calls_in_half_open(PROBES)
            .on_state_transition(move |from, to| {
                *changed.lock().unwrap_or_else(PoisonError::into_inner) = (to == CircuitState::Open).then(Instant::now);
                tell(service, &address, from, to);
            })
            .failure_classifier_type(FnClassifier::new(judge))
            .build();
        let layer = built.expect("a policy is sound by its tests");
        Self { service: layer.layer_fn(service_fn(run)), opened, open_for: breaking.open_for }
    }

    /// Whether it is left alone now.
    pub fn is_open(&self) -> bool {
        let opened = *self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.is_some_and(|opened| opened.elapsed() < self.open_for)
    }

    /// Makes a try; none where the other side is left alone.
    pub async fn run(&self, tried: Try<T, E>) -> Option<Result<T, E>> {
        let mut service = self.service.clone();
        match service.ready().await.ok()?.call(tried).await {
            Ok(done) => Some(Ok(done)),
            Err(CircuitBreakerError::OpenCircuit) => None,
            Err(CircuitBreakerError::Inner(failure)) => Some(Err(failure)),
        }
    }
}

fn tell(service: &'static str, address: &str, from: CircuitState, to: CircuitState) {
    let word = |state| match state {
        CircuitState::Closed => "closed",
        CircuitState::Open => "open",
        CircuitState::HalfOpen => "half-open",
    };
    metrics::counter!("anamnesis_breaker_changes_total", "service" => service, "to" => word(to)).increment(1);
    match to {
        CircuitState::Open => tracing::warn!(service, address, from = word(from), "left alone: too much fails"),
        CircuitState::HalfOpen => tracing::info!(service, address, "tried whether it works again"),
        CircuitState::Closed => tracing::info!(service, address, "works again"),
    }
}
