//! Accounts that no account opens: the first administrator, and those of tests and benchmarks.

use domain::access::account::RegisterAccount;
use domain::access::grant::GrantRole;
use domain::commands::AnyCommand;
use event_store::execute::{ExecuteError, Executor};
use events::access::account::{LinkedIdentity, Scope};
use events::envelope::{Actor, Role};
use events::ids::{AccountId, StreamKey as _};

/// Opens an account as the operator, and grants it roles. What was done before is not done again, and what became of it
/// since stays.
///
/// # Errors
/// [`ExecuteError`].
pub async fn open(
    executor: &Executor,
    username: &str,
    identities: Vec<LinkedIdentity>,
    roles: &[(Role, Scope)],
) -> Result<AccountId, ExecuteError> {
    let account_id = AccountId::of(username);
    let (username, printed_name, organisation) = (username.to_owned(), None, None);
    let register = RegisterAccount { username, printed_name, organisation, identities };
    carry_out(executor, account_id, (account_id, register).into()).await?;
    for (role, scope) in roles {
        let grant = GrantRole { role: *role, scope: *scope, from: None, until: None };
        carry_out(executor, account_id, (account_id, grant).into()).await?;
    }
    Ok(account_id)
}

async fn carry_out(executor: &Executor, account_id: AccountId, command: AnyCommand) -> Result<(), ExecuteError> {
    let text = command.to_json();
    let command_id = executor.marks()?.command_of_operator(&text);
    let actor = Actor::system("operator");
    executor.execute_own(command_id, actor, account_id.stream(), (&text, &command)).await.map(drop)
}
