//! Reading query parameters strictly: a name that is not known is refused, not ignored.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use service::deadline;
use service::problem::Problem;
use uuid::Uuid;

use crate::place::Place;

/// Longest time that `at_least` may wait.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Values that one parameter may have at most.
const VALUES_MAX: usize = 64;

/// The parameters of a request; each can be taken once.
pub struct Parameters {
    values: BTreeMap<String, Vec<String>>,
}

impl Parameters {
    /// Reads the parameters of an address.
    ///
    /// # Errors
    /// A 400 problem where one is not text.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let query = query.map_err(|_| Problem::invalid("query", "malformed", "The query string cannot be read."))?;
        for (name, value) in query.0 {
            // How long the caller waits has been seen to already.
            if name == deadline::PARAMETER {
                continue;
            }
            if value.contains('\0') {
                return Err(Problem::invalid(name, "control-character", "A parameter must not contain NUL."));
            }
            values.entry(name).or_default().push(value);
        }
        Ok(Self { values })
    }

    /// Takes a parameter as text.
    ///
    /// # Errors
    /// A 400 problem where it is given twice.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut values = self.values.remove(name).unwrap_or_default();
        if values.len() > 1 {
            return Err(Problem::invalid(name, "duplicate", format!("`{name}` may be given once.")));
        }
        Ok(values.pop())
    }

    /// Takes all that is given for a parameter that may be repeated.
    ///
    /// # Errors
    /// A 400 problem where a value is empty, or there are too many.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let values = self.values.remove(name).unwrap_or_default();
        several(name, values)
    }

    /// Takes all that is given for a parameter whose values hold no comma: repeated, or with commas in between.
    ///
    /// # Errors
    /// A 400 problem where a value is empty, or there are too many.
    pub fn list(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let values = self.values.remove(name).unwrap_or_default();
        let values = values.iter().flat_map(|value| value.split(',')).map(|value| value.trim().to_owned());
        several(name, values.collect())
    }

    /// Takes a list of words.
    ///
    /// # Errors
    /// A 400 problem where one is none of those that are known; it names them.
    pub fn words(&mut self, name: &str, known: &[&str]) -> Result<Vec<String>, Problem> {
        let words = self.list(name)?;
        match words.iter().find(|word| !known.contains(&word.as_str())) {
            Some(_) => {
                let message =
                    format!("`{name}` must be one of {}, or several of them with commas in between.", known.join(", "));
                Err(Problem::invalid(name, "unknown-value", message))
            }
            None => Ok(words),
        }
    }

    /// Takes a list of UUIDs.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn uuids(&mut self, name: &str) -> Result<Vec<Uuid>, Problem> {
        let read = |text: &String| Uuid::try_parse(text);
        self.list(name)?.iter().map(read).collect::<Result<_, _>>().map_err(|_| {
            Problem::invalid(name, "malformed", format!("`{name}` must be a UUID, or several with commas in between."))
        })
    }

    /// Takes a parameter and reads it.
    ///
    /// # Errors
    /// A 400 problem where it is not `expected`.
    pub fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let parsed = text.parse();
        parsed.map(Some).map_err(|_| Problem::invalid(name, "malformed", format!("`{name}` must be {expected}.")))
    }

    /// Takes a time.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn time(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        self.parsed(name, "a time such as 2026-01-31T12:00:00Z (RFC 3339)")
    }

    /// Takes a time, or a day, which stands for its end in UTC.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn time_or_day(&mut self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let day = text.parse::<NaiveDate>().ok().and_then(|day| day.succ_opt());
        let end = day.map(|next| next.and_time(NaiveTime::MIN).and_utc() - TimeDelta::microseconds(1));
        let expected = "a time such as 2026-01-31T12:00:00Z (RFC 3339), or a day such as 2026-01-31: its end in UTC";
        match end.map_or_else(|| text.parse(), Ok) {
            Ok(time) => Ok(Some(time)),
            Err(_) => Err(Problem::invalid(name, "malformed", format!("`{name}` must be {expected}."))),
        }
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

    /// Takes `at_least`, and says how long it may wait.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn at_least(&mut self, patience: Duration) -> Result<Option<(Place, Duration)>, Problem> {
        // Who says how long it waits is told in that time that the view is behind.
        let wait = deadline::left().map_or(patience, |left| left * 19 / 20);
        Ok(self.place("at_least")?.map(|place| (place, wait.min(WAIT_MAX))))
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

fn several(name: &str, values: Vec<String>) -> Result<Vec<String>, Problem> {
    if values.len() > VALUES_MAX {
        let message = format!("`{name}` may have at most {VALUES_MAX} values.");
        return Err(Problem::invalid(name, "too-many-values", message));
    }
    match values.iter().any(String::is_empty) {
        true => Err(Problem::invalid(name, "empty", format!("`{name}` must not be empty."))),
        false => Ok(values),
    }
}
