//! Scores against a second way to compute them.

use std::collections::BTreeMap;

use domain::epro::instruments::Instrument;
use domain::epro::scoring::{Scored, check_answers, scores, triggered};
use events::trial::questionnaire::{Answer, Answers};
use events::values::Quantity;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn answers(prefix: &str, given: &[Option<i32>]) -> Answers {
    let numbered = given.iter().zip(1..).filter_map(|(answer, number)| Some((number, (*answer)?)));
    let answer = |(number, answer): (u32, i32)| (format!("{prefix}{number}"), Answer::Number(Quantity::from(answer)));
    numbered.map(answer).collect::<BTreeMap<_, _>>()
}

/// A form without its questions cannot be filled in.
#[test]
fn the_items_of_the_phq9_are_worded() {
    let texts: Vec<Option<String>> = Instrument::Phq9.definition().items.into_iter().map(|item| item.text).collect();
    let distinct: std::collections::BTreeSet<&str> = texts.iter().flatten().map(String::as_str).collect();
    assert_eq!((texts.len(), distinct.len()), (9, 9));
}

proptest! {
    #[test]
    fn phq9_is_the_sum_prorated_over_at_most_two_missing_items(given in vec(option::weighted(0.85, 0..=3_i32), 9)) {
        let questionnaire = Instrument::Phq9.definition();
        let answers = answers("PHQ010", &given);
        check_answers(&questionnaire, &answers).expect("allowed answers");
        let scores = scores(&questionnaire, &answers);
        let (sum, count): (i64, i64) = given.iter().flatten().fold((0, 0), |(sum, count), answer| (sum + i64::from(*answer), count + 1));
        prop_assert_eq!(scores[0].answered, u32::try_from(count).expect("few"));
        let Some(value) = scores[0].value else {
            prop_assert!(count < 7, "with at most two missing there is a score");
            return Ok(());
        };
        prop_assert!(count >= 7);
        // In millionths, rounded half up: no sum is negative.
        let millionths = (sum * 9 * 2_000_000 + count) / (2 * count);
        prop_assert_eq!(value.to_string().parse::<f64>().expect("a number"), millionths as f64 / 1e6);
        let degrees = [(5.0, "minimal"), (10.0, "mild"), (15.0, "moderate"), (20.0, "moderately severe"), (28.0, "severe")];
        let degree = degrees.iter().find(|(below, _)| (millionths as f64) < below * 1e6).map(|(_, label)| *label);
        prop_assert_eq!(scores[0].band.as_deref(), degree);
        let rules: Vec<String> = triggered(&questionnaire, Scored { answers: &answers, scores: &scores }, None).into_iter().map(|rule| rule.rule).collect();
        prop_assert_eq!(rules.contains(&"phq9-item9".to_owned()), given[8].is_some_and(|answer| answer >= 1));
        prop_assert_eq!(rules.contains(&"phq9-severe".to_owned()), millionths >= 20_000_000);
    }

    #[test]
    fn pain_of_seven_and_more_is_told(pain in 0..=10_i32) {
        let questionnaire = Instrument::PainNrs.definition();
        let answers = Answers::from([("PAIN".to_owned(), Answer::Number(Quantity::from(pain)))]);
        let scores = scores(&questionnaire, &answers);
        let degree = match pain { 0 => "none", 1..=3 => "mild", 4..=6 => "moderate", _ => "severe" };
        prop_assert_eq!((scores[0].value, scores[0].band.as_deref()), (Some(Quantity::from(pain)), Some(degree)));
        prop_assert_eq!(triggered(&questionnaire, Scored { answers: &answers, scores: &scores }, None).len(), usize::from(pain >= 7));
    }

    #[test]
    fn mmse_needs_every_group(given in vec(option::weighted(0.9, 0..=3_i32), 6)) {
        let questionnaire = Instrument::Mmse.definition();
        let scores = scores(&questionnaire, &answers("MMITM0", &given));
        let whole: Option<i32> = given.iter().copied().sum();
        prop_assert_eq!(scores[0].value, whole.map(Quantity::from));
    }

    #[test]
    fn answers_outside_their_range_are_named(item in 1..=9_u32, answer in prop_oneof![-1000..0_i32, 4..1000_i32]) {
        let answers = Answers::from([(format!("PHQ010{item}"), Answer::Number(Quantity::from(answer)))]);
        let error = check_answers(&Instrument::Phq9.definition(), &answers).expect_err("not allowed");
        prop_assert_eq!(error.to_string(), format!("`answers/PHQ010{item}` must be a whole number from 0 to 3"));
    }
}
