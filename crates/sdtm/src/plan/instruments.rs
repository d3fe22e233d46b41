//! Questionnaires: the program's own definition where its items fit, else one made from the answers.

use domain::When;
use domain::epro::instruments::Instrument;
use domain::trial::{DefineQuestionnaire, QuestionnaireSource};
use domain::validate;
use events::ids::derive_id;
use events::trial::questionnaire::{AllowedAnswers, Answer, Item, QuestionnaireDefinition};
use events::values::Quantity;

use super::super::rows::{QuestionnaireResult, Text};
use super::super::study::InstrumentSeen;

/// Greatest length of a text that answers an item.
const TEXT_LENGTH_MAX: u32 = 10_000;

/// Why a row is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It has no place here.
    WithoutPlace(String),
    /// The item was not answered.
    Unanswered(String),
    /// Something is wrong.
    Wrong(String),
}

/// An instrument as the trial will have it.
#[derive(Clone, Debug)]
pub struct InstrumentPlan {
    /// Its definition.
    pub definition: QuestionnaireDefinition,
    /// Whether it comes with the program.
    pub shipped: Option<Instrument>,
}

impl InstrumentPlan {
    /// The instrument of a `QSCAT` whose answers were seen.
    ///
    /// # Errors
    /// What is wrong, where no questionnaire can be called or made like this.
    pub fn new(category: &str, seen: &InstrumentSeen) -> Result<Self, String> {
        if let Some(shipped) = shipped(seen) {
            return Ok(Self { definition: shipped.definition(), shipped: Some(shipped) });
        }
        validate::code("QSCAT", category).map_err(|error| error.to_string())?;
        let items = seen.items.iter().map(|(code, item)| {
            let bound = Quantity::from(i32::MAX);
            let answers = if item.numeric {
                AllowedAnswers::Number { min: Quantity::from(-i32::MAX), max: bound }
            } else {
                AllowedAnswers::Text { length_max: TEXT_LENGTH_MAX }
            };
            // Most instruments' wording is copyrighted: codes only.
            Item { code: code.to_string(), text: None, required: false, answers }
        });
        let mut definition = QuestionnaireDefinition {
            instrument: category.to_owned(),
            version: String::new(),
            title: category.to_owned(),
            source: "Items as answered in the SDTM domain QS; no scores are computed".to_owned(),
            items: items.filter(|item| validate::code("QSTESTCD", &item.code).is_ok()).collect(),
            scores: Vec::new(),
            alert_rules: Vec::new(),
        };
        definition.items.truncate(validate::LIST_LENGTH_MAX);
        // Named after its content: another export with other items makes another version.
        let content = serde_json::to_vec(&definition).map_err(|error| error.to_string())?;
        let digest = derive_id("sdtm-questionnaire", &[&content]).simple().to_string();
        definition.version = format!("sdtm-{}", &digest[..12]);
        Ok(Self { definition, shipped: None })
    }

    /// The command that defines it.
    pub fn define(&self) -> DefineQuestionnaire {
        let questionnaire = match self.shipped {
            Some(instrument) => QuestionnaireSource::Instrument(instrument),
            None => QuestionnaireSource::Definition(self.definition.clone()),
        };
        DefineQuestionnaire { questionnaire, occurred_at: When::NOW }
    }

    /// The answer to an item in the form that the definition asks for.
    ///
    /// # Errors
    /// Why it is none.
    pub fn answer(&self, item: &Text, result: &QuestionnaireResult, derived: bool) -> Result<Answer, NoAnswer> {
        let given = match result {
            QuestionnaireResult::Number(number) => Answer::Number(*number),
            QuestionnaireResult::Text(text) => Answer::Text(text.to_string().into()),
            QuestionnaireResult::NotDone(_) | QuestionnaireResult::Nothing => {
                let why = "QSSTRESN, QSSTRESC and QSORRES are empty: there is no result";
                return Err(NoAnswer::Unanswered(why.to_owned()));
            }
        };
        let Some(defined) = self.definition.items.iter().find(|defined| *defined.code == **item) else {
            let of = &self.definition.instrument;
            return Err(match beside(self.shipped, item) {
                Some(what) => NoAnswer::WithoutPlace(format!("`{item}` of {of}: {what}")),
                None if derived => NoAnswer::WithoutPlace(format!("`{item}` of {of}: a derived score")),
                None => NoAnswer::Wrong(format!("`{item}` of {of}: no item of it")),
            });
        };
        let answer = match (given, &defined.answers) {
            (Answer::Number(number), AllowedAnswers::Text { .. }) => Answer::Text(number.to_string().into()),
            (given, _) => given,
        };
        match (&answer, &defined.answers) {
            (Answer::Number(number), AllowedAnswers::Integer { min, max }) => {
                let whole = number.decimal().is_integer();
                let fits = whole && Quantity::from(*min) <= *number && *number <= Quantity::from(*max);
                let wrong = || NoAnswer::Wrong(format!("`{number}` is not a whole number from {min} to {max}"));
                fits.then_some(answer.clone()).ok_or_else(wrong)
            }
            (Answer::Number(number), AllowedAnswers::Number { min, max }) => {
                let fits = min <= number && number <= max;
                let wrong = || NoAnswer::Wrong(format!("`{number}` is not a number from {min} to {max}"));
                fits.then_some(answer.clone()).ok_or_else(wrong)
            }
            (Answer::Text(_), AllowedAnswers::Text { .. }) => Ok(answer),
            _ => Err(NoAnswer::Wrong(format!(
                "`{item}` of {} is answered in words where a number is asked for",
                self.definition.instrument
            ))),
        }
    }
}

