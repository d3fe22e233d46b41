//! What readings that are stored together come to: what the log is told of them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use event_store::readings::{Canonical, sha256};
use events::TimeZone;
use events::readings::device::{Chunk, DayOfReadings};
use events::readings::kind::ReadingKind;
use events::values::Quantity;
use uuid::Uuid;

/// The chunk of these readings; none where there are none. Days are those of the zone.
pub fn chunk(
    chunk_id: Uuid,
    upload_id: Uuid,
    clock_ahead_seconds: Option<i64>,
    zone: TimeZone,
    readings: &[Canonical<'_>],
) -> Option<Chunk> {
    let times = || readings.iter().map(|(_, at, ..)| *at);
    let (from, until) = (times().min()?, times().max()?);
    let mut days: BTreeMap<(NaiveDate, ReadingKind), Sum> = BTreeMap::new();
    let mut calendar = Calendar { zone, known: None };
    // In one order, however they came: sums are then the same whenever they are made.
    let mut sorted = readings.to_vec();
    sorted.sort_unstable_by_key(|(kind, at, lasts, _)| (*kind, *at, *lasts));
    for (kind, at, _, value) in sorted {
        let Some(kind) = ReadingKind::named(kind) else { continue };
        days.entry((calendar.day(at), kind)).or_insert(Sum::NONE).add(value);
    }
    let days = days.into_iter().map(|((day, kind), sum)| sum.of(day, kind)).collect();
    let count = u32::try_from(readings.len()).unwrap_or(u32::MAX);
    let sha256 = sha256(readings.iter().copied());
    Some(Chunk { chunk_id, upload_id, count, from, until, sha256, days, clock_ahead_seconds })
}

/// Days in a zone; of readings that follow each other most are of one day.
struct Calendar {
    zone: TimeZone,
    known: Option<(DateTime<Utc>, DateTime<Utc>, NaiveDate)>,
}

impl Calendar {
    fn day(&mut self, time: DateTime<Utc>) -> NaiveDate {
        if let Some((from, until, day)) = self.known
            && (from..until).contains(&time)
        {
            return day;
        }
        let day = self.zone.day(time);
        let next = day.succ_opt().and_then(|next| self.zone.begin(next));
        self.known = self.zone.begin(day).zip(next).map(|(from, until)| (from, until, day));
        day
    }
}

struct Sum {
    count: u32,
    min: f64,
    max: f64,
    sum: f64,
}

impl Sum {
    const NONE: Sum = Sum { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0 };

    fn add(&mut self, value: f64) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
    }

    fn of(&self, day: NaiveDate, kind: ReadingKind) -> DayOfReadings {
        let number = |value: f64| Quantity::nearest(value).unwrap_or(Quantity::ZERO);
        let (min, max, sum) = (number(self.min), number(self.max), number(self.sum));
        DayOfReadings { day, kind, count: self.count, min, max, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_site() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let readings = [
            ("heart-rate", at("2026-01-05T22:59:59Z"), 0, 60.5),
            ("heart-rate", at("2026-01-05T23:00:00Z"), 0, 70.0),
            ("heart-rate", at("2026-01-05T22:00:00Z"), 0, 50.25),
            ("step-count", at("2026-01-05T22:00:00Z"), 60_000, 12.0),
        ];
        let zone = "Europe/Oslo".parse().expect("a zone");
        let chunk = chunk(Uuid::nil(), Uuid::nil(), Some(-3), zone, &readings).expect("a chunk");
        let told: Vec<_> = chunk
            .days
            .iter()
            .map(|day| format!("{} {} {} {} {} {}", day.day, day.kind.name(), day.count, day.min, day.max, day.sum))
            .collect();
        let expected = [
            "2026-01-05 heart-rate 2 50.25 60.5 110.75",
            "2026-01-05 step-count 1 12 12 12",
            "2026-01-06 heart-rate 1 70 70 70",
        ];
        assert_eq!(told, expected);
        assert_eq!((chunk.count, chunk.from, chunk.until), (4, at("2026-01-05T22:00:00Z"), at("2026-01-05T23:00:00Z")));
        assert!(super::chunk(Uuid::nil(), Uuid::nil(), None, zone, &[]).is_none());
    }
}
