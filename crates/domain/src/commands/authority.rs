//! Whose duty a command is, and which roles have the duty.
//!
//! ICH E6(R3): the sponsor has no control over participants' data, monitors
//! and auditors change nothing.

use events::envelope::Role;

/// Whose work a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Setting up and steering the trial.
    Conduct,
    /// Caring for patients at a site.
    SiteWork,
    /// Treatment allocation.
    Allocation,
    /// What participants say about themselves.
    Participation,
    /// Looking after alerts.
    Safety,
    /// Looking after the program.
    Operation,
    /// What process managers do.
    Process,
}

impl Duty {
    /// Whether the role has the duty.
    pub const fn falls_to(self, role: Role) -> bool {
        match self {
            Duty::Conduct => matches!(role, Role::Administrator | Role::Sponsor | Role::Integration),
            Duty::SiteWork => {
                matches!(role, Role::Administrator | Role::Investigator | Role::Coordinator | Role::Integration)
            }
            Duty::Allocation => matches!(role, Role::Administrator | Role::UnblindedStatistician | Role::Integration),
            Duty::Participation => matches!(
                role,
                Role::Administrator | Role::Investigator | Role::Coordinator | Role::Participant | Role::Integration
            ),
            Duty::Safety => matches!(
                role,
                Role::Administrator | Role::Investigator | Role::Coordinator | Role::MedicalMonitor | Role::Sponsor
            ),
            Duty::Operation => matches!(role, Role::Administrator),
            Duty::Process => matches!(role, Role::Administrator | Role::System),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::COMMANDS;

    #[test]
    fn every_command_is_somebodys_duty_and_monitors_and_auditors_change_nothing() {
        for spec in COMMANDS {
            assert!(spec.duty.falls_to(Role::Administrator), "{} is nobody's", spec.name);
            for reader in [Role::Auditor, Role::Monitor] {
                assert!(!spec.duty.falls_to(reader), "{} may be sent by {reader:?}", spec.name);
            }
        }
    }
}
