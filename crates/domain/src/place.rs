//! Where something happens: whose days and times of day count.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use decider::{Facts, Halt, Reason};
use events::TimeZone;
use events::ids::SiteId;

use crate::site::Site;
use crate::validate::CLOCK_SKEW_MAX;

/// Times that are further apart lie on different days everywhere: no day is longer, with the clocks' skew.
const DAY_MAX: TimeDelta = TimeDelta::hours(27);

/// A place. That of a site is looked up only where days decide: most times lie far apart, and their order is the same
/// everywhere.
#[derive(Clone, Copy)]
pub struct Place<'facts>(Known<'facts>);

#[derive(Clone, Copy)]
enum Known<'facts> {
    /// Nothing: days are UTC's, and what clocks showed there nobody knows.
    Nothing,
    Zone(TimeZone),
    Site(&'facts Facts, SiteId),
}

impl<'facts> Place<'facts> {
    /// No place in particular: what concerns a trial or the installation as a whole.
    pub const ANYWHERE: Place<'static> = Place(Known::Zone(TimeZone::UTC));

    /// A place in this zone.
    pub const fn at(zone: TimeZone) -> Self {
        Self(Known::Zone(zone))
    }

    /// The site.
    pub const fn site(facts: &'facts Facts, site_id: SiteId) -> Self {
        Self(Known::Site(facts, site_id))
    }

    /// Where a person lives, or else the site that registered the person.
    pub const fn of_person(facts: &'facts Facts, time_zone: Option<TimeZone>, site_id: Option<SiteId>) -> Self {
        match (time_zone, site_id) {
            (Some(zone), _) => Self::at(zone),
            (None, Some(site_id)) => Self::site(facts, site_id),
            (None, None) => Self(Known::Nothing),
        }
    }

    /// Whether anything is known of it.
    pub const fn is_known(&self) -> bool {
        !matches!(self.0, Known::Nothing)
    }

    /// Its time zone.
    ///
    /// # Errors
    /// [`Halt`] where the site is not loaded yet, or not registered.
    pub fn zone(&self) -> Result<TimeZone, Halt> {
        match self.0 {
            Known::Nothing => Ok(TimeZone::UTC),
            Known::Zone(zone) => Ok(zone),
            Known::Site(facts, site_id) => Ok(facts.get::<Site>(site_id)?.identity(site_id, None)?.time_zone),
        }
    }

    /// The day that it is there.
    ///
    /// # Errors
    /// As [`Place::zone`].
    pub fn day(&self, time: DateTime<Utc>) -> Result<NaiveDate, Halt> {
        Ok(self.zone()?.day(time))
    }

    /// Whether `time` lies before `earlier`.
    ///
    /// Dates of clinical facts often have no time of day: the first instant of a day stands for the whole day.
    /// Elsewhere clocks may differ by five minutes.
    ///
    /// # Errors
    /// As [`Place::zone`].
    pub fn lies_before(&self, time: DateTime<Utc>, earlier: DateTime<Utc>) -> Result<bool, Halt> {
        if (time - earlier).abs() > DAY_MAX {
            return Ok(time < earlier);
        }
        let zone = self.zone()?;
        Ok(if zone.is_whole_day(time) || zone.is_whole_day(earlier) {
            zone.day(time) < zone.day(earlier)
        } else {
            time + CLOCK_SKEW_MAX < earlier
        })
    }

    /// Refuses what lies before what it comes after; the reason is told the day of the latter.
    ///
    /// # Errors
    /// The reason; as [`Place::zone`].
    pub fn require_not_before<R: Reason>(
        &self,
        time: DateTime<Utc>,
        earlier: DateTime<Utc>,
        reason: impl FnOnce(NaiveDate) -> R,
    ) -> Result<(), Halt> {
        if self.lies_before(time, earlier)? { Err(reason(self.day(earlier)?).into()) } else { Ok(()) }
    }

    /// Whether `time` lies before `end`, where something ended for good. As [`Place::lies_before`], but no clock may
    /// differ: what comes right after the end is after it.
    ///
    /// # Errors
    /// As [`Place::zone`].
    pub fn is_before_end(&self, time: DateTime<Utc>, end: DateTime<Utc>) -> Result<bool, Halt> {
        if (time - end).abs() > DAY_MAX {
            return Ok(time < end);
        }
        let zone = self.zone()?;
        let whole_day = zone.is_whole_day(time) || zone.is_whole_day(end);
        Ok(if whole_day { zone.day(time) <= zone.day(end) } else { time < end })
    }

