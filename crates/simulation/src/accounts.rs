//! Who plays what: each role by an account of its own, so that a history shows who did what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::{Client, ClientError, CommandRequest};
use decider::Command;
use domain::commands::{COMMANDS, Duty};
use domain::safety::adverse_event::ReportAdverseEvent;
use events::envelope::Role;

/// Gives a token to an account of a role.
pub type Issue = Arc<dyn Fn(Role, &str) -> Option<String> + Send + Sync>;

/// Where those who take part have their tokens from.
pub struct Accounts {
    client: Client,
    issue: Option<Issue>,
    given: BTreeMap<Role, Client>,
    told: AtomicBool,
}

/// Somebody who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    role: Role,
    account: String,
}

/// Who is at hand where something is done to somebody.
#[derive(Clone, Copy)]
pub struct Scene<'scene> {
    /// The site's code, such as `701`; nothing where it is about the whole trial.
    pub site: Option<&'scene str>,
    /// The participant's number in the trial.
    pub participant: Option<u32>,
}

impl Scene<'_> {
    /// About the whole trial.
    pub const TRIAL: Scene<'static> = Scene { site: None, participant: None };
}

impl Person {
    /// Who reads how far everything is.
    pub fn monitor() -> Self {
        Self { role: Role::Monitor, account: "monitor-1".to_owned() }
    }

    /// Whose work a command is, there.
    pub fn of(command: &CommandRequest, scene: Scene<'_>) -> Self {
        let duty = COMMANDS.iter().find(|spec| spec.name == command.name).map(|spec| spec.duty);
        let at_site = |role: Role, name: &str| Self {
            role,
            account: scene.site.map_or_else(|| name.to_owned(), |site| format!("{name}-{site}")),
        };
        if command.name == <ReportAdverseEvent as Command>::NAME {
            return at_site(Role::Investigator, "investigator");
        }
        match (duty, scene.participant) {
            (Some(Duty::Conduct), _) => Self { role: Role::Sponsor, account: "sponsor-1".to_owned() },
            (Some(Duty::Allocation), _) => {
                Self { role: Role::Integration, account: "randomisation-service".to_owned() }
            }
            // The investigator judges adverse events and answers for alerts.
            (Some(Duty::Safety), _) => at_site(Role::Investigator, "investigator"),
            (Some(Duty::Participation), Some(number)) => {
                Self { role: Role::Participant, account: format!("participant-{:05}", number + 1) }
            }
            (Some(Duty::SiteWork | Duty::Participation), _) => at_site(Role::Coordinator, "coordinator"),
            (Some(Duty::Operation | Duty::Process) | None, _) => {
                Self { role: Role::Administrator, account: "administrator".to_owned() }
            }
        }
    }
}

impl Accounts {
    /// Tokens that `issue` gives, or else those that were `given` by role; whoever has neither plays as the account of
    /// `client`.
    ///
    /// # Errors
    /// [`ClientError`] where a token cannot be used.
    pub fn new(client: Client, issue: Option<Issue>, given: &[(Role, String)]) -> Result<Self, ClientError> {
        let given = given.iter().map(|(role, token)| client.with_token(token).map(|client| (*role, client)));
        let given = given.collect::<Result<_, _>>()?;
        Ok(Self { client, issue, given, told: AtomicBool::new(false) })
    }

    /// The client as which somebody asks and commands.
    ///
    /// # Errors
    /// [`ClientError`] where the token that was issued cannot be used.
    pub fn client(&self, person: &Person) -> Result<Client, ClientError> {
        if let Some(client) = self.given.get(&person.role) {
            return Ok(client.clone());
        }
        match self.issue.as_ref().and_then(|issue| issue(person.role, &person.account)) {
            Some(token) => self.client.with_token(&token),
            None => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    eprintln!(
                        "the key that signs tokens is not at hand: whoever has no token plays as the account of the one \
                         token there is; give others by --role-token sponsor=…, coordinator=…, investigator=…, \
                         participant=…, integration=…, monitor=…"
                    );
                }
                Ok(self.client.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::When;
    use domain::enrolment::subject::{CompleteSubject, RandomiseSubject};
    use events::ids::{SubjectId, TrialId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_plays_their_own_part() {
        let at_site = Scene { site: Some("702"), participant: Some(6) };
        let subject = SubjectId::from(Uuid::nil());
        let of = |command: &CommandRequest, scene| {
            let person = Person::of(command, scene);
            (person.role, person.account)
        };
        let randomise =
            CommandRequest::new(subject, &RandomiseSubject { arm: "ACT".to_owned(), occurred_at: When::NOW });
        assert_eq!(of(&randomise, at_site), (Role::Integration, "randomisation-service".to_owned()));
        let complete = CommandRequest::new(subject, &CompleteSubject { occurred_at: When::NOW });
        assert_eq!(of(&complete, at_site), (Role::Coordinator, "coordinator-702".to_owned()));
        let open = domain::trial::OpenEnrolment { occurred_at: When::NOW };
        let open = CommandRequest::new(TrialId::from(Uuid::nil()), &open);
        assert_eq!(of(&open, Scene::TRIAL), (Role::Sponsor, "sponsor-1".to_owned()));
        let acknowledge = domain::safety::alert::AcknowledgeAlert { note: None, occurred_at: When::NOW };
        let acknowledge = CommandRequest::new(events::ids::AlertId::from(Uuid::nil()), &acknowledge);
        let nobody = Scene { participant: None, ..at_site };
        assert_eq!(of(&acknowledge, nobody), (Role::Investigator, "investigator-702".to_owned()));
        let mut report = complete;
        report.name = "SubmitReport";
        assert_eq!(of(&report, at_site), (Role::Participant, "participant-00007".to_owned()));
    }
}
