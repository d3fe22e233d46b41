//! Who acts, and what they may do.

use authority::Area;
use chrono::{DateTime, Utc};
use events::access::Duty;
use events::access::account::{AccountEvent, LinkedIdentity, Scope as Within};
use events::envelope::{Envelope, Role};
use events::ids::{AccountId, StreamType};
use events::messaging::contact::Contact;
use events::registry::AnyEvent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::column::{Column, name_of, text, time};
use crate::table::{Collection, STATUS, Scope, Sort, Table, is};
use crate::view::View;

/// The view.
pub struct Accounts;

/// An account. Of the printed name only is told whether it is known.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    account_id: AccountId,
    /// By which it is known in histories.
    username: String,
    has_printed_name: bool,
    /// Whether it is known how the account is reached.
    has_contact: bool,
    organisation: Option<String>,
    status: AccountStatus,
    /// Until when it is, or was last, locked by rule.
    locked_until: Option<DateTime<Utc>>,
    registered_at: DateTime<Utc>,
    /// Who speaks for it at other issuers of tokens.
    identities: Vec<LinkedIdentity>,
    /// The roles that were granted and not revoked.
    grants: Vec<AccountGrant>,
}

/// A role that an account holds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct AccountGrant {
    grant_id: Uuid,
    role: Role,
    scope: Within,
    /// The duties that were delegated, where these are not all of the role's.
    duties: Option<Vec<Duty>>,
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    /// Who granted it.
    granted_by: String,
}

/// Whether an account may act.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AccountStatus {
    /// It may.
    Active,
    /// Not for now.
    Suspended,
    /// Never again.
    Closed,
}

impl Table for Accounts {
    type Document = Account;
    const NAME: &'static str = "accounts";
    const VERSION: u32 = 2;
    const COLUMNS: &'static [Column<Account>] = &[
        text("username", |account| account.username.clone().into()),
        text("status", |account| name_of(&account.status)),
        time("registered_at", |account| account.registered_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] =
        &[&["username"], &["status", "registered_at"], &["status", "username"], &["registered_at"]];
    const COLLECTION: Collection = Collection::new(
        "accounts",
        "account",
        &[is("username"), STATUS],
        &[Sort::by("username"), Sort::by_greatest("registered_at")],
    );
    const AREA: Area = Area::Access;
    const SCOPE: Scope = Scope::INSTALLATION;
}

impl View for Accounts {
    const OF: StreamType = StreamType::Account;

    fn fold(document: Option<Account>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Account> {
        let AnyEvent::Account(event) = event else { return document };
        if let AccountEvent::AccountRegistered(registered) = event {
            return Some(Account {
                account_id: AccountId::from(envelope.stream.id),
                username: registered.username.clone(),
                has_printed_name: registered.printed_name.is_some(),
                has_contact: false,
                organisation: registered.organisation.clone(),
                status: AccountStatus::Active,
                locked_until: None,
                registered_at: envelope.occurred_at,
                identities: Vec::new(),
                grants: Vec::new(),
            });
        }
        let mut account = document?;
        match event {
            AccountEvent::AccountRegistered(_) => {}
            AccountEvent::IdentityLinked(linked) => account.identities.push(linked.identity.clone()),
            AccountEvent::IdentityUnlinked(unlinked) => {
                account.identities.retain(|identity| *identity != unlinked.identity);
            }
            AccountEvent::RoleGranted(granted) => account.grants.push(AccountGrant {
                grant_id: granted.grant_id,
                role: granted.role,
                scope: granted.scope,
                duties: granted.duties.clone(),
                from: granted.from,
                until: granted.until,
                granted_by: envelope.actor.id.clone(),
            }),
            AccountEvent::RoleRevoked(revoked) => account.grants.retain(|grant| grant.grant_id != revoked.grant_id),
            AccountEvent::AccountSuspended(_) => account.status = AccountStatus::Suspended,
            AccountEvent::AccountReinstated(_) => {
                account.status = AccountStatus::Active;
                account.locked_until = None;
            }
            AccountEvent::AccountClosed(_) => account.status = AccountStatus::Closed,
            AccountEvent::AccountContactSet(set) => {
                account.has_contact = set.contact != Contact::default();
            }
            AccountEvent::AccountLocked(locked) => account.locked_until = Some(locked.until),
        }
        Some(account)
    }
}
