//! When something happened, as whoever sends a command says it.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, SecondsFormat, Timelike, Utc};
use decider::{Context, Halt};
use events::time_zone::Instant;
use schemars::{JsonSchema, where_generated};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::place::Place;
use crate::validate::{Invalid, past_time};

// Described where it is exported: a doc comment here would be the schema's, which then no longer is the `Option`'s,
// and fields of this type would have to be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct When(Option<Given>);

/// A time as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Given {
    /// With the offset from UTC that clocks had there.
    Instant(DateTime<FixedOffset>),
    /// As clocks showed it.
    Local(NaiveDateTime),
    /// The day alone.
    Day(NaiveDate),
}

impl When {
    /// At the time at which the command is decided.
    pub const NOW: When = When(None);

    /// At this time.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self(Some(Given::Instant(time.fixed_offset())))
    }

    /// On this day, whose time of day is not known.
    pub const fn on(day: NaiveDate) -> Self {
        Self(Some(Given::Day(day)))
    }

    /// Whether nothing was given.
    pub const fn is_now(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a day alone was given.
    pub const fn is_day(self) -> bool {
        matches!(self.0, Some(Given::Day(_)))
    }

    /// The instant that was given, where one was: neither a day nor what clocks showed.
    pub fn instant(self) -> Option<DateTime<Utc>> {
        match self.0? {
            Given::Instant(time) => Some(time.to_utc()),
            Given::Local(_) | Given::Day(_) => None,
        }
    }

    /// The time, which has come: the one given, or the context's now. In whole microseconds, as the log keeps it. A day
    /// is its first instant at the place.
    ///
    /// # Errors
    /// [`Invalid::InFuture`], [`Invalid::TooEarly`] and, for a local time that came twice or never,
    /// [`Invalid::Malformed`], naming the field; [`Halt::Needs`] where the place is not loaded yet.
    pub fn time(self, context: &Context, field: &str, place: &Place<'_>) -> Result<DateTime<Utc>, Halt> {
        let malformed = |expected: String| Invalid::Malformed { field: field.to_owned(), expected };
        let time = match self.0 {
            None => return Ok(context.now),
            Some(Given::Instant(time)) => time.to_utc(),
            Some(Given::Day(day)) => {
                let zone = place.zone()?;
                if day > zone.day(context.now) {
                    return Err(Invalid::InFuture { field: field.to_owned() }.into());
                }
                zone.begin(day).ok_or_else(|| malformed(format!("a day that came in {zone}")))?
            }
            Some(Given::Local(_)) if !place.is_known() => {
                let expected =
                    "a time with its offset, such as `2026-01-31T09:30:00+01:00`: no time zone is known there";
                return Err(malformed(expected.to_owned()).into());
            }
            Some(Given::Local(local)) => {
                let zone = place.zone()?;
                match zone.instant(local) {
                    Instant::One(time) => time,
                    Instant::Two(earlier, later) => {
                        let (earlier, later) = (zone.show(earlier), zone.show(later));
                        let expected = format!("{earlier} or {later}: this local time came twice in {zone}");
                        return Err(malformed(expected).into());
                    }
                    Instant::None => {
                        let expected = format!("a time that came in {zone}: clocks were set forward over this one");
                        return Err(malformed(expected).into());
                    }
                }
            }
        };
        Ok(past_time(context, field, time)?)
    }

    /// The day on which it happened: by the offset that was given, else that of the place. No offset (`Z` or `+00:00`)
    /// says nothing of the place.
    ///
    /// # Errors
    /// [`Halt::Needs`] where the place is not loaded yet.
    pub fn day(self, context: &Context, place: &Place<'_>) -> Result<NaiveDate, Halt> {
        match self.0 {
            None => place.day(context.now),
            Some(Given::Instant(time)) if time.offset().local_minus_utc() == 0 => place.day(time.to_utc()),
            Some(Given::Instant(time)) => Ok(time.date_naive()),
            Some(Given::Local(local)) => Ok(local.date()),
            Some(Given::Day(day)) => Ok(day),
        }
    }
}

impl From<DateTime<Utc>> for When {
    fn from(time: DateTime<Utc>) -> Self {
        Self::at(time)
    }
}

