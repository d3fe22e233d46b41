//! Given events, a view's document.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use events::envelope::{Actor, Envelope, References, Role};
use events::identifier;
use events::ids::StreamKey;
use events::registry::AnyEvent;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;
use view_schema::{Column, ColumnKind, ColumnValue, ViewRow};
use views::{DynView, Erased, Standing, View};

use super::some_time;

/// An event of the given history, written as somebody reads it: a stream, what it is about, its type, its payload.
#[derive(Clone)]
pub struct Given {
    envelope: Envelope,
}

/// An event of the stream `id`, in the current version of its type. It happened as many
/// minutes after [`some_time`] as events stand before it, unless [`Given::at`] says otherwise.
pub fn event(id: impl StreamKey, references: References, event_type: &str, payload: &Value) -> Given {
    let contract = events::registry::contracts().find(|contract| contract.event_type == event_type);
    let envelope = Envelope {
        position: 0,
        stream: id.stream(),
        version: 0,
        event_id: Uuid::nil(),
        event_type: event_type.to_owned(),
        schema_version: contract.map_or(1, |contract| contract.schema_version),
        payload: payload.to_string().into(),
        occurred_at: DateTime::UNIX_EPOCH,
        recorded_at: DateTime::UNIX_EPOCH,
        actor: Actor { id: "tester".to_owned(), role: Role::Coordinator, organisation: None },
        command_id: Uuid::nil(),
        correlation_id: Uuid::nil(),
        causation_id: None,
        trace_context: None,
        references,
    };
    Given { envelope }
}

/// The time of the event with so many others before it.
pub fn minute(number: i32) -> DateTime<Utc> {
    some_time() + TimeDelta::minutes(number.into())
}

impl Given {
    /// It happened at this time.
    #[must_use]
    pub const fn at(mut self, time: DateTime<Utc>) -> Self {
        self.envelope.occurred_at = time;
        self
    }

    /// This account caused it.
    #[must_use]
    pub fn by(mut self, account: &str) -> Self {
        account.clone_into(&mut self.envelope.actor.id);
        self
    }
}

/// A history: events in the order in which the log has them.
pub struct History {
    events: Vec<(AnyEvent, Envelope)>,
}

/// The history of these events.
///
/// # Panics
/// Where an event is not one that this program knows.
#[track_caller]
pub fn given(events: impl IntoIterator<Item = Given>) -> History {
    let mut versions: HashMap<_, u64> = HashMap::new();
    let placed = (1_i32..).zip(events).map(|(position, given)| {
        let mut envelope = given.envelope;
        let version = versions.entry(envelope.stream).or_default();
        *version += 1;
        envelope.version = *version;
        envelope.position = position.unsigned_abs().into();
        envelope.event_id = Uuid::from_u128(envelope.position.into());
        envelope.recorded_at = minute(position - 1);
        if envelope.occurred_at == DateTime::UNIX_EPOCH {
            envelope.occurred_at = envelope.recorded_at;
        }
        let event = AnyEvent::from_envelope(&envelope);
        (event.unwrap_or_else(|error| panic!("event {position}: {error:?}")), envelope)
    });
    History { events: placed.collect() }
}

/// What a view holds under a key, and what an index says of it.
pub struct Shown {
    row: Option<ViewRow>,
    columns: Vec<Column>,
}

impl History {
    /// What the view holds under `key`, the same whether the events come at once or one by one.
    ///
    /// # Panics
    /// Where it is not the same, or the view cannot fold the events.
    #[track_caller]
    pub fn view<V: View>(&self, key: impl ToString) -> Shown {
        let (view, key) = (Erased::<V>::new(), key.to_string());
        let mut at_once = Rows::default();
        at_once.fold(&view, &self.events);
        let mut one_by_one = Rows::default();
        for event in &self.events {
            one_by_one.fold(&view, std::slice::from_ref(event));
        }
        assert_eq!(at_once.documents(), one_by_one.documents(), "at once, and one by one");
        let columns = V::COLUMNS.iter().map(|column| column.declared()).collect();
        Shown { row: at_once.0.remove(&key), columns }
    }
}

