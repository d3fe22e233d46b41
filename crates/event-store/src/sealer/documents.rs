//! Sealed values in documents of views.

use events::guarded::{Guarded, Whose};
use events::paths::{Paths, at};
use sealing::{Event, Found, Owner, OwnerKind, Place};
use serde_json::Value;
use uuid::Uuid;

use super::{SealError, Sealer, is_allocation, open_value, seal_at, sealed_in};
use crate::installation::NotOpen;
use crate::log::LogError;

/// A document of a view.
pub struct Document {
    /// Whose sealed values may be in it.
    pub whose: Vec<Whose>,
    /// The view.
    pub view: &'static str,
    /// The stream whose events it is made of, where its key names one.
    pub stream: Option<Uuid>,
    /// What it says.
    pub fields: Value,
}

impl Sealer {
    /// Opens what is sealed in documents, each made of the events of one stream about these. What is sealed for somebody
    /// else, or what no document tells, stays so: whoever writes views decides nothing by what is put into one.
    ///
    /// # Errors
    /// As [`Sealer::open`].
    pub async fn open_documents(&self, paths: Paths, documents: &mut [Document]) -> Result<(), LogError> {
        let mut owners = Vec::with_capacity(documents.len());
        for document in documents.iter() {
            let of_one: Result<Vec<Owner>, NotOpen> = document.whose.iter().map(|whose| self.owner(*whose)).collect();
            owners.push(of_one.map_err(|closed| LogError::Closed(Box::new(closed)))?);
        }
        let keys = self.keys(owners.iter().flatten().copied().collect()).await?;
        for (Document { stream, view, fields, .. }, owners) in documents.iter_mut().zip(owners) {
            for path in paths {
                at(fields, path, &mut |_, value| {
                    let Some(sealed) = sealed_in(value) else { return };
                    let (place, owner) = (sealed.place(), sealed.place().owner());
                    let is_own = stream.unwrap_or_default() == place.stream();
                    // Sealed in the view itself is what tells of treatment allocation.
                    let is_told =
                        if place.event_type() == *view { owner.kind == OwnerKind::Trial } else { is_told(place) };
                    if let Some(keys) = keys.get(&owner).filter(|_| is_own && is_told && owners.contains(&owner)) {
                        open_value(value, &sealed, keys, &Found::of(owner));
                    }
                });
            }
        }
        Ok(())
    }

    /// Seals treatment allocation in a document of a view about a trial; what is sealed there stays as it is.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn seal_document(&self, paths: Paths, document: &mut Document) -> Result<(), SealError> {
        let Document { whose, view, stream, fields } = document;
        let trial = whose.iter().find(|whose| matches!(whose, Whose::Trial(_)));
        let owner = self.owner(*trial.ok_or(SealError::Payload(view))?)?;
        // Nobody has been allocated in a trial without a key: what is there tells nothing yet. None is made here, so that
        // whoever keeps views needs no right to make keys.
        let keys = match self.installation.keyring().find_all(&[owner]).await?.remove(&owner) {
            Some(keys) => keys?,
            None => return Ok(()),
        };
        let is_open = |value: &Value| is_allocation(value) && sealed_in(value).is_none();
        let event = Event { stream: stream.unwrap_or_default(), ..Event::default() };
        seal_at(fields, (paths, is_open), (owner, &keys), event, view)
    }
}

/// Whether a value that was written there may stand in the document of a view.
fn is_told(place: &Place) -> bool {
    Guarded::is_shown(place.event_type(), place.field().split('/'))
}
