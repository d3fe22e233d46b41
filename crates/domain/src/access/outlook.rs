//! What of a decision's facts lies in somebody's sight.

use std::sync::Arc;

use authority::{Account, Holder, PatientPlaces, Places, Sight};
use decider::{Fact, Facts, Halt, Need};
use events::access::account::Scope;
use events::envelope::References;
use events::ids::{PatientId, SiteId, StreamId, StreamType, TrialId};

use crate::consent::Consent;
use crate::consent::participant::Participant;
use crate::enrolment::subject::Subject;
use crate::epro::report::Report;
use crate::messaging::notification::Notification;
use crate::patient::Patient;
use crate::readings::device::Device;
use crate::safety::adverse_event::AdverseEvent;
use crate::safety::alert::Alert;
use crate::site::Site;
use crate::visit::Visit;

/// The facts of a decision, as somebody looks at them.
#[derive(Clone, Copy)]
pub(crate) struct Outlook<'facts> {
    sight: &'facts Sight,
    facts: &'facts Facts,
}

impl<'facts> Outlook<'facts> {
    /// With this sight on these facts.
    pub(crate) const fn new(sight: &'facts Sight, facts: &'facts Facts) -> Self {
        Self { sight, facts }
    }

    /// Whether what is about these is in sight.
    pub(crate) fn covers(self, about: &References) -> Result<bool, Halt> {
        if self.sight.covers(about) {
            return Ok(true);
        }
        let (None, Some(patient_id)) = (about.trial_id, about.patient_id) else { return Ok(false) };
        // About the person alone: in sight of every site that takes care of them, or is about to.
        match self.facts.get::<Patient>(patient_id)? {
            Patient::Registered(person) => Ok(self.covers_patient(patient_id, &person.places)),
            Patient::Unregistered => Ok(self.facts.all().any(|(stream, fact)| {
                site_of(fact, stream).is_some_and(|(trial, site)| self.sight.covers(&References::site(trial, site)))
            })),
        }
    }

    /// Whether all that exists of what was looked at is in sight.
    pub(super) fn is_all(self) -> Result<bool, Halt> {
        self.is_all_but(None)
    }

