//! Daily sums of payments by business day, currency, type and status, kept by a consumer of events.
//!
//! An event says only that a payment has changed. What it was counted as is kept beside the sums,
//! so that is taken off and what it is now put on. The effect and how far the consumer has come are
//! one commit, so each event counts once however many workers run, and late or repeated ones change
//! nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};

use caudal_domain::{
    BusinessCalendar, BusinessDay, Currency, PaymentId, TenantConfig, TenantId, Timestamp,
    event::{StoredEvent, kinds},
    id::STREAMS,
    payment::PaymentStatus,
};
pub use caudal_store::reports::{ReportRow, ReportSums};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome,
    events::{self, Advance, Found, Heads, Part},
    reports::{self, Counted},
    tenants,
};
use serde::Deserialize;

use crate::{Caller, Service, ServiceError, unit::broken};

/// As positions name it.
pub(crate) const CONSUMER: &str = "reports";
/// Events of one stream counted by one commit.
const PAGE: i64 = 64;
/// Events passed over by one look.
const SPAN: i64 = 20_000;
/// Events that concerned no payment and may be looked at again after a restart.
const UNWRITTEN: i64 = 5_000;
/// Days in one list: a year and a day.
pub const DAYS_MOST: i64 = 366;

/// Where a line stands among those of its tenant.
pub type ReportPlace = (i64, Currency, String, PaymentStatus);

/// Which lines to list.
#[derive(Clone, Debug)]
pub struct ReportFilter {
    /// From the first to the last, both included; without them the last 31 days.
    pub from: Option<BusinessDay>,
    pub to: Option<BusinessDay>,
    pub currency: Option<Currency>,
    pub kind: Option<String>,
    pub status: Option<PaymentStatus>,
}

/// Up to where a worker has looked on each stream; what concerned no payment is passed over here,
/// and written down only now and then.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookedAt(Heads);

/// The sums that change, by tenant and line.
pub(crate) type Changes = BTreeMap<(TenantId, ReportPlace), ReportSums>;

#[derive(Deserialize)]
struct AboutPayment {
    payment_id: Option<PaymentId>,
}

impl Service {
    /// The lines of the caller's tenant, by day; what comes `after` one, and whether there is more.
    pub async fn daily_reports(
        &self,
        caller: &Caller,
        filter: ReportFilter,
        (after, limit): (Option<ReportPlace>, usize),
    ) -> Result<(Vec<ReportRow>, bool), ServiceError> {
        caller.reach.require_tenant()?;
        let today = self.calendar(caller.tenant).await?.day_of(self.now());
        let to = filter.to.unwrap_or(today);
        let from = filter.from.unwrap_or(BusinessDay(to.0 - 30));
        if from > to || to.0 - from.0 >= DAYS_MOST {
            let detail = format!("is not after `to`, and {DAYS_MOST} days before it at most");
            return Err(ServiceError::invalid("from", detail));
        }
        let filter = reports::Filter {
            tenant: caller.tenant,
            days: (from.0, to.0 + 1),
            currency: filter.currency,
            kind: filter.kind,
            status: filter.status,
            after,
            limit: limit as i64 + 1,
        };
        let mut rows = reports::list(self.store(), &filter).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Ok((rows, has_more))
    }

    /// How the tenant counts its days.
    pub(crate) async fn calendar(&self, id: TenantId) -> Result<BusinessCalendar, ServiceError> {
        let tenant = tenants::find(self.store(), id).await?;
        let tenant = tenant.ok_or(ServiceError::NotFound("tenant"))?;
        let TenantConfig { business_day_cut_off, .. } = tenant.config;
        Ok(BusinessCalendar::new(&tenant.timezone, business_day_cut_off))
    }

