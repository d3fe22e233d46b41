//! What lies in sight of who is asking: of events, and of documents.
//!
//! What is outside is answered as what does not exist. Whoever sees something sees it in a role, and whether
//! treatment allocation is shown follows from that role and from how the trial is blinded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use authority::{Area, PatientPlaces, Places, Sight, matrix};
use event_store::log::{EventLog, LogError};
use event_store::views::{ColumnValue, Within};
use event_store::{Document, Sealer, Store, may_hold_sealed};
use events::envelope::{Envelope, References, Role};
use events::guarded::Whose;
use events::ids::{PatientId, StreamKey as _, TrialId};
use events::patient::PatientEvent;
use events::set::EventSet as _;
use futures::TryStreamExt as _;
use moka::sync::Cache;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use service::auth::Principal;
use uuid::Uuid;
use views::{Place, Scope};

use crate::blinding::{Blindings, Shown, shows};
use crate::listing::Listing;
use crate::pages::pages;
use crate::personal::forget_sealed;

/// Patients whose places are remembered.
const PATIENTS_MAX: u64 = 50_000;

/// How something is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not at all.
    Hidden,
    /// With more or less of it.
    Shown(Shown),
}

/// Looks up what it depends on whether somebody sees something.
#[derive(Clone)]
pub struct Eyes {
    log: Arc<dyn EventLog>,
    sealer: Option<Sealer>,
    /// How trials are blinded.
    pub blindings: Blindings,
    // Of each incarnation of the log, with the version of the person's stream up to which it was read.
    places: Cache<(u64, PatientId), (u64, Arc<Places>)>,
}

/// What somebody sees of each area.
#[derive(Clone, Debug)]
pub struct Gaze(Arc<BTreeMap<Area, Sight>>, bool);

impl Gaze {
    /// Of who is asking.
    pub fn of(principal: &Principal) -> Self {
        Self(Arc::new(Area::ALL.into_iter().map(|area| (area, principal.sight.on(area))).collect()), false)
    }

    /// The same, for a purpose that was recorded: with personal data as they are, in roles that may see them.
    #[must_use]
    pub fn unmasked(self) -> Self {
        Self(self.0, true)
    }

    /// What they see of the area.
    pub fn on(&self, area: Area) -> &Sight {
        static NOTHING: std::sync::LazyLock<Sight> = std::sync::LazyLock::new(Sight::default);
        self.0.get(&area).unwrap_or(&NOTHING)
    }
}

impl Eyes {
    /// Over this store's log; where it has no keys personal data stay sealed.
    pub fn new(store: &Store) -> Self {
        let (log, sealer) = (store.log.clone(), store.sealer().cloned());
        Self { blindings: Blindings::new(log.clone()), log, sealer, places: Cache::new(PATIENTS_MAX) }
    }

    /// Opens what is personal in the events, as far as it can be: it is shown masked, or as it is for a purpose.
    ///
    /// # Errors
    /// Where the keys cannot be had now.
    pub async fn open(&self, events: &mut [Envelope]) -> Result<(), LogError> {
        match &self.sealer {
            Some(sealer) => sealer.open(events).await,
            None => Ok(()),
        }
    }

    /// Opens what is personal in documents of a view, as far as it can be and is of whom they are about.
    ///
    /// # Errors
    /// Where the keys cannot be had now.
    pub async fn open_documents(
        &self,
        listing: &Listing,
        documents: &mut [(String, Box<RawValue>)],
    ) -> Result<(), LogError> {
        let Some(sealer) = &self.sealer else { return Ok(()) };
        let (mut places, mut sealed) = (Vec::new(), Vec::new());
        for (place, (key, document)) in documents.iter().enumerate() {
            if !(listing.personal.is_empty() && listing.allocation.is_empty())
                && may_hold_sealed(document.get().as_bytes())
                && let Ok(fields) = serde_json::from_str(document.get())
            {
                places.push(place);
                let stream = Uuid::try_parse(key).ok();
                sealed.push(Document { whose: whose(listing, key, &fields), view: listing.name, stream, fields });
            }
        }
        for paths in [listing.personal, listing.allocation.0] {
            sealer.open_documents(paths, &mut sealed).await?;
        }
        for (place, Document { mut fields, .. }) in places.into_iter().zip(sealed) {
            // What was sealed for whom was erased is not there any more.
            forget_sealed(&mut fields, listing.personal);
            forget_sealed(&mut fields, listing.allocation.0);
            if let Ok(written) = to_raw_value(&fields) {
                documents[place].1 = written;
            }
        }
        Ok(())
    }

