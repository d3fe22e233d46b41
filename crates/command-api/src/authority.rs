//! Who may send which command (ICH E6(R3): the sponsor has no control over
//! participants' data, monitors and auditors change nothing).

use events::envelope::Role;
use service::problem::Problem;

/// Refuses a command that the role may not send.
///
/// # Errors
/// A 403 problem.
pub fn require(role: Role, command: &'static str) -> Result<(), Problem> {
    if may(role, command) {
        return Ok(());
    }
    let role = serde_json::to_value(role).ok();
    let role = role.as_ref().and_then(|role| role.as_str()).unwrap_or("this role");
    Err(Problem::forbidden(format!("The role `{role}` may not send {command}.")))
}

/// What kind of work a command is.
enum Work {
    /// Setting up and steering the trial.
    Conduct,
    /// Caring for patients at a site.
    Site,
    /// Treatment allocation.
    Allocation,
    /// What participants say about themselves.
    Participant,
    /// Looking after alerts.
    Safety,
    /// Looking after the program.
    Operation,
    /// What process managers do.
    Process,
    /// A command that this table does not know: nobody's.
    Unknown,
}

fn work(command: &str) -> Work {
    match command {
        "RegisterTrial"
        | "AddArm"
        | "DefineEligibility"
        | "PublishConsentForm"
        | "DefineQuestionnaire"
        | "OpenEnrolment"
        | "PauseEnrolment"
        | "CloseEnrolment"
        | "RegisterSite"
        | "ActivateSite"
        | "SuspendSite" => Work::Conduct,
        "RegisterPatient" | "RecordObservation" | "PresentConsentForm" | "ScreenPatient" | "RecordEligibility"
        | "FailScreening" | "EnrolSubject" | "DiscontinueSubject" | "CompleteSubject" | "CorrectReport"
        | "ReportAdverseEvent" | "UpdateAdverseEvent" | "RecordVisit" => Work::Site,
        "RandomiseSubject" => Work::Allocation,
        "SignConsent" | "WithdrawConsent" | "SubmitReport" => Work::Participant,
        "AcknowledgeAlert" | "ResolveAlert" => Work::Safety,
        "RetryDeadLetter" | "DropDeadLetter" => Work::Operation,
        "RaiseAlert" | "EscalateAlert" | "RequestNotification" | "RecordDeadLetter" => Work::Process,
        _ => Work::Unknown,
    }
}

/// Whether the role may send the command.
pub fn may(role: Role, command: &str) -> bool {
    match work(command) {
        Work::Conduct => matches!(role, Role::Administrator | Role::Sponsor | Role::Integration),
        Work::Site => matches!(role, Role::Administrator | Role::Investigator | Role::Coordinator | Role::Integration),
        Work::Allocation => matches!(role, Role::Administrator | Role::UnblindedStatistician | Role::Integration),
        Work::Participant => matches!(
            role,
            Role::Administrator | Role::Investigator | Role::Coordinator | Role::Participant | Role::Integration
        ),
        Work::Safety => matches!(
            role,
            Role::Administrator | Role::Investigator | Role::Coordinator | Role::MedicalMonitor | Role::Sponsor
        ),
        Work::Operation => matches!(role, Role::Administrator),
        Work::Process => matches!(role, Role::Administrator | Role::System),
        Work::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::commands::COMMANDS;

    #[test]
    fn every_command_is_somebodys() {
        for spec in COMMANDS {
            assert!(may(Role::Administrator, spec.name), "{} is in no kind of work: it is nobody's", spec.name);
            assert!(!may(Role::Auditor, spec.name) && !may(Role::Monitor, spec.name), "{}: they only read", spec.name);
        }
    }
}
