//! What each trial is by its protocol: everything that was defined for it, in every version.

use authority::Area;
use events::readings::rule::ReadingRule;
use events::trial::questionnaire::{AlertRule, Item, QuestionnaireDefinition, ScoreDefinition};
use events::trial::{Blinding, Criterion, EnrolmentMode, TrialEvent};

use crate::prelude::*;

/// The view.
pub struct Protocols;

/// What was defined for a trial. Nothing of it is treatment allocation: which arms there are is no secret, who is in
/// which is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Protocol {
    trial_id: TrialId,
    /// The sponsor's protocol number.
    protocol: String,
    title: String,
    phase: Option<String>,
    blinding: Blinding,
    enrolment_mode: EnrolmentMode,
    /// Planned number of subjects.
    planned_enrolment: u32,
    registered_at: DateTime<Utc>,
    /// The arms, in the order in which they were added.
    pub arms: Vec<Arm>,
    /// The eligibility criteria in every version, the one in force last.
    pub eligibility: Vec<Eligibility>,
    /// The consent forms in every version and language, in the order in which they were published.
    pub consent_forms: Vec<ConsentForm>,
    /// The questionnaires in every version, in the order in which they were defined.
    pub questionnaires: Vec<Questionnaire>,
    /// The texts of messages in every version and language, in the order in which they were defined.
    pub message_templates: Vec<MessageTemplate>,
    /// The rules by which readings raise alerts in every version, those in force last.
    pub reading_rules: Vec<ReadingRules>,
}

/// The rules by which readings raise alerts, in one version.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReadingRules {
    /// From 1, up by one with every definition.
    pub rules_version: u32,
    /// All rules of this version.
    rules: Vec<ReadingRule>,
    defined_at: DateTime<Utc>,
}

/// An arm of a trial.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// Short code, unique in the trial (CDISC `ARMCD`).
    code: String,
    /// Name (CDISC `ARM`).
    name: String,
    /// Parts of the allocation ratio that the arm gets.
    allocation_weight: u32,
}

/// Eligibility criteria in one version.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Eligibility {
    /// From 1, up by one with every definition.
    pub criteria_version: u32,
    /// All criteria of this version.
    criteria: Vec<Criterion>,
    defined_at: DateTime<Utc>,
}

/// A consent form in one version and language.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsentForm {
    /// The form's version, unique with its language.
    pub form_version: String,
    /// BCP 47 language tag.
    pub language: String,
    /// SHA-256 of the form's text, 64 hexadecimal digits.
    text_sha256: String,
    /// First day on which it may be signed.
    effective_on: NaiveDate,
    published_at: DateTime<Utc>,
}

/// The text of a message in one version and language.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MessageTemplate {
    /// The template's code.
    template: String,
    /// BCP 47 language tag.
    language: String,
    /// From 1, up by one with every definition of this code and language.
    template_version: u32,
    subject: String,
    /// The text, with placeholders in braces.
    text: String,
    defined_at: DateTime<Utc>,
}

/// A questionnaire in one version: what is asked, what may be answered, how it is scored and what raises an alert.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Questionnaire {
    /// The instrument's short name, such as `PHQ-9` (CDISC `QSCAT`).
    pub instrument: String,
    /// The version of the definition; instrument and version together are unique in the trial.
    pub version: String,
    /// The instrument's full name.
    title: String,
    /// Where the instrument and its scoring are published.
    source: String,
    /// The items, in order.
    items: Vec<Item>,
    /// The scores that are computed.
    scores: Vec<ScoreDefinition>,
    /// When an answer or score must be looked at.
    alert_rules: Vec<AlertRule>,
    defined_at: DateTime<Utc>,
}

impl Table for Protocols {
    type Document = Protocol;
    const NAME: &'static str = "protocols";
    const VERSION: u32 = 3;
    const COLUMNS: &'static [Column<Protocol>] = &[
        named("protocol", |trial| trial.protocol.clone().into()),
        time("registered_at", |trial| trial.registered_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[&["protocol"], &["registered_at"]];
    const COLLECTION: Collection = Collection::new(
        "protocols",
        "protocol",
        &[is("protocol").meaning("The sponsor's protocol number")],
        &[Sort::by("protocol"), Sort::by("registered_at")],
    );
    const AREA: Area = Area::Protocol;
    const SCOPE: Scope = Scope { trial: Some(Place::Key), ..Scope::INSTALLATION };
}

impl View for Protocols {
    const OF: StreamType = StreamType::Trial;

    fn fold(document: Option<Protocol>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Protocol> {
        let AnyEvent::Trial(event) = event else { return document };
        let Some(mut document) = document else { return registered(event, envelope) };
        match event {
            TrialEvent::ArmAdded(arm) => document.arms.push(Arm {
                code: arm.code.clone(),
                name: arm.name.clone(),
                allocation_weight: arm.allocation_weight,
            }),
            TrialEvent::EligibilityDefined(defined) => document.eligibility.push(Eligibility {
                criteria_version: defined.criteria_version,
                criteria: defined.criteria.clone(),
                defined_at: envelope.occurred_at,
            }),
            TrialEvent::ConsentFormPublished(form) => document.consent_forms.push(ConsentForm {
                form_version: form.form_version.clone(),
                language: form.language.clone(),
                text_sha256: form.text_sha256.clone(),
                effective_on: form.effective_on,
                published_at: envelope.occurred_at,
            }),
            TrialEvent::QuestionnaireDefined(defined) => {
                document.questionnaires.push(Questionnaire::of(&defined.questionnaire, envelope.occurred_at));
            }
            TrialEvent::MessageTemplateDefined(defined) => document.message_templates.push(MessageTemplate {
                template: defined.template.clone(),
                language: defined.language.clone(),
                template_version: defined.template_version,
                subject: defined.subject.clone(),
                text: defined.text.clone(),
                defined_at: envelope.occurred_at,
            }),
            TrialEvent::ReadingRulesDefined(defined) => document.reading_rules.push(ReadingRules {
                rules_version: defined.rules_version,
                rules: defined.rules.clone(),
                defined_at: envelope.occurred_at,
            }),
            TrialEvent::TrialRegistered(_)
            | TrialEvent::SiteJoined(_)
            | TrialEvent::EnrolmentOpened(_)
            | TrialEvent::EnrolmentPaused(_)
            | TrialEvent::EnrolmentClosed(_) => {}
        }
        Some(document)
    }
}

fn registered(event: &TrialEvent, envelope: &Envelope) -> Option<Protocol> {
    let TrialEvent::TrialRegistered(registered) = event else { return None };
    Some(Protocol {
        trial_id: TrialId::from(envelope.stream.id),
        protocol: registered.protocol.clone(),
        title: registered.title.clone(),
        phase: registered.phase.clone(),
        blinding: registered.blinding,
        enrolment_mode: registered.enrolment_mode,
        planned_enrolment: registered.planned_enrolment,
        registered_at: envelope.occurred_at,
        arms: Vec::new(),
        eligibility: Vec::new(),
        consent_forms: Vec::new(),
        questionnaires: Vec::new(),
        message_templates: Vec::new(),
        reading_rules: Vec::new(),
    })
}

impl Questionnaire {
    fn of(definition: &QuestionnaireDefinition, defined_at: DateTime<Utc>) -> Self {
        Self {
            instrument: definition.instrument.clone(),
            version: definition.version.clone(),
            title: definition.title.clone(),
            source: definition.source.clone(),
            items: definition.items.clone(),
            scores: definition.scores.clone(),
            alert_rules: definition.alert_rules.clone(),
            defined_at,
        }
    }
}
