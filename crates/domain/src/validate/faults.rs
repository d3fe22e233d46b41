//! Several faults of one body.

use decider::{Fault, Reason, RefusalKind};

use super::Invalid;

/// What is wrong with a body: all of it at once, so that nobody mends one field after the other.
#[derive(Debug)]
pub struct Faults {
    first: Invalid,
    others: Vec<Invalid>,
}

impl From<Invalid> for Faults {
    fn from(first: Invalid) -> Self {
        Self { first, others: Vec::new() }
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.first.fmt(formatter)?;
        self.others.iter().try_for_each(|other| write!(formatter, "; {other}"))
    }
}

impl std::error::Error for Faults {}

impl Reason for Faults {
    fn rule(&self) -> &'static str {
        self.first.rule()
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::Invalid
    }

    fn field(&self) -> Option<String> {
        self.first.field()
    }

    fn faults(&self) -> Vec<Fault> {
        if self.others.is_empty() {
            return Vec::new();
        }
        std::iter::once(&self.first).chain(&self.others).map(Fault::of).collect()
    }
}

/// Everything that the checks found wrong.
///
/// # Errors
/// [`Faults`] where one of them did.
pub fn all<E: Into<Faults>>(checks: impl IntoIterator<Item = Result<(), E>>) -> Result<(), Faults> {
    let mut faults = checks.into_iter().filter_map(|check| check.err().map(Into::into));
    let Some(mut all) = faults.next() else { return Ok(()) };
    for further in faults {
        all.others.push(further.first);
        all.others.extend(further.others);
    }
    Err(all)
}
