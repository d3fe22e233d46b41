//! The parameters of queries, each with its meaning, the values that it allows, and what counts where it is not given.

use serde_json::{Value, json};
use view_schema::{Column, ColumnKind};
use views::{Comparison, DynTable, Filter, Sort};

use crate::declared::Declared;

/// Values that one filter may have at most.
const VALUES_MAX: u32 = 64;
/// Text that a storage can compare with.
const STORABLE: &str = "^[^\\u0000]*$";

/// The parameters of a list.
pub fn of_list(table: &dyn DynTable) -> Vec<Value> {
    let (collection, columns) = (table.collection(), table.schema().columns);
    let declared = Declared::of(table);
    let filters = collection.filters.iter().filter_map(|filter| {
        let column = columns.iter().find(|column| column.name == filter.column)?;
        Some(of_filter(filter, column, declared.words.get(column.name)))
    });
    filters
        .chain([of_order(collection.sorts)])
        .chain(freshness())
        .chain(paging(Paging::List))
        .chain([known()])
        .collect()
}

fn of_filter(filter: &Filter, column: &Column, words: Option<&Vec<String>>) -> Value {
    let name = filter.parameter;
    let several = |items: Value| json!({"type": "array", "items": items, "minItems": 1, "maxItems": VALUES_MAX});
    let (schema, meaning) = match (column.kind, words) {
        (ColumnKind::Text, Some(words)) => {
            (several(json!({"type": "string", "enum": words})), format!("Only those whose `{name}` is one of these"))
        }
        (ColumnKind::Identifier, _) => {
            let text = json!({"type": "string", "minLength": 1, "pattern": STORABLE});
            let meaning = format!(
                "Only those whose `{name}` looks like one of these, whatever its upper and lower case; repeat the \
                 parameter for each"
            );
            (several(text), meaning)
        }
        (ColumnKind::Text, None) => {
            let text = json!({"type": "string", "minLength": 1, "pattern": STORABLE});
            (several(text), format!("Only those whose `{name}` is one of these; repeat the parameter for each"))
        }
        (ColumnKind::Words, _) => {
            let text = json!({"type": "string", "minLength": 1, "pattern": STORABLE});
            (
                text,
                "Only those in which some word begins as each of these words, whatever its case and accents".to_owned(),
            )
        }
        (ColumnKind::Uuid, _) => {
            (several(json!({"type": "string", "format": "uuid"})), format!("Only those whose `{name}` is one of these"))
        }
        (ColumnKind::Integer, _) => (json!({"type": "integer"}), format!("Only those whose `{name}` is this")),
        (ColumnKind::Boolean, _) => (json!({"type": "boolean"}), format!("Only those whose `{name}` is this")),
        (ColumnKind::Time, _) => {
            let bound = if filter.comparison == Comparison::Until { "or earlier" } else { "or later" };
            (
                json!({"type": "string", "format": "date-time"}),
                format!("Only those whose `{}` is this time {bound}", column.name),
            )
        }
    };
    query(name, filter.meaning.unwrap_or(&meaning), schema)
}

fn of_order(sorts: &[Sort]) -> Value {
    let names: Vec<String> =
        sorts.iter().flat_map(|sort| [sort.parameter.to_owned(), format!("-{}", sort.parameter)]).collect();
    let meanings = sorts.iter().filter_map(|sort| Some(format!(" `{}`: {}.", sort.parameter, sort.meaning?)));
    let meanings: String = meanings.collect();
    let meaning = format!("The order: by this field, with a leading `-` the greatest first.{meanings}");
    let default = sorts.first().map(Sort::as_first);
    query("sort", &meaning, json!({"type": "string", "enum": names, "default": default}))
}

/// How a list goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Behind a cursor.
    List,
    /// Behind a place in the log.
    Log,
}

/// Where a page begins, and how long it is.
pub fn paging(paging: Paging) -> Vec<Value> {
    let (after, schema, default) = match paging {
        Paging::List => ("Begins behind an earlier page: its `next`", json!({"type": "string"}), 50),
        Paging::Log => (
            "Begins behind this place in the log: a position, or the id of an event, such as an earlier page's `next`",
            place(),
            500,
        ),
    };
    let length = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": default});
    let limit = match paging {
        Paging::List => "How many at most",
        Paging::Log => "How many at most, of JSON: CSV and NDJSON have no pages",
    };
    vec![query("after", after, schema), query("limit", limit, length)]
}

