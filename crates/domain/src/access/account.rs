//! Commands to an account: opening, linking, suspending, closing.

use authority::{Account, Holder, Identity, Standing};
use chrono::{DateTime, Utc};
use decider::{Command, Context, Decision, Facts, Halt, Need};
use events::access::account::{
    AccountClosed, AccountEvent, AccountLocked, AccountRegistered, AccountReinstated, AccountSuspended, IdentityLinked,
    IdentityUnlinked, LinkedIdentity,
};
use events::access::identity::{IdentityClaimed, IdentityReleased, OWN_ISSUER};
use events::envelope::References;
use events::identifier::is_invisible;
use events::ids::{AccountId, IdentityId};
use events::values::Personal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::{self, Invalid, NotFound};

/// Greatest length of a username.
pub const USERNAME_LENGTH_MAX: usize = 128;
/// Identities at other issuers that an account may have.
const IDENTITIES_MAX: usize = 10;
/// Greatest length of an issuer's subject (OpenID Connect Core 1.0, section 2).
const SUBJECT_LENGTH_MAX: usize = 255;

/// Opens an account. It may do nothing yet: roles are granted to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterAccount {
    /// By which it is known in histories, such as `site-701.nurse2`: letters, digits and `. _ - @`. It is given once and
    /// stands there for ever, so never a person's name.
    pub username: String,
    /// The person's name as it is printed beside what they sign.
    #[serde(default)]
    pub printed_name: Option<Personal<String>>,
    /// The organisation for which the account acts.
    #[serde(default)]
    pub organisation: Option<String>,
    /// Who speaks for it at other issuers of tokens.
    #[serde(default)]
    pub identities: Vec<LinkedIdentity>,
}

/// Has the tokens that another issuer gives a subject speak for the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkIdentity {
    /// The issuer and its subject.
    pub identity: LinkedIdentity,
}

/// Has them speak for it no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnlinkIdentity {
    /// The issuer and its subject.
    pub identity: LinkedIdentity,
    /// Why.
    pub reason: String,
}

/// Has the account do nothing for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspendAccount {
    /// Why.
    pub reason: String,
}

/// Lets a suspended or locked account act again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReinstateAccount {
    /// Why.
    pub reason: String,
}

/// Closes an account for good. Its username is never given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseAccount {
    /// Why.
    pub reason: String,
}

/// Locks an account by rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockAccount {
    /// How much of what it asked for was refused.
    pub refusals: u32,
    /// Until when.
    pub until: DateTime<Utc>,
}

rules! {
    /// Why a command to an account is refused.
    pub enum AccountError {
        AlreadyRegistered => ALREADY_REGISTERED = "account-already-registered": "the account is registered already";
        UsernameTaken(username: String) => USERNAME_TAKEN = "username-taken":
            "the username `{0}` is or was somebody's; none is ever given again", field "username";
        IdentityTaken(subject: String) => IDENTITY_TAKEN = "identity-taken":
            "the identity `{0}` speaks for an account already", field "identity";
        IdentityNotLinked => IDENTITY_NOT_LINKED = "identity-not-linked":
            "this identity does not speak for the account", field "identity";
        OwnAccount => OWN_ACCOUNT = "own-account": "nobody changes what they may do themselves";
        Closed => CLOSED = "account-closed": "the account is closed";
        _ => NOT_FOUND = "account-not-found";
    }
}

/// A registered account.
///
/// # Errors
/// [`Halt`] where it is not loaded, or there is none.
pub fn registered(facts: &Facts, account_id: AccountId) -> Result<&Holder, Halt> {
    let missing = || NotFound::halt(AccountError::NOT_FOUND, "account", account_id, None);
    facts.get::<Account>(account_id)?.holder().ok_or_else(missing)
}

