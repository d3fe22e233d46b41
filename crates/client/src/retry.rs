//! How long to wait before a request is sent again.

use std::time::Duration;

/// Attempts after the first.
const REPEATS_MAX: u32 = 10;
/// The first pause; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause of our own choice.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The longest pause that a server can ask for.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Counts the attempts of one request.
pub struct Attempts {
    repeats: u32,
}

impl Attempts {
    /// Before the first attempt.
    pub const fn new() -> Self {
        Self { repeats: 0 }
    }

    /// How long to wait before the next attempt; nothing when there were enough.
    pub fn next_pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.repeats == REPEATS_MAX {
            return None;
        }
        let backoff = FIRST_PAUSE.saturating_mul(1 << self.repeats).min(PAUSE_MAX);
        self.repeats += 1;
        // Half of the pause is by chance, so that clients which failed together do not come back together.
        let pause = backoff.mul_f64(rand::random_range(0.5..=1.0));
        Some(pause.max(asked.unwrap_or_default().min(ASKED_PAUSE_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut attempts = Attempts::new();
        let pauses: Vec<Duration> = std::iter::from_fn(|| attempts.next_pause(None)).collect();
        assert_eq!(pauses.len(), 10);
        assert!(pauses[0] <= FIRST_PAUSE && pauses[9] > Duration::from_secs(2), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= PAUSE_MAX));
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_within_bounds() {
        let asked = |seconds| Attempts::new().next_pause(Some(Duration::from_secs(seconds)));
        assert_eq!(asked(3), Some(Duration::from_secs(3)));
        assert_eq!(asked(3_600), Some(ASKED_PAUSE_MAX));
    }
}
