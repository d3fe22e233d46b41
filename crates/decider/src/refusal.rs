//! Why a command is refused.

use serde::{Deserialize, Serialize};

use crate::Halt;

/// What kind of refusal it is; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// The command itself is wrong, whatever the state (400).
    Invalid,
    /// What it speaks of does not exist (404).
    NotFound,
    /// A rule forbids it in the present state (422).
    Rule,
    /// Whoever sent it may not (403).
    Forbidden,
    /// Whoever sent it must show anew who they are (401).
    Unauthenticated,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The rule's name in kebab-case, such as `site-cap-reached`.
    pub rule: String,
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// The command's field that is at fault, as a JSON Pointer without the leading slash.
    pub field: Option<String>,
    /// What is wrong and what would be right; no personal data.
    pub message: String,
    /// Every fault of the body, where there is more than one; the first is the one above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// One of several things that are wrong with a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The rule's name in kebab-case.
    pub rule: String,
    /// The command's field that is at fault, as a JSON Pointer without the leading slash.
    pub field: Option<String>,
    /// What is wrong and what would be right; no personal data.
    pub message: String,
}

impl Fault {
    /// The reason as one of several.
    pub fn of(reason: &impl Reason) -> Self {
        Self { rule: reason.rule().to_owned(), field: reason.field(), message: reason.to_string() }
    }
}

/// An aggregate's reasons to refuse, each with its rule's name.
pub trait Reason: std::error::Error {
    /// The rule's name in kebab-case.
    fn rule(&self) -> &'static str;
    /// What kind of refusal.
    fn kind(&self) -> RefusalKind {
        RefusalKind::Rule
    }
    /// The command's field at fault.
    fn field(&self) -> Option<String> {
        None
    }
    /// Every fault, where the reason is several.
    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }
}

impl<R: Reason> From<R> for Halt {
    fn from(reason: R) -> Self {
        Halt::Refused(Refusal {
            rule: reason.rule().to_owned(),
            kind: reason.kind(),
            field: reason.field(),
            message: reason.to_string(),
            faults: reason.faults(),
        })
    }
}