    /// Whether it is that day there, or was.
    ///
    /// # Errors
    /// As [`Place::zone`].
    pub fn has_come(&self, day: NaiveDate, now: DateTime<Utc>) -> Result<bool, Halt> {
        // It is never more than 12 hours earlier than in Greenwich, nor more than 14 later.
        if day <= (now - TimeDelta::hours(12)).date_naive() {
            return Ok(true);
        }
        if day > (now + TimeDelta::hours(14)).date_naive() {
            return Ok(false);
        }
        Ok(day <= self.day(now)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn before(zone: &str, one: &str, other: &str) -> bool {
        let place = Place::at(zone.parse().expect("a zone"));
        place.lies_before(time(one), time(other)).expect("the zone is known")
    }

    #[test]
    fn a_whole_day_is_that_of_the_place() {
        // Midnight in Oslo, and in Greenwich.
        let (oslo, greenwich) = ("2026-01-31T23:00:00Z", "2026-02-01T00:00:00Z");
        assert!(!before("Europe/Oslo", oslo, "2026-02-01T20:00:00Z"));
        assert!(before("UTC", oslo, "2026-02-01T20:00:00Z"));
        assert!(before("Europe/Oslo", greenwich, "2026-02-01T20:00:00Z"));
        assert!(!before("UTC", greenwich, "2026-02-01T20:00:00Z"));
    }

    #[test]
    fn clocks_may_differ_by_five_minutes() {
        assert!(!before("UTC", "2026-02-01T08:00:00Z", "2026-02-01T08:05:00Z"));
        assert!(before("UTC", "2026-02-01T08:00:00Z", "2026-02-01T08:05:01Z"));
        assert!(!before("UTC", "2026-02-01T08:00:00Z", "2026-01-01T08:00:00Z"));
        assert!(before("UTC", "2026-01-01T08:00:00Z", "2026-02-01T08:00:00Z"));
    }

    #[test]
    fn what_comes_right_after_an_end_is_after_it() {
        let within = |zone: &str, one: &str, end: &str| {
            let place = Place::at(zone.parse().expect("a zone"));
            place.is_before_end(time(one), time(end)).expect("the zone is known")
        };
        assert!(within("UTC", "2026-02-01T08:00:00Z", "2026-02-01T08:00:01Z"));
        assert!(!within("UTC", "2026-02-01T08:00:00Z", "2026-02-01T08:00:00Z"));
        assert!(!within("UTC", "2026-02-01T08:00:01Z", "2026-02-01T08:00:00Z"));
        // A whole day, on either side, is the day.
        assert!(within("UTC", "2026-02-01T08:00:00Z", "2026-02-01T00:00:00Z"));
        assert!(within("UTC", "2026-02-01T00:00:00Z", "2026-02-01T08:00:00Z"));
        assert!(!within("UTC", "2026-02-02T08:00:00Z", "2026-02-01T00:00:00Z"));
        assert!(!within("Europe/Oslo", "2026-02-01T23:30:00Z", "2026-01-31T23:00:00Z"));
        assert!(within("UTC", "2026-01-01T08:00:00Z", "2026-02-01T08:00:00Z"));
        assert!(!within("UTC", "2026-03-01T08:00:00Z", "2026-02-01T08:00:00Z"));
    }

    #[test]
    fn a_zone_is_asked_for_only_where_it_decides() {
        let facts = Facts::new();
        let place = Place::site(&facts, SiteId::from(uuid::Uuid::from_u128(1)));
        let (one, other) = (time("2026-01-01T08:00:00Z"), time("2026-02-01T08:00:00Z"));
        assert_eq!(place.lies_before(one, other).ok(), Some(true));
        assert_eq!(place.is_before_end(one, other).ok(), Some(true));
        assert_eq!(place.is_before_end(other, one).ok(), Some(false));
        let near = one + DAY_MAX;
        assert!(matches!(place.lies_before(one, near), Err(Halt::Needs(_))));
        assert!(matches!(place.is_before_end(one, near), Err(Halt::Needs(_))));
        let far = near + TimeDelta::microseconds(1);
        assert_eq!((place.lies_before(one, far).ok(), place.is_before_end(one, far).ok()), (Some(true), Some(true)));
        let day = |text: &str| text.parse().expect("a day");
        assert_eq!(place.has_come(day("2025-12-31"), one).ok(), Some(true));
        assert_eq!(place.has_come(day("2026-01-02"), one).ok(), Some(false));
        assert!(matches!(place.has_come(day("2026-01-01"), one), Err(Halt::Needs(_))));
    }

    #[test]
    fn a_day_has_come_where_it_has() {
        let come = |zone: &str, day: &str| {
            let place = Place::at(zone.parse().expect("a zone"));
            place.has_come(day.parse().expect("a day"), time("2026-02-01T12:30:00Z")).expect("the zone is known")
        };
        assert!(come("Pacific/Kiritimati", "2026-02-02") && !come("Europe/Oslo", "2026-02-02"));
        assert!(!come("Pacific/Kiritimati", "2026-02-03") && come("Pacific/Pago_Pago", "2026-02-01"));
    }
}
