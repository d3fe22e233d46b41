//! What a process does: everything, or one part.

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Takes commands.
    pub command_api: bool,
    /// Answers queries.
    pub query_api: bool,
    /// Keeps views.
    pub projector: bool,
    /// Runs process managers.
    pub saga: bool,
    /// Publishes the log.
    pub relay: bool,
    /// Sends messages to people.
    pub outbound: bool,
}

impl Roles {
    const NONE: Roles =
        Roles { command_api: false, query_api: false, projector: false, saga: false, relay: false, outbound: false };
    /// Everything.
    pub const ALL: Roles =
        Roles { command_api: true, query_api: true, projector: true, saga: true, relay: true, outbound: true };
    /// The write side.
    pub const COMMAND_API: Roles = Roles { command_api: true, ..Self::NONE };
    /// The read side.
    pub const QUERY_API: Roles = Roles { query_api: true, ..Self::NONE };
    /// The views.
    pub const PROJECTOR: Roles = Roles { projector: true, ..Self::NONE };
    /// The process managers.
    pub const SAGA: Roles = Roles { saga: true, ..Self::NONE };
    /// The relay.
    pub const RELAY: Roles = Roles { relay: true, ..Self::NONE };

    /// Messages to people.
    pub const OUTBOUND: Roles = Roles { outbound: true, ..Self::NONE };

    /// Whether it answers requests that need a token.
    pub const fn answers(self) -> bool {
        self.command_api || self.query_api
    }

    /// Whether it carries commands out: those of callers, its own, or those that record what somebody tried.
    pub const fn executes(self) -> bool {
        self.answers() || self.saga || self.outbound
    }

    /// Whether it needs keys: to carry commands out, or to count who was allocated to what.
    pub const fn opens(self) -> bool {
        self.executes() || self.projector
    }

    /// Their names, as the commands that start them.
    pub fn names(self) -> String {
        let named = [
            (self.command_api, "command-api"),
            (self.query_api, "query-api"),
            (self.projector, "projector"),
            (self.saga, "saga"),
            (self.relay, "relay"),
            (self.outbound, "outbound"),
        ];
        named.into_iter().filter_map(|(has, name)| has.then_some(name)).collect::<Vec<_>>().join(" ")
    }
}
