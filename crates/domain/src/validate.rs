//! Checks of single fields, each refusal naming the field and what would be right.

use chrono::{DateTime, Datelike, DurationRound, NaiveDate, TimeDelta, Utc};
use decider::{Context, Halt, Reason, RefusalKind};
use events::envelope::Role;
use events::identifier;

use crate::place::Place;

mod address;
mod faults;
mod language;
mod text;

pub use address::{email, mobile};
pub use faults::{Faults, all};
pub use language::language;
pub use text::{code, optional_prose, optional_text, personal_text, prose, text};

/// Greatest length of a short code.
pub const CODE_LENGTH_MAX: usize = 100;
/// Greatest length of a line of text.
pub const TEXT_LENGTH_MAX: usize = 500;
/// Greatest length of prose.
pub const PROSE_LENGTH_MAX: usize = 10_000;
/// Greatest number of entries of a list.
pub const LIST_LENGTH_MAX: usize = 500;
/// How far a client's clock may be ahead of ours.
pub(crate) const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::minutes(5);

/// A field that is wrong, whatever the state.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// Nothing where something must be.
    #[error("`{field}` must not be empty or begin or end with a blank")]
    Blank {
        /// The field.
        field: String,
    },
    /// Left out, where it must be given.
    #[error("`{field}` is required")]
    Missing {
        /// The field.
        field: String,
    },
    /// Too long.
    #[error("`{field}` must have at most {max} characters")]
    TooLong {
        /// The field.
        field: String,
        /// The greatest length.
        max: usize,
    },
    /// A character that no text has.
    #[error("`{field}` must not contain control characters, nor characters that turn text round")]
    ControlCharacter {
        /// The field.
        field: String,
    },
    /// Too many entries.
    #[error("`{field}` must have at most {max} entries")]
    TooMany {
        /// The field.
        field: String,
        /// The greatest number.
        max: usize,
    },
    /// Outside its range.
    #[error("`{field}` must be {expected}")]
    OutOfRange {
        /// The field.
        field: String,
        /// What would be right.
        expected: String,
    },
    /// Not of its form.
    #[error("`{field}` must be {expected}")]
    Malformed {
        /// The field.
        field: String,
        /// What would be right.
        expected: String,
    },
    /// The same thing twice.
    #[error("`{field}` repeats `{value}`")]
    Duplicate {
        /// The field.
        field: String,
        /// What is repeated.
        value: String,
    },
    /// Later than now.
    #[error("`{field}` lies in the future")]
    InFuture {
        /// The field.
        field: String,
    },
    /// Before anything that can be meant.
    #[error("`{field}` lies before 1900")]
    TooEarly {
        /// The field.
        field: String,
    },
}

rules! { names of Invalid:
    BLANK = "blank";
    MISSING = "missing";
    TOO_LONG = "too-long";
    CONTROL_CHARACTER = "control-character";
    TOO_MANY = "too-many";
    OUT_OF_RANGE = "out-of-range";
    MALFORMED = "malformed";
    DUPLICATE = "duplicate";
    IN_FUTURE = "in-the-future";
    TOO_EARLY = "too-early";
    NOTHING_CHANGES = "nothing-changes";
}

impl Reason for Invalid {
    fn rule(&self) -> &'static str {
        match self {
            Invalid::Blank { .. } => Invalid::BLANK,
            Invalid::Missing { .. } => Invalid::MISSING,
            Invalid::TooLong { .. } => Invalid::TOO_LONG,
            Invalid::ControlCharacter { .. } => Invalid::CONTROL_CHARACTER,
            Invalid::TooMany { .. } => Invalid::TOO_MANY,
            Invalid::OutOfRange { .. } => Invalid::OUT_OF_RANGE,
            Invalid::Malformed { .. } => Invalid::MALFORMED,
            Invalid::Duplicate { .. } => Invalid::DUPLICATE,
            Invalid::InFuture { .. } => Invalid::IN_FUTURE,
            Invalid::TooEarly { .. } => Invalid::TOO_EARLY,
        }
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::Invalid
    }

    fn field(&self) -> Option<String> {
        match self {
            Invalid::Blank { field }
            | Invalid::Missing { field }
            | Invalid::TooLong { field, .. }
            | Invalid::ControlCharacter { field }
            | Invalid::TooMany { field, .. }
            | Invalid::OutOfRange { field, .. }
            | Invalid::Malformed { field, .. }
            | Invalid::Duplicate { field, .. }
            | Invalid::InFuture { field }
            | Invalid::TooEarly { field } => Some(field.clone()),
        }
    }
}

/// A list that is not too long.
///
/// # Errors
/// [`Invalid::TooMany`].
pub fn list<T>(field: &str, values: &[T]) -> Result<(), Invalid> {
    count(field, values.len(), LIST_LENGTH_MAX)
}

/// As many of something as there may be at most.
///
/// # Errors
/// [`Invalid::TooMany`].
pub fn count(field: &str, count: usize, max: usize) -> Result<(), Invalid> {
    if count > max {
        return Err(Invalid::TooMany { field: field.to_owned(), max });
    }
    Ok(())
}

/// Codes that must all differ, also to the eye ([`identifier::key`]).
///
/// # Errors
/// [`Invalid::Duplicate`].
pub fn distinct<'value>(field: &str, values: impl Iterator<Item = &'value str>) -> Result<(), Invalid> {
    let mut seen = std::collections::HashSet::new();
    for value in values {
        if !seen.insert(identifier::key(value)) {
            return Err(Invalid::Duplicate { field: field.to_owned(), value: value.to_owned() });
        }
    }
    Ok(())
}

