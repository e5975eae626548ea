//! Payments as stored. A payment's row goes with the money it moves: [`attachment`] is its next
//! version, written in the commit of the movement. What a status means is decided elsewhere.

use std::fmt;

use caudal_domain::{
    AccountId, BusinessDay, Currency, GatewayAccountId, PaymentId, TenantId, Timestamp, TransferId,
    UserId,
    payment::{DisputeStatus, PaymentAmounts, PaymentStatus, RefundStatus},
    text::Metadata,
};

use crate::{
    AttachedRow, Attachment, Backend, Row, Step, StoreError, select::Select, wallets::metadata_text,
};

/// In the order of [`read`].
const COLUMNS: &str = "id, tenant_id, status, type, amount, currency, amount_authorized, \
     amount_captured, amount_refunded, amount_disputed, fee, wallet_id, from_id, user_id, \
     payment_method, manual_capture, gateway_account_id, gateway_reference, transfer_id, failure, \
     reference, description, metadata, data, available_at, created_at, updated_at, version, \
     business_day from payments";

/// Where [`insert`] and [`update`] name the transfer: `$20` and `$12`, counted from 0.
const TRANSFER_PLACE: usize = 19;
const CHANGED_TRANSFER_PLACE: usize = 11;

#[derive(Clone, PartialEq, Eq)]
pub struct PaymentRow {
    /// Its bucket is the wallet's.
    pub id: PaymentId,
    pub tenant: TenantId,
    pub status: PaymentStatus,
    /// The name of its type.
    pub kind: String,
    pub amount: i64,
    pub currency: Currency,
    pub amounts: PaymentAmounts,
    /// In minor units of the same currency.
    pub fee: i64,
    /// The wallet credited.
    pub wallet: AccountId,
    pub from: Option<AccountId>,
    /// Who pays, where that is a user of the tenant.
    pub user: Option<UserId>,
    /// The gateway's token of it.
    pub payment_method: Option<String>,
    pub manual_capture: bool,
    pub gateway_account: Option<GatewayAccountId>,
    pub gateway_reference: Option<String>,
    /// The transfer that holds or moved the money.
    pub transfer: Option<TransferId>,
    /// Why it failed: a code.
    pub failure: Option<String>,
    pub reference: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// JSON: what else belongs to it and is not searched.
    pub data: String,
    pub available_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
    /// On which it was made, as its tenant counted days then; for good.
    pub business_day: BusinessDay,
}

/// Neither its method nor words of people.
impl fmt::Debug for PaymentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaymentRow")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("status", &self.status)
            .field("kind", &self.kind)
            .field("amount", &self.amount)
            .field("currency", &self.currency)
            .field("amounts", &self.amounts)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Misses when there is a payment of this id.
pub fn insert(payment: &PaymentRow) -> Step {
    let amounts = &payment.amounts;
    Step::one(
        "insert into payments (bucket, id, tenant_id, status, type, amount, currency,
         amount_authorized, amount_captured, amount_refunded, amount_disputed, fee, wallet_id,
         from_id, user_id, payment_method, manual_capture, gateway_account_id, gateway_reference,
         transfer_id, failure, reference, description, metadata, data, available_at, created_at,
         updated_at, version, business_day)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
         $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)",
        vec![
            payment.id.bucket().into(),
            payment.id.0.into(),
            payment.tenant.0.into(),
            payment.status.name().into(),
            payment.kind.as_str().into(),
            payment.amount.into(),
            payment.currency.code().into(),
            amounts.authorized.into(),
            amounts.captured.into(),
            amounts.refunded.into(),
            amounts.disputed.into(),
            payment.fee.into(),
            payment.wallet.0.into(),
            payment.from.map(|id| id.0).into(),
            payment.user.map(|id| id.0).into(),
            payment.payment_method.clone().into(),
            payment.manual_capture.into(),
            payment.gateway_account.map(|id| id.0).into(),
            payment.gateway_reference.clone().into(),
            payment.transfer.map(|id| id.0).into(),
            payment.failure.clone().into(),
            payment.reference.clone().into(),
            payment.description.clone().into(),
            metadata_text(&payment.metadata).into(),
            payment.data.as_str().into(),
            payment.available_at.into(),
            payment.created_at.into(),
            payment.updated_at.into(),
            payment.version.into(),
            payment.business_day.0.into(),
        ],
    )
    .inserting_lists(
        "insert into payments (bucket, id, tenant_id, status, type, amount, currency,
         amount_authorized, amount_captured, amount_refunded, amount_disputed, fee, wallet_id,
         from_id, user_id, payment_method, manual_capture, gateway_account_id, gateway_reference,
         transfer_id, failure, reference, description, metadata, data, available_at, created_at,
         updated_at, version, business_day)
         select * from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
         $6::int8[], $7::text[], $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[],
         $13::uuid[], $14::uuid[], $15::uuid[], $16::text[], $17::int2[], $18::uuid[],
         $19::text[], $20::uuid[], $21::text[], $22::text[], $23::text[], $24::json[],
         $25::json[], $26::timestamptz[], $27::timestamptz[], $28::timestamptz[], $29::int8[],
         $30::int8[])",
    )
}

