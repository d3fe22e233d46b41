//! From rows to commands: the layer that keeps the export's ways out of the system.
//!
//! Everything here is pure: the same rows give the same commands with the same
//! ids, so that an import can be run again after whatever happened.

mod clinical;
mod course;
mod forms;
mod instruments;
mod subject;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use events::ids::{PatientId, SiteId, SubjectId, TrialId, derive_id};
use uuid::Uuid;

use super::accounts::RowId;
use super::rows::Text;
use client::CommandRequest;

pub use instruments::InstrumentPlan;
pub use subject::plan_subject;
pub use trial::plan_trial;

/// The consent form that stands for the one that the participants signed: exports do not hold it.
pub const CONSENT_FORM_VERSION: &str = "SDTM";
/// The language of that form is not told (BCP 47: undetermined).
pub const CONSENT_FORM_LANGUAGE: &str = "und";

/// A command with the rows from which it follows.
#[derive(Clone, Debug)]
pub struct Step {
    /// The rows.
    pub rows: Vec<RowId>,
    /// The command.
    pub request: CommandRequest,
    /// What failed if it is refused, where nothing after it can succeed then, such as `registered`.
    pub gate: Option<&'static str>,
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
}

/// The commands about one subject.
#[derive(Debug)]
pub struct SubjectPlan {
    /// The subject.
    pub subject: Text,
    /// The commands, in order.
    pub steps: Vec<Step>,
    /// All rows that are taken with it.
    pub rows: BTreeSet<RowId>,
}

impl Frame {
    /// The id of something in the study, by what names it there.
    pub fn id(&self, kind: &str, parts: &[&str]) -> Uuid {
        study_id(kind, &self.study, parts)
    }

    /// The site of a `SITEID`.
    pub fn site(&self, site: &str) -> SiteId {
        self.id("sdtm-site", &[site]).into()
    }

    /// The patient of a `USUBJID`.
    pub fn patient(&self, subject: &str) -> PatientId {
        self.id("sdtm-patient", &[subject]).into()
    }

    /// The subject of a `USUBJID`.
    pub fn subject(&self, subject: &str) -> SubjectId {
        SubjectId::of(self.patient(subject), self.trial_id)
    }
}

fn study_id(kind: &str, study: &str, parts: &[&str]) -> Uuid {
    let all: Vec<&[u8]> = std::iter::once(study).chain(parts.iter().copied()).map(str::as_bytes).collect();
    derive_id(kind, &all)
}

/// Whether a term of a codelist is meant, however it is written in upper and lower case.
fn is_term(text: Option<&Text>, term: &str) -> bool {
    text.is_some_and(|text| text.eq_ignore_ascii_case(term))
}
