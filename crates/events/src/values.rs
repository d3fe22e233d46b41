//! Values that events and commands share; each can only hold what is valid.

use std::fmt;
use std::str::FromStr;

use chrono::{Months, NaiveDate};
use rust_decimal::Decimal;
use schemars::where_generated;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::form::Form;
pub use crate::form::SEALED;
pub use crate::personal::{PERSONAL, Personal, Prose, WRITTEN};

/// The keyword by which a schema declares that a value is treatment allocation.
pub const ALLOCATION: &str = "x-allocation";

/// Treatment allocation: a value that a blinded role must not receive, in any answer.
///
/// Its own type, so that what is sealed and withheld follows from what is declared
/// ([`ALLOCATION`]), and `Debug` never prints it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blinded<T>(Form<T>);

impl<T> Blinded<T> {
    /// Marks `value` as treatment allocation.
    pub const fn new(value: T) -> Self {
        Self(Form::Open(value))
    }

    /// Gives the value where it is open; each call is a place that handles treatment allocation.
    pub const fn expose(&self) -> Option<&T> {
        self.0.open()
    }

    /// Gives the value to be changed, where it is open.
    pub const fn expose_mut(&mut self) -> Option<&mut T> {
        match &mut self.0 {
            Form::Open(value) => Some(value),
            Form::Sealed(_) => None,
        }
    }
}

impl<T> From<Blinded<T>> for Blinded<Option<T>> {
    fn from(blinded: Blinded<T>) -> Self {
        Self(match blinded.0 {
            Form::Open(value) => Form::Open(Some(value)),
            Form::Sealed(text) => Form::Sealed(text),
        })
    }
}

impl<T> fmt::Debug for Blinded<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Blinded(…)")
    }
}

#[where_generated]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Blinded<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Blinded_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = T::json_schema(generator);
        schema.insert(ALLOCATION.to_owned(), true.into());
        schema
    }
}

/// An exact decimal number of at most 15 significant digits.
///
/// In JSON it is a number. Fifteen digits are what an IEEE 754 double carries
/// without loss, so the value survives every JSON reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(Decimal);

/// Significant digits of what is computed: more than any measurement has, and fewer than a double carries.
const COMPUTED_DIGITS: u32 = 13;

/// Why a number is not a [`Quantity`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// Not a decimal number, or outside ±10^15.
    #[error("`{0}` is not a decimal number between -999999999999999 and 999999999999999")]
    NotANumber(String),
    /// More digits than a JSON number carries without loss.
    #[error("`{0}` has more than 15 significant digits")]
    TooPrecise(String),
}

impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity(Decimal::ZERO);

    /// Takes a decimal if it has at most 15 significant digits.
    ///
    /// # Errors
    /// [`InvalidQuantity::TooPrecise`] otherwise.
    pub fn new(value: Decimal) -> Result<Self, InvalidQuantity> {
        let value = value.normalize();
        if value.mantissa().unsigned_abs() > 999_999_999_999_999 {
            return Err(InvalidQuantity::TooPrecise(value.to_string()));
        }
        Ok(Self(value))
    }

    /// The value that is nearest, to thirteen significant digits; none where it is too great to be one.
    pub fn nearest(value: f64) -> Option<Self> {
        Self::new(Decimal::try_from(value).ok()?.round_sf(COMPUTED_DIGITS)?).ok()
    }

    /// Both together, to thirteen significant digits; where that is too great, the first alone.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = (self.0 + other.0).round_sf(COMPUTED_DIGITS);
        sum.and_then(|sum| Self::new(sum).ok()).unwrap_or(self)
    }

    /// The arithmetic mean of so many that come to this, to six decimals; zero of none.
    #[must_use]
    pub fn mean_of(self, count: u64) -> Self {
        let mean = self.0.checked_div(count.into());
        mean.and_then(|mean| Self::new(mean.round_dp(6)).ok()).unwrap_or(Self::ZERO)
    }

    /// The value for exact arithmetic.
    pub const fn decimal(self) -> Decimal {
        self.0
    }
}

