//! Bringing views forward by one batch of events.

use event_store::Store;
use event_store::checkpoints::Checkpoint;
use event_store::log::LogError;
use event_store::views::{CommitError, ViewBatch, ViewError};
use events::envelope::Envelope;
use events::registry::AnyEvent;
use futures::future::join_all;
use views::{DynView, ViewFault};

use crate::sealing::{self, ClosedError};

/// One generation of a view, and where it stands.
#[derive(Clone, Copy)]
pub struct Cursor {
    /// The view.
    pub view: &'static dyn DynView,
    /// Its generation.
    pub generation: i64,
    /// Where it stands.
    pub checkpoint: Checkpoint,
}

impl Cursor {
    /// The view's name.
    pub fn name(&self) -> &'static str {
        self.view.schema().name
    }
}

/// Events in the log's order.
pub type Events = Vec<(AnyEvent, Envelope)>;

/// Reads every event out of its envelope, up to one that this program cannot
/// read: that stops the views there rather than being passed over.
pub fn decode(envelopes: Vec<Envelope>) -> (Events, Option<LogError>) {
    let mut events = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        match AnyEvent::from_envelope(&envelope) {
            Ok(event) => events.push((event, envelope)),
            Err(source) => return (events, Some(LogError::Decode { position: envelope.position, source })),
        }
    }
    (events, None)
}

/// Views that a batch of events did not bring forward, by name; the others were.
#[derive(Default)]
pub struct Left {
    /// Another hand has moved them.
    pub moved: Vec<&'static str>,
    /// They cannot be folded or stored, and why.
    pub faulty: Vec<(&'static str, String)>,
}

impl Left {
    /// Adds what else was left.
    pub fn extend(&mut self, other: Left) {
        self.moved.extend(other.moved);
        self.faulty.extend(other.faulty);
    }

    fn holds(&self, view: &str) -> bool {
        self.moved.contains(&view) || self.faulty.iter().any(|(faulty, _)| *faulty == view)
    }
}

/// Why one view was not brought forward.
enum Refusal {
    Moved,
    Faulty(String),
}

/// Tells what is the view's own from what passes.
fn refusal(error: CommitError) -> Result<Refusal, ViewError> {
    match error {
        CommitError::Moved { .. } => Ok(Refusal::Moved),
        CommitError::View(error) if error.is_lasting() => Ok(Refusal::Faulty(described(&error))),
        CommitError::View(error) => Err(error),
    }
}

/// Brings every view forward by the events beyond where it stands: all in one
/// transaction, or, where one of them is refused, each in its own. Cursors of
/// views that were left are removed.
///
/// # Errors
/// Where the storage was away; views may then stand further than their cursors say.
pub async fn advance(
    store: &Store,
    cursors: &mut Vec<Cursor>,
    events: &[(AnyEvent, Envelope)],
) -> Result<Left, ViewError> {
    let opened = sealing::opened(store, events).await;
    let of = |cursor: &Cursor| match &opened {
        Ok(opened) => Ok(&**opened),
        // Whoever holds none of it goes on.
        Err(_) if sealing::allocation(cursor.view).is_empty() => Ok(events),
        Err(error) => Err(error),
    };
    let prepared = cursors.iter().map(|cursor| async {
        match of(cursor) {
            Ok(events) => prepare(store, *cursor, events).await,
            Err(error) if error.may_pass() => Err(PrepareError::View(ViewError::Closed(described(error)))),
            Err(error) => Err(PrepareError::Closed(described(error))),
        }
    });
    let prepared = join_all(prepared.collect::<Vec<_>>()).await;
    let (mut left, mut batches) = (Left::default(), Vec::with_capacity(cursors.len()));
    for (cursor, prepared) in cursors.iter().zip(prepared) {
        match prepared {
            Ok(batch) if batch.to.position > batch.from.position => batches.push(batch),
            Ok(_) => {}
            Err(PrepareError::Closed(why)) => left.faulty.push((cursor.name(), why)),
            Err(PrepareError::Fault(fault)) => left.faulty.push((cursor.name(), described(&fault))),
            Err(PrepareError::View(error)) if error.is_lasting() => {
                left.faulty.push((cursor.name(), described(&error)));
            }
            Err(PrepareError::View(error)) => return Err(error),
        }
    }
    commit(store, cursors, batches, &mut left).await?;
    cursors.retain(|cursor| !left.holds(cursor.name()));
    if let Some((_, last)) = events.last() {
        let behind = Checkpoint::behind(last);
        cursors.iter_mut().filter(|cursor| cursor.checkpoint.position < last.position).for_each(|cursor| {
            cursor.checkpoint = behind;
        });
    }
    Ok(left)
}

/// Stores the batches together, as far as that goes.
async fn commit(
    store: &Store,
    cursors: &[Cursor],
    mut batches: Vec<ViewBatch>,
    left: &mut Left,
) -> Result<(), ViewError> {
    let name = |view: &str| cursors.iter().map(Cursor::name).find(|name| *name == view);
    while !batches.is_empty() {
        match store.views.commit(&batches).await {
            Ok(()) => return Ok(()),
            Err(CommitError::Moved { view }) => {
                batches.retain(|batch| batch.view != view);
                left.moved.extend(name(&view));
            }
            Err(CommitError::View(error)) if error.is_lasting() => break,
            Err(CommitError::View(error)) => return Err(error),
        }
    }
    for batch in &batches {
        let Err(error) = store.views.commit(std::slice::from_ref(batch)).await else { continue };
        let Some(view) = name(&batch.view) else { continue };
        match refusal(error)? {
            Refusal::Moved => left.moved.push(view),
            Refusal::Faulty(fault) => left.faulty.push((view, fault)),
        }
    }
    Ok(())
}

/// Why a batch could not be made.
enum PrepareError {
    Closed(String),
    Fault(ViewFault),
    View(ViewError),
}

/// What the events do to one view, ready to be stored. Events at or below the
/// view's position were folded before.
async fn prepare(store: &Store, cursor: Cursor, events: &[(AnyEvent, Envelope)]) -> Result<ViewBatch, PrepareError> {
    let new = events.partition_point(|(_, envelope)| envelope.position <= cursor.checkpoint.position);
    let (events, name) = (&events[new..], cursor.name());
    let touched = cursor.view.touched(events);
    let loaded = match touched.keys() {
        keys if keys.is_empty() => Default::default(),
        keys => store.views.load(name, cursor.generation, &keys).await.map_err(PrepareError::View)?,
    };
    let loaded = sealing::opened_documents(store, cursor.view, loaded).await.map_err(closed)?;
    let mut changes = cursor.view.fold(events, &touched, loaded).map_err(PrepareError::Fault)?;
    sealing::seal(store, cursor.view, &mut changes.upserts).await.map_err(closed)?;
    Ok(ViewBatch {
        view: name.to_owned(),
        generation: cursor.generation,
        from: cursor.checkpoint,
        to: events.last().map_or(cursor.checkpoint, |(_, envelope)| Checkpoint::behind(envelope)),
        upserts: changes.upserts,
        deletes: changes.deletes,
    })
}

fn closed(error: ClosedError) -> PrepareError {
    match error.may_pass() {
        true => PrepareError::View(ViewError::Closed(described(&error))),
        false => PrepareError::Closed(described(&error)),
    }
}

/// An error with its causes, for whoever looks at a view that stands still.
pub fn described(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
