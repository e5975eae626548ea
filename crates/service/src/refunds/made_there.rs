//! Refunds that somebody made at the gateway's own pages. The money has gone and nobody can refuse
//! it, so the refund is booked as it is, also below the payee's floor. What fits no refund of ours
//! is left to a person: another currency, more than is left, a share of a fee that comes out
//! otherwise, money that never reached the payee.

use caudal_domain::{
    AccountKind, Chart, Refusal, Transfer,
    payment::{PaymentStatus, RefundEvent, RefundStatus},
};
use caudal_engine::Command;
use caudal_gateway::RefundStanding;
use caudal_ledger::movements::refund;
use caudal_store::{payments, refunds};

use super::NewRefund;
use crate::{
    Service, ServiceError,
    payments::{Payment, telling},
    transfers::accounts_of,
};

/// What its reason says.
const REASON: &str = "made at the gateway";

impl Service {
    /// Whether it is in the books now. The payment was read before it was looked for there: who
    /// books it meanwhile writes the payment too, and then ours is refused as a conflict.
    pub(crate) async fn book_refund_made_there(
        &self,
        payment: &Payment,
        standing: &RefundStanding,
    ) -> Result<bool, ServiceError> {
        let row = &payment.row;
        let Some(account) = row.gateway_account else { return Ok(false) };
        let (db, reference) = (self.store(), standing.reference.as_str());
        if refunds::find_by_gateway(db, row.tenant, account, reference).await?.is_some() {
            return Ok(true);
        }
        if standing.key.is_none() && self.has_pending_refund(payment).await? {
            // It may be this one.
            return Err(Refusal::Conflict.into());
        }
        if row.status != PaymentStatus::Succeeded || row.currency != standing.currency {
            return Ok(false);
        }
        let transfer = self.moved_by(payment).await?;
        let chart = Chart { tenant: row.tenant, currency: row.currency };
        let is_unapplied = transfer.legs[0].to == chart.of(AccountKind::Unapplied);
        match amount_of(payment, &transfer, standing.amount_minor) {
            Some(amount) if !is_unapplied => {
                self.book_there((payment, amount), &transfer, reference).await
            }
            _ => Ok(false),
        }
    }

    async fn book_there(
        &self,
        (payment, amount): (&Payment, i64),
        transfer: &Transfer,
        reference: &str,
    ) -> Result<bool, ServiceError> {
        let row = &payment.row;
        let new = NewRefund { amount: Some(amount), reason: Some(REASON.into()) };
        let (next, mut refund) = self.new_refund(payment, &new, self.now())?;
        refund.status = refund.status.next(RefundEvent::Confirmed)?;
        refund.gateway_reference = Some(reference.to_owned());
        let chart = Chart { tenant: row.tenant, currency: row.currency };
        let fee = payment.data.fee_return;
        let mut command = Command::new(refund::made_there(chart, transfer.id, amount, fee));
        command.accounts = accounts_of(transfer);
        command.attachments.push(payments::attachment(&next.to_row()?));
        command.steps.push(refunds::insert_with_transfer(&refund));
        command.telling = Some(telling::of_refund((payment, &next), &refund)?);
        match self.submit(row.tenant, command).await {
            Ok(_) => Ok(true),
            Err(ServiceError::Refused(refusal)) if refusal != Refusal::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn has_pending_refund(&self, payment: &Payment) -> Result<bool, ServiceError> {
        let filter = refunds::Filter {
            tenant: payment.row.tenant,
            status: Some(RefundStatus::Pending),
            payment: Some(payment.row.id),
            before: u128::MAX,
            from: 0,
            limit: 1,
        };
        Ok(!refunds::list(self.store(), &filter).await?.is_empty())
    }
}

/// How much of the payment is given back where this much comes back to the gateway's account.
fn amount_of(payment: &Payment, transfer: &Transfer, comes_back: i64) -> Option<i64> {
    let brings = |amount| refund::brings_back(transfer, amount, payment.data.fee_return);
    let (mut low, mut high) = (1, payment.row.amounts.refundable());
    while low < high {
        let middle = low + (high - low) / 2;
        match brings(middle) < comes_back {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    (low == high && brings(low) == comes_back).then_some(low)
}
