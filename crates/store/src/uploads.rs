//! Files of payments, worked through line by line in the background. A line ends once, and the
//! file's counts are written with it.

use std::fmt;

use caudal_domain::{PaymentId, TenantId, Timestamp, UploadId, UserId};

use crate::{Backend, Row, Step, StoreError, Value, select::Select};

const COLUMNS: &str = "id, tenant_id, user_id, status, format, lines, succeeded, failed, data, \
     next_at, version, created_at, updated_at from uploads";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    pub id: UploadId,
    pub tenant: TenantId,
    /// Who sent it, where that was a user.
    pub user: Option<UserId>,
    pub status: String,
    pub format: String,
    pub lines: i64,
    /// Of the lines; counted by [`lines_done`].
    pub succeeded: i64,
    pub failed: i64,
    /// JSON.
    pub data: String,
    /// Due while there is work.
    pub next_at: Option<Timestamp>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

pub fn insert(upload: &UploadRow) -> Step {
    Step::one(
        "insert into uploads (tenant_id, id, user_id, status, format, lines, data, next_at,
         version, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        vec![
            upload.tenant.0.into(),
            upload.id.0.into(),
            upload.user.map(|id| id.0).into(),
            upload.status.as_str().into(),
            upload.format.as_str().into(),
            upload.lines.into(),
            upload.data.as_str().into(),
            upload.next_at.into(),
            upload.version.into(),
            upload.created_at.into(),
            upload.updated_at.into(),
        ],
    )
}

/// Writes status, number of lines, data and when it is due, if the row still has the version
/// before `upload.version`. A worker claims a due file so.
pub fn update(upload: &UploadRow) -> Step {
    Step::one(
        "update uploads set status = $3, lines = $4, data = $5, next_at = $6, updated_at = $7,
         version = $8
         where tenant_id = $1 and id = $2 and version = $8 - 1",
        vec![
            upload.tenant.0.into(),
            upload.id.0.into(),
            upload.status.as_str().into(),
            upload.lines.into(),
            upload.data.as_str().into(),
            upload.next_at.into(),
            upload.updated_at.into(),
            upload.version.into(),
        ],
    )
}

#[derive(Clone, PartialEq, Eq)]
pub struct LineRow {
    /// As people count lines of the file.
    pub number: i64,
    /// As it was sent.
    pub input: String,
    pub status: LineStatus,
    pub payment: Option<PaymentId>,
    /// What is wrong with it: no words of the line itself.
    pub detail: Option<String>,
}

/// Not the line: it may name people.
impl fmt::Debug for LineRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineRow")
            .field("number", &self.number)
            .field("status", &self.status)
            .field("payment", &self.payment)
            .field("detail", &self.detail)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStatus {
    Pending,
    Succeeded,
    Failed,
}

impl LineStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Succeeded, Self::Failed].into_iter().find(|it| it.name() == name)
    }
}

/// Lines that one statement inserts: fewer round trips for long files.
const AT_ONCE: usize = 8;

/// New lines, each with its number; all pending.
pub fn insert_lines(tenant: TenantId, upload: UploadId, lines: &[(i64, String)]) -> Vec<Step> {
    let head = || -> Vec<Value> { vec![tenant.0.into(), upload.0.into()] };
    let params = |lines: &[(i64, String)]| {
        let each =
            lines.iter().flat_map(|(number, input)| [(*number).into(), input.as_str().into()]);
        head().into_iter().chain(each).collect()
    };
    let (many, rest) = lines.as_chunks::<AT_ONCE>();
    let many = many.iter().map(|lines| {
        Step::new(
            "insert into upload_lines (tenant_id, upload_id, number, input, status) values
             ($1, $2, $3, $4, 'pending'), ($1, $2, $5, $6, 'pending'),
             ($1, $2, $7, $8, 'pending'), ($1, $2, $9, $10, 'pending'),
             ($1, $2, $11, $12, 'pending'), ($1, $2, $13, $14, 'pending'),
             ($1, $2, $15, $16, 'pending'), ($1, $2, $17, $18, 'pending')",
            params(lines),
        )
    });
    let rest = rest.iter().map(|line| {
        Step::new(
            "insert into upload_lines (tenant_id, upload_id, number, input, status)
             values ($1, $2, $3, $4, 'pending')",
            params(std::slice::from_ref(line)),
        )
    });
    many.chain(rest).collect()
}

