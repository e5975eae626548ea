//! Transfers.

use caudal_domain::{
    AccountId, Currency, Leg, TenantId, Timestamp, Transfer, TransferId, TransferKind,
    TransferStatus, text::Metadata,
};

use serde::{Deserialize, Serialize};

use crate::{Backend, Row, StoreError, Value};

/// In the order of [`read`].
pub(crate) const COLUMNS: &str = "t.id, t.tenant_id, t.kind, t.status, t.currency, t.from_id, \
     t.to_id, t.amount, t.amount_captured, t.amount_reversed, t.legs, t.expires_at, t.reference, \
     t.metadata, t.reverses, t.created_at, t.available_at";

/// `[from, to, amount, captured, reversed]`, and what is pending where something is. Only
/// transfers of several legs, or with something pending, store it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredLeg {
    Pending(AccountId, AccountId, i64, i64, i64, i64),
    Plain(AccountId, AccountId, i64, i64, i64),
}

impl From<&Leg> for StoredLeg {
    fn from(leg: &Leg) -> Self {
        let Leg { from, to, amount, captured, reversed, pending } = *leg;
        match pending {
            0 => Self::Plain(from, to, amount, captured, reversed),
            _ => Self::Pending(from, to, amount, captured, reversed, pending),
        }
    }
}

impl From<StoredLeg> for Leg {
    fn from(leg: StoredLeg) -> Self {
        let (from, to, amount, captured, reversed, pending) = match leg {
            StoredLeg::Plain(from, to, amount, captured, reversed) => {
                (from, to, amount, captured, reversed, 0)
            }
            StoredLeg::Pending(from, to, amount, captured, reversed, pending) => {
                (from, to, amount, captured, reversed, pending)
            }
        };
        Self { from, to, amount, captured, reversed, pending }
    }
}

pub(crate) fn legs_text(transfer: &Transfer) -> Option<String> {
    if let [Leg { pending: 0, .. }] = transfer.legs[..] {
        return None;
    }
    let legs: Vec<StoredLeg> = transfer.legs.iter().map(StoredLeg::from).collect();
    serde_json::to_string(&legs).ok()
}

pub(crate) fn read(row: &Row) -> Result<Transfer, StoreError> {
    let amount = row.int(7)?;
    let (captured, reversed) = (row.int(8)?, row.int(9)?);
    let legs = match row.opt_text(10)? {
        None => {
            let (from, to) = (AccountId(row.id(5)?), AccountId(row.id(6)?));
            vec![Leg { from, to, amount, captured, reversed, pending: 0 }]
        }
        Some(_) => row.json::<Vec<StoredLeg>>(10)?.into_iter().map(Leg::from).collect(),
    };
    let expires_at = row.opt_time(11)?;
    Ok(Transfer {
        id: TransferId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        kind: row.decode(2, TransferKind::from_code(row.int(2)? as i16))?,
        status: row.decode(3, TransferStatus::from_code(row.int(3)? as i16))?,
        currency: row.decode(4, Currency::from_code(row.text(4)?))?,
        legs,
        amount,
        amount_captured: captured,
        amount_reversed: reversed,
        hold: expires_at.is_some(),
        expires_at,
        available_at: row.opt_time(16)?,
        reference: row.opt_text(12)?.map(str::to_owned),
        metadata: match row.opt_text(13)? {
            Some(_) => row.json(13)?,
            None => Metadata::default(),
        },
        reverses: row.opt_id(14)?.map(TransferId),
        created_at: row.time(15)?,
    })
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: TransferId,
) -> Result<Option<Transfer>, StoreError> {
    let sql = format!(
        "select {COLUMNS} from transfers t where t.bucket = $1 and t.id = $2 and t.tenant_id = $3"
    );
    let params = [i64::from(id.bucket().0).into(), id.0.into(), tenant.0.into()];
    db.query("transfers", &sql, &params).await?.first().map(read).transpose()
}

