//! Wallets and the accounts under them.

use caudal_domain::{
    Account, AccountId, AccountKind, AccountStatus, Chart, Currency, Entry, GatewayAccountId,
    TenantId, Timestamp, UserId, Wallet, text::Metadata,
};

use crate::{AttachedRow, Backend, Row, Step, StoreError, Value, entries};

/// Of `account_states`, or of the rows that PostgreSQL locks.
pub(crate) const ACCOUNT_COLUMNS: &str = "a.id, a.tenant_id, a.kind, a.currency, a.status, \
     a.floor, a.total, a.held, a.pending, a.version, a.updated_at";

const WALLET_COLUMNS: &str = "w.user_id, w.name, w.metadata, w.version, \
     w.created_at";

/// The rows of a new wallet: both halves, and the tenant's system accounts of its currency.
/// `unbounded_treasury`: test tenants fund without having money first.
pub fn insert(wallet: &Wallet, unbounded_treasury: bool) -> Vec<Step> {
    let account = &wallet.account;
    let chart = Chart { tenant: account.tenant, currency: account.currency };
    let own = |kind: AccountKind| {
        let floor = kind.floor(unbounded_treasury);
        insert_own(chart, (chart.of(kind), kind), floor, account.updated_at)
    };
    let mut steps: Vec<Step> = AccountKind::SYSTEM.into_iter().map(own).collect();
    steps.push(Step::one(INSERT_ACCOUNT, account_values(account)));
    steps.push(insert_cold_half(wallet));
    steps
}

/// The tenant's own accounts for payments in a currency, where they are not there yet: with the
/// first payment type, gateway account or bank movement in it.
pub fn insert_payment_accounts(
    chart: Chart,
    gateways: &[GatewayAccountId],
    unbounded_treasury: bool,
    at: Timestamp,
) -> Vec<Step> {
    let kinds = AccountKind::SYSTEM.into_iter().chain(AccountKind::PAYMENTS);
    let own = kinds.map(|kind| (chart.of(kind), kind));
    let owed = |gateway: &GatewayAccountId| chart.receivable(*gateway);
    let owed = gateways.iter().map(owed).map(|id| (id, AccountKind::GatewayReceivable));
    own.chain(owed)
        .map(|(id, kind)| insert_own(chart, (id, kind), kind.floor(unbounded_treasury), at))
        .collect()
}

/// What an exchange from the one currency to the other needs, where it is not there yet.
pub fn insert_exchange_accounts(from: Chart, to: Chart, at: Timestamp) -> [Step; 3] {
    [(from, AccountKind::Fx), (to, AccountKind::Fx), (to, AccountKind::FxResult)]
        .map(|(chart, kind)| insert_own(chart, (chart.of(kind), kind), kind.floor(false), at))
}

fn insert_own(
    chart: Chart,
    (id, kind): (AccountId, AccountKind),
    floor: Option<i64>,
    at: Timestamp,
) -> Step {
    let account = Account {
        id,
        tenant: chart.tenant,
        kind,
        currency: chart.currency,
        status: AccountStatus::Active,
        floor,
        total: 0,
        held: 0,
        pending: 0,
        version: 0,
        updated_at: at,
    };
    Step::new(INSERT_SYSTEM_ACCOUNT, account_values(&account))
}

const INSERT_ACCOUNT: &str = "insert into accounts (bucket, id, tenant_id, kind, currency, status,
     floor, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8)";
/// Looks first: `on conflict` alone would wait for every batch that is changing the treasury.
const INSERT_SYSTEM_ACCOUNT: &str = "insert into accounts (bucket, id, tenant_id, kind, currency,
     status, floor, updated_at) select $1, $2, $3, $4, $5, $6, $7, $8
     where not exists (select 1 from accounts where bucket = $1 and id = $2)
     on conflict do nothing";

fn account_values(account: &Account) -> Vec<Value> {
    vec![
        i64::from(account.id.bucket().0).into(),
        account.id.0.into(),
        account.tenant.0.into(),
        (account.kind as i64).into(),
        account.currency.code().into(),
        (account.status as i64).into(),
        account.floor.into(),
        account.updated_at.into(),
    ]
}

fn insert_cold_half(wallet: &Wallet) -> Step {
    let account = &wallet.account;
    Step::one(
        "insert into wallets (bucket, id, tenant_id, user_id, currency, name, metadata, version,
         created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        vec![
            i64::from(account.id.bucket().0).into(),
            account.id.0.into(),
            account.tenant.0.into(),
            wallet.user.map(|user| user.0).into(),
            account.currency.code().into(),
            wallet.name.clone().into(),
            metadata_text(&wallet.metadata).into(),
            wallet.version.into(),
            wallet.created_at.into(),
        ],
    )
}

/// Writes name and metadata if the row still has the version before `wallet.version`.
pub fn update(wallet: &Wallet) -> Step {
    let id = wallet.account.id;
    Step::one(
        "update wallets set name = $4, metadata = $5, version = $6
         where bucket = $1 and id = $2 and tenant_id = $3 and version = $6 - 1",
        vec![
            i64::from(id.bucket().0).into(),
            id.0.into(),
            wallet.account.tenant.0.into(),
            wallet.name.clone().into(),
            metadata_text(&wallet.metadata).into(),
            wallet.version.into(),
        ],
    )
}