impl From<Option<DateTime<Utc>>> for When {
    fn from(time: Option<DateTime<Utc>>) -> Self {
        time.map_or(When::NOW, When::at)
    }
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Given::Instant(time) => serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Given::Local(local) => local.serialize(serializer),
            Given::Day(day) => day.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Given;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a time such as `2026-01-31T09:30:00+01:00`, a local time of the place such as \
                     `2026-01-31T09:30:00`, or a day such as `2026-01-31`",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                let invalid = || E::invalid_value(Unexpected::Str(text), &self);
                let given = match DateTime::parse_from_rfc3339(text) {
                    Ok(time) => Given::Instant(time),
                    Err(_) if text.contains('T') && has_form(text, "0000-00-00T00:00:00") => {
                        Given::Local(text.parse().map_err(|_| invalid())?)
                    }
                    Err(_) => Given::Day(day(text).ok_or_else(invalid)?),
                };
                if let Given::Instant(time) = given
                    && !OFFSETS.contains(&time.offset().local_minus_utc())
                {
                    let expected = "a time with an offset that there is, from -12:00 to +14:00";
                    return Err(E::invalid_value(Unexpected::Str(text), &expected));
                }
                if given.is_leap_second() {
                    let expected = "a time other than a leap second, which no record keeps: the second before or after";
                    return Err(E::invalid_value(Unexpected::Str(text), &expected));
                }
                Ok(given)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A day as ISO 8601 writes it.
fn day(text: &str) -> Option<NaiveDate> {
    has_form(text, "0000-00-00").then(|| text.parse().ok())?
}

/// Whether a text begins with digits and signs as `form` has them: chrono would also take months of one digit.
fn has_form(text: &str, form: &str) -> bool {
    text.len() >= form.len()
        && text.bytes().zip(form.bytes()).all(|(given, meant)| match meant {
            b'0' => given.is_ascii_digit(),
            sign => given == sign,
        })
}

/// Reads a time that a correction gives: `null` takes no time away, and would be taken for "stays as it is".
///
/// # Errors
/// Where it is none.
pub fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<When, D::Error> {
    match When::deserialize(deserializer)? {
        When::NOW => Err(de::Error::custom("must be a time; leave it out where it does not change")),
        when => Ok(when),
    }
}

/// Offsets from UTC that there are (IANA Time Zone Database): from Baker Island to Kiribati.
const OFFSETS: std::ops::RangeInclusive<i32> = -12 * 3_600..=14 * 3_600;

/// Reads a day of a command's body.
///
/// # Errors
/// Where it is not written as `2026-01-31`, or there was no such day.
pub fn read_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    let text = String::deserialize(deserializer)?;
    day(&text).ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&text), &"a day such as `2026-01-31`"))
}

impl Given {
    /// chrono reads `23:59:60` as more than a second's nanoseconds.
    fn is_leap_second(self) -> bool {
        let nanosecond = match self {
            Given::Instant(time) => time.nanosecond(),
            Given::Local(local) => local.nanosecond(),
            Given::Day(_) => 0,
        };
        nanosecond >= 1_000_000_000
    }
}

#[where_generated]
impl schemars::JsonSchema for Given {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "When".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "examples": ["2026-01-31T09:30:00+01:00"]
        })
    }
}

