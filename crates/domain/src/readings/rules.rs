//! The rules by which readings raise alerts, and what they say of some.

use std::collections::{BTreeMap, BTreeSet};

use events::readings::device::DayOfReadings;
use events::readings::rule::{ReadingRule, ReadingTest};
use events::trial::ReadingRulesDefined;
use events::trial::questionnaire::TriggeredRule;

use crate::prelude::*;
use crate::safety::alert_rule;
use crate::trial;
use crate::validate::Faults;

/// Rules of a trial.
const RULES_MAX: usize = 50;
/// The longest silence: a year.
const SILENCE_HOURS_MAX: u32 = 8_760;

/// Defines the rules by which readings raise alerts, in place of all earlier ones. Devices that are out already keep the rules of
/// silence with which they were given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefineReadingRules {
    /// All rules; none is a list that is empty.
    pub rules: Vec<ReadingRule>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

pub use crate::trial::RULES;

impl Command for DefineReadingRules {
    type Target = TrialId;
    const NAME: &'static str = "DefineReadingRules";

    fn decide(&self, trial_id: TrialId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::count("rules", self.rules.len(), RULES_MAX)?;
        let distinct = validate::distinct("rules", self.rules.iter().map(|rule| rule.code.as_str()));
        let each = self.rules.iter().enumerate().map(|(index, rule)| check(&format!("rules/{index}"), rule));
        validate::all(each.chain([distinct.map_err(Faults::from)]))?;
        let occurred_at = self.occurred_at.time(context, "occurred_at", &Place::ANYWHERE)?;
        let course = trial::registered(facts, trial_id, None)?;
        let decision = Decision::new(References::trial(trial_id), occurred_at);
        if course.reading_rules == self.rules {
            return Ok(decision);
        }
        let rules_version = course.reading_rules_version.saturating_add(1);
        Ok(decision.append(trial_id, ReadingRulesDefined { rules_version, rules: self.rules.clone() }))
    }
}

/// A rule that no reading can meet is refused.
fn check(field: &str, rule: &ReadingRule) -> Result<(), Faults> {
    let refuse =
        |name: &str, expected: String| Err(Invalid::OutOfRange { field: format!("{field}/test/{name}"), expected });
    let test = match &rule.test {
        ReadingTest::OutOfRange { low: None, high: None, .. } => refuse("high", "given, or `low`".to_owned()),
        ReadingTest::OutOfRange { low: Some(low), high: Some(high), .. } if low >= high => {
            refuse("high", "above `low`".to_owned())
        }
        ReadingTest::OutOfRange { of, low, high } => {
            let (min, max) = of.plausible();
            let expected = || format!("above {min} and below {max} {}: no other value is taken", of.unit());
            let can_be_met = |bound: &Quantity| *bound > min.into() && *bound < max.into();
            match (low.as_ref().is_none_or(can_be_met), high.as_ref().is_none_or(can_be_met)) {
                (true, true) => Ok(()),
                (false, _) => refuse("low", expected()),
                (true, false) => refuse("high", expected()),
            }
        }
        ReadingTest::Silence { hours } => validate::range(&format!("{field}/test/hours"), *hours, 1, SILENCE_HOURS_MAX),
    };
    let told = alert_rule::check(field, &rule.code, &rule.recipients, rule.acknowledge_within_minutes);
    validate::all([told, test.map_err(Faults::from)])
}

/// On which days which rules raised an alert already.
pub type Raised = BTreeMap<String, BTreeSet<NaiveDate>>;

/// The rules that some days of readings meet on days on which they were not met before, as of the first of them; and these days, by
/// rule.
pub(super) fn met(
    rules: &[ReadingRule],
    days: &[DayOfReadings],
    raised: Option<&Raised>,
) -> (Vec<TriggeredRule>, BTreeMap<String, Vec<NaiveDate>>) {
    let of_rule = |rule: &ReadingRule| {
        let ReadingTest::OutOfRange { of, low, high } = &rule.test else { return None };
        let beyond = |day: &DayOfReadings| match (low, high) {
            (_, Some(high)) if day.max > *high => Some((day.max, format!("above {high}"))),
            (Some(low), _) if day.min < *low => Some((day.min, format!("below {low}"))),
            _ => None,
        };
        let is_new = |day: &&DayOfReadings| {
            let known = raised.and_then(|raised| raised.get(&rule.code));
            day.kind == *of && !known.is_some_and(|known| known.contains(&day.day))
        };
        let found: Vec<_> = days.iter().filter(is_new).filter_map(|day| Some((day.day, beyond(day)?))).collect();
        let (day, (value, how)) = found.first()?;
        let finding = format!("{} {value} {} on {day}, {how}", of.name(), of.unit());
        let days: Vec<NaiveDate> = found.iter().map(|(day, _)| *day).collect();
        Some((triggered(rule, finding), (rule.code.clone(), days)))
    };
    rules.iter().filter_map(of_rule).unzip()
}

/// A rule that was met, with all that the alert needs.
pub(super) fn triggered(rule: &ReadingRule, finding: String) -> TriggeredRule {
    TriggeredRule {
        rule: rule.code.clone(),
        severity: rule.severity,
        finding,
        recipients: rule.recipients.clone(),
        acknowledge_within_minutes: rule.acknowledge_within_minutes,
    }
}
