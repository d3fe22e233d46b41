//! For each process manager a course in which every one of its ways is taken.

mod alert;
mod enrolment;
mod silence;
mod withdrawal;

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::clinic::Clinic;

pub use alert::Alert;
pub use enrolment::Enrolment;
pub use silence::Silence;
pub use withdrawal::Withdrawal;

/// The names of the process managers that are tortured.
pub const TORTURED: [&str; 4] = [Enrolment::PROCESS, Withdrawal::PROCESS, Alert::PROCESS, Silence::PROCESS];

/// What one process manager has to do with.
#[async_trait]
pub trait Course: Send + Sync {
    /// The process manager.
    const PROCESS: &'static str;
    /// How many phases there are; the next comes when the process manager is done with the one before.
    const PHASES: usize;
    /// The phase that the process manager only hears of when it is over.
    const BEHIND: usize;

    /// Plays one phase.
    async fn play(clinic: &Clinic, phase: usize);

    /// That every way was taken, by how many events there are of each type.
    fn check(count: &Count);
}

/// How many events there are of each type.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count(pub BTreeMap<String, usize>);

impl Count {
    /// Of one type.
    pub fn of(&self, event_type: &str) -> usize {
        self.0.get(event_type).copied().unwrap_or(0)
    }
}
