//! Events of a `casebook` stream: what is on record of one subject, each with what tells it from the others.

use crate::prelude::*;

/// A report was filed, or what tells it from the others was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportFiled {
    /// The report.
    pub report_id: ReportId,
    /// The instrument's short name.
    pub instrument: String,
    /// When filling in began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When filling in ended.
    pub completed_at: DateTime<Utc>,
    /// The visit that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit: Option<String>,
}

/// A visit was filed, or what tells it from the others was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VisitFiled {
    /// The visit.
    pub visit_id: VisitId,
    /// The visit's name.
    pub visit: String,
    /// The visit's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit_number: Option<Quantity>,
    /// The day of the visit.
    pub attended_on: PartialDate,
}

event_set! {
    /// What can happen to a casebook.
    pub enum CasebookEvent in Casebook {
        ReportFiled = 1;
        VisitFiled = 1;
    }
}
