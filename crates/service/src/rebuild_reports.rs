//! Makes the daily sums again from the payments, holds them against those that were kept, and puts
//! right what differs.

use std::collections::BTreeMap;

use caudal_domain::{BusinessDay, TenantId, id::STREAMS};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome,
    events::{self, Advance, Heads},
    reports::{self, Filter, ReportRow, ReportSums},
    tenants,
};

use crate::{
    Service, ServiceError,
    reports::{CONSUMER, Changes, LookedAt, ReportPlace, adds},
};

/// The sums may be moving while they are read.
const LOOKS: usize = 5;
const PAGE: i64 = 1000;

/// A tenant's sums as its payments have them.
#[derive(Default)]
struct Anew {
    payments: u64,
    sums: Changes,
}

impl Service {
    /// How many payments there are, and where the sums of their days were wrong.
    pub(crate) async fn rebuild_reports(&self) -> Result<(u64, Vec<String>), ServiceError> {
        let (mut payments, mut differences) = (0, Vec::new());
        let mut before = u128::MAX;
        loop {
            let page = tenants::list(self.store(), TenantId(0), TenantId(before), PAGE).await?;
            let Some(last) = page.last() else { return Ok((payments, differences)) };
            before = last.id.0;
            for tenant in page {
                let (count, found) = self.rebuild_reports_of(tenant.id).await?;
                payments += count;
                differences.extend(found);
            }
        }
    }

    async fn rebuild_reports_of(
        &self,
        tenant: TenantId,
    ) -> Result<(u64, Vec<String>), ServiceError> {
        for _ in 0..LOOKS {
            self.catch_up().await?;
            let position = events::position(self.store(), CONSUMER).await?;
            let anew = self.sums_of(tenant).await?;
            let kept = self.kept_of(tenant).await?;
            let (count, differences) = (anew.payments, differences(&kept, &anew.sums));
            if differences.is_empty() {
                return Ok((count, differences));
            }
            // Else payments went on while they were read.
            self.catch_up().await?;
            let is_still = events::position(self.store(), CONSUMER).await? == position;
            if is_still && self.put_right(tenant, (&position, anew)).await? {
                return Ok((count, differences));
            }
        }
        let why = format!("{tenant}: its daily sums move faster than they can be made anew");
        Err(ServiceError::Unavailable(why))
    }

    async fn catch_up(&self) -> Result<(), ServiceError> {
        let mut looked = LookedAt::default();
        while self.keep_reports(&mut looked).await? {}
        Ok(())
    }

    async fn sums_of(&self, tenant: TenantId) -> Result<Anew, ServiceError> {
        let (mut anew, mut after) = (Anew::default(), 0);
        loop {
            let page = reports::of_payments(self.store(), tenant, after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(anew) };
            after = last.0;
            anew.payments += page.len() as u64;
            for (_, row) in &page {
                *anew.sums.entry(place_of(row)).or_default() += row.sums;
            }
        }
    }

    async fn kept_of(&self, tenant: TenantId) -> Result<Changes, ServiceError> {
        let mut kept = Changes::new();
        let mut after = None;
        loop {
            let filter = Filter {
                tenant,
                days: (i64::from(i32::MIN), i64::from(i32::MAX)),
                currency: None,
                kind: None,
                status: None,
                after,
                limit: PAGE,
            };
            let page = reports::list(self.store(), &filter).await?;
            let Some(last) = page.last() else { return Ok(kept) };
            after = Some(place_of(last).1);
            kept.extend(page.iter().map(|row: &ReportRow| (place_of(row), row.sums)));
        }
    }

    /// False when the consumer has counted meanwhile: then nothing was written.
    async fn put_right(
        &self,
        tenant: TenantId,
        (position, anew): (&Heads, Anew),
    ) -> Result<bool, ServiceError> {
        let stays = |stream: u8| {
            let seq = position[usize::from(stream)];
            events::advance(CONSUMER, &Advance { stream, from: seq, to: seq })
        };
        let mut steps: Vec<Step> = (0..STREAMS).map(stays).collect();
        steps.push(reports::wipe(tenant));
        steps.extend(adds(anew.sums));
        let unit = UnitOfWork { at: self.now(), steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }
}

fn place_of(row: &ReportRow) -> (TenantId, ReportPlace) {
    (row.tenant, (row.day, row.currency, row.kind.clone(), row.status))
}

fn differences(kept: &Changes, anew: &Changes) -> Vec<String> {
    let mut places: BTreeMap<_, [ReportSums; 2]> = BTreeMap::new();
    for (side, sums) in [kept, anew].into_iter().enumerate() {
        for (place, sums) in sums {
            places.entry(place).or_default()[side] = *sums;
        }
    }
    let differing = places.into_iter().filter(|(_, [kept, anew])| kept != anew);
    let tell = |((tenant, (day, currency, kind, status)), [kept, anew]): (
        &(TenantId, ReportPlace),
        [ReportSums; 2],
    )| {
        let (day, status) = (BusinessDay(*day), status.name());
        format!("{tenant} {day} {currency} {kind} {status}: kept {kept:?}, payments say {anew:?}")
    };
    differing.map(tell).collect()
}
