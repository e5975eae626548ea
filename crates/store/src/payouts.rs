//! Payouts as stored, in the bucket of the wallet they debit: see [`crate::payments`] for
//! attachments.

use std::fmt;

use caudal_domain::{
    AccountId, Currency, GatewayAccountId, PayoutId, TenantId, Timestamp, TransferId, UserId,
    payment::PayoutStatus, text::Metadata,
};

use crate::{
    AttachedRow, Attachment, Backend, Row, Step, StoreError, payments::read_metadata,
    select::Select, wallets::metadata_text,
};

const COLUMNS: &str = "id, tenant_id, wallet_id, user_id, status, amount, currency, destination, \
     gateway_account_id, gateway_reference, transfer_id, failure, description, metadata, data, \
     created_at, updated_at, version from payouts";

#[derive(Clone, PartialEq, Eq)]
pub struct PayoutRow {
    /// Its bucket is the wallet's.
    pub id: PayoutId,
    pub tenant: TenantId,
    pub wallet: AccountId,
    /// Whose wallet it is, where it is a user's.
    pub user: Option<UserId>,
    pub status: PayoutStatus,
    pub amount: i64,
    pub currency: Currency,
    /// The gateway's token of a bank account.
    pub destination: String,
    pub gateway_account: Option<GatewayAccountId>,
    pub gateway_reference: Option<String>,
    pub transfer: Option<TransferId>,
    /// Why it failed: a code.
    pub failure: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    /// JSON.
    pub data: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// Neither where it goes nor words of people.
impl fmt::Debug for PayoutRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayoutRow")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("status", &self.status)
            .field("amount", &self.amount)
            .field("currency", &self.currency)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Among the parameters of [`insert`].
const TRANSFER_PLACE: usize = 11;

/// Misses when there is a payout of this id.
pub fn insert(payout: &PayoutRow) -> Step {
    Step::one(
        "insert into payouts (bucket, id, tenant_id, wallet_id, user_id, status, amount, currency,
         destination, gateway_account_id, gateway_reference, transfer_id, failure, description,
         metadata, data, created_at, updated_at, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
         $19)",
        vec![
            payout.id.bucket().into(),
            payout.id.0.into(),
            payout.tenant.0.into(),
            payout.wallet.0.into(),
            payout.user.map(|id| id.0).into(),
            payout.status.name().into(),
            payout.amount.into(),
            payout.currency.code().into(),
            payout.destination.as_str().into(),
            payout.gateway_account.map(|id| id.0).into(),
            payout.gateway_reference.clone().into(),
            payout.transfer.map(|id| id.0).into(),
            payout.failure.clone().into(),
            payout.description.clone().into(),
            metadata_text(&payout.metadata).into(),
            payout.data.as_str().into(),
            payout.created_at.into(),
            payout.updated_at.into(),
            payout.version.into(),
        ],
    )
}

/// The insert, of a payout that the transfer of the same command holds money for.
pub fn insert_with_transfer(payout: &PayoutRow) -> Step {
    Step { transfer_at: Some(TRANSFER_PLACE), ..insert(payout) }
}

/// Writes what changes, if the row still has the version before `payout.version`.
pub fn update(payout: &PayoutRow) -> Step {
    Step::one(
        "update payouts set status = $4, gateway_account_id = $5, gateway_reference = $6,
         transfer_id = $7, failure = $8, data = $9, updated_at = $10, version = $11
         where bucket = $1 and id = $2 and tenant_id is not distinct from $3 and version = $11 - 1",
        vec![
            payout.id.bucket().into(),
            payout.id.0.into(),
            payout.tenant.0.into(),
            payout.status.name().into(),
            payout.gateway_account.map(|id| id.0).into(),
            payout.gateway_reference.clone().into(),
            payout.transfer.map(|id| id.0).into(),
            payout.failure.clone().into(),
            payout.data.as_str().into(),
            payout.updated_at.into(),
            payout.version.into(),
        ],
    )
}

/// The payout as it is to be after a movement.
pub fn attachment(payout: &PayoutRow) -> Attachment {
    let row = AttachedRow { table: "payouts", bucket: payout.id.bucket(), id: payout.id.0 };
    Attachment { row, expected_version: payout.version - 1, write: update(payout) }
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: PayoutId,
) -> Result<Option<PayoutRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where bucket = $1 and id = $2 and tenant_id is not distinct from $3"
    );
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    db.query("payouts", &sql, &params).await?.first().map(read).transpose()
}

/// The payout that a gateway account calls by this name.
pub async fn find_by_gateway(
    db: &dyn Backend,
    tenant: TenantId,
    account: GatewayAccountId,
    reference: &str,
) -> Result<Option<PayoutRow>, StoreError> {
    let sql = format!(
        "select {COLUMNS} where gateway_account_id = $1 and gateway_reference = $2
         and tenant_id = $3 limit 1"
    );
    let params = [account.0.into(), reference.into(), tenant.0.into()];
    db.query("payouts", &sql, &params).await?.first().map(read).transpose()
}

/// A page of a tenant's payouts, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub status: Option<PayoutStatus>,
    pub wallet: Option<AccountId>,
    pub user: Option<UserId>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<PayoutRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id < $2 and id >= $3");
    let params = vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    let rows = Select::new("payouts", sql, params)
        .and("status =", filter.status.map(PayoutStatus::name))
        .and("wallet_id =", filter.wallet.map(|id| id.0))
        .and("user_id =", filter.user.map(|id| id.0))
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<PayoutRow, StoreError> {
    Ok(PayoutRow {
        id: PayoutId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        wallet: AccountId(row.id(2)?),
        user: row.opt_id(3)?.map(UserId),
        status: row.decode(4, PayoutStatus::from_name(row.text(4)?))?,
        amount: row.int(5)?,
        currency: row.decode(6, Currency::from_code(row.text(6)?))?,
        destination: row.string(7)?,
        gateway_account: row.opt_id(8)?.map(GatewayAccountId),
        gateway_reference: row.opt_string(9)?,
        transfer: row.opt_id(10)?.map(TransferId),
        failure: row.opt_string(11)?,
        description: row.opt_string(12)?,
        metadata: read_metadata(row, 13)?,
        data: row.string(14)?,
        created_at: row.time(15)?,
        updated_at: row.time(16)?,
        version: row.int(17)?,
    })
}
