//! A command that is decided together with the right to send it.
//!
//! The account is one of the decision's facts and guarded by its version like any other: in the order of the log no
//! command stands behind the revocation of the right that it needed. What lies outside the sender's scope does not
//! exist for them: the command is answered as on an empty log (docs/adr/0033).

use authority::{Account, Holder, Identity, PatientPlaces, Sight};
use decider::{Context, Decide, Decision, Fact, Facts, Halt, Need};
use events::access::Duty;
use events::envelope::{References, Role};
use events::ids::{AccountId, IdentityId, PatientId, StreamId, StreamKey as _, StreamType, SubjectId};

use crate::commands::AnyCommand;
use crate::enrolment::subject::Subject;
use crate::epro::report::Report;
use crate::patient::Patient;
use crate::safety::adverse_event::AdverseEvent;
use crate::safety::alert::Alert;
use crate::site::Site;
use crate::visit::Visit;

/// Streams that a decision on an empty log may ask for; more is a decision that never ends.
const BLANKS_MAX: usize = 64;

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
    }
}

/// Who sends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The identity that the token names.
    pub identity_id: IdentityId,
    /// The account for which that identity spoke when the token was looked at.
    pub account_id: AccountId,
}

/// A command with its sender.
#[derive(Clone, Debug)]
pub struct Authorised {
    command: AnyCommand,
    duty: Duty,
    sender: Sender,
}

impl Authorised {
    /// The command, whose duty this is, sent by somebody.
    pub const fn new(command: AnyCommand, duty: Duty, sender: Sender) -> Self {
        Self { command, duty, sender }
    }

    /// The sender's account, if it may act now.
    fn holder<'facts>(&self, context: &Context, facts: &'facts Facts) -> Result<&'facts Holder, Halt> {
        let Sender { identity_id, account_id } = self.sender;
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

    /// Whether a decision about these is within what is in sight, and so is all that it looked at.
    fn reaches(&self, sight: &Sight, facts: &Facts, about: &References) -> Result<bool, Halt> {
        // Who shows their national id comes into sight by that.
        let shows_the_person = matches!(self.command, AnyCommand::AdmitPatient { .. });
        Ok(is_covered(sight, facts, about)? && (shows_the_person || is_in_sight(sight, facts, self.command.target())?))
    }

    /// Answers as if nothing existed.
    fn on_an_empty_log(&self, context: &Context) -> Halt {
        let mut blank = Facts::new();
        for _ in 0..BLANKS_MAX {
            match self.command.decide(context, &blank) {
                Ok(_) => break,
                Err(Halt::Refused(refusal)) => return Halt::Refused(refusal),
                Err(Halt::Needs(needs)) => {
                    for need in needs {
                        blank.insert(need.stream, Fact::absent(&need.fold));
                    }
                }
            }
        }
        forbid(AuthorityError::OutOfScope(self.command.name()))
    }
}

fn forbid(reason: AuthorityError) -> Halt {
    match reason.into() {
        Halt::Refused(refusal) => Halt::Refused(decider::Refusal { kind: decider::RefusalKind::Forbidden, ..refusal }),
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
        let grants = || holder.grants_in_force(context.now).filter(|grant| grant.has(self.duty));
        let sight = Sight::of(grants());
        if sight.is_empty() {
            return Err(forbid(AuthorityError::NotADuty(self.command.name())));
        }
        let mut refused = None;
        for role in candidates(&sight) {
            let sight = sight.by(role);
            let acting = Context { actor: holder.actor(role), ..context.clone() };
            match self.command.decide(&acting, facts) {
                Ok(decision) if self.reaches(&sight, facts, &decision.references())? => {
                    return Ok(decision.by(acting.actor));
                }
                Ok(_) => {}
                Err(needs @ Halt::Needs(_)) => return Err(needs),
                Err(Halt::Refused(refusal)) => {
                    if refused.is_none() && is_in_sight(&sight, facts, self.command.target())? {
                        refused = Some(refusal);
                    }
                }
            }
        }
        Err(refused.map_or_else(|| self.on_an_empty_log(context), Halt::Refused))
    }
}

