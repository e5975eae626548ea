//! What the world is told of a payment: ids and amounts, in the commit that made it so. Where money
//! moved, the movement's entries go along.

use caudal_domain::{
    AccountId, Currency, GatewayAccountId, PaymentId, RefundId, UserId,
    event::kinds,
    payment::{PaymentStatus, RefundStatus},
};
use caudal_engine::Telling;
use serde::Serialize;

use super::{Payment, RefundRow};
use crate::{ServiceError, unit::broken};

#[derive(Serialize)]
struct PaymentTold<'a> {
    payment_id: PaymentId,
    #[serde(rename = "type")]
    kind: &'a str,
    status: PaymentStatus,
    amount: i64,
    currency: Currency,
    amount_captured: i64,
    amount_refunded: i64,
    amount_disputed: i64,
    fee: i64,
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

/// The event of the status that the payment has come to.
pub(crate) fn of(payment: &Payment) -> Result<Telling, ServiceError> {
    telling(payment, kind_of(payment.row.status))
}

/// The event of a payment that came to its status from another one: what was requested before is
/// not requested again.
pub(crate) fn of_change(payment: &Payment) -> Result<Telling, ServiceError> {
    match payment.row.status {
        PaymentStatus::Processing => telling(payment, kinds::PAYMENT_PROCESSING),
        status => telling(payment, kind_of(status)),
    }
}

pub(crate) fn telling(payment: &Payment, kind: &'static str) -> Result<Telling, ServiceError> {
    let row = &payment.row;
    let data = PaymentTold {
        payment_id: row.id,
        kind: &row.kind,
        status: row.status,
        amount: row.amount,
        currency: row.currency,
        amount_captured: row.amounts.captured,
        amount_refunded: row.amounts.refunded,
        amount_disputed: row.amounts.disputed,
        fee: row.fee,
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
}

/// The event of the status that a refund of the payment has come to.
pub(crate) fn of_refund(payment: &Payment, refund: &RefundRow) -> Result<Telling, ServiceError> {
    let data = RefundTold {
        refund_id: refund.id,
        payment_id: refund.payment,
        status: refund.status,
        amount: refund.amount,
        currency: refund.currency,
        wallet_id: payment.row.wallet,
        user_id: payment.row.user,
        failure: refund.failure.as_deref(),
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