/// Items that CDISC counts to an instrument and that are none of those that make its scores, with what they are.
const BESIDE: [(Instrument, &str, &str); 3] = [
    (Instrument::Phq9, "PHQ0110", "how difficult the problems made it, which does not count"),
    (Instrument::Phq9, "PHQ0111", "the total, which the definition computes itself"),
    (Instrument::Mmse, "MMITM07", "the total, which the definition computes itself"),
];

fn beside(instrument: Option<Instrument>, item: &str) -> Option<&'static str> {
    let found = BESIDE.iter().find(|(of, code, _)| Some(*of) == instrument && *code == item);
    found.map(|(_, _, what)| *what)
}

/// The instrument of the program whose items these are. Scores that were computed from the items
/// do not count: the program's definition computes its own. A single answer in words does not make it another one.
fn shipped(seen: &InstrumentSeen) -> Option<Instrument> {
    Instrument::ALL.into_iter().find(|instrument| {
        let items = instrument.definition().items;
        let asked = seen.items.iter().filter(|(code, item)| !item.derived && beside(Some(*instrument), code).is_none());
        let (known, others): (Vec<_>, Vec<_>) =
            asked.partition(|(code, _)| items.iter().any(|known| *known.code == ***code));
        // A code that strays among the instrument's own is told of at its rows.
        known.len() > others.len() && known.iter().any(|(_, item)| item.any_number)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::study::ItemSeen;
    use super::*;

    fn seen(items: &[(&str, bool, bool)]) -> InstrumentSeen {
        let item = |(code, numeric, derived): &(&str, bool, bool)| {
            (Text::from(*code), ItemSeen { numeric: *numeric, any_number: *numeric, derived: *derived })
        };
        InstrumentSeen { items: items.iter().map(item).collect() }
    }

    fn number(text: &str) -> QuestionnaireResult {
        QuestionnaireResult::Number(text.parse().expect("a quantity"))
    }

    #[test]
    fn the_programs_own_definition_is_taken_where_its_items_fit() {
        let plan = InstrumentPlan::new("MINI-MENTAL", &seen(&[("MMITM01", true, false), ("MMTOT", true, true)]));
        let plan = plan.expect("an instrument");
        assert_eq!((plan.definition.instrument.as_str(), plan.shipped), ("MMSE", Some(Instrument::Mmse)));
        assert_eq!(plan.answer(&"MMITM01".into(), &number("5"), false), Ok(Answer::Number(Quantity::from(5))));
        let wrong = NoAnswer::Wrong("`6` is not a whole number from 0 to 5".to_owned());
        assert_eq!(plan.answer(&"MMITM01".into(), &number("6"), false), Err(wrong));
        let derived = NoAnswer::WithoutPlace("`MMTOT` of MMSE: a derived score".to_owned());
        assert_eq!(plan.answer(&"MMTOT".into(), &number("20"), true), Err(derived));
        let other = InstrumentPlan::new("MMSE", &seen(&[("MMITM01", true, false), ("MMITM99", true, false)]));
        assert_eq!(other.expect("an instrument").shipped, None);
    }

    #[test]
    fn the_phq_9_is_known_by_cdiscs_codes_with_what_stands_beside_its_items() {
        let codes: Vec<String> = (1..=11).map(|number| format!("PHQ01{number:02}")).collect();
        let items: Vec<(&str, bool, bool)> = codes.iter().map(|code| (code.as_str(), true, false)).collect();
        let plan = InstrumentPlan::new("PHQ-9", &seen(&items)).expect("an instrument");
        assert_eq!(plan.shipped, Some(Instrument::Phq9));
        assert_eq!(plan.answer(&"PHQ0109".into(), &number("2"), false), Ok(Answer::Number(Quantity::from(2))));
        for code in ["PHQ0110", "PHQ0111"] {
            let answer = plan.answer(&code.into(), &number("2"), false);
            assert!(matches!(answer, Err(NoAnswer::WithoutPlace(_))), "{answer:?}");
        }
        let mut in_words = seen(&items);
        in_words.items.insert("PHQ0101".into(), ItemSeen { numeric: false, any_number: true, derived: false });
        assert_eq!(InstrumentPlan::new("PHQ-9", &in_words).expect("an instrument").shipped, Some(Instrument::Phq9));
    }

    #[test]
    fn another_instrument_is_defined_by_its_answers() {
        let plan =
            InstrumentPlan::new("CIBIC", &seen(&[("A", true, false), ("B", false, false)])).expect("an instrument");
        domain::epro::definition::check_definition("definition", &plan.definition)
            .expect("a definition that the domain takes");
        assert_eq!(
            plan.answer(&"A".into(), &number("2.5"), false),
            Ok(Answer::Number("2.5".parse().expect("a quantity")))
        );
        assert_eq!(plan.answer(&"B".into(), &number("2"), false), Ok(Answer::Text("2".into())));
        assert!(plan.answer(&"C".into(), &number("2"), false).is_err());
        let again =
            InstrumentPlan::new("CIBIC", &seen(&[("A", true, false), ("B", false, false)])).expect("an instrument");
        assert_eq!(again.definition, plan.definition);
        let more = InstrumentPlan::new("CIBIC", &seen(&[("A", true, false)])).expect("an instrument");
        assert_ne!(more.definition.version, plan.definition.version);
        assert!(InstrumentPlan::new(&"X".repeat(101), &seen(&[("A", true, false)])).is_err());
    }
}
