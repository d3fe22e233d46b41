//! Scale scores of questionnaires.
//!
//! Sum and mean of the items, with missing items allowed up to a number and
//! replaced by the mean of the answered ones ("prorated": Kroenke et al., Gen
//! Hosp Psychiatry 2010; 32: 345–359 for the PHQ-9; Fayers et al., EORTC
//! QLQ-C30 Scoring Manual, 3rd ed. 2001, for the half rule).

use rust_decimal::{Decimal, RoundingStrategy};

/// Decimals to which a quotient is rounded, half away from zero.
pub const DECIMALS: u32 = 6;

/// The mean of the answered items; `None` where there is none.
pub fn mean(answered: &[Decimal]) -> Option<Decimal> {
    let sum = sum(answered)?;
    Some(round(sum.checked_div(count(answered.len())?)?))
}

/// The sum over `items` items of which some may be missing: each of those counts as the mean of
/// the answered ones. `None` where nothing was answered, or where the sum leaves the range of numbers.
pub fn prorated_sum(answered: &[Decimal], items: usize) -> Option<Decimal> {
    let whole = sum(answered)?;
    if answered.len() == items {
        return Some(whole);
    }
    let scaled = whole.checked_mul(count(items)?)?;
    Some(round(scaled.checked_div(count(answered.len())?)?))
}

fn sum(answered: &[Decimal]) -> Option<Decimal> {
    let (first, rest) = answered.split_first()?;
    rest.iter().try_fold(*first, |sum, value| sum.checked_add(*value))
}

fn count(number: usize) -> Option<Decimal> {
    u64::try_from(number).ok().map(Decimal::from)
}

fn round(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(DECIMALS, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[i64]) -> Vec<Decimal> {
        values.iter().copied().map(Decimal::from).collect()
    }

    #[test]
    fn a_whole_scale_is_its_plain_sum() {
        assert_eq!(prorated_sum(&numbers(&[3, 3, 2, 1, 0, 0, 1, 2, 3]), 9), Some(Decimal::from(15)));
    }

    #[test]
    fn a_missing_item_counts_as_the_mean_of_the_others() {
        // Eight of nine items answered with 2 each: 16 × 9 / 8.
        assert_eq!(prorated_sum(&numbers(&[2; 8]), 9), Some(Decimal::from(18)));
        // Seven of nine: 10 × 9 / 7 = 12.857142857…
        let prorated = prorated_sum(&numbers(&[2, 2, 2, 1, 1, 1, 1]), 9);
        assert_eq!(prorated, Some(Decimal::new(12_857_143, 6)));
    }

    #[test]
    fn the_mean_is_of_what_was_answered() {
        assert_eq!(mean(&numbers(&[1, 2])), Some(Decimal::new(15, 1)));
        assert_eq!(mean(&numbers(&[1, 1, 0])), Some(Decimal::new(666_667, 6)));
        assert_eq!(mean(&numbers(&[-1, -1, 0])), Some(Decimal::new(-666_667, 6)));
    }

    #[test]
    fn nothing_answered_is_no_score_and_too_much_is_none_either() {
        assert_eq!((mean(&[]), prorated_sum(&[], 3)), (None, None));
        assert_eq!(mean(&[Decimal::MAX, Decimal::MAX]), None);
    }
}
