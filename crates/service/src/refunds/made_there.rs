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
use caudal_store::{
    payments,
    refunds::{self, RefundRow},
};

use super::NewRefund;
use crate::{
    Service, ServiceError,
    payments::{Payment, telling},
    transfers::accounts_of,
};

/// What its reason says.
pub(crate) const REASON: &str = "made at the gateway";
/// Refunds of one payment that are looked at.
const REFUNDS_OF_ONE: i64 = 100;

impl Service {
    /// Whether it is in the books now. The payment was read before it was looked for there: who
    /// books it meanwhile writes the payment too, and then ours is refused as a conflict, to be
    /// heeded again. So is what comes before the payment's own end.
    pub(crate) async fn book_refund_made_there(
        &self,
        payment: &Payment,
        standing: &RefundStanding,
    ) -> Result<bool, ServiceError> {
        let row = &payment.row;
        let Some(account) = row.gateway_account else { return Ok(false) };
        // One of ours that has no name yet may be this one; it gets its name before it ends.
        let may_be_ours = standing.key.is_none() && self.has_nameless_refund(payment).await?;
        if may_be_ours || !row.status.is_final() {
            return Err(Refusal::Conflict.into());
        }
        let (db, reference) = (self.store(), standing.reference.as_str());
        if refunds::find_by_gateway(db, row.tenant, account, reference).await?.is_some() {
            return Ok(true);
        }
        if row.status != PaymentStatus::Succeeded || row.currency != standing.currency {
            return Ok(false);
        }
        let transfer = self.moved_by(payment).await?;
        let chart = Chart { tenant: row.tenant, currency: row.currency };
        let is_unapplied = transfer.legs[0].to == chart.of(AccountKind::Unapplied);
        // Stripe before 2025-03-31 shows what a capture in part let go as a refund.
        let is_rest = row.manual_capture && standing.amount_minor == row.amounts.capturable();
        match amount_of(payment, &transfer, standing.amount_minor) {
            Some(amount) if !is_unapplied && !is_rest => {
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

    async fn has_nameless_refund(&self, payment: &Payment) -> Result<bool, ServiceError> {
        let (tenant, id) = (payment.row.tenant, payment.row.id);
        let refunds = refunds::of_payment(self.store(), tenant, id, REFUNDS_OF_ONE).await?;
        let is_nameless = |refund: &RefundRow| {
            refund.status == RefundStatus::Pending && refund.gateway_reference.is_none()
        };
        Ok(refunds.iter().any(is_nameless))
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
