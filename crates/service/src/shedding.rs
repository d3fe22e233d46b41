//! Which requests go first when there are too many: what a patient waits for goes last.
//!
//! How many requests are worked on at once follows from how long they take: up by one while they are quick and there are as many, down
//! by a tenth when they are slow (additive increase, multiplicative decrease: Chiu and Jain 1989). Of that number each class may take a part;
//! what care needs is bounded by the server's own limit alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::problem::Problem;

/// How much a request can wait, in the order in which they are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Analyses and printed reports.
    Analysis,
    /// What everybody may read, and what others know about drugs.
    Knowledge,
    /// Lists.
    List,
    /// Whole histories and event streams.
    Export,
    /// One document, or what is read beside it.
    Document,
    /// A command.
    Command,
    /// What participants report, consents, adverse events, alerts and what is done about them; and who keeps the server in hand.
    Care,
}

impl Priority {
    /// Each of them, in the order in which they are refused.
    pub const ALL: [Priority; 7] = [
        Priority::Analysis,
        Priority::Knowledge,
        Priority::List,
        Priority::Export,
        Priority::Document,
        Priority::Command,
        Priority::Care,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::Analysis => "analysis",
            Priority::Knowledge => "knowledge",
            Priority::List => "list",
            Priority::Export => "export",
            Priority::Document => "document",
            Priority::Command => "command",
            Priority::Care => "care",
        }
    }

    /// The part of what is worked on at once up to which one more of the class is taken, in hundredths; none where nothing but the
    /// server's own limit bounds it.
    const fn part(self) -> Option<usize> {
        match self {
            Priority::Analysis => Some(40),
            Priority::Knowledge => Some(50),
            Priority::List => Some(70),
            Priority::Export => Some(80),
            Priority::Document => Some(90),
            Priority::Command => Some(100),
            Priority::Care => None,
        }
    }
}

/// Of what the server takes in all so much is worked on at once whatever it takes, a quarter: a few who wait for each other, or for a
/// disk, are no crowd.
const AT_ONCE_PART_MIN: usize = 4;
/// Times of so many requests are looked at together.
const LOOKED_AT: usize = 64;
/// Slow are those of which one in ten takes longer.
const SLOW: Duration = Duration::from_secs(1);
/// After it has come down, it rests so long: what is worked on now began before.
const REST: Duration = Duration::from_millis(250);
/// Seconds after which it is worth another try.
const RETRY_SECONDS: u32 = 2;

/// Takes requests by their class; cloned, it is the same one.
#[derive(Clone)]
pub struct Shedding {
    inner: Arc<Inner>,
}

struct Inner {
    working: AtomicUsize,
    at_once: AtomicUsize,
    max: usize,
    times: Mutex<Times>,
}

struct Times {
    taken: Vec<Duration>,
    // The most that were worked on at once while these were taken.
    most: usize,
    came_down: Option<Instant>,
}

/// A request that is worked on, until it is dropped.
pub struct Admitted {
    inner: Arc<Inner>,
}

impl Shedding {
    /// Of at most so many at once.
    pub fn new(max: usize) -> Self {
        let times = Mutex::new(Times { taken: Vec::with_capacity(LOOKED_AT), most: 0, came_down: None });
        metrics::gauge!("anamnesis_http_requests_at_once_max").set(max as f64);
        let inner = Inner { working: AtomicUsize::new(0), at_once: AtomicUsize::new(max), max, times };
        Self { inner: Arc::new(inner) }
    }

    /// Takes one more of the class.
    ///
    /// # Errors
    /// 503 with `Retry-After` where others go before.
    pub fn admit(&self, priority: Priority) -> Result<Admitted, Problem> {
        let inner = &self.inner;
        let working = inner.working.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted { inner: inner.clone() };
        let at_once = inner.at_once.load(Ordering::Relaxed);
        let room = priority.part().map(|part| (at_once * part / 100).max(1));
        if room.is_none_or(|room| working < room) {
            return Ok(admitted);
        }
        metrics::counter!("anamnesis_http_shed_total", "class" => priority.name()).increment(1);
        let detail = "The server has too much to do, and others go before this. Try again later.";
        Err(Problem::unavailable("shed", detail, RETRY_SECONDS))
    }

