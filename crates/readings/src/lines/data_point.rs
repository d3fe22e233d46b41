//! Data points: the shapes of Open mHealth (openmhealth.org) and IEEE 1752.1, of which only what is kept is read.

use serde::Deserialize;

use super::ndjson::Text;
use super::{Fault, Written};

/// Who measured.
#[derive(Deserialize)]
pub struct Header<'line> {
    #[serde(borrow, default)]
    acquisition_provenance: Option<Provenance<'line>>,
}

#[derive(Deserialize)]
struct Provenance<'line> {
    #[serde(borrow, default)]
    source_name: Option<Text<'line>>,
}

impl Header<'_> {
    /// As the device is called.
    pub fn device(&self) -> Option<String> {
        Some(self.acquisition_provenance.as_ref()?.source_name.as_ref()?.0.clone().into_owned())
    }
}

/// What was measured.
#[derive(Deserialize)]
pub struct Body<'line> {
    #[serde(borrow, default)]
    heart_rate: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    respiratory_rate: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    oxygen_saturation: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    body_temperature: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    blood_glucose: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    systolic_blood_pressure: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    diastolic_blood_pressure: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    step_count: Option<StepCount<'line>>,
    #[serde(borrow, default)]
    sleep_duration: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    total_sleep_time: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    body_weight: Option<UnitValue<'line>>,
    #[serde(borrow, default)]
    effective_time_frame: Option<TimeFrame<'line>>,
}

#[derive(Deserialize)]
struct UnitValue<'line> {
    value: f64,
    #[serde(borrow, default)]
    unit: Option<Text<'line>>,
}

/// A number alone in the first version of the schema.
#[derive(Deserialize)]
#[serde(untagged)]
enum StepCount<'line> {
    Number(f64),
    #[serde(borrow)]
    Value(UnitValue<'line>),
}

#[derive(Deserialize)]
struct TimeFrame<'line> {
    #[serde(borrow, default)]
    date_time: Option<Text<'line>>,
    #[serde(borrow, default)]
    time_interval: Option<Interval<'line>>,
}

#[derive(Deserialize)]
struct Interval<'line> {
    #[serde(borrow, default)]
    start_date_time: Option<Text<'line>>,
    #[serde(borrow, default)]
    end_date_time: Option<Text<'line>>,
    #[serde(borrow, default)]
    duration: Option<UnitValue<'line>>,
}

impl Body<'_> {
    /// Gives every reading of the data point to `take`.
    pub fn read(&self, device: Option<&str>, mut take: impl FnMut(Written<'_>)) -> Result<(), Fault> {
        let frame = self.effective_time_frame.as_ref().ok_or_else(no_time)?;
        let (at, until, lasts) = frame.span()?;
        let all = [
            ("heart-rate", &self.heart_rate),
            ("respiratory-rate", &self.respiratory_rate),
            ("oxygen-saturation", &self.oxygen_saturation),
            ("body-temperature", &self.body_temperature),
            ("blood-glucose", &self.blood_glucose),
            ("systolic-blood-pressure", &self.systolic_blood_pressure),
            ("diastolic-blood-pressure", &self.diastolic_blood_pressure),
            ("sleep-duration", &self.sleep_duration),
            ("sleep-duration", &self.total_sleep_time),
            ("body-weight", &self.body_weight),
        ];
        let measured = all.iter().filter_map(|(kind, value)| Some((*kind, value.as_ref()?)));
        let mut found = false;
        for (kind, UnitValue { value, unit }) in measured {
            found = true;
            let unit = unit.as_ref().map(|unit| &*unit.0);
            take(Written { device, kind, at, until, lasts, value: *value, unit });
        }
        if let Some(steps) = &self.step_count {
            found = true;
            let (value, unit) = match steps {
                StepCount::Number(value) => (*value, None),
                StepCount::Value(UnitValue { value, unit }) => (*value, unit.as_ref().map(|unit| &*unit.0)),
            };
            take(Written { device, kind: "step-count", at, until, lasts, value, unit });
        }
        match found {
            true => Ok(()),
            false => Err(Fault::new("body", "unknown-value", "nothing that is measured here is in the data point")),
        }
    }
}

fn no_time() -> Fault {
    let message = "a data point has an `effective_time_frame`: a `date_time`, or a `time_interval` with two of start, end and \
                   duration";
    Fault::new("body/effective_time_frame", "missing", message)
}

impl TimeFrame<'_> {
    /// From when on, until when, or for how many milliseconds.
    fn span(&self) -> Result<(&str, Option<&str>, Option<i64>), Fault> {
        if let Some(at) = &self.date_time {
            return Ok((&at.0, None, None));
        }
        let interval = self.time_interval.as_ref().ok_or_else(no_time)?;
        let start = interval.start_date_time.as_ref().ok_or_else(no_time)?;
        match (&interval.end_date_time, &interval.duration) {
            (Some(end), _) => Ok((&start.0, Some(&end.0), None)),
            (None, Some(duration)) => Ok((&start.0, None, Some(milliseconds(duration)?))),
            (None, None) => Err(no_time()),
        }
    }
}

/// A duration by the units of IEEE 1752.1.
fn milliseconds(UnitValue { value, unit }: &UnitValue<'_>) -> Result<i64, Fault> {
    let of_one = match unit.as_ref().map(|unit| &*unit.0) {
        Some("ms") => 1.0,
        Some("sec" | "s") => 1_000.0,
        Some("min") => 60_000.0,
        Some("h") => 3_600_000.0,
        Some("d") => 86_400_000.0,
        _ => {
            let message = "a duration is in ms, sec, min, h or d";
            return Err(Fault::new("body/effective_time_frame", "unknown-unit", message));
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "what is too long is refused as such")]
    Ok((value * of_one).round() as i64)
}
