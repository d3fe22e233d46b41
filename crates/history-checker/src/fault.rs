//! The promises of a log, each by the way in which it can be seen broken.

/// A promise that was seen broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The log has a gap, or a position twice, or is out of order.
    #[error("the log goes on with position {found} where {expected} was due")]
    Position {
        /// What was due.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A stream has a gap, or a version twice, or is out of order.
    #[error("position {position}: {stream} goes on with version {found} where {expected} was due")]
    Version {
        /// Where.
        position: u64,
        /// The stream.
        stream: String,
        /// What was due.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Two events have one id.
    #[error("position {position}: the event id {event} is not new")]
    EventTwice {
        /// Where it occurs again.
        position: u64,
        /// The id.
        event: String,
    },
    /// An append was acknowledged and is not in the log.
    #[error("append {command} was acknowledged and is lost")]
    Lost {
        /// The append.
        command: String,
    },
    /// An append is in the log more than once.
    #[error("append {command} is in the log more than once")]
    Doubled {
        /// The append.
        command: String,
    },
    /// An append is in the log in pieces, or in part, or with other streams than were sent.
    #[error("append {command} is not in the log in one piece, as it was sent")]
    Torn {
        /// The append.
        command: String,
    },
    /// An append was acknowledged with other events than the log holds.
    #[error("append {command} was acknowledged with other events than the log holds")]
    Misreported {
        /// The append.
        command: String,
    },
    /// An append is in the log although its client was told that it is not.
    #[error("append {command} was refused and is in the log")]
    RefusedAndStored {
        /// The append.
        command: String,
    },
    /// An append is in the log that nobody sent.
    #[error("position {position}: append {command} was sent by nobody")]
    NeverSent {
        /// Where.
        position: u64,
        /// The append.
        command: String,
    },
    /// A stream did not stand where the append expected it.
    #[error("append {command} expected {stream} at version {expected}, it stood at {found}")]
    Expected {
        /// The append.
        command: String,
        /// The stream.
        stream: String,
        /// What was expected.
        expected: u64,
        /// Where it stood.
        found: u64,
    },
    /// A guarded stream had changed.
    #[error("append {command} guarded {stream} at version {expected}, it stood at {found}")]
    Guard {
        /// The append.
        command: String,
        /// The stream.
        stream: String,
        /// What was seen by the decision.
        expected: u64,
        /// Where it stood.
        found: u64,
    },
    /// An append stands before another that was acknowledged before it was sent.
    #[error("append {later} was sent after {earlier} was acknowledged, and stands before it")]
    RealTime {
        /// The one that was acknowledged.
        earlier: String,
        /// The one that was sent afterwards.
        later: String,
    },
    /// A reader was shown a position although one before it was not visible yet.
    #[error("reader {reader}, after {after}: position {found} came where {expected} was due")]
    ReadOrder {
        /// Who read.
        reader: String,
        /// From where on.
        after: u64,
        /// What was due.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A reader or consumer was shown something else than the log holds.
    #[error("{who} saw another event at position {position} than the log holds")]
    Altered {
        /// Who saw it.
        who: String,
        /// Where.
        position: u64,
    },
    /// A read did not show what had been acknowledged before it began.
    #[error("reader {reader}, after {after}: position {position} had been acknowledged and did not come")]
    Stale {
        /// Who read.
        reader: String,
        /// From where on.
        after: u64,
        /// What was missing.
        position: u64,
    },
    /// A consumer did not see every position once and in order.
    #[error("consumer {consumer}: position {found} came where {expected} was due")]
    Consumed {
        /// Who.
        consumer: String,
        /// What was due.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A consumer did not see the log's end.
    #[error("consumer {consumer} saw the log up to {position} of {head}")]
    Unconsumed {
        /// Who.
        consumer: String,
        /// How far it came.
        position: u64,
        /// The log's end.
        head: u64,
    },
}
