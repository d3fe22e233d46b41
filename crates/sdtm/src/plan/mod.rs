//! From rows to commands: the layer that keeps the export's ways out of the system.
//!
//! Everything here is pure: the same rows give the same commands with the same
//! ids, so that an import can be run again after whatever happened. What an earlier
//! transfer brought is compared with what this one says (`reconcile`).

#[cfg(test)]
mod again_tests;
mod clinical;
mod course;
mod ends;
mod forms;
mod instruments;
mod known;
mod measurements;
mod pairing;
mod reconcile;
mod records;
#[cfg(test)]
mod rule_tests;
mod subject;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transfer_tests;
mod trial;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::NaiveDate;
use decider::Command;
use domain::commands::AnyCommand;
use events::change::Change;
use events::identifier;
use events::ids::{PatientId, ReportId, SiteId, SubjectId, TrialId, derive_id};
use uuid::Uuid;

use super::accounts::RowId;
use super::rows::Text;
use super::source::Table;
use client::CommandRequest;

pub use instruments::InstrumentPlan;
pub use known::Known;
pub use reconcile::reconcile;
pub use subject::plan_subject;
pub use trial::plan_trial;

/// The consent form that stands for the one that the participants signed: exports do not hold it.
pub const CONSENT_FORM_VERSION: &str = "SDTM";
/// The language of that form is not told (BCP 47: undetermined).
pub const CONSENT_FORM_LANGUAGE: &str = "und";

/// What a trial could not be where its first command is refused.
pub const REGISTERED: &str = "registered";

/// A command with the rows from which it follows.
#[derive(Clone, Debug)]
pub struct Step {
    /// The rows.
    pub rows: Vec<RowId>,
    /// The command.
    pub command: AnyCommand,
    /// What failed if it is refused, where nothing after it can succeed then, such as `registered`.
    pub gate: Option<&'static str>,
    /// The version of the stream that it corrects.
    pub corrects: Option<u64>,
    /// Items of a form that its rows name and that have no answer.
    pub unanswered: BTreeSet<String>,
    /// Fields that the rows do not tell and that have a value all the same: it says nothing against what is known.
    pub untold: Vec<&'static str>,
    /// What names a form but its day.
    pub form: Vec<String>,
}

impl Step {
    /// A command to a target.
    pub fn new<C>(rows: Vec<RowId>, target: C::Target, command: &C) -> Self
    where
        C: Command + Clone,
        AnyCommand: From<(C::Target, C)>,
    {
        let command = AnyCommand::from((target, command.clone()));
        Self {
            rows,
            command,
            gate: None,
            corrects: None,
            unanswered: BTreeSet::new(),
            untold: Vec::new(),
            form: Vec::new(),
        }
    }

    /// A change of a field, where the rows tell it: what they do not tell says nothing against what earlier ones told.
    fn told<T>(&self, field: &str, change: Change<T>) -> Change<T> {
        if self.untold.contains(&field) { Change::NONE } else { change }
    }

    /// As it is sent.
    pub fn request(&self) -> CommandRequest {
        let request = CommandRequest::of(&self.command);
        match self.corrects {
            Some(version) => request.at_version(version),
            None => request,
        }
    }
}

/// How the trial is set up.
#[derive(Debug)]
pub struct TrialPlan {
    /// The commands, in order.
    pub steps: Vec<Step>,
    /// All rows that are taken with it.
    pub rows: BTreeSet<RowId>,
    /// What the subjects' plans need.
    pub frame: Frame,
}

/// What the subjects of a trial have in common.
#[derive(Debug)]
pub struct Frame {
    /// The study's name in the export.
    pub study: Text,
    /// The trial.
    pub trial_id: TrialId,
    /// The arms, as code and name.
    pub arms: Vec<(Text, Text)>,
    /// What is true of whoever was enrolled: every inclusion criterion met, no exclusion criterion.
    pub judgements: BTreeMap<String, bool>,
    /// The planned visits' names by number.
    pub visit_names: BTreeMap<Text, Text>,
    /// The instruments by `QSCAT`.
    pub instruments: BTreeMap<Text, InstrumentPlan>,
    /// Subject numbers that several subjects have: unique at a site only.
    pub shared_numbers: HashSet<Text>,
    /// The tables that were read, with their columns.
    pub columns: BTreeMap<Table, BTreeSet<String>>,
}

/// The commands about one subject.
#[derive(Debug, Default)]
pub struct SubjectPlan {
    /// The subject, as `USUBJID`.
    pub subject: String,
    /// The commands, in order.
    pub steps: Vec<Step>,
    /// All rows that are taken with it.
    pub rows: BTreeSet<RowId>,
    /// Rows that say what cannot be carried over, with the reason.
    pub failures: BTreeMap<RowId, String>,
}

impl Frame {
    /// The id of something in the study, by what names it there.
    pub fn id(&self, kind: &str, parts: &[&str]) -> Uuid {
        study_id(kind, &self.study, parts)
    }

    /// The site of a `SITEID`.
    pub fn site(&self, site: &str) -> SiteId {
        self.id("sdtm-site", &[&identifier::key(site)]).into()
    }

    /// The patient of a `USUBJID`.
    pub fn patient(&self, subject: &str) -> PatientId {
        self.id("sdtm-patient", &[&identifier::key(subject)]).into()
    }

    /// The form that its parts but the day name, filled in on that day.
    pub fn report(&self, form: &[String], day: NaiveDate) -> ReportId {
        let day = day.to_string();
        let parts: Vec<&str> = form.iter().map(String::as_str).chain([day.as_str()]).collect();
        self.id("sdtm-report", &parts).into()
    }

    /// The subject of a `USUBJID`.
    pub fn subject(&self, subject: &str) -> SubjectId {
        SubjectId::of(self.patient(subject), self.trial_id)
    }

    /// Whether a table was read, and has the column.
    pub fn has_column(&self, table: Table, column: &str) -> bool {
        self.columns.get(&table).is_some_and(|columns| columns.contains(column))
    }
}

fn study_id(kind: &str, study: &str, parts: &[&str]) -> Uuid {
    let study = identifier::key(study);
    let all: Vec<&[u8]> = std::iter::once(study.as_str()).chain(parts.iter().copied()).map(str::as_bytes).collect();
    derive_id(kind, &all)
}

/// Whether a term of a codelist is meant, however it is written in upper and lower case.
fn is_term(text: Option<&Text>, term: &str) -> bool {
    text.is_some_and(|text| text.eq_ignore_ascii_case(term))
}
