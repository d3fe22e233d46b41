//! What every rule that raises alerts has in common.

use events::envelope::Role;

use crate::safety::alert::ACKNOWLEDGE_MINUTES_MAX;
use crate::validate::{self, Faults, Invalid};

/// Checks under which code a rule is known, whom it tells, and for how long nobody need answer.
///
/// # Errors
/// [`Faults`], each naming the field under `field`.
pub fn check(field: &str, code: &str, recipients: &[Role], acknowledge_within_minutes: u32) -> Result<(), Faults> {
    let at = |name: &str| format!("{field}/{name}");
    let told = at("recipients");
    let others = [
        validate::code(&at("code"), code),
        if recipients.is_empty() { Err(Invalid::Blank { field: told.clone() }) } else { Ok(()) },
        validate::list(&told, recipients),
        validate::range(&at("acknowledge_within_minutes"), acknowledge_within_minutes, 1, ACKNOWLEDGE_MINUTES_MAX),
    ];
    let of_recipients = recipients.iter().enumerate().map(|(index, role)| {
        let refuse = |expected: &str| {
            Err(Invalid::OutOfRange { field: format!("{told}/{index}"), expected: expected.to_owned() })
        };
        match role {
            Role::System | Role::Integration => refuse("a role that people have"),
            role if recipients[..index].contains(role) => refuse("a role that is not named before"),
            _ => Ok(()),
        }
    });
    validate::all(others.into_iter().chain(of_recipients))
}