    /// How each of the events is seen.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn look(&self, gaze: &Gaze, events: &[Envelope]) -> Result<Vec<Seen>, LogError> {
        let mut seen = Vec::with_capacity(events.len());
        for event in events {
            seen.push(self.look_at(gaze, event).await?);
        }
        Ok(seen)
    }

    /// How an event is seen.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn look_at(&self, gaze: &Gaze, event: &Envelope) -> Result<Seen, LogError> {
        let area = Area::of(event.stream.kind);
        let roles = self.roles(gaze.on(area), area, &event.references).await?;
        if roles.is_empty() {
            return Ok(Seen::Hidden);
        }
        let allocation = match roles.iter().any(|role| role.sees_allocation()) {
            true => true,
            false => {
                let blinding = self.blindings.of_event(event).await?;
                roles.iter().any(|role| shows(blinding, *role))
            }
        };
        Ok(Seen::Shown(Shown { allocation, personal: gaze.1 && roles.iter().any(|role| matrix::unmasks(*role)) }))
    }

    /// The roles in which somebody with this sight of the area sees what is about these.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn roles(&self, sight: &Sight, area: Area, about: &References) -> Result<BTreeSet<Role>, LogError> {
        let mut roles: BTreeSet<Role> = sight.roles_on(about).collect();
        match (about.trial_id, about.site_id, about.patient_id) {
            // What concerns a trial as a whole concerns whoever works in it, and what it is also who takes part.
            (Some(trial_id), None, None) => {
                roles.extend(sight.roles().into_iter().filter(|role| sight.by(*role).is_within(trial_id)));
                if area == Area::Protocol {
                    for patient_id in sight.patients() {
                        if self.takes_part(patient_id, trial_id).await? {
                            roles.insert(Role::Participant);
                        }
                    }
                }
            }
            // A person outside any trial is seen wherever they are cared for.
            (None, _, Some(patient_id)) if roles.len() < sight.roles().len() => {
                let places = self.places(patient_id, |places| covers_all(sight, patient_id, places)).await?;
                let patient = PatientPlaces { patient_id, places: &places };
                roles.extend(patient.references().flat_map(|about| sight.roles_on(&about).collect::<Vec<_>>()));
            }
            _ => {}
        }
        Ok(roles)
    }

    async fn takes_part(&self, patient_id: PatientId, trial_id: TrialId) -> Result<bool, LogError> {
        let is_there = |places: &Places| places.trials().any(|known| known == trial_id);
        Ok(is_there(&*self.places(patient_id, is_there).await?))
    }

    /// Where a person is cared for. Places are only ever added: what is remembered is good for as long as it is
    /// enough.
    async fn places(
        &self,
        patient_id: PatientId,
        is_enough: impl Fn(&Places) -> bool,
    ) -> Result<Arc<Places>, LogError> {
        let key = (*self.log.incarnation().borrow(), patient_id);
        let (mut version, mut places) = self.places.get(&key).unwrap_or_default();
        if is_enough(&places) {
            return Ok(places);
        }
        let mut pages = pages(&*self.log, patient_id.stream(), version);
        while let Some(events) = pages.try_next().await? {
            for event in &events {
                version = event.version;
                if let Ok(event) = PatientEvent::from_envelope(event) {
                    Arc::make_mut(&mut places).evolve(&event);
                }
            }
        }
        if version > 0 {
            self.places.insert(key, (version, places.clone()));
        }
        Ok(places)
    }

    /// The trials in which those take part who are in sight by themselves.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn trials_of_patients(&self, sight: &Sight) -> Result<BTreeSet<TrialId>, LogError> {
        let mut trials = BTreeSet::new();
        for patient_id in sight.patients() {
            trials.extend(self.places(patient_id, |_| false).await?.trials());
        }
        Ok(trials)
    }

    /// What of a view's rows lies in sight; nothing where all of it does.
    ///
    /// # Errors
    /// Where the log does not answer.
    pub async fn within(&self, sight: &Sight, area: Area, scope: Scope) -> Result<Option<Vec<Within>>, LogError> {
        if sight.is_everywhere() {
            return Ok(None);
        }
        let mut trials = sight.trials();
        // Of the trial as a whole, not of its sites or patients.
        if scope.site.is_none() && scope.patient.is_none() {
            trials.extend(sight.sites().into_iter().map(|(trial_id, _)| trial_id));
            if area == Area::Protocol {
                trials.extend(self.trials_of_patients(sight).await?);
            }
        }
        let sites = sight.sites().into_iter().map(|(_, site_id)| site_id.uuid());
        let mut within = Vec::new();
        for (place, ids) in [
            (scope.trial, trials.into_iter().map(TrialId::uuid).collect::<Vec<Uuid>>()),
            (scope.site, sites.collect()),
            (scope.patient, sight.patients().into_iter().map(PatientId::uuid).collect()),
        ] {
            let (Some(place), false) = (place, ids.is_empty()) else { continue };
            within.push(match place {
                Place::Key => {
                    let keys = ids.iter().map(|id| ColumnValue::Text(id.to_string())).collect();
                    Within { column: None, values: keys }
                }
                Place::Column(column) => {
                    Within { column: Some(column.to_owned()), values: ids.into_iter().map(ColumnValue::Uuid).collect() }
                }
            });
        }
        Ok(Some(within))
    }
}

fn covers_all(sight: &Sight, patient_id: PatientId, places: &Places) -> bool {
    let patient = PatientPlaces { patient_id, places };
    let covered: BTreeSet<Role> =
        patient.references().flat_map(|about| sight.roles_on(&about).collect::<Vec<_>>()).collect();
    covered == sight.roles()
}

/// Whose personal data may be in a document.
fn whose(listing: &Listing, key: &str, fields: &Value) -> Vec<Whose> {
    let about = listing.scope.about(key, fields);
    let account = (listing.area == Area::Access).then(|| Uuid::try_parse(key).ok()).flatten();
    // What belongs to nobody's scope may be about a person all the same.
    let named = || serde_json::from_value(fields.get("patient_id")?.clone()).ok();
    let patient = about.patient_id.or_else(named).map(Whose::Patient);
    let trial = about.trial_id.map(Whose::Trial);
    [patient, trial, account.map(|id| Whose::Account(id.into())), Some(Whose::Installation)]
        .into_iter()
        .flatten()
        .collect()
}
