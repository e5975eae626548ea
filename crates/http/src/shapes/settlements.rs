//! What a gateway paid to the bank as it is told.

use caudal_domain::{Currency, MAX_AMOUNT};
use caudal_service::settlements::Settlement;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_name;
use crate::problem::Problem;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSettlement, example = json!({
    "reference": "po_1", "amount": 150000, "fee": 4380, "currency": "EUR"
}))]
pub(crate) struct SettlementRequest {
    /// The gateway's name of it: booked once, however often it is told.
    #[schema(min_length = 1, max_length = 200)]
    reference: String,
    /// What the gateway owed for: taken less given back, without payouts; below zero when more was
    /// given back.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    amount: i64,
    /// The part of it that the gateway kept; 0, if not given.
    #[serde(default)]
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    fee: i64,
    #[schema(value_type = String)]
    currency: Currency,
}

impl SettlementRequest {
    pub fn into_settlement(self) -> Result<Settlement, Problem> {
        let Self { reference, amount, fee, currency } = self;
        check_name("reference", &reference)?;
        for (param, minor) in [("amount", amount), ("fee", fee), ("fee", amount.wrapping_sub(fee))]
        {
            if !(-MAX_AMOUNT..=MAX_AMOUNT).contains(&minor) {
                return Err(Problem::invalid(param, "is out of range"));
            }
        }
        Ok(Settlement { reference, amount, fee, currency })
    }
}
