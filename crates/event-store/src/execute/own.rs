//! What nobody asked for over the interface.

use decider::Decide;
use events::envelope::Actor;
use events::ids::StreamId;
use uuid::Uuid;

use super::{ExecuteError, Executed, Executor, Request};

impl Executor {
    /// Carries out what the program itself, or an operator, wants done: `text` is the command as it is told apart from others of the
    /// same id.
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub async fn execute_own(
        &self,
        command_id: Uuid,
        actor: Actor,
        target: StreamId,
        (text, command): (&str, &dyn Decide),
    ) -> Result<Executed, ExecuteError> {
        let request = Request::own(command_id, self.marks()?.fingerprint(text), actor, target);
        self.execute(&request, command).await
    }
}
