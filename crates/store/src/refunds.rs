//! Refunds as stored, in the bucket of their payment: see [`crate::payments`] for attachments.

use caudal_domain::{
    Currency, GatewayAccountId, PaymentId, RefundId, TenantId, Timestamp, TransferId,
    payment::RefundStatus,
};

use crate::{AttachedRow, Attachment, Backend, Row, Step, StoreError, select::Select};

const COLUMNS: &str = "id, tenant_id, payment_id, status, amount, currency, reason, \
     gateway_account_id, gateway_reference, transfer_id, failure, data, created_at, updated_at, \
     version from refunds";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRow {
    /// Its bucket is the payment's.
    pub id: RefundId,
    pub tenant: TenantId,
    pub payment: PaymentId,
    pub status: RefundStatus,
    pub amount: i64,
    pub currency: Currency,
    pub reason: Option<String>,
    pub gateway_account: Option<GatewayAccountId>,
    pub gateway_reference: Option<String>,
    pub transfer: Option<TransferId>,
    /// Why it failed: a code.
    pub failure: Option<String>,
    /// JSON.
    pub data: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// Misses when there is a refund of this id.
pub fn insert(refund: &RefundRow) -> Step {
    Step::one(
        "insert into refunds (bucket, id, tenant_id, payment_id, status, amount, currency, reason,
         gateway_account_id, gateway_reference, transfer_id, failure, data, created_at,
         updated_at, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        vec![
            refund.id.bucket().into(),
            refund.id.0.into(),
            refund.tenant.0.into(),
            refund.payment.0.into(),
            refund.status.name().into(),
            refund.amount.into(),
            refund.currency.code().into(),
            refund.reason.clone().into(),
            refund.gateway_account.map(|id| id.0).into(),
            refund.gateway_reference.clone().into(),
            refund.transfer.map(|id| id.0).into(),
            refund.failure.clone().into(),
            refund.data.as_str().into(),
            refund.created_at.into(),
            refund.updated_at.into(),
            refund.version.into(),
        ],
    )
}

/// The insert, of a refund whose money the transfer of the same command gives back: `$11`, counted
/// from 0.
pub fn insert_with_transfer(refund: &RefundRow) -> Step {
    Step { transfer_at: Some(10), ..insert(refund) }
}

/// Writes what changes, if the row still has the version before `refund.version`.
pub fn update(refund: &RefundRow) -> Step {
    Step::one(
        "update refunds set status = $4, gateway_account_id = $5, gateway_reference = $6,
         transfer_id = $7, failure = $8, data = $9, updated_at = $10, version = $11
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and version = $11 - 1",
        vec![
            refund.id.bucket().into(),
            refund.id.0.into(),
            refund.tenant.0.into(),
            refund.status.name().into(),
            refund.gateway_account.map(|id| id.0).into(),
            refund.gateway_reference.clone().into(),
            refund.transfer.map(|id| id.0).into(),
            refund.failure.clone().into(),
            refund.data.as_str().into(),
            refund.updated_at.into(),
            refund.version.into(),
        ],
    )
}

/// The refund as it is to be after a movement.
pub fn attachment(refund: &RefundRow) -> Attachment {
    let row = AttachedRow { table: "refunds", bucket: refund.id.bucket(), id: refund.id.0 };
    Attachment { row, expected_version: refund.version - 1, write: update(refund) }
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: RefundId,
) -> Result<Option<RefundRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and id = $2 and tenant_id is not distinct from $3"
    );
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    db.query("refunds", &sql, &params).await?.first().map(read).transpose()
}

/// The refund that a gateway account calls by this name.
pub async fn find_by_gateway(
    db: &dyn Backend,
    tenant: TenantId,
    account: GatewayAccountId,
    reference: &str,
) -> Result<Option<RefundRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where gateway_account_id = $1 and gateway_reference = $2
         and tenant_id = $3 limit 1"
    );
    let params = [account.0.into(), reference.into(), tenant.0.into()];
    db.query("refunds", &sql, &params).await?.first().map(read).transpose()
}

/// All of a payment, newest first.
pub async fn of_payment(
    db: &dyn Backend,
    tenant: TenantId,
    payment: PaymentId,
    limit: i64,
) -> Result<Vec<RefundRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and payment_id = $2 and tenant_id = $3
         order by id desc limit $4"
    );
    let params = [payment.bucket().into(), payment.0.into(), tenant.0.into(), limit.into()];
    db.query("refunds", &sql, &params).await?.iter().map(read).collect()
}

/// A page of a tenant's refunds, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub status: Option<RefundStatus>,
    pub payment: Option<PaymentId>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<RefundRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id < $2 and id >= $3");
    let params = vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    let not_succeeded = filter.status.is_some_and(|status| status != RefundStatus::Succeeded);
    let rows = Select::new("refunds", sql, params)
        .and("status =", filter.status.map(RefundStatus::name))
        // Says what the partial index says, so that it is used.
        .and_when(not_succeeded, "status <> 'succeeded'")
        .and("bucket =", filter.payment.map(|id| i64::from(id.bucket().0)))
        .and("payment_id =", filter.payment.map(|id| id.0))
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<RefundRow, StoreError> {
    Ok(RefundRow {
        id: RefundId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        payment: PaymentId(row.id(2)?),
        status: row.decode(3, RefundStatus::from_name(row.text(3)?))?,
        amount: row.int(4)?,
        currency: row.decode(5, Currency::from_code(row.text(5)?))?,
        reason: row.opt_string(6)?,
        gateway_account: row.opt_id(7)?.map(GatewayAccountId),
        gateway_reference: row.opt_string(8)?,
        transfer: row.opt_id(9)?.map(TransferId),
        failure: row.opt_string(10)?,
        data: row.string(11)?,
        created_at: row.time(12)?,
        updated_at: row.time(13)?,
        version: row.int(14)?,
    })
}
