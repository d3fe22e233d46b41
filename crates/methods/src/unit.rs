//! Units of measurement by UCUM, the Unified Code for Units of Measure (ucum.org, version 2.2).

use octofhir_ucum::{convert as convert_by_ucum, is_comparable, validate};
use rust_decimal::Decimal;

/// Significant digits that a conversion keeps: more than any measurement has, and fewer than its arithmetic.
const DIGITS: u32 = 13;

/// Whether `unit` is a UCUM unit (case sensitive), such as `kg`, `mm[Hg]`, `mmol/L` or `{score}`.
pub fn is_known(unit: &str) -> bool {
    validate(unit).is_ok()
}

/// Whether UCUM says how to convert between the two.
pub fn is_convertible(one: &str, other: &str) -> bool {
    is_comparable(one, other).unwrap_or(false)
}

/// A value of `from` in `to`; none where UCUM does not say how to convert, as between mass and amount of substance.
pub fn convert(value: Decimal, from: &str, to: &str) -> Option<Decimal> {
    if from == to {
        return Some(value);
    }
    let converted = convert_by_ucum(f64::try_from(value).ok()?, from, to).ok()?;
    let converted = Decimal::try_from(converted).ok()?;
    converted.round_sf(DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(value: &str, from: &str, to: &str) -> Option<String> {
        let value: Decimal = value.parse().expect("a number");
        convert(value, from, to).map(|value| value.normalize().to_string())
    }

    #[test]
    fn units_are_those_of_ucum() {
        for unit in
            ["kg", "mm[Hg]", "mmol/L", "[lb_av]", "Cel", "[degF]", "{score}", "10*9/L", "mL/min/{1.73_m2}", "%", "1"]
        {
            assert!(is_known(unit), "{unit}");
        }
        for unit in ["", "nonsense unit", "mmHg", "KG", "lbs", "mg/dL ", "µmol/L"] {
            assert!(!is_known(unit), "{unit}");
        }
    }

    #[test]
    fn values_are_converted_where_ucum_says_how() {
        // NIST Handbook 44, appendix C: a pound is 0.45359237 kg.
        assert_eq!(converted("100", "[lb_av]", "kg").as_deref(), Some("45.359237"));
        assert_eq!(converted("37", "Cel", "[degF]").as_deref(), Some("98.6"));
        assert_eq!(converted("98.6", "[degF]", "Cel").as_deref(), Some("37"));
        assert_eq!(converted("0.1", "g", "mg").as_deref(), Some("100"));
        assert_eq!(converted("5.5", "mmol/L", "umol/L").as_deref(), Some("5500"));
        assert_eq!(converted("2", "a", "mo").as_deref(), Some("24"));
    }

    #[test]
    fn what_ucum_does_not_convert_is_no_value() {
        // Creatinine: a mass concentration is an amount concentration only with the molar mass.
        assert_eq!(converted("1", "mg/dL", "umol/L"), None);
        assert_eq!(converted("1", "kg", "cm"), None);
        assert_eq!(converted("1", "kg", "1"), None);
        assert_eq!(converted("1", "[iU]/L", "g/L"), None);
        assert!(!is_convertible("mg/dL", "umol/L") && is_convertible("mg/dL", "g/L") && is_convertible("{score}", "1"));
    }
}
