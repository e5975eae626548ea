//! Rates of exchange: the platform's, not a tenant's. What is on record stays as it is.

use caudal_domain::{Currency, Rate, RateOnRecord, Timestamp};

use crate::{Backend, Row, Step, StoreError};

/// Misses when there is a rate of that instant.
pub fn insert(rate: &RateOnRecord) -> Step {
    Step::one(
        "insert into fx_rates (base, quote, at, rate, source) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        vec![
            rate.base.code().into(),
            rate.quote.code().into(),
            rate.at.into(),
            rate.rate.to_string().into(),
            rate.source.as_str().into(),
        ],
    )
}

/// The rate as of `at`: the last one not after it.
pub async fn find(
    db: &dyn Backend,
    (base, quote): (Currency, Currency),
    at: Timestamp,
) -> Result<Option<RateOnRecord>, StoreError> {
    let sql = "select base, quote, at, rate, source from fx_rates
         where base = $1 and quote = $2 and at <= $3 order by at desc limit 1";
    let params = [base.code().into(), quote.code().into(), at.into()];
    db.query("fx_rates", sql, &params).await?.first().map(read).transpose()
}

/// All rates of a currency as of `at`, by the other one's code. Each is the last of its pair, found
/// by one look-up however long the record is.
pub async fn list(
    db: &dyn Backend,
    base: Currency,
    at: Timestamp,
) -> Result<Vec<RateOnRecord>, StoreError> {
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
    db.query("fx_rates", sql, &params).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<RateOnRecord, StoreError> {
    Ok(RateOnRecord {
        base: row.decode(0, Currency::from_code(row.text(0)?))?,
        quote: row.decode(1, Currency::from_code(row.text(1)?))?,
        at: row.time(2)?,
        rate: row.decode(3, row.text(3)?.parse::<Rate>().ok())?,
        source: row.string(4)?,
    })
}
