//! What a view is.

use std::collections::HashMap;
use std::marker::PhantomData;

use event_store::views::{ColumnValue, ViewRow, ViewSchema};
use events::any::AnyEvent;
use events::envelope::Envelope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A view: documents by key, each folded from the events about it.
pub trait View: Send + Sync + 'static {
    /// Its name, version and columns.
    const SCHEMA: ViewSchema;
    /// Whether a document is made by one event and never changes: then it is not read before it is written.
    const OF_ONE_EVENT: bool = false;
    /// What it holds under a key.
    type Document: Serialize + DeserializeOwned;

    /// The keys of the documents that the event changes.
    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String>;

    /// The document under `key` after the event; `None` where there is none.
    fn fold(
        document: Option<Self::Document>,
        key: &str,
        event: &AnyEvent,
        envelope: &Envelope,
    ) -> Option<Self::Document>;

    /// The columns' values, in the schema's order.
    fn columns(document: &Self::Document) -> Vec<ColumnValue>;
}

/// A view cannot fold what it was given; it stands still, the others go on.
#[derive(Debug, thiserror::Error)]
pub enum ViewFault {
    /// A stored document does not fit.
    #[error("the document `{key}` of view `{view}` does not fit its type")]
    Document {
        /// The view.
        view: &'static str,
        /// The key.
        key: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// What a batch of events does to a view's documents.
#[derive(Debug, Default)]
pub struct Changes {
    /// Documents that are new or changed.
    pub upserts: Vec<ViewRow>,
    /// Keys whose documents go.
    pub deletes: Vec<String>,
}

/// A view without its type.
pub trait DynView: Send + Sync + 'static {
    /// Its name, version and columns.
    fn schema(&self) -> &'static ViewSchema;

    /// Whether a document is made by one event and never changes.
    fn is_of_one_event(&self) -> bool;

    /// The keys that the events touch, each once.
    fn keys(&self, events: &[(AnyEvent, Envelope)]) -> Vec<String>;

    /// Folds the events onto the loaded documents.
    ///
    /// # Errors
    /// [`ViewFault`].
    fn fold(
        &self,
        events: &[(AnyEvent, Envelope)],
        loaded: HashMap<String, Box<RawValue>>,
    ) -> Result<Changes, ViewFault>;
}

/// Makes a [`DynView`] of a [`View`].
pub struct Erased<V>(PhantomData<V>);

impl<V> Erased<V> {
    /// The view `V` without its type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Erased<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: View> DynView for Erased<V> {
    fn schema(&self) -> &'static ViewSchema {
        &V::SCHEMA
    }

    fn is_of_one_event(&self) -> bool {
        V::OF_ONE_EVENT
    }

    fn keys(&self, events: &[(AnyEvent, Envelope)]) -> Vec<String> {
        let mut keys: Vec<String> = events.iter().flat_map(|(event, envelope)| V::keys(event, envelope)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn fold(
        &self,
        events: &[(AnyEvent, Envelope)],
        loaded: HashMap<String, Box<RawValue>>,
    ) -> Result<Changes, ViewFault> {
        let view = V::SCHEMA.name;
        let fault = |key: &str| {
            let key = key.to_owned();
            move |source| ViewFault::Document { view, key, source }
        };
        let mut documents: HashMap<String, Option<V::Document>> = HashMap::new();
        for (key, raw) in &loaded {
            let document = serde_json::from_str(raw.get()).map_err(fault(key))?;
            documents.insert(key.clone(), Some(document));
        }
        let mut touched = std::collections::BTreeSet::new();
        for (event, envelope) in events {
            for key in V::keys(event, envelope) {
                let document = documents.remove(&key).flatten();
                let document = V::fold(document, &key, event, envelope);
                documents.insert(key.clone(), document);
                touched.insert(key);
            }
        }
        let mut changes = Changes::default();
        for key in touched {
            match documents.remove(&key).flatten() {
                Some(document) => {
                    let columns = V::columns(&document);
                    let document = serde_json::value::to_raw_value(&document).map_err(fault(&key))?;
                    let is_new = !loaded.contains_key(&key);
                    changes.upserts.push(ViewRow { key, document, columns, is_new });
                }
                None => changes.deletes.push(key),
            }
        }
        Ok(changes)
    }
}
