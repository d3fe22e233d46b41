//! A value that is stored and sent only sealed: open, or as it is stored.

use std::fmt;

use serde::de::value::{
    BoolDeserializer, F64Deserializer, I64Deserializer, SeqAccessDeserializer, StrDeserializer, U64Deserializer,
    UnitDeserializer,
};
use serde::de::{self, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The only field of the object that stands in the place of a sealed value.
pub const SEALED: &str = "sealed";

/// Open, or sealed. In JSON the value itself, or `{"sealed": "v1.…"}`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Form<T> {
    /// Open.
    Open(T),
    /// Of whom the keys are not at hand, or no longer there.
    Sealed(Box<str>),
}

impl<T> Form<T> {
    /// The value, where it is open.
    pub const fn open(&self) -> Option<&T> {
        match self {
            Form::Open(value) => Some(value),
            Form::Sealed(_) => None,
        }
    }

    /// The value, where it is open.
    pub fn into_open(self) -> Option<T> {
        match self {
            Form::Open(value) => Some(value),
            Form::Sealed(_) => None,
        }
    }
}

impl<T: Serialize> Serialize for Form<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Form::Open(value) => value.serialize(serializer),
            Form::Sealed(text) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(SEALED, text)?;
                map.end()
            }
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Form<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // No value that is sealed is an object: one in its place is the sealed one.
        deserializer.deserialize_any(OpenOrSealed(std::marker::PhantomData))
    }
}

struct OpenOrSealed<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> OpenOrSealed<T> {
    fn open<D: Deserializer<'de>>(deserializer: D) -> Result<Form<T>, D::Error> {
        T::deserialize(Present(deserializer)).map(Form::Open)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OpenOrSealed<T> {
    type Value = Form<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Self::open::<BoolDeserializer<E>>(value.into_deserializer())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Self::open::<I64Deserializer<E>>(value.into_deserializer())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Self::open::<U64Deserializer<E>>(value.into_deserializer())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Self::open::<F64Deserializer<E>>(value.into_deserializer())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Self::open::<StrDeserializer<'_, E>>(value.into_deserializer())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        T::deserialize(UnitDeserializer::<E>::new()).map(Form::Open)
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Self::open(SeqAccessDeserializer::new(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((name, text)) = map.next_entry::<String, Box<str>>()? else {
            return Err(de::Error::invalid_length(0, &"a value"));
        };
        if name != SEALED || map.next_key::<String>()?.is_some() {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &"a value"));
        }
        Ok(Form::Sealed(text))
    }
}

/// A value that is there: serde's own do not say so where one that may be absent is asked for.
struct Present<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Present<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn lists_numbers_and_what_may_be_absent_are_open_or_sealed() {
        let sealed = json!({"sealed": "v1.trial.1"});
        let back = |value: &Value, form: Value| assert_eq!(form, *value);
        for value in [json!("A"), json!(null), sealed.clone()] {
            back(
                &value,
                to_value(from_value::<Form<Option<String>>>(value.clone()).expect("it is read")).expect("JSON"),
            );
        }
        for value in [json!([1, 2]), json!([]), sealed.clone()] {
            back(&value, to_value(from_value::<Form<Vec<u8>>>(value.clone()).expect("it is read")).expect("JSON"));
        }
        for value in [json!(7), sealed] {
            back(&value, to_value(from_value::<Form<u8>>(value.clone()).expect("it is read")).expect("JSON"));
        }
        assert!(from_value::<Form<String>>(json!(null)).is_err());
    }
}
