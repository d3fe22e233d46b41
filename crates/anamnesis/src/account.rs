//! `anamnesis account`: opens an account and grants a role to it, over REST like any other administrator.

use clap::Args;
use client::{Client, ClientArgs, ClientError, CommandRequest};
use domain::access::account::{AccountError, RegisterAccount};
use domain::access::grant::GrantRole;
use events::access::account::{LinkedIdentity, Scope};
use events::envelope::Role;
use events::ids::{AccountId, PatientId, SiteId, TrialId};
use serde_json::Value;
use uuid::Uuid;

use crate::output::line;

/// Opens an account where there is none of this username, and grants it a role where one is given.
#[derive(Clone, Debug, Args)]
pub struct AccountArgs {
    /// The username: letters, digits and `. _ - @`; never a person's name. It is never given to anybody else.
    username: String,
    /// Role to grant, such as `investigator`, `participant` or `auditor`; without a scope everywhere.
    #[arg(long, value_parser = role, value_name = "ROLE")]
    role: Option<Role>,
    /// Only in this trial.
    #[arg(long, value_name = "UUID", requires = "role", conflicts_with = "patient")]
    trial: Option<Uuid>,
    /// Only at this site of the trial.
    #[arg(long, value_name = "UUID", requires = "trial")]
    site: Option<Uuid>,
    /// Only on this patient: of a participant.
    #[arg(long, value_name = "UUID", requires = "role")]
    patient: Option<Uuid>,
    /// The organisation for which the account acts.
    #[arg(long, value_name = "ORGANISATION")]
    organisation: Option<String>,
    /// The issuer of the tokens by which its holder signs in, beside our own.
    #[arg(long, value_name = "URL", requires = "subject")]
    issuer: Option<String>,
    /// Whom the issuer means: the `sub` of those tokens.
    #[arg(long, value_name = "SUBJECT", requires = "issuer")]
    subject: Option<String>,
    /// Server, and an administrator's token.
    #[command(flatten)]
    client: ClientArgs,
}

/// Opens the account and grants the role.
///
/// # Errors
/// [`ClientError`].
pub async fn run(args: &AccountArgs) -> Result<(), ClientError> {
    let client = Client::new(&args.client)?;
    let account_id = AccountId::of(&args.username);
    let identity = args.issuer.clone().zip(args.subject.clone());
    let register = RegisterAccount {
        username: args.username.clone(),
        printed_name: None,
        organisation: args.organisation.clone(),
        identities: identity.map(|(issuer, subject)| LinkedIdentity { issuer, subject }).into_iter().collect(),
    };
    match client.send(&CommandRequest::new(account_id, &register)).await {
        Ok(_) => line(&format!("account {account_id} ({})", args.username)),
        // Opened before, perhaps with more said of it: it is granted the role.
        Err(ClientError::Refused(problem))
            if problem.rule == AccountError::ALREADY_REGISTERED && args.role.is_some() => {}
        Err(error) => return Err(error),
    }
    if let Some(role) = args.role {
        let grant = GrantRole { role, scope: scope(args), from: None, until: None };
        client.send(&CommandRequest::new(account_id, &grant)).await?;
        line(&format!("{} is {}", args.username, word(role)));
    }
    Ok(())
}

fn scope(args: &AccountArgs) -> Scope {
    match (args.trial, args.site, args.patient) {
        (Some(trial), Some(site), _) => Scope::Site { trial_id: TrialId::from(trial), site_id: SiteId::from(site) },
        (Some(trial), None, _) => Scope::Trial { trial_id: TrialId::from(trial) },
        (None, _, Some(patient)) => Scope::Patient { patient_id: PatientId::from(patient) },
        (None, _, None) => Scope::Installation,
    }
}

fn role(text: &str) -> Result<Role, String> {
    serde_json::from_value(Value::String(text.to_lowercase())).map_err(|error| error.to_string())
}

fn word(role: Role) -> String {
    serde_json::to_value(role).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_named_as_in_the_interface() {
        assert_eq!(role("medical-monitor"), Ok(Role::MedicalMonitor));
        assert!(role("surgeon").is_err_and(|error| error.contains("investigator")));
        assert_eq!(word(Role::UnblindedStatistician), "unblinded-statistician");
    }
}
