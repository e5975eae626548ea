//! Disputes as stored, in the bucket of their payment: see [`crate::payments`] for attachments.

use caudal_domain::{
    Currency, DisputeId, GatewayAccountId, PaymentId, TenantId, Timestamp, TransferId,
    payment::DisputeStatus,
};

use crate::{AttachedRow, Attachment, Backend, Row, Step, StoreError, select::Select};

const COLUMNS: &str = "id, tenant_id, payment_id, status, amount, currency, reason, \
     gateway_account_id, gateway_reference, transfer_id, evidence, evidence_due_at, data, \
     created_at, updated_at, version from disputes";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeRow {
    /// Its bucket is the payment's.
    pub id: DisputeId,
    pub tenant: TenantId,
    pub payment: PaymentId,
    pub status: DisputeStatus,
    pub amount: i64,
    pub currency: Currency,
    /// The gateway's word for why.
    pub reason: Option<String>,
    pub gateway_account: GatewayAccountId,
    pub gateway_reference: String,
    pub transfer: Option<TransferId>,
    pub evidence: Option<String>,
    pub evidence_due_at: Option<Timestamp>,
    /// JSON.
    pub data: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// Among the parameters of [`insert`].
const TRANSFER_PLACE: usize = 10;

/// Misses when the gateway account's dispute of this reference is there already.
pub fn insert(dispute: &DisputeRow) -> Step {
    Step::one(
        "insert into disputes (bucket, id, tenant_id, payment_id, status, amount, currency, reason,
         gateway_account_id, gateway_reference, transfer_id, evidence, evidence_due_at, data,
         created_at, updated_at, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         on conflict do nothing",
        vec![
            dispute.id.bucket().into(),
            dispute.id.0.into(),
            dispute.tenant.0.into(),
            dispute.payment.0.into(),
            dispute.status.name().into(),
            dispute.amount.into(),
            dispute.currency.code().into(),
            dispute.reason.clone().into(),
            dispute.gateway_account.0.into(),
            dispute.gateway_reference.as_str().into(),
            dispute.transfer.map(|id| id.0).into(),
            dispute.evidence.clone().into(),
            dispute.evidence_due_at.into(),
            dispute.data.as_str().into(),
            dispute.created_at.into(),
            dispute.updated_at.into(),
            dispute.version.into(),
        ],
    )
}

/// The insert, of a dispute for which the same command takes the money back.
pub fn insert_with_transfer(dispute: &DisputeRow) -> Step {
    Step { transfer_at: Some(TRANSFER_PLACE), ..insert(dispute) }
}

/// Writes what changes, if the row still has the version before `dispute.version`.
pub fn update(dispute: &DisputeRow) -> Step {
    Step::one(
        "update disputes set status = $4, reason = $5, transfer_id = $6, evidence = $7,
         evidence_due_at = $8, data = $9, updated_at = $10, version = $11
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and version = $11 - 1",
        vec![
            dispute.id.bucket().into(),
            dispute.id.0.into(),
            dispute.tenant.0.into(),
            dispute.status.name().into(),
            dispute.reason.clone().into(),
            dispute.transfer.map(|id| id.0).into(),
            dispute.evidence.clone().into(),
            dispute.evidence_due_at.into(),
            dispute.data.as_str().into(),
            dispute.updated_at.into(),
            dispute.version.into(),
        ],
    )
}

/// The dispute as it is to be after a movement.
pub fn attachment(dispute: &DisputeRow) -> Attachment {
    let row = AttachedRow { table: "disputes", bucket: dispute.id.bucket(), id: dispute.id.0 };
    Attachment { row, expected_version: dispute.version - 1, write: update(dispute) }
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: DisputeId,
) -> Result<Option<DisputeRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and id = $2 and tenant_id is not distinct from $3"
    );
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    db.query("disputes", &sql, &params).await?.first().map(read).transpose()
}

/// The dispute that a gateway account calls by this name.
pub async fn find_by_gateway(
    db: &dyn Backend,
    tenant: TenantId,
    account: GatewayAccountId,
    reference: &str,
) -> Result<Option<DisputeRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where gateway_account_id = $1 and gateway_reference = $2
         and tenant_id = $3"
    );
    let params = [account.0.into(), reference.into(), tenant.0.into()];
    db.query("disputes", &sql, &params).await?.first().map(read).transpose()
}

/// All of a payment, newest first.
pub async fn of_payment(
    db: &dyn Backend,
    tenant: TenantId,
    payment: PaymentId,
    limit: i64,
) -> Result<Vec<DisputeRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and payment_id = $2 and tenant_id = $3
         order by id desc limit $4"
    );
    let params = [payment.bucket().into(), payment.0.into(), tenant.0.into(), limit.into()];
    db.query("disputes", &sql, &params).await?.iter().map(read).collect()
}

/// A page of a tenant's disputes, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub status: Option<DisputeStatus>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<DisputeRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id < $2 and id >= $3");
    let params = vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    let rows = Select::new("disputes", sql, params)
        .and("status =", filter.status.map(DisputeStatus::name))
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<DisputeRow, StoreError> {
    Ok(DisputeRow {
        id: DisputeId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        payment: PaymentId(row.id(2)?),
        status: row.decode(3, DisputeStatus::from_name(row.text(3)?))?,
        amount: row.int(4)?,
        currency: row.decode(5, Currency::from_code(row.text(5)?))?,
        reason: row.opt_string(6)?,
        gateway_account: GatewayAccountId(row.id(7)?),
        gateway_reference: row.string(8)?,
        transfer: row.opt_id(9)?.map(TransferId),
        evidence: row.opt_string(10)?,
        evidence_due_at: row.opt_time(11)?,
        data: row.string(12)?,
        created_at: row.time(13)?,
        updated_at: row.time(14)?,
        version: row.int(15)?,
    })
}
