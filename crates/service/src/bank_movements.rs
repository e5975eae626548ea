//! Money between the tenant's bank and its treasury: told by whoever sees the bank's statements.

use caudal_domain::{AccountKind, Currency, Transfer};
use caudal_engine::Command;
use caudal_ledger::{Movement, movements::bank};
use serde::{Deserialize, Serialize};

use crate::{Asked, Done, Service, ServiceError, audit::Did};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the treasury.
    In,
    /// From the treasury, no more than is in it.
    Out,
}

#[derive(Clone, Debug)]
pub struct BankMovement {
    pub direction: Direction,
    pub amount: i64,
    pub currency: Currency,
    pub reference: Option<String>,
}

impl Service {
    pub async fn move_bank_money(
        &self,
        asked: Asked<'_>,
        what: BankMovement,
    ) -> Result<Done<Transfer>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        let chart = self.chart(caller.tenant, what.currency, None).await?;
        let (mut new, action) = match what.direction {
            Direction::In => (bank::money_in(chart, what.amount), "bank.money_in"),
            Direction::Out => (bank::money_out(chart, what.amount), "bank.money_out"),
        };
        new.reference = what.reference;
        let mut command = Command::new(Movement::Post(new));
        command.receipt = Some(receipt);
        let object_id = chart.of(AccountKind::Bank).to_string();
        let did = Did { action, object_kind: "bank", object_id, fields: &["balance"] };
        command.steps.push(self.audit(caller, did, self.now()));
        self.submit_transfer(caller, command).await
    }
}
