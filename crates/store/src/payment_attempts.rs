//! Calls to gateways for a payment: written down before they are made, and what was said after.

use caudal_domain::{GatewayAccountId, PaymentId, TenantId, Timestamp};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "payment_id, number, tenant_id, gateway_account_id, operation, key, \
     started_at, ended_at, outcome, reference, decline_code, detail from payment_attempts";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    pub payment: PaymentId,
    /// Counts a payment's attempts from 1.
    pub number: i64,
    pub tenant: TenantId,
    pub gateway_account: GatewayAccountId,
    /// What was asked: a charge, a capture, a refund …
    pub operation: String,
    /// Our idempotency key at the gateway.
    pub key: String,
    pub started_at: Timestamp,
    pub ended: Option<Ended>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at: Timestamp,
    /// A word of the caller's: succeeded, declined, unclear …
    pub outcome: String,
    pub reference: Option<String>,
    pub decline_code: Option<String>,
    pub detail: Option<String>,
}

/// Before the call is made. Misses when the payment has an attempt of this number.
pub fn start(attempt: &AttemptRow) -> Step {
    Step::one(
        "insert into payment_attempts (bucket, payment_id, number, tenant_id, gateway_account_id,
         operation, key, started_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        vec![
            attempt.payment.bucket().into(),
            attempt.payment.0.into(),
            attempt.number.into(),
            attempt.tenant.0.into(),
            attempt.gateway_account.0.into(),
            attempt.operation.as_str().into(),
            attempt.key.as_str().into(),
            attempt.started_at.into(),
        ],
    )
    .inserting_lists(
        "insert into payment_attempts (bucket, payment_id, number, tenant_id, gateway_account_id,
         operation, key, started_at)
         select * from unnest($1::int2[], $2::uuid[], $3::int8[], $4::uuid[], $5::uuid[],
         $6::text[], $7::text[], $8::timestamptz[])",
    )
}

/// Misses when it has ended before. (In lists as a `case`: the planner would take what it thinks
/// rare for the way in.)
pub fn end(tenant: TenantId, (payment, number): (PaymentId, i64), ended: &Ended) -> Step {
    Step::one(
        "update payment_attempts set ended_at = $5, outcome = $6, reference = $7,
         decline_code = $8, detail = $9
         where bucket = $1 and payment_id = $2 and number = $3 and tenant_id = $4
           and ended_at is null",
        vec![
            payment.bucket().into(),
            payment.0.into(),
            number.into(),
            tenant.0.into(),
            ended.at.into(),
            ended.outcome.as_str().into(),
            ended.reference.clone().into(),
            ended.decline_code.clone().into(),
            ended.detail.clone().into(),
        ],
    )
    .updating_lists(
        "update payment_attempts a set ended_at = u.ended_at, outcome = u.outcome,
         reference = u.reference, decline_code = u.decline_code, detail = u.detail
         from unnest($1::int2[], $2::uuid[], $3::int8[], $4::uuid[], $5::timestamptz[],
         $6::text[], $7::text[], $8::text[], $9::text[])
         u (bucket, payment_id, number, tenant_id, ended_at, outcome, reference, decline_code,
         detail)
         where a.bucket = u.bucket and a.payment_id = u.payment_id and a.number = u.number
           and a.tenant_id = u.tenant_id and case when a.ended_at is null then true end",
    )
}

/// Of a payment, oldest first.
pub async fn of_payment(
    db: &dyn Backend,
    tenant: TenantId,
    payment: PaymentId,
    limit: i64,
) -> Result<Vec<AttemptRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and payment_id = $2 and tenant_id = $3
         order by number limit $4"
    );
    let params = [payment.bucket().into(), payment.0.into(), tenant.0.into(), limit.into()];
    db.query("payment_attempts", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<AttemptRow, StoreError> {
    let ended = |at| {
        Ok::<_, StoreError>(Ended {
            at,
            outcome: row.string(8)?,
            reference: row.opt_string(9)?,
            decline_code: row.opt_string(10)?,
            detail: row.opt_string(11)?,
        })
    };
    Ok(AttemptRow {
        payment: PaymentId(row.id(0)?),
        number: row.int(1)?,
        tenant: TenantId(row.id(2)?),
        gateway_account: GatewayAccountId(row.id(3)?),
        operation: row.string(4)?,
        key: row.string(5)?,
        started_at: row.time(6)?,
        ended: row.opt_time(7)?.map(ended).transpose()?,
    })
}
