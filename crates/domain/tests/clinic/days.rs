//! Ages and days are those of the place: against a model that counts in the place's own calendar, on random zones,
//! dates and times.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use domain::consent::{PresentConsentForm, SignConsent};
use domain::enrolment::subject::RecordEligibility;
use domain::patient::{RecordObservation, RegisterPatient};
use domain::site::{ActivateSite, RegisterSite};
use domain::trial::PublishConsentForm;
use domain::validate::Invalid;
use events::ids::SiteId;
use proptest::prelude::*;
use serde_json::json;
use testkit::given::World;
use uuid::Uuid;

use crate::world::{command, open_trial, patient, screen, subject, trial};

fn zones() -> impl Strategy<Value = Tz> {
    (0..TZ_VARIANTS.len()).prop_map(|index| TZ_VARIANTS[index])
}

/// A second of the years 2000 to 2025.
fn times() -> impl Strategy<Value = DateTime<Utc>> {
    (946_684_800_i64..1_767_225_600).prop_map(|second| DateTime::from_timestamp(second, 0).expect("a time"))
}

fn days(from: i32, to: i32) -> impl Strategy<Value = NaiveDate> {
    let first = NaiveDate::from_ymd_opt(from, 1, 1).expect("a day");
    let count = u64::try_from((to - from) * 365).expect("some days");
    (0..count).prop_map(move |count| first + Days::new(count))
}

fn clinic() -> SiteId {
    Uuid::from_u128(0x21).into()
}

/// An open trial with a form of version 1 and, from `from` on, one of version 2, and a site in the zone.
fn clinic_in(zone: Tz, from: NaiveDate) -> World {
    let form = |version: &str, day: NaiveDate| -> PublishConsentForm {
        command(json!({"form_version": version, "language": "nn", "text_sha256": "0".repeat(64), "effective_on": day}))
    };
    let world = open_trial(10, 10);
    let long_ago = NaiveDate::from_ymd_opt(1990, 1, 1).expect("a day");
    let world = world.when(trial(), &form("1", long_ago)).then(&["ConsentFormPublished"]);
    let world = world.when(trial(), &form("2", from)).then(&["ConsentFormPublished"]);
    let register = json!({"trial_id": trial(), "code": "702", "name": "Clinic", "time_zone": zone.name(),
        "occurred_at": "1999-01-01T00:00:00Z"});
    let world = world.when(clinic(), &command::<RegisterSite>(register)).then(&["SiteRegistered", "SiteJoined"]);
    let activate = json!({"enrolment_cap": 10, "investigator": "dr", "occurred_at": "1999-01-02T00:00:00Z"});
    world.when(clinic(), &command::<ActivateSite>(activate)).then(&["SiteActivated"])
}

