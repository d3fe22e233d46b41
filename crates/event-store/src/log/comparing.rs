//! Comparing streams for many at once: whatever is asked while the last questions are answered is the next one.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use events::ids::StreamId;
use tokio::sync::{Semaphore, oneshot};

use super::{Comparison, LogError};

/// Questions that the database is asked at once: one that is not answered does not keep all others waiting.
const AT_ONCE: usize = 3;
/// Callers who are answered together.
const TOGETHER_MAX: usize = 256;

/// A stream as it was seen.
pub type Seen = (StreamId, u64);

/// What the database says of many streams.
#[derive(Debug, Default)]
pub struct Grown {
    /// The log's head in that moment.
    pub head: u64,
    /// Those that hold more than was seen.
    pub grown: HashSet<Seen>,
}

/// Callers who wait, and whose turn it is.
pub struct Comparing {
    waiting: Mutex<Vec<Waiting>>,
    turns: Semaphore,
}

struct Waiting {
    seen: Vec<Seen>,
    answer: oneshot::Sender<Result<Comparison, LogError>>,
}

impl Default for Comparing {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Comparing {
    /// Which of these have grown, as `ask` finds out for everybody who waits: what is answered was asked after the caller came.
    ///
    /// # Errors
    /// As `ask`.
    pub async fn compare<F>(&self, seen: &[Seen], ask: impl Fn(Vec<Seen>) -> F) -> Result<Comparison, LogError>
    where
        F: Future<Output = Result<Grown, LogError>>,
    {
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.waiting().push(Waiting { seen: seen.to_vec(), answer });
            loop {
                let is_asked_for = tokio::select! {
                    biased;
                    found = &mut answered => match found {
                        Ok(found) => return found,
                        // Whoever asked for both gave up.
                        Err(_) => break,
                    },
                    turn = self.turns.acquire() => {
                        let _turn = turn.map_err(|_| LogError::Stopped)?;
                        !self.ask_for_all(&ask).await
                    }
                };
                // By another turn, which is not over.
                if is_asked_for {
                    match (&mut answered).await {
                        Ok(found) => return found,
                        Err(_) => break,
                    }
                }
            }
        }
    }

