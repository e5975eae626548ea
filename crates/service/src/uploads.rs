//! Files of payments, worked through in the background.
//!
//! A line is paid under a key of its own, made of the file and the line's number, and written down
//! as done afterwards: whoever is killed in between pays again under the same key, which pays once.
//! A worker has a file for a while only; one that comes late writes nothing.

use caudal_domain::{Actor, Timestamp, UploadId, event::kinds};
pub use caudal_store::uploads::{LineRow, LineStatus};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    uploads::{self, LineDone, Lines, UploadRow},
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Page, Service, ServiceError,
    acting::Acting,
    asked::Window,
    audit::Did,
    payments::NewPayment,
    unit::{Creation, Subject, broken},
};

/// Lines of one file.
pub const LINES_MOST: usize = 100_000;
/// Lines written by one commit while a file is taken in, so that others get their turn.
const WRITTEN_AT_ONCE: usize = 400;
/// Files that one look tries, until one of them can be worked on.
const FILES_LOOKED_AT: i64 = 10;
/// Lines paid before what came of them is written down.
const LINES_AT_ONCE: i64 = 100;
/// Of those, payments under way at the same time; the engine commits them together.
const PAID_AT_ONCE: usize = 25;
/// A worker that says nothing for so long has lost its file.
const LEASE_SECONDS: i64 = 60;
/// After a fault.
const AGAIN_SECONDS: i64 = 5;
/// Receipts are kept for a day at least: lines that may have been paid longer ago than this are not
/// paid again by themselves.
const SURE_SECONDS: i64 = 20 * 3600;

/// A file as it was read.
#[derive(Clone, Debug)]
pub struct NewUpload {
    pub format: &'static str,
    pub lines: Vec<NewLine>,
}

#[derive(Clone, Debug)]
pub struct NewLine {
    /// As people count lines of the file.
    pub number: i64,
    /// Or what is wrong with it, in no words of its own.
    pub payment: Result<NewPayment, String>,
}

/// A file and how far it has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upload {
    pub id: UploadId,
    /// `receiving`, `processing`, `completed`, or `interrupted`: not received whole, nothing paid.
    pub status: String,
    pub format: String,
    pub lines: i64,
    pub succeeded: i64,
    pub failed: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Kept as JSON.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct UploadData {
    actor: Actor,
    /// Since when some of its lines may have been paid.
    begun_at: Option<Timestamp>,
    /// The last line that was tried in this round: those that met a fault hold up nobody.
    #[serde(default)]
    after: i64,
    /// The furthest that was ever tried.
    #[serde(default)]
    tried: i64,
}

#[derive(Serialize)]
struct UploadTold {
    upload_id: UploadId,
    lines: i64,
    succeeded: i64,
    failed: i64,
}

impl From<UploadRow> for Upload {
    fn from(row: UploadRow) -> Self {
        let UploadRow { id, status, format, lines, succeeded, failed, .. } = row;
        let UploadRow { created_at, updated_at, .. } = row;
        Self { id, status, format, lines, succeeded, failed, created_at, updated_at }
    }
}

