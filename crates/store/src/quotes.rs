//! Quotes, which are used up once, in the commit of their exchange.

use caudal_domain::{
    Currency, Quote, QuoteId, Rate, TenantId, Timestamp, TransferId, UsedQuote, UserId,
};

use crate::{AttachedRow, Attachment, Backend, Row, Step, StoreError, select::Select};

const COLUMNS: &str = "id, tenant_id, user_id, base, quote, rate, amount_base, amount_quote, \
     expires_at, used_at, market_rate, transfer_id, credit_transfer_id, created_at, version \
     from fx_quotes";

pub fn insert(quote: &Quote) -> Step {
    Step::one(
        "insert into fx_quotes (bucket, id, tenant_id, user_id, base, quote, rate, amount_base,
         amount_quote, expires_at, created_at, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        vec![
            quote.id.bucket().into(),
            quote.id.0.into(),
            quote.tenant.0.into(),
            quote.user.map(|id| id.0).into(),
            quote.from.code().into(),
            quote.to.code().into(),
            quote.rate.to_string().into(),
            quote.amount.into(),
            quote.credit.into(),
            quote.expires_at.into(),
            quote.created_at.into(),
            quote.version.into(),
        ],
    )
}

/// Goes with the payer's transfer: uses the quote up. Misses when it was used before, or has
/// expired by `at`. `market` is what the money is worth then.
pub fn use_up(quote: &Quote, at: Timestamp, market: Rate) -> Attachment {
    let row = AttachedRow { table: "fx_quotes", bucket: quote.id.bucket(), id: quote.id.0 };
    let write = Step::one(
        "update fx_quotes set used_at = $4, market_rate = $5, transfer_id = $6,
         version = version + 1
         where bucket = $1 and id = $2 and tenant_id = $3 and used_at is null and expires_at > $4",
        vec![
            quote.id.bucket().into(),
            quote.id.0.into(),
            quote.tenant.0.into(),
            at.into(),
            market.to_string().into(),
        ],
    );
    Attachment { row, expected_version: quote.version, write: write.with_transfer() }
}

/// Goes with the payee's transfer, in the commit of [`use_up`].
pub fn credited(quote: &Quote) -> Step {
    let step = Step::one(
        "update fx_quotes set credit_transfer_id = $4
         where bucket = $1 and id = $2 and tenant_id = $3 and credit_transfer_id is null",
        vec![quote.id.bucket().into(), quote.id.0.into(), quote.tenant.0.into()],
    );
    step.with_transfer()
}

/// Those that expired before `at` and were never used.
pub fn remove_expired(at: Timestamp) -> Step {
    Step::new("delete from fx_quotes where used_at is null and expires_at < $1", vec![at.into()])
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: QuoteId,
) -> Result<Option<Quote>, StoreError> {
    let sql = format!("select {COLUMNS} where bucket = $1 and id = $2 and tenant_id = $3");
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    db.query("fx_quotes", &sql, &params).await?.first().map(read).transpose()
}

/// A page of a tenant's quotes, newest first.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    pub user: Option<UserId>,
    /// Ids below this one.
    pub before: u128,
    /// Ids from this one on.
    pub from: u128,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<Quote>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id < $2 and id >= $3");
    let params = vec![filter.tenant.0.into(), filter.before.into(), filter.from.into()];
    let rows = Select::new("fx_quotes", sql, params)
        .and("user_id =", filter.user.map(|id| id.0))
        .rows(db, "id desc", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Quote, StoreError> {
    Ok(Quote {
        id: QuoteId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        user: row.opt_id(2)?.map(UserId),
        from: row.decode(3, Currency::from_code(row.text(3)?))?,
        to: row.decode(4, Currency::from_code(row.text(4)?))?,
        rate: row.decode(5, row.text(5)?.parse().ok())?,
        amount: row.int(6)?,
        credit: row.int(7)?,
        expires_at: row.time(8)?,
        used: row.opt_time(9)?.map(|at| read_use(row, at)).transpose()?,
        created_at: row.time(13)?,
        version: row.int(14)?,
    })
}

fn read_use(row: &Row, at: Timestamp) -> Result<UsedQuote, StoreError> {
    let market = row.decode(10, row.text(10)?.parse().ok())?;
    let transfers = [TransferId(row.id(11)?), TransferId(row.id(12)?)];
    Ok(UsedQuote { at, market, transfers })
}
