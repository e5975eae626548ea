//! What is taken for a payment, and shares of it. Rounded half to even, once, at the end.

use serde::{Deserialize, Serialize};

/// A fixed part in minor units and hundredths of a per cent of the amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeRate {
    #[serde(default)]
    pub fixed: i64,
    #[serde(default)]
    pub basis_points: i64,
}

/// Who pays the fee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeBearer {
    /// On top of the amount.
    Payer,
    /// Out of the amount.
    #[default]
    Payee,
}

/// What becomes of the fee when a payment is given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeReturn {
    #[default]
    Kept,
    /// As much of it as of the payment; the last refund takes what is left.
    Proportional,
}

const BASIS: i128 = 10_000;

impl FeeRate {
    /// For an amount in minor units: never negative, never above it.
    pub fn of(self, amount: i64) -> i64 {
        let exact = i128::from(amount) * i128::from(self.basis_points);
        let fee = half_even(exact + i128::from(self.fixed) * BASIS, BASIS);
        i64::try_from(fee.clamp(0, i128::from(amount.max(0)))).unwrap_or(amount)
    }
}

/// The part of `whole` that `part` is of `of`, half to even; all of it where `part` reaches `of`.
pub fn share(whole: i64, part: i64, of: i64) -> i64 {
    if part >= of {
        return whole;
    }
    let share = half_even(i128::from(whole) * i128::from(part), i128::from(of));
    i64::try_from(share).unwrap_or(whole)
}

/// `dividend / divisor`, to the nearest; halves go to the even neighbour. The divisor is positive.
pub fn half_even(dividend: i128, divisor: i128) -> i128 {
    let (floor, rest) = (dividend.div_euclid(divisor), dividend.rem_euclid(divisor));
    match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Greater => floor + 1,
        std::cmp::Ordering::Equal => floor + (floor & 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::MAX_AMOUNT;

    #[test]
    fn a_fee_is_rounded_half_even_once_and_never_above_the_amount() {
        for (fixed, basis_points, amount, fee) in [
            (0, 0, 1000, 0),
            (30, 290, 1000, 59),
            (30, 0, 1000, 30),
            (0, 250, 20, 0),   // 0.5
            (0, 250, 60, 2),   // 1.5
            (0, 250, 100, 2),  // 2.5
            (0, 250, 140, 4),  // 3.5
            (1, 250, 20, 2),   // 1.5: the fixed part is not rounded apart
            (0, 1, 4999, 0),   // 0.4999
            (0, 1, 5001, 1),   // 0.5001
            (30, 290, 20, 20), // 30.58
            (500, 0, 1, 1),
            (0, 10_001, 700, 700),
            (-5, 0, 100, 0),
            (0, 10_000, MAX_AMOUNT, MAX_AMOUNT),
            (i64::MAX, i64::MAX, MAX_AMOUNT, MAX_AMOUNT),
        ] {
            assert_eq!(FeeRate { fixed, basis_points }.of(amount), fee, "{fixed} {basis_points}");
        }
    }

    #[test]
    fn shares_of_any_refunds_add_up_to_the_whole() {
        for (fee, amount) in [(59, 1000), (1, 3), (7, 7), (0, 9), (33, 100)] {
            for step in 1..=amount {
                let mut before = 0;
                let mut back = 0;
                while before < amount {
                    let after = (before + step).min(amount);
                    let part = share(fee, after, amount) - share(fee, before, amount);
                    assert!((0..=fee).contains(&part));
                    back += part;
                    before = after;
                }
                assert_eq!(back, fee, "{fee} of {amount} by {step}");
            }
        }
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        for (dividend, rounded) in [(5, 0), (15, 2), (25, 2), (35, 4), (-5, 0), (-15, -2), (14, 1)]
        {
            assert_eq!(half_even(dividend, 10), rounded, "{dividend}");
        }
    }
}
