//! Accounts for whoever a tool lets act: opened by an administrator, each with one role where it is needed.

use std::collections::HashMap;
use std::sync::Arc;

use domain::access::account::RegisterAccount;
use domain::access::grant::GrantRole;
use events::access::account::Scope;
use events::envelope::Role;
use events::ids::AccountId;
use tokio::sync::Mutex;

use crate::{Client, ClientError, CommandRequest};

/// Gives a token that names the account of a username; nothing where none can be made.
pub type Issue = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

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
    known: Mutex<HashMap<String, (Vec<Scope>, Client)>>,
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
        if let Some((scopes, client)) = known.get(&member.username)
            && scopes.contains(&member.scope)
        {
            return Ok(Some(client.clone()));
        }
        let Some(token) = (self.issue)(&member.username) else { return Ok(None) };
        let client = self.administrator.with_token(&token)?;
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
        let entry = known.entry(member.username.clone()).or_insert_with(|| (Vec::new(), client));
        entry.0.push(member.scope);
        Ok(Some(entry.1.clone()))
    }
}
