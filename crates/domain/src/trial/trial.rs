//! The trial: the protocol and its course.

use chrono::NaiveDate;
use chrono::{DateTime, Utc};
use decider::{Aggregate, Context, Facts, Halt};
use events::identifier::{same, same_language};
use events::ids::{SiteId, TrialId};
use events::readings::rule::ReadingRule;
use events::trial::questionnaire::QuestionnaireDefinition;
use events::trial::{Blinding, Criterion, EnrolmentMode, MessageTemplateDefined, TrialEvent};
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::validate::NotFound;
use crate::when::When;

/// A trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trial {
    /// Not registered.
    #[default]
    Unregistered,
    /// Registered.
    Registered(Box<RegisteredTrial>),
}

/// A registered trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredTrial {
    /// The sponsor's protocol number.
    pub protocol: String,
    /// Whether it enrols.
    pub enrolment: EnrolmentStatus,
    /// When it came to that.
    pub enrolment_since: DateTime<Utc>,
    /// Planned number of subjects.
    pub planned_enrolment: u32,
    /// How participants reach enrolment.
    pub enrolment_mode: EnrolmentMode,
    /// From whom treatment allocation is hidden.
    pub blinding: Blinding,
    /// The arms' codes.
    pub arms: Vec<String>,
    /// The sites with their codes.
    pub sites: Vec<(SiteId, String)>,
    /// The criteria in force.
    pub criteria: Option<Criteria>,
    /// All consent forms, in the order of their publication.
    pub forms: Vec<ConsentForm>,
    /// All questionnaires, in the order of their definition, with the time from which they are in force.
    pub questionnaires: Vec<(DateTime<Utc>, QuestionnaireDefinition)>,
    /// The texts of messages that are in force.
    pub templates: Vec<MessageTemplateDefined>,
    /// The version of the rules by which readings raise alerts; 0 before there are any.
    pub reading_rules_version: u32,
    /// These rules.
    pub reading_rules: Vec<ReadingRule>,
}

/// Whether a trial enrols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolmentStatus {
    /// Not yet.
    NotOpened,
    /// It does.
    Open,
    /// Not for now.
    Paused,
    /// No longer.
    Closed,
}

/// Eligibility criteria of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criteria {
    /// From 1, up by one with every definition.
    pub version: u32,
    /// The criteria.
    pub criteria: Vec<Criterion>,
}

/// A published consent form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentForm {
    /// Its version.
    pub form_version: String,
    /// Its language.
    pub language: String,
    /// SHA-256 of its text.
    pub text_sha256: String,
    /// First day on which it may be signed.
    pub effective_on: NaiveDate,
}

/// Bytes of JSON of all questionnaires of a trial together.
pub const QUESTIONNAIRES_BYTES_MAX: usize = 4 * 1024 * 1024;

rules! {
    /// Why a command to a trial is refused.
    pub enum TrialError {
        AlreadyRegistered => ALREADY_REGISTERED = "trial-already-registered": "the trial is registered already";
        ProtocolTaken => PROTOCOL_TAKEN = "protocol-number-taken":
            "the protocol number belongs to another trial", field "protocol";
        ArmExists(code: String) => ARM_EXISTS = "arm-exists": "the trial has an arm `{0}` already", field "code";
        ArmsFixed => ARMS_FIXED = "arms-fixed": "arms cannot be added after enrolment was opened";
        FormExists(version: String) => FORM_EXISTS = "consent-form-exists":
            "a consent form of version `{0}` in this language is published already", field "form_version";
        QuestionnaireExists(instrument: String, version: String) => QUESTIONNAIRE_EXISTS = "questionnaire-exists":
            "version `{1}` of `{0}` is defined already", field "questionnaire";
        DefinedLater(since: DateTime<Utc>) => DEFINED_LATER = "questionnaire-defined-later":
            "the latest version was defined at {0}: a later one cannot have been in force before", field "occurred_at";
        TooLarge(max: usize) => TOO_LARGE = "protocol-too-large":
            "the questionnaires of a trial may have {0} bytes together", field "questionnaire";
        NotReady(missing: String) => NOT_READY = "trial-not-ready": "enrolment cannot be opened without {0}";
        Closed => CLOSED = "trial-closed": "enrolment was closed for good";
        OutOfOrder(since: NaiveDate) => OUT_OF_ORDER = "trial-stage-later":
            "the trial was registered, opened, paused or closed on {0}, later than this", field "occurred_at";
        NotOpen => NOT_OPEN = "trial-not-open": "enrolment is not open";
        _ => NOT_FOUND = "trial-not-found";
    }
}

