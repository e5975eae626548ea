//! Payments that are made later, once or again and again.
//!
//! Each occurrence is paid under a key of its own, made of the schedule and the occurrence's
//! number, and then the schedule is moved on, in that order: whoever is killed in between pays
//! again under the same key, which pays once. Of two workers one finds the schedule moved on
//! already. What was due while nobody ran is made up by one payment, for the last of the
//! occurrences that were missed.

use caudal_domain::{
    Actor, Every, PaymentId, Recurrence, Refusal, ScheduleId, Timestamp, UserId, event::kinds,
    schedule::ScheduleStatus,
};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    schedules::{self, ScheduleRow},
    wallets,
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Page, Reach, Service, ServiceError,
    acting::Acting,
    asked::Window,
    audit::Did,
    id_range,
    payments::NewPayment,
    unit::{Creation, Subject, broken},
};

/// Schedules run by one look.
const AT_ONCE: i64 = 50;
/// Of those, payments under way at the same time.
const PAID_AT_ONCE: usize = 25;
/// Receipts are kept for a day at least. An occurrence that may have been paid longer ago than this
/// is not paid again by itself.
const SURE_SECONDS: i64 = 20 * 3600;
/// After a payment whose answer is not known, or a fault, the occurrence is tried again.
const AGAIN_SECONDS: i64 = 60;

#[derive(Clone, Debug)]
pub struct NewSchedule {
    pub payment: NewPayment,
    /// The first occurrence; now, if not given.
    pub start_at: Option<Timestamp>,
    /// `None`: once.
    pub every: Option<Every>,
    pub interval: i64,
    /// An IANA name; the tenant's, if not given.
    pub timezone: Option<String>,
    pub until: Option<Timestamp>,
    pub count: Option<i64>,
}

/// A schedule as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    pub id: ScheduleId,
    pub user: Option<UserId>,
    pub status: ScheduleStatus,
    pub payment: NewPayment,
    pub plan: Plan,
    /// How many payments were tried.
    pub runs: i64,
    pub next_at: Option<Timestamp>,
    pub last_payment: Option<PaymentId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// When, for whom, and how far it has come; kept as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub recurrence: Recurrence,
    pub actor: Actor,
    /// The number of the occurrence that is due next.
    pub next: i64,
    /// When that one was first tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// Why the last payment did not come about: a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

#[derive(Serialize)]
struct ScheduleData {
    schedule_id: ScheduleId,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<PaymentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// What came of an occurrence.
enum Ran {
    Paid(PaymentId),
    /// Decided against: a code, and the payment if one was made.
    Refused(String, Option<PaymentId>),
    /// Try the same again.
    Again,
}

impl Service {
    pub async fn create_schedule(
        &self,
        asked: Asked<'_>,
        new: NewSchedule,
    ) -> Result<Done<Schedule>, ServiceError> {
        let Asked { caller, receipt } = asked;
        self.require_step_up_for(caller, new.payment.amount.minor())?;
        let at = self.now();
        let (payment, recurrence) = self.planned(caller, new, at).await?;
        let next_at = recurrence.occurrence(0).filter(|first| *first >= at);
        if next_at.is_none() {
            if let Some(said) = self.said_before(receipt).await? {
                return Ok(said);
            }
            return Err(ServiceError::invalid(
                "start_at",
                "is in the past, or at `until` or later",
            ));
        }
        if let Err(error) = self.check_wallets_of(caller, &payment).await {
            return self.keep_refusal(receipt, error).await;
        }
        let actor = caller.actor;
        let schedule = Schedule {
            id: ScheduleId(self.scattered_id(at)),
            user: own_user(caller),
            status: ScheduleStatus::Active,
            payment,
            plan: Plan { recurrence, actor, next: 0, tried_at: None, last_failure: None },
            runs: 0,
            next_at,
            last_payment: None,
            created_at: at,
            updated_at: at,
        };
        let row = row_of(caller, &schedule, 1)?;
        let unit = UnitOfWork {
            at,
            steps: vec![
                schedules::insert(&row),
                self.audit(caller, did(kinds::SCHEDULE_CREATED, schedule.id), at),
            ],
            events: vec![self.schedule_event(kinds::SCHEDULE_CREATED, &row, None)?],
            receipt: None,
        };
        self.create(Creation { unit, receipt: Some(receipt), value: schedule }).await
    }

