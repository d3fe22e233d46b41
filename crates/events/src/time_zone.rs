//! Time zones of the IANA database, and what a day is in them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use schemars::where_generated;
use serde::{Deserialize, Serialize};

/// A time zone of the IANA database, such as `Europe/Oslo`.
///
/// Names are those of the database that the program was built with; names that were once in it are never removed, so
/// that what was recorded can always be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZone(Tz);

/// Why a text is not a [`TimeZone`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone, expected a name of the IANA database such as `Europe/Oslo`")]
pub struct InvalidTimeZone;

/// What a local time means in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instant {
    /// This instant.
    One(DateTime<Utc>),
    /// Clocks were set back: it came twice.
    Two(DateTime<Utc>, DateTime<Utc>),
    /// Clocks were set forward: it never came.
    None,
}

impl TimeZone {
    /// Coordinated universal time.
    pub const UTC: TimeZone = TimeZone(Tz::UTC);

    /// The name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The day that it is there.
    pub fn day(self, time: DateTime<Utc>) -> NaiveDate {
        time.with_timezone(&self.0).date_naive()
    }

    /// What clocks show there, and on which day.
    pub fn clock(self, time: DateTime<Utc>) -> (NaiveTime, NaiveDate) {
        let local = time.with_timezone(&self.0);
        (local.time(), local.date_naive())
    }

    /// What clocks show there, with their offset from UTC: RFC 3339.
    pub fn show(self, time: DateTime<Utc>) -> String {
        time.with_timezone(&self.0).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    }

    /// When clocks show this.
    pub fn instant(self, local: NaiveDateTime) -> Instant {
        match self.0.from_local_datetime(&local) {
            MappedLocalTime::Single(time) => Instant::One(time.to_utc()),
            MappedLocalTime::Ambiguous(earlier, later) => Instant::Two(earlier.to_utc(), later.to_utc()),
            MappedLocalTime::None => Instant::None,
        }
    }

    /// The first instant of a day; none where the zone left the day out, as Samoa did with 30 December 2011.
    pub fn begin(self, day: NaiveDate) -> Option<DateTime<Utc>> {
        let midnight = day.and_time(NaiveTime::MIN);
        // Where clocks are set forward at midnight the day begins later: transitions are on whole quarters of an hour,
        // but for those of local mean time, which are on whole seconds.
        let minutes = (0..24 * 4).map(|quarter| midnight + TimeDelta::minutes(15 * quarter));
        minutes.map(|local| self.instant(local)).find_map(|instant| match instant {
            Instant::One(time) | Instant::Two(time, _) => Some(time),
            Instant::None => None,
        })
    }

    /// Whether it is the first instant of a day, which stands for the whole day where no time of day is known.
    pub fn is_whole_day(self, time: DateTime<Utc>) -> bool {
        self.begin(self.day(time)) == Some(time)
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for TimeZone {
    type Err = InvalidTimeZone;
    fn from_str(name: &str) -> Result<Self, InvalidTimeZone> {
        name.parse().map(Self).map_err(|_| InvalidTimeZone)
    }
}

impl TryFrom<String> for TimeZone {
    type Error = InvalidTimeZone;
    fn try_from(name: String) -> Result<Self, InvalidTimeZone> {
        name.parse()
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> String {
        zone.name().to_owned()
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[where_generated]
impl schemars::JsonSchema for TimeZone {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeZone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A time zone of the IANA database.",
            "examples": ["Europe/Oslo", "Asia/Tokyo"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        name.parse().expect("a zone")
    }

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_day_is_that_of_the_place() {
        assert_eq!(zone("Asia/Tokyo").day(time("2026-11-19T23:30:00Z")).to_string(), "2026-11-20");
        assert_eq!(zone("America/Los_Angeles").day(time("2026-11-20T01:00:00Z")).to_string(), "2026-11-19");
        assert_eq!("Europe/Olso".parse::<TimeZone>(), Err(InvalidTimeZone));
    }

    #[test]
    fn a_day_begins_when_its_first_clock_says_so() {
        let begin = |name: &str, day: &str| zone(name).begin(day.parse().expect("a day"));
        assert_eq!(begin("Europe/Oslo", "2026-03-29"), Some(time("2026-03-28T23:00:00Z")));
        // Clocks were set forward at midnight; back over midnight; a day was left out.
        assert_eq!(begin("America/Sao_Paulo", "2018-11-04"), Some(time("2018-11-04T03:00:00Z")));
        assert_eq!(begin("America/Havana", "2025-11-02"), Some(time("2025-11-02T04:00:00Z")));
        assert_eq!(begin("Pacific/Apia", "2011-12-30"), None);
        assert!(zone("America/Sao_Paulo").is_whole_day(time("2018-11-04T03:00:00Z")));
        assert!(!zone("Europe/Oslo").is_whole_day(time("2026-03-29T00:00:00Z")));
    }

    #[test]
    fn a_local_time_may_come_twice_or_never() {
        let instant = |local: &str| zone("Europe/Oslo").instant(local.parse().expect("a local time"));
        assert_eq!(instant("2026-03-29T02:30:00"), Instant::None);
        let (summer, winter) = (time("2026-10-25T00:30:00Z"), time("2026-10-25T01:30:00Z"));
        assert_eq!(instant("2026-10-25T02:30:00"), Instant::Two(summer, winter));
        assert_eq!(zone("Europe/Oslo").show(winter), "2026-10-25T02:30:00+01:00");
    }
}
