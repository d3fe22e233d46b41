//! Accounts for whoever a tool lets act: opened by an administrator, each with one role where it is needed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::access::account::RegisterAccount;
use domain::access::grant::GrantRole;
use events::access::account::Scope;
use events::envelope::Role;
use events::ids::AccountId;
use tokio::sync::Mutex;

use crate::{Client, ClientError, CommandRequest};

/// Gives a token that names the account of a username; nothing where none can be made.
pub type Issue = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// How long a token is used: what people sign takes one of somebody who signed in lately.
const TOKENS_LAST: Duration = Duration::from_secs(5 * 60);

/// Somebody who is to act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The username.
    pub username: String,
    /// The role.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// Lets members act, whose accounts it opens.
pub struct Accounts {
    administrator: Client,
    issue: Issue,
    known: Mutex<HashMap<String, Known>>,
}

/// A member whose account is open.
struct Known {
    scopes: Vec<Scope>,
    client: Client,
    signed_in: Instant,
}

impl Accounts {
    /// Opens accounts as an administrator.
    pub fn new(administrator: Client, issue: Issue) -> Self {
        Self { administrator, issue, known: Mutex::default() }
    }

    /// The client as which a member acts; the account is opened, and the role granted, where that was not done yet.
    /// Nothing where no token can be made.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn client(&self, member: &Member) -> Result<Option<Client>, ClientError> {
        let mut known = self.known.lock().await;
        let lately = known.get(&member.username).filter(|known| known.signed_in.elapsed() < TOKENS_LAST);
        let client = match lately {
            Some(known) => known.client.clone(),
            None => {
                let Some(token) = (self.issue)(&member.username) else { return Ok(None) };
                self.administrator.with_token(&token)?
            }
        };
        let signed_in = lately.map_or_else(Instant::now, |known| known.signed_in);
        let mut scopes = known.get(&member.username).map(|known| known.scopes.clone()).unwrap_or_default();
        if !scopes.contains(&member.scope) {
            self.open(member).await?;
            scopes.push(member.scope);
        }
        known.insert(member.username.clone(), Known { scopes, client: client.clone(), signed_in });
        Ok(Some(client))
    }

    /// Opens the account and grants the role, where that was not done yet.
    async fn open(&self, member: &Member) -> Result<(), ClientError> {
        let account_id = AccountId::of(&member.username);
        let register = RegisterAccount {
            username: member.username.clone(),
            printed_name: None,
            organisation: None,
            identities: Vec::new(),
        };
        self.administrator.send(&CommandRequest::new(account_id, &register)).await?;
        let grant = GrantRole { role: member.role, scope: member.scope, from: None, until: None };
        self.administrator.send(&CommandRequest::new(account_id, &grant)).await?;
        Ok(())
    }
}