/// The insert, of a payment that the transfer of the same command moves or holds money for.
pub fn insert_with_transfer(payment: &PaymentRow) -> Step {
    Step { transfer_at: Some(TRANSFER_PLACE), ..insert(payment) }
}

/// Writes what changes in a payment's life, if the row still has the version before
/// `payment.version`.
pub fn update(payment: &PaymentRow) -> Step {
    let amounts = &payment.amounts;
    Step::one(
        "update payments set status = $4, amount_authorized = $5, amount_captured = $6,
         amount_refunded = $7, amount_disputed = $8, fee = $9, gateway_account_id = $10,
         gateway_reference = $11, transfer_id = $12, failure = $13, data = $14,
         available_at = $15, updated_at = $16, version = $17
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and version = $17 - 1",
        vec![
            payment.id.bucket().into(),
            payment.id.0.into(),
            payment.tenant.0.into(),
            payment.status.name().into(),
            amounts.authorized.into(),
            amounts.captured.into(),
            amounts.refunded.into(),
            amounts.disputed.into(),
            payment.fee.into(),
            payment.gateway_account.map(|id| id.0).into(),
            payment.gateway_reference.clone().into(),
            payment.transfer.map(|id| id.0).into(),
            payment.failure.clone().into(),
            payment.data.as_str().into(),
            payment.available_at.into(),
            payment.updated_at.into(),
            payment.version.into(),
        ],
    )
    .updating_lists(
        "update payments p set status = u.status, amount_authorized = u.authorized,
         amount_captured = u.captured, amount_refunded = u.refunded, amount_disputed = u.disputed,
         fee = u.fee, gateway_account_id = u.gateway_account_id,
         gateway_reference = u.gateway_reference, transfer_id = u.transfer_id,
         failure = u.failure, data = u.data, available_at = u.available_at,
         updated_at = u.updated_at, version = u.version
         from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::text[], $5::int8[], $6::int8[],
         $7::int8[], $8::int8[], $9::int8[], $10::uuid[], $11::text[], $12::uuid[], $13::text[],
         $14::json[], $15::timestamptz[], $16::timestamptz[], $17::int8[])
         u (bucket, id, tenant_id, status, authorized, captured, refunded, disputed, fee,
         gateway_account_id, gateway_reference, transfer_id, failure, data, available_at,
         updated_at, version)
         where p.bucket = u.bucket and p.id = u.id
           and p.tenant_id is not distinct from u.tenant_id and p.version = u.version - 1",
    )
}

/// The same, where the transfer of the same command is the payment's from now on.
pub fn attachment_with_transfer(payment: &PaymentRow) -> Attachment {
    let mut attachment = attachment(payment);
    attachment.write.transfer_at = Some(CHANGED_TRANSFER_PLACE);
    attachment
}

/// The transfer of the same command is the payment's from now on; the rest of its row is written
/// with another command of the same commit.
pub fn moved_by_transfer(tenant: TenantId, id: PaymentId) -> Step {
    let sql = "update payments set transfer_id = $4 where bucket = $1 and id = $2
         and tenant_id is not distinct from $3";
    Step::one(sql, vec![id.bucket().into(), id.0.into(), tenant.0.into()]).with_transfer()
}

/// The payment as it is to be after a movement: [`update`], decided on the version before.
pub fn attachment(payment: &PaymentRow) -> Attachment {
    let row = AttachedRow { table: "payments", bucket: payment.id.bucket(), id: payment.id.0 };
    Attachment { row, expected_version: payment.version - 1, write: update(payment) }
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: PaymentId,
) -> Result<Option<PaymentRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and id = $2 and tenant_id is not distinct from $3"
    );
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    db.query("payments", &sql, &params).await?.first().map(read).transpose()
}

/// The user who paid first with the gateway's token, if one did: to be declined proves nothing.
pub async fn first_payer(
    db: &dyn Backend,
    tenant: TenantId,
    payment_method: &str,
) -> Result<Option<UserId>, StoreError> {
    let sql = "select user_id from payments
         where payment_method = $1 and tenant_id is not distinct from $2 and user_id is not null
           and status not in ('failed', 'blocked') order by id limit 1";
    let rows = db.query("payments", sql, &[payment_method.into(), tenant.0.into()]).await?;
    rows.first().map(|row| Ok(UserId(row.id(0)?))).transpose()
}

