//! The place between two rows of a list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ColumnValue;
use super::fit::{is_of, is_storable};
use super::query::{Direction, ListQuery, QueryError, SortKey};

/// The place between two rows of a list. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub(super) view: String,
    pub(super) sort: Option<(String, Direction)>,
    pub(super) value: ColumnValue,
    pub(super) key: String,
    // The last event that the view had seen; nil before the first.
    seen: Uuid,
}

impl Cursor {
    /// The place behind a key, in a list by keys.
    pub fn behind_key(view: &str, key: String) -> Self {
        Self { view: view.to_owned(), sort: None, value: ColumnValue::Null, key, seen: Uuid::nil() }
    }

    /// The last event that the view had seen when the page was read, if any: a log that no longer has it is
    /// another one.
    pub fn seen(&self) -> Option<Uuid> {
        Some(self.seen).filter(|seen| !seen.is_nil())
    }

    /// The cursor as text for an address.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a cursor serialises to JSON by construction"))
    }

    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`QueryError::ForeignCursor`] where it is damaged.
    pub fn decode(text: &str) -> Result<Self, QueryError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| QueryError::ForeignCursor)?;
        serde_json::from_slice(&bytes).map_err(|_| QueryError::ForeignCursor)
    }
}

/// The place behind a row of `query`'s list.
pub(crate) fn cursor_behind(view: &str, query: &ListQuery, key: &str, value: ColumnValue, seen: Uuid) -> Cursor {
    Cursor { view: view.to_owned(), sort: query.sort.clone(), value, key: key.to_owned(), seen }
}

impl Cursor {
    /// Whether it can lie in a list that is sorted so. Whoever forges one is told so, not that the database is away.
    pub(super) fn fits(&self, sort: &SortKey) -> bool {
        let value_fits = match sort {
            Some((_, kind)) => is_of(&self.value, *kind),
            None => self.value == ColumnValue::Null,
        };
        value_fits && is_storable(&self.key)
    }
}
