//! Personal data: sealed wherever they are stored or sent, open only where they are needed.

use std::fmt;

use schemars::where_generated;
use serde::{Deserialize, Serialize};

use crate::form::Form;

/// The keyword by which a schema declares that a value is personal data.
pub const PERSONAL: &str = "x-personal-data";

/// What the keyword says of what somebody wrote, which is shown to whoever sees what it is about.
pub const WRITTEN: &str = "written";

/// A value that tells something of a person: it must not reach logs, subjects or ids, and is stored and sent only
/// sealed, in JSON `{"sealed": "v1.…"}`.
///
/// Its own type, so that sealing has one place to act: what is stored of it follows from its type
/// ([`PERSONAL`] in the schema), and `Debug` never prints it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T>(Form<T>);

impl<T> Personal<T> {
    /// Marks `value` as personal data.
    pub const fn new(value: T) -> Self {
        Self(Form::Open(value))
    }

    /// Gives the value where it is open; each call is a place that handles personal data.
    pub const fn expose(&self) -> Option<&T> {
        self.0.open()
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Personal(…)")
    }
}

/// What somebody wrote in their own words: it may tell of whomever. Stored and sent sealed as [`Personal`]; shown to
/// whoever sees what it is about, for whom it was written.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Prose(Personal<String>);

impl Prose {
    /// The words, where they are open; each call is a place that handles personal data.
    pub fn expose(&self) -> Option<&str> {
        self.0.expose().map(String::as_str)
    }

    /// The words, where they are open, for whoever keeps them as such.
    pub fn into_words(self) -> Option<String> {
        self.0.0.into_open()
    }
}

impl From<String> for Prose {
    fn from(words: String) -> Self {
        Self(Personal::new(words))
    }
}

impl From<&str> for Prose {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl PartialEq<str> for Prose {
    fn eq(&self, words: &str) -> bool {
        self.expose() == Some(words)
    }
}

impl fmt::Debug for Prose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Prose(…)")
    }
}

#[where_generated]
impl schemars::JsonSchema for Prose {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Prose".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", PERSONAL: WRITTEN})
    }
}

#[where_generated]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Personal<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Personal_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = T::json_schema(generator);
        schema.insert(PERSONAL.to_owned(), true.into());
        schema
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;
    use crate::patient::Sex;
    use crate::values::PartialDate;

    #[test]
    fn a_value_is_open_or_sealed_and_never_something_else() {
        let sealed = json!({"sealed": "v1.patient.1"});
        let name: Personal<String> = from_value(json!("Kari")).expect("a name");
        assert_eq!(name.expose().map(String::as_str), Some("Kari"));
        assert_eq!(to_value(&name).expect("JSON"), "Kari");
        let name: Personal<String> = from_value(sealed.clone()).expect("a sealed name");
        assert_eq!((name.expose(), to_value(&name).expect("JSON")), (None, sealed.clone()));
        assert_eq!(format!("{name:?}"), "Personal(…)");
        let born: Personal<PartialDate> = from_value(json!("1948-03")).expect("a date");
        assert_eq!(to_value(&born).expect("JSON"), "1948-03");
        from_value::<Personal<PartialDate>>(sealed.clone()).expect("a sealed date");
        let sex: Personal<Sex> = from_value(json!("F")).expect("a sex");
        assert_eq!(sex.expose(), Some(&Sex::F));
        from_value::<Personal<Sex>>(sealed).expect("a sealed sex");
        for other in
            [json!({}), json!({"open": "Kari"}), json!({"sealed": 7}), json!({"sealed": "v1", "b": 1}), json!([])]
        {
            assert!(from_value::<Personal<String>>(other.clone()).is_err(), "{other}");
        }
        for other in [json!("1948-13"), json!(7), json!(true)] {
            assert!(from_value::<Personal<PartialDate>>(other.clone()).is_err(), "{other}");
        }
    }
}
