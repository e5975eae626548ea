//! What gateways paid to the bank: a row for each, attached to the movement that books it, so that
//! it is booked once however often and by whomever it is told.

use caudal_domain::{Bucket, Currency, GatewayAccountId, TenantId, Timestamp, TransferId};

use crate::{AttachedRow, Attachment, Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, gateway_account_id, reference, currency, amount, fee, \
     transfer_id, created_at, version from settlements";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementRow {
    pub id: u128,
    pub tenant: TenantId,
    pub gateway_account: GatewayAccountId,
    /// The gateway's name of it; of one account and currency there is one.
    pub reference: String,
    pub currency: Currency,
    /// What the gateway owed for, in minor units.
    pub amount: i64,
    /// The part of it that the gateway kept.
    pub fee: i64,
    /// `None` until it is booked.
    pub transfer: Option<TransferId>,
    pub created_at: Timestamp,
    pub version: i64,
}

impl SettlementRow {
    fn bucket(&self) -> Bucket {
        Bucket(self.id as u8)
    }
}

/// Not booked yet; nothing if it is there already.
pub fn insert(row: &SettlementRow) -> Step {
    Step::new(
        "insert into settlements (bucket, id, tenant_id, gateway_account_id, reference, currency,
         amount, fee, created_at, version) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict do nothing",
        vec![
            row.bucket().into(),
            row.id.into(),
            row.tenant.0.into(),
            row.gateway_account.0.into(),
            row.reference.as_str().into(),
            row.currency.code().into(),
            row.amount.into(),
            row.fee.into(),
            row.created_at.into(),
            row.version.into(),
        ],
    )
}

/// The row with the transfer of the same command, and with the amounts that this moves. `row` has
/// the version that was read.
pub fn booked(row: &SettlementRow) -> Attachment {
    let place = AttachedRow { table: "settlements", bucket: row.bucket(), id: row.id };
    let write = Step::one(
        "update settlements set amount = $3, fee = $4, version = $5, transfer_id = $6
         where bucket = $1 and id = $2 and version = $5 - 1 and transfer_id is null",
        vec![
            row.bucket().into(),
            row.id.into(),
            row.amount.into(),
            row.fee.into(),
            (row.version + 1).into(),
        ],
    );
    Attachment { row: place, expected_version: row.version, write: write.with_transfer() }
}

/// What goes by this name, of all accounts at gateways and in all currencies.
pub async fn of_reference(
    db: &dyn Backend,
    tenant: TenantId,
    accounts: &[GatewayAccountId],
    reference: &str,
) -> Result<Vec<SettlementRow>, StoreError> {
    let mut found = Vec::new();
    for account in accounts {
        let sql = format!(
            "select {COLUMNS} where tenant_id = $1 and gateway_account_id = $2 and reference = $3
             order by currency"
        );
        let params = [tenant.0.into(), account.0.into(), reference.into()];
        for row in &db.query("settlements", &sql, &params).await? {
            found.push(read(row)?);
        }
    }
    Ok(found)
}

fn read(row: &Row) -> Result<SettlementRow, StoreError> {
    Ok(SettlementRow {
        id: row.id(0)?,
        tenant: TenantId(row.id(1)?),
        gateway_account: GatewayAccountId(row.id(2)?),
        reference: row.string(3)?,
        currency: row.decode(4, Currency::from_code(row.text(4)?))?,
        amount: row.int(5)?,
        fee: row.int(6)?,
        transfer: row.opt_id(7)?.map(TransferId),
        created_at: row.time(8)?,
        version: row.int(9)?,
    })
}