    /// The payer's wallet is the caller's to pay from, the payee's is one of the tenant.
    async fn check_wallets_of(
        &self,
        caller: &Caller,
        payment: &NewPayment,
    ) -> Result<(), ServiceError> {
        let unknown = |account| Refusal::WalletNotFound { account };
        if let Some(from) = payment.from {
            self.find_wallet(caller, from).await?.ok_or(unknown(from))?;
        }
        let to = payment.to;
        let found = wallets::find(self.store(), caller.tenant, to).await?;
        found.map(drop).ok_or(unknown(to).into())
    }

    async fn planned(
        &self,
        caller: &Caller,
        new: NewSchedule,
        at: Timestamp,
    ) -> Result<(NewPayment, Recurrence), ServiceError> {
        let NewSchedule { payment, start_at, every, interval, timezone, until, count } = new;
        let timezone = match timezone {
            Some(timezone) => timezone,
            None => self.tenant(caller).await?.timezone,
        };
        let start_at = start_at.unwrap_or(at);
        Ok((payment, Recurrence { start_at, every, interval, timezone, until, count }))
    }

    pub async fn schedule(
        &self,
        caller: &Caller,
        id: ScheduleId,
    ) -> Result<Schedule, ServiceError> {
        read(self.find_schedule(caller, id).await?)
    }

    async fn find_schedule(
        &self,
        caller: &Caller,
        id: ScheduleId,
    ) -> Result<ScheduleRow, ServiceError> {
        let found = schedules::find(self.store(), caller.tenant, id).await?;
        let found = found.filter(|row| caller.reach.holds_of(row.user));
        found.ok_or(ServiceError::NotFound("schedule"))
    }

    pub async fn list_schedules(
        &self,
        caller: &Caller,
        status: Option<ScheduleStatus>,
        window: &Window,
    ) -> Result<Page<Schedule>, ServiceError> {
        let (_, before) = id_range(&window.created);
        let filter = schedules::Filter {
            tenant: caller.tenant,
            user: own_user(caller),
            status: status.map(|status| status.name().to_owned()),
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            limit: window.rows(),
        };
        let rows = schedules::list(self.store(), &filter).await?;
        let page = window.page(rows, |row| (row.id.0, row.created_at));
        let items = page.items.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Page { items, next: page.next })
    }

