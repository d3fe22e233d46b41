//! Callers in a closed loop: each sends its next request when it has its answer.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::BenchError;

/// What a load came to.
pub struct Load {
    /// Requests answered in the measured time.
    pub done: u64,
    /// The measured time.
    pub elapsed: Duration,
    /// Microseconds of each request.
    pub micros: Histogram<u64>,
}

impl Load {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the requests kept to, in milliseconds.
    pub fn millis(&self, quantile: f64) -> f64 {
        self.micros.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// One of the callers: does one thing at a time.
pub trait Caller: Send + 'static {
    /// Does the next thing.
    fn call(&mut self) -> impl Future<Output = Result<(), BenchError>> + Send;
}

/// Lets the callers work for `duration` after `warm_up`; each rests `rest` after a call.
pub async fn closed_loop<C: Caller>(
    callers: Vec<C>,
    warm_up: Duration,
    duration: Duration,
    rest: Option<Duration>,
) -> Result<(Load, Vec<C>), BenchError> {
    let begin = Instant::now() + warm_up;
    let end = begin + duration;
    let tasks = callers.into_iter().map(|mut caller| {
        tokio::spawn(async move {
            let mut micros = histogram();
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return Ok::<_, BenchError>((micros, caller));
                }
                caller.call().await?;
                if sent >= begin {
                    micros.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
                if let Some(rest) = rest {
                    tokio::time::sleep(rest).await;
                }
            }
        })
    });
    let (mut micros, mut callers) = (histogram(), Vec::new());
    for task in tasks.collect::<Vec<_>>() {
        let (one, caller) = task.await.map_err(|_| BenchError::Said("a caller panicked".to_owned()))??;
        micros.add(one).map_err(|error| BenchError::Said(error.to_string()))?;
        callers.push(caller);
    }
    Ok((Load { done: micros.len(), elapsed: duration, micros }, callers))
}

/// Microseconds up to ten minutes, to three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(600_000_000, 3).expect("the bounds are sound")
}
