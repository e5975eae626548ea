//! Rates of exchange, exact: what one unit of a currency is worth in another.

use serde::{Deserialize, Serialize};

use crate::{
    fee::half_even,
    money::{Currency, MAX_AMOUNT},
};

/// `mantissa` × 10^−`scale` units (not minor units) of the one currency for one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    mantissa: i64,
    scale: u32,
}

/// 15 digits and 12 places suit every pair there is, and no product leaves 128 bits.
const MANTISSA_MOST: i64 = 1_000_000_000_000_000;
const SCALE_MOST: u32 = 12;

impl Rate {
    /// `None` when it is not positive, or has more digits than any rate needs.
    pub fn new(mantissa: i64, scale: u32) -> Option<Self> {
        let fits = (1..=MANTISSA_MOST).contains(&mantissa) && scale <= SCALE_MOST;
        fits.then_some(Self { mantissa, scale })
    }

    /// What `amount` (minor units) gives, in minor units, rounded down; `None` beyond any balance.
    pub fn down(self, amount: i64, from: Currency, to: Currency) -> Option<i64> {
        let (dividend, divisor) = self.fraction(amount, from, to);
        within(dividend.div_euclid(divisor))
    }

    /// The same, rounded half to even.
    pub fn nearest(self, amount: i64, from: Currency, to: Currency) -> Option<i64> {
        let (dividend, divisor) = self.fraction(amount, from, to);
        within(half_even(dividend, divisor))
    }

    fn fraction(self, amount: i64, from: Currency, to: Currency) -> (i128, i128) {
        let ten = |places: u32| 10_i128.pow(places);
        let worth = i128::from(amount) * i128::from(self.mantissa) * ten(to.exponent().into());
        (worth, ten(self.scale) * ten(from.exponent().into()))
    }
}

fn within(amount: i128) -> Option<i64> {
    i64::try_from(amount).ok().filter(|amount| amount.abs() <= MAX_AMOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_of_both_currencies_count() {
        let code = |code| Currency::from_code(code).expect("a code");
        let (usd, jpy, kwd) = (code("USD"), code("JPY"), code("KWD"));
        let rate = |mantissa, scale| Rate::new(mantissa, scale).expect("a rate");
        // 10.00 USD at 151.239: 1512.39 yen; 0.3075: 3.075 dinars.
        assert_eq!(rate(151_239, 3).down(1000, usd, jpy), Some(1512));
        assert_eq!(rate(3075, 4).down(1000, usd, kwd), Some(3075));
        assert_eq!(rate(66, 4).down(100, jpy, usd), Some(66));
        assert_eq!(rate(5, 3).down(1, usd, usd), Some(0));
        assert_eq!(rate(15, 1).nearest(1, usd, usd), Some(2));
        assert_eq!(rate(25, 1).nearest(1, usd, usd), Some(2));
        assert_eq!(rate(2, 0).down(MAX_AMOUNT, usd, usd), None);
        let most = rate(MANTISSA_MOST, 0);
        assert_eq!(most.down(MAX_AMOUNT, jpy, kwd), None, "and no overflow");
        assert!(Rate::new(0, 0).is_none() && Rate::new(-1, 0).is_none());
        assert!(Rate::new(1, 13).is_none() && Rate::new(MANTISSA_MOST + 1, 0).is_none());
    }
}
