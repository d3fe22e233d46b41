//! Rules by which readings raise alerts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::envelope::Role;
use crate::readings::kind::ReadingKind;
use crate::safety::alert::Severity;
use crate::values::Quantity;

/// A rule by which readings, or that there are none, raise an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadingRule {
    /// Short code, unique among the rules.
    pub code: String,
    /// When it is met.
    pub test: ReadingTest,
    /// How severe the alert is.
    pub severity: Severity,
    /// Who is told first.
    pub recipients: Vec<Role>,
    /// Minutes until an alert that nobody acknowledged is escalated.
    pub acknowledge_within_minutes: u32,
}

/// When a rule is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReadingTest {
    /// A reading lies below `low` or above `high`: once for each device and day, however many do.
    OutOfRange {
        /// What is measured.
        of: ReadingKind,
        /// The smallest value that is in order, in the unit of what is measured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        low: Option<Quantity>,
        /// The greatest value that is in order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        high: Option<Quantity>,
    },
    /// A device that somebody has tells nothing for so long: no reading is younger.
    Silence {
        /// Hours since its last reading, or since it was given out.
        hours: u32,
    },
}