/// The rows of a view, as the storage would have them.
#[derive(Default)]
struct Rows(HashMap<String, ViewRow>);

impl Rows {
    #[track_caller]
    fn fold(&mut self, view: &dyn DynView, events: &[(AnyEvent, Envelope)]) {
        let touched = view.touched(events);
        let stored = |key: String| Some((key.clone(), self.0.get(&key)?.document.clone()));
        let loaded: HashMap<String, Box<RawValue>> = touched.keys().into_iter().filter_map(stored).collect();
        let changes = view.fold(events, &touched, loaded).expect("the events can be folded");
        for key in changes.deletes {
            assert!(self.0.remove(&key).is_some(), "{key} is deleted and was never there");
        }
        for row in changes.upserts {
            assert_eq!(row.is_new, !self.0.contains_key(&row.key), "{} is new", row.key);
            self.0.insert(row.key.clone(), row);
        }
    }

    fn documents(&self) -> HashMap<&str, (&str, &[ColumnValue])> {
        self.0.iter().map(|(key, row)| (key.as_str(), (row.document.get(), row.columns.as_slice()))).collect()
    }
}

/// What a document tells beside where it stands.
fn fields(row: &ViewRow) -> Value {
    let mut document: Value = serde_json::from_str(row.document.get()).expect("a document is JSON");
    let fields = document.as_object_mut().expect("a document is an object");
    for standing in ["version", "position", "last_event_id"] {
        fields.remove(standing).expect("a document tells where it stands");
    }
    document
}

impl Shown {
    /// The whole document is this one. A column that is called like a field holds what the field does,
    /// names in the form in which they are compared.
    ///
    /// # Panics
    /// Where it is another one, or there is none.
    #[track_caller]
    pub fn then(&self, expected: &Value) -> &Self {
        let row = self.row.as_ref().expect("a document");
        let document = fields(row);
        assert_eq!(document, *expected, "\nfound {document:#}\nexpected {expected:#}");
        for (Column { name, kind }, value) in self.columns.iter().zip(&row.columns) {
            let Some(field) = document.get(name) else { continue };
            let held = match (kind, field) {
                (ColumnKind::Identifier, Value::String(shown)) => identifier::key(shown).into(),
                (_, field) => field.clone(),
            };
            assert_eq!(in_json(value), held, "column `{name}`");
        }
        self
    }

    /// The document tells this version of its stream, and the position of the last event that changed it.
    ///
    /// # Panics
    /// Where it tells others, or there is no document.
    #[track_caller]
    pub fn then_stands_at(&self, version: u64, position: u64) -> &Self {
        let row = self.row.as_ref().expect("a document");
        let standing: Standing = serde_json::from_str(row.document.get()).expect("a document tells where it stands");
        let last_event_id = Uuid::from_u128(position.into());
        assert_eq!(standing, Standing { version, position, last_event_id });
        self
    }

    /// The column holds this value.
    ///
    /// # Panics
    /// Where it holds another, or there is no document.
    #[track_caller]
    pub fn then_column(&self, name: &str, expected: &Value) -> &Self {
        assert_eq!(self.column(name), *expected, "column `{name}`");
        self
    }

    /// What the column holds.
    ///
    /// # Panics
    /// Where there is no such column, or no document.
    #[track_caller]
    pub fn column(&self, name: &str) -> Value {
        let row = self.row.as_ref().expect("a document");
        let place = self.columns.iter().position(|column| column.name == name).expect("a column");
        in_json(&row.columns[place])
    }

    /// There is no document.
    ///
    /// # Panics
    /// Where there is one.
    #[track_caller]
    pub fn then_none(&self) {
        assert!(self.row.is_none(), "{:?}", self.row);
    }
}

fn in_json(value: &ColumnValue) -> Value {
    match value {
        ColumnValue::Text(text) => json!(text),
        ColumnValue::Uuid(id) => json!(id),
        ColumnValue::Integer(number) => json!(number),
        ColumnValue::Time(time) => json!(time),
        ColumnValue::Boolean(truth) => json!(truth),
        ColumnValue::Null => Value::Null,
    }
}
