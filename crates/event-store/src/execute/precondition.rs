//! What a caller asks of the stream before its command is carried out.

use std::fmt;

use events::ids::{StreamId, mark};

/// At which version a command's stream must be for the command to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// At whichever.
    #[default]
    None,
    /// The stream must exist.
    Exists,
    /// In one of these states; in none of them where there are none.
    OneOf(Vec<State>),
}

/// A state of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its version.
    pub version: u64,
    /// Which stream it is ([`mark`]); without it the one that the command writes.
    pub stream: Option<String>,
}

/// A stream that a decision looked at, and its version there (0: does not exist).
pub type Looked = (StreamId, u64);

impl Precondition {
    /// Whether the stream that the command writes fits, or else, where a state names it, the one in the command's
    /// address.
    pub fn admits(&self, written: Looked, addressed: Option<Looked>) -> bool {
        let is_of = |state: &State, (stream, version): Looked| {
            state.version == version && state.stream.as_ref().is_none_or(|name| *name == mark(stream.id))
        };
        match self {
            Precondition::None => true,
            Precondition::Exists => written.1 > 0,
            Precondition::OneOf(states) => states.iter().any(|state| {
                let names_addressed = addressed.filter(|_| state.stream.is_some());
                is_of(state, written) || names_addressed.is_some_and(|addressed| is_of(state, addressed))
            }),
        }
    }
}

impl From<u64> for State {
    fn from(version: u64) -> Self {
        Self { version, stream: None }
    }
}

impl fmt::Display for Precondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precondition::None => formatter.write_str("any version"),
            Precondition::Exists => formatter.write_str("that it exists"),
            Precondition::OneOf(states) => match states.as_slice() {
                [] => formatter.write_str("another state"),
                states => {
                    let states: Vec<String> = states.iter().map(ToString::to_string).collect();
                    formatter.write_str(&states.join(" or "))
                }
            },
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "version {}", self.version)?;
        self.stream.as_ref().map_or(Ok(()), |name| write!(formatter, " of the document whose id ends with {name}"))
    }
}

#[cfg(test)]
mod tests {
    use events::ids::StreamType;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_state_is_that_of_what_is_written_or_of_what_it_names() {
        let stream = |kind, id| StreamId::new(kind, Uuid::from_u128(id));
        let (consent, patient) = ((stream(StreamType::Consent, 1), 0), (stream(StreamType::Patient, 2), 5));
        let admits = |version, id: Option<u128>| {
            let state = State { version, stream: id.map(|id| mark(Uuid::from_u128(id))) };
            Precondition::OneOf(vec![State::from(99), state]).admits(consent, Some(patient))
        };
        assert!(admits(0, None) && admits(0, Some(1)) && admits(5, Some(2)));
        assert!(!admits(5, None) && !admits(5, Some(1)) && !admits(0, Some(2)) && !admits(5, Some(3)));
        assert!(!Precondition::Exists.admits(consent, Some(patient)) && Precondition::Exists.admits(patient, None));
    }
}
