//! Who may send which command: the duty that the command's line in the domain names.

use domain::commands::CommandSpec;
use events::envelope::Role;
use service::problem::Problem;

/// Refuses a command that the role may not send.
///
/// # Errors
/// A 403 problem.
pub fn require(role: Role, spec: &CommandSpec) -> Result<(), Problem> {
    if spec.duty.falls_to(role) {
        return Ok(());
    }
    let role = serde_json::to_value(role).ok();
    let role = role.as_ref().and_then(|role| role.as_str()).unwrap_or("this role");
    Err(Problem::forbidden(format!("The role `{role}` may not send {}.", spec.name)))
}
