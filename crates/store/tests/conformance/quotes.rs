//! Rates that stay on record, and quotes that are used once.

use std::slice::from_ref;

use caudal_domain::{
    Currency, Quote, QuoteId, RateOnRecord, TenantId, TransferId, UsedQuote, UserId,
};
use caudal_store::{
    Attachment, Step, StoreError,
    quotes::{self, Filter},
    rates,
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
    let rate = |base, quote, at, rate: &str| RateOnRecord {
        base,
        quote,
        at: seconds(at),
        rate: rate.parse().unwrap(),
        source: "desk".into(),
    };
    let rows = [
        rate(eur(), usd(), 1, "1.081234567891"),
        rate(eur(), usd(), 5, "1.09"),
        rate(eur(), jpy, 3, "163.2"),
        rate(usd(), eur(), 2, "0.92"),
    ];
    done(stage, rows.iter().map(rates::insert).collect()).await;
    missed(stage, vec![rates::insert(&rate(eur(), usd(), 5, "9"))]).await;
    let of = async |at| rates::find(db, (eur(), usd()), seconds(at)).await.unwrap();
    assert_eq!(of(0).await, None);
    assert_eq!(of(4).await.as_ref(), Some(&rows[0]));
    assert_eq!(of(5).await.as_ref(), Some(&rows[1]));
    let all = async |at| rates::list(db, eur(), seconds(at)).await.unwrap();
    assert_eq!(all(0).await, []);
    assert_eq!(all(2).await, rows[..1]);
    assert_eq!(all(9).await, [rows[2].clone(), rows[1].clone()]);
    assert_eq!(rates::list(db, jpy, seconds(9)).await.unwrap(), []);
}

fn quote(stage: &Stage, tenant: TenantId, second: i64) -> Quote {
    let at = seconds(second);
    Quote {
        id: QuoteId(stage.id(at, 7)),
        tenant,
        user: Some(UserId(4)),
        from: eur(),
        to: usd(),
        rate: "1.09".parse().unwrap(),
        amount: 100,
        credit: 109,
        expires_at: seconds(second + 30),
        used: None,
        created_at: at,
        version: 1,
    }
}

const TRANSFERS: [TransferId; 2] = [TransferId(8), TransferId(9)];

/// Both steps of an exchange, as the engine fills them.
fn used_up(quote: &Quote, second: i64) -> Vec<Step> {
    let Attachment { write, .. } = quotes::use_up(quote, seconds(second), "1.1".parse().unwrap());
    vec![write.of_transfer(TRANSFERS[0]), quotes::credited(quote).of_transfer(TRANSFERS[1])]
}

fn used(second: i64) -> Option<UsedQuote> {
    let market = "1.1".parse().unwrap();
    Some(UsedQuote { at: seconds(second), market, transfers: TRANSFERS })
}

pub async fn quotes_are_used_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = quote(stage, acme, 1);
    done(stage, vec![quotes::insert(&row)]).await;
    let find = async |tenant| quotes::find(db, tenant, row.id).await.unwrap();
    assert_eq!(find(acme).await.as_ref(), Some(&row));
    assert_eq!(find(other).await, None);
    missed(stage, used_up(&Quote { tenant: other, ..row.clone() }, 2)).await;
    missed(stage, used_up(&row, 31)).await;
    one_wins(stage, (0..4).map(|_| used_up(&row, 30)).collect(), 0).await;
    assert_eq!(find(acme).await, Some(Quote { used: used(30), version: 2, ..row.clone() }));
}

pub async fn quotes_by_page(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let [first, second, third] = [1, 2, 3].map(|at| quote(stage, acme, at));
    let second = Quote { user: None, ..second };
    done(stage, [&first, &second, &third].map(quotes::insert).into()).await;
    let all = Filter { tenant: acme, user: None, before: u128::MAX, from: 0, limit: 9 };
    let list = async |filter: Filter| quotes::list(db, &filter).await.unwrap();
    assert_eq!(list(Filter { limit: 1, ..all }).await, from_ref(&third));
    assert_eq!(list(Filter { before: third.id.0, ..all }).await, [second.clone(), first.clone()]);
    assert_eq!(list(Filter { from: third.id.0, ..all }).await, from_ref(&third));
    assert_eq!(list(Filter { tenant: other, ..all }).await, []);
    let own = Filter { user: Some(UserId(4)), ..all };
    assert_eq!(list(own).await, [third.clone(), first.clone()]);
    done(stage, used_up(&first, 4)).await;
    done(stage, vec![quotes::remove_expired(seconds(33))]).await;
    let left: Vec<_> = list(all).await.iter().map(|quote| quote.id).collect();
    assert_eq!(left, [third.id, first.id], "what was used stays");
}

pub async fn goes_with_a_batch(stage: &Stage) {
    let acme = tenant(stage).await;
    let (a, b) = (funded(stage, acme, 10, 900).await, wallet(stage, acme, 20).await);
    let row = quote(stage, acme, 1);
    done(stage, vec![quotes::insert(&row)]).await;
    let mut attachment = quotes::use_up(&row, seconds(5), "1.1".parse().unwrap());
    attachment.write = attachment.write.of_transfer(TRANSFERS[0]);
    assert_eq!(attachment.expected_version, 1);
    let batch = || Batch::of(acme, seconds(5), vec![pay(a, b, 100)]);
    let locked = batch_with(stage, batch(), attachment.clone()).await.unwrap();
    assert_eq!(locked, [(attachment.row, 1)]);
    let error = batch_with(stage, batch(), attachment).await.expect_err("used up");
    assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
    let credited = quotes::credited(&row).of_transfer(TRANSFERS[1]);
    done(stage, vec![credited.clone()]).await;
    missed(stage, vec![credited]).await;
    let found = quotes::find(stage.store.as_ref(), acme, row.id).await.unwrap().unwrap();
    assert_eq!((found.used, found.version), (used(5), 2));
}
