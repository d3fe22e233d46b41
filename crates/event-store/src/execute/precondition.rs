//! What a caller asks of the stream before its command is carried out.

use std::fmt;

/// At which version a command's stream must be for the command to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// At whichever.
    #[default]
    None,
    /// The stream must exist.
    Exists,
    /// At one of these; at none of them where there are none.
    OneOf(Vec<u64>),
}

impl Precondition {
    /// Whether a stream at `version` (0: does not exist) fits.
    pub fn admits(&self, version: u64) -> bool {
        match self {
            Precondition::None => true,
            Precondition::Exists => version > 0,
            Precondition::OneOf(versions) => versions.contains(&version),
        }
    }
}

impl fmt::Display for Precondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Precondition::None => formatter.write_str("any version"),
            Precondition::Exists => formatter.write_str("that it exists"),
            Precondition::OneOf(versions) => match versions.as_slice() {
                [] => formatter.write_str("another state"),
                versions => {
                    let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
                    write!(formatter, "version {}", versions.join(" or "))
                }
            },
        }
    }
}
