//! What the world is told of a payment: ids and amounts, in the commit that made it so. Where money
//! moved, the movement's entries go along.

use caudal_domain::{
    AccountId, BusinessDay, Currency, GatewayAccountId, PaymentId, RefundId, UserId,
    event::kinds,
    payment::{PaymentStatus, RefundStatus},
};
use caudal_engine::Telling;
use serde::{Deserialize, Serialize};

use super::{Payment, RefundRow};
use crate::{ServiceError, unit::broken};

/// What a payment is now and, but for a new one, what it was before the commit: whoever keeps sums
/// needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PaymentChange {
    #[serde(rename = "type")]
    pub kind: String,
    pub amount: i64,
    pub currency: Currency,
    /// On which it was made.
    pub business_date: BusinessDay,
    #[serde(flatten)]
    pub standing: Standing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Standing>,
}

/// Amounts in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub status: PaymentStatus,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    pub amount_disputed: i64,
    pub fee: i64,
}

impl Standing {
    pub fn of(payment: &Payment) -> Self {
        let row = &payment.row;
        Self {
            status: row.status,
            amount_captured: row.amounts.captured,
            amount_refunded: row.amounts.refunded,
            amount_disputed: row.amounts.disputed,
            fee: row.fee,
        }
    }
}

impl PaymentChange {
    fn of(before: Option<&Payment>, payment: &Payment) -> Self {
        let row = &payment.row;
        Self {
            kind: row.kind.clone(),
            amount: row.amount,
            currency: row.currency,
            business_date: row.business_day,
            standing: Standing::of(payment),
            was: before.map(Standing::of),
        }
    }

    /// `None`, if nothing has changed that is told.
    pub fn between(before: &Payment, after: &Payment) -> Option<Self> {
        let change = Self::of(Some(before), after);
        (change.was.as_ref() != Some(&change.standing)).then_some(change)
    }
}

#[derive(Serialize)]
struct PaymentTold<'a> {
    payment_id: PaymentId,
    #[serde(flatten)]
    change: PaymentChange,
    wallet_id: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_id: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_account_id: Option<GatewayAccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'a str>,
}

/// The first event of a payment, by the status that it begins with.
pub(crate) fn of_new(payment: &Payment) -> Result<Telling, ServiceError> {
    telling(kind_of(payment.row.status), None, payment)
}

/// The event of a payment that came to its status from another one: what was requested before is
/// not requested again.
pub(crate) fn of_change(before: &Payment, after: &Payment) -> Result<Telling, ServiceError> {
    let kind = match after.row.status {
        PaymentStatus::Processing => kinds::PAYMENT_PROCESSING,
        status => kind_of(status),
    };
    telling(kind, Some(before), after)
}

/// A person has to find out what became of it.
pub(crate) fn of_need(before: &Payment, after: &Payment) -> Result<Telling, ServiceError> {
    telling(kinds::PAYMENT_NEEDS_DECISION, Some(before), after)
}

fn telling(
    kind: &'static str,
    before: Option<&Payment>,
    payment: &Payment,
) -> Result<Telling, ServiceError> {
    let row = &payment.row;
    let data = PaymentTold {
        payment_id: row.id,
        change: PaymentChange::of(before, payment),
        wallet_id: row.wallet,
        from_id: row.from,
        user_id: row.user,
        gateway_account_id: row.gateway_account,
        failure: row.failure.as_deref(),
        decline_code: payment.data.decline_code.as_deref(),
    };
    Ok(Telling {
        kind,
        subject: row.id.to_string(),
        bucket: row.id.bucket(),
        data: serde_json::to_string(&data).map_err(broken)?,
    })
}

#[derive(Serialize)]
struct RefundTold<'a> {
    refund_id: RefundId,
    payment_id: PaymentId,
    status: RefundStatus,
    amount: i64,
    currency: Currency,
    wallet_id: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentChange>,
}

/// The event of the status that a refund has come to, with what that changed of its payment.
pub(crate) fn of_refund(
    (before, after): (&Payment, &Payment),
    refund: &RefundRow,
) -> Result<Telling, ServiceError> {
    let data = RefundTold {
        refund_id: refund.id,
        payment_id: refund.payment,
        status: refund.status,
        amount: refund.amount,
        currency: refund.currency,
        wallet_id: after.row.wallet,
        user_id: after.row.user,
        failure: refund.failure.as_deref(),
        payment: PaymentChange::between(before, after),
    };
    Ok(Telling {
        kind: match refund.status {
            RefundStatus::Pending => kinds::REFUND_REQUESTED,
            RefundStatus::Succeeded => kinds::REFUND_SUCCEEDED,
            RefundStatus::Failed => kinds::REFUND_FAILED,
        },
        subject: refund.id.to_string(),
        bucket: refund.id.bucket(),
        data: serde_json::to_string(&data).map_err(broken)?,
    })
}

fn kind_of(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Processing => kinds::PAYMENT_REQUESTED,
        PaymentStatus::RequiresCapture => kinds::PAYMENT_AUTHORIZED,
        PaymentStatus::RequiresAction => kinds::PAYMENT_ACTION_REQUIRED,
        PaymentStatus::Queued => kinds::PAYMENT_QUEUED,
        PaymentStatus::Unknown => kinds::PAYMENT_LOST_FROM_SIGHT,
        PaymentStatus::InReview => kinds::PAYMENT_IN_REVIEW,
        PaymentStatus::Succeeded => kinds::PAYMENT_PROCESSED,
        PaymentStatus::Failed => kinds::PAYMENT_FAILED,
        PaymentStatus::Canceled => kinds::PAYMENT_CANCELED,
        PaymentStatus::Blocked => kinds::PAYMENT_BLOCKED,
    }
}