    /// The same, whatever is known of one kind of stream.
    pub(super) fn is_all_but(self, kind: Option<StreamType>) -> Result<bool, Halt> {
        if self.sight.is_everywhere() {
            return Ok(true);
        }
        let exists = |(stream, fact): &(StreamId, &Fact)| fact.version > 0 && Some(stream.kind) != kind;
        for (stream, fact) in self.facts.all().filter(exists) {
            if !self.shows(stream, fact)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds to what is seen what a decision asks for, without what is out of sight.
    pub(super) fn show(self, needs: &[Need], seen: &mut Facts) -> Result<(), Halt> {
        self.facts.require(needs.iter().copied())?;
        for need in needs {
            let fact = match self.facts.fact(need.stream) {
                Some(fact) if self.sight.is_everywhere() || self.shows(need.stream, fact)? => self.seen(fact),
                Some(_) | None => Fact::absent(&need.fold),
            };
            seen.insert(need.stream, fact);
        }
        Ok(())
    }

    /// A fact that is in sight; of an account without the roles that it holds elsewhere.
    fn seen(self, fact: &Fact) -> Fact {
        let Some(Account::Registered(holder)) = fact.of::<Account>() else { return fact.clone() };
        let mut grants = holder.grants.clone();
        grants.retain(|_, grant| match grant.scope {
            Scope::Installation => self.sight.is_everywhere(),
            Scope::Trial { trial_id } => self.sight.covers(&References::trial(trial_id)),
            Scope::Site { trial_id, site_id } => self.sight.covers(&References::site(trial_id, site_id)),
            Scope::Patient { patient_id } => self.sight.covers(&References::patient(patient_id)),
        });
        let holder = Holder { grants, ..(**holder).clone() };
        Fact { version: fact.version, state: Arc::new(Account::Registered(Box::new(holder))) }
    }

    fn shows(self, stream: StreamId, fact: &Fact) -> Result<bool, Halt> {
        Ok(match stream.kind {
            StreamType::Patient => self.shows_patient(stream.id.into(), fact),
            StreamType::Subject => self.shows_subject(fact),
            StreamType::Report => self.shows_of(fact.of::<Report>().and_then(Report::participant)),
            StreamType::AdverseEvent => self.shows_of(fact.of::<AdverseEvent>().and_then(AdverseEvent::participant)),
            StreamType::Visit => self.shows_of(fact.of::<Visit>().and_then(Visit::participant)),
            StreamType::Device => self.shows_of(fact.of::<Device>().and_then(Device::participant)),
            StreamType::Alert => self.shows_about(fact.of::<Alert>().and_then(Alert::references)),
            StreamType::Notification => self.shows_about(fact.of::<Notification>().and_then(Notification::references)),
            StreamType::Site => site_of(fact, stream).is_none_or(|(trial, site)| self.shows_site(trial, site)),
            StreamType::Trial => self.is_within(stream.id.into())?,
            StreamType::Consent => match fact.of::<Consent>().and_then(Consent::about) {
                // At which site it was given, whoever is to give it anew elsewhere in the trial need not know.
                Some((patient_id, trial_id)) => {
                    self.sight.patients().contains(&patient_id) || self.sight.is_within(trial_id)
                }
                None => true,
            },
            // Whoever registers trials does so anywhere.
            StreamType::ProtocolNumber => false,
            // A person is registered once, wherever that was.
            StreamType::NationalId => true,
            // Of an account's own administration, or found only through one of those above.
            StreamType::Enrolment
            | StreamType::Casebook
            // Everybody may read it.
            | StreamType::Article
            // Of the operator, and of the program itself.
            | StreamType::Message
            | StreamType::Account
            | StreamType::Identity
            | StreamType::Incident
            | StreamType::Disclosure
            | StreamType::DeadLetter => true,
        })
    }

    fn covers_patient(self, patient_id: PatientId, places: &Places) -> bool {
        self.sight.covers_patient(PatientPlaces { patient_id, places })
    }

    fn shows_patient(self, patient_id: PatientId, fact: &Fact) -> bool {
        match fact.of::<Patient>() {
            Some(Patient::Registered(person)) => self.covers_patient(patient_id, &person.places),
            Some(Patient::Unregistered) | None => true,
        }
    }

    fn shows_subject(self, fact: &Fact) -> bool {
        match fact.of::<Subject>() {
            Some(Subject::Screened(taking_part)) => {
                let (trial, site, patient) = (taking_part.trial_id, taking_part.site_id, taking_part.patient_id);
                self.sight.covers(&References::subject(trial, site, patient))
            }
            Some(Subject::Unscreened) | None => true,
        }
    }

    fn shows_about(self, about: Option<References>) -> bool {
        about.is_none_or(|about| self.sight.covers(&about))
    }

    /// Whether what was recorded of a participant is in sight: with the site that recorded it, wherever they take part now.
    fn shows_of(self, participant: Option<Participant>) -> bool {
        participant.is_none_or(|participant| self.sight.covers(&participant.references()))
    }

    /// Whether the site is in sight, or takes care of somebody who is: what a person's day is, the site that registered
    /// them says.
    fn shows_site(self, trial_id: TrialId, site_id: SiteId) -> bool {
        let takes_care = |(stream, fact): (StreamId, &Fact)| match fact.of::<Patient>() {
            Some(Patient::Registered(person)) => {
                person.places.contains(trial_id, site_id) && self.covers_patient(stream.id.into(), &person.places)
            }
            Some(Patient::Unregistered) | None => false,
        };
        self.sight.covers(&References::site(trial_id, site_id)) || self.facts.all().any(takes_care)
    }

    /// Whether something of the trial is in sight, or a person who takes part is.
    ///
    /// # Errors
    /// [`Halt::Needs`] where such a person is not loaded yet.
    pub(crate) fn is_within(self, trial_id: TrialId) -> Result<bool, Halt> {
        if self.sight.is_within(trial_id) {
            return Ok(true);
        }
        for patient_id in self.sight.patients() {
            if let Patient::Registered(person) = self.facts.get::<Patient>(patient_id)?
                && person.places.trials().any(|known| known == trial_id)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A site that is registered, with its trial.
fn site_of(fact: &Fact, stream: StreamId) -> Option<(TrialId, SiteId)> {
    let site_id = SiteId::from(stream.id);
    let identity = fact.of::<Site>()?.identity(site_id, None).ok()?;
    Some((identity.trial_id, site_id))
}
