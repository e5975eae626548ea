//! Money: an integer in minor units and an ISO 4217 code, always both.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest amount and the largest balance either way, 2^53 − 1: every JSON reader holds it
/// exactly.
pub const MAX_AMOUNT: i64 = (1 << 53) - 1;

/// An amount to move: 1 ..= [`MAX_AMOUNT`] minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Amount(i64);

impl Amount {
    /// `None` for zero, negatives and anything above [`MAX_AMOUNT`].
    pub fn new(minor: i64) -> Option<Self> {
        (1..=MAX_AMOUNT).contains(&minor).then_some(Self(minor))
    }

    pub fn minor(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let minor = i64::deserialize(deserializer)?;
        Self::new(minor).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "an amount is an integer from 1 to {MAX_AMOUNT} in minor units, not {minor}"
            ))
        })
    }
}

/// An ISO 4217 currency, three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    pub const USD: Self = Self(*b"USD");

    /// `None` when ISO 4217 does not know the code.
    pub fn from_code(code: &str) -> Option<Self> {
        iso_currency::Currency::from_code(code)?;
        code.as_bytes().try_into().ok().map(Self)
    }

    /// The code as text, e.g. `USD`.
    pub fn code(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Digits after the decimal point: USD 2, JPY 0, KWD 3 (ISO 4217's table).
    pub fn exponent(&self) -> u16 {
        iso_currency::Currency::from_code(self.code()).and_then(|c| c.exponent()).unwrap_or(0)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "{code:?} is not an ISO 4217 currency code such as \"USD\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_come_from_iso_4217() {
        for (code, exponent) in [("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)] {
            let currency = Currency::from_code(code).expect("a known code");
            assert_eq!(currency.exponent(), exponent, "{code}");
        }
        for code in ["usd", "US", "USDX", "", "AAA", "€€€"] {
            assert_eq!(Currency::from_code(code), None, "{code}");
        }
    }

    /// Balances are kept in minor units: if a currency's exponent ever changed under them, they
    /// would mean something else. An update of the table that does so must be seen.
    #[test]
    fn exponents_stay_what_they_are() {
        let letters = || (b'A'..=b'Z').map(char::from);
        let codes = letters().flat_map(|a| {
            letters()
                .flat_map(move |b| letters().map(move |c| [a, b, c].iter().collect::<String>()))
        });
        let known = codes.filter_map(|code| Currency::from_code(&code));
        let mut odd = std::collections::BTreeMap::<u16, Vec<String>>::new();
        for currency in known.filter(|currency| currency.exponent() != 2) {
            odd.entry(currency.exponent()).or_default().push(currency.code().to_owned());
        }
        let none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XAG XAU XBA XBB \
             XBC XBD XDR XOF XPD XPF XPT XSU XTS XUA XXX";
        for (exponent, codes) in [(0, none), (3, "BHD IQD JOD KWD LYD OMR TND"), (4, "CLF UYW")] {
            assert_eq!(odd.remove(&exponent).unwrap_or_default().join(" "), codes, "{exponent}");
        }
        assert!(odd.is_empty(), "{odd:?}");
    }

    #[test]
    fn amounts_are_whole_positive_and_exact_in_json() {
        for good in ["1", "1050", "9007199254740991"] {
            assert!(serde_json::from_str::<Amount>(good).is_ok(), "{good}");
        }
        for bad in ["0", "-1", "1.5", "10.0", "1e3", "\"10\"", "9007199254740992", "null"] {
            assert!(serde_json::from_str::<Amount>(bad).is_err(), "{bad}");
        }
    }
}