    /// Nothing is paid any more; the schedule stays to be looked at.
    pub async fn cancel_schedule(
        &self,
        caller: &Caller,
        id: ScheduleId,
    ) -> Result<Done<()>, ServiceError> {
        let mut row = self.find_schedule(caller, id).await?;
        if row.next_at.is_none() {
            return Ok(Done { value: (), replayed: false, position: Vec::new() });
        }
        let at = self.now();
        row.status = ScheduleStatus::Canceled.name().to_owned();
        row.next_at = None;
        row.updated_at = at;
        row.version += 1;
        let unit = UnitOfWork {
            at,
            steps: vec![
                schedules::update(&row),
                self.audit(caller, did(kinds::SCHEDULE_CANCELED, id), at),
            ],
            events: vec![self.schedule_event(kinds::SCHEDULE_CANCELED, &row, None)?],
            receipt: None,
        };
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: (), replayed: false, position }),
            _ => Err(Refusal::Conflict.into()),
        }
    }

    /// Pays what is due; whether there may be more at once.
    pub async fn run_due_schedules(&self) -> Result<bool, ServiceError> {
        let due = schedules::due(self.store(), self.now(), AT_ONCE).await?;
        let is_more = due.len() as i64 == AT_ONCE;
        let run = async |row: ScheduleRow| {
            let id = row.id;
            if let Err(error) = self.run_schedule(row).await {
                tracing::warn!(%error, schedule = %id, "a schedule could not be run; trying again");
            }
        };
        stream::iter(due).for_each_concurrent(PAID_AT_ONCE, run).await;
        Ok(is_more)
    }

    async fn run_schedule(&self, row: ScheduleRow) -> Result<(), ServiceError> {
        let at = self.now();
        let schedule = read(row.clone())?;
        let Plan { recurrence, actor, next, tried_at, .. } = &schedule.plan;
        let acting = Acting { tenant: row.tenant, actor: *actor, owner: row.id.0 };
        // One that was tried keeps its number, or its key would be another one.
        let number = match tried_at {
            Some(_) => *next,
            None => recurrence.last_due(*next, at),
        };
        let is_sure = tried_at.is_none_or(|tried| at < tried.plus_seconds(SURE_SECONDS));
        let (row, schedule) = match tried_at {
            Some(_) => (row, schedule),
            // Written down first, so that whoever comes after knows since when it was tried.
            None => match self.begin_run(row, schedule, number).await? {
                Some(begun) => begun,
                None => return Ok(()),
            },
        };
        let ran = match is_sure {
            true => self.pay_occurrence(acting, &schedule, number).await,
            false => Ran::Refused("interrupted".into(), None),
        };
        self.end_run(row, schedule, (number, ran)).await
    }

    /// `None`: another worker was there first.
    async fn begin_run(
        &self,
        mut row: ScheduleRow,
        mut schedule: Schedule,
        number: i64,
    ) -> Result<Option<(ScheduleRow, Schedule)>, ServiceError> {
        let at = self.now();
        schedule.plan.next = number;
        schedule.plan.tried_at = Some(at);
        row.rule = serde_json::to_string(&schedule.plan).map_err(broken)?;
        row.next_at = Some(at.plus_seconds(AGAIN_SECONDS));
        row.updated_at = at;
        row.version += 1;
        let steps = vec![schedules::update(&row)];
        let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
        let begun = self.commit(unit).await?.0 == UnitOutcome::Done;
        Ok(begun.then_some((row, schedule)))
    }

    async fn pay_occurrence(&self, acting: Acting, schedule: &Schedule, number: i64) -> Ran {
        let receipt = acting.receipt(b"schedule", &format!("{}/{number}", schedule.id));
        let paid = match self.payer_for(acting).await {
            Ok(caller) => {
                self.pay(Asked { caller: &caller, receipt }, schedule.payment.clone()).await
            }
            Err(error) => self.unless_paid_before(acting.tenant, receipt, error).await,
        };
        match paid {
            Ok(done) => Ran::Paid(done.value.row.id),
            Err(error) => ran_badly(error),
        }
    }

    async fn end_run(
        &self,
        mut row: ScheduleRow,
        mut schedule: Schedule,
        (number, ran): (i64, Ran),
    ) -> Result<(), ServiceError> {
        let at = self.now();
        let (failure, payment) = match ran {
            Ran::Again => return self.put_off(row, at).await,
            Ran::Paid(payment) => (None, Some(payment)),
            Ran::Refused(code, payment) => (Some(code), payment),
        };
        let next_at = schedule.plan.recurrence.occurrence(number + 1);
        schedule.plan.next = number + 1;
        schedule.plan.tried_at = None;
        schedule.plan.last_failure.clone_from(&failure);
        row.rule = serde_json::to_string(&schedule.plan).map_err(broken)?;
        row.runs += 1;
        row.next_at = next_at;
        row.last_payment = payment.or(row.last_payment);
        if next_at.is_none() {
            row.status = ScheduleStatus::Ended.name().to_owned();
        }
        row.updated_at = at;
        row.version += 1;
        let kind = if failure.is_none() { kinds::SCHEDULE_RUN } else { kinds::SCHEDULE_FAILED };
        let unit = UnitOfWork {
            at,
            steps: vec![schedules::update(&row)],
            events: vec![self.schedule_event(kind, &row, failure)?],
            receipt: None,
        };
        // Missed: another worker, or somebody who called it off meanwhile, was first.
        self.commit(unit).await.map(drop)
    }

    async fn put_off(&self, mut row: ScheduleRow, at: Timestamp) -> Result<(), ServiceError> {
        row.next_at = Some(at.plus_seconds(AGAIN_SECONDS));
        row.updated_at = at;
        row.version += 1;
        let steps = vec![schedules::update(&row)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await.map(drop)
    }

    fn schedule_event(
        &self,
        kind: &'static str,
        row: &ScheduleRow,
        failure: Option<String>,
    ) -> Result<caudal_domain::Event, ServiceError> {
        let (tenant, at) = (row.tenant, row.updated_at);
        let payment_id = row.last_payment.filter(|_| kind == kinds::SCHEDULE_RUN);
        let data = ScheduleData { schedule_id: row.id, user_id: row.user, payment_id, failure };
        self.event(&Subject { kind, tenant, id: row.id.0, text: &row.id, at }, &data)
    }
}

