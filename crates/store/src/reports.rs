//! Sums of a tenant's payments by business day, currency, type and status. A consumer of events
//! adds to them; they can be wiped and made anew from the payments.

use caudal_domain::{Currency, PaymentId, TenantId, payment::PaymentStatus};

use crate::{Backend, Row, Step, StoreError, Value, select::Select};

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

/// Amounts in minor units; a thousand payments as large as may be outgrow 64 bits. What is added
/// may be negative: a payment leaves one status for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportSums {
    pub count: i64,
    pub amount: i128,
    pub captured: i128,
    pub refunded: i128,
    pub disputed: i128,
    pub fees: i128,
}

/// A sum is kept as two, of the bits from here on and of those below: neither overflows before two
/// thousand million additions, and both databases add them.
const HIGH: u32 = 32;

fn high(sum: i128) -> i64 {
    // An amount has 53 bits, and nobody adds 2^42 of them at once.
    i64::try_from(sum >> HIGH).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

fn low(sum: i128) -> i64 {
    (sum & ((1 << HIGH) - 1)) as i64
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
    let amounts = [sums.amount, sums.captured, sums.refunded, sums.disputed, sums.fees];
    let key: [Value; 6] = [
        row.tenant.0.into(),
        row.day.into(),
        row.currency.code().into(),
        row.kind.as_str().into(),
        row.status.name().into(),
        sums.count.into(),
    ];
    let (lows, highs) = (amounts.map(low).map(Value::from), amounts.map(high).map(Value::from));
    Step::one(
        "insert into daily_reports (tenant_id, day, currency, type, status, count, amount,
         captured, refunded, disputed, fees, amount_high, captured_high, refunded_high,
         disputed_high, fees_high)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         on conflict (tenant_id, day, currency, type, status) do update set
         count = daily_reports.count + excluded.count,
         amount = daily_reports.amount + excluded.amount,
         captured = daily_reports.captured + excluded.captured,
         refunded = daily_reports.refunded + excluded.refunded,
         disputed = daily_reports.disputed + excluded.disputed,
         fees = daily_reports.fees + excluded.fees,
         amount_high = daily_reports.amount_high + excluded.amount_high,
         captured_high = daily_reports.captured_high + excluded.captured_high,
         refunded_high = daily_reports.refunded_high + excluded.refunded_high,
         disputed_high = daily_reports.disputed_high + excluded.disputed_high,
         fees_high = daily_reports.fees_high + excluded.fees_high",
        key.into_iter().chain(lows).chain(highs).collect(),
    )
}

/// What a page of a tenant's payments, by id, adds to the sums as they stand.
pub async fn of_payments(
    db: &dyn Backend,
    tenant: TenantId,
    after: u128,
    limit: i64,
) -> Result<Vec<(PaymentId, ReportRow)>, StoreError> {
    let highs = ["cast(0 as bigint)"; 5].join(", ");
    let sql = format!(
        "select tenant_id, business_day, currency, type, status, cast(1 as bigint), amount,
         amount_captured, amount_refunded, amount_disputed, fee, {highs}, id from payments
         where tenant_id = $1 and id > $2 order by id limit $3"
    );
    let params = [tenant.0.into(), after.into(), limit.into()];
    let rows = db.query_at_length("payments", &sql, &params).await?;
    rows.iter().map(|row| Ok((PaymentId(row.id(16)?), read(row)?))).collect()
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
         refunded, disputed, fees, amount_high, captured_high, refunded_high, disputed_high,
         fees_high from daily_reports
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
    rows.iter().map(read).collect()
}

/// A line, in the order in which [`list`] asks for it.
fn read(row: &Row) -> Result<ReportRow, StoreError> {
    let sum = |low: usize| {
        Ok::<_, StoreError>((i128::from(row.int(low + 5)?) << HIGH) + i128::from(row.int(low)?))
    };
    Ok(ReportRow {
        tenant: TenantId(row.id(0)?),
        day: row.int(1)?,
        currency: row.decode(2, Currency::from_code(row.text(2)?))?,
        kind: row.string(3)?,
        status: row.decode(4, PaymentStatus::from_name(row.text(4)?))?,
        sums: ReportSums {
            count: row.int(5)?,
            amount: sum(6)?,
            captured: sum(7)?,
            refunded: sum(8)?,
            disputed: sum(9)?,
            fees: sum(10)?,
        },
    })
}
