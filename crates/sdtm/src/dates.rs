//! Dates as SDTM writes them: ISO 8601, as far as they are known.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use events::values::PartialDate;

/// A date of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdtmDate {
    /// The date, as far as it is known.
    pub date: PartialDate,
    /// The time of day, where it is told.
    pub time: Option<NaiveTime>,
    /// Whether the text said more than is kept, such as an interval.
    pub shortened: bool,
}

/// Why a text is not a date of an export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 8601 date")]
pub struct InvalidDate(pub String);

impl SdtmDate {
    /// Reads `2014-03-09T11:45`, `2014-03-09`, `2014-03`, `2014`. Of a date with unknown parts (`2014---09`,
    /// `2014-03-UN`), of one whose day does not exist (`2014-02-30`) and of an interval of uncertainty
    /// (`2014-03-09/2014-03-12`) what is certain is kept.
    ///
    /// # Errors
    /// [`InvalidDate`] where not even the year is certain.
    pub fn parse(text: &str) -> Result<Self, InvalidDate> {
        match text.split_once('/') {
            None => Self::point(text).ok_or_else(|| InvalidDate(text.to_owned())),
            Some((begin, end)) => Self::interval(begin, end).ok_or_else(|| InvalidDate(text.to_owned())),
        }
    }

    fn point(text: &str) -> Option<Self> {
        let (date_text, time_text) = match text.split_once(['T', ' ']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let known = known_part(date_text)?;
        // A day that does not exist leaves its month.
        let date = known.parse().or_else(|_| known.get(..7).unwrap_or_default().parse::<PartialDate>()).ok()?;
        let time = time_text.and_then(time_of_day).filter(|_| date.exact().is_some());
        let shortened = date.as_str().len() != date_text.len() || (time_text.is_some() && time.is_none());
        Some(Self { date, time, shortened })
    }

    /// What both ends have in common.
    fn interval(begin: &str, end: &str) -> Option<Self> {
        let (begin, end) = (Self::point(begin)?, Self::point(end)?);
        let same = |length: usize| {
            let part = begin.date.as_str().get(..length)?;
            (end.date.as_str().get(..length)? == part).then_some(part)
        };
        let date = [10, 7, 4].into_iter().find_map(same)?.parse().ok()?;
        Some(Self { date, time: None, shortened: true })
    }

    /// The day, where it is known.
    pub fn day(&self) -> Option<NaiveDate> {
        self.date.exact()
    }

    /// The moment, where the day is known. A day without a time of day begins at midnight UTC:
    /// exports carry no time zone.
    pub fn moment(&self) -> Option<DateTime<Utc>> {
        Some(self.day()?.and_time(self.time.unwrap_or_default()).and_utc())
    }

    /// The first moment that the date can mean.
    pub fn earliest(&self) -> DateTime<Utc> {
        self.moment().unwrap_or_else(|| midnight(self.date.earliest()))
    }
}

/// The beginning of a day.
pub fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::default()).and_utc()
}

/// Years that a date about somebody alive can have: anything else is a slip of the pen.
const YEARS: std::ops::RangeInclusive<u16> = 1900..=2200;

/// What stands for a part that is not known (CDASH; SDTM has hyphens).
const UNKNOWN: [&str; 8] = ["", "-", "--", "UN", "UNK", "NK", "XX", "00"];

/// The longest beginning of `YYYY-MM-DD` without unknown parts.
fn known_part(text: &str) -> Option<&str> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let hyphen = |index: usize| text.as_bytes().get(index) == Some(&b'-');
    let year = text.get(..4).filter(|_| digits(0..4)).and_then(|year| year.parse().ok());
    if !year.is_some_and(|year| YEARS.contains(&year)) || (text.len() > 4 && !hyphen(4)) {
        return None;
    }
    let unknown = |part: &str| UNKNOWN.iter().any(|word| part.eq_ignore_ascii_case(word));
    if !(hyphen(4) && digits(5..7)) || text.get(5..7) == Some("00") {
        // Only what stands for the unknown may follow: anything else is no date.
        let placeholders = text.bytes().skip(4).all(|byte| byte == b'-' || byte.is_ascii_digit());
        let words = text.get(5..).is_some_and(|rest| {
            let (month, day) = rest.split_once('-').unwrap_or((rest, ""));
            unknown(month) && (unknown(day) || day.len() == 2 && day.bytes().all(|byte| byte.is_ascii_digit()))
        });
        return (text.len() == 4 || text.get(4..6) == Some("--") && placeholders || words).then_some(&text[..4]);
    }
    match text.get(7..) {
        Some("") => Some(text),
        Some(_) if text.len() == 10 && hyphen(7) && digits(8..10) && text.get(8..) != Some("00") => Some(text),
        Some(day) if unknown(day.strip_prefix('-')?) => Some(&text[..7]),
        _ => None,
    }
}

