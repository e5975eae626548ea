//! Rates that stay on record, and quotes that are used once.

use std::slice::from_ref;

use caudal_domain::{Currency, QuoteId, TenantId, TransferId, UserId};
use caudal_store::{
    StoreError,
    fx::{self, QuoteRow, RateRow},
};

use super::{
    fixtures::{Batch, done, eur, funded, missed, pay, seconds, tenant, usd, wallet},
    payments::batch_with,
    races::one_wins,
    stage::Stage,
};

pub async fn rates_stay_on_record(stage: &Stage) {
    let db = stage.store.as_ref();
    let jpy = Currency::from_code("JPY").unwrap();
    let rate = |base, quote, at, rate: &str| RateRow {
        base,
        quote,
        at: seconds(at),
        rate: rate.into(),
        source: "desk".into(),
    };
    let rows = [
        rate(eur(), usd(), 1, "1.0812345678901"),
        rate(eur(), usd(), 5, "1.09"),
        rate(eur(), jpy, 3, "163.2"),
        rate(usd(), eur(), 2, "0.92"),
    ];
    done(stage, rows.iter().map(fx::insert_rate).collect()).await;
    // Rates on record do not change.
    done(stage, vec![fx::insert_rate(&rate(eur(), usd(), 5, "9"))]).await;
    let of = async |at| fx::rate(db, (eur(), usd()), seconds(at)).await.unwrap();
    assert_eq!(of(0).await, None);
    assert_eq!(of(4).await.as_ref(), Some(&rows[0]));
    assert_eq!(of(5).await.as_ref(), Some(&rows[1]));
    let all = async |at| fx::rates(db, eur(), seconds(at)).await.unwrap();
    assert_eq!(all(0).await, []);
    assert_eq!(all(2).await, rows[..1]);
    assert_eq!(all(9).await, [rows[2].clone(), rows[1].clone()]);
    assert_eq!(fx::rates(db, jpy, seconds(9)).await.unwrap(), []);
}

fn quote(stage: &Stage, tenant: TenantId, second: i64) -> QuoteRow {
    let at = seconds(second);
    QuoteRow {
        id: QuoteId(stage.id(at, 7)),
        tenant,
        user: Some(UserId(4)),
        base: eur(),
        quote: usd(),
        rate: "1.09".into(),
        amount_base: 100,
        amount_quote: 109,
        expires_at: seconds(second + 30),
        used_at: None,
        transfer: None,
        created_at: at,
        version: 1,
    }
}

pub async fn quotes_are_used_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = quote(stage, acme, 1);
    done(stage, vec![fx::insert_quote(&row)]).await;
    let find = async |tenant| fx::find_quote(db, tenant, row.id).await.unwrap();
    assert_eq!(find(acme).await.as_ref(), Some(&row));
    assert_eq!(find(other).await, None);
    let transfer = Some(TransferId(8));
    let foreign = QuoteRow { tenant: other, ..row.clone() };
    missed(stage, vec![fx::use_up(&foreign, seconds(2), transfer)]).await;
    missed(stage, vec![fx::use_up(&row, seconds(31), transfer)]).await;
    let units = (0..4).map(|_| vec![fx::use_up(&row, seconds(30), transfer)]).collect();
    one_wins(stage, units, 0).await;
    let used = QuoteRow { used_at: Some(seconds(30)), transfer, version: 2, ..row.clone() };
    assert_eq!(find(acme).await, Some(used));
}

pub async fn quotes_by_page(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let [first, second, third] = [1, 2, 3].map(|at| quote(stage, acme, at));
    done(stage, [&first, &second, &third].map(fx::insert_quote).into()).await;
    let list = async |tenant, before, limit| {
        fx::list_quotes(db, tenant, QuoteId(before), limit).await.unwrap()
    };
    assert_eq!(list(acme, u128::MAX, 1).await, from_ref(&third));
    assert_eq!(list(acme, third.id.0, 9).await, [second.clone(), first.clone()]);
    assert_eq!(list(other, u128::MAX, 9).await, []);
    done(stage, vec![fx::use_up(&first, seconds(4), None)]).await;
    done(stage, vec![fx::remove_expired(seconds(33))]).await;
    let left: Vec<_> = list(acme, u128::MAX, 9).await.iter().map(|quote| quote.id).collect();
    assert_eq!(left, [third.id, first.id], "what was used stays");
}

pub async fn goes_with_a_batch(stage: &Stage) {
    let acme = tenant(stage).await;
    let (a, b) = (funded(stage, acme, 10, 900).await, wallet(stage, acme, 20).await);
    let row = quote(stage, acme, 1);
    done(stage, vec![fx::insert_quote(&row)]).await;
    let attachment = fx::attachment(&row, seconds(5));
    assert_eq!(attachment.expected_version, 1);
    let batch = || Batch::of(acme, seconds(5), vec![pay(a, b, 100)]);
    let locked = batch_with(stage, batch(), attachment.clone()).await.unwrap();
    assert_eq!(locked, [(attachment.row, 1)]);
    let error = batch_with(stage, batch(), attachment).await.expect_err("used up");
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    let found = fx::find_quote(stage.store.as_ref(), acme, row.id).await.unwrap().unwrap();
    assert_eq!((found.used_at, found.version), (Some(seconds(5)), 2));
}