/// The payment that a gateway account calls by this name.
pub async fn find_by_gateway(
    db: &dyn Backend,
    tenant: TenantId,
    account: GatewayAccountId,
    reference: &str,
) -> Result<Option<PaymentRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where gateway_account_id = $1 and gateway_reference = $2
         and tenant_id = $3 limit 1"
    );
    let params = [account.0.into(), reference.into(), tenant.0.into()];
    db.query("payments", &sql, &params).await?.first().map(read).transpose()
}

/// A page of a tenant's payments, newest first. Ids tell when a payment was made:
/// [`caudal_domain::id::lowest_at`].
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub status: Option<PaymentStatus>,
    pub kind: Option<String>,
    /// The wallet credited.
    pub wallet: Option<AccountId>,
    /// The wallet that pays.
    pub payer: Option<AccountId>,
    pub user: Option<UserId>,
    pub reference: Option<String>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<PaymentRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id < $2 and id >= $3");
    let params = vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    let not_succeeded = filter.status.is_some_and(|status| status != PaymentStatus::Succeeded);
    let rows = Select::new("payments", sql, params)
        .and("status =", filter.status.map(PaymentStatus::name))
        // Says what the partial index says, so that it is used.
        .and_when(not_succeeded, "status <> 'succeeded'")
        .and("type =", filter.kind.clone())
        .and("wallet_id =", filter.wallet.map(|id| id.0))
        .and("from_id =", filter.payer.map(|id| id.0))
        .and("user_id =", filter.user.map(|id| id.0))
        .and("reference =", filter.reference.clone())
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

/// Payments of all tenants that are promised and not captured, with ids after one and before
/// another, the oldest first.
pub async fn promised(
    db: &dyn Backend,
    (after, before): (u128, u128),
    limit: i64,
) -> Result<Vec<PaymentRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where status = 'requires_capture' and id > $1 and id < $2
         order by id limit $3"
    );
    let params = [after.into(), before.into(), limit.into()];
    db.query("payments", &sql, &params).await?.iter().map(read).collect()
}

/// What came of a payment, counted from the rows of its refunds and disputes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub refunds: Vec<Sum<RefundStatus>>,
    pub disputes: Vec<Sum<DisputeStatus>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum<S> {
    pub status: S,
    pub count: i64,
    pub amount: i64,
}

/// In the order of the statuses' names.
pub async fn sums(db: &dyn Backend, tenant: TenantId, id: PaymentId) -> Result<Sums, StoreError> {
    let sql = "select 'refund' as what, status, count(*), cast(sum(amount) as bigint) from refunds
         where bucket = $1 and payment_id = $2 and tenant_id = $3 group by status
         union all
         select 'dispute' as what, status, count(*), cast(sum(amount) as bigint) from disputes
         where bucket = $1 and payment_id = $2 and tenant_id = $3 group by status
         order by 1, 2";
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    let mut sums = Sums::default();
    for row in db.query("refunds", sql, &params).await? {
        let (count, amount) = (row.int(2)?, row.int(3)?);
        match row.text(0)? {
            "refund" => {
                let status = row.decode(1, RefundStatus::from_name(row.text(1)?))?;
                sums.refunds.push(Sum { status, count, amount });
            }
            _ => {
                let status = row.decode(1, DisputeStatus::from_name(row.text(1)?))?;
                sums.disputes.push(Sum { status, count, amount });
            }
        }
    }
    Ok(sums)
}

/// Metadata, of which the empty is not stored.
pub(crate) fn read_metadata(row: &Row, column: usize) -> Result<Metadata, StoreError> {
    match row.opt_text(column)? {
        Some(_) => row.json(column),
        None => Ok(Metadata::default()),
    }
}

fn read(row: &Row) -> Result<PaymentRow, StoreError> {
    Ok(PaymentRow {
        id: PaymentId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        status: row.decode(2, PaymentStatus::from_name(row.text(2)?))?,
        kind: row.string(3)?,
        amount: row.int(4)?,
        currency: row.decode(5, Currency::from_code(row.text(5)?))?,
        amounts: PaymentAmounts {
            authorized: row.int(6)?,
            captured: row.int(7)?,
            refunded: row.int(8)?,
            disputed: row.int(9)?,
        },
        fee: row.int(10)?,
        wallet: AccountId(row.id(11)?),
        from: row.opt_id(12)?.map(AccountId),
        user: row.opt_id(13)?.map(UserId),
        payment_method: row.opt_string(14)?,
        manual_capture: row.flag(15)?,
        gateway_account: row.opt_id(16)?.map(GatewayAccountId),
        gateway_reference: row.opt_string(17)?,
        transfer: row.opt_id(18)?.map(TransferId),
        failure: row.opt_string(19)?,
        reference: row.opt_string(20)?,
        description: row.opt_string(21)?,
        metadata: read_metadata(row, 22)?,
        data: row.string(23)?,
        available_at: row.opt_time(24)?,
        created_at: row.time(25)?,
        updated_at: row.time(26)?,
        version: row.int(27)?,
        business_day: BusinessDay(row.int(28)?),
    })
}
