//! Daily sums: deltas add up, pages go by day, and each payment is counted as it stands.

use caudal_domain::{
    BusinessDay, TenantId,
    payment::{PaymentAmounts, PaymentStatus},
};
use caudal_store::{
    UnitOutcome,
    payments::{self, PaymentRow},
    reports::{self, Filter, ReportRow, ReportSums},
};

use super::{
    fixtures::{done, eur, tenant, usd},
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
            amount: i128::from(count) * 100,
            captured: i128::from(count) * 90,
            refunded: i128::from(count) * 8,
            disputed: i128::from(count) * 7,
            fees: i128::from(count) * 3,
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

pub async fn sums_outgrow_what_a_payment_may_be(stage: &Stage) {
    let acme = tenant(stage).await;
    let most: i128 = (1 << 53) - 1;
    let of = |count: i64| {
        let sum = most * i128::from(count);
        let sums =
            ReportSums { count, amount: sum, captured: -sum, refunded: sum, ..Default::default() };
        ReportRow { sums, ..row(acme, 20_000, count) }
    };
    done(stage, vec![reports::add(&of(1))]).await;
    for _ in 0..3 {
        done(stage, vec![reports::add(&of(2000))]).await;
    }
    done(stage, vec![reports::add(&of(-1000))]).await;
    assert_eq!(listed(stage, all(acme)).await, [of(5001)]);
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

pub async fn payments_as_they_stand_make_lines(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let amounts = PaymentAmounts { authorized: 100, captured: 90, refunded: 8, disputed: 7 };
    let rows: Vec<_> = (1..=5)
        .map(|second| PaymentRow {
            amount: 100,
            amounts,
            fee: 3,
            business_day: BusinessDay(20_000),
            ..new_payment(stage, acme, second)
        })
        .collect();
    done(stage, rows.iter().map(payments::insert).collect()).await;
    let paid = PaymentRow { status: PaymentStatus::Succeeded, version: 2, ..rows[0].clone() };
    done(stage, vec![payments::update(&paid)]).await;
    let line = |status| ReportRow { status, ..row(acme, 20_000, 1) };
    let of = async |after, limit| reports::of_payments(db, acme, after, limit).await.unwrap();
    let page = of(0, 3).await;
    assert_eq!(page[0], (rows[0].id, line(PaymentStatus::Succeeded)));
    assert_eq!(page[1..], [1, 2].map(|n: usize| (rows[n].id, line(PaymentStatus::Processing))));
    assert_eq!(of(rows[3].id.0, 3).await, [(rows[4].id, line(PaymentStatus::Processing))]);
    assert_eq!(reports::of_payments(db, other, 0, 3).await.unwrap(), []);
    // Lines of nothing are not listed, and a tenant's are wiped alone.
    let lines = [row(acme, 20_000, 1), row(acme, 20_001, 1), row(other, 20_000, 1)];
    done(stage, lines.iter().map(reports::add).collect()).await;
    done(stage, vec![reports::add(&row(acme, 20_001, -1))]).await;
    assert_eq!(listed(stage, all(acme)).await, lines[..1]);
    done(stage, vec![reports::wipe(acme)]).await;
    assert_eq!(listed(stage, all(acme)).await, []);
    assert_eq!(listed(stage, all(other)).await, lines[2..]);
}
