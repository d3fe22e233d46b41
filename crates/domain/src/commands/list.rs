//! What makes addresses, descriptions and process managers know of a command.

use events::ids::StreamType;
use schemars::{Schema, SchemaGenerator};
use uuid::Uuid;

use events::access::Duty;

use super::{AnyCommand, BodyError};

/// What is known of a command without carrying it out.
#[derive(Debug)]
pub struct CommandSpec {
    /// The name, such as `SignConsent`.
    pub name: &'static str,
    /// The collection in the command's address, such as `patients`.
    pub collection: &'static str,
    /// The last part of the address, such as `sign-consent`.
    pub path: &'static str,
    /// A shorter last part that means the same.
    pub alias: Option<&'static str>,
    /// Whether the command brings its target into being.
    pub creates: bool,
    /// Whether what was asked for is done later: it is answered 202.
    pub accepted: bool,
    /// Whether it is sent only as a part of something else, which is an address of its own.
    pub enclosed: bool,
    /// Whose duty it is; tells which roles may send it.
    pub duty: Duty,
    /// Whether people sign it: whoever sends it has shown lately who they are ([`authority::signing`]).
    pub signed: bool,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The kind of stream that the address names.
    pub target: StreamType,
    /// The body's JSON Schema.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Reads the body of a command to the target with this id.
    pub parse: fn(Uuid, &[u8]) -> Result<AnyCommand, BodyError>,
}

impl CommandSpec {
    /// Whether somebody can send it by itself: others only the program carries out, or what they are a part of.
    pub fn is_sent(&self) -> bool {
        self.duty != Duty::Process && !self.enclosed
    }
}

/// Declares the commands: the collection in the address, the module that has the commands, and of each command
/// whose duty it is, its address (and a shorter one), whether it brings its target into being (`creates`), whether people
/// sign it (`signed`), whether what was asked for is done later (`accepted`), whether it is sent only as a part of something
/// else (`enclosed`), and what it does.
macro_rules! commands {
    ($($collection:literal of $($module:ident)::+ { $($command:ident by $duty:ident at $path:literal $(or $alias:literal)? $(, $mark:ident)*: $summary:literal;)+ })+) => {
        $(use crate::$($module)::+::{$($command),+};)+

        /// Any command with its target.
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Serialize)]
        #[serde(tag = "command")]
        pub enum AnyCommand { $($(
            #[doc = $summary]
            $command {
                /// The id in the command's address.
                target: <$command as ::decider::Command>::Target,
                /// The command's fields.
                body: $command,
            },
        )+)+ }

        $($(impl From<(<$command as ::decider::Command>::Target, $command)> for AnyCommand {
            fn from((target, body): (<$command as ::decider::Command>::Target, $command)) -> Self {
                AnyCommand::$command { target, body }
            }
        })+)+

        impl AnyCommand {
            /// The name, such as `SignConsent`.
            pub const fn name(&self) -> &'static str {
                match self { $($(AnyCommand::$command { .. } => <$command as ::decider::Command>::NAME,)+)+ }
            }

            /// The stream that the address names.
            pub fn target(&self) -> ::events::ids::StreamId {
                match self { $($(AnyCommand::$command { target, .. } => ::events::ids::StreamKey::stream(*target),)+)+ }
            }
        }

        impl ::decider::Decide for AnyCommand {
            fn reads(&self) -> Vec<::decider::Need> {
                match self { $($(AnyCommand::$command { target, body } => ::decider::Command::reads(body, *target),)+)+ }
            }

            fn decide(&self, context: &::decider::Context, facts: &::decider::Facts) -> Result<::decider::Decision, ::decider::Halt> {
                match self { $($(
                    AnyCommand::$command { target, body } => ::decider::Command::decide(body, *target, context, facts),
                )+)+ }
            }
        }

        /// Every command, by collection.
        pub static COMMANDS: &[CommandSpec] = &[$($(CommandSpec {
            name: <$command as ::decider::Command>::NAME,
            collection: $collection,
            path: $path,
            alias: commands!(@alias $($alias)?),
            creates: commands!(@creates $($mark)*),
            accepted: commands!(@accepted $($mark)*),
            enclosed: commands!(@enclosed $($mark)*),
            duty: Duty::$duty,
            signed: commands!(@signed $($mark)*),
            summary: $summary,
            target: <<$command as ::decider::Command>::Target as ::events::ids::StreamKey>::STREAM_TYPE,
            schema: |generator| generator.subschema_for::<$command>(),
            parse: |target, bytes| {
                Ok(AnyCommand::$command { target: target.into(), body: parse::parse(bytes)? })
            },
        },)+)+];

        /// The rules of every module with commands.
        pub static RULES: &[$crate::rules::Rules] = &[$(crate::$($module)::+::RULES),+];
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
    (@creates creates $($other:ident)*) => { true };
    (@creates $($other:ident)*) => { false };
    (@accepted creates accepted) => { true };
    (@accepted $($other:ident)*) => { false };
    (@enclosed enclosed) => { true };
    (@enclosed $($other:ident)*) => { false };
    (@signed signed) => { true };
    (@signed $($other:ident)*) => { false };
}