impl Service {
    /// Takes a file in: for staff, as its payers are many. Lines that can't be read have failed
    /// from the start.
    pub async fn create_upload(
        &self,
        asked: Asked<'_>,
        new: NewUpload,
    ) -> Result<Done<Upload>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        let amounts = new.lines.iter().filter_map(|line| line.payment.as_ref().ok());
        let sum = amounts.fold(0, |sum: i64, new| sum.saturating_add(new.amount.minor()));
        self.require_step_up_for(caller, sum)?;
        if let Some(said) = self.said_before(receipt).await? {
            return Ok(said);
        }
        let mut row = self.receive(caller, new).await?;
        let at = self.now();
        row.status = "processing".into();
        row.next_at = Some(at);
        row.updated_at = at;
        row.version += 1;
        let id = row.id;
        let did = Did {
            action: kinds::UPLOAD_CREATED,
            object_kind: "upload",
            object_id: id.to_string(),
            fields: &[],
        };
        let unit = UnitOfWork {
            at,
            steps: vec![uploads::update(&row), self.audit(caller, did, at)],
            events: vec![self.upload_event(kinds::UPLOAD_CREATED, &row)?],
            receipt: None,
        };
        self.create(Creation { unit, receipt: Some(receipt), value: row.into() }).await
    }

    /// Writes the lines down, in parts. Nobody works on them before the file is whole.
    async fn receive(&self, caller: &Caller, new: NewUpload) -> Result<UploadRow, ServiceError> {
        let at = self.now();
        let data = UploadData { actor: caller.actor, begun_at: None, after: 0, tried: 0 };
        let mut row = UploadRow {
            id: UploadId(self.scattered_id(at)),
            tenant: caller.tenant,
            user: caller.session.map(|signed_in| signed_in.user),
            status: "receiving".into(),
            format: new.format.into(),
            lines: new.lines.len() as i64,
            succeeded: 0,
            failed: 0,
            data: serde_json::to_string(&data).map_err(broken)?,
            next_at: None,
            version: 1,
            created_at: at,
            updated_at: at,
        };
        let unit = UnitOfWork { at, steps: vec![uploads::insert(&row)], ..UnitOfWork::default() };
        self.commit(unit).await?;
        for part in new.lines.chunks(WRITTEN_AT_ONCE) {
            let (mut inputs, mut bad) = (Vec::with_capacity(part.len()), Vec::new());
            for line in part {
                let input = match &line.payment {
                    Ok(payment) => serde_json::to_string(payment).map_err(broken)?,
                    Err(why) => {
                        let failure = Some(why.clone());
                        bad.push(LineDone { number: line.number, payment: None, failure });
                        String::new()
                    }
                };
                inputs.push((line.number, input));
            }
            row.failed += bad.len() as i64;
            let mut steps = uploads::insert_lines(row.tenant, row.id, &inputs);
            steps.extend(uploads::lines_done(row.tenant, row.id, &bad));
            self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?;
        }
        Ok(row)
    }

    pub async fn upload(&self, caller: &Caller, id: UploadId) -> Result<Upload, ServiceError> {
        caller.reach.require_tenant()?;
        let found = uploads::find(self.store(), caller.tenant, id).await?;
        found.map(Upload::from).ok_or(ServiceError::NotFound("upload"))
    }

    pub async fn list_uploads(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<Upload>, ServiceError> {
        caller.reach.require_tenant()?;
        let before = UploadId(window.cursor.unwrap_or(u128::MAX));
        let rows = uploads::list(self.store(), caller.tenant, before, window.rows()).await?;
        let page = window.page(rows, |row| (row.id.0, row.created_at));
        Ok(Page { items: page.items.into_iter().map(Upload::from).collect(), next: page.next })
    }

    /// What came of the lines after this one, in their order.
    pub async fn upload_lines(
        &self,
        caller: &Caller,
        upload: UploadId,
        (after, limit): (i64, i64),
    ) -> Result<Vec<LineRow>, ServiceError> {
        caller.reach.require_tenant()?;
        let page = Lines { tenant: caller.tenant, upload, status: None, after, limit };
        Ok(uploads::lines(self.store(), &page).await?)
    }

    /// Pays some lines of the file that has waited longest; whether there may be more at once.
    pub async fn work_on_uploads(&self) -> Result<bool, ServiceError> {
        for row in uploads::due(self.store(), self.now(), FILES_LOOKED_AT).await? {
            let id = row.id;
            match self.work_on_upload(row).await {
                Ok(()) => return Ok(true),
                Err(error) => tracing::warn!(upload = %id, %error, "a file is left for later"),
            }
        }
        Ok(false)
    }

    async fn work_on_upload(&self, row: UploadRow) -> Result<(), ServiceError> {
        let at = self.now();
        let mut data: UploadData = serde_json::from_str(&row.data).map_err(broken)?;
        let lines = self.lines_to_pay(&row, data.after).await?;
        let Some(last) = lines.last() else { return self.complete(row).await };
        let begun_at = *data.begun_at.get_or_insert(at);
        let tried = if at < begun_at.plus_seconds(SURE_SECONDS) { 0 } else { data.tried };
        data.after = last.number;
        data.tried = data.tried.max(last.number);
        let mut row = next(row, at, at.plus_seconds(LEASE_SECONDS));
        row.data = serde_json::to_string(&data).map_err(broken)?;
        if !self.write_upload(&row, &[]).await? {
            return Ok(());
        }
        let (unsure, sure): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.number <= tried);
        let mut done = self.pay_lines(&row, data.actor, &sure).await?;
        done.extend(unsure.iter().map(|line| failed(line.number, "interrupted")));
        let pause = if done.is_empty() { AGAIN_SECONDS } else { 0 };
        let at = self.now();
        let row = next(row, at, at.plus_seconds(pause));
        self.write_upload(&row, &done).await.map(drop)
    }

    /// Those behind this one; then, from the top, those that met a fault.
    async fn lines_to_pay(
        &self,
        row: &UploadRow,
        after: i64,
    ) -> Result<Vec<LineRow>, ServiceError> {
        let page = |after| Lines {
            tenant: row.tenant,
            upload: row.id,
            status: Some(LineStatus::Pending),
            after,
            limit: LINES_AT_ONCE,
        };
        let behind = uploads::lines(self.store(), &page(after)).await?;
        if !behind.is_empty() || after == 0 {
            return Ok(behind);
        }
        Ok(uploads::lines(self.store(), &page(0)).await?)
    }

    /// False: another worker has the file.
    async fn write_upload(&self, row: &UploadRow, done: &[LineDone]) -> Result<bool, ServiceError> {
        let mut steps = vec![uploads::update(row)];
        if !done.is_empty() {
            steps.extend(uploads::lines_done(row.tenant, row.id, done));
        }
        let unit = UnitOfWork { at: row.updated_at, steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }

    /// Those that ended; what met a fault is left for the next round.
    async fn pay_lines(
        &self,
        row: &UploadRow,
        actor: Actor,
        lines: &[LineRow],
    ) -> Result<Vec<LineDone>, ServiceError> {
        let acting = Acting { tenant: row.tenant, actor, owner: row.id.0 };
        let caller = match self.payer_for(acting).await {
            Ok(caller) => Some(caller),
            // What was paid before is told as it was.
            Err(ServiceError::Unauthorized | ServiceError::Forbidden(_)) => None,
            Err(error) => return Err(error),
        };
        let mut done = Vec::with_capacity(lines.len());
        for part in lines.chunks(PAID_AT_ONCE) {
            let paying: Vec<_> =
                part.iter().map(|line| self.pay_line(caller.as_ref(), acting, line)).collect();
            done.extend(join_all(paying).await.into_iter().flatten());
        }
        Ok(done)
    }

    async fn pay_line(
        &self,
        caller: Option<&Caller>,
        acting: Acting,
        line: &LineRow,
    ) -> Option<LineDone> {
        let upload = UploadId(acting.owner);
        let number = line.number;
        let Ok(new) = serde_json::from_str::<NewPayment>(&line.input) else {
            return Some(failed(number, "unreadable"));
        };
        let key = format!("{upload}/{number}");
        let receipt = acting.receipt(b"upload", &key);
        let paid = match caller {
            Some(caller) => self.pay(Asked { caller, receipt }, new).await,
            None => {
                let error = ServiceError::Unauthorized;
                self.unless_paid_before(acting.tenant, receipt, error).await
            }
        };
        match paid {
            Ok(done) => {
                let payment = Some(done.value.row.id);
                Some(LineDone { number, payment, failure: None })
            }
            Err(ServiceError::Declined(declined)) => {
                let payment = Some(declined.payment);
                Some(LineDone { number, payment, failure: Some(declined.code) })
            }
            Err(ServiceError::Refused(caudal_domain::Refusal::Conflict)) => None,
            Err(ServiceError::Refused(refusal) | ServiceError::RefusedBefore(refusal)) => {
                Some(failed(number, refusal.code()))
            }
            Err(ServiceError::Invalid { param, detail }) => {
                Some(failed(number, &format!("{param}: {detail}")))
            }
            Err(ServiceError::NotFound(noun)) => Some(failed(number, &format!("{noun}_not_found"))),
            Err(ServiceError::Unauthorized) => Some(failed(number, "forbidden")),
            Err(error) => {
                tracing::warn!(%error, %upload, number, "a line could not be paid now");
                None
            }
        }
    }

    async fn complete(&self, row: UploadRow) -> Result<(), ServiceError> {
        let at = self.now();
        let mut row = next(row, at, at);
        row.status = "completed".into();
        row.next_at = None;
        let unit = UnitOfWork {
            at,
            steps: vec![uploads::update(&row)],
            events: vec![self.upload_event(kinds::UPLOAD_COMPLETED, &row)?],
            receipt: None,
        };
        // Missed: another worker has the file.
        self.commit(unit).await.map(drop)
    }

    fn upload_event(
        &self,
        kind: &'static str,
        row: &UploadRow,
    ) -> Result<caudal_domain::Event, ServiceError> {
        let UploadRow { id, tenant, lines, succeeded, failed, updated_at: at, .. } = *row;
        let told = UploadTold { upload_id: id, lines, succeeded, failed };
        self.event(&Subject { kind, tenant, id: id.0, text: &id, at }, &told)
    }
}

/// The next version of it, due then.
fn next(row: UploadRow, at: Timestamp, next_at: Timestamp) -> UploadRow {
    UploadRow { next_at: Some(next_at), updated_at: at, version: row.version + 1, ..row }
}

fn failed(number: i64, why: &str) -> LineDone {
    LineDone { number, payment: None, failure: Some(why.to_owned()) }
}
