//! Personal data and treatment allocation in events: sealed before they are stored, opened for a decision or an answer.
//!
//! Where they stand follows from the events' types ([`Guarded`]); whose they are, from what the event is about. In
//! the place of a value stands an object with the sealed one; what is null stays null.

mod documents;
mod snapshots;

use std::collections::{HashMap, HashSet};

use decider::SearchKeys as _;
use events::envelope::{Envelope, NewEvent};
use events::guarded::{Guarded, Whose};
use events::paths::{Paths, at};
use events::values::SEALED;
use sealing::{Event, Found, KeyError, NoRandomness, Owner, OwnerKeys, Place, Sealed, field_path};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::installation::{Installation, NotOpen};
use crate::log::{Append, LogError};

pub use documents::Document;

/// What stands in the payload of an event that holds something sealed.
const MARK: &[u8] = b"{\"sealed\":";

/// Of events that this program does not know: who opens them opens nothing.
const NOTHING: Guarded = Guarded { allocation: &[], personal: &[], shown: &[] };

/// Why nothing was sealed; nothing is stored then.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The keys are not there yet.
    #[error(transparent)]
    NotOpen(#[from] NotOpen),
    /// There is no key.
    #[error("there is no key to seal with")]
    Key(#[from] KeyError),
    /// The system gives no random bytes.
    #[error("nothing can be sealed")]
    NoRandomness(#[from] NoRandomness),
    /// Nobody knows which of the event's fields are personal: a fault of the program.
    #[error("what is guarded in `{0}` is not declared: run `cargo xtask codegen`")]
    Undeclared(&'static str),
    /// The payload is not as the program writes payloads, or holds a sealed value of somebody else.
    #[error("the payload of `{0}` cannot be sealed")]
    Payload(&'static str),
}

impl SealError {
    /// Whether the keys of whom it is about were destroyed: nothing more is kept of them.
    pub const fn is_erased(&self) -> bool {
        matches!(self, Self::Key(KeyError::Destroyed(_)))
    }

    /// Whether the same may succeed later, with nothing done about it.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::NotOpen(_) => true,
            Self::Key(error) => error.may_pass(),
            _ => false,
        }
    }
}

/// Seals and opens. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    installation: Installation,
}

impl Sealer {
    /// With the keys of this installation.
    pub const fn new(installation: Installation) -> Self {
        Self { installation }
    }

    /// Seals all personal data of what is to be appended. What is sealed there already, in another event about the
    /// same person, is sealed anew, for the event that it is in now.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn seal(&self, append: &mut Append) -> Result<(), SealError> {
        let command_id = append.command_id;
        let mut ordinal = 0;
        for write in &mut append.writes {
            for event in &mut write.events {
                let guarded = Guarded::of(event.event_type, event.schema_version);
                let guarded = guarded.ok_or(SealError::Undeclared(event.event_type))?;
                let whose = Whose::of(write.stream, &event.references);
                let of_trial = event.references.trial_id.map(Whose::Trial);
                for (paths, whose, is_sealed) in [
                    (guarded.personal, Some(whose), is_personal as fn(&Value) -> bool),
                    (guarded.allocation, of_trial, is_allocation),
                ] {
                    if !paths.is_empty() {
                        let owner = self.owner(whose.ok_or(SealError::Payload(event.event_type))?)?;
                        let place = Event { stream: write.stream.id, command_id, ordinal };
                        self.seal_event(event, (paths, is_sealed), owner, place).await?;
                    }
                }
                ordinal += 1;
            }
        }
        Ok(())
    }

    async fn seal_event(
        &self,
        event: &mut NewEvent,
        (paths, is_sealed): (Paths, fn(&Value) -> bool),
        owner: Owner,
        place: Event,
    ) -> Result<(), SealError> {
        let event_type = event.event_type;
        let malformed = || SealError::Payload(event_type);
        let mut payload: Value = serde_json::from_slice(&event.payload).map_err(|_| malformed())?;
        let mut is_there = false;
        for path in paths {
            at(&mut payload, path, &mut |_, value| is_there |= is_sealed(value));
        }
        if !is_there {
            return Ok(());
        }
        let keys = self.installation.keyring().keys(owner).await?;
        seal_at(&mut payload, (paths, is_sealed), (owner, &keys), place, event_type)?;
        event.payload = serde_json::to_vec(&payload).map_err(|_| malformed())?.into();
        // It says what is open.
        event.typed = None;
        Ok(())
    }

    /// Opens what is sealed in the events. What cannot be opened for good, because the keys were destroyed or it was
    /// altered, stays sealed.
    ///
    /// # Errors
    /// [`LogError::Closed`] where the keys cannot be had now.
    pub async fn open(&self, events: &mut [Envelope]) -> Result<(), LogError> {
        let mut sealed = Vec::new();
        for event in events.iter_mut().filter(|event| holds_sealed(event)) {
            let guarded = Guarded::of(&event.event_type, event.schema_version).unwrap_or(NOTHING);
            let whose = Some(Whose::of(event.stream, &event.references)).filter(|_| !guarded.personal.is_empty());
            let of_trial = event.references.trial_id.map(Whose::Trial).filter(|_| !guarded.allocation.is_empty());
            let owner = |whose: Option<Whose>| whose.map(|whose| self.owner(whose)).transpose();
            let closed = |closed| LogError::Closed(Box::new(closed));
            let owners = [owner(whose).map_err(closed)?, owner(of_trial).map_err(closed)?];
            sealed.push(([(guarded.personal, owners[0]), (guarded.allocation, owners[1])], event));
        }
        let owners = sealed.iter().flat_map(|(guarded, _)| guarded.iter().filter_map(|(_, owner)| *owner)).collect();
        let keys = self.keys(owners).await?;
        for (guarded, event) in sealed {
            for (paths, owner) in guarded {
                if let Some((owner, keys)) = owner.and_then(|owner| Some((owner, keys.get(&owner)?))) {
                    open_event(event, paths, owner, keys);
                }
            }
        }
        Ok(())
    }

    /// The keys of these owners; those that are gone for good are missing.
    async fn keys(&self, owners: HashSet<Owner>) -> Result<HashMap<Owner, OwnerKeys>, LogError> {
        let owners: Vec<Owner> = owners.into_iter().collect();
        if owners.is_empty() {
            return Ok(HashMap::new());
        }
        let closed = |error: KeyError| LogError::Closed(Box::new(error));
        let mut keys = HashMap::new();
        for (owner, found) in self.installation.keyring().find_all(&owners).await.map_err(closed)? {
            match found {
                Ok(found) => drop(keys.insert(owner, found)),
                Err(error) if error.may_pass() => return Err(closed(error)),
                // They are gone for good, and with them what was sealed.
                Err(KeyError::Destroyed(_)) => {}
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, %owner, "personal data stay sealed")
                }
            }
        }
        Ok(keys)
    }

    /// The id of this text among what people are looked for by.
    ///
    /// # Errors
    /// [`LogError::Closed`] where the keys are not there yet.
    pub fn search_key(&self, kind: &str, text: &str) -> Result<Uuid, LogError> {
        let marks = self.installation.marks().map_err(|closed| LogError::Closed(Box::new(closed)))?;
        Ok(marks.key(kind, text))
    }

    /// Whose keys these personal data are sealed under.
    fn owner(&self, whose: Whose) -> Result<Owner, NotOpen> {
        Ok(match whose {
            Whose::Patient(patient_id) => Owner::patient(patient_id.uuid()),
            Whose::Account(account_id) => Owner::account(account_id.uuid()),
            Whose::Trial(trial_id) => Owner::trial(trial_id.uuid()),
            Whose::Installation => Owner::installation(self.installation.log_id()?),
        })
    }
}

