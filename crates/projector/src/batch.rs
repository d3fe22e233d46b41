//! Bringing views forward by one batch of events.

use event_store::log::LogError;
use event_store::views::{CommitError, ViewBatch, ViewError, ViewStore};
use events::envelope::Envelope;
use events::registry::AnyEvent;
use views::{DynView, ViewFault};

/// One generation of a view, and where it stands.
#[derive(Clone, Copy)]
pub struct Cursor {
    /// The view.
    pub view: &'static dyn DynView,
    /// Its generation.
    pub generation: i64,
    /// Where it stands.
    pub position: u64,
}

/// Why a view could not be brought forward.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The view cannot fold what it was given.
    #[error("the view cannot be folded")]
    Fault(#[from] ViewFault),
    /// The storage did not take it.
    #[error("the view's storage did not answer")]
    Commit(#[from] CommitError),
}

impl From<ViewError> for AdvanceError {
    fn from(error: ViewError) -> Self {
        AdvanceError::Commit(error.into())
    }
}

/// Reads every event out of its envelope.
///
/// # Errors
/// [`LogError::Decode`]: an event that this program does not know stops the
/// views rather than being passed over.
pub fn decode(envelopes: Vec<Envelope>) -> Result<Vec<(AnyEvent, Envelope)>, LogError> {
    let decode = |envelope: Envelope| {
        let event = AnyEvent::from_envelope(&envelope);
        let event = event.map_err(|source| LogError::Decode { position: envelope.position, source })?;
        Ok((event, envelope))
    };
    envelopes.into_iter().map(decode).collect()
}

/// What the events do to one view, ready to be stored. Events at or below the
/// view's position were folded before.
pub async fn prepare(
    views: &dyn ViewStore,
    cursor: Cursor,
    events: &[(AnyEvent, Envelope)],
) -> Result<ViewBatch, AdvanceError> {
    let new = events.partition_point(|(_, envelope)| envelope.position <= cursor.position);
    let events = &events[new..];
    let name = cursor.view.schema().name;
    let touched = cursor.view.touched(events);
    let loaded = match touched.keys() {
        keys if keys.is_empty() => Default::default(),
        keys => views.load(name, cursor.generation, &keys).await?,
    };
    let changes = cursor.view.fold(events, &touched, loaded)?;
    Ok(ViewBatch {
        view: name.to_owned(),
        generation: cursor.generation,
        from_position: cursor.position,
        to_position: events.last().map_or(cursor.position, |(_, envelope)| envelope.position),
        upserts: changes.upserts,
        deletes: changes.deletes,
    })
}
