//! Instruments that come with the program.
//!
//! Definitions hold structure and scoring. The items' wording is there where it may be
//! reproduced by everybody; for most instruments it is copyrighted.

use events::envelope::Role;
use events::safety::alert::Severity;
use events::trial::Comparison;
use events::trial::questionnaire::{
    AlertMeasure, AlertRule, AlertValue, AllowedAnswers, Band, Item, MissingRule, QuestionnaireDefinition,
    ScoreDefinition, ScoreMethod,
};
use events::values::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An instrument that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Instrument {
    /// Patient Health Questionnaire, nine items.
    #[serde(rename = "PHQ-9")]
    Phq9,
    /// Numeric rating scale of pain, 0 to 10.
    #[serde(rename = "PAIN-NRS")]
    PainNrs,
    /// Mini-Mental State Examination.
    #[serde(rename = "MMSE")]
    Mmse,
}

impl Instrument {
    /// All of them.
    pub const ALL: [Instrument; 3] = [Instrument::Phq9, Instrument::PainNrs, Instrument::Mmse];

    /// The definition.
    pub fn definition(self) -> QuestionnaireDefinition {
        match self {
            Instrument::Phq9 => phq9(),
            Instrument::PainNrs => pain_nrs(),
            Instrument::Mmse => mmse(),
        }
    }
}

/// The wording of the PHQ-9's items. "No permission required to reproduce, translate, display or distribute" (Spitzer,
/// Williams, Kroenke and colleagues, with a grant from Pfizer). Each is asked as "Over the last 2 weeks, how often have
/// you been bothered by any of the following problems?", from 0, not at all, to 3, nearly every day.
const PHQ9_ITEMS: [&str; 9] = [
    "Little interest or pleasure in doing things",
    "Feeling down, depressed, or hopeless",
    "Trouble falling or staying asleep, or sleeping too much",
    "Feeling tired or having little energy",
    "Poor appetite or overeating",
    "Feeling bad about yourself - or that you are a failure or have let yourself or your family down",
    "Trouble concentrating on things, such as reading the newspaper or watching television",
    "Moving or speaking so slowly that other people could have noticed? Or the opposite - being so fidgety or restless \
     that you have been moving around a lot more than usual",
    "Thoughts that you would be better off dead or of hurting yourself in some way",
];

/// PHQ-9: nine items of 0 to 3, summed to 0–27; severity bands and cut-offs of
/// Kroenke, Spitzer and Williams, J Gen Intern Med 2001; 16: 606–613. Up to two
/// missing items are replaced by the mean of the others (Kroenke et al., Gen
/// Hosp Psychiatry 2010; 32: 345–359). Item 9 asks for thoughts of death or
/// self-harm: any answer but "not at all" is looked at, whatever the total. Items
/// by their CDISC test codes (codelist PHQ01TC, C103513).
fn phq9() -> QuestionnaireDefinition {
    let worded = PHQ9_ITEMS.iter().zip(1..).map(|(text, number)| Item {
        text: Some((*text).to_owned()),
        ..integer_item(&format!("PHQ010{number}"), 0, 3)
    });
    let items: Vec<Item> = worded.collect();
    let bands =
        [(0, 4, "minimal"), (5, 9, "mild"), (10, 14, "moderate"), (15, 19, "moderately severe"), (20, 27, "severe")];
    let total = ScoreDefinition {
        code: "TOTAL".to_owned(),
        items: items.iter().map(|item| item.code.clone()).collect(),
        reversed: Vec::new(),
        method: ScoreMethod::Sum,
        missing: MissingRule::Prorate { missing_max: 2 },
        // A prorated total is no whole number: a band reaches up to the next one.
        bands: bands.map(|(from, to, label)| band(from, to, label)).to_vec(),
    };
    QuestionnaireDefinition {
        instrument: "PHQ-9".to_owned(),
        version: "1".to_owned(),
        title: "Patient Health Questionnaire (9 items)".to_owned(),
        source: "Kroenke K, Spitzer RL, Williams JB. J Gen Intern Med 2001; 16: 606-613".to_owned(),
        items,
        scores: vec![total],
        alert_rules: vec![
            AlertRule {
                code: "phq9-item9".to_owned(),
                measure: AlertMeasure::Answer { item: "PHQ0109".to_owned() },
                operator: Comparison::AtLeast,
                value: AlertValue::from(1),
                severity: Severity::Critical,
                recipients: vec![Role::Investigator],
                acknowledge_within_minutes: 60,
            },
            AlertRule {
                code: "phq9-severe".to_owned(),
                measure: AlertMeasure::Score { score: "TOTAL".to_owned() },
                operator: Comparison::AtLeast,
                value: AlertValue::from(20),
                severity: Severity::High,
                recipients: vec![Role::Investigator],
                acknowledge_within_minutes: 24 * 60,
            },
        ],
    }
}