/// What is decided is over; what may be otherwise in a minute is tried again, under the same key.
fn ran_badly(error: ServiceError) -> Ran {
    match error {
        ServiceError::Declined(declined) => Ran::Refused(declined.code, Some(declined.payment)),
        ServiceError::Refused(Refusal::Conflict) => Ran::Again,
        ServiceError::Refused(refusal) | ServiceError::RefusedBefore(refusal) => {
            Ran::Refused(refusal.code().to_owned(), None)
        }
        ServiceError::Invalid { .. } => Ran::Refused("invalid_request".into(), None),
        ServiceError::NotFound(noun) => Ran::Refused(format!("{noun}_not_found"), None),
        ServiceError::Unauthorized | ServiceError::Forbidden(_) | ServiceError::BeyondReach => {
            Ran::Refused("forbidden".into(), None)
        }
        error => {
            tracing::warn!(%error, "a scheduled payment could not be made now");
            Ran::Again
        }
    }
}

fn own_user(caller: &Caller) -> Option<UserId> {
    match caller.reach {
        Reach::Own(user) => Some(user),
        Reach::Tenant => None,
    }
}

fn row_of(caller: &Caller, schedule: &Schedule, version: i64) -> Result<ScheduleRow, ServiceError> {
    Ok(ScheduleRow {
        id: schedule.id,
        tenant: caller.tenant,
        user: schedule.user,
        status: schedule.status.name().to_owned(),
        payment: serde_json::to_string(&schedule.payment).map_err(broken)?,
        rule: serde_json::to_string(&schedule.plan).map_err(broken)?,
        runs: schedule.runs,
        next_at: schedule.next_at,
        last_payment: schedule.last_payment,
        version,
        created_at: schedule.created_at,
        updated_at: schedule.updated_at,
    })
}

fn read(row: ScheduleRow) -> Result<Schedule, ServiceError> {
    let unknown = || ServiceError::Broken(format!("{} has an unknown status", row.id));
    let plan: Plan = serde_json::from_str(&row.rule).map_err(broken)?;
    // While it is being paid, the row says when to look again.
    let occurrence = plan.recurrence.occurrence(plan.next);
    Ok(Schedule {
        id: row.id,
        user: row.user,
        status: ScheduleStatus::from_name(&row.status).ok_or_else(unknown)?,
        payment: serde_json::from_str(&row.payment).map_err(broken)?,
        plan,
        runs: row.runs,
        next_at: row.next_at.and(occurrence),
        last_payment: row.last_payment,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn did(action: &str, id: ScheduleId) -> Did<'_> {
    Did { action, object_kind: "schedule", object_id: id.to_string(), fields: &[] }
}
