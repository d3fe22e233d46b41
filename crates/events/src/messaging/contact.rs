//! How somebody is reached, and how they wish to be.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveTime, Timelike as _, Utc};
use schemars::{JsonSchema, where_generated};
use serde::{Deserialize, Serialize};

use crate::time_zone::{Instant, TimeZone};
use crate::values::Personal;

/// A way to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// A text message to a mobile telephone.
    Sms,
    /// A message of an app.
    Push,
    /// An e-mail.
    Email,
    /// A request to another system.
    Webhook,
}

impl Channel {
    /// Every channel, in the order in which somebody is reached who wishes for none in particular.
    pub const ALL: [Channel; 4] = [Channel::Sms, Channel::Push, Channel::Email, Channel::Webhook];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Channel::Sms => "sms",
            Channel::Push => "push",
            Channel::Email => "email",
            Channel::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How somebody is reached, and how they wish to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Mobile telephone number, E.164; of a patient the one among the demographics counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mobile: Option<Personal<String>>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// By which the push gateway knows the person's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_token: Option<Personal<String>>,
    /// BCP 47 language tag of the language in which they are written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The channels that they wish for, the best first; absent where any will do. None at all: alerts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<Channel>>,
    /// When nobody writes to them but of alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// The time zone of their quiet hours; of a patient the one among the demographics counts, or that of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
}

/// The hours of each day in which nobody writes to somebody; `22:00` to `07:00` goes over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// When they begin.
    pub from: TimeOfDay,
    /// When they end.
    pub until: TimeOfDay,
}

impl QuietHours {
    /// When they end that lie about `time`, where some do.
    pub fn end_of(self, time: DateTime<Utc>, zone: TimeZone) -> Option<DateTime<Utc>> {
        let (clock, day) = zone.clock(time);
        let (from, until) = (self.from.time(), self.until.time());
        let is_over_midnight = until < from;
        let ends_on = if is_over_midnight && clock >= from {
            day.checked_add_days(Days::new(1))
        } else {
            (clock < until && (is_over_midnight || clock >= from)).then_some(day)
        }?;
        match zone.instant(ends_on.and_time(until)) {
            Instant::One(end) | Instant::Two(_, end) => Some(end),
            // Clocks were set forward over it: they end with the hour that was left out.
            Instant::None => zone.begin(ends_on).map(|begin| begin + chrono::TimeDelta::hours(until.hour().into())),
        }
        .filter(|end| *end > time)
    }
}

/// A time of day as clocks show it, `HH:MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(NaiveTime);

/// Why a text is not a [`TimeOfDay`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of day, expected `HH:MM` such as `22:00`")]
pub struct InvalidTimeOfDay;

impl TimeOfDay {
    /// What clocks show then.
    pub const fn time(self) -> NaiveTime {
        self.0
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidTimeOfDay;
    fn from_str(text: &str) -> Result<Self, InvalidTimeOfDay> {
        let is_plain = text.len() == 5 && text.bytes().enumerate().all(|(at, byte)| (at == 2) != byte.is_ascii_digit());
        NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| is_plain).map(Self).ok_or(InvalidTimeOfDay)
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = InvalidTimeOfDay;
    fn try_from(text: String) -> Result<Self, InvalidTimeOfDay> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> String {
        time.0.format("%H:%M").to_string()
    }
}

#[where_generated]
impl schemars::JsonSchema for TimeOfDay {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeOfDay".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A time of day as clocks show it.",
            "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$",
            "examples": ["22:00"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(hours: [&str; 2], zone: &str, time: &str) -> Option<String> {
        let [from, until] = hours.map(|text| text.parse().expect("a time of day"));
        let time = time.parse().expect("a time");
        let end = QuietHours { from, until }.end_of(time, zone.parse().expect("a zone"));
        end.map(|end| end.format("%dT%H:%M").to_string())
    }

    #[test]
    fn quiet_hours_go_over_midnight() {
        let night = ["22:00", "07:00"];
        assert_eq!(end(night, "UTC", "2026-02-01T21:59:00Z"), None);
        assert_eq!(end(night, "UTC", "2026-02-01T22:00:00Z").as_deref(), Some("02T07:00"));
        assert_eq!(end(night, "UTC", "2026-02-02T06:59:00Z").as_deref(), Some("02T07:00"));
        assert_eq!(end(night, "UTC", "2026-02-02T07:00:00Z"), None);
        // In Tokyo it is nine hours later.
        assert_eq!(end(night, "Asia/Tokyo", "2026-02-01T13:00:00Z").as_deref(), Some("01T22:00"));
        assert_eq!(end(["12:00", "13:00"], "UTC", "2026-02-01T12:30:00Z").as_deref(), Some("01T13:00"));
        assert_eq!(end(["12:00", "12:00"], "UTC", "2026-02-01T12:00:00Z"), None);
    }

    #[test]
    fn quiet_hours_end_where_the_clocks_are_set() {
        // In Oslo it never was half past two on 29 March 2026, and it was twice on 25 October.
        let until = ["22:00", "02:30"];
        assert_eq!(end(until, "Europe/Oslo", "2026-03-28T23:30:00Z").as_deref(), Some("29T01:00"));
        assert_eq!(end(until, "Europe/Oslo", "2026-10-24T23:30:00Z").as_deref(), Some("25T01:30"));
    }

    #[test]
    fn a_time_of_day_has_one_form() {
        for wrong in ["7:00", "24:00", "07:60", "07:00:00", "0700", "+7:00", ""] {
            assert_eq!(wrong.parse::<TimeOfDay>(), Err(InvalidTimeOfDay), "{wrong}");
        }
        assert_eq!(String::from("07:05".parse::<TimeOfDay>().expect("a time of day")), "07:05");
    }
}
