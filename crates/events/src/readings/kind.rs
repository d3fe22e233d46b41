//! What wearables measure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a reading is of, as Open mHealth and IEEE 1752.1 name it, in kebab-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReadingKind {
    /// Beats of the heart.
    HeartRate,
    /// Breaths.
    RespiratoryRate,
    /// Saturation of haemoglobin with oxygen, by pulse oximetry.
    OxygenSaturation,
    /// Temperature of the body.
    BodyTemperature,
    /// Glucose in blood or in the fluid between cells.
    BloodGlucose,
    /// Blood pressure, systolic.
    SystolicBloodPressure,
    /// Blood pressure, diastolic.
    DiastolicBloodPressure,
    /// Steps within a span of time.
    StepCount,
    /// Sleep within a span of time.
    SleepDuration,
    /// Weight of the body.
    BodyWeight,
}

impl ReadingKind {
    /// Every kind.
    pub const ALL: [ReadingKind; 10] = [
        ReadingKind::HeartRate,
        ReadingKind::RespiratoryRate,
        ReadingKind::OxygenSaturation,
        ReadingKind::BodyTemperature,
        ReadingKind::BloodGlucose,
        ReadingKind::SystolicBloodPressure,
        ReadingKind::DiastolicBloodPressure,
        ReadingKind::StepCount,
        ReadingKind::SleepDuration,
        ReadingKind::BodyWeight,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            ReadingKind::HeartRate => "heart-rate",
            ReadingKind::RespiratoryRate => "respiratory-rate",
            ReadingKind::OxygenSaturation => "oxygen-saturation",
            ReadingKind::BodyTemperature => "body-temperature",
            ReadingKind::BloodGlucose => "blood-glucose",
            ReadingKind::SystolicBloodPressure => "systolic-blood-pressure",
            ReadingKind::DiastolicBloodPressure => "diastolic-blood-pressure",
            ReadingKind::StepCount => "step-count",
            ReadingKind::SleepDuration => "sleep-duration",
            ReadingKind::BodyWeight => "body-weight",
        }
    }

    /// The kind that is called so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The UCUM unit in which its values are kept.
    pub const fn unit(self) -> &'static str {
        match self {
            ReadingKind::HeartRate | ReadingKind::RespiratoryRate => "/min",
            ReadingKind::OxygenSaturation => "%",
            ReadingKind::BodyTemperature => "Cel",
            ReadingKind::BloodGlucose => "mmol/L",
            ReadingKind::SystolicBloodPressure | ReadingKind::DiastolicBloodPressure => "mm[Hg]",
            ReadingKind::StepCount => "{steps}",
            ReadingKind::SleepDuration => "min",
            ReadingKind::BodyWeight => "kg",
        }
    }

    /// The smallest and the greatest value, in that unit, that is taken for a measurement at all: wider than what has been
    /// measured of living people, so that nothing rare is lost.
    pub const fn plausible(self) -> (i32, i32) {
        match self {
            ReadingKind::HeartRate => (10, 400),
            ReadingKind::RespiratoryRate => (1, 150),
            ReadingKind::OxygenSaturation => (20, 100),
            ReadingKind::BodyTemperature => (10, 48),
            ReadingKind::BloodGlucose => (0, 160),
            ReadingKind::SystolicBloodPressure => (20, 400),
            ReadingKind::DiastolicBloodPressure => (5, 350),
            ReadingKind::StepCount => (0, 300_000),
            ReadingKind::SleepDuration => (0, 2_880),
            ReadingKind::BodyWeight => (0, 700),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_called_as_it_is_written() {
        for kind in ReadingKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.name());
            assert_eq!(ReadingKind::named(kind.name()), Some(kind));
        }
        assert_eq!(ReadingKind::named("heart_rate"), None);
    }
}
