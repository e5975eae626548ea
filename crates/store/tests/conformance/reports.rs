//! Daily sums: deltas add up, pages go by day, and what is made anew equals what was added.

use caudal_domain::{
    TenantId,
    id::lowest_at,
    payment::{PaymentAmounts, PaymentStatus},
};
use caudal_store::{
    UnitOutcome,
    payments::{self, PaymentRow},
    reports::{self, Filter, ReportRow, ReportSums},
};

use super::{
    fixtures::{done, eur, seconds, tenant, usd},
    payments::new_payment,
    races::race,
    stage::Stage,
};

fn row(tenant: TenantId, day: i64, count: i64) -> ReportRow {
    ReportRow {
        tenant,
        day,
        currency: usd(),
        kind: "card".into(),
        status: PaymentStatus::Succeeded,
        sums: ReportSums {
            count,
            amount: count * 100,
            captured: count * 90,
            refunded: count * 8,
            disputed: count * 7,
            fees: count * 3,
        },
    }
}

fn all(tenant: TenantId) -> Filter {
    Filter {
        tenant,
        days: (0, 99_999),
        currency: None,
        kind: None,
        status: None,
        after: None,
        limit: 99,
    }
}

async fn listed(stage: &Stage, filter: Filter) -> Vec<ReportRow> {
    reports::list(stage.store.as_ref(), &filter).await.unwrap()
}

pub async fn deltas_add_up(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let units = (1..=4).map(|count| vec![reports::add(&row(acme, 20_000, count))]).collect();
    for outcome in race(stage, units).await {
        assert_eq!(outcome, UnitOutcome::Done);
    }
    done(stage, vec![reports::add(&row(acme, 20_000, -3)), reports::add(&row(acme, 20_001, 5))])
        .await;
    assert_eq!(listed(stage, all(acme)).await, [row(acme, 20_000, 7), row(acme, 20_001, 5)]);
    assert_eq!(listed(stage, all(other)).await, []);
}

pub async fn by_page_and_filter(stage: &Stage) {
    let acme = tenant(stage).await;
    let euros = ReportRow { currency: eur(), ..row(acme, 20_001, 2) };
    let failed = ReportRow { status: PaymentStatus::Failed, ..row(acme, 20_001, 3) };
    let good = row(acme, 20_001, 4);
    let cash = ReportRow { kind: "wallet".into(), ..row(acme, 20_001, 5) };
    let everything = [
        row(acme, 20_000, 1),
        euros.clone(),
        failed.clone(),
        good,
        cash.clone(),
        row(acme, 20_002, 6),
    ];
    done(stage, everything.iter().rev().map(reports::add).collect()).await;
    assert_eq!(listed(stage, all(acme)).await, everything);
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = listed(stage, Filter { after, limit: 2, ..all(acme) }).await;
        let Some(last) = page.last() else { break };
        after = Some((last.day, last.currency, last.kind.clone(), last.status));
        pages.extend(page);
    }
    assert_eq!(pages, everything);
    let days = (20_001, 20_002);
    assert_eq!(listed(stage, Filter { days, ..all(acme) }).await, everything[1..5]);
    assert_eq!(listed(stage, Filter { currency: Some(eur()), ..all(acme) }).await, [euros]);
    let kind = Some("wallet".to_owned());
    assert_eq!(listed(stage, Filter { kind, ..all(acme) }).await, [cash]);
    let status = Some(PaymentStatus::Failed);
    assert_eq!(listed(stage, Filter { status, ..all(acme) }).await, [failed]);
}

pub async fn made_anew(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let amounts = PaymentAmounts { authorized: 100, captured: 90, refunded: 8, disputed: 7 };
    let paid = |tenant, second| PaymentRow {
        status: PaymentStatus::Succeeded,
        amount: 100,
        amounts,
        fee: 3,
        ..new_payment(stage, tenant, second)
    };
    let rows = [paid(acme, 10), paid(acme, 11), paid(acme, 20), paid(other, 12)];
    done(stage, rows.iter().map(payments::insert).collect()).await;
    // What a consumer had counted wrongly; and what is of other days and tenants.
    let kept = [row(acme, 19_999, 1), row(acme, 20_001, 1)];
    let foreign = row(other, 20_000, 9);
    let wrong = row(acme, 20_000, 40);
    done(stage, kept.iter().chain([&wrong, &foreign]).map(reports::add).collect()).await;
    let ids = (lowest_at(seconds(10)), lowest_at(seconds(20)));
    let rebuild =
        vec![reports::wipe(acme, (20_000, 20_001)), reports::rebuild_day(acme, 20_000, ids)];
    done(stage, rebuild).await;
    let [before, after] = kept;
    assert_eq!(listed(stage, all(acme)).await, [before, row(acme, 20_000, 2), after]);
    assert_eq!(listed(stage, all(other)).await, [foreign]);
}
