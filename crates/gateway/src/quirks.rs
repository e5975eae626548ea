//! Amounts as each gateway wants them; checked before money is held, so that no hold waits for a
//! charge that can only be refused.
//!
//! Ours are in minor units of ISO 4217. A gateway may count a currency in other units (Stripe
//! takes ISK, which has none, in hundredths), want multiples, and have a least and a largest.

use caudal_domain::{Amount, Currency};

/// What an amount is for; rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Charge,
    /// Refunds and partial captures: may be smaller than the least charge.
    Part,
    Payout,
}

/// Why a gateway would not take an amount. Limits are in our minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountQuirk {
    #[error("the gateway does not take {0}")]
    Currency(Currency),
    #[error("the gateway takes {currency} in multiples of {multiple_minor} only")]
    Multiple { currency: Currency, multiple_minor: i64 },
    #[error("the gateway's least charge in {currency} is {least_minor}")]
    TooSmall { currency: Currency, least_minor: i64 },
    #[error("the gateway's largest amount in {currency} is {largest_minor}")]
    TooLarge { currency: Currency, largest_minor: i64 },
}

/// A currency with decimals other than ISO 4217's, or amounts of which not all are taken.
struct Odd {
    code: &'static str,
    /// Digits after the point as the gateway counts them.
    digits: u16,
    /// In the gateway's units.
    multiple: i64,
    payout_multiple: i64,
}

const fn odd(code: &'static str, digits: u16, multiple: i64, payout_multiple: i64) -> Odd {
    Odd { code, digits, multiple, payout_multiple }
}

/// What one gateway makes of amounts.
pub struct Quirks {
    odd: &'static [Odd],
    /// Least charges, in the gateway's units.
    least: &'static [(&'static str, i64)],
    /// Largest amounts in the gateway's units; the first is everybody else's.
    largest: &'static [(&'static str, i64)],
    /// Currencies of four and more digits, or none of the gateway's.
    refused: &'static [&'static str],
}

/// docs.stripe.com/currencies: "Zero-decimal currencies", "Three-decimal currencies", "Special
/// cases", "Minimum and maximum charge amounts". The least charges are those of the settlement
/// currency; a charge that is converted may be refused by Stripe all the same.
pub const STRIPE: Quirks = Quirks {
    odd: &[
        // ISO 4217 gives it two digits, which are no decimal ones and which Stripe does not take.
        odd("MGA", 0, 1, 1),
        // Without decimals since, but still counted in hundredths.
        odd("ISK", 2, 100, 100),
        odd("UGX", 2, 100, 100),
        // Whole ones in payouts only.
        odd("HUF", 2, 1, 100),
        odd("TWD", 2, 1, 100),
        // The last digit must be 0.
        odd("BHD", 3, 10, 10),
        odd("JOD", 3, 10, 10),
        odd("KWD", 3, 10, 10),
        odd("OMR", 3, 10, 10),
        odd("TND", 3, 10, 10),
    ],
    least: &[
        ("USD", 50),
        ("AED", 200),
        ("AUD", 50),
        ("BGN", 100),
        ("BRL", 50),
        ("CAD", 50),
        ("CHF", 50),
        ("CZK", 1_500),
        ("DKK", 250),
        ("EUR", 50),
        ("GBP", 30),
        ("HKD", 400),
        ("HUF", 17_500),
        ("INR", 50),
        ("JPY", 50),
        ("MXN", 1_000),
        ("MYR", 200),
        ("NOK", 300),
        ("NZD", 50),
        ("PLN", 200),
        ("RON", 200),
        ("SEK", 300),
        ("SGD", 50),
        ("THB", 1_000),
    ],
    largest: &[("", 99_999_999), ("IDR", 999_999_999_999)],
    refused: &["CLF", "UYW", "IQD", "LYD"],
};

/// The simulator counts as we do, and refuses nothing.
pub const SIMULATOR: Quirks =
    Quirks { odd: &[], least: &[], largest: &[("", caudal_domain::MAX_AMOUNT)], refused: &[] };

impl Quirks {
    /// The amount in the gateway's units.
    pub fn to_gateway(
        &self,
        amount: Amount,
        currency: Currency,
        purpose: Purpose,
    ) -> Result<i64, AmountQuirk> {
        if self.refused.contains(&currency.code()) {
            return Err(AmountQuirk::Currency(currency));
        }
        let scale = self.scale(currency);
        let multiple = self.multiple(currency, purpose);
        let theirs = scale.to_gateway(amount.minor()).filter(|theirs| theirs % multiple == 0);
        let Some(theirs) = theirs else {
            let multiple_minor = scale.to_us_rounded_up(multiple);
            return Err(AmountQuirk::Multiple { currency, multiple_minor });
        };
        self.bounds(theirs, currency, purpose)?;
        Ok(theirs)
    }

    /// An amount that the gateway told, in our units; `None` where ours have no such part.
    pub fn to_us(&self, theirs: i64, currency: Currency) -> Option<i64> {
        self.scale(currency).to_us(theirs)
    }

