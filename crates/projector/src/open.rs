//! Looking at where a view stands, and what is to be done with it.

use event_store::Store;
use event_store::checkpoints::Checkpoint;
use event_store::views::ViewState;

use crate::batch::Cursor;
use crate::fill::FillError;
use views::DynView;

/// Events that a view may be behind to join the live lane as it is.
pub const NEAR_EVENTS: u64 = 1_000;

/// Views that were looked at, by what is to be done with them.
#[derive(Default)]
pub struct Opened {
    /// They can join the live lane.
    pub near: Vec<Cursor>,
    /// They are to be filled first.
    pub behind: Vec<Cursor>,
    /// Their new generation is to be filled and put in place.
    pub raised: Vec<Cursor>,
    /// They stood still the last time, and are to be filled each by itself.
    pub faulty: Vec<Cursor>,
    /// The log does not have what they were made of; the catalogue tells so.
    pub lost: Vec<(&'static str, String)>,
    /// This program must leave them alone, and why.
    pub refused: Vec<(&'static str, String)>,
}

/// Registers the views and tells what is to be done with each.
///
/// # Errors
/// Where the storage or the log is away.
pub async fn open(store: &Store, views: &[&'static dyn DynView]) -> Result<Opened, FillError> {
    let mut states = Vec::with_capacity(views.len());
    for view in views {
        states.push((*view, store.views.register(view.schema()).await?));
    }
    let head = store.log.head().await?;
    let mut opened = Opened::default();
    for (view, state) in states {
        let schema = view.schema();
        if state.version > schema.version {
            opened.refused.push((schema.name, newer(&state, schema.version)));
            continue;
        }
        if let Err(lost) = store.log.prove(state.checkpoint).await? {
            let lost = lost.to_string();
            if state.failure.as_deref() != Some(lost.as_str()) {
                store.views.set_failure(schema.name, Some(&lost)).await?;
            }
            opened.lost.push((schema.name, lost));
        } else if state.version < schema.version {
            opened.raised.push(raise(store, view, &state).await?);
        } else {
            let cursor = Cursor { view, generation: state.generation, checkpoint: state.checkpoint };
            let is_near = head.saturating_sub(state.checkpoint.position) <= NEAR_EVENTS;
            let place = match state.failure {
                Some(_) => &mut opened.faulty,
                None if is_near => &mut opened.near,
                None => &mut opened.behind,
            };
            place.push(cursor);
        }
    }
    Ok(opened)
}

/// The generation that is filled for a raised version: the one that was begun, where there is one that the log bears
/// out.
async fn raise(store: &Store, view: &'static dyn DynView, state: &ViewState) -> Result<Cursor, FillError> {
    let schema = view.schema();
    if let Some(begun) = state.rebuild.as_ref().filter(|begun| begun.version == schema.version)
        && store.log.prove(begun.checkpoint).await?.is_ok()
    {
        return Ok(Cursor { view, generation: begun.generation, checkpoint: begun.checkpoint });
    }
    tracing::info!(view = schema.name, from = state.version, to = schema.version, "a view is rebuilt");
    let generation = store.views.start_rebuild(schema).await?;
    Ok(Cursor { view, generation, checkpoint: Checkpoint::START })
}

fn newer(state: &ViewState, version: u32) -> String {
    format!("version {} of the view was made by a newer program; this one knows version {version}", state.version)
}