/// Whether something sealed may be in a stored payload or document.
pub fn may_hold_sealed(stored: &[u8]) -> bool {
    stored.windows(MARK.len()).any(|part| part == MARK)
}

fn holds_sealed(event: &Envelope) -> bool {
    let guarded = Guarded::of(&event.event_type, event.schema_version).unwrap_or(NOTHING);
    let is_guarded = !guarded.personal.is_empty() || !guarded.allocation.is_empty();
    is_guarded && may_hold_sealed(&event.payload)
}

/// Whether the value is one that is sealed: personal data are text. A number in the place of a text tells of nobody, as the
/// answer to a question that has words for some answers.
fn is_personal(value: &Value) -> bool {
    value.is_string() || value.is_object()
}

/// Whether the value is treatment allocation: whatever is there.
fn is_allocation(value: &Value) -> bool {
    !value.is_null()
}

fn sealed_in(value: &Value) -> Option<Sealed> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(SEALED)?.as_str()?.parse().ok()
}

/// Seals what stands at the paths, in the event or view that is named, where it is to be sealed.
fn seal_at(
    value: &mut Value,
    (paths, is_sealed): (Paths, fn(&Value) -> bool),
    (owner, keys): (Owner, &OwnerKeys),
    place: Event,
    name: &'static str,
) -> Result<(), SealError> {
    let mut sealed = Ok(());
    for path in paths {
        at(value, path, &mut |gone, value| {
            if sealed.is_ok() && is_sealed(value) {
                let field = field_path(gone.iter().map(String::as_str));
                sealed = seal_value(value, (owner, keys), place, (name, &field));
            }
        });
    }
    sealed
}

