//! Sums of a tenant's payments by business day, currency, type and status. A consumer of events
//! adds to them; they can be wiped and made anew from the payments.

use caudal_domain::{Currency, PaymentId, TenantId, payment::PaymentStatus};

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

impl std::ops::AddAssign for ReportSums {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.amount += other.amount;
        self.captured += other.captured;
        self.refunded += other.refunded;
        self.disputed += other.disputed;
        self.fees += other.fees;
    }
}

impl std::ops::Neg for ReportSums {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            count: -self.count,
            amount: -self.amount,
            captured: -self.captured,
            refunded: -self.refunded,
            disputed: -self.disputed,
            fees: -self.fees,
        }
    }
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

/// What a page of a tenant's payments, by id, adds to the sums as they stand.
pub async fn of_payments(
    db: &dyn Backend,
    tenant: TenantId,
    after: u128,
    limit: i64,
) -> Result<Vec<(PaymentId, ReportRow)>, StoreError> {
    let sql = "select id, tenant_id, business_day, currency, type, status, cast(1 as bigint),
         amount, amount_captured, amount_refunded, amount_disputed, fee from payments
         where tenant_id = $1 and id > $2 order by id limit $3";
    let params = [tenant.0.into(), after.into(), limit.into()];
    let rows = db.query_at_length("payments", sql, &params).await?;
    rows.iter().map(|row| Ok((PaymentId(row.id(0)?), read(row, 1)?))).collect()
}

/// Takes all lines of a tenant away, to be made anew in the same unit of work.
pub fn wipe(tenant: TenantId) -> Step {
    Step::new("delete from daily_reports where tenant_id = $1", vec![tenant.0.into()])
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
         where tenant_id = $1 and day >= $2 and day < $3 and count <> 0"
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
    rows.iter().map(|row| read(row, 0)).collect()
}

/// A line whose columns begin at `at`.
fn read(row: &Row, at: usize) -> Result<ReportRow, StoreError> {
    Ok(ReportRow {
        tenant: TenantId(row.id(at)?),
        day: row.int(at + 1)?,
        currency: row.decode(at + 2, Currency::from_code(row.text(at + 2)?))?,
        kind: row.string(at + 3)?,
        status: row.decode(at + 4, PaymentStatus::from_name(row.text(at + 4)?))?,
        sums: ReportSums {
            count: row.int(at + 5)?,
            amount: row.int(at + 6)?,
            captured: row.int(at + 7)?,
            refunded: row.int(at + 8)?,
            disputed: row.int(at + 9)?,
            fees: row.int(at + 10)?,
        },
    })
}
