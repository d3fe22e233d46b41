//! Treatment allocation in views: folded open, kept sealed under the trial's key.

use std::borrow::Cow;
use std::collections::HashMap;

use event_store::log::LogError;
use event_store::views::ViewRow;
use event_store::{Document, SealError, Store, may_hold_sealed};
use events::envelope::Envelope;
use events::guarded::{Guarded, Whose};
use events::paths::Paths;
use events::registry::AnyEvent;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;
use views::DynView;

/// Why a view cannot be folded or kept.
#[derive(Debug, thiserror::Error)]
pub enum ClosedError {
    /// The process was given no keys.
    #[error("the view holds treatment allocation, and this process has no keys (docs/guides/keep-the-keys.md)")]
    NoKeys,
    /// The keys cannot be had.
    #[error("treatment allocation cannot be opened")]
    Open(#[source] LogError),
    /// Nothing can be sealed.
    #[error("treatment allocation cannot be sealed")]
    Seal(#[source] SealError),
    /// It does not say of which trial it is, or is no JSON.
    #[error("a document with treatment allocation is of no trial")]
    NoTrial,
}

impl ClosedError {
    /// Whether the same may succeed later, with nothing done about it.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Seal(error) => error.may_pass(),
            Self::NoKeys | Self::NoTrial => false,
        }
    }
}

/// Where the view's documents hold treatment allocation.
pub fn allocation(view: &dyn DynView) -> Paths {
    views::allocation(view.schema().name, view.schema().version)
}

fn holds_sealed((_, envelope): &(AnyEvent, Envelope)) -> bool {
    let guarded = Guarded::of(&envelope.event_type, envelope.schema_version);
    guarded.is_some_and(|guarded| !guarded.allocation.is_empty()) && may_hold_sealed(&envelope.payload)
}

/// The events, with treatment allocation open.
///
/// # Errors
/// [`ClosedError`].
pub async fn opened<'events>(
    store: &Store,
    events: &'events [(AnyEvent, Envelope)],
) -> Result<Cow<'events, [(AnyEvent, Envelope)]>, ClosedError> {
    let places: Vec<usize> =
        events.iter().enumerate().filter(|(_, event)| holds_sealed(event)).map(|(place, _)| place).collect();
    if places.is_empty() {
        return Ok(Cow::Borrowed(events));
    }
    let sealer = store.sealer().ok_or(ClosedError::NoKeys)?;
    let mut envelopes: Vec<Envelope> = places.iter().map(|place| events[*place].1.clone()).collect();
    sealer.open(&mut envelopes).await.map_err(ClosedError::Open)?;
    let mut events = events.to_vec();
    for (place, envelope) in places.into_iter().zip(envelopes) {
        // What was sealed fits its schema as it did when it was decided.
        if let Ok(event) = AnyEvent::from_envelope(&envelope) {
            events[place] = (event, envelope);
        }
    }
    Ok(Cow::Owned(events))
}

/// The stored documents, with treatment allocation open.
///
/// # Errors
/// [`ClosedError`].
pub async fn opened_documents(
    store: &Store,
    view: &dyn DynView,
    mut loaded: HashMap<String, Box<RawValue>>,
) -> Result<HashMap<String, Box<RawValue>>, ClosedError> {
    let paths = allocation(view);
    if paths.is_empty() || loaded.is_empty() {
        return Ok(loaded);
    }
    let Some(sealer) = store.sealer() else {
        let is_sealed = loaded.values().any(|document| may_hold_sealed(document.get().as_bytes()));
        return if is_sealed { Err(ClosedError::NoKeys) } else { Ok(loaded) };
    };
    let (mut keys, mut documents) = (Vec::new(), Vec::new());
    for (key, document) in &loaded {
        keys.push(key.clone());
        documents.push(read(view, key, document)?);
    }
    sealer.open_documents(paths, &mut documents).await.map_err(ClosedError::Open)?;
    for (key, Document { fields, .. }) in keys.into_iter().zip(documents) {
        loaded.insert(key, to_raw_value(&fields).map_err(|_| ClosedError::NoTrial)?);
    }
    Ok(loaded)
}

/// Seals treatment allocation in what is to be stored.
///
/// # Errors
/// [`ClosedError`].
pub async fn seal(store: &Store, view: &dyn DynView, rows: &mut [ViewRow]) -> Result<(), ClosedError> {
    let paths = allocation(view);
    if paths.is_empty() || rows.is_empty() {
        return Ok(());
    }
    // Where there are no keys, no event was sealed either: those are refused before.
    let Some(sealer) = store.sealer() else { return Ok(()) };
    for row in rows {
        let mut document = read(view, &row.key, &row.document)?;
        sealer.seal_document(paths, &mut document).await.map_err(ClosedError::Seal)?;
        row.document = to_raw_value(&document.fields).map_err(|_| ClosedError::NoTrial)?;
    }
    Ok(())
}

/// A document that tells of treatment allocation of its trial.
fn read(view: &dyn DynView, key: &str, document: &RawValue) -> Result<Document, ClosedError> {
    let fields: Value = serde_json::from_str(document.get()).map_err(|_| ClosedError::NoTrial)?;
    let trial_id = view.scope().about(key, &fields).trial_id.ok_or(ClosedError::NoTrial)?;
    let (whose, stream) = (vec![Whose::Trial(trial_id)], Uuid::try_parse(key).ok());
    Ok(Document { whose, view: view.schema().name, stream, fields })
}
