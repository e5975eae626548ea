//! What a payment looks like to whoever is only paid: their own side. What the payer wrote, paid
//! with and failed at is the payer's and the tenant's.

use caudal_domain::text::Metadata;
use caudal_store::{payments::PaymentRow, refunds::RefundRow};

use super::Payment;
use crate::{Caller, Reach, Service, ServiceError};

impl Service {
    /// Whether the caller sees the payer's side: they made the payment, pay it, or work for the
    /// tenant.
    pub(crate) async fn sees_payer(
        &self,
        caller: &Caller,
        row: &PaymentRow,
    ) -> Result<bool, ServiceError> {
        let Reach::Own(own) = caller.reach else { return Ok(true) };
        let Some(from) = row.from.filter(|_| row.user != Some(own)) else {
            return Ok(row.user == Some(own));
        };
        let payer = self.inner.owners.read(self.store(), row.tenant, from).await?;
        Ok(payer == Some(own))
    }
}

impl Payment {
    /// Without the payer's side.
    pub(super) fn seen_by_payee(mut self) -> Self {
        let (row, data) = (&mut self.row, &mut self.data);
        row.user = None;
        row.payment_method = None;
        row.gateway_account = None;
        row.gateway_reference = None;
        row.failure = None;
        row.reference = None;
        row.description = None;
        row.metadata = Metadata::default();
        data.next_action_url = None;
        data.decline_code = None;
        data.return_url = None;
        data.needs_decision = false;
        data.is_contradicted = false;
        self
    }
}

/// A refund without the payer's side.
pub(crate) fn refund_seen_by_payee(refund: RefundRow) -> RefundRow {
    RefundRow { reason: None, gateway_reference: None, failure: None, ..refund }
}
