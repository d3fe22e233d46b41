//! Commands with their targets as JSON, as process managers keep them.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Error;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{AnyCommand, COMMANDS};

/// What is common to all commands. The body is read by whoever knows the command: read as one enum
/// of all of them, every command would be compiled again wherever any is read.
#[derive(Deserialize)]
struct Stored<'text> {
    #[serde(borrow)]
    command: Cow<'text, str>,
    target: Uuid,
    #[serde(borrow)]
    body: &'text RawValue,
}

impl AnyCommand {
    /// The command as JSON, which [`AnyCommand::from_json`] reads again.
    ///
    /// # Panics
    /// Never: commands serialise to JSON by construction.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("commands serialise to JSON by construction")
    }

    /// Reads a command that was written down.
    ///
    /// # Errors
    /// Where it is none that this program knows.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let Stored { command, target, body } = serde_json::from_str(text)?;
        let spec = COMMANDS.iter().find(|spec| spec.name == command);
        let spec = spec.ok_or_else(|| Error::custom(format_args!("there is no command `{command}`")))?;
        (spec.parse)(target, body.get().as_bytes()).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use events::ids::{AlertId, SubjectId};
    use uuid::Uuid;

    use super::AnyCommand;
    use crate::enrolment::subject::{EnrolSubject, FailScreening};
    use crate::safety::alert::EscalateAlert;

    #[test]
    fn a_command_is_read_as_it_was_written() {
        let subject = SubjectId::from(Uuid::max());
        let commands: [AnyCommand; 3] = [
            (subject, EnrolSubject::default()).into(),
            (subject, FailScreening { reasons: vec!["AGE".to_owned()], occurred_at: crate::When::default() }).into(),
            (AlertId::from(Uuid::nil()), EscalateAlert::default()).into(),
        ];
        for command in commands {
            assert_eq!(AnyCommand::from_json(&command.to_json()).expect("a command"), command);
        }
    }

    #[test]
    fn what_is_no_command_is_told() {
        let written = |command: &str, body: &str| {
            format!(r#"{{"command": "{command}", "target": "{}", "body": {body}}}"#, Uuid::nil())
        };
        let told = |text: &str| AnyCommand::from_json(text).expect_err("no command").to_string();
        assert!(told("{}").contains("`command`"));
        assert_eq!(told(&written("Novel", "{}")), "there is no command `Novel`");
        assert!(told(&written("EnrolSubject", r#"{"novel": 1}"#)).contains("`novel`"));
    }
}
