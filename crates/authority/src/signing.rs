//! When somebody has to show anew who they are.

use chrono::{DateTime, TimeDelta, Utc};
use events::envelope::Role;

/// How long a sign-in, with all its components, is good for signing: within it the token alone is enough, after it both
/// are needed again (21 CFR 11.200(a)(1)).
pub const SIGNED_WITHIN: TimeDelta = TimeDelta::minutes(15);

/// Whether somebody who signed in then may sign now.
pub fn may_sign(signed_in_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    signed_in_at.is_some_and(|signed_in_at| now - signed_in_at <= SIGNED_WITHIN)
}

/// Whether a role signs at all: a machine carries over what was signed elsewhere, and the program signs nothing.
pub const fn signs(role: Role) -> bool {
    !matches!(role, Role::Integration | Role::System)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_good_for_a_while() {
        let now = DateTime::UNIX_EPOCH;
        assert!(!may_sign(None, now), "nobody knows when");
        assert!(may_sign(Some(now), now));
        assert!(may_sign(Some(now - SIGNED_WITHIN), now));
        assert!(!may_sign(Some(now - SIGNED_WITHIN - TimeDelta::seconds(1)), now));
        // Another clock is ahead of ours: by how much it may be, whoever verified the token has judged.
        assert!(may_sign(Some(now + TimeDelta::seconds(5)), now));
    }
}