    /// One look at all streams; whether there may be more at once.
    pub async fn keep_reports(&self, looked: &mut LookedAt) -> Result<bool, ServiceError> {
        let db = self.store();
        let heads = events::heads(db).await?;
        if heads.iter().zip(&looked.0).all(|(head, looked)| head <= looked) {
            return Ok(false);
        }
        let position = events::position(db, CONSUMER).await?;
        for (looked, (from, head)) in looked.0.iter_mut().zip(position.iter().zip(&heads)) {
            *looked = (*looked).clamp(*from, *head.max(from));
        }
        let part = |stream: u8| {
            let (after, head) = (looked.0[usize::from(stream)], heads[usize::from(stream)]);
            Part { stream, after, to: head.min(after.saturating_add(SPAN)), limit: PAGE }
        };
        let is_left = |part: &Part| part.after < part.to;
        let parts: Vec<_> = (0..STREAMS).map(part).filter(is_left).collect();
        let pages = events::of_kinds(db, &parts, Some(&about_payments())).await?;
        let reached = |(part, page): (&Part, &Found)| {
            let from = position[usize::from(part.stream)];
            (Advance { stream: part.stream, from, to: page.reached }, !page.events.is_empty())
        };
        let reached: Vec<_> = parts.iter().zip(&pages).map(reached).collect();
        let payments = pages.iter().flat_map(|page| &page.events).filter_map(payment_of);
        if self.count_all(payments.collect(), &reached).await? {
            for (step, _) in &reached {
                looked.0[usize::from(step.stream)] = step.to;
            }
        }
        Ok((0..usize::from(STREAMS)).any(|place| looked.0[place] < heads[place]))
    }

    /// Counts these payments and remembers how far the streams are done, where there was anything
    /// on them or it is time. False: another worker was there first.
    async fn count_all(
        &self,
        payments: BTreeSet<PaymentId>,
        reached: &[(Advance, bool)],
    ) -> Result<bool, ServiceError> {
        let is_due =
            |(step, has_any): &&(Advance, bool)| *has_any || step.to - step.from >= UNWRITTEN;
        let due: Vec<_> = reached.iter().filter(is_due).map(|(step, _)| step).collect();
        if due.is_empty() {
            return Ok(true);
        }
        let payments: Vec<PaymentId> = payments.into_iter().collect();
        let mut counted = reports::counted(self.store(), &payments).await?;
        self.give_days(&mut counted).await?;
        let mut steps: Vec<_> = due.iter().map(|step| events::advance(CONSUMER, step)).collect();
        steps.extend(steps_of(&counted));
        let unit = UnitOfWork { at: self.now(), steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }

    /// A payment that was not counted before belongs to the day on which it was made.
    pub(crate) async fn give_days(&self, counted: &mut [Counted]) -> Result<(), ServiceError> {
        let mut calendars = HashMap::new();
        for counted in counted.iter_mut().filter(|counted| counted.before.is_none()) {
            let tenant = counted.now.tenant;
            let calendar: &BusinessCalendar = match calendars.entry(tenant) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.calendar(tenant).await?),
            };
            counted.now.day = calendar.day_of(made_at(counted.payment)).0;
        }
        Ok(())
    }
}

/// To the millisecond, as its id tells.
fn made_at(payment: PaymentId) -> Timestamp {
    Timestamp::from_micros(i64::try_from(payment.0 >> 80).unwrap_or_default() * 1000)
}

fn about_payments() -> Vec<&'static str> {
    let nouns = ["payment.", "refund.", "dispute."];
    let is_about = |kind: &&&str| nouns.iter().any(|noun| kind.starts_with(noun));
    kinds::ALL.iter().filter(is_about).copied().collect()
}

fn payment_of(event: &StoredEvent) -> Option<PaymentId> {
    let about: AboutPayment = serde_json::from_str(&event.data).map_err(broken).ok()?;
    about.payment_id
}

pub(crate) fn place_of(row: &ReportRow) -> (TenantId, ReportPlace) {
    (row.tenant, (row.day, row.currency, row.kind.clone(), row.status))
}

/// What counting these payments writes: the sums that change, and what is kept of each payment.
fn steps_of(counted: &[Counted]) -> Vec<Step> {
    let mut changes = Changes::new();
    let changed = counted.iter().filter(|it| it.before.as_ref() != Some(&it.now));
    let mut steps = Vec::new();
    for counted in changed {
        if let Some(before) = &counted.before {
            *changes.entry(place_of(before)).or_default() += -before.sums;
        }
        *changes.entry(place_of(&counted.now)).or_default() += counted.now.sums;
        steps.push(reports::count(counted));
    }
    steps.extend(adds(changes));
    steps
}

pub(crate) fn adds(changes: Changes) -> impl Iterator<Item = Step> {
    changes.into_iter().map(|((tenant, (day, currency, kind, status)), sums)| {
        reports::add(&ReportRow { tenant, day, currency, kind, status, sums })
    })
}
