//! Sums of a tenant's payments by business day, currency, type and status. A consumer adds to them;
//! they can be wiped and made anew from the payments.

use caudal_domain::{Currency, TenantId, payment::PaymentStatus};

use crate::{Backend, Row, Step, StoreError, select::Select};

/// One line: of what, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    pub tenant: TenantId,
    /// The tenant's business day, in days since 1970.
    pub day: i64,
    pub currency: Currency,
    /// The payments' type.
    pub kind: String,
    pub status: PaymentStatus,
    pub sums: ReportSums,
}

/// Amounts in minor units. What is added may be negative: a payment leaves one status for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportSums {
    pub count: i64,
    pub amount: i64,
    pub captured: i64,
    pub refunded: i64,
    pub disputed: i64,
    pub fees: i64,
}

/// Adds to what is there.
pub fn add(row: &ReportRow) -> Step {
    let sums = &row.sums;
    Step::one(
        "insert into daily_reports (tenant_id, day, currency, type, status, count, amount,
         captured, refunded, disputed, fees)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (tenant_id, day, currency, type, status) do update set
         count = daily_reports.count + excluded.count,
         amount = daily_reports.amount + excluded.amount,
         captured = daily_reports.captured + excluded.captured,
         refunded = daily_reports.refunded + excluded.refunded,
         disputed = daily_reports.disputed + excluded.disputed,
         fees = daily_reports.fees + excluded.fees",
        vec![
            row.tenant.0.into(),
            row.day.into(),
            row.currency.code().into(),
            row.kind.as_str().into(),
            row.status.name().into(),
            sums.count.into(),
            sums.amount.into(),
            sums.captured.into(),
            sums.refunded.into(),
            sums.disputed.into(),
            sums.fees.into(),
        ],
    )
}

/// Takes away the days from `days.0` up to, not with, `days.1`.
pub fn wipe(tenant: TenantId, days: (i64, i64)) -> Step {
    Step::new(
        "delete from daily_reports where tenant_id = $1 and day >= $2 and day < $3",
        vec![tenant.0.into(), days.0.into(), days.1.into()],
    )
}

/// Fills a wiped day from the payments whose ids lie from `ids.0` up to, not with, `ids.1`: the
/// lowest ids of the day's beginning and end. Goes in the unit of work that wipes it.
pub fn rebuild_day(tenant: TenantId, day: i64, ids: (u128, u128)) -> Step {
    Step::new(
        "insert into daily_reports (tenant_id, day, currency, type, status, count, amount,
         captured, refunded, disputed, fees)
         select tenant_id, cast($2 as integer), currency, type, status, count(*),
         cast(sum(amount) as bigint), cast(sum(amount_captured) as bigint),
         cast(sum(amount_refunded) as bigint), cast(sum(amount_disputed) as bigint),
         cast(sum(fee) as bigint)
         from payments where tenant_id = $1 and id >= $3 and id < $4
         group by tenant_id, currency, type, status",
        vec![tenant.0.into(), day.into(), ids.0.into(), ids.1.into()],
    )
}

/// A page of lines by day, currency, type and status.
#[derive(Clone, Debug)]
pub struct Filter {
    pub tenant: TenantId,
    /// From the first up to, not with, the second.
    pub days: (i64, i64),
    pub currency: Option<Currency>,
    pub kind: Option<String>,
    pub status: Option<PaymentStatus>,
    /// The last line of the page before.
    pub after: Option<(i64, Currency, String, PaymentStatus)>,
    pub limit: i64,
}

pub async fn list(db: &dyn Backend, filter: &Filter) -> Result<Vec<ReportRow>, StoreError> {
    let mut sql = "select tenant_id, day, currency, type, status, count, amount, captured,
         refunded, disputed, fees from daily_reports
         where tenant_id = $1 and day >= $2 and day < $3"
        .to_owned();
    let (from, to) = filter.days;
    let mut params = vec![filter.tenant.0.into(), from.into(), to.into()];
    if let Some((day, currency, kind, status)) = &filter.after {
        sql.push_str(" and (day, currency, type, status) > ($4, $5, $6, $7)");
        let status = status.name().into();
        params.extend([(*day).into(), currency.code().into(), kind.as_str().into(), status]);
    }
    let rows = Select::new("daily_reports", sql, params)
        .and("currency =", filter.currency.as_ref().map(Currency::code))
        .and("type =", filter.kind.clone())
        .and("status =", filter.status.map(PaymentStatus::name))
        .rows(db, "day, currency, type, status", filter.limit)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ReportRow, StoreError> {
    Ok(ReportRow {
        tenant: TenantId(row.id(0)?),
        day: row.int(1)?,
        currency: row.decode(2, Currency::from_code(row.text(2)?))?,
        kind: row.string(3)?,
        status: row.decode(4, PaymentStatus::from_name(row.text(4)?))?,
        sums: ReportSums {
            count: row.int(5)?,
            amount: row.int(6)?,
            captured: row.int(7)?,
            refunded: row.int(8)?,
            disputed: row.int(9)?,
            fees: row.int(10)?,
        },
    })
}
