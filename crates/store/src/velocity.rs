//! How many payments there were lately, and of how much: counted when a fraud rule asks.

use caudal_domain::{AccountId, Currency, TenantId, UserId};

use crate::{Backend, StoreError, Value};

/// Payments looked at for one count: more are not told apart. With amounts below 2^53 their sum
/// stays within 64 bits.
pub const COUNTED_MOST: i64 = 1_000;

/// Whose payments are counted.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Those a user pays.
    User(UserId),
    /// Those paid from a wallet.
    Payer(AccountId),
    /// Those credited to a wallet.
    Payee(AccountId),
    /// Those by one token of a gateway.
    Method(&'a str),
}

/// Which payments: by their ids, which tell when they were made.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub tenant: TenantId,
    /// Ids of the longer time from this one on.
    pub from: u128,
    /// And those of the shorter.
    pub recent: u128,
    /// Ids below this one.
    pub before: u128,
    /// Of what is summed.
    pub currency: Currency,
}

/// Counts of any currency, sums in minor units of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub count: i64,
    pub sum: i64,
    pub recent_count: i64,
    pub recent_sum: i64,
}

/// The newest [`COUNTED_MOST`] of them, whatever came of them.
pub async fn count(
    db: &dyn Backend,
    whose: Whose<'_>,
    range: &Range,
) -> Result<Counts, StoreError> {
    let (column, value) = column_of(whose);
    let sql = statement(column);
    let params = [
        value,
        range.tenant.0.into(),
        range.from.into(),
        range.before.into(),
        range.recent.into(),
        range.currency.code().into(),
        COUNTED_MOST.into(),
    ];
    let rows = db.query("payments", &sql, &params).await?;
    let Some(row) = rows.first() else { return Ok(Counts::default()) };
    Ok(Counts {
        count: row.int(0)?,
        sum: row.int(1)?,
        recent_count: row.int(2)?,
        recent_sum: row.int(3)?,
    })
}

fn column_of(whose: Whose<'_>) -> (&'static str, Value) {
    match whose {
        Whose::User(id) => ("user_id", id.0.into()),
        Whose::Payer(id) => ("from_id", id.0.into()),
        Whose::Payee(id) => ("wallet_id", id.0.into()),
        Whose::Method(token) => ("payment_method", token.into()),
    }
}

/// Counts by `user_id`, `from_id`, `wallet_id` or `payment_method`: each has an index that goes on
/// with the id.
pub fn statement(column: &'static str) -> String {
    format!(
        "select count(*), cast(coalesce(sum(case when currency = $6 then amount end), 0) as bigint),
         cast(coalesce(sum(case when id >= $5 then 1 end), 0) as bigint),
         cast(coalesce(sum(case when id >= $5 and currency = $6 then amount end), 0) as bigint)
         from (select id, amount, currency from payments
           where {column} = $1 and tenant_id = $2 and id >= $3 and id < $4
           order by id desc limit $7) recent"
    )
}
