//! A command that is decided together with the right to send it.
//!
//! The account is one of the decision's facts and guarded by its version like any other: in the order of the log no
//! command stands behind the revocation of the right that it needed. What lies outside the sender's scope does not
//! exist for them: the command is answered as on a log without it (docs/adr/0033).

use authority::signing::{may_sign, signs};
use authority::{Account, Holder, Identity, Sight};
use chrono::{DateTime, Utc};
use decider::{Context, Decide, Decision, Facts, Halt, Need, Refusal, RefusalKind};
use events::envelope::{References, Role};
use events::ids::{AccountId, IdentityId, StreamType};

use super::outlook::Outlook;
use crate::commands::{AnyCommand, CommandSpec};

/// How often a decision without what is out of sight may ask for streams; more is a decision that never ends.
const HALTS_MAX: usize = 64;

rules! {
    /// Why somebody may not send a command.
    pub enum AuthorityError {
        NoAccount => NO_ACCOUNT = "no-account":
            "the token is good, but no account here is linked to it: ask an administrator for one";
        Suspended => SUSPENDED = "account-suspended": "the account is suspended";
        AccountClosed => ACCOUNT_CLOSED = "account-no-longer-valid": "the account was closed";
        Locked => LOCKED = "account-locked":
            "the account is locked for a while, because too much of what it asked for was refused";
        NotADuty(command: &'static str) => NOT_A_DUTY = "not-a-duty":
            "none of the roles that the account holds now has the duty to send {0}";
        OutOfScope(command: &'static str) => OUT_OF_SCOPE = "out-of-scope":
            "the account's roles do not reach as far as this {0} would; name the trial or site where it holds one";
        SignInAgain(command: &'static str) => SIGN_IN_AGAIN = "sign-in-again":
            "{0} is signed: sign in anew, with all that this takes, and send it again with the new token";
    }
}

/// Who sends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The identity that the token names.
    pub identity_id: IdentityId,
    /// The account for which that identity spoke when the token was looked at.
    pub account_id: AccountId,
    /// When they last showed the issuer who they are, where the token tells it.
    pub signed_in_at: Option<DateTime<Utc>>,
}

/// A command with its sender.
#[derive(Clone, Debug)]
pub struct Authorised {
    command: AnyCommand,
    spec: &'static CommandSpec,
    sender: Sender,
}

impl Authorised {
    /// The command, of which this is known, sent by somebody.
    pub const fn new(command: AnyCommand, spec: &'static CommandSpec, sender: Sender) -> Self {
        Self { command, spec, sender }
    }

    /// The sender's account, if it may act now.
    fn holder<'facts>(&self, context: &Context, facts: &'facts Facts) -> Result<&'facts Holder, Halt> {
        let Sender { identity_id, account_id, .. } = self.sender;
        facts.require([Need::of::<Identity>(identity_id), Need::of::<Account>(account_id)])?;
        let speaks_for = facts.get::<Identity>(identity_id)?.account();
        let holder = facts.get::<Account>(account_id)?.holder();
        let holder =
            holder.filter(|_| speaks_for == Some(account_id)).ok_or_else(|| forbid(AuthorityError::NoAccount))?;
        match holder.standing {
            authority::Standing::Suspended => Err(forbid(AuthorityError::Suspended)),
            authority::Standing::Closed => Err(forbid(AuthorityError::AccountClosed)),
            authority::Standing::Active if holder.is_locked(context.now) => Err(forbid(AuthorityError::Locked)),
            authority::Standing::Active => Ok(holder),
        }
    }

    /// Whether the sender has to sign in anew before the command is taken from them in this role.
    fn needs_sign_in(&self, role: Role, context: &Context) -> bool {
        self.spec.signed && signs(role) && !may_sign(self.sender.signed_in_at, context.now)
    }

    /// Whether a decision about these is within what is in sight, and so is all that it looked at.
    fn reaches(&self, outlook: Outlook<'_>, about: &References) -> Result<bool, Halt> {
        // Who shows their national id comes into sight by that.
        let shows_the_person = matches!(self.command, AnyCommand::AdmitPatient { .. });
        // Readings are taken for the person for whom they are sent; those of a device that somebody else has are stored apart, and
        // that somebody has it is told to nobody.
        let others = matches!(self.command, AnyCommand::ReceiveReadings { .. }).then_some(StreamType::Device);
        Ok(outlook.covers(about)? && (shows_the_person || outlook.is_all_but(others)?))
    }

    /// Why the command is refused where nothing exists that is out of sight.
    fn refusal_in_sight(&self, context: &Context, outlook: Outlook<'_>) -> Result<Refusal, Halt> {
        let mut seen = Facts::new();
        for _ in 0..HALTS_MAX {
            match self.command.decide(context, &seen) {
                Ok(_) => break,
                Err(Halt::Refused(refusal)) => return Ok(refusal),
                Err(Halt::Needs(needs)) => outlook.show(&needs, &mut seen)?,
            }
        }
        Err(forbid(AuthorityError::OutOfScope(self.command.name())))
    }
}

fn forbid(reason: AuthorityError) -> Halt {
    refuse_as(RefusalKind::Forbidden, reason)
}

fn refuse_as(kind: RefusalKind, reason: AuthorityError) -> Halt {
    match reason.into() {
        Halt::Refused(refusal) => Halt::Refused(Refusal { kind, ..refusal }),
        halt @ Halt::Needs(_) => halt,
    }
}

impl Decide for Authorised {
    fn reads(&self) -> Vec<Need> {
        let mut needs = self.command.reads();
        needs.push(Need::of::<Identity>(self.sender.identity_id));
        needs.push(Need::of::<Account>(self.sender.account_id));
        needs
    }

    fn decide(&self, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let holder = self.holder(context, facts)?;
        let grants = || holder.grants_in_force(context.now).filter(|grant| grant.has(self.spec.duty));
        let sight = Sight::of(grants());
        if sight.is_empty() {
            return Err(forbid(AuthorityError::NotADuty(self.command.name())));
        }
        let mut refused = None;
        for role in candidates(&sight) {
            if self.needs_sign_in(role, context) {
                let again = AuthorityError::SignInAgain(self.command.name());
                refused.get_or_insert(refuse_as(RefusalKind::Unauthenticated, again));
                continue;
            }
            let (sight, acting) = (sight.by(role), Context { actor: holder.actor(role), ..context.clone() });
            let outlook = Outlook::new(&sight, facts);
            match self.command.decide(&acting, facts) {
                Ok(decision) if self.reaches(outlook, &decision.references())? => {
                    return Ok(decision.by(acting.actor));
                }
                Err(needs @ Halt::Needs(_)) => return Err(needs),
                Ok(_) | Err(Halt::Refused(_)) if refused.is_some() => {}
                Err(Halt::Refused(refusal)) if outlook.is_all()? => refused = Some(Halt::Refused(refusal)),
                Ok(_) | Err(Halt::Refused(_)) => {
                    refused = Some(match self.refusal_in_sight(&acting, outlook) {
                        Ok(refusal) => Halt::Refused(refusal),
                        Err(needs @ Halt::Needs(_)) => return Err(needs),
                        Err(forbidden) => forbidden,
                    });
                }
            }
        }
        Err(refused.unwrap_or_else(|| forbid(AuthorityError::OutOfScope(self.command.name()))))
    }
}

/// The roles in which somebody may act, the one that may most first.
fn candidates(sight: &Sight) -> Vec<Role> {
    let mut roles: Vec<Role> = sight.roles().into_iter().collect();
    roles.sort_by_key(|role| *role != Role::Integration);
    roles
}
