//! What anybody may know of the platform: what it takes, and what it tells.

use std::sync::LazyLock;

use caudal_domain::{
    Currency, MAX_AMOUNT,
    event::kinds,
    text::{METADATA_KEY_CHARS, METADATA_PAIRS, METADATA_VALUE_CHARS},
};
use caudal_service::fraud_rules::ACTIVE_MOST;
use serde::Serialize;
use utoipa::ToSchema;

use super::{NAME_CHARS, transfers::BATCH_MOST};

/// A part of it, by its name in the path.
#[derive(Clone, Copy)]
pub(crate) enum Config {
    Currencies,
    Limits,
    Events,
}

impl Config {
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "currencies" => Some(Self::Currencies),
            "limits" => Some(Self::Limits),
            "events" => Some(Self::Events),
            _ => None,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
#[schema(as = Config, example = json!({
    "name": "currencies", "object": "config",
    "currencies": [{"code": "USD", "exponent": 2}]
}))]
pub(crate) enum ConfigShape {
    /// Every currency, and how many digits of an amount stand behind its point.
    Currencies { object: &'static str, currencies: &'static [CurrencyShape] },
    /// The most that requests may hold.
    Limits { object: &'static str, limits: LimitsShape },
    /// The kinds of events, for whoever subscribes to some.
    Events { object: &'static str, events: &'static [&'static str] },
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConfigCurrency)]
pub(crate) struct CurrencyShape {
    code: String,
    exponent: u16,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConfigLimits)]
pub(crate) struct LimitsShape {
    /// Minor units.
    amount: i64,
    batch_items: usize,
    name_chars: usize,
    metadata_pairs: usize,
    metadata_key_chars: usize,
    metadata_value_chars: usize,
    active_fraud_rules: i64,
}

impl From<Config> for ConfigShape {
    fn from(config: Config) -> Self {
        let object = "config";
        match config {
            Config::Currencies => Self::Currencies { object, currencies: CURRENCIES.as_slice() },
            Config::Events => Self::Events { object, events: kinds::ALL },
            Config::Limits => {
                let limits = LimitsShape {
                    amount: MAX_AMOUNT,
                    batch_items: BATCH_MOST,
                    name_chars: NAME_CHARS,
                    metadata_pairs: METADATA_PAIRS,
                    metadata_key_chars: METADATA_KEY_CHARS,
                    metadata_value_chars: METADATA_VALUE_CHARS,
                    active_fraud_rules: ACTIVE_MOST,
                };
                Self::Limits { object, limits }
            }
        }
    }
}

/// All codes of three letters that ISO 4217 knows: its table can be asked, not read.
static CURRENCIES: LazyLock<Vec<CurrencyShape>> = LazyLock::new(|| {
    let letters = || 'A'..='Z';
    let codes = letters().flat_map(|a| {
        letters().flat_map(move |b| letters().map(move |c| String::from_iter([a, b, c])))
    });
    let shape = |currency: Currency| CurrencyShape {
        code: currency.code().to_owned(),
        exponent: currency.exponent(),
    };
    codes.filter_map(|code| Currency::from_code(&code).map(shape)).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_have_their_exponents() {
        let of = |code: &str| CURRENCIES.iter().find(|it| it.code == code).map(|it| it.exponent);
        assert_eq!((of("USD"), of("JPY"), of("KWD"), of("XXQ")), (Some(2), Some(0), Some(3), None));
        assert!(CURRENCIES.len() > 150, "{}", CURRENCIES.len());
    }
}