/// Pain NRS: one answer of 0 (no pain) to 10 (worst imaginable); 7 and more is
/// severe pain (Jensen and Karoly 2001; cut-off as in Boonstra et al., Front
/// Psychol 2016; 7: 1466).
fn pain_nrs() -> QuestionnaireDefinition {
    QuestionnaireDefinition {
        instrument: "PAIN-NRS".to_owned(),
        version: "1".to_owned(),
        title: "Numeric rating scale of pain".to_owned(),
        source: "Boonstra AM et al. Front Psychol 2016; 7: 1466".to_owned(),
        items: vec![Item { required: true, ..integer_item("PAIN", 0, 10) }],
        scores: vec![ScoreDefinition {
            code: "PAIN".to_owned(),
            items: vec!["PAIN".to_owned()],
            reversed: Vec::new(),
            method: ScoreMethod::Sum,
            missing: MissingRule::Complete,
            bands: [(0, 0, "none"), (1, 3, "mild"), (4, 6, "moderate"), (7, 10, "severe")]
                .map(|(from, to, label)| exact_band(from, to, label))
                .to_vec(),
        }],
        alert_rules: vec![AlertRule {
            code: "pain-severe".to_owned(),
            measure: AlertMeasure::Score { score: "PAIN".to_owned() },
            operator: Comparison::AtLeast,
            value: AlertValue::from(7),
            severity: Severity::High,
            recipients: vec![Role::Investigator],
            acknowledge_within_minutes: 8 * 60,
        }],
    }
}

/// MMSE: six groups of tasks by their CDISC test codes, summed to 0–30
/// (Folstein, Folstein and McHugh, J Psychiatr Res 1975; 12: 189–198). The
/// total needs every group.
fn mmse() -> QuestionnaireDefinition {
    let maxima = [5, 5, 3, 5, 3, 9];
    let items: Vec<Item> =
        maxima.iter().zip(1..).map(|(max, number)| integer_item(&format!("MMITM{number:02}"), 0, *max)).collect();
    QuestionnaireDefinition {
        instrument: "MMSE".to_owned(),
        version: "1".to_owned(),
        title: "Mini-Mental State Examination".to_owned(),
        source: "Folstein MF, Folstein SE, McHugh PR. J Psychiatr Res 1975; 12: 189-198".to_owned(),
        scores: vec![ScoreDefinition {
            code: "TOTAL".to_owned(),
            items: items.iter().map(|item| item.code.clone()).collect(),
            reversed: Vec::new(),
            method: ScoreMethod::Sum,
            missing: MissingRule::Complete,
            bands: Vec::new(),
        }],
        items,
        alert_rules: Vec::new(),
    }
}

fn integer_item(code: &str, min: i32, max: i32) -> Item {
    Item { code: code.to_owned(), text: None, required: false, answers: AllowedAnswers::Integer { min, max } }
}

/// A band of whole numbers that also holds what lies between it and the next.
fn band(from: i32, to: i32, label: &str) -> Band {
    let beyond = Quantity::new(rust_decimal::Decimal::new(i64::from(to) * 1_000_000 + 999_999, 6));
    Band { to: beyond.unwrap_or_else(|_| to.into()), ..exact_band(from, to, label) }
}

fn exact_band(from: i32, to: i32, label: &str) -> Band {
    Band { from: from.into(), to: to.into(), label: label.to_owned() }
}
