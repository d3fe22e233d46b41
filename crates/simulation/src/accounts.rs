//! Who plays what: each role by an account of its own, so that a history shows who did what.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use client::accounts::{self as opened, Issue, Member};
use client::{Client, ClientError, CommandRequest};
use decider::Command;
use domain::commands::{COMMANDS, Duty};
use domain::safety::adverse_event::ReportAdverseEvent;
use events::access::account::Scope;
use events::envelope::Role;
use events::ids::{PatientId, SiteId, TrialId};

/// Where those who take part have their tokens from.
pub struct Accounts {
    client: Client,
    opened: Option<opened::Accounts>,
    given: BTreeMap<Role, Client>,
    told: AtomicBool,
}

/// Who is at hand where something is done to somebody.
#[derive(Clone, Copy)]
pub struct Scene<'scene> {
    /// The trial.
    pub trial_id: TrialId,
    /// The site and its code, such as `701`; nothing where it is about the whole trial.
    pub site: Option<(SiteId, &'scene str)>,
    /// The participant and their number in the trial.
    pub participant: Option<(PatientId, u32)>,
}

impl Scene<'static> {
    /// About the whole trial.
    pub const fn trial(trial_id: TrialId) -> Self {
        Scene { trial_id, site: None, participant: None }
    }
}

/// Who reads how far everything is.
pub fn monitor() -> Member {
    Member { username: "monitor-1".to_owned(), role: Role::Monitor, scope: Scope::Installation }
}

/// Whose work a command is, there.
pub fn player(command: &CommandRequest, scene: Scene<'_>) -> Member {
    let duty = COMMANDS.iter().find(|spec| spec.name == command.name).map(|spec| spec.duty);
    let trial_id = scene.trial_id;
    let at_site = |role: Role, name: &str| match scene.site {
        Some((site_id, code)) => {
            Member { username: format!("{name}-{code}"), role, scope: Scope::Site { trial_id, site_id } }
        }
        None => Member { username: name.to_owned(), role, scope: Scope::Trial { trial_id } },
    };
    if command.name == <ReportAdverseEvent as Command>::NAME {
        return at_site(Role::Investigator, "investigator");
    }
    match (duty, scene.participant) {
        (Some(Duty::Conduct), _) => {
            Member { username: "sponsor-1".to_owned(), role: Role::Sponsor, scope: Scope::Installation }
        }
        (Some(Duty::Allocation), _) => Member {
            username: "randomisation-service".to_owned(),
            role: Role::Integration,
            scope: Scope::Trial { trial_id },
        },
        // The investigator judges adverse events and answers for alerts.
        (Some(Duty::Safety | Duty::Unblinding | Duty::Delegation), _) => at_site(Role::Investigator, "investigator"),
        (Some(Duty::Participation), Some((patient_id, number))) => Member {
            username: format!("participant-{:05}", number + 1),
            role: Role::Participant,
            scope: Scope::Patient { patient_id },
        },
        (Some(Duty::SiteWork | Duty::Participation | Duty::Messaging), _) => at_site(Role::Coordinator, "coordinator"),
        (Some(Duty::Access | Duty::Operation | Duty::Process) | None, _) => {
            Member { username: "administrator".to_owned(), role: Role::Administrator, scope: Scope::Installation }
        }
    }
}

impl Accounts {
    /// Accounts that are opened with `client` and get their tokens from `issue`, or else those that were `given` by role;
    /// whoever has neither plays as the account of `client`.
    ///
    /// # Errors
    /// [`ClientError`] where a token cannot be used.
    pub fn new(client: Client, issue: Option<Issue>, given: &[(Role, String)]) -> Result<Self, ClientError> {
        let given = given.iter().map(|(role, token)| client.with_token(token).map(|client| (*role, client)));
        let given = given.collect::<Result<_, _>>()?;
        let opened = issue.map(|issue| opened::Accounts::new(client.clone(), issue));
        Ok(Self { client, opened, given, told: AtomicBool::new(false) })
    }

    /// The client as which somebody asks and commands.
    ///
    /// # Errors
    /// [`ClientError`] where the account cannot be opened, or the token that was issued cannot be used.
    pub async fn client(&self, member: &Member) -> Result<Client, ClientError> {
        if let Some(client) = self.given.get(&member.role) {
            return Ok(client.clone());
        }
        if let Some(opened) = &self.opened
            && let Some(client) = opened.client(member).await?
        {
            return Ok(client);
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            eprintln!(
                "the key that signs tokens is not at hand: whoever has no token plays as the account of the one token \
                 there is, which needs all roles; give others by --role-token sponsor=…, coordinator=…, \
                 investigator=…, participant=…, integration=…, monitor=…"
            );
        }
        Ok(self.client.clone())
    }
}

#[cfg(test)]
mod tests {
    use domain::When;
    use domain::enrolment::subject::{CompleteSubject, RandomiseSubject};
    use events::ids::SubjectId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_plays_their_own_part() {
        let (trial_id, site_id, patient_id) =
            (TrialId::from(Uuid::nil()), SiteId::from(Uuid::nil()), PatientId::from(Uuid::nil()));
        let at_site = Scene { trial_id, site: Some((site_id, "702")), participant: Some((patient_id, 6)) };
        let subject = SubjectId::from(Uuid::nil());
        let of = |command: &CommandRequest, scene| {
            let Member { username, role, scope } = player(command, scene);
            (role, username, scope)
        };
        let (trial, site) = (Scope::Trial { trial_id }, Scope::Site { trial_id, site_id });
        let randomise =
            CommandRequest::new(subject, &RandomiseSubject { arm: "ACT".to_owned(), occurred_at: When::NOW });
        assert_eq!(of(&randomise, at_site), (Role::Integration, "randomisation-service".to_owned(), trial));
        let complete = CommandRequest::new(subject, &CompleteSubject { occurred_at: When::NOW });
        assert_eq!(of(&complete, at_site), (Role::Coordinator, "coordinator-702".to_owned(), site));
        let open = domain::trial::OpenEnrolment { occurred_at: When::NOW };
        let open = CommandRequest::new(trial_id, &open);
        let sponsor = (Role::Sponsor, "sponsor-1".to_owned(), Scope::Installation);
        assert_eq!(of(&open, Scene::trial(trial_id)), sponsor);
        let acknowledge = domain::safety::alert::AcknowledgeAlert { note: None, occurred_at: When::NOW };
        let acknowledge = CommandRequest::new(events::ids::AlertId::from(Uuid::nil()), &acknowledge);
        let nobody = Scene { participant: None, ..at_site };
        assert_eq!(of(&acknowledge, nobody), (Role::Investigator, "investigator-702".to_owned(), site));
        let mut report = complete;
        report.name = "SubmitReport";
        let oneself = Scope::Patient { patient_id };
        assert_eq!(of(&report, at_site), (Role::Participant, "participant-00007".to_owned(), oneself));
    }
}
