//! What a view is.

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;

use authority::Area;
use events::Misfit;
use events::envelope::Envelope;
use events::ids::StreamType;
use events::registry::AnyEvent;
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use view_schema::{ColumnKind, ViewRow, ViewSchema};

use crate::table::{Collection, DynTable, Scope, Table};

/// Columns of a table at most; more do not compile.
const COLUMNS_MAX: usize = 16;

/// A table whose documents are folded from the events about them.
pub trait View: Table {
    /// The kind of stream of which each has one document, under its id.
    const OF: StreamType;

    /// The keys of the documents that the event changes: that of its stream, unless said otherwise.
    fn keys(_event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        let has_one = Self::OF == envelope.stream.kind;
        has_one.then(|| envelope.stream.id.to_string()).into_iter().collect()
    }

    /// The document under `key` after the event; `None` where there is none.
    fn fold(
        document: Option<Self::Document>,
        key: &str,
        event: &AnyEvent,
        envelope: &Envelope,
    ) -> Option<Self::Document>;
}

/// Where a document stands: what every document of a view tells beside what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The version of the document's stream: what a command's `If-Match` is compared with.
    pub version: u64,
    /// The position of the last event that changed the document.
    pub position: u64,
    /// The id of that event.
    pub last_event_id: Uuid,
}

/// A document as it is stored.
#[derive(Serialize)]
struct Stored<'document, D> {
    #[serde(flatten)]
    document: &'document D,
    #[serde(flatten)]
    standing: Standing,
}

/// A document that is being folded.
struct Folding<D> {
    document: Option<D>,
    standing: Standing,
}

impl<D> Default for Folding<D> {
    fn default() -> Self {
        Self { document: None, standing: Standing { version: 0, position: 0, last_event_id: Uuid::nil() } }
    }
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
        source: Misfit,
    },
}

/// Which documents a batch of events touches, event by event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched(Vec<(usize, String)>);

impl Touched {
    /// The keys, each once, in order: the documents to be loaded before the events are folded.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.0.iter().map(|(_, key)| key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Whether the events change nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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
pub trait DynView: DynTable {
    /// Which documents the events touch.
    fn touched(&self, events: &[(AnyEvent, Envelope)]) -> Touched;

    /// Folds the events onto the loaded documents of [`Touched::keys`]. `touched` is
    /// that of the same events.
    ///
    /// # Errors
    /// [`ViewFault`].
    fn fold(
        &self,
        events: &[(AnyEvent, Envelope)],
        touched: &Touched,
        loaded: HashMap<String, Box<RawValue>>,
    ) -> Result<Changes, ViewFault>;
}

/// Makes a [`DynTable`] of a [`Table`], and a [`DynView`] of a [`View`].
pub struct Erased<T>(PhantomData<fn() -> T>);

impl<T: Table> Erased<T> {
    /// What the storage is told, made from the table's columns when the program is compiled.
    const SCHEMA: &'static ViewSchema = &ViewSchema {
        name: T::NAME,
        version: T::VERSION,
        columns: Self::DECLARED.split_at(T::COLUMNS.len()).0,
        access_paths: T::ACCESS_PATHS,
    };
    const DECLARED: &'static [view_schema::Column; COLUMNS_MAX] = &{
        let mut declared = [view_schema::Column { name: "", kind: ColumnKind::Text }; COLUMNS_MAX];
        let mut index = 0;
        while index < T::COLUMNS.len() {
            declared[index] = T::COLUMNS[index].declared();
            index += 1;
        }
        declared
    };

    /// The table `T` without its type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Table> Default for Erased<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Table> DynTable for Erased<T> {
    fn schema(&self) -> &'static ViewSchema {
        Self::SCHEMA
    }

    fn collection(&self) -> &'static Collection {
        const { &T::COLLECTION }
    }

    fn area(&self) -> Area {
        T::AREA
    }

    fn scope(&self) -> Scope {
        T::SCOPE
    }

    fn document_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T::Document>()
    }
}

impl<V: View> DynView for Erased<V> {
    fn touched(&self, events: &[(AnyEvent, Envelope)]) -> Touched {
        let keys = |(index, (event, envelope)): (usize, &(AnyEvent, Envelope))| {
            V::keys(event, envelope).into_iter().map(move |key| (index, key))
        };
        Touched(events.iter().enumerate().flat_map(keys).collect())
    }

    fn fold(
        &self,
        events: &[(AnyEvent, Envelope)],
        touched: &Touched,
        loaded: HashMap<String, Box<RawValue>>,
    ) -> Result<Changes, ViewFault> {
        let fault = |key: &str, error: serde_json::Error| ViewFault::Document {
            view: V::NAME,
            key: key.to_owned(),
            source: error.into(),
        };
        let mut documents: BTreeMap<&str, Folding<V::Document>> = BTreeMap::new();
        for (key, raw) in &loaded {
            let document = serde_json::from_str(raw.get()).map_err(|error| fault(key, error))?;
            let standing = serde_json::from_str(raw.get()).map_err(|error| fault(key, error))?;
            documents.insert(key, Folding { document: Some(document), standing });
        }
        for (index, key) in &touched.0 {
            let (event, envelope) = &events[*index];
            let Folding { document, standing } = documents.entry(key).or_default();
            *document = V::fold(document.take(), key, event, envelope);
            let is_own = envelope.stream.kind == V::OF && envelope.stream.id.to_string() == *key;
            *standing = Standing {
                version: if is_own { envelope.version } else { standing.version },
                position: envelope.position,
                last_event_id: envelope.event_id,
            };
        }
        let mut changes = Changes::default();
        for (key, Folding { document, standing }) in documents {
            let is_new = !loaded.contains_key(key);
            match document {
                Some(document) => changes.upserts.push(ViewRow {
                    key: key.to_owned(),
                    columns: V::COLUMNS.iter().map(|column| column.value(&document)).collect(),
                    document: serde_json::value::to_raw_value(&Stored { document: &document, standing })
                        .map_err(|error| fault(key, error))?,
                    is_new,
                }),
                // What was never there need not go.
                None if is_new => {}
                None => changes.deletes.push(key.to_owned()),
            }
        }
        Ok(changes)
    }
}
