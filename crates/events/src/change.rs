//! What a correction does to a field. An event that corrects holds two objects of the same form: `changes`, what the
//! fields are now, and `previous`, what they were.

use schemars::where_generated;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What becomes of a field that always has a value: absent, it stays as it is. `null` is refused.
///
/// Fields of this type need `#[serde(default, skip_serializing_if = "Change::is_none")]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change<T>(Option<T>);

/// What becomes of a field that may have no value: absent, it stays as it is; `null` takes the value away.
///
/// Fields of this type need `#[serde(default, skip_serializing_if = "OptionalChange::is_none")]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OptionalChange<T>(Option<Option<T>>);

impl<T> Change<T> {
    /// The field stays as it is.
    pub const NONE: Self = Self(None);

    /// The field gets this value.
    pub const fn to(value: T) -> Self {
        Self(Some(value))
    }

    /// Whether the field stays as it is.
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The new value, where there is one.
    pub const fn value(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T: Clone + PartialEq> Change<T> {
    /// What changes about `known`, and what it was: nothing where it is the same already.
    pub fn of(&self, known: &T) -> (Self, Self) {
        match &self.0 {
            Some(value) if value != known => (Self::to(value.clone()), Self::to(known.clone())),
            _ => (Self::NONE, Self::NONE),
        }
    }

    /// Carries the change out.
    pub fn apply(&self, known: &mut T) {
        if let Some(value) = &self.0 {
            *known = value.clone();
        }
    }
}

impl<T> OptionalChange<T> {
    /// The field stays as it is.
    pub const NONE: Self = Self(None);

    /// The field gets this value, or none.
    pub const fn to(value: Option<T>) -> Self {
        Self(Some(value))
    }

    /// Whether the field stays as it is.
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The new value, where there is one.
    pub fn value(&self) -> Option<&T> {
        self.0.as_ref().and_then(Option::as_ref)
    }

    /// The same change, of another type, in which some values are none.
    pub fn and_then<U>(self, to: impl FnOnce(T) -> Option<U>) -> OptionalChange<U> {
        OptionalChange(self.0.map(|value| value.and_then(to)))
    }

    /// The same change, of another type.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> OptionalChange<U> {
        OptionalChange(self.0.map(|value| value.map(to)))
    }
}

impl<T: Clone + PartialEq> OptionalChange<T> {
    /// What changes about `known`, and what it was: nothing where it is the same already.
    pub fn of(&self, known: &Option<T>) -> (Self, Self) {
        match &self.0 {
            Some(value) if value != known => (Self::to(value.clone()), Self::to(known.clone())),
            _ => (Self::NONE, Self::NONE),
        }
    }

    /// Carries the change out.
    pub fn apply(&self, known: &mut Option<T>) {
        if let Some(value) = &self.0 {
            known.clone_from(value);
        }
    }
}

impl<T> Default for Change<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> Default for OptionalChange<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Serialize> Serialize for OptionalChange<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::to)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OptionalChange<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::to)
    }
}

#[where_generated]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Change<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    // The same schema, not another of the same name.
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

#[where_generated]
impl<T: schemars::JsonSchema> schemars::JsonSchema for OptionalChange<T> {
    fn inline_schema() -> bool {
        Option::<T>::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Option::<T>::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        Option::<T>::schema_id()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Option::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Fields {
        #[serde(default, skip_serializing_if = "Change::is_none")]
        term: Change<String>,
        #[serde(default, skip_serializing_if = "OptionalChange::is_none")]
        outcome: OptionalChange<String>,
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let read = |json: serde_json::Value| serde_json::from_value::<Fields>(json);
        assert_eq!(read(json!({})).expect("fields"), Fields::default());
        assert_eq!(read(json!({"outcome": null})).expect("fields").outcome, OptionalChange::to(None));
        assert!(read(json!({"term": null})).is_err());
        for fields in [json!({}), json!({"outcome": null}), json!({"term": "Rash", "outcome": "FATAL"})] {
            assert_eq!(serde_json::to_value(read(fields.clone()).expect("fields")).expect("JSON"), fields);
        }
    }

    #[test]
    fn what_is_the_same_does_not_change() {
        let known = Some("FATAL".to_owned());
        assert_eq!(OptionalChange::to(known.clone()).of(&known), (OptionalChange::NONE, OptionalChange::NONE));
        let (now, before) = OptionalChange::to(None).of(&known);
        assert_eq!((now, before), (OptionalChange::to(None), OptionalChange::to(known)));
        let mut term = "Rash".to_owned();
        let (now, before) = Change::to("Hives".to_owned()).of(&term);
        now.apply(&mut term);
        assert_eq!((term.as_str(), before.value().map(String::as_str)), ("Hives", Some("Rash")));
    }
}