/// A registered account that is somebody else's and was not closed: what may be changed.
pub(crate) fn of_another<'facts>(
    context: &Context,
    facts: &'facts Facts,
    account_id: AccountId,
) -> Result<&'facts Holder, Halt> {
    let holder = registered(facts, account_id)?;
    if holder.username == context.actor.id {
        return Err(AccountError::OwnAccount.into());
    }
    if holder.standing == Standing::Closed {
        return Err(AccountError::Closed.into());
    }
    Ok(holder)
}

/// A username.
///
/// # Errors
/// [`Invalid`] where it is none.
pub fn username(field: &str, text: &str) -> Result<(), Invalid> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if begins && text.len() <= USERNAME_LENGTH_MAX && text.bytes().all(is_plain) {
        return Ok(());
    }
    // Blanks and letters beyond ASCII are how people are called, and `:` is how the program itself is.
    let expected = format!(
        "1 to {USERNAME_LENGTH_MAX} letters, digits and `. _ - @`, such as `site-701.nurse2`: it stands in the history \
         for ever, so never give a person's name"
    );
    Err(Invalid::Malformed { field: field.to_owned(), expected })
}

fn identity(field: &str, identity: &LinkedIdentity) -> Result<(), Invalid> {
    let malformed = |part: &str, expected: String| Invalid::Malformed { field: format!("{field}/{part}"), expected };
    validate::code(&format!("{field}/issuer"), &identity.issuer)?;
    if identity.issuer == OWN_ISSUER {
        let expected = format!("another issuer than `{OWN_ISSUER}`: at that one the username speaks for the account");
        return Err(malformed("issuer", expected));
    }
    let subject = &identity.subject;
    let is_visible = |character: char| !character.is_control() && !is_invisible(character);
    if (1..=SUBJECT_LENGTH_MAX).contains(&subject.len()) && subject.chars().all(is_visible) {
        return Ok(());
    }
    Err(malformed("subject", format!("1 to {SUBJECT_LENGTH_MAX} visible characters")))
}

fn of(identity: &LinkedIdentity) -> IdentityId {
    IdentityId::of(&identity.issuer, &identity.subject)
}

impl Command for RegisterAccount {
    type Target = AccountId;
    const NAME: &'static str = "RegisterAccount";

    fn reads(&self, account_id: AccountId) -> Vec<Need> {
        vec![Need::of::<Account>(account_id), Need::of::<Identity>(IdentityId::own(&self.username))]
    }

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::all([
            username("username", &self.username),
            validate::personal_text("printed_name", self.printed_name.as_ref()),
            self.organisation.as_ref().map_or(Ok(()), |organisation| validate::code("organisation", organisation)),
        ])?;
        validate::count("identities", self.identities.len(), IDENTITIES_MAX)?;
        for (index, linked) in self.identities.iter().enumerate() {
            identity(&format!("identities/{index}"), linked)?;
        }
        let own = IdentityId::own(&self.username);
        facts.require(self.identities.iter().map(|linked| Need::of::<Identity>(of(linked))))?;
        if facts.get::<Account>(account_id)?.holder().is_some() {
            return Err(AccountError::AlreadyRegistered.into());
        }
        if facts.get::<Identity>(own)?.account().is_some() {
            return Err(AccountError::UsernameTaken(self.username.clone()).into());
        }
        let registered = AccountRegistered {
            username: self.username.clone(),
            printed_name: self.printed_name.clone(),
            organisation: self.organisation.clone(),
        };
        let mut decision = Decision::new(References::default(), context.now)
            .append(account_id, registered)
            .append(own, IdentityClaimed { account_id });
        for linked in &self.identities {
            if facts.get::<Identity>(of(linked))?.account().is_some() {
                return Err(AccountError::IdentityTaken(linked.subject.clone()).into());
            }
            decision = decision
                .append(account_id, IdentityLinked { identity: linked.clone() })
                .append(of(linked), IdentityClaimed { account_id });
        }
        Ok(decision)
    }
}

