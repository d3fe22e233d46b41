//! Values in the unit of their kind: UCUM units, and the words of Open mHealth for them.

use std::collections::HashMap;

use events::readings::kind::ReadingKind;
use rust_decimal::Decimal;

use super::Fault;

/// Grams of a mole of glucose (C6H12O6; IUPAC standard atomic weights 2021).
const GLUCOSE_GRAMS: f64 = 180.156;
/// Units that are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// How units are converted; remembered, because an upload uses few.
#[derive(Default)]
pub struct Units {
    known: HashMap<(ReadingKind, String), Option<Line>>,
}

/// A value of one unit is that times `factor` and `offset` in the other.
#[derive(Clone, Copy, Debug)]
struct Line {
    factor: f64,
    offset: f64,
}

impl Units {
    /// A value in the unit of its kind; without a unit it is in that already.
    pub fn convert(&mut self, value: f64, unit: Option<&str>, kind: ReadingKind) -> Result<f64, Fault> {
        let Some(unit) = unit.filter(|unit| *unit != kind.unit()) else { return Ok(value + 0.0) };
        let line = match self.known.get(&(kind, unit.to_owned())) {
            Some(known) => *known,
            None => {
                let line = line(unit, kind);
                if self.known.len() < REMEMBERED_MAX {
                    self.known.insert((kind, unit.to_owned()), line);
                }
                line
            }
        };
        match line {
            // In the same unit by another name nothing is computed.
            #[expect(clippy::float_cmp, reason = "exactly one and nothing, or another number")]
            Some(Line { factor, offset }) if factor == 1.0 && offset == 0.0 => Ok(value + 0.0),
            Some(Line { factor, offset }) => Ok(rounded(value.mul_add(factor, offset))),
            None => {
                let message =
                    format!("{} is measured in {}, or a UCUM unit that converts to it", kind.name(), kind.unit());
                Err(Fault::new("unit", "unknown-unit", message))
            }
        }
    }
}

/// To ten significant digits: what is measured has fewer, and the same value of another unit is then the same.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a number of digits")]
    let scale = 10_f64.powi(9 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

fn line(unit: &str, kind: ReadingKind) -> Option<Line> {
    let unit = ucum(unit, kind);
    if unit == kind.unit() {
        return Some(Line { factor: 1.0, offset: 0.0 });
    }
    // Whatever is linear is known by two of its points; the second is far out, for the sake of precision.
    let far = 1_000.0;
    let at = |value: f64| {
        let molar = kind == ReadingKind::BloodGlucose && methods::unit::is_convertible(unit, "g/L");
        let to = if molar { "g/L" } else { kind.unit() };
        let converted = methods::unit::convert(Decimal::try_from(value).ok()?, unit, to)?;
        let converted = f64::try_from(converted).ok()?;
        Some(if molar { converted / GLUCOSE_GRAMS * 1_000.0 } else { converted })
    };
    let (zero, one) = (at(0.0)?, at(far)?);
    Some(Line { factor: (one - zero) / far, offset: zero })
}

/// The UCUM unit that a word of Open mHealth stands for.
fn ucum(unit: &str, kind: ReadingKind) -> &str {
    match (kind, unit) {
        (ReadingKind::HeartRate, "beats/min" | "bpm" | "{beats}/min" | "1/min")
        | (ReadingKind::RespiratoryRate, "breaths/min" | "{breaths}/min" | "1/min") => "/min",
        (ReadingKind::StepCount, "steps" | "step" | "1") => "{steps}",
        (ReadingKind::BodyTemperature, "C") => "Cel",
        (ReadingKind::BodyTemperature, "F") => "[degF]",
        (ReadingKind::SystolicBloodPressure | ReadingKind::DiastolicBloodPressure, "mmHg") => "mm[Hg]",
        (ReadingKind::SleepDuration, "sec") => "s",
        (ReadingKind::BodyWeight, "lb") => "[lb_av]",
        (_, unit) => unit,
    }
}
