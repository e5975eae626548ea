//! Rates of exchange, exact: what one unit of a currency is worth in another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    fee::half_even,
    money::{Currency, MAX_AMOUNT},
    time::Timestamp,
};

/// `mantissa` × 10^−`scale` units (not minor units) of the one currency for one of the other.
/// Written as a decimal in text, without zeros at its end, so that nothing rounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A rate that was written down, and stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateOnRecord {
    pub base: Currency,
    /// One unit of `base` is worth `rate` units of it.
    pub quote: Currency,
    pub rate: Rate,
    pub at: Timestamp,
    /// Whose word it is: a central bank, a provider.
    pub source: String,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ten = 10_i64.pow(self.scale);
        let (whole, part) = (self.mantissa / ten, self.mantissa % ten);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:0places$}", places = self.scale as usize);
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a decimal above zero of at most 15 digits, 12 of them after the point, such as \"1.0925\""
)]
pub struct MalformedRate;

impl FromStr for Rate {
    type Err = MalformedRate;

    fn from_str(text: &str) -> Result<Self, MalformedRate> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // Leading zeros are of no use, and make of one rate two texts.
        let is_plain = whole == "0" || !whole.starts_with('0');
        if !is_number(whole) || !is_number(part) || !is_plain {
            return Err(MalformedRate);
        }
        let part = part.trim_end_matches('0');
        let mantissa = format!("{whole}{part}").parse().map_err(|_| MalformedRate)?;
        let scale = u32::try_from(part.len()).map_err(|_| MalformedRate)?;
        Self::new(mantissa, scale).ok_or(MalformedRate)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn within(amount: i128) -> Option<i64> {
    i64::try_from(amount).ok().filter(|amount| amount.abs() <= MAX_AMOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_as_it_was_read() {
        for (text, written) in [
            ("1.0925", "1.0925"),
            ("1.50", "1.5"),
            ("151", "151"),
            ("151.0", "151"),
            ("0.000000000001", "0.000000000001"),
            ("123.456789012345", "123.456789012345"),
            ("1234.56789012345678", ""),
            ("12345678901234.56", ""),
            ("123456789012.345", "123456789012.345"),
            ("0", ""),
            ("0.0", ""),
            ("-1", ""),
            ("+1", ""),
            ("1.", ""),
            (".5", ""),
            ("01", ""),
            ("1e3", ""),
            ("1,5", ""),
            (" 1", ""),
            ("", ""),
            ("9999999999999999999999", ""),
        ] {
            let read = text.parse::<Rate>().map(|rate| rate.to_string()).unwrap_or_default();
            assert_eq!(read, written, "{text}");
        }
    }

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
