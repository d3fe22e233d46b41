//! Reading query parameters strictly: a name that is not known is refused, not ignored.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use chrono::{DateTime, Utc};
use service::problem::Problem;
use uuid::Uuid;

use crate::place::Place;

/// Longest time that `at_least` may wait.
const WAIT_MILLISECONDS_MAX: u64 = 30_000;

/// The parameters of a request; each can be taken once.
pub struct Parameters {
    values: BTreeMap<String, String>,
}

impl Parameters {
    /// Reads the parameters of an address.
    ///
    /// # Errors
    /// A 400 problem where one is given twice or is not text.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let query = query.map_err(|_| Problem::invalid("query", "malformed", "The query string cannot be read."))?;
        for (name, value) in query.0 {
            if value.contains('\0') {
                return Err(Problem::invalid(name, "control-character", "A parameter must not contain NUL."));
            }
            if values.insert(name.clone(), value).is_some() {
                return Err(Problem::invalid(name, "duplicate", "A parameter may be given once."));
            }
        }
        Ok(Self { values })
    }

    /// Takes a parameter as text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes a parameter and reads it.
    ///
    /// # Errors
    /// A 400 problem where it is not `expected`.
    pub fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.values.remove(name) else { return Ok(None) };
        let parsed = text.parse();
        parsed.map(Some).map_err(|_| Problem::invalid(name, "malformed", format!("`{name}` must be {expected}.")))
    }

    /// Takes a UUID.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn uuid(&mut self, name: &str) -> Result<Option<Uuid>, Problem> {
        self.parsed(name, "a UUID")
    }

    /// Takes a time.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn time(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        self.parsed(name, "a time such as 2026-01-31T12:00:00Z (RFC 3339)")
    }

    /// Takes a position.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn position(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let position: Option<u64> = self.parsed(name, "a position: a whole number from 0")?;
        if position.is_some_and(|position| i64::try_from(position).is_err()) {
            return Err(Problem::invalid(name, "out-of-range", format!("`{name}` is beyond any position.")));
        }
        Ok(position)
    }

    /// Takes a place in the log.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn place(&mut self, name: &str) -> Result<Option<Place>, Problem> {
        self.parsed(name, "a position (a whole number from 0) or the id of an event")
    }

    /// Takes `at_least` and how long it may wait.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn at_least(&mut self, patience: Duration) -> Result<Option<(Place, Duration)>, Problem> {
        let expected = "a number of milliseconds from 0 to 30000";
        let wait: Option<u64> = self.parsed("timeout_ms", expected)?;
        if wait.is_some_and(|wait| wait > WAIT_MILLISECONDS_MAX) {
            return Err(Problem::invalid("timeout_ms", "out-of-range", format!("`timeout_ms` must be {expected}.")));
        }
        let wait = wait.map_or(patience, Duration::from_millis);
        Ok(self.place("at_least")?.map(|place| (place, wait)))
    }

    /// Refuses what was not taken.
    ///
    /// # Errors
    /// A 400 problem naming the first parameter that is left.
    pub fn finish(self) -> Result<(), Problem> {
        match self.values.into_keys().next() {
            Some(name) => Err(Problem::invalid(
                name.clone(),
                "unknown-parameter",
                format!("There is no parameter `{name}` here."),
            )),
            None => Ok(()),
        }
    }
}
