//! Which messages of the stream this process has put there itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the relay of this process has put into the stream, for who looks for messages of others. Cheap to clone.
///
/// A message is taken only at the sequence that the relay gave it, and the server says which one that was: so between the
/// place at which a relay took the stream up and the last acknowledgement nothing is anybody else's.
#[derive(Clone, Debug, Default)]
pub struct Placed(Arc<Mutex<Run>>);

/// The messages of a relay, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// When the stream was made, in nanoseconds: another one numbers anew.
    created: i128,
    /// The sequence before the first.
    before: u64,
    /// The last that was acknowledged, and the position of its event.
    acknowledged: u64,
    position: u64,
    /// The last that is on its way.
    sent: u64,
    /// Whether the relay goes on.
    goes_on: bool,
}

/// Ends a run.
pub struct Ends(Placed);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.run().goes_on = false;
    }
}

impl Placed {
    /// A relay begins behind this sequence of the stream, which has this position; until the answer is dropped it goes on.
    pub fn begin(&self, created: i128, before: u64, position: u64) -> Ends {
        *self.run() = Run { created, before, acknowledged: before, position, sent: before, goes_on: true };
        Ends(self.clone())
    }

    /// A message is sent, to get this sequence.
    pub fn send(&self, sequence: u64) {
        self.run().sent = sequence;
    }

    /// Everything up to this sequence, which has this position, is acknowledged.
    pub fn acknowledge(&self, sequence: u64, position: u64) {
        let mut run = self.run();
        (run.acknowledged, run.position) = (sequence, position);
    }

    /// As it is now.
    pub fn now(&self) -> Run {
        *self.run()
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// The sequence behind `sequence` up to which all are the relay's own; `sequence` where the next is not, or not known to be.
    pub fn past(&self, created: i128, sequence: u64) -> u64 {
        let is_within = self.created == created && (self.before..self.acknowledged).contains(&sequence);
        if is_within { self.acknowledged } else { sequence }
    }

    /// The last sequence that was acknowledged, and its position.
    pub const fn place(&self) -> (u64, u64) {
        (self.acknowledged, self.position)
    }

    /// Whether the relay goes on.
    pub const fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Whether the relay tells by itself of what follows `sequence` in a stream that ends in `last`: it works there, and what
    /// is not acknowledged yet is on its way.
    pub fn tells_of(&self, created: i128, sequence: u64, last: u64) -> bool {
        let is_at_its_end = self.created == created && sequence == self.acknowledged;
        self.goes_on && is_at_its_end && last <= self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::Placed;

    #[test]
    fn a_run_is_from_where_it_began_to_what_was_acknowledged() {
        let placed = Placed::default();
        let ends = placed.begin(7, 10, 8);
        assert!(placed.now().tells_of(7, 10, 10), "nothing is there");
        placed.send(13);
        placed.acknowledge(12, 10);
        let run = placed.now();
        assert_eq!(run.place(), (12, 10));
        assert_eq!([9, 10, 11, 12, 13].map(|sequence| run.past(7, sequence)), [9, 12, 12, 12, 13]);
        assert_eq!(run.past(8, 11), 11, "another stream");
        assert!(run.tells_of(7, 12, 13), "one is on its way");
        assert!(!run.tells_of(7, 12, 14), "that one is somebody else's");
        assert!(!run.tells_of(7, 11, 13) && !run.tells_of(8, 12, 13));
        drop(ends);
        assert!(!placed.now().tells_of(7, 12, 12), "who tells of it has ended");
        assert_eq!(placed.now().past(7, 10), 12, "what was its own stays so");
        assert_eq!(placed.now().past(0, 0), 0);
    }
}