/// A number within its range.
///
/// # Errors
/// [`Invalid::OutOfRange`].
pub fn range(field: &str, value: u32, min: u32, max: u32) -> Result<(), Invalid> {
    if value < min || value > max {
        return Err(Invalid::OutOfRange { field: field.to_owned(), expected: format!("from {min} to {max}") });
    }
    Ok(())
}

/// A time that has come, in whole microseconds, as the log keeps it.
///
/// # Errors
/// [`Invalid::InFuture`], [`Invalid::TooEarly`].
pub fn past_time(context: &Context, field: &str, time: DateTime<Utc>) -> Result<DateTime<Utc>, Invalid> {
    if time > context.now + CLOCK_SKEW_MAX {
        return Err(Invalid::InFuture { field: field.to_owned() });
    }
    let earliest = NaiveDate::from_ymd_opt(1900, 1, 1).unwrap_or(NaiveDate::MIN);
    if time.date_naive() < earliest {
        return Err(Invalid::TooEarly { field: field.to_owned() });
    }
    Ok(time.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(time))
}

/// A day for which something can be planned.
///
/// # Errors
/// [`Invalid::OutOfRange`].
pub fn planned_day(field: &str, day: NaiveDate) -> Result<(), Invalid> {
    if !(1900..=2200).contains(&day.year()) {
        let expected = "a day between 1900 and 2200".to_owned();
        return Err(Invalid::OutOfRange { field: field.to_owned(), expected });
    }
    Ok(())
}

/// A day that has come at the place.
///
/// # Errors
/// [`Invalid::InFuture`], [`Invalid::TooEarly`]; [`Halt::Needs`] where the place is not loaded yet.
pub fn past_day(context: &Context, field: &str, day: NaiveDate, place: &Place<'_>) -> Result<(), Halt> {
    if day < NaiveDate::from_ymd_opt(1900, 1, 1).unwrap_or(NaiveDate::MIN) {
        return Err(Invalid::TooEarly { field: field.to_owned() }.into());
    }
    if !place.has_come(day, context.now)? {
        return Err(Invalid::InFuture { field: field.to_owned() }.into());
    }
    Ok(())
}

/// A UCUM unit, where there is one.
///
/// # Errors
/// [`Invalid::Malformed`].
pub fn optional_unit(field: &str, value: Option<&str>) -> Result<(), Invalid> {
    let Some(value) = value else { return Ok(()) };
    text(field, value)?;
    if methods::unit::is_known(value) {
        return Ok(());
    }
    let expected = "a UCUM unit such as `kg`, `mm[Hg]`, `mmol/L` or `{score}`, in upper and lower case as UCUM has it";
    Err(Invalid::Malformed { field: field.to_owned(), expected: expected.to_owned() })
}

/// SHA-256 as 64 lower-case hexadecimal digits.
///
/// # Errors
/// [`Invalid::Malformed`].
pub fn sha256(field: &str, value: &str) -> Result<(), Invalid> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if value.len() != 64 || !digits {
        let expected = "a SHA-256 of 64 lower-case hexadecimal digits".to_owned();
        return Err(Invalid::Malformed { field: field.to_owned(), expected });
    }
    Ok(())
}

/// Nobody is told of alerts about a record of the past: a correction is of the past only where its record is.
///
/// # Errors
/// [`Invalid::OutOfRange`].
pub fn historical_of(historical: bool, known: bool) -> Result<(), Invalid> {
    if historical && !known {
        let expected = "left out: the record is none of the past".to_owned();
        return Err(Invalid::OutOfRange { field: "historical".to_owned(), expected });
    }
    Ok(())
}

/// A correction of what stands there already.
#[derive(Debug, thiserror::Error)]
#[error("nothing changes: every field that is given has that value already")]
pub struct Unchanged;

impl Reason for Unchanged {
    fn rule(&self) -> &'static str {
        Invalid::NOTHING_CHANGES
    }
}

/// Only who brings in the records of another system says that what it brings is of the past: of such nobody is told.
///
/// # Errors
/// [`Invalid::OutOfRange`].
pub fn require_import(context: &Context, historical: bool) -> Result<(), Invalid> {
    if historical && context.actor.role != Role::Integration {
        let expected = "left out: only an integration brings in records of the past".to_owned();
        return Err(Invalid::OutOfRange { field: "historical".to_owned(), expected });
    }
    Ok(())
}

/// Something that the command speaks of and that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no {what} with the id {id}")]
pub struct NotFound {
    rule: &'static str,
    what: &'static str,
    id: String,
    field: Option<&'static str>,
}

impl NotFound {
    /// Stops a decision because `what` does not exist; `field` is absent where the address named it.
    pub fn halt(rule: &'static str, what: &'static str, id: impl ToString, field: Option<&'static str>) -> Halt {
        NotFound { rule, what, id: id.to_string(), field }.into()
    }
}

impl Reason for NotFound {
    fn rule(&self) -> &'static str {
        self.rule
    }

    fn kind(&self) -> RefusalKind {
        // What the body names is a matter of the command's content, not of its address.
        if self.field.is_some() { RefusalKind::Rule } else { RefusalKind::NotFound }
    }

    fn field(&self) -> Option<String> {
        self.field.map(str::to_owned)
    }
}
