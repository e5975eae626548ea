//! Which tier a wallet is of, and what was taken from it this day and this month. The row goes
//! along with what is taken ([`attachment`]), so that a stale count refuses it.

use caudal_domain::{AccountId, TenantId, Timestamp};

use crate::{AttachedRow, Attachment, Backend, Row, Step, StoreError, Value};

/// Wallets looked for in one statement.
const AT_ONCE: usize = 100;

const COLUMNS: &str =
    "id, tenant_id, tier, day, day_used, month, month_used, version from wallet_tiers";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletTier {
    pub wallet: AccountId,
    pub tenant: TenantId,
    /// `None`: it was of one, and is of none now; what was taken still counts.
    pub tier: Option<String>,
    /// As days since 1970, of UTC.
    pub day: i64,
    /// Taken on that day, in minor units.
    pub day_used: i64,
    /// As months since the year 0, of UTC.
    pub month: i64,
    pub month_used: i64,
    pub version: i64,
}

impl WalletTier {
    /// A wallet that was of no tier until then.
    pub fn new(tenant: TenantId, wallet: AccountId, at: Timestamp) -> Self {
        let (day, month) = (at.days(), month_of(at));
        Self { wallet, tenant, tier: None, day, day_used: 0, month, month_used: 0, version: 0 }
    }

    /// The next version, at that time: a new day and a new month begin at zero. Time does not go
    /// back: what was counted for a later day stays counted.
    pub fn at(&self, at: Timestamp) -> Self {
        let mut next = Self { version: self.version + 1, ..self.clone() };
        if at.days() > self.day {
            (next.day, next.day_used) = (at.days(), 0);
        }
        if month_of(at) > self.month {
            (next.month, next.month_used) = (month_of(at), 0);
        }
        next
    }
}

fn month_of(at: Timestamp) -> i64 {
    let date = at.date_time().date();
    i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1
}

/// Writes its first version. Misses when there is one.
pub fn insert(tier: &WalletTier) -> Step {
    Step::one(
        "insert into wallet_tiers (bucket, id, tenant_id, tier, day, day_used, month, month_used,
         version) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        values(tier),
    )
}

/// Writes it if the row still has the version before `tier.version`.
pub fn update(tier: &WalletTier) -> Step {
    Step::one(
        "update wallet_tiers set tier = $4, day = $5, day_used = $6, month = $7, month_used = $8,
         version = $9 where bucket = $1 and id = $2 and tenant_id = $3 and version = $9 - 1",
        values(tier),
    )
}

fn values(tier: &WalletTier) -> Vec<Value> {
    vec![
        tier.wallet.bucket().into(),
        tier.wallet.0.into(),
        tier.tenant.0.into(),
        tier.tier.clone().into(),
        tier.day.into(),
        tier.day_used.into(),
        tier.month.into(),
        tier.month_used.into(),
        tier.version.into(),
    ]
}

/// The row as it is to be after a movement: [`update`], decided on the version before.
pub fn attachment(tier: &WalletTier) -> Attachment {
    let (bucket, id) = (tier.wallet.bucket(), tier.wallet.0);
    let row = AttachedRow { table: "wallet_tiers", bucket, id };
    Attachment { row, expected_version: tier.version - 1, write: update(tier) }
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    wallet: AccountId,
) -> Result<Option<WalletTier>, StoreError> {
    Ok(of_wallets(db, tenant, &[wallet]).await?.pop())
}

/// Those of the wallets (by id) that there are.
pub async fn of_wallets(
    db: &dyn Backend,
    tenant: TenantId,
    wallets: &[AccountId],
) -> Result<Vec<WalletTier>, StoreError> {
    let mut found = Vec::new();
    for some in wallets.chunks(AT_ONCE) {
        let mut params: Vec<Value> = vec![tenant.0.into()];
        let mut keys = Vec::with_capacity(some.len());
        for wallet in some {
            let place = params.len() + 1;
            keys.push(format!("bucket = ${place} and id = ${}", place + 1));
            params.extend([wallet.bucket().into(), wallet.0.into()]);
        }
        let keys = keys.join(" or ");
        let sql = format!("select {COLUMNS} where tenant_id = $1 and ({keys}) order by id");
        for row in db.query("wallet_tiers", &sql, &params).await? {
            found.push(read(&row)?);
        }
    }
    Ok(found)
}

/// Whether any wallet is of the tier.
pub async fn is_used(db: &dyn Backend, tenant: TenantId, tier: &str) -> Result<bool, StoreError> {
    let sql = "select 1 from wallet_tiers where tenant_id = $1 and tier = $2 limit 1";
    let params = [tenant.0.into(), tier.into()];
    Ok(!db.query("wallet_tiers", sql, &params).await?.is_empty())
}

fn read(row: &Row) -> Result<WalletTier, StoreError> {
    Ok(WalletTier {
        wallet: AccountId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        tier: row.opt_string(2)?,
        day: row.int(3)?,
        day_used: row.int(4)?,
        month: row.int(5)?,
        month_used: row.int(6)?,
        version: row.int(7)?,
    })
}