/// Misses when the user has a wallet. After their row was locked, as whoever makes one does.
pub fn none_of(tenant: TenantId, user: UserId) -> Step {
    Step::one(
        "update users set version = version where id = $1 and tenant_id = $2
         and not exists (select 1 from wallets where tenant_id = $2 and user_id = $1)",
        vec![user.0.into(), tenant.0.into()],
    )
}

/// Takes the words off all wallets of a user: name and metadata.
pub fn forget_words(tenant: TenantId, user: UserId) -> Step {
    Step::new(
        "update wallets set name = null, metadata = null, version = version + 1
         where tenant_id = $1 and user_id = $2 and (name is not null or metadata is not null)",
        vec![tenant.0.into(), user.0.into()],
    )
}

/// The cold half as a row that goes with a movement: see [`update`].
pub fn attached(wallet: &Wallet) -> AttachedRow {
    let id = wallet.account.id;
    AttachedRow { table: "wallets", bucket: id.bucket(), id: id.0 }
}

pub(crate) fn metadata_text(metadata: &Metadata) -> Option<String> {
    if metadata.is_empty() { None } else { serde_json::to_string(metadata).ok() }
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: AccountId,
) -> Result<Option<Wallet>, StoreError> {
    let sql = format!(
        "select {ACCOUNT_COLUMNS}, {WALLET_COLUMNS} from account_states a
         join wallets w on w.bucket = a.bucket and w.id = a.id
         where a.bucket = $1 and a.id = $2 and a.tenant_id = $3"
    );
    let params = [i64::from(id.bucket().0).into(), id.0.into(), tenant.0.into()];
    db.query("wallets", &sql, &params).await?.first().map(read).transpose()
}

/// A page of wallets, newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub user: Option<UserId>,
    pub status: Option<AccountStatus>,
    pub currency: Option<Currency>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<Wallet>, StoreError> {
    let mut sql = format!(
        "select {ACCOUNT_COLUMNS}, {WALLET_COLUMNS} from wallets w
         join account_states a on a.bucket = w.bucket and a.id = w.id
         where w.tenant_id = $1 and w.id < $2 and w.id >= $3"
    );
    let mut params: Vec<Value> =
        vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    let mut add = |condition: &str, value: Value| {
        params.push(value);
        sql.push_str(&format!(" and {condition} = ${}", params.len()));
    };
    if let Some(user) = filter.user {
        add("w.user_id", user.0.into());
    }
    if let Some(status) = filter.status {
        add("a.status", (status as i64).into());
    }
    if let Some(currency) = filter.currency {
        add("w.currency", currency.code().into());
    }
    params.push(filter.limit.into());
    sql.push_str(&format!(" order by w.id desc limit ${}", params.len()));
    db.query("wallets", &sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Wallet, StoreError> {
    Ok(Wallet {
        account: read_account(row)?,
        user: row.opt_id(11)?.map(UserId),
        name: row.opt_text(12)?.map(str::to_owned),
        metadata: match row.opt_text(13)? {
            Some(_) => row.json(13)?,
            None => Metadata::default(),
        },
        version: row.int(14)?,
        created_at: row.time(15)?,
    })
}

/// Reads [`ACCOUNT_COLUMNS`].
pub(crate) fn read_account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        kind: row.decode(2, AccountKind::from_code(row.int(2)? as i16))?,
        currency: row.decode(3, Currency::from_code(row.text(3)?))?,
        status: row.decode(4, AccountStatus::from_code(row.int(4)? as i16))?,
        floor: row.opt_int(5)?,
        total: row.int(6)?,
        held: row.int(7)?,
        pending: row.int(8)?,
        version: row.int(9)?,
        updated_at: row.time(10)?,
    })
}

/// The last entry as of the instant `at`, in a bounded number of index look-ups:
/// versions have no gaps and time never goes back, so the last entry is found by halving.
pub async fn balance_at(
    db: &dyn Backend,
    id: AccountId,
    at: Timestamp,
) -> Result<Option<Entry>, StoreError> {
    // Said twice, because SQLite lets a recursive term name its table once, and not one level down.
    let early = "(select e.created_at from entries e where e.bucket = $1 and e.account_id = $2
         and e.version = (lo + hi + 1) / 2) <= $3";
    let sql = format!(
        "with recursive search (lo, hi) as (
           select cast(0 as bigint), a.version from account_states a
             where a.bucket = $1 and a.id = $2
         union all
           select case when {early} then (lo + hi + 1) / 2 else lo end,
                  case when {early} then hi else (lo + hi + 1) / 2 - 1 end
           from search where lo < hi)
         select e.version, e.transfer_id, e.amount, e.balance_after, e.held_after,
           e.pending_after, e.created_at from entries e
         where e.bucket = $1 and e.account_id = $2
           and e.version = (select lo from search where lo = hi)"
    );
    let params = [i64::from(id.bucket().0).into(), id.0.into(), at.into()];
    let rows = db.query("entries", &sql, &params).await?;
    rows.first().map(|row| entries::read(id, row)).transpose()
}
