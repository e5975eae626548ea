//! The money of a dispute. The gateway's account always gets what the bank took; who gives it is
//! decided here, and kept with the dispute, so that it goes back the same way.
//!
//! | event | money |
//! |---|---|
//! | `opened` | a chargeback of all that the bank took, whoever gives it |
//! | `evidence_sent` | none |
//! | `won` | the chargeback is undone |
//! | `lost`, `conceded` | none; where the tenant bears it, from `dispute_loss` to the wallet |
//! | `won` after that | the chargeback is undone; the tenant has back what the tenant bore |
//!
//! The payee gives what was not refunded, also below the wallet's floor: it is then in arrears.
//! Then goes the fee that the payer bore, and the rest is the tenant's, from `dispute_loss`.

use caudal_domain::{AccountKind, Chart, Timestamp, Transfer, payment_type::LossBearer};
use caudal_engine::Command;
use caudal_ledger::{
    Movement,
    movements::dispute::{self, Taken},
};
use caudal_store::{entries, payments, transfers};
use serde::{Deserialize, Serialize};

use super::DisputeRow;
use crate::{Service, ServiceError, payments::Payment, transfers::accounts_of, unit::broken};

/// Entries read at once.
const PAGE: i64 = 1000;

/// [`DisputeRow::data`]: who gave what of its amount. Without it the payee gave all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct DisputeData {
    #[serde(skip_serializing_if = "Option::is_none")]
    payee: Option<i64>,
    /// The tenant, from the start.
    besides: i64,
    /// Somebody gives it up, and the gateway has not been heard to take that.
    pub(super) is_conceding: bool,
    /// It was lost, and the tenant has paid the payee what they had given.
    borne: bool,
}

impl DisputeData {
    pub(super) fn read(dispute: &DisputeRow) -> Result<Self, ServiceError> {
        serde_json::from_str(&dispute.data).map_err(broken)
    }

    pub(super) fn conceding(self, is_conceding: bool) -> Self {
        Self { is_conceding, ..self }
    }

    pub(super) fn to_text(&self) -> Result<String, ServiceError> {
        serde_json::to_string(self).map_err(broken)
    }
}

impl Service {
    /// What moves the money when the bank has taken `amount`, of which `payee` is the payee's.
    pub(super) async fn taken(
        &self,
        chart: Chart,
        transfer: &Transfer,
        (amount, payee): (i64, i64),
    ) -> Result<(Movement, DisputeData), ServiceError> {
        let unapplied_most = self.left_unapplied(chart, transfer).await?;
        let taken = Taken { unapplied_most, ..Taken::of(transfer, amount, payee) };
        let data =
            DisputeData { payee: Some(payee), besides: taken.tenant, ..DisputeData::default() };
        Ok((dispute::chargeback(chart, transfer.id, taken), data))
    }

    /// What is still there of money that went to `unapplied`, if the oldest is applied first: what
    /// came later is others'. `None` if it did not go there.
    async fn left_unapplied(
        &self,
        chart: Chart,
        transfer: &Transfer,
    ) -> Result<Option<i64>, ServiceError> {
        let account = chart.of(AccountKind::Unapplied);
        if transfer.legs[0].to != account {
            return Ok(None);
        }
        let (mut left, mut before) = (None, i64::MAX);
        loop {
            let page = entries::list(self.store(), account, before, PAGE).await?;
            for entry in &page {
                let now = left.unwrap_or(entry.balance_after);
                if entry.transfer == transfer.id || now <= 0 {
                    return Ok(Some(now.max(0)));
                }
                left = Some(now - entry.amount.max(0));
            }
            let Some(oldest) = page.last() else { return Ok(Some(0)) };
            before = oldest.version;
        }
    }

    /// With the payment as it is then.
    pub(super) async fn won(
        &self,
        dispute: &DisputeRow,
        payment: &Payment,
        at: Timestamp,
    ) -> Result<(Command, Payment), ServiceError> {
        let chargeback = self.chargeback_of(dispute).await?;
        let data = DisputeData::read(dispute)?;
        let chart = Chart { tenant: dispute.tenant, currency: dispute.currency };
        let won = if data.borne { dispute::won_by_tenant } else { dispute::won };
        let mut command = Command::new(won(chart, &chargeback, data.besides));
        command.accounts = accounts_of(&chargeback);
        let mut after = payment.next(at);
        let payee = data.payee.unwrap_or(dispute.amount);
        after.row.amounts = after.row.amounts.dispute_won(payee);
        command.attachments.push(payments::attachment(&after.to_row()?));
        Ok((command, after))
    }

    /// The payee has borne it since it was opened, unless the type said otherwise of the payment.
    pub(super) async fn lost(
        &self,
        next: &mut DisputeRow,
        payment: &Payment,
    ) -> Result<Command, ServiceError> {
        let chargeback = self.chargeback_of(next).await?;
        let chart = self.chart(next.tenant, next.currency, None).await?;
        // What came from elsewhere, the tenant has borne from the start.
        let payees = [payment.row.wallet, chart.of(AccountKind::Unapplied)];
        let of_payee = chargeback.legs.iter().filter(|leg| payees.contains(&leg.from));
        let paid: i64 = of_payee.map(|leg| leg.amount).sum();
        if payment.data.loss_bearer == LossBearer::Payee || paid == 0 {
            return Ok(Command::writing());
        }
        next.data = DisputeData { borne: true, ..DisputeData::read(next)? }.to_text()?;
        Ok(Command::new(Movement::Post(dispute::lost(chart, payment.row.wallet, paid))))
    }

    async fn chargeback_of(&self, dispute: &DisputeRow) -> Result<Transfer, ServiceError> {
        let lost = || ServiceError::Broken(format!("{} has moved no money", dispute.id));
        let id = dispute.transfer.ok_or_else(lost)?;
        transfers::find(self.store(), dispute.tenant, id).await?.ok_or_else(lost)
    }
}