#[cfg(test)]
mod tests {
    use events::TimeZone;
    use events::envelope::{Actor, Role};
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        occurred_at: When,
    }

    fn when(text: &str) -> When {
        serde_json::from_value(json!(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[derive(Debug)]
    struct NobodyIsLookedFor;

    impl decider::SearchKeys for NobodyIsLookedFor {
        fn key(&self, _kind: &str, _text: &str) -> Uuid {
            Uuid::nil()
        }
    }

    fn context() -> Context {
        let actor = Actor { id: "tester".to_owned(), role: Role::Investigator, organisation: None };
        Context {
            now: "2026-11-20T12:00:00Z".parse().expect("a time"),
            command_id: Uuid::from_u128(1),
            actor,
            target_named: true,
            search: std::sync::Arc::new(NobodyIsLookedFor),
        }
    }

    fn at(zone: &str) -> Place<'static> {
        Place::at(zone.parse().expect("a zone"))
    }

    #[test]
    fn in_a_body_it_is_a_time_null_or_absent() {
        let time = "2026-01-31T12:00:00Z";
        let at = When::at(time.parse().expect("a time"));
        let bodies =
            [(json!({"occurred_at": time}), at), (json!({"occurred_at": null}), When::NOW), (json!({}), When::NOW)];
        for (body, occurred_at) in bodies {
            assert_eq!(serde_json::from_value::<Body>(body).expect("a body"), Body { occurred_at });
        }
        assert_eq!([When::from(at.instant()), When::from(None)], [at, When::NOW]);
        assert_eq!([at.is_now(), When::NOW.is_now()], [false, true]);
        let written = serde_json::to_value(Body { occurred_at: at }).expect("JSON");
        assert_eq!(written, json!({"occurred_at": time}));
        for given in ["2026-01-31T09:30:00.500+05:30", "2026-01-31T09:30:00", "2026-01-31"] {
            assert_eq!(serde_json::to_value(when(given)).expect("JSON"), json!(given));
        }
    }

    #[test]
    fn what_is_no_time_is_told() {
        for given in [
            "yesterday",
            "2026-02-30",
            "2026-3-9",
            "+2026-03-17",
            "2026-03-9",
            "2026-03-09T9:00:00",
            "2026-3-9T1:2:3",
            "2026-03-09T09:00",
            "2026-01-31T25:00:00",
            "2026-01-31 09:30",
            "31.01.2026",
            "",
        ] {
            let error = serde_json::from_value::<When>(json!(given)).expect_err(given);
            assert!(error.to_string().contains("or a day such as `2026-01-31`"), "{error}");
        }
        for given in ["2026-11-28T10:03:12+23:59", "2026-11-28T10:03:12-12:01", "2026-11-28T10:03:12+14:01"] {
            let error = serde_json::from_value::<When>(json!(given)).expect_err(given);
            assert!(error.to_string().contains("-12:00 to +14:00"), "{error}");
        }
        when("2026-11-28T10:03:12+14:00");
        when("2026-11-28T10:03:12-12:00");
        for given in ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60"] {
            let error = serde_json::from_value::<When>(json!(given)).expect_err(given);
            assert!(error.to_string().contains("leap second"), "{error}");
        }
    }

    #[test]
    fn a_day_is_that_of_the_offset_or_else_of_the_place() {
        let (context, tokyo) = (context(), at("Asia/Tokyo"));
        for (given, day) in [
            ("2026-11-18T23:30:00Z", "2026-11-19"),
            ("2026-11-18T23:30:00+00:00", "2026-11-19"),
            ("2026-11-18T23:30:00-08:00", "2026-11-18"),
            ("2026-11-18T23:30:00", "2026-11-18"),
            ("2026-11-18", "2026-11-18"),
        ] {
            assert_eq!(when(given).day(&context, &tokyo).expect("a day").to_string(), day, "{given}");
        }
        assert_eq!(When::NOW.day(&context, &tokyo).expect("a day").to_string(), "2026-11-20");
    }

    #[test]
    fn what_clocks_showed_is_an_instant() {
        let (context, oslo) = (context(), at("Europe/Oslo"));
        let time = |given: &str| when(given).time(&context, "occurred_at", &oslo);
        let utc = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        assert_eq!(time("2026-07-01T09:30:00").expect("a time"), utc("2026-07-01T07:30:00Z"));
        assert_eq!(time("2026-07-01").expect("a time"), utc("2026-06-30T22:00:00Z"));
        let refused = |given: &str| match time(given) {
            Err(Halt::Refused(refusal)) => refusal,
            other => panic!("{given}: {other:?}"),
        };
        let twice = refused("2026-10-25T02:30:00");
        assert_eq!(twice.field.as_deref(), Some("occurred_at"));
        assert!(twice.message.contains("2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"), "{twice:?}");
        assert!(refused("2026-03-29T02:30:00").message.contains("clocks were set forward"));
        assert_eq!(refused("2026-11-21").rule, Invalid::IN_FUTURE);
        // It is the next day already there, and the one before there.
        assert!(When::on("2026-11-21".parse().expect("a day")).time(&context, "x", &at("Pacific/Auckland")).is_ok());
        assert_eq!(refused("1899-12-31").rule, Invalid::TOO_EARLY);
        assert_eq!(TimeZone::UTC.name(), "UTC");
    }
}