impl Command for LinkIdentity {
    type Target = AccountId;
    const NAME: &'static str = "LinkIdentity";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        identity("identity", &self.identity)?;
        facts.require([Need::of::<Account>(account_id), Need::of::<Identity>(of(&self.identity))])?;
        let holder = of_another(context, facts, account_id)?;
        let decision = Decision::new(References::default(), context.now);
        match facts.get::<Identity>(of(&self.identity))?.account() {
            Some(known) if known == account_id => Ok(decision),
            Some(_) => Err(AccountError::IdentityTaken(self.identity.subject.clone()).into()),
            None => {
                validate::count("identity", holder.identities.len() + 1, IDENTITIES_MAX)?;
                Ok(decision
                    .append(account_id, IdentityLinked { identity: self.identity.clone() })
                    .append(of(&self.identity), IdentityClaimed { account_id }))
            }
        }
    }
}

impl Command for UnlinkIdentity {
    type Target = AccountId;
    const NAME: &'static str = "UnlinkIdentity";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("reason", &self.reason)?;
        identity("identity", &self.identity)?;
        facts.require([Need::of::<Account>(account_id), Need::of::<Identity>(of(&self.identity))])?;
        let holder = of_another(context, facts, account_id)?;
        if !holder.identities.contains(&self.identity) {
            return Err(AccountError::IdentityNotLinked.into());
        }
        let unlinked = IdentityUnlinked { identity: self.identity.clone(), reason: self.reason.clone().into() };
        Ok(Decision::new(References::default(), context.now)
            .append(account_id, unlinked)
            .append(of(&self.identity), IdentityReleased { account_id }))
    }
}

impl Command for SuspendAccount {
    type Target = AccountId;
    const NAME: &'static str = "SuspendAccount";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let is_so = |holder: &Holder| holder.standing == Standing::Suspended;
        let suspended = AccountSuspended { reason: self.reason.clone().into() };
        changed(account_id, context, facts, &self.reason, is_so, suspended)
    }
}

impl Command for ReinstateAccount {
    type Target = AccountId;
    const NAME: &'static str = "ReinstateAccount";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let is_so = |holder: &Holder| holder.may_act(context.now);
        let reinstated = AccountReinstated { reason: self.reason.clone().into() };
        changed(account_id, context, facts, &self.reason, is_so, reinstated)
    }
}

impl Command for CloseAccount {
    type Target = AccountId;
    const NAME: &'static str = "CloseAccount";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let closed = AccountClosed { reason: self.reason.clone().into() };
        changed(account_id, context, facts, &self.reason, |_| false, closed)
    }
}

impl Command for LockAccount {
    type Target = AccountId;
    const NAME: &'static str = "LockAccount";

    fn decide(&self, account_id: AccountId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let holder = registered(facts, account_id)?;
        let decision = Decision::new(References::default(), context.now);
        if holder.locked_until.is_some_and(|until| until >= self.until) {
            return Ok(decision);
        }
        Ok(decision.append(account_id, AccountLocked { refusals: self.refusals, until: self.until }))
    }
}

/// A change of where somebody else's account stands; nothing where it stands there already.
fn changed(
    account_id: AccountId,
    context: &Context,
    facts: &Facts,
    reason: &str,
    is_so: impl Fn(&Holder) -> bool,
    event: impl Into<AccountEvent>,
) -> Result<Decision, Halt> {
    validate::prose("reason", reason)?;
    let decision = Decision::new(References::default(), context.now);
    let holder = of_another(context, facts, account_id)?;
    Ok(if is_so(holder) { decision } else { decision.append(account_id, event) })
}

#[cfg(test)]
mod tests {
    use super::username;

    #[test]
    fn a_username_is_no_persons_name() {
        for text in ["a", "site-701.nurse2", "u4711@clinic.example", "test_1", "7"] {
            assert!(username("username", text).is_ok(), "{text}");
        }
        let long = "a".repeat(129);
        for text in ["", "Kari Nordmann", "Åse", "system:enrolment", ".a", "-a", "a\u{200b}b", "a\n", &long] {
            assert!(
                username("username", text).is_err_and(|told| told.to_string().contains("person's name")),
                "{text:?}"
            );
        }
    }
}
