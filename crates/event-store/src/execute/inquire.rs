//! Answering a question on the facts that commands are decided on.

use decider::{Halt, Inquire};

use super::{ExecuteError, Executor, HALTS_MAX, Inner, Seen, TRIES_MAX};
use crate::clock;
use crate::log::LogError;

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
            let answered = inner.answer(inquiry, &mut seen).await?;
            let versions = seen.versions();
            let proved = inner.aggregates.proved(&versions).await?;
            if let Some(position) = proved.filter(|_| incarnation == inner.aggregates.settle()) {
                return match answered {
                    Ok(answer) => Ok(Answered { answer, position }),
                    Err(refusal) => Err(ExecuteError::Refused(refusal)),
                };
            }
            changing = versions.first().map(|(stream, _)| *stream);
        }
        // Without a fact nothing changes.
        let stream = changing.ok_or_else(|| ExecuteError::Malformed("a question about nothing".to_owned()))?;
        Err(ExecuteError::Conflict { stream })
    }
}

impl Inner {
    /// Asks until all streams that it needs are loaded.
    async fn answer<I: Inquire>(
        &self,
        inquiry: &I,
        seen: &mut Seen,
    ) -> Result<Result<I::Answer, decider::Refusal>, ExecuteError> {
        let load = async |needs, seen: &mut Seen| -> Result<(), LogError> { self.load(needs, None, seen).await };
        load(inquiry.reads(), seen).await?;
        for _ in 0..HALTS_MAX {
            match inquiry.answer(clock::now(), &seen.facts) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(Halt::Refused(refusal)) => return Ok(Err(refusal)),
                Err(Halt::Needs(needs)) => load(needs, seen).await?,
            }
        }
        Err(ExecuteError::Malformed(format!("a question asked for streams {HALTS_MAX} times")))
    }
}
