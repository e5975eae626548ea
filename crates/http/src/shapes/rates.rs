//! Rates of exchange as they are written down and shown.

use std::collections::BTreeMap;

use caudal_domain::{Currency, Rate, RateOnRecord, Timestamp};
use caudal_service::rates::NewRates;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_name;
use crate::problem::Problem;

/// More than there are currencies.
const RATES_MOST: usize = 300;

/// What one unit of the currency in the path is worth from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRates, example = json!({
    "rates": {"EUR": "0.9231", "JPY": "151.239"}, "source": "ECB"
}))]
pub(crate) struct RatesRequest {
    /// By currency, each a decimal in text of at most 15 digits, 12 of them after the point.
    #[schema(value_type = BTreeMap<String, String>)]
    rates: BTreeMap<Currency, Rate>,
    /// Whose word it is.
    #[schema(min_length = 1, max_length = 200)]
    source: String,
}

impl RatesRequest {
    pub fn into_new(self, base: Currency) -> Result<NewRates, Problem> {
        let Self { rates, source } = self;
        check_name("source", &source)?;
        if !(1..=RATES_MOST).contains(&rates.len()) {
            return Err(Problem::invalid("rates", format!("has 1 to {RATES_MOST} currencies")));
        }
        if rates.contains_key(&base) {
            return Err(Problem::invalid(format!("rates.{base}"), "is the base itself"));
        }
        Ok(NewRates { base, rates, source })
    }
}

/// The rates of a currency that count now.
#[derive(Serialize, ToSchema)]
#[schema(as = Rates, example = json!({
    "object": "rates", "base": "USD", "rates": {"EUR": "0.9231", "JPY": "151.239"},
    "updated_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct RatesShape {
    object: &'static str,
    #[schema(value_type = String)]
    base: Currency,
    /// What one unit of `base` is worth, by currency: decimals in text.
    #[schema(value_type = BTreeMap<String, String>)]
    rates: BTreeMap<Currency, Rate>,
    /// When the last of them was written down.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl RatesShape {
    pub fn new(base: Currency, rates: &[RateOnRecord]) -> Self {
        let updated_at = rates.iter().map(|on_record| on_record.at).max().unwrap_or_default();
        let rates = rates.iter().map(|on_record| (on_record.quote, on_record.rate)).collect();
        Self { object: "rates", base, rates, updated_at }
    }
}