    /// Asks for those who wait; whether there were any.
    async fn ask_for_all<F>(&self, ask: &impl Fn(Vec<Seen>) -> F) -> bool
    where
        F: Future<Output = Result<Grown, LogError>>,
    {
        let callers: Vec<Waiting> = {
            let mut waiting = self.waiting();
            // Whoever gave up is not asked for.
            waiting.retain(|caller| !caller.answer.is_closed());
            let count = waiting.len().min(TOGETHER_MAX);
            waiting.drain(..count).collect()
        };
        if callers.is_empty() {
            return false;
        }
        let all: HashSet<Seen> = callers.iter().flat_map(|caller| caller.seen.iter().copied()).collect();
        match ask(all.into_iter().collect()).await {
            Ok(found) => {
                for Waiting { seen, answer } in callers {
                    let mut grown: Vec<StreamId> = Vec::new();
                    grown.extend(seen.iter().filter(|seen| found.grown.contains(seen)).map(|(stream, _)| *stream));
                    drop(answer.send(Ok(Comparison { head: found.head, grown })));
                }
            }
            Err(error) => {
                // The first caller gets the cause.
                let mut error = Some(error);
                for caller in callers {
                    drop(caller.answer.send(Err(error.take().unwrap_or(LogError::BatchFailed))));
                }
            }
        }
        true
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What rows say: each tells the head, and perhaps a stream that has grown, by kind and id, with the version that was seen.
///
/// # Errors
/// [`LogError::Corrupt`] where a value is not one that this program writes.
pub fn grown(rows: Vec<GrownRow>) -> Result<Grown, LogError> {
    let mut found = Grown::default();
    for (head, id, kind, seen) in rows {
        found.head = found.head.max(super::row::natural(head)?);
        let (Some(id), Some(kind), Some(seen)) = (id, kind, seen) else { continue };
        let kind = kind.parse().map_err(|_| LogError::Corrupt { what: "a stream's kind".to_owned() })?;
        found.grown.insert((StreamId::new(kind, id), super::row::natural(seen)?));
    }
    Ok(found)
}

/// A row of such an answer.
pub type GrownRow = (i64, Option<uuid::Uuid>, Option<String>, Option<i64>);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use events::ids::StreamType;
    use futures::future::join_all;
    use tokio::sync::Notify;
    use uuid::Uuid;

    use super::*;

    fn stream(number: u128) -> StreamId {
        StreamId::new(StreamType::Patient, Uuid::from_u128(number))
    }

    /// Says that every stream with an odd version has grown.
    async fn odd(seen: Vec<Seen>) -> Result<Grown, LogError> {
        tokio::task::yield_now().await;
        Ok(Grown { head: 7, grown: seen.into_iter().filter(|(_, version)| version % 2 == 1).collect() })
    }

    #[tokio::test]
    async fn everybody_gets_their_own_answer_by_few_questions() {
        let (comparing, questions) = (Comparing::default(), AtomicUsize::new(0));
        let ask = |seen| {
            questions.fetch_add(1, Ordering::SeqCst);
            odd(seen)
        };
        let callers = (0..300_u64).map(|number| {
            let (comparing, ask) = (&comparing, &ask);
            async move {
                // The same stream in another version is another one.
                let seen = [(stream(1), number), (stream(2), 1)];
                let found = comparing.compare(&seen, ask).await.expect("an answer");
                let odd = number % 2 == 1;
                let expected: Vec<StreamId> = odd.then_some(stream(1)).into_iter().chain([stream(2)]).collect();
                assert_eq!(found, Comparison { head: 7, grown: expected });
            }
        });
        join_all(callers).await;
        assert!(questions.load(Ordering::SeqCst) < 20, "{questions:?}");
        assert_eq!(comparing.compare(&[], odd).await.expect("an answer").head, 7);
        assert!(comparing.waiting().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_takes_nobody_along_and_a_question_without_answer_holds_up_no_other() {
        let comparing = Arc::new(Comparing::default());
        let asked = Arc::new(Notify::new());
        let hanging: Vec<_> = (0..AT_ONCE - 1)
            .map(|_| {
                let (comparing, told) = (comparing.clone(), asked.clone());
                tokio::spawn(async move {
                    let ask = |_| {
                        told.notify_one();
                        std::future::pending()
                    };
                    comparing.compare(&[(stream(1), 1)], ask).await
                })
            })
            .collect();
        for _ in &hanging {
            asked.notified().await;
        }
        assert_eq!(comparing.compare(&[(stream(1), 1)], odd).await.expect("an answer").grown, [stream(1)]);
        // One asks for itself and another, and gives up; the other asks again.
        let (leader, told) = (comparing.clone(), asked.clone());
        let leader = tokio::spawn(async move {
            let ask = |_| {
                told.notify_one();
                std::future::pending()
            };
            leader.compare(&[(stream(1), 1)], ask).await
        });
        asked.notified().await;
        let follower = comparing.clone();
        let follower = tokio::spawn(async move { follower.compare(&[(stream(3), 3)], odd).await });
        tokio::task::yield_now().await;
        leader.abort();
        assert_eq!(follower.await.expect("it ends").expect("an answer").grown, [stream(3)]);
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_the_next_question_is_a_new_one() {
        let comparing = Comparing::default();
        let failed = comparing.compare(&[(stream(1), 1)], |_| async { Err(LogError::Stopped) }).await;
        assert!(matches!(failed, Err(LogError::Stopped)));
        assert_eq!(comparing.compare(&[(stream(1), 1)], odd).await.expect("an answer").grown, [stream(1)]);
    }
}