/// Years that have been completed on `day`: birthdays after the birth up to and with that day, one by one.
fn birthdays(born: NaiveDate, day: NaiveDate) -> i32 {
    let birthday = |year: i32| {
        // Without a 29 February the year is completed on the day after the 28th.
        NaiveDate::from_ymd_opt(year, born.month(), born.day())
            .unwrap_or_else(|| NaiveDate::from_ymd_opt(year, 3, 1).expect("a day"))
    };
    i32::try_from((born.year() + 1..=day.year()).filter(|year| birthday(*year) <= day).count()).expect("an age")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The form in force is that of the day which the site's calendar shows, and the age that which has been completed
    /// on it.
    #[test]
    fn form_and_age_are_those_of_the_sites_day(
        zone in zones(), time in times(), shift in 0..3_u64, years in 0..60_i32, near in -2..=2_i64, anywhere in days(1930, 1999),
        near_birthday in any::<bool>(),
    ) {
        let day = zone.from_utc_datetime(&time.naive_utc()).date_naive();
        let from = day + Days::new(1) - Days::new(shift);
        let born = if near_birthday {
            (day + TimeDelta::days(near)).with_year(day.year() - 1 - years).unwrap_or(anywhere)
        } else {
            anywhere
        };
        let person: RegisterPatient = command(json!({"birth_date": born, "occurred_at": time}));
        let world = clinic_in(zone, from).when(patient(1), &person).then(&["PatientRegistered"]);
        let (right, wrong) = if from <= day { ("2", "1") } else { ("1", "2") };
        let present = |version: &str| -> PresentConsentForm {
            command(json!({"trial_id": trial(), "site_id": clinic(), "form_version": version, "language": "nn",
                "occurred_at": time}))
        };
        world.when(patient(1), &present(wrong)).then_refused("consent-form-not-in-force");
        let world = world.when(patient(1), &present(right)).then(&["ConsentFormPresented", "PatientAdmitted"]);
        let sign: SignConsent = command(
            json!({"trial_id": trial(), "form_version": right, "language": "nn", "signed_at": time}));
        let world = world.when(patient(1), &sign).then(&["ConsentSigned"]);
        let world = world.when(patient(1), &screen()).then(&["PatientScreened", "SubjectNumberAssigned"]);
        // The trial asks for 18 years. It is assessed long after, so the day is the one of now.
        let now: DateTime<Utc> = testkit::given::now();
        let today = zone.from_utc_datetime(&now.naive_utc()).date_naive();
        let assessed = world.when(subject(1), &RecordEligibility::default()).payload("EligibilityRecorded");
        let expected = if birthdays(born, today) >= 18 { "eligible" } else { "ineligible" };
        prop_assert_eq!(&assessed["outcome"], expected, "{} born on {}", today, born);
    }

    /// A day begins at its first instant there; what clocks showed is that instant which they showed, and what they
    /// showed twice or never is told.
    #[test]
    fn days_and_local_times_are_those_of_the_place(zone in zones(), day in days(2001, 2025), minute in 0..1440_i64) {
        let person: RegisterPatient = command(json!({"time_zone": zone.name()}));
        let world = World::new().when(patient(1), &person).then(&["PatientRegistered"]);
        let observe = |at: String| {
            world.when(patient(1), &command::<RecordObservation>(json!({"code": "X", "value": 1, "observed_at": at})))
        };
        let local = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(minute);
        let instants = shown(zone, local);
        let outcome = observe(local.format("%Y-%m-%dT%H:%M:%S").to_string());
        match instants.as_slice() {
            [one] => {
                let observed = outcome.payload("ObservationRecorded")["observed_at"].clone();
                prop_assert_eq!(observed.as_str().expect("a time").parse::<DateTime<Utc>>().expect("a time"), *one);
            }
            _ => { outcome.then_refused(Invalid::MALFORMED); }
        }
        let outcome = observe(day.to_string());
        let first = (0..1440).map(|minute| day.and_time(NaiveTime::MIN) + TimeDelta::minutes(minute));
        match first.flat_map(|local| shown(zone, local)).min() {
            Some(first) => {
                let observed = outcome.payload("ObservationRecorded")["observed_at"].clone();
                prop_assert_eq!(observed.as_str().expect("a time").parse::<DateTime<Utc>>().expect("a time"), first);
            }
            // The day was left out there, as 30 December 2011 in Samoa.
            None => { outcome.then_refused(Invalid::MALFORMED); }
        }
    }
}

/// The instants at which clocks of the zone showed this: found by trying every offset that the zone has around it.
fn shown(zone: Tz, local: NaiveDateTime) -> Vec<DateTime<Utc>> {
    let offsets = (-36..=36).map(|hours| zone.offset_from_utc_datetime(&(local + TimeDelta::hours(hours))).fix());
    let mut instants: Vec<DateTime<Utc>> = offsets
        .map(|offset| (local - TimeDelta::seconds(i64::from(offset.local_minus_utc()))).and_utc())
        .filter(|instant| zone.from_utc_datetime(&instant.naive_utc()).naive_local() == local)
        .collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}
