//! What an upload is to be taken for: by parameters of its address, or by its metadata.

use std::collections::BTreeMap;

use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use events::ids::TrialId;
use serde::{Deserialize, Serialize};
use service::deadline;
use service::problem::Problem;

use crate::lines::{Defaults, Format, is_name};

/// The most that a clock may be ahead, in seconds: a year.
const CLOCK_AHEAD_MAX: i64 = 366 * 86_400;
/// What programs that send files say of them, and nobody looks at.
const OF_FILES: [&str; 7] = ["filename", "filetype", "name", "type", "relativePath", "mimetype", "is_confidential"];

/// What an upload is to be taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The trial.
    pub trial_id: TrialId,
    /// How lines are written.
    pub format: Format,
    /// What lines leave out.
    #[serde(flatten)]
    pub defaults: Defaults,
    /// By how many seconds the device's clock is ahead, where it was told.
    pub clock_ahead_seconds: Option<i64>,
}

/// What was given by name.
pub struct Given(BTreeMap<String, String>);

impl Given {
    /// By the parameters of an address.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn in_address(uri: &Uri) -> Result<Self, Problem> {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let query = query.map_err(|_| Problem::invalid("query", "malformed", "The query string cannot be read."))?;
        // How long the caller waits has been seen to already.
        Self::of(query.0.into_iter().filter(|(name, _)| name != deadline::PARAMETER))
    }

    /// By the header `Upload-Metadata` of tus: names, each with a value in base64, with commas in between.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn in_metadata(header: &str) -> Result<Self, Problem> {
        let malformed = || {
            let message = "Upload-Metadata is `name base64,name base64`.";
            Problem::invalid("Upload-Metadata", "malformed", message)
        };
        let pair = |pair: &str| {
            let (name, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
            let value = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            Ok((name.to_owned(), value.ok_or_else(malformed)?))
        };
        let pairs = header.split(',').filter(|pair| !pair.trim().is_empty()).map(pair);
        // What browsers say of a file is not looked at.
        let is_of_file = |(name, _): &(String, String)| OF_FILES.contains(&name.as_str());
        let pairs = pairs.collect::<Result<Vec<_>, Problem>>()?;
        Self::of(pairs.into_iter().filter(|pair| !is_of_file(pair)))
    }

    fn of(pairs: impl Iterator<Item = (String, String)>) -> Result<Self, Problem> {
        let mut given = BTreeMap::new();
        for (name, value) in pairs {
            if given.insert(name.clone(), value).is_some() {
                return Err(Problem::invalid(name.clone(), "duplicate", format!("`{name}` may be given once.")));
            }
        }
        Ok(Self(given))
    }

    /// Takes what was given by this name.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let parsed = text.parse();
        parsed.map(Some).map_err(|_| Problem::invalid(name, "malformed", format!("`{name}` must be {expected}.")))
    }

    /// Refuses what was not taken.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn require_none(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            Some(name) => {
                let message = format!("There is no parameter `{name}` here.");
                Err(Problem::invalid(name, "unknown-parameter", message))
            }
            None => Ok(()),
        }
    }

    /// What it is to be taken for; nothing is left over.
    ///
    /// # Errors
    /// A 400 problem.
    pub fn finish(mut self, format: Option<Format>, now: DateTime<Utc>) -> Result<Parameters, Problem> {
        let trial_id = self.parsed("trial_id", "the id of a trial")?;
        let trial_id = trial_id
            .ok_or_else(|| Problem::invalid("trial_id", "missing", "`trial_id` says for which trial; give its id."))?;
        let format = match (format, self.take("format").as_deref()) {
            (None, Some("ndjson")) => Format::Ndjson,
            (None, Some("csv")) => Format::Csv,
            (Some(format), None) => format,
            (Some(_), Some(_)) => {
                return Err(Problem::invalid("format", "unknown-parameter", "The Content-Type says the format."));
            }
            (None, _) => return Err(Problem::invalid("format", "missing", "`format` must be `ndjson` or `csv`.")),
        };
        let device = self.take("device").filter(|device| !device.is_empty());
        if device.as_ref().is_some_and(|device| !is_name(device)) {
            let message = "`device` must be a name of 1 to 100 characters, without blanks around it.";
            return Err(Problem::invalid("device", "malformed", message));
        }
        let time_zone = self.parsed("time_zone", "a time zone of the IANA database such as `Europe/Oslo`")?;
        let device_time: Option<DateTime<Utc>> =
            self.parsed("device_time", "a time such as 2026-01-31T12:00:00Z (RFC 3339)")?;
        self.require_none()?;
        let clock_ahead_seconds = device_time.map(|device_time| (device_time - now).num_seconds());
        if clock_ahead_seconds.is_some_and(|ahead| ahead > CLOCK_AHEAD_MAX) {
            let message = "`device_time` lies more than a year ahead: set the device's clock.";
            return Err(Problem::invalid("device_time", "out-of-range", message));
        }
        Ok(Parameters { trial_id, format, defaults: Defaults { device, time_zone }, clock_ahead_seconds })
    }
}