    /// A request took so long to be answered, without having waited for anything by its own will.
    pub fn took(&self, time: Duration) {
        self.inner.look(time, Instant::now());
    }

    /// How many are worked on at once at most.
    pub fn at_once(&self) -> usize {
        self.inner.at_once.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, time: Duration, now: Instant) {
        let mut times = self.times();
        times.most = times.most.max(self.working.load(Ordering::Relaxed));
        times.taken.push(time);
        if times.taken.len() < LOOKED_AT {
            return;
        }
        times.taken.sort_unstable();
        let slow = times.taken[LOOKED_AT * 9 / 10] > SLOW;
        let (most, at_once) = (std::mem::take(&mut times.most), self.at_once.load(Ordering::Relaxed));
        times.taken.clear();
        let rests = times.came_down.is_some_and(|came_down| now.duration_since(came_down) < REST);
        let least = (self.max / AT_ONCE_PART_MIN).max(1);
        let next = if slow && !rests {
            times.came_down = Some(now);
            // What is there now is too much: from there, not from what was allowed and not used.
            (at_once.min(most.max(least)) * 9 / 10).max(least)
        } else if !slow && most * 2 >= at_once {
            (at_once + LOOKED_AT / 8).min(self.max)
        } else {
            at_once
        };
        self.at_once.store(next, Ordering::Relaxed);
        metrics::gauge!("anamnesis_http_requests_at_once_max").set(next as f64);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.inner.working.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_wait_is_refused_first() {
        let shedding = Shedding::new(100);
        let mut held: Vec<Admitted> = Vec::new();
        let mut refused_at = Vec::new();
        for priority in Priority::ALL {
            while let Ok(admitted) = shedding.admit(priority) {
                held.push(admitted);
                if held.len() >= 150 {
                    break;
                }
            }
            refused_at.push(held.len());
        }
        assert_eq!(refused_at, [40, 50, 70, 80, 90, 100, 150]);
        let refused = shedding.admit(Priority::Command).err().expect("others go before");
        assert_eq!((refused.status().as_u16(), refused.rule()), (503, "shed"));
        held.clear();
        assert!(shedding.admit(Priority::Analysis).is_ok());
        assert_eq!(shedding.inner.working.load(Ordering::Relaxed), 0, "whoever was refused holds nothing");
    }

    #[test]
    fn slow_answers_bring_it_down_and_quick_ones_up_again() {
        let shedding = Shedding::new(1_000);
        let held: Vec<_> = (0..300).map(|_| shedding.admit(Priority::Care).ok()).collect();
        let mut now = Instant::now();
        let mut look = |time, times: usize| {
            for _ in 0..times * LOOKED_AT {
                shedding.inner.look(time, now);
            }
            now += REST;
            shedding.at_once()
        };
        assert_eq!(look(Duration::from_millis(5), 10), 1_000, "quick, and few");
        // From what was there: once, however many say so before what follows from it is seen.
        assert_eq!(look(SLOW * 2, 3), 270);
        let mut before = 270;
        for _ in 0..50 {
            let next = look(SLOW * 2, 1);
            assert!(next <= before && next >= 250, "{next}");
            before = next;
        }
        assert_eq!(before, 250, "a quarter of what there may be");
        let after = look(Duration::from_millis(5), 1_000);
        assert!((600..=608).contains(&after), "twice as many as there are, bit by bit: {after}");
        drop(held);
        let few = Shedding::new(8);
        few.inner.look(SLOW * 2, now);
        assert_eq!(few.at_once(), 8);
    }
}
