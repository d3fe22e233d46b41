//! Whose work a command is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose work a command is. Which roles have it, crate `authority` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// Setting up and steering the trial.
    Conduct,
    /// Caring for patients at a site.
    SiteWork,
    /// Treatment allocation.
    Allocation,
    /// Breaking the blind for one subject.
    Unblinding,
    /// What participants say about themselves.
    Participation,
    /// Looking after alerts.
    Safety,
    /// Having people told something.
    Messaging,
    /// Delegating duties at a site (ICH E6(R3), 2.1.2).
    Delegation,
    /// Accounts, and what they may do.
    Access,
    /// Looking after the program.
    Operation,
    /// What the program does by itself.
    Process,
}

impl Duty {
    /// Every duty, in the order in which they are told.
    pub const ALL: [Duty; 11] = [
        Duty::Conduct,
        Duty::SiteWork,
        Duty::Allocation,
        Duty::Unblinding,
        Duty::Participation,
        Duty::Safety,
        Duty::Messaging,
        Duty::Delegation,
        Duty::Access,
        Duty::Operation,
        Duty::Process,
    ];
}