/// The roles in which somebody may act, the one that may most first.
fn candidates(sight: &Sight) -> Vec<Role> {
    let mut roles: Vec<Role> = sight.roles().into_iter().collect();
    roles.sort_by_key(|role| *role != Role::Integration);
    roles
}

fn is_covered(sight: &Sight, facts: &Facts, about: &References) -> Result<bool, Halt> {
    if sight.covers(about) {
        return Ok(true);
    }
    let (None, Some(patient_id)) = (about.trial_id, about.patient_id) else { return Ok(false) };
    // About the person alone: in sight of every site that takes care of them, or is about to.
    match facts.get::<Patient>(patient_id)? {
        Patient::Registered(person) => Ok(sight.covers_patient(PatientPlaces { patient_id, places: &person.places })),
        Patient::Unregistered => Ok(facts.all().any(|(stream, fact)| {
            let site = fact.of::<Site>().and_then(|site| site.identity(stream.id.into(), None).ok());
            site.is_some_and(|site| sight.covers(&References::site(site.trial_id, stream.id.into())))
        })),
    }
}

/// Whether all that exists of what a decision looked at is in sight: of persons always, of trials and sites where
/// somebody's work reaches beyond themselves.
fn is_in_sight(sight: &Sight, facts: &Facts, target: StreamId) -> Result<bool, Halt> {
    if sight.is_everywhere() {
        return Ok(true);
    }
    let works_at_sites = sight.patients().is_empty();
    for (stream, fact) in facts.all().filter(|(_, fact)| fact.version > 0) {
        let is_seen = match stream.kind {
            StreamType::Patient => patient_is_in_sight(sight, fact, stream.id.into()),
            StreamType::Subject => subject_is_in_sight(sight, fact),
            StreamType::Report => of_subject(sight, facts, fact.of::<Report>().and_then(Report::subject_id))?,
            StreamType::AdverseEvent => {
                of_subject(sight, facts, fact.of::<AdverseEvent>().and_then(AdverseEvent::subject_id))?
            }
            StreamType::Visit => of_subject(sight, facts, fact.of::<Visit>().and_then(Visit::subject_id))?,
            StreamType::Alert => {
                fact.of::<Alert>().and_then(Alert::references).is_none_or(|about| sight.covers(&about))
            }
            StreamType::Site if works_at_sites => {
                let site = fact.of::<Site>().and_then(|site| site.identity(stream.id.into(), None).ok());
                site.is_none_or(|site| match stream == target {
                    true => sight.covers(&References::site(site.trial_id, stream.id.into())),
                    false => sight.is_within(site.trial_id),
                })
            }
            StreamType::Trial if works_at_sites => sight.is_within(stream.id.into()),
            // Of an account's own administration, or found only through one of those above.
            StreamType::Site
            | StreamType::Trial
            | StreamType::ProtocolNumber
            | StreamType::Consent
            | StreamType::Enrolment
            | StreamType::Casebook
            | StreamType::Notification
            | StreamType::Account
            | StreamType::Identity
            | StreamType::Incident
            | StreamType::Disclosure
            | StreamType::DeadLetter => true,
        };
        if !is_seen {
            return Ok(false);
        }
    }
    Ok(true)
}

fn patient_is_in_sight(sight: &Sight, fact: &Fact, patient_id: PatientId) -> bool {
    match fact.of::<Patient>() {
        Some(Patient::Registered(person)) => sight.covers_patient(PatientPlaces { patient_id, places: &person.places }),
        Some(Patient::Unregistered) | None => true,
    }
}

fn subject_is_in_sight(sight: &Sight, fact: &Fact) -> bool {
    match fact.of::<Subject>() {
        Some(Subject::Screened(taking_part)) => {
            sight.covers(&References::subject(taking_part.trial_id, taking_part.site_id, taking_part.patient_id))
        }
        Some(Subject::Unscreened) | None => true,
    }
}

/// Whether the subject of whom something tells is in sight.
fn of_subject(sight: &Sight, facts: &Facts, subject_id: Option<SubjectId>) -> Result<bool, Halt> {
    let Some(subject_id) = subject_id else { return Ok(true) };
    facts.get::<Subject>(subject_id)?;
    Ok(facts.fact(subject_id.stream()).is_none_or(|fact| subject_is_in_sight(sight, fact)))
}
