//! Money between the bank and the treasury as it is told.

use caudal_domain::{Amount, Currency};
use caudal_service::bank_movements::{BankMovement, Direction};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_name;
use crate::problem::Problem;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewBankMovement, example = json!({
    "direction": "in", "amount": 1000000, "currency": "EUR", "reference": "statement 17"
}))]
pub(crate) struct BankMovementRequest {
    /// `in` (to the treasury) or `out` (from it).
    #[schema(value_type = String)]
    direction: Direction,
    #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64)]
    amount: Amount,
    #[schema(value_type = String)]
    currency: Currency,
    /// Finds the transfer again.
    #[schema(min_length = 1, max_length = 200)]
    reference: Option<String>,
}

impl BankMovementRequest {
    pub fn into_movement(self) -> Result<BankMovement, Problem> {
        let Self { direction, amount, currency, reference } = self;
        if let Some(reference) = &reference {
            check_name("reference", reference)?;
        }
        Ok(BankMovement { direction, amount: amount.minor(), currency, reference })
    }
}