impl From<i32> for Quantity {
    fn from(value: i32) -> Self {
        Self(Decimal::from(value).normalize())
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let parsed = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
        Self::new(parsed.map_err(|_| InvalidQuantity::NotANumber(text.to_owned()))?)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(whole) if self.0.is_integer() => serializer.serialize_i64(whole),
            // At most 15 significant digits: the shortest text of the nearest
            // double is the same decimal again.
            _ => serializer.serialize_f64(self.0.to_string().parse().map_err(serde::ser::Error::custom)?),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Quantity;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number of at most 15 significant digits")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
                Quantity::new(value.into()).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantity, E> {
                Quantity::new(value.into()).map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Quantity, E> {
                value.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

#[where_generated]
impl schemars::JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "number",
            "description": "An exact decimal number of at most 15 significant digits.",
            "minimum": -999_999_999_999_999_i64,
            "maximum": 999_999_999_999_999_i64
        })
    }
}

/// A date that may lack its day or its month, as ISO 8601 reduced precision:
/// `2014`, `2014-03` or `2014-03-09`.
///
/// SDTM keeps an incompletely known date as what is known of it
/// (SDTMIG 3.4, section 4.4.2); nothing is imputed here either.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartialDate(String);

/// Why a text is not a [`PartialDate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date of the form YYYY, YYYY-MM or YYYY-MM-DD")]
pub struct InvalidPartialDate(pub String);

impl PartialDate {
    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The earliest day that the date can mean.
    pub fn earliest(&self) -> NaiveDate {
        let mut parts = self.0.split('-').map(|part| part.parse().unwrap_or(1));
        let year = i32::try_from(parts.next().unwrap_or(1)).unwrap_or(1);
        let month = parts.next().unwrap_or(1);
        let day = parts.next().unwrap_or(1);
        NaiveDate::from_ymd_opt(year, month, day).unwrap_or(NaiveDate::MIN)
    }

    /// The latest day that the date can mean.
    pub fn latest(&self) -> NaiveDate {
        let first = self.earliest();
        let after = match self.0.len() {
            4 => first.checked_add_months(Months::new(12)),
            7 => first.checked_add_months(Months::new(1)),
            _ => first.succ_opt(),
        };
        after.and_then(|after| after.pred_opt()).unwrap_or(first)
    }

    /// The day, where it is known.
    pub fn exact(&self) -> Option<NaiveDate> {
        (self.0.len() == 10).then(|| self.earliest())
    }
}

impl FromStr for PartialDate {
    type Err = InvalidPartialDate;
    fn from_str(text: &str) -> Result<Self, InvalidPartialDate> {
        let invalid = || InvalidPartialDate(text.to_owned());
        let completed = match text.len() {
            4 => format!("{text}-01-01"),
            7 => format!("{text}-01"),
            10 => text.to_owned(),
            _ => return Err(invalid()),
        };
        // Digits only between the hyphens: chrono alone would take signs and blanks.
        let digits_and_hyphens = completed
            .bytes()
            .enumerate()
            .all(|(index, byte)| if index == 4 || index == 7 { byte == b'-' } else { byte.is_ascii_digit() });
        if !digits_and_hyphens || NaiveDate::parse_from_str(&completed, "%Y-%m-%d").is_err() {
            return Err(invalid());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PartialDate {
    type Error = InvalidPartialDate;
    fn try_from(text: String) -> Result<Self, InvalidPartialDate> {
        text.parse()
    }
}

impl From<PartialDate> for String {
    fn from(date: PartialDate) -> String {
        date.0
    }
}

impl From<NaiveDate> for PartialDate {
    fn from(date: NaiveDate) -> Self {
        Self(date.format("%Y-%m-%d").to_string())
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[where_generated]
impl schemars::JsonSchema for PartialDate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PartialDate".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A date that may lack its day or month: YYYY, YYYY-MM or YYYY-MM-DD.",
            "pattern": "^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$",
            "examples": ["2026-01-31"]
        })
    }
}
