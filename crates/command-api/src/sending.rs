//! Commands that are a part of something else: sent by who is asking, as the others are, but not by an address of their own.

use domain::access::{Authorised, Sender};
use domain::commands::{AnyCommand, COMMANDS};
use event_store::execute::{ExecuteError, Executed, Executor, Request};
use events::envelope::{Actor, Role};
use service::auth::Principal;
use service::trace;
use uuid::Uuid;

/// Under which id a command is sent.
#[derive(Clone, Copy, Debug)]
pub enum Sent {
    /// Under this one: the same again is answered as it was.
    As(Uuid),
    /// Under a new one.
    Anew,
}

/// Sends a command for somebody.
///
/// # Errors
/// [`ExecuteError`].
pub async fn send(
    executor: &Executor,
    principal: &Principal,
    command: AnyCommand,
    sent: Sent,
) -> Result<Executed, ExecuteError> {
    let spec = COMMANDS.iter().find(|spec| spec.name == command.name());
    let spec = spec.ok_or_else(|| ExecuteError::Malformed(format!("{} is not listed", command.name())))?;
    let command_id = match sent {
        Sent::As(id) => id,
        Sent::Anew => Uuid::now_v7(),
    };
    // In which role is decided with the command.
    let actor = Actor { id: principal.username.to_string(), role: Role::Participant, organisation: None };
    let request = Request {
        trace_context: trace::current().map(|trace| trace.traceparent()),
        ..Request::own(command_id, executor.marks()?.fingerprint(&command.to_json()), actor, command.target())
    };
    executor.execute(&request, &Authorised::new(command, spec, sender(principal))).await
}

/// Who sends what somebody asks for.
pub(crate) fn sender(principal: &Principal) -> Sender {
    let Principal { identity_id, account_id, auth_time, .. } = *principal;
    Sender { identity_id, account_id, signed_in_at: auth_time }
}