/// What came of a line.
#[derive(Clone, Debug)]
pub struct LineDone {
    pub number: i64,
    pub payment: Option<PaymentId>,
    /// What is wrong with it; without this it succeeded.
    pub failure: Option<String>,
}

/// These lines have ended, and the file's counts with them. Misses when one had ended before.
pub fn lines_done(tenant: TenantId, upload: UploadId, done: &[LineDone]) -> Vec<Step> {
    let line = |line: &LineDone| {
        let status = match line.failure {
            None => LineStatus::Succeeded,
            Some(_) => LineStatus::Failed,
        };
        Step::one(
            "update upload_lines set status = $4, payment_id = $5, detail = $6
             where tenant_id = $1 and upload_id = $2 and number = $3 and status = 'pending'",
            vec![
                tenant.0.into(),
                upload.0.into(),
                line.number.into(),
                status.name().into(),
                line.payment.map(|id| id.0).into(),
                line.failure.clone().into(),
            ],
        )
    };
    let failed = done.iter().filter(|line| line.failure.is_some()).count() as i64;
    let succeeded = done.len() as i64 - failed;
    let count = Step::one(
        "update uploads set succeeded = succeeded + $3, failed = failed + $4
         where tenant_id = $1 and id = $2",
        vec![tenant.0.into(), upload.0.into(), succeeded.into(), failed.into()],
    );
    done.iter().map(line).chain([count]).collect()
}

/// Those begun before `at` that were never received whole.
pub fn end_unreceived(at: Timestamp) -> Step {
    Step::new(
        "update uploads set status = 'interrupted', version = version + 1
         where status = 'receiving' and created_at < $1",
        vec![at.into()],
    )
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: UploadId,
) -> Result<Option<UploadRow>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id = $2");
    let params = [tenant.0.into(), id.0.into()];
    db.query("uploads", &sql, &params).await?.first().map(read).transpose()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: UploadId,
    limit: i64,
) -> Result<Vec<UploadRow>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("uploads", &sql, &params).await?.iter().map(read).collect()
}

/// What is due at `now`, of all tenants, the longest due first. Each is to be claimed.
pub async fn due(
    db: &dyn Backend,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<UploadRow>, StoreError> {
    let sql = format!("select {COLUMNS} where next_at <= $1 order by next_at limit $2");
    db.query("uploads", &sql, &[now.into(), limit.into()]).await?.iter().map(read).collect()
}

/// A page of a file's lines, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    pub tenant: TenantId,
    pub upload: UploadId,
    pub status: Option<LineStatus>,
    /// Numbers above this one.
    pub after: i64,
    pub limit: i64,
}

pub async fn lines(db: &dyn Backend, page: &Lines) -> Result<Vec<LineRow>, StoreError> {
    let sql = "select number, input, status, payment_id, detail from upload_lines
         where tenant_id = $1 and upload_id = $2 and number > $3";
    let params = vec![page.tenant.0.into(), page.upload.0.into(), page.after.into()];
    let pending = page.status == Some(LineStatus::Pending);
    let status = page.status.filter(|_| !pending).map(LineStatus::name);
    let rows = Select::new("upload_lines", sql.to_owned(), params)
        // Says what the partial index says, so that it is used.
        .and_when(pending, "status = 'pending'")
        .and("status =", status)
        .rows(db, "number", page.limit)
        .await?;
    rows.iter().map(read_line).collect()
}

fn read_line(row: &Row) -> Result<LineRow, StoreError> {
    Ok(LineRow {
        number: row.int(0)?,
        input: row.string(1)?,
        status: row.decode(2, LineStatus::from_name(row.text(2)?))?,
        payment: row.opt_id(3)?.map(PaymentId),
        detail: row.opt_string(4)?,
    })
}

fn read(row: &Row) -> Result<UploadRow, StoreError> {
    Ok(UploadRow {
        id: UploadId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        user: row.opt_id(2)?.map(UserId),
        status: row.string(3)?,
        format: row.string(4)?,
        lines: row.int(5)?,
        succeeded: row.int(6)?,
        failed: row.int(7)?,
        data: row.string(8)?,
        next_at: row.opt_time(9)?,
        version: row.int(10)?,
        created_at: row.time(11)?,
        updated_at: row.time(12)?,
    })
}
