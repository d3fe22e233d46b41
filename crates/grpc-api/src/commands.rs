//! `CommandService`, and whatever else sends a command.

use domain::commands::COMMANDS;
use proto::v1::command_service_server::CommandService;
use proto::v1::{CommandAnswer, ExecuteRequest, ExecuteResponse};
use tonic::{Request, Response, Status};

use crate::rest::{Address, Caller, Rest};
use crate::status;

/// A command, ready to be sent.
pub struct Sent<'call> {
    /// Its name.
    pub command: &'call str,
    /// What it is about; empty where the server is to make an id.
    pub target_id: &'call str,
    /// Its fields, a JSON object.
    pub fields: String,
    /// By which it is known when it is sent again; empty where it is not.
    pub idempotency_key: &'call str,
    /// At which state of its stream it is carried out; empty where it does not matter.
    pub if_match: &'call str,
}

/// Sends a command.
///
/// # Errors
/// The problem that it is answered with.
pub async fn send(rest: &Rest, mut caller: Caller, sent: Sent<'_>) -> Result<CommandAnswer, Status> {
    let spec = COMMANDS.iter().find(|spec| spec.is_sent() && spec.name == sent.command);
    let unknown =
        || status::invalid("command", "unknown-value", "There is no such command; OpenAPI lists all of them.");
    let spec = spec.ok_or_else(unknown)?;
    for (name, value) in [("idempotency-key", sent.idempotency_key), ("if-match", sent.if_match)] {
        if !value.is_empty() {
            caller = caller.with(name, value)?;
        }
    }
    let address = match sent.target_id {
        "" if spec.creates => Address::of(spec.collection),
        "" => {
            let message = "It must say what the command is about: only what creates something may leave it out.";
            return Err(status::invalid("target_id", "missing", message));
        }
        target_id => Address::of(spec.collection).then(target_id).then_plain(spec.path),
    };
    let fields = if sent.fields.is_empty() { "{}".to_owned() } else { sent.fields };
    let answer = rest.post(caller, &address, fields).await?;
    Ok(CommandAnswer { replayed: answer.has("idempotency-replayed"), ..answer.read()? })
}

#[tonic::async_trait]
impl CommandService for Rest {
    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        let caller = Caller::of(&request);
        let ExecuteRequest { command, target_id, fields_json, idempotency_key, if_match } = request.into_inner();
        let sent = Sent {
            command: &command,
            target_id: &target_id,
            fields: fields_json,
            idempotency_key: &idempotency_key,
            if_match: &if_match,
        };
        Ok(Response::new(ExecuteResponse { answer: Some(send(self, caller, sent).await?) }))
    }
}
