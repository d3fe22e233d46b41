//! Answering a question on the facts that commands are decided on.

use decider::Inquire;

use super::{ExecuteError, Executor, Seen, TRIES_MAX, rests_on_facts};
use crate::clock;

/// An answer, and where the log stood when nothing of what it rests on had changed.
#[derive(Clone, Debug)]
pub struct Answered<A> {
    /// The answer.
    pub answer: A,
    /// The position.
    pub position: u64,
}

impl Executor {
    /// Answers a question, from what is kept in memory where the log holds no more: never as of an earlier state of the log
    /// than when it was asked.
    ///
    /// # Errors
    /// [`ExecuteError::Refused`] where there is no answer; [`ExecuteError::Log`] where the log does not answer;
    /// [`ExecuteError::Conflict`] where the facts keep changing.
    pub async fn inquire<I: Inquire>(&self, inquiry: &I) -> Result<Answered<I::Answer>, ExecuteError> {
        let inner = &*self.inner;
        let mut changing = None;
        for _ in 0..TRIES_MAX {
            let mut seen = Seen::default();
            let incarnation = inner.aggregates.settle();
            let now = clock::now();
            let answered = inner.with_facts(inquiry.reads(), None, &mut seen, |facts| inquiry.answer(now, facts)).await;
            let answered = match answered {
                // That there is no answer has to be proved like one.
                Err(error) if !rests_on_facts(&error) => return Err(error),
                answered => answered,
            };
            let versions = seen.versions();
            let proved = inner.aggregates.proved(&versions).await?;
            if let Some(position) = proved.filter(|_| incarnation == inner.aggregates.settle()) {
                return answered.map(|answer| Answered { answer, position });
            }
            changing = versions.first().map(|(stream, _)| *stream);
        }
        // Without a fact nothing changes.
        let stream = changing.ok_or_else(|| ExecuteError::Malformed("a question about nothing".to_owned()))?;
        Err(ExecuteError::Conflict { stream })
    }
}
