//! Numbers as exports write them.

use events::values::Quantity;
use rust_decimal::Decimal;

/// A number that is no measurement: nothing a clinic measures is smaller and not zero.
/// SAS transport files in IBM floating point write zero as 16^-65, about 5.4E-79, when a program that
/// does not know their form reads them.
const SMALLEST: f64 = 1e-60;
/// Digits that a number keeps.
const SIGNIFICANT_DIGITS: u32 = 15;

/// A number of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdtmNumber {
    /// As it stands there.
    Exact(Quantity),
    /// Zero, written as the smallest number there is.
    Zero,
    /// Rounded to the digits that a number keeps.
    Rounded(Quantity),
}

impl SdtmNumber {
    /// Reads a number; nothing where the text is none, or is `.`, as SAS writes a missing one.
    pub fn parse(text: &str) -> Option<Self> {
        let value: f64 = text.parse().ok()?;
        if !value.is_finite() {
            return None;
        }
        if value != 0.0 && value.abs() < SMALLEST {
            return Some(Self::Zero);
        }
        if let Ok(quantity) = text.parse() {
            return Some(Self::Exact(quantity));
        }
        let decimal = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
        let decimal = decimal.ok().or_else(|| text.get(..28).and_then(|text| Decimal::from_str_exact(text).ok()))?;
        Quantity::new(decimal.round_sf(SIGNIFICANT_DIGITS)?).ok().map(Self::Rounded)
    }

    /// The number that is meant.
    pub const fn quantity(self) -> Quantity {
        match self {
            Self::Exact(quantity) | Self::Rounded(quantity) => quantity,
            Self::Zero => Quantity::ZERO,
        }
    }
}

/// A number or identifier as it is shown and compared: programs write `3` as `3.0` as soon as a column has a gap.
pub fn shown(text: &str) -> &str {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) if digits(whole) && digits(fraction) && fraction.bytes().all(|byte| byte == b'0') => {
            whole
        }
        _ => text,
    }
}

/// A number as it is compared: `3.10` is `3.1`.
pub fn key(text: &str) -> String {
    SdtmNumber::parse(text).map_or_else(|| text.to_owned(), |number| number.quantity().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().expect("a quantity")
    }

    #[test]
    fn a_whole_number_is_the_same_with_and_without_a_fraction() {
        for (text, expected) in
            [("3.0", "3"), ("701.00", "701"), ("3.1", "3.1"), ("A.0", "A.0"), ("001", "001"), (".0", ".0")]
        {
            assert_eq!(shown(text), expected, "{text}");
        }
        assert_eq!(["3.0", "3.10", "0.50", "SCREENING"].map(key), ["3", "3.1", "0.5", "SCREENING"]);
    }

    #[test]
    fn numbers_are_read_as_they_are_meant() {
        assert_eq!(SdtmNumber::parse("3.1"), Some(SdtmNumber::Exact(quantity("3.1"))));
        assert_eq!(SdtmNumber::parse("1E2"), Some(SdtmNumber::Exact(quantity("100"))));
        assert_eq!(SdtmNumber::parse("5.397605346934028e-79"), Some(SdtmNumber::Zero));
        assert_eq!(SdtmNumber::parse("0.30000000000000004"), Some(SdtmNumber::Rounded(quantity("0.3"))));
        assert_eq!(SdtmNumber::parse("0"), Some(SdtmNumber::Exact(Quantity::ZERO)));
        for text in ["", ".", "NOT DONE", "<5", "NaN", "inf"] {
            assert_eq!(SdtmNumber::parse(text), None, "{text}");
        }
    }
}
