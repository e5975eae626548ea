//! What was answered to a payment's maker, and how it is said again under the same key.
//!
//! A receipt names the payment only, with what the row does not tell any more: `pay_…` of a payment
//! from a wallet, for how it began follows from its row; `pay_… {snapshot}`; or `pay_… charge`,
//! where the answer was not known yet and is kept with the payment.

use caudal_domain::{
    PaymentId, Timestamp,
    payment::{PaymentAmounts, PaymentStatus},
};
use caudal_store::payments;
use serde::{Deserialize, Serialize};

use super::{AUTHORIZED_FOR_S, Payment};
use crate::{Done, Position, Service, ServiceError, unit::broken};

/// The part of a payment that changes, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub status: PaymentStatus,
    pub amounts: PaymentAmounts,
    pub fee: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decline_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

impl Payment {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let row = &self.row;
        Snapshot {
            status: row.status,
            amounts: row.amounts,
            fee: row.fee,
            failure: row.failure.clone(),
            decline_code: self.data.decline_code.clone(),
            next_action_url: self.data.next_action_url.clone(),
            available_at: row.available_at,
            updated_at: row.updated_at,
        }
    }

    /// The payment as it was shown then.
    pub(crate) fn back_in(mut self, then: Snapshot) -> Self {
        let row = &mut self.row;
        row.status = then.status;
        row.amounts = then.amounts;
        row.fee = then.fee;
        row.failure = then.failure;
        row.available_at = then.available_at;
        row.updated_at = then.updated_at;
        if row.status != PaymentStatus::Succeeded {
            row.transfer = None;
        }
        self.data.decline_code = then.decline_code;
        self.data.next_action_url = then.next_action_url;
        self
    }

    /// As a payment from a wallet was when it was made: paid, held, or failed.
    fn when_made_from_wallet(mut self) -> Self {
        let row = &mut self.row;
        row.updated_at = row.created_at;
        self.data.history.clear();
        if row.status == PaymentStatus::Failed || row.status == PaymentStatus::Blocked {
            return self;
        }
        let captured = if row.manual_capture { 0 } else { row.amount };
        row.amounts =
            PaymentAmounts { authorized: row.amount, captured, ..PaymentAmounts::default() };
        row.status = match row.manual_capture {
            true => PaymentStatus::RequiresCapture,
            false => PaymentStatus::Succeeded,
        };
        if row.manual_capture {
            row.transfer = None;
            row.fee = self.data.fee_rate.of(row.amount);
            self.data.capture_until = Some(row.created_at.plus_seconds(AUTHORIZED_FOR_S));
        }
        self
    }
}

/// What a receipt keeps.
pub(crate) fn kept(payment: &Payment) -> Result<String, ServiceError> {
    let snapshot = serde_json::to_string(&payment.snapshot()).map_err(broken)?;
    Ok(format!("{} {snapshot}", payment.row.id))
}

impl Service {
    /// What was said first to a key that was met again. `tenant`'s own, so it is there.
    pub(crate) async fn said_of(
        &self,
        tenant: caudal_domain::TenantId,
        kept: &str,
    ) -> Result<Done<Payment>, ServiceError> {
        let (id, then) = kept.split_once(' ').unwrap_or((kept, ""));
        let lost = || ServiceError::Broken(format!("{kept:?} is no payment that was kept"));
        let id: PaymentId = id.parse().map_err(|_| lost())?;
        let row = payments::find(self.store(), tenant, id).await?.ok_or_else(lost)?;
        let payment = Payment::read(row)?;
        let value = match then {
            "" => payment.when_made_from_wallet(),
            text if text.starts_with('{') => {
                payment.back_in(serde_json::from_str(text).map_err(broken)?)
            }
            operation => self.first_answer(payment, operation).await?,
        };
        Ok(Done { value, replayed: true, position: Position::new() })
    }
}

/// A payment that failed is an error to its maker.
pub(crate) fn unless_declined(done: Done<Payment>) -> Result<Done<Payment>, ServiceError> {
    match done.value.declined(done.replayed) {
        Some(declined) => Err(ServiceError::Declined(Box::new(declined))),
        None => Ok(done),
    }
}