/// A time of day with or without seconds and their fraction; an offset is left out, as it says
/// nothing about the day on which something happened at the site.
fn time_of_day(text: &str) -> Option<NaiveTime> {
    let clock = text.trim_end_matches('Z');
    let clock = clock.split_once('+').map_or(clock, |(clock, _)| clock);
    // An offset to the west; a single hyphen earlier stands for an unknown hour.
    let clock = clock.rfind('-').filter(|index| *index >= 2).map_or(clock, |index| &clock[..index]);
    let padded = match clock.len() {
        2 => format!("{clock}:00"),
        _ => clock.to_owned(),
    };
    ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|format| NaiveTime::parse_from_str(&padded, format).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(text: &str) -> Result<(String, bool), InvalidDate> {
        SdtmDate::parse(text).map(|date| (date.date.to_string(), date.shortened))
    }

    #[test]
    fn what_is_known_of_a_date_is_kept() {
        for (text, expected) in [("2014-03-09", "2014-03-09"), ("2014-03", "2014-03"), ("2014", "2014")] {
            assert_eq!(date(text), Ok((expected.to_owned(), false)), "{text}");
        }
        for (text, expected) in [
            ("2014---09", "2014"),
            ("2014-03--", "2014-03"),
            ("2014-02-30", "2014-02"),
            ("2014-03-UN", "2014-03"),
            ("2014-03-unk", "2014-03"),
            ("2014-03-00", "2014-03"),
            ("2014-00-00", "2014"),
            ("2014-UNK-UNK", "2014"),
            ("2014-UN-09", "2014"),
            ("2014-03-09/2014-03-11", "2014-03"),
            ("2014-03-30/2014-04-02", "2014"),
            ("2014-03-09T10:00/2014-03-09T12:00", "2014-03-09"),
        ] {
            assert_eq!(date(text), Ok((expected.to_owned(), true)), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "--03-09",
            "09MAR2014",
            "2014-13",
            "2014-13-01",
            "20140309",
            "2014-3-9",
            "03/09/2014",
            "2014-03-0",
            "2014-12-30/2015-01-02",
            "0014-03-09",
            "/2014-03-09",
            "UN-UNK-2014",
        ] {
            assert_eq!(date(text), Err(InvalidDate(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_kept_where_it_can_be() {
        let moment = |text: &str| SdtmDate::parse(text).map(|date| date.moment().map(|moment| moment.to_rfc3339()));
        assert_eq!(moment("2014-07-02T11:45"), Ok(Some("2014-07-02T11:45:00+00:00".to_owned())));
        assert_eq!(moment("2014-07-02T11:45:10.5+02:00"), Ok(Some("2014-07-02T11:45:10.500+00:00".to_owned())));
        assert_eq!(moment("2014-07-02T09-05:00"), Ok(Some("2014-07-02T09:00:00+00:00".to_owned())));
        assert_eq!(moment("2014-07-02T-:45"), Ok(Some("2014-07-02T00:00:00+00:00".to_owned())));
        assert_eq!(moment("2014-07-02 11:45:00"), Ok(Some("2014-07-02T11:45:00+00:00".to_owned())));
        assert_eq!(moment("2014-07"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9T:/é-]{0,24}") {
            if let Ok(date) = SdtmDate::parse(&text) {
                prop_assert!(text.starts_with(date.date.as_str()));
            }
        }
    }
}