/// A page of a tenant's transfers, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub status: Option<TransferStatus>,
    pub reference: Option<String>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<Transfer>, StoreError> {
    let mut sql = format!(
        "select {COLUMNS} from transfers t
         where t.tenant_id = $1 and t.id < $2 and t.id >= $3"
    );
    let mut params: Vec<Value> =
        vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    if let Some(status) = filter.status {
        params.push((status as i64).into());
        sql.push_str(&format!(" and t.status = ${}", params.len()));
        if status != TransferStatus::Posted {
            // Says what the partial index says, so that it is used.
            sql.push_str(" and t.status <> 0");
        }
    }
    if let Some(reference) = &filter.reference {
        params.push(reference.clone().into());
        sql.push_str(&format!(" and t.reference = ${}", params.len()));
    }
    params.push(filter.limit.into());
    sql.push_str(&format!(" order by t.id desc limit ${}", params.len()));
    db.query("transfers", &sql, &params).await?.iter().map(read).collect()
}

/// Whether no earlier entry of the wallet is of the same transfer, told mostly from the entry
/// before: entries of one posting follow each other, a payer's first entry sets money aside, and
/// a payee's holds all that was captured; an entry that only makes money available is never the
/// first. Only parts of a hold are looked for further back.
const IS_FIRST: &str = "cast(case
       when p.transfer_id = e.transfer_id then 0
       when t.expires_at is null and e.amount <> 0 then 1
       when e.amount < 0 then 0
       when e.amount = 0 and e.held_after > coalesce(p.held_after, 0) then 1
       when e.amount = 0 then 0
       when t.legs is null and e.amount = t.amount_captured then 1
       when exists (select 1 from entries x where x.bucket = $1 and x.account_id = $2
         and x.version < e.version and x.transfer_id = e.transfer_id) then 0
       else 1 end as bigint)";

/// A page of a wallet's entries, newest first: the version of each, and the transfer where this
/// is its first entry here, so that over all pages each is given once.
pub async fn list_of_wallet(
    db: &dyn Backend,
    wallet: AccountId,
    before_version: i64,
    limit: i64,
) -> Result<Vec<(i64, Option<Transfer>)>, StoreError> {
    let sql = format!(
        "select {COLUMNS}, e.version, {IS_FIRST} from (
           select transfer_id, version, amount, held_after from entries
           where bucket = $1 and account_id = $2 and version < $3
           order by version desc limit $4) e
         left join entries p on p.bucket = $1 and p.account_id = $2 and p.version = e.version - 1
         join transfers t on t.id = e.transfer_id order by e.version desc"
    );
    let params =
        [i64::from(wallet.bucket().0).into(), wallet.0.into(), before_version.into(), limit.into()];
    let rows = db.query("transfers", &sql, &params).await?;
    let part = |row: &Row| match row.int(18)? {
        0 => Ok((row.int(17)?, None)),
        _ => Ok((row.int(17)?, Some(read(row)?))),
    };
    rows.iter().map(part).collect()
}

/// Open holds whose time has come, oldest first; not those of payments (4), which end with their
/// payment.
pub async fn expired(
    db: &dyn Backend,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Transfer>, StoreError> {
    let sql = format!(
        "select {COLUMNS} from transfers t where t.status = 1 and t.expires_at <= $1 and t.kind <> 4
         order by t.expires_at limit $2"
    );
    db.query("transfers", &sql, &[now.into(), limit.into()]).await?.iter().map(read).collect()
}

/// Transfers whose pending money may be spent by now, earliest first.
pub async fn due_available(
    db: &dyn Backend,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Transfer>, StoreError> {
    let sql = format!(
        "select {COLUMNS} from transfers t where t.available_at <= $1
         order by t.available_at limit $2"
    );
    db.query("transfers", &sql, &[now.into(), limit.into()]).await?.iter().map(read).collect()
}

/// Every transfer of the ids from `from` on with something pending, for the proof of it.
pub async fn pending(
    db: &dyn Backend,
    from: u128,
    limit: i64,
) -> Result<Vec<Transfer>, StoreError> {
    let sql = format!(
        "select {COLUMNS} from transfers t where t.available_at is not null and t.id > $1
         order by t.id limit $2"
    );
    db.query("transfers", &sql, &[from.into(), limit.into()]).await?.iter().map(read).collect()
}

/// Every open hold of the ids from `from` on, for the proof of what is held.
pub async fn open_holds(
    db: &dyn Backend,
    from: u128,
    limit: i64,
) -> Result<Vec<Transfer>, StoreError> {
    let sql = format!(
        "select {COLUMNS} from transfers t where t.status = 1 and t.id > $1 order by t.id limit $2"
    );
    db.query("transfers", &sql, &[from.into(), limit.into()]).await?.iter().map(read).collect()
}