fn seal_value(
    value: &mut Value,
    (owner, keys): (Owner, &OwnerKeys),
    place: Event,
    (event_type, field): (&'static str, &str),
) -> Result<(), SealError> {
    let malformed = || SealError::Payload(event_type);
    if value.get(SEALED).is_some() {
        let sealed = sealed_in(value).ok_or_else(malformed)?;
        let key = keys.of_version(sealed.place().key_version()).ok_or_else(malformed)?;
        let text = sealed.open(key, &Found::of(owner)).map_err(|_| malformed())?;
        *value = serde_json::from_slice(&text).map_err(|_| malformed())?;
    }
    let text = serde_json::to_vec(value).map_err(|_| malformed())?;
    let newest = keys.newest();
    let place = Place::new(owner, newest.version, place, event_type, field).map_err(|_| malformed())?;
    *value = json!({SEALED: Sealed::seal(&newest.key, place, &text)?.to_string()});
    Ok(())
}

/// Opens a value; one that is not what was sealed there stays as it is.
fn open_value(value: &mut Value, sealed: &Sealed, keys: &OwnerKeys, found: &Found<'_>) {
    let Some(key) = keys.of_version(sealed.place().key_version()) else { return };
    match sealed.open(key, found) {
        Ok(text) => *value = serde_json::from_slice(&text).unwrap_or(Value::Null),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, place = %sealed.place(), "personal data were altered or moved, and stay sealed");
        }
    }
}

fn open_event(event: &mut Envelope, paths: Paths, owner: Owner, keys: &OwnerKeys) {
    let Ok(mut payload) = serde_json::from_slice::<Value>(&event.payload) else { return };
    for path in paths {
        at(&mut payload, path, &mut |gone, value| {
            let Some(sealed) = sealed_in(value) else { return };
            let field = field_path(gone.iter().map(String::as_str));
            let found = Found {
                stream: Some(event.stream.id),
                command_id: Some(event.command_id),
                event_type: Some(&event.event_type),
                field: Some(&field),
                ..Found::of(owner)
            };
            open_value(value, &sealed, keys, &found);
        });
    }
    if let Ok(opened) = serde_json::to_vec(&payload) {
        event.payload = opened.into();
    }
}
