//! What a sealed value is bound to: for whom, and into which field of which event it was written.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use crate::owner::Owner;

/// What is escaped in a part of a field's path, so that `.` and `/` only separate.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// What a sealed value is bound to. As text:
/// `<kind>.<owner>.<key version>.<stream>.<command>.<ordinal>.<event type>/<field>`; a place is written in one way, and two
/// places are never written the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    owner: Owner,
    key_version: u32,
    event: Event,
    event_type: String,
    field: String,
}

/// Which event a value was written into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Event {
    /// The id of the stream that it is in: what was sealed for a trial, too, is of one subject.
    pub stream: Uuid,
    /// The command that wrote it.
    pub command_id: Uuid,
    /// Which of the command's events it is, from 0.
    pub ordinal: u16,
}

/// A place that cannot be written: of an event's type and a field's path only letters, digits, `_`, `-` and, in a
/// path, `/` between its parts and `%` of what is escaped may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the place of a sealed value")]
pub struct MalformedPlace;

/// Where a value was found, as far as its finder knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'place> {
    /// For whom the value is.
    pub owner: Owner,
    /// The id of the event's stream.
    pub stream: Option<Uuid>,
    /// The command that wrote the event.
    pub command_id: Option<Uuid>,
    /// Which of the command's events it is, from 0.
    pub ordinal: Option<u16>,
    /// The event's type.
    pub event_type: Option<&'place str>,
    /// The path of the field.
    pub field: Option<&'place str>,
}

/// A value that was found elsewhere than where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Moved {
    /// It is somebody else's.
    #[error("the value is of another owner")]
    Owner,
    /// It is of another event.
    #[error("the value is of another event")]
    Event,
    /// It is of another field.
    #[error("the value is of another field")]
    Field,
}

impl Place {
    /// A field of an event: which one it is, its type, and the field's path as of [`field_path`].
    ///
    /// # Errors
    /// [`MalformedPlace`].
    pub fn new(
        owner: Owner,
        key_version: u32,
        event: Event,
        event_type: &str,
        field: &str,
    ) -> Result<Self, MalformedPlace> {
        let is_part = |part: &str, further: &[u8]| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || further.contains(&byte);
            !part.is_empty() && part.bytes().all(allowed)
        };
        if !is_part(event_type, b"") || !field.split('/').all(|part| is_part(part, b"%")) {
            return Err(MalformedPlace);
        }
        let (event_type, field) = (event_type.to_owned(), field.to_owned());
        Ok(Self { owner, key_version, event, event_type, field })
    }

    /// For whom the value is.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// Which of the owner's keys it is sealed under.
    pub const fn key_version(&self) -> u32 {
        self.key_version
    }

    /// The id of the event's stream.
    pub const fn stream(&self) -> Uuid {
        self.event.stream
    }

    /// The event's type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The path of the field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Checks that a value of this place was found where it belongs.
    ///
    /// # Errors
    /// [`Moved`].
    pub fn require(&self, found: &Found<'_>) -> Result<(), Moved> {
        if found.owner != self.owner {
            return Err(Moved::Owner);
        }
        let Event { stream, command_id, ordinal } = self.event;
        if found.stream.is_some_and(|id| id != stream)
            || found.command_id.is_some_and(|id| id != command_id)
            || found.ordinal.is_some_and(|found| found != ordinal)
            || found.event_type.is_some_and(|event_type| event_type != self.event_type)
        {
            return Err(Moved::Event);
        }
        if found.field.is_some_and(|field| field != self.field) {
            return Err(Moved::Field);
        }
        Ok(())
    }
}

impl<'place> Found<'place> {
    /// Found in something that was made of several events, such as a view's document: only whose it is is known.
    pub const fn of(owner: Owner) -> Self {
        Self { owner, stream: None, command_id: None, ordinal: None, event_type: None, field: None }
    }

    /// Found exactly there.
    pub fn at(place: &'place Place) -> Self {
        Self {
            owner: place.owner,
            stream: Some(place.event.stream),
            command_id: Some(place.event.command_id),
            ordinal: Some(place.event.ordinal),
            event_type: Some(&place.event_type),
            field: Some(&place.field),
        }
    }
}

/// The path of a field: its parts escaped, with `/` between them.
pub fn field_path<'part>(parts: impl IntoIterator<Item = &'part str>) -> String {
    let escaped = parts.into_iter().map(|part| utf8_percent_encode(part, ESCAPED).to_string());
    escaped.collect::<Vec<_>>().join("/")
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, key_version, event: Event { stream, command_id, ordinal }, event_type, field } = self;
        let (stream, command_id) = (stream.hyphenated(), command_id.hyphenated());
        write!(formatter, "{owner}.{key_version}.{stream}.{command_id}.{ordinal}.{event_type}/{field}")
    }
}

impl FromStr for Place {
    type Err = MalformedPlace;

    fn from_str(text: &str) -> Result<Self, MalformedPlace> {
        let parts: Vec<&str> = text.split('.').collect();
        let [kind, owner, key_version, stream, command_id, ordinal, path] = parts[..] else {
            return Err(MalformedPlace);
        };
        let (event_type, field) = path.split_once('/').ok_or(MalformedPlace)?;
        let place = Self::new(
            format!("{kind}.{owner}").parse().map_err(|_| MalformedPlace)?,
            key_version.parse().map_err(|_| MalformedPlace)?,
            Event {
                stream: Uuid::parse_str(stream).map_err(|_| MalformedPlace)?,
                command_id: Uuid::parse_str(command_id).map_err(|_| MalformedPlace)?,
                ordinal: ordinal.parse().map_err(|_| MalformedPlace)?,
            },
            event_type,
            field,
        )?;
        // Numbers and UUIDs may be written in several ways, a place in one.
        if place.to_string() == text { Ok(place) } else { Err(MalformedPlace) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_where_its_parts_end() {
        assert_eq!(field_path(["answers", "PHQ0101", "value"]), "answers/PHQ0101/value");
        assert_eq!(field_path(["answers", "a/b.c 备"]), "answers/a%2Fb%2Ec%20%E5%A4%87");
    }

    #[test]
    fn what_would_be_ambiguous_is_no_place() {
        let place = |event_type: &str, field: &str| {
            Place::new(Owner::installation(Uuid::nil()), 1, Event::default(), event_type, field)
        };
        place("PatientRegistered", "address/city").expect("a place");
        for (event_type, field) in [("", "a"), ("A", ""), ("A", "b//c"), ("A/b", "c"), ("A.b", "c"), ("A", "b.c")] {
            assert_eq!(place(event_type, field), Err(MalformedPlace), "{event_type} {field}");
        }
    }
}
