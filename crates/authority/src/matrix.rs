//! Which role has which duty, and reads what: the matrix that docs/authority.md prints.
//!
//! ICH E6(R3): the sponsor has no control over participants' data (3.16.1), monitors and auditors change nothing,
//! and who runs the installation does no clinical work.

use events::access::Duty;
use events::access::account::Scope;
use events::envelope::Role;

use crate::Area;

/// The duties that a role has.
pub const fn duties(role: Role) -> &'static [Duty] {
    match role {
        Role::Administrator => &[Duty::Access, Duty::Operation],
        Role::Sponsor => &[Duty::Conduct, Duty::Messaging],
        Role::MedicalMonitor => &[Duty::Safety, Duty::Unblinding],
        Role::Investigator => {
            &[Duty::SiteWork, Duty::Unblinding, Duty::Participation, Duty::Safety, Duty::Messaging, Duty::Delegation]
        }
        Role::Coordinator => &[Duty::SiteWork, Duty::Participation, Duty::Safety, Duty::Messaging],
        Role::UnblindedStatistician => &[Duty::Allocation],
        Role::Participant => &[Duty::Participation],
        Role::Integration => &[Duty::Conduct, Duty::SiteWork, Duty::Allocation, Duty::Participation, Duty::Messaging],
        Role::Monitor | Role::Auditor => &[],
        // Whatever the program does by itself it does as no account.
        Role::System => &[Duty::Process],
    }
}

/// Whether the duty comes with the role.
pub fn has_duty(role: Role, duty: Duty) -> bool {
    duties(role).contains(&duty)
}

/// What a role reads, within its scope.
pub const fn areas(role: Role) -> &'static [Area] {
    match role {
        Role::Administrator | Role::Auditor | Role::System => &Area::ALL,
        Role::Sponsor
        | Role::MedicalMonitor
        | Role::Investigator
        | Role::Coordinator
        | Role::Monitor
        | Role::UnblindedStatistician => &[Area::Protocol, Area::Conduct, Area::Clinical],
        Role::Participant => &[Area::Protocol, Area::Clinical],
        Role::Integration => &[Area::Protocol, Area::Conduct, Area::Clinical, Area::Operation],
    }
}

/// Whether the role reads what is of the area.
pub fn reads(role: Role, area: Area) -> bool {
    areas(role).contains(&area)
}

/// Whether the role is shown, for a stated purpose, who a person in its scope is.
///
/// Whoever cares for the person must know them, and so must whoever carries records over; oneself knows anyway. The
/// sponsor's side must not (ICH E6(R3), 2.12.5 and 3.16.1).
pub const fn unmasks(role: Role) -> bool {
    match role {
        Role::Investigator | Role::Coordinator | Role::Participant | Role::Integration => true,
        Role::Administrator
        | Role::Sponsor
        | Role::MedicalMonitor
        | Role::Monitor
        | Role::Auditor
        | Role::UnblindedStatistician
        | Role::System => false,
    }
}

/// Whether the role can be granted with the scope.
pub const fn fits(role: Role, scope: &Scope) -> bool {
    match role {
        Role::Administrator => matches!(scope, Scope::Installation),
        Role::Participant => matches!(scope, Scope::Patient { .. }),
        Role::System => false,
        Role::Sponsor
        | Role::MedicalMonitor
        | Role::Investigator
        | Role::Coordinator
        | Role::Monitor
        | Role::Auditor
        | Role::UnblindedStatistician
        | Role::Integration => !matches!(scope, Scope::Patient { .. }),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn monitors_and_auditors_change_nothing_and_no_account_is_the_program() {
        for reader in [Role::Auditor, Role::Monitor] {
            assert!(duties(reader).is_empty(), "{reader:?}");
        }
        for role in Role::ALL {
            assert_eq!(has_duty(role, Duty::Process), role == Role::System, "{role:?}");
            assert!(!fits(Role::System, &Scope::Installation));
        }
    }

    #[test]
    fn who_runs_the_installation_or_pays_for_the_trial_does_no_clinical_work() {
        for role in [Role::Administrator, Role::Sponsor] {
            for clinical in [Duty::SiteWork, Duty::Allocation, Duty::Unblinding, Duty::Participation, Duty::Safety] {
                assert!(!has_duty(role, clinical), "{role:?} {clinical:?}");
            }
        }
    }

    #[test]
    fn participants_have_their_role_on_themselves_only() {
        let oneself = Scope::Patient { patient_id: Uuid::nil().into() };
        for role in Role::ALL {
            assert_eq!(fits(role, &oneself), role == Role::Participant, "{role:?}");
        }
        assert!(!fits(Role::Participant, &Scope::Installation));
    }
}
