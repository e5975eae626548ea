//! Sums of a tenant's payments by business day, currency, type and status. A consumer adds to them,
//! and keeps beside what it added for each payment; they can be wiped and made anew.

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

/// What a payment adds to a line, and what it added when it was last counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    pub payment: PaymentId,
    /// As it stands. The day is the one it was counted on, if it was.
    pub now: ReportRow,
    pub before: Option<ReportRow>,
}

/// Payments looked up by one statement.
const AT_ONCE: usize = 64;

const COUNTED: &str = "select p.id, p.tenant_id, p.currency, p.type, p.status, p.amount,
     p.amount_captured, p.amount_refunded, p.amount_disputed, p.fee, r.day, r.currency, r.type,
     r.status, r.amount, r.captured, r.refunded, r.disputed, r.fees";
const BEFORE: &str = "left join reported_payments r on r.bucket = p.bucket and r.payment_id = p.id";

/// These payments, in no order; those that are not there are left out.
pub async fn counted(db: &dyn Backend, payments: &[PaymentId]) -> Result<Vec<Counted>, StoreError> {
    // The first line has no row: it tells what the columns are.
    let asked: String =
        (0..AT_ONCE).map(|n| format!(" union all select ${}, ${}", 2 * n + 1, 2 * n + 2)).collect();
    let sql = format!(
        "with asked as (select bucket, id from payments where 1 = 0{asked})
         {COUNTED} from asked join payments p on p.bucket = asked.bucket and p.id = asked.id
         {BEFORE}"
    );
    let mut found = Vec::with_capacity(payments.len());
    for chunk in payments.chunks(AT_ONCE) {
        // What is left over asks for nothing: one statement serves all.
        let ids = chunk.iter().map(|id| [id.bucket().into(), id.0.into()]);
        let none = std::iter::repeat_n([Value::Null, Value::Null], AT_ONCE - chunk.len());
        let params: Vec<Value> = ids.chain(none).flatten().collect();
        for row in db.query("payments", &sql, &params).await? {
            found.push(read_counted(&row)?);
        }
    }
    Ok(found)
}

/// A page of a tenant's payments, by id.
pub async fn counted_after(
    db: &dyn Backend,
    tenant: TenantId,
    after: u128,
    limit: i64,
) -> Result<Vec<Counted>, StoreError> {
    let sql = format!(
        "{COUNTED} from payments p {BEFORE}
         where p.tenant_id = $1 and p.id > $2 order by p.id limit $3"
    );
    let params = [tenant.0.into(), after.into(), limit.into()];
    let rows = db.query_at_length("payments", &sql, &params).await?;
    rows.iter().map(read_counted).collect()
}

/// The payment is in the sums as it stands.
pub fn count(counted: &Counted) -> Step {
    let (row, sums) = (&counted.now, &counted.now.sums);
    Step::one(
        "insert into reported_payments (bucket, payment_id, tenant_id, day, currency, type, status,
         amount, captured, refunded, disputed, fees)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict (bucket, payment_id) do update set status = excluded.status,
         amount = excluded.amount, captured = excluded.captured, refunded = excluded.refunded,
         disputed = excluded.disputed, fees = excluded.fees",
        vec![
            counted.payment.bucket().into(),
            counted.payment.0.into(),
            row.tenant.0.into(),
            row.day.into(),
            row.currency.code().into(),
            row.kind.as_str().into(),
            row.status.name().into(),
            sums.amount.into(),
            sums.captured.into(),
            sums.refunded.into(),
            sums.disputed.into(),
            sums.fees.into(),
        ],
    )
    .inserting_lists(
        "insert into reported_payments (bucket, payment_id, tenant_id, day, currency, type, status,
         amount, captured, refunded, disputed, fees)
         select * from unnest($1::int2[], $2::uuid[], $3::uuid[], $4::int8[], $5::text[],
         $6::text[], $7::text[], $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[])
         on conflict (bucket, payment_id) do update set status = excluded.status,
         amount = excluded.amount, captured = excluded.captured, refunded = excluded.refunded,
         disputed = excluded.disputed, fees = excluded.fees",
    )
}

/// Takes all lines of a tenant away, to be made anew in the same unit of work.
pub fn wipe(tenant: TenantId) -> Step {
    Step::new("delete from daily_reports where tenant_id = $1", vec![tenant.0.into()])
}

fn read_counted(row: &Row) -> Result<Counted, StoreError> {
    let tenant = TenantId(row.id(1)?);
    let line = |day, at: usize| {
        Ok::<_, StoreError>(ReportRow {
            tenant,
            day,
            currency: row.decode(at, Currency::from_code(row.text(at)?))?,
            kind: row.string(at + 1)?,
            status: row.decode(at + 2, PaymentStatus::from_name(row.text(at + 2)?))?,
            sums: ReportSums {
                count: 1,
                amount: row.int(at + 3)?,
                captured: row.int(at + 4)?,
                refunded: row.int(at + 5)?,
                disputed: row.int(at + 6)?,
                fees: row.int(at + 7)?,
            },
        })
    };
    let before = row.opt_int(10)?.map(|day| line(day, 11)).transpose()?;
    let now = line(before.as_ref().map_or(0, |before| before.day), 2)?;
    Ok(Counted { payment: PaymentId(row.id(0)?), now, before })
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
