//! Carrying out what the program itself has to say.

use std::time::Duration;

use domain::commands::AnyCommand;
use event_store::execute::{ExecuteError, Executed, Executor};
use events::envelope::Actor;
use uuid::Uuid;

/// First pause after a failure; doubles up to the longest.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Carries a command out. Each says by what it finds whether it was carried out before, so that its id need not.
///
/// # Errors
/// [`ExecuteError`].
pub async fn execute(executor: &Executor, command: &AnyCommand) -> Result<Executed, ExecuteError> {
    let (actor, text) = (Actor::system("outbound"), command.to_json());
    executor.execute_own(Uuid::now_v7(), actor, command.target(), (&text, command)).await
}

fn tell_waits(error: &ExecuteError, command: &AnyCommand) {
    tracing::warn!(error = error as &dyn std::error::Error, command = command.name(), "not recorded yet");
}

/// Carries a command out, however long the log is away: what happened outside must not be forgotten. Tells whether it was.
pub async fn record(executor: &Executor, command: &AnyCommand) -> bool {
    let mut pause = RETRY_PAUSE;
    loop {
        match execute(executor, command).await {
            Ok(_) => return true,
            Err(error @ (ExecuteError::Log(_) | ExecuteError::Conflict { .. } | ExecuteError::Keys(_))) => {
                tell_waits(&error, command);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, command = command.name(), "cannot be recorded");
                return false;
            }
        }
    }
}
