//! How patient calls are.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// How calls to somebody are made.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long it may take until a connection is there.
    pub connect_within: Duration,
    /// How long one try may take, its connection and its answer.
    pub per_try: Duration,
    /// How long all tries and the pauses between them may take.
    pub in_all: Duration,
    /// Tries after the first.
    pub repeats_max: usize,
    /// The first pause; each further one is up to twice as long, by chance: who failed together does not come back together.
    pub first_pause: Duration,
    /// The longest pause of our own choice.
    pub pause_max: Duration,
    /// The longest pause that is made because the other side asks for it (`Retry-After`).
    pub asked_pause_max: Duration,
    /// How much of all calls may be repeats; without it as many as there are tries.
    pub budget: Option<Budgeting>,
    /// When an address is left alone.
    pub breaking: Breaking,
    /// How often names are looked up again.
    pub resolve_every: Duration,
    /// The longest answer that is read.
    pub answer_bytes_max: usize,
    /// Whether the other side is told how long it has (`Request-Timeout`).
    pub tells_deadline: bool,
}

/// How much of all calls may be repeats: so that whoever is overloaded is not asked several times as much.
#[derive(Clone, Copy, Debug)]
pub struct Budgeting {
    /// Repeats a second that are always allowed.
    pub per_second_min: u32,
    /// Beyond these the share of the calls of the last ten seconds that may be repeated.
    pub share: f32,
}

/// When an address is left alone (circuit breaker).
#[derive(Clone, Copy, Debug)]
pub struct Breaking {
    /// The calls of so long are looked at.
    pub window: Duration,
    /// With fewer of them nothing is concluded.
    pub calls_min: usize,
    /// The share of failures from which it is left alone.
    pub failure_rate: f64,
    /// For so long; then one call tries whether it works again.
    pub open_for: Duration,
}

impl Default for Breaking {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), calls_min: 10, failure_rate: 0.5, open_for: Duration::from_secs(5) }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect_within: Duration::from_secs(2),
            per_try: Duration::from_secs(10),
            in_all: Duration::from_secs(30),
            repeats_max: 4,
            first_pause: Duration::from_millis(100),
            pause_max: Duration::from_secs(5),
            asked_pause_max: Duration::from_secs(30),
            budget: Some(Budgeting { per_second_min: 1, share: 0.2 }),
            breaking: Breaking::default(),
            resolve_every: Duration::from_secs(30),
            answer_bytes_max: 64 * 1024 * 1024,
            tells_deadline: false,
        }
    }
}

impl Policy {
    /// The pauses between tries, in turn.
    pub(crate) fn pauses(&self) -> Pauses {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(self.first_pause / 2)
            .with_max_delay(self.pause_max / 2)
            .with_max_times(self.repeats_max)
            .with_jitter();
        Pauses { backoff: backoff.build(), asked_max: self.asked_pause_max }
    }
}

/// The pauses of one call.
pub(crate) struct Pauses {
    backoff: ExponentialBackoff,
    asked_max: Duration,
}

impl Pauses {
    /// How long to wait before the next try, which the other side perhaps `asked` for; nothing where there were enough.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        Some(self.backoff.next()?.max(asked.unwrap_or_default().min(self.asked_max)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_by_chance_and_end() {
        let policy = Policy { repeats_max: 10, ..Policy::default() };
        let mut pauses = policy.pauses();
        let all: Vec<Duration> = std::iter::from_fn(|| pauses.next(None)).collect();
        assert_eq!(all.len(), 10);
        assert!(all[0] <= policy.first_pause && all[9] >= policy.pause_max / 2, "{all:?}");
        assert!(all.iter().all(|pause| *pause <= policy.pause_max), "{all:?}");
        let mut again = policy.pauses();
        assert_ne!(all, std::iter::from_fn(|| again.next(None)).collect::<Vec<_>>());
    }

    #[test]
    fn the_other_side_may_ask_for_a_longer_pause_within_bounds() {
        let asked = |seconds| Policy::default().pauses().next(Some(Duration::from_secs(seconds)));
        assert_eq!(asked(3), Some(Duration::from_secs(3)));
        assert_eq!(asked(3_600), Some(Policy::default().asked_pause_max));
    }
}
