//! Schedules as they are asked for and shown.

use caudal_domain::{
    Every, PaymentId, Recurrence, ScheduleId, Timestamp, UserId, business_day::is_time_zone,
    schedule::ScheduleStatus,
};
use caudal_service::schedules::{NewSchedule, Schedule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::payments::{NewPaymentShape, PaymentRequest};
use crate::{problem::Problem, query::Shown};

/// Occurrences that may be asked for.
const COUNT_MOST: i64 = 10_000;

/// A payment that is made later, once or again and again.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSchedule, example = json!({
    "payment": {"type": "wallet", "amount": 990, "currency": "USD",
        "from": "wal_01h455vb4pex5vsknk084sn02q", "to": "wal_01h455vb4pex5vsknk084sn02r"},
    "every": "month", "start_at": "2026-01-31T09:00:00Z", "timezone": "Europe/Lisbon"
}))]
pub(crate) struct ScheduleRequest {
    payment: PaymentRequest,
    /// The first occurrence, not in the past; now, if not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    start_at: Option<Timestamp>,
    /// `day`, `week`, `month` or `year`; once, if not given. Occurrences keep the time of day of
    /// the first in the time zone. What began on the 31st falls on the last day of shorter months.
    #[schema(value_type = Option<String>)]
    every: Option<Every>,
    /// Every so many of them; 1, if not given.
    #[schema(minimum = 1, maximum = 1000)]
    interval: Option<i64>,
    /// IANA name; the tenant's, if not given.
    timezone: Option<String>,
    /// No occurrence at or after this.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// So many occurrences at most.
    #[schema(minimum = 1, maximum = 10000)]
    count: Option<i64>,
}

impl ScheduleRequest {
    pub fn into_new(self) -> Result<NewSchedule, Problem> {
        let Self { payment, start_at, every, interval, timezone, until, count } = self;
        let between = |name: &str, given: Option<i64>, most: i64| match given {
            Some(number) if !(1..=most).contains(&number) => {
                Err(Problem::invalid(name, format!("a number from 1 to {most}")))
            }
            _ => Ok(()),
        };
        between("interval", interval, Recurrence::INTERVAL_MOST)?;
        between("count", count, COUNT_MOST)?;
        if every.is_none() && (interval.is_some() || until.is_some() || count.is_some()) {
            return Err(Problem::invalid("every", "is needed with interval, until and count"));
        }
        if timezone.as_deref().is_some_and(|name| !is_time_zone(name)) {
            let detail = "not an IANA time zone such as Europe/Lisbon";
            return Err(Problem::invalid("timezone", detail));
        }
        let payment = payment.into_new("payment.")?;
        let interval = interval.unwrap_or(1);
        Ok(NewSchedule { payment, start_at, every, interval, timezone, until, count })
    }
}

/// A schedule as it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Schedule, example = json!({
    "id": "sch_01h455vb4pex5vsknk084sn02q", "object": "schedule", "status": "active",
    "payment": {"type": "wallet", "amount": 990, "currency": "USD",
        "from": "wal_01h455vb4pex5vsknk084sn02q", "to": "wal_01h455vb4pex5vsknk084sn02r",
        "payment_method": null, "reference": null, "description": null, "metadata": {}},
    "every": "month", "interval": 1, "timezone": "Europe/Lisbon",
    "start_at": "2026-01-31T09:00:00.000000Z", "until": null, "count": null,
    "next_at": "2026-02-28T09:00:00.000000Z", "runs": 1,
    "last_payment_id": "pay_01h455vb4pex5vsknk084sn02s", "last_failure": null, "user_id": null,
    "created_at": "2026-01-31T08:00:00.000000Z", "updated_at": "2026-01-31T09:00:00.200000Z"
}))]
pub(crate) struct ScheduleShape<'a> {
    #[schema(value_type = String)]
    id: ScheduleId,
    object: &'static str,
    /// `active`, `ended` or `canceled`.
    #[schema(value_type = String)]
    status: ScheduleStatus,
    payment: NewPaymentShape<'a>,
    /// Null: once.
    #[schema(value_type = Option<String>)]
    every: Option<Every>,
    interval: i64,
    timezone: &'a str,
    #[schema(value_type = String, format = DateTime)]
    start_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    count: Option<i64>,
    /// The next occurrence; null where there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<Timestamp>,
    /// How many payments were tried.
    runs: i64,
    #[schema(value_type = Option<String>)]
    last_payment_id: Option<PaymentId>,
    /// Why the last one did not come about: a code.
    last_failure: Option<&'a str>,
    /// Whose it is, where it is a wallet holder's.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a Schedule> for ScheduleShape<'a> {
    fn from(schedule: &'a Schedule) -> Self {
        let recurrence = &schedule.plan.recurrence;
        Self {
            id: schedule.id,
            object: "schedule",
            status: schedule.status,
            payment: NewPaymentShape::from(&schedule.payment),
            every: recurrence.every,
            interval: recurrence.interval,
            timezone: &recurrence.timezone,
            start_at: recurrence.start_at,
            until: recurrence.until,
            count: recurrence.count,
            next_at: schedule.next_at,
            runs: schedule.runs,
            last_payment_id: schedule.last_payment,
            last_failure: schedule.plan.last_failure.as_deref(),
            user_id: schedule.user,
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
        }
    }
}

impl Shown for ScheduleShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "status",
        "payment",
        "every",
        "interval",
        "timezone",
        "start_at",
        "until",
        "count",
        "next_at",
        "runs",
        "last_payment_id",
        "last_failure",
        "user_id",
        "created_at",
        "updated_at",
    ];
}
