//! The first administrator: whoever has the storage may make one, since nobody is there yet who could.

use domain::access::account::RegisterAccount;
use domain::access::grant::GrantRole;
use domain::commands::AnyCommand;
use event_store::execute::{ExecuteError, Executor, ExecutorOptions, Precondition, Request};
use event_store::{OpenError, Store};
use events::access::account::{LinkedIdentity, Scope};
use events::envelope::{Actor, Role};
use events::ids::{AccountId, StreamKey as _, derive_id};
use service::settings::StorageSettings;
use sha2::{Digest, Sha256};

use clap::Args;
use client::accounts::Member;

use crate::admin;
use crate::output::line;

/// The username of the embedded engine's administrator.
pub const USERNAME: &str = "administrator";

/// Makes an administrator.
#[derive(Clone, Debug, Args)]
pub struct AdministratorArgs {
    /// The username: letters, digits and `. _ - @`; never a person's name.
    username: String,
    /// The issuer of the tokens by which the administrator signs in, beside our own.
    #[arg(long, value_name = "URL", requires = "subject")]
    issuer: Option<String>,
    /// Whom the issuer means: the `sub` of those tokens.
    #[arg(long, value_name = "SUBJECT", requires = "issuer")]
    subject: Option<String>,
    /// The storage.
    #[command(flatten)]
    storage: StorageSettings,
}

/// Why there is no administrator.
#[derive(Debug, thiserror::Error)]
pub enum AdministratorError {
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
    /// The account was not made.
    #[error("the administrator's account was not made")]
    Execute(#[from] ExecuteError),
}

/// Makes an administrator in the storage itself.
///
/// # Errors
/// [`AdministratorError`].
pub async fn run(args: &AdministratorArgs) -> Result<(), AdministratorError> {
    let store = Store::open(&args.storage.url(), &admin::options(&args.storage)).await?;
    let executor = Executor::new(store.log.clone(), ExecutorOptions::default());
    let identity = args.issuer.clone().zip(args.subject.clone());
    let identities = identity.map(|(issuer, subject)| LinkedIdentity { issuer, subject }).into_iter().collect();
    let made = make(&executor, &args.username, identities).await;
    store.close().await;
    let account_id = made?;
    line(&format!("{} is an administrator: account {account_id}", args.username));
    Ok(())
}

/// Makes an administrator of this username where none was made before; what became of that one since stays.
///
/// # Errors
/// [`ExecuteError`].
pub async fn make(
    executor: &Executor,
    username: &str,
    identities: Vec<LinkedIdentity>,
) -> Result<AccountId, ExecuteError> {
    let account_id = Member::account_id(username);
    let register =
        RegisterAccount { username: username.to_owned(), printed_name: None, organisation: None, identities };
    let grant = GrantRole { role: Role::Administrator, scope: Scope::Installation, from: None, until: None };
    let commands: [(&str, AnyCommand); 2] =
        [("register", (account_id, register).into()), ("grant", (account_id, grant).into())];
    for (step, command) in commands {
        let request = Request {
            command_id: derive_id("first-administrator", &[username.as_bytes(), step.as_bytes()]),
            fingerprint: Sha256::digest(command.to_json()).into(),
            actor: Actor::system("operator"),
            target: account_id.stream(),
            creates: false,
            if_match: Precondition::None,
            correlation_id: None,
            causation_id: None,
            trace_context: None,
            keep_refusal: false,
            target_named: true,
        };
        executor.execute(&request, &command).await?;
    }
    Ok(account_id)
}