/// A number of seconds above 0.
const DURATION: &str = "^(0\\.[0-9]{0,5}[1-9]|[1-9][0-9]{0,2}(\\.[0-9]{1,6})?)$";

/// How fresh an answer must be.
pub fn freshness() -> Vec<Value> {
    let at_least = "Waits until the answer holds what happened up to this place in the log: a position, such as that \
                    of a command's answer, or the id of an event";
    vec![query("at_least", at_least, place())]
}

/// How long the caller waits, which every operation can be told; each with its name among the components.
pub fn deadline() -> [(&'static str, Value); 2] {
    let about = "How long the caller waits, in milliseconds, the same as `Request-Timeout`. What is not done by then is \
                 stopped and answered with 504. With `at_least` most of it is waited for the view; 5000 where it is not said";
    let seconds = "How many seconds the caller waits, such as `2` or `0.25`. What is not done by then is stopped and \
                   answered with 504; an append that was handed over is carried out all the same: the same \
                   Idempotency-Key tells how it ended.";
    [
        (
            "RequestTimeout",
            json!({"name": "Request-Timeout", "in": "header", "required": false, "description": seconds,
            "schema": {"type": "string", "pattern": DURATION, "examples": ["2"]}}),
        ),
        ("TimeoutMs", query("timeout_ms", about, json!({"type": "integer", "minimum": 1, "maximum": 3_600_000}))),
    ]
}

/// A patient, now or at a time.
pub fn in_time() -> Vec<Value> {
    let as_of = "As it was known at this time (RFC 3339), or at the end of this day in UTC";
    let time = json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$",
        "examples": ["2026-01-31T12:00:00Z", "2026-01-31"]});
    let at_position = "As it was known when the log had come to this position";
    vec![id(), query("as_of", as_of, time), query("at_position", at_position, position())]
}

/// What the caller has already.
pub fn known() -> Value {
    json!({"name": "If-None-Match", "in": "header", "required": false,
        "description": "Tags of earlier answers, or `*`: where one of them is the answer's, it is 304 without a body.",
        "schema": {"type": "string", "pattern": "^[\\x20-\\x7e]*$"}})
}

/// The id in the address.
pub fn id() -> Value {
    json!({"name": "id", "in": "path", "required": true, "description": "The id.",
        "schema": {"type": "string", "format": "uuid"}})
}

/// A parameter of this meaning, a sentence without its end.
pub fn query(name: &str, meaning: &str, schema: Value) -> Value {
    let end = if meaning.ends_with('.') { "" } else { "." };
    json!({"name": name, "in": "query", "required": false, "description": format!("{meaning}{end}"), "schema": schema})
}

/// One of several texts, by which a part of a trial's definition is chosen.
pub fn texts(name: &str, meaning: &str) -> Value {
    let text = json!({"type": "string", "minLength": 1, "pattern": STORABLE});
    query(name, meaning, json!({"type": "array", "items": text, "minItems": 1, "maxItems": VALUES_MAX}))
}

/// Ids, of which one must fit.
pub fn ids(name: &str, meaning: &str) -> Value {
    let one = json!({"type": "string", "format": "uuid"});
    query(name, meaning, json!({"type": "array", "items": one, "minItems": 1, "maxItems": VALUES_MAX}))
}

/// Words, of which one must fit.
pub fn words(name: &str, meaning: &str, words: &[&str]) -> Value {
    let one = json!({"type": "string", "enum": words});
    query(name, meaning, json!({"type": "array", "items": one, "minItems": 1, "maxItems": VALUES_MAX}))
}

/// A place in the log: behind so many events, or, with proof that the log still has it, behind an event. As text: a
/// number or an id.
pub fn place() -> Value {
    let uuid = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
    json!({"type": "string", "pattern": format!("^([0-9]{{1,18}}|{uuid})$")})
}

/// A position in the log.
pub fn position() -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0})
}
