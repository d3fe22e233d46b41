//! When something happened, as whoever sends a command says it.

use chrono::{DateTime, Utc};
use decider::Context;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validate::{Invalid, past_time};

// Described where it is exported: a doc comment here would be the schema's, which then no longer is the `Option`'s,
// and fields of this type would have to be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct When(Option<DateTime<Utc>>);

impl When {
    /// At the time at which the command is decided.
    pub const NOW: When = When(None);

    /// At this time.
    pub const fn at(time: DateTime<Utc>) -> Self {
        Self(Some(time))
    }

    /// The time, which has come: the one given, or the context's now. In whole microseconds, as the log keeps it.
    ///
    /// # Errors
    /// [`Invalid::InFuture`] and [`Invalid::TooEarly`], naming the field.
    pub fn time(self, context: &Context, field: &str) -> Result<DateTime<Utc>, Invalid> {
        self.0.map_or(Ok(context.now), |time| past_time(context, field, time))
    }
}

impl From<DateTime<Utc>> for When {
    fn from(time: DateTime<Utc>) -> Self {
        Self::at(time)
    }
}

impl From<Option<DateTime<Utc>>> for When {
    fn from(time: Option<DateTime<Utc>>) -> Self {
        Self(time)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::When;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        occurred_at: When,
    }

    #[test]
    fn in_a_body_it_is_a_time_null_or_absent() {
        let time = "2026-01-31T12:00:00Z";
        let at = When::at(time.parse().expect("a time"));
        let bodies =
            [(json!({"occurred_at": time}), at), (json!({"occurred_at": null}), When::NOW), (json!({}), When::NOW)];
        for (body, occurred_at) in bodies {
            assert_eq!(serde_json::from_value::<Body>(body).expect("a body"), Body { occurred_at });
        }
        let written = serde_json::to_value(Body { occurred_at: at }).expect("JSON");
        assert_eq!(written, json!({"occurred_at": time}));
        assert!(serde_json::from_value::<Body>(json!({"occurred_at": "yesterday"})).is_err());
    }
}
