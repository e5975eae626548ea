//! Rates of exchange, which are the platform's, and quotes, which are a tenant's and used up once:
//! see [`crate::payments`] for attachments.

use caudal_domain::{Currency, QuoteId, TenantId, Timestamp, TransferId, UserId};

use crate::{AttachedRow, Attachment, Backend, Row, Step, StoreError};

const QUOTE_COLUMNS: &str = "id, tenant_id, user_id, base, quote, rate, amount_base, amount_quote, \
     expires_at, used_at, transfer_id, created_at, version from fx_quotes";

/// What one unit of `base` is worth in `quote`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRow {
    pub base: Currency,
    pub quote: Currency,
    pub at: Timestamp,
    /// A decimal, as text: nothing rounds it.
    pub rate: String,
    pub source: String,
}

/// Writes nothing when there is a rate of that instant: rates on record do not change.
pub fn insert_rate(rate: &RateRow) -> Step {
    Step::new(
        "insert into fx_rates (base, quote, at, rate, source) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        vec![
            rate.base.code().into(),
            rate.quote.code().into(),
            rate.at.into(),
            rate.rate.as_str().into(),
            rate.source.as_str().into(),
        ],
    )
}

/// The rate as of `at`: the last one not after it.
pub async fn rate(
    db: &dyn Backend,
    (base, quote): (Currency, Currency),
    at: Timestamp,
) -> Result<Option<RateRow>, StoreError> {
    let sql = "select base, quote, at, rate, source from fx_rates
         where base = $1 and quote = $2 and at <= $3 order by at desc limit 1";
    let params = [base.code().into(), quote.code().into(), at.into()];
    db.query("fx_rates", sql, &params).await?.first().map(read_rate).transpose()
}

/// All rates of a currency as of `at`, by the other one's code. Each is the last of its pair, found
/// by one look-up however long the record is.
pub async fn rates(
    db: &dyn Backend,
    base: Currency,
    at: Timestamp,
) -> Result<Vec<RateRow>, StoreError> {
    let sql = "with recursive pairs (quote) as (
           select min(quote) from fx_rates where base = $1
         union all
           select (select min(r.quote) from fx_rates r where r.base = $1 and r.quote > p.quote)
           from pairs p where p.quote is not null)
         select r.base, r.quote, r.at, r.rate, r.source from pairs p
         join fx_rates r on r.base = $1 and r.quote = p.quote
           and r.at = (select max(l.at) from fx_rates l
             where l.base = $1 and l.quote = p.quote and l.at <= $2)
         order by r.quote";
    let params = [base.code().into(), at.into()];
    db.query("fx_rates", sql, &params).await?.iter().map(read_rate).collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteRow {
    pub id: QuoteId,
    pub tenant: TenantId,
    pub user: Option<UserId>,
    pub base: Currency,
    pub quote: Currency,
    pub rate: String,
    /// In minor units of `base`.
    pub amount_base: i64,
    /// In minor units of `quote`.
    pub amount_quote: i64,
    pub expires_at: Timestamp,
    pub used_at: Option<Timestamp>,
    pub transfer: Option<TransferId>,
    pub created_at: Timestamp,
    pub version: i64,
}

pub fn insert_quote(quote: &QuoteRow) -> Step {
    Step::one(
        "insert into fx_quotes (bucket, id, tenant_id, user_id, base, quote, rate, amount_base,
         amount_quote, expires_at, created_at, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        vec![
            quote.id.bucket().into(),
            quote.id.0.into(),
            quote.tenant.0.into(),
            quote.user.map(|id| id.0).into(),
            quote.base.code().into(),
            quote.quote.code().into(),
            quote.rate.as_str().into(),
            quote.amount_base.into(),
            quote.amount_quote.into(),
            quote.expires_at.into(),
            quote.created_at.into(),
            quote.version.into(),
        ],
    )
}

/// Misses when it was used before or has expired by `at`. The transfer, where it is known already.
pub fn use_up(quote: &QuoteRow, at: Timestamp, transfer: Option<TransferId>) -> Step {
    Step::one(
        "update fx_quotes set used_at = $4, transfer_id = $5, version = version + 1
         where bucket = $1 and id = $2 and tenant_id = $3 and used_at is null and expires_at > $4",
        vec![
            quote.id.bucket().into(),
            quote.id.0.into(),
            quote.tenant.0.into(),
            at.into(),
            transfer.map(|id| id.0).into(),
        ],
    )
}

/// [`use_up`] of a quote seen at its version, to go with the exchange.
pub fn attachment(quote: &QuoteRow, at: Timestamp) -> Attachment {
    let row = AttachedRow { table: "fx_quotes", bucket: quote.id.bucket(), id: quote.id.0 };
    Attachment { row, expected_version: quote.version, write: use_up(quote, at, None) }
}

/// Those that expired before `at` and were never used.
pub fn remove_expired(at: Timestamp) -> Step {
    Step::new("delete from fx_quotes where used_at is null and expires_at < $1", vec![at.into()])
}

pub async fn find_quote(
    db: &dyn Backend,
    tenant: TenantId,
    id: QuoteId,
) -> Result<Option<QuoteRow>, StoreError> {
    let sql = format!("select {QUOTE_COLUMNS} where bucket = $1 and id = $2 and tenant_id = $3");
    let params = [id.bucket().into(), id.0.into(), tenant.0.into()];
    db.query("fx_quotes", &sql, &params).await?.first().map(read_quote).transpose()
}

/// Newest first, below `before`.
pub async fn list_quotes(
    db: &dyn Backend,
    tenant: TenantId,
    before: QuoteId,
    limit: i64,
) -> Result<Vec<QuoteRow>, StoreError> {
    let sql = format!(
        "select {QUOTE_COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3"
    );
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("fx_quotes", &sql, &params).await?.iter().map(read_quote).collect()
}

fn read_rate(row: &Row) -> Result<RateRow, StoreError> {
    Ok(RateRow {
        base: row.decode(0, Currency::from_code(row.text(0)?))?,
        quote: row.decode(1, Currency::from_code(row.text(1)?))?,
        at: row.time(2)?,
        rate: row.string(3)?,
        source: row.string(4)?,
    })
}

fn read_quote(row: &Row) -> Result<QuoteRow, StoreError> {
    Ok(QuoteRow {
        id: QuoteId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        user: row.opt_id(2)?.map(UserId),
        base: row.decode(3, Currency::from_code(row.text(3)?))?,
        quote: row.decode(4, Currency::from_code(row.text(4)?))?,
        rate: row.string(5)?,
        amount_base: row.int(6)?,
        amount_quote: row.int(7)?,
        expires_at: row.time(8)?,
        used_at: row.opt_time(9)?,
        transfer: row.opt_id(10)?.map(TransferId),
        created_at: row.time(11)?,
        version: row.int(12)?,
    })
}
