//! Daily sums of payments by business day, currency, type and status, kept by a consumer of events.
//!
//! An event says what a payment has become and what it was before: that is taken off, this is put
//! on. The effect and how far the consumer has come are one commit, so each event counts once
//! however many workers run.

use std::collections::BTreeMap;

use caudal_domain::{
    BusinessDay, Currency, TenantId,
    event::{StoredEvent, kinds},
    payment::PaymentStatus,
};
pub use caudal_store::reports::{ReportRow, ReportSums};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome,
    events::{self, Advance, Found, Heads, Look, Part},
    reports,
};
use metrics::gauge;
use serde::Deserialize;

use crate::{
    Caller, Service, ServiceError,
    payments::telling::{PaymentChange, Standing},
};

/// As positions name it.
pub(crate) const CONSUMER: &str = "reports";
/// What is counted by one commit.
const LOOK: Look = Look { span: 20_000, limit: 200 };
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

/// What is told of a refund or a dispute, as far as it changes a payment.
#[derive(Deserialize)]
struct AboutPayment {
    payment: Option<PaymentChange>,
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
        let today = self.business_day(caller.tenant, self.now()).await?;
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

    /// One look at all streams; whether there may be more at once.
    pub async fn keep_reports(&self, looked: &mut LookedAt) -> Result<bool, ServiceError> {
        let db = self.store();
        let heads = events::heads(db).await?;
        if events::lag(&looked.0, &heads) == 0 {
            gauge!("reports_lag_events").set(0.0);
            return Ok(false);
        }
        let position = events::position(db, CONSUMER).await?;
        for (looked, (from, head)) in looked.0.iter_mut().zip(position.iter().zip(&heads)) {
            *looked = (*looked).clamp(*from, *head.max(from));
        }
        gauge!("reports_lag_events").set(events::lag(&looked.0, &heads) as f64);
        let parts = LOOK.parts(&looked.0, &heads);
        let pages = events::of_kinds(db, &parts, Some(&about_payments())).await?;
        pages.iter().for_each(|page| self.measure_heard(CONSUMER, &page.events));
        let reached = |(part, page): (&Part, &Found)| {
            let from = position[usize::from(part.stream)];
            (Advance { stream: part.stream, from, to: page.reached }, !page.events.is_empty())
        };
        let reached: Vec<_> = parts.iter().zip(&pages).map(reached).collect();
        let mut changes = Changes::new();
        pages.iter().flat_map(|page| &page.events).for_each(|event| count(&mut changes, event));
        if self.add_all(changes, &reached).await? {
            for (step, _) in &reached {
                looked.0[usize::from(step.stream)] = step.to;
            }
        }
        Ok(events::lag(&looked.0, &heads) > 0)
    }

    /// Adds to the sums and remembers how far the streams are done, where there was anything on
    /// them or it is time. False: another worker was there first.
    async fn add_all(
        &self,
        changes: Changes,
        reached: &[(Advance, bool)],
    ) -> Result<bool, ServiceError> {
        let is_due =
            |(step, has_any): &&(Advance, bool)| *has_any || step.to - step.from >= UNWRITTEN;
        let due = reached.iter().filter(is_due).map(|(step, _)| step);
        let mut steps: Vec<Step> = due.map(|step| events::advance(CONSUMER, step)).collect();
        if steps.is_empty() {
            return Ok(true);
        }
        steps.extend(adds(changes));
        let unit = UnitOfWork { at: self.now(), steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }
}

fn about_payments() -> Vec<&'static str> {
    let nouns = ["payment.", "refund.", "dispute."];
    let is_about = |kind: &&&str| nouns.iter().any(|noun| kind.starts_with(noun));
    kinds::ALL.iter().filter(is_about).copied().collect()
}

/// What can't be read is of another release: `caudal rebuild` puts right what that leaves out.
fn count(changes: &mut Changes, event: &StoredEvent) {
    let change = match event.kind.starts_with("payment.") {
        true => serde_json::from_str(&event.data).map(Some),
        false => serde_json::from_str::<AboutPayment>(&event.data).map(|about| about.payment),
    };
    match change {
        Ok(Some(change)) => change_sums(changes, (event.tenant, &change)),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(event = %event.id, %error, "a payment's event was not counted")
        }
    }
}

fn change_sums(changes: &mut Changes, (tenant, change): (TenantId, &PaymentChange)) {
    let mut put = |standing: &Standing, sign: fn(ReportSums) -> ReportSums| {
        let sums = ReportSums {
            count: 1,
            amount: change.amount.into(),
            captured: standing.amount_captured.into(),
            refunded: standing.amount_refunded.into(),
            disputed: standing.amount_disputed.into(),
            fees: standing.fee.into(),
        };
        let day = change.business_date.0;
        let place = (day, change.currency, change.kind.clone(), standing.status);
        *changes.entry((tenant, place)).or_default() += sign(sums);
    };
    put(&change.standing, |sums| sums);
    if let Some(was) = &change.was {
        put(was, |sums| -sums);
    }
}

pub(crate) fn adds(changes: Changes) -> impl Iterator<Item = Step> {
    let changed = changes.into_iter().filter(|(_, sums)| *sums != ReportSums::default());
    changed.map(|((tenant, (day, currency, kind, status)), sums)| {
        reports::add(&ReportRow { tenant, day, currency, kind, status, sums })
    })
}
