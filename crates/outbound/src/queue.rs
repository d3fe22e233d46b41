//! Reading the views of what waits.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnValue, Direction, Filter, FilterOp, ListQuery, ViewError, ViewStore};
use events::ids::MessageId;
use events::messaging::contact::Channel;
use events::messaging::notification::Urgency;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use views::Table;
use views::messaging::messages::{Messages, queue};

/// A message that waits.
#[derive(Clone, Debug, Deserialize)]
pub struct Waiting {
    /// Which.
    pub message_id: MessageId,
    /// When it could first be sent.
    pub queued_at: DateTime<Utc>,
}

/// The messages of a queue that are due, the longest first.
///
/// # Errors
/// [`ViewError`].
pub async fn due(
    views: &dyn ViewStore,
    channel: Channel,
    urgency: Urgency,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Waiting>, ViewError> {
    let of_queue = equals("queue", ColumnValue::Text(queue(channel, urgency)));
    let until_now = Filter { column: "due".to_owned(), op: FilterOp::AtMost, values: vec![ColumnValue::Time(now)] };
    let query = ListQuery {
        filters: vec![of_queue, until_now],
        sort: Some(("due".to_owned(), Direction::Ascending)),
        limit,
        ..ListQuery::default()
    };
    let page = views.list(Messages::NAME, &query).await?;
    page.rows.iter().map(|(_, document)| read(document)).collect()
}

/// A document of a view.
///
/// # Errors
/// [`ViewError::Corrupt`] where it is none.
pub fn read<T: DeserializeOwned>(document: &RawValue) -> Result<T, ViewError> {
    serde_json::from_str(document.get()).map_err(|error| ViewError::Corrupt(error.to_string()))
}

/// The column must be equal to the value.
pub fn equals(column: &str, value: ColumnValue) -> Filter {
    Filter { column: column.to_owned(), op: FilterOp::Equals, values: vec![value] }
}