/// The course of a registered trial. `field` names the command's field that
/// holds the id; absent where the address names it.
///
/// # Errors
/// [`Halt`] where it is not loaded, or not registered.
pub fn registered<'facts>(
    facts: &'facts Facts,
    trial_id: TrialId,
    field: Option<&'static str>,
) -> Result<&'facts RegisteredTrial, Halt> {
    match facts.get::<Trial>(trial_id)? {
        Trial::Registered(course) => Ok(course),
        Trial::Unregistered => Err(NotFound::halt(TrialError::NOT_FOUND, "trial", trial_id, field)),
    }
}

impl Trial {
    /// Its course, where it is registered.
    pub const fn registered(&self) -> Option<&RegisteredTrial> {
        match self {
            Trial::Registered(course) => Some(course),
            Trial::Unregistered => None,
        }
    }
}

impl RegisteredTrial {
    const fn enter(&mut self, status: EnrolmentStatus, since: DateTime<Utc>) {
        self.enrolment = status;
        self.enrolment_since = since;
    }

    /// When enrolment is opened, paused or closed: not before what came last.
    ///
    /// # Errors
    /// [`TrialError::OutOfOrder`]; as [`When::time`].
    pub fn next(&self, when: When, context: &Context) -> Result<DateTime<Utc>, Halt> {
        let time = when.time(context, "occurred_at", &Place::ANYWHERE)?;
        Place::ANYWHERE.require_not_before(time, self.enrolment_since, TrialError::OutOfOrder)?;
        Ok(time)
    }

    /// Refuses unless the trial enrols.
    ///
    /// # Errors
    /// [`TrialError::Closed`], [`TrialError::NotOpen`].
    pub const fn require_open(&self) -> Result<(), TrialError> {
        match self.enrolment {
            EnrolmentStatus::Open => Ok(()),
            EnrolmentStatus::Closed => Err(TrialError::Closed),
            EnrolmentStatus::NotOpened | EnrolmentStatus::Paused => Err(TrialError::NotOpen),
        }
    }

    /// The code of an arm, as it was added.
    pub fn arm(&self, code: &str) -> Option<&str> {
        self.arms.iter().find(|known| same(known, code)).map(String::as_str)
    }

    /// Refuses once enrolment was closed for good.
    ///
    /// # Errors
    /// [`TrialError::Closed`].
    pub fn require_not_closed(&self) -> Result<(), TrialError> {
        if self.enrolment == EnrolmentStatus::Closed { Err(TrialError::Closed) } else { Ok(()) }
    }

    /// The consent form that is to be signed on `day`: of those in the
    /// language the one with the latest effective date that has come.
    pub fn form_in_force(&self, language: &str, day: NaiveDate) -> Option<&ConsentForm> {
        let effective = |form: &&ConsentForm| same_language(&form.language, language) && form.effective_on <= day;
        // Of two that became effective on one day, the later publication: max_by_key keeps the last.
        self.forms.iter().filter(effective).max_by_key(|form| form.effective_on)
    }

    /// The languages in which this version is the form in force on `day`.
    pub fn languages_in_force(&self, form_version: &str, day: NaiveDate) -> Vec<&str> {
        let in_force = self.forms.iter().filter(|form| self.form_in_force(&form.language, day) == Some(form));
        let of_version = in_force.filter(|form| same(&form.form_version, form_version));
        of_version.map(|form| form.language.as_str()).collect()
    }

    /// The form of this version in this language.
    pub fn form(&self, form_version: &str, language: &str) -> Option<&ConsentForm> {
        let wanted =
            |form: &&ConsentForm| same(&form.form_version, form_version) && same_language(&form.language, language);
        self.forms.iter().find(wanted)
    }

    /// A form of the latest version that may be signed on `day`, in whatever language, where that version is not the
    /// form's. A version is as old as the first of its translations.
    pub fn newer_form(&self, form: &ConsentForm, day: NaiveDate) -> Option<&ConsentForm> {
        let first_of = |version: &str| {
            let of_version = self.forms.iter().enumerate().filter(|(_, form)| form.form_version == version);
            of_version.map(|(place, form)| (form.effective_on, place)).min()
        };
        let effective = self.forms.iter().filter(|form| form.effective_on <= day);
        let latest = effective.max_by_key(|form| first_of(&form.form_version))?;
        (latest.form_version != form.form_version).then_some(latest)
    }

    /// A questionnaire of this version.
    pub fn questionnaire(&self, instrument: &str, version: &str) -> Option<&QuestionnaireDefinition> {
        self.versions_of(instrument).map(|(_, definition)| definition).find(|known| same(&known.version, version))
    }

