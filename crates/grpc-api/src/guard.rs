//! Who may call: before any of a message is read.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::auth::Gate;
use service::limits::Limits;
use service::problem::Problem;

use crate::status;

/// Methods that send a command: with it the account itself is looked at.
const COMMANDS: [&str; 2] = ["/anamnesis.v1.CommandService/Execute", "/anamnesis.v1.ReportService/SubmitReport"];

/// Lets callers in.
#[derive(Clone)]
pub struct Guard {
    gate: Gate,
    limits: Limits,
}

impl Guard {
    /// By these.
    pub const fn new(gate: Gate, limits: Limits) -> Self {
        Self { gate, limits }
    }

    /// Lets the caller in, who then is known to whatever is asked for them; takes the message within the memory that is theirs.
    async fn let_in(&self, mut request: Request, next: Next) -> Result<Response, Problem> {
        let principal = self.gate.admit(&request, COMMANDS.contains(&request.uri().path())).await?;
        let account = principal.username.to_string();
        request.extensions_mut().insert(principal);
        let (request, _memory) = self.limits.hold(&account, request).await?;
        Ok(next.run(request).await)
    }
}

/// Refuses calls without a valid token.
pub async fn layer(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.let_in(request, next).await {
        Ok(response) => response,
        Err(problem) => status::of(problem.into_response()).await.into_http::<Body>(),
    }
}
