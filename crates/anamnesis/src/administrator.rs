//! The first administrator: whoever has the storage may make one, since nobody is there yet who could.

use command_api::accounts;
use event_store::execute::{ExecuteError, Executor, ExecutorOptions};
use event_store::{OpenError, Store};
use events::access::account::{LinkedIdentity, Scope};
use events::envelope::Role;
use events::ids::AccountId;
use service::settings::StorageSettings;

use clap::Args;

use crate::admin;
use crate::master::{self, KeysError};
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
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
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
    let installation = master::installation(&store, &args.storage, false).await?;
    installation.open().await.map_err(KeysError::from)?;
    let executor = Executor::new(store.log.clone(), installation, ExecutorOptions::default());
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
    accounts::open(executor, username, identities, &[(Role::Administrator, Scope::Installation)]).await
}