    /// The version of a questionnaire that was in force at `time`: a device may send late what was filled in before the
    /// next version was defined. Before the first there was only that.
    pub fn questionnaire_at(&self, instrument: &str, time: DateTime<Utc>) -> Option<&QuestionnaireDefinition> {
        let in_force = self.versions_of(instrument).filter(|(defined_at, _)| *defined_at <= time).last();
        in_force.or_else(|| self.versions_of(instrument).next()).map(|(_, definition)| definition)
    }

    /// Refuses a further version of a questionnaire that was in force before the latest one, and one for which there is no
    /// place: what a trial is is read as one.
    ///
    /// # Errors
    /// [`TrialError::DefinedLater`], [`TrialError::TooLarge`].
    pub fn require_place_for(
        &self,
        questionnaire: &QuestionnaireDefinition,
        defined_at: DateTime<Utc>,
    ) -> Result<(), TrialError> {
        let latest = self.versions_of(&questionnaire.instrument).map(|(since, _)| *since).max();
        if let Some(since) = latest.filter(|since| *since > defined_at) {
            return Err(TrialError::DefinedLater(since));
        }
        let bytes = |definition: &QuestionnaireDefinition| serde_json::to_vec(definition).map_or(0, |text| text.len());
        let all: usize = self.questionnaires.iter().map(|(_, definition)| bytes(definition)).sum();
        if all + bytes(questionnaire) > QUESTIONNAIRES_BYTES_MAX {
            return Err(TrialError::TooLarge(QUESTIONNAIRES_BYTES_MAX));
        }
        Ok(())
    }

    fn versions_of(&self, instrument: &str) -> impl Iterator<Item = &(DateTime<Utc>, QuestionnaireDefinition)> {
        self.questionnaires.iter().filter(move |(_, definition)| same(&definition.instrument, instrument))
    }
}

impl Aggregate for Trial {
    type Id = TrialId;
    type Event = TrialEvent;
    const SNAPSHOT_VERSION: u16 = 5;

    fn evolve(self, event: &TrialEvent, occurred_at: DateTime<Utc>) -> Self {
        let mut course = match (self, event) {
            (Trial::Registered(course), _) => course,
            (Trial::Unregistered, TrialEvent::TrialRegistered(registered)) => {
                return Trial::Registered(Box::new(RegisteredTrial {
                    protocol: registered.protocol.clone(),
                    enrolment: EnrolmentStatus::NotOpened,
                    enrolment_since: occurred_at,
                    planned_enrolment: registered.planned_enrolment,
                    enrolment_mode: registered.enrolment_mode,
                    blinding: registered.blinding,
                    arms: Vec::new(),
                    sites: Vec::new(),
                    criteria: None,
                    forms: Vec::new(),
                    questionnaires: Vec::new(),
                    templates: Vec::new(),
                    reading_rules_version: 0,
                    reading_rules: Vec::new(),
                }));
            }
            (Trial::Unregistered, _) => return Trial::Unregistered,
        };
        match event {
            TrialEvent::TrialRegistered(_) => {}
            TrialEvent::SiteJoined(joined) => course.sites.push((joined.site_id, joined.code.clone())),
            TrialEvent::ArmAdded(arm) => course.arms.push(arm.code.clone()),
            TrialEvent::EligibilityDefined(defined) => {
                let (version, criteria) = (defined.criteria_version, defined.criteria.clone());
                course.criteria = Some(Criteria { version, criteria });
            }
            TrialEvent::ConsentFormPublished(form) => course.forms.push(ConsentForm {
                form_version: form.form_version.clone(),
                language: form.language.clone(),
                text_sha256: form.text_sha256.clone(),
                effective_on: form.effective_on,
            }),
            TrialEvent::QuestionnaireDefined(defined) => {
                course.questionnaires.push((occurred_at, defined.questionnaire.clone()));
            }
            TrialEvent::MessageTemplateDefined(defined) => {
                course.templates.retain(|known| !known.is_of(&defined.template, &defined.language));
                course.templates.push(defined.clone());
            }
            TrialEvent::ReadingRulesDefined(defined) => {
                course.reading_rules_version = defined.rules_version;
                course.reading_rules = defined.rules.clone();
            }
            TrialEvent::EnrolmentOpened(_) => course.enter(EnrolmentStatus::Open, occurred_at),
            TrialEvent::EnrolmentPaused(_) => course.enter(EnrolmentStatus::Paused, occurred_at),
            TrialEvent::EnrolmentClosed(_) => course.enter(EnrolmentStatus::Closed, occurred_at),
        }
        Trial::Registered(course)
    }
}