    fn bounds(&self, theirs: i64, currency: Currency, purpose: Purpose) -> Result<(), AmountQuirk> {
        let scale = self.scale(currency);
        let find = |table: &[(&str, i64)], code: &str| {
            table.iter().find(|(known, _)| *known == code).map(|(_, limit)| *limit)
        };
        let least = find(self.least, currency.code()).unwrap_or(1);
        if purpose == Purpose::Charge && theirs < least {
            let least_minor = scale.to_us_rounded_up(least);
            return Err(AmountQuirk::TooSmall { currency, least_minor });
        }
        let largest = find(self.largest, currency.code()).or_else(|| find(self.largest, ""));
        match largest {
            Some(largest) if theirs > largest => {
                let largest_minor = scale.to_us_rounded_down(largest);
                Err(AmountQuirk::TooLarge { currency, largest_minor })
            }
            _ => Ok(()),
        }
    }

    fn odd(&self, currency: Currency) -> Option<&Odd> {
        self.odd.iter().find(|odd| odd.code == currency.code())
    }

    fn multiple(&self, currency: Currency, purpose: Purpose) -> i64 {
        let Some(odd) = self.odd(currency) else { return 1 };
        match purpose {
            Purpose::Payout => odd.payout_multiple,
            Purpose::Charge | Purpose::Part => odd.multiple,
        }
    }

    fn scale(&self, currency: Currency) -> Scale {
        let (ours, theirs) = (currency.exponent(), self.odd(currency).map(|odd| odd.digits));
        Scale { ours, theirs: theirs.unwrap_or(ours) }
    }
}

/// Digits after the point, ours and the gateway's.
#[derive(Clone, Copy)]
struct Scale {
    ours: u16,
    theirs: u16,
}

impl Scale {
    fn to_gateway(self, minor: i64) -> Option<i64> {
        rescale(minor, self.ours, self.theirs)
    }

    fn to_us(self, theirs: i64) -> Option<i64> {
        rescale(theirs, self.theirs, self.ours)
    }

    /// The smallest of our amounts that is no less.
    fn to_us_rounded_up(self, theirs: i64) -> i64 {
        self.to_us(theirs).unwrap_or_else(|| self.to_us_rounded_down(theirs) + 1)
    }

    fn to_us_rounded_down(self, theirs: i64) -> i64 {
        let factor = 10i64.pow(u32::from(self.theirs.saturating_sub(self.ours)));
        self.to_us(theirs - theirs % factor).unwrap_or(i64::MAX)
    }
}

/// `None` where digits that are not zero would be lost, and on overflow.
fn rescale(amount: i64, from: u16, to: u16) -> Option<i64> {
    let factor = 10i64.checked_pow(u32::from(from.abs_diff(to)))?;
    match to >= from {
        true => amount.checked_mul(factor),
        false => (amount % factor == 0).then_some(amount / factor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(quirks: &Quirks, money: &str, purpose: Purpose) -> String {
        let (amount, code) = money.split_once(' ').unwrap();
        let amount = Amount::new(amount.parse().unwrap()).unwrap();
        let currency = Currency::from_code(code).unwrap();
        match quirks.to_gateway(amount, currency, purpose) {
            Ok(theirs) => {
                assert_eq!(quirks.to_us(theirs, currency), Some(amount.minor()), "{money}");
                theirs.to_string()
            }
            Err(quirk) => quirk.to_string().replace("the gateway", ""),
        }
    }

    #[test]
    fn stripe_amounts() {
        use Purpose::*;
        let table = [
            ("1050 USD", Charge, "1050"),
            ("50 USD", Charge, "50"),
            ("49 USD", Charge, "'s least charge in USD is 50"),
            ("49 USD", Part, "49"),
            ("500 JPY", Charge, "500"),
            ("49 JPY", Charge, "'s least charge in JPY is 50"),
            ("5 ISK", Charge, "500"),
            ("1 UGX", Charge, "100"),
            ("5 VND", Charge, "5"),
            ("1000 MGA", Charge, "10"),
            ("1050 MGA", Charge, " takes MGA in multiples of 100 only"),
            ("5120 KWD", Charge, "5120"),
            ("5124 KWD", Charge, " takes KWD in multiples of 10 only"),
            ("5124 KWD", Part, " takes KWD in multiples of 10 only"),
            ("18000 HUF", Charge, "18000"),
            ("18045 HUF", Charge, "18045"),
            ("1045 HUF", Payout, " takes HUF in multiples of 100 only"),
            ("1000 HUF", Payout, "1000"),
            ("80045 TWD", Payout, " takes TWD in multiples of 100 only"),
            ("99999999 USD", Charge, "99999999"),
            ("100000000 USD", Charge, "'s largest amount in USD is 99999999"),
            ("1000000 ISK", Charge, "'s largest amount in ISK is 999999"),
            ("999999999999 IDR", Charge, "999999999999"),
            ("100 CLF", Charge, " does not take CLF"),
        ];
        for (money, purpose, expected) in table {
            assert_eq!(said(&STRIPE, money, purpose), expected, "{money} {purpose:?}");
        }
    }

    #[test]
    fn the_simulator_counts_as_we_do() {
        for money in ["1 USD", "1 KWD", "7 ISK", "9007199254740991 JPY"] {
            let minor = money.split_once(' ').unwrap().0;
            assert_eq!(said(&SIMULATOR, money, Purpose::Charge), minor);
        }
    }

    #[test]
    fn fractions_that_we_do_not_have_are_not_invented() {
        assert_eq!(STRIPE.to_us(550, Currency::from_code("ISK").unwrap()), None);
        assert_eq!(STRIPE.to_us(500, Currency::from_code("ISK").unwrap()), Some(5));
    }
}
