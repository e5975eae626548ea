//! Velocity: which payments count, how many, and that they are found by an index.

use caudal_domain::{AccountId, Currency, UserId, id::lowest_at};
use caudal_store::{
    payments::{self, PaymentRow},
    velocity::{self, COUNTED_MOST, Counts, Range, Whose},
    velocity_turns::{self, VelocityTurn},
};

use super::{
    fixtures::{done, missed, seconds, tenant, usd},
    payments::new_payment,
    stage::{START, Stage},
};

pub async fn counts_whose_and_when(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let id = |n| stage.id(START, n);
    let (user, payer, payee) = (UserId(id(1)), AccountId(id(2)), AccountId(id(3)));
    let yen = Currency::from_code("JPY").unwrap();
    let full = |second, amount| PaymentRow {
        amount,
        user: Some(user),
        from: Some(payer),
        wallet: payee,
        payment_method: Some("pm_1".into()),
        ..new_payment(stage, acme, second)
    };
    let rows = [
        full(10, 1),
        full(20, 2),
        full(30, 4),
        PaymentRow { currency: yen, ..full(31, 8) },
        PaymentRow { user: None, from: None, payment_method: None, ..full(32, 16) },
        PaymentRow { tenant: other, ..full(33, 32) },
        full(40, 64),
    ];
    done(stage, rows.iter().map(payments::insert).collect()).await;
    let range = Range {
        tenant: acme,
        from: lowest_at(seconds(20)),
        recent: lowest_at(seconds(30)),
        before: lowest_at(seconds(40)),
        currency: usd(),
    };
    let counts =
        |count, sum, recent_count, recent_sum| Counts { count, sum, recent_count, recent_sum };
    for (whose, wanted) in [
        (Whose::User(user), counts(3, 6, 2, 4)),
        (Whose::Payer(payer), counts(3, 6, 2, 4)),
        (Whose::Payee(payee), counts(4, 22, 3, 20)),
        (Whose::Method("pm_1"), counts(3, 6, 2, 4)),
        (Whose::Method("pm_2"), Counts::default()),
        (Whose::User(UserId(9)), Counts::default()),
    ] {
        let found = velocity::count(db, whose, &range).await.unwrap();
        assert_eq!(found, wanted, "{whose:?}");
    }
}

/// The largest amounts there are, as many as are looked at and more.
pub async fn stays_within_its_bounds(stage: &Stage) {
    let acme = tenant(stage).await;
    let user = UserId(stage.id(START, 1));
    let amount = caudal_domain::MAX_AMOUNT;
    let row = |_| PaymentRow { amount, user: Some(user), ..new_payment(stage, acme, 5) };
    let rows: Vec<_> = (0..COUNTED_MOST + 5).map(row).collect();
    for some in rows.chunks(200) {
        done(stage, some.iter().map(payments::insert).collect()).await;
    }
    let (from, before) = (0, u128::MAX);
    let range = Range { tenant: acme, from, recent: from, before, currency: usd() };
    let found = velocity::count(stage.store.as_ref(), Whose::User(user), &range).await.unwrap();
    assert_eq!((found.count, found.sum), (COUNTED_MOST, amount * COUNTED_MOST));
}

pub async fn is_found_by_an_index(stage: &Stage) {
    let id = stage.literal(stage.id(START, 7));
    let later = stage.literal(stage.id(seconds(86_400), 7));
    for (column, value) in [
        ("user_id", id.as_str()),
        ("from_id", &id),
        ("wallet_id", &id),
        ("payment_method", "'pm_1'"),
    ] {
        let mut sql = velocity::statement(column);
        let values = [value, &id, &id, &later, &id, "'USD'", "1000"];
        for (place, value) in (1..).zip(values) {
            sql = sql.replace(&format!("${place}"), value);
        }
        let client = stage.client();
        client.batch_execute("set enable_seqscan = off; set enable_sort = off").await.unwrap();
        let plan = client.query(&format!("explain (costs off) {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(&format!("Index Cond: (({column} =")), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
    }
}

pub async fn turns_are_taken_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let [one, two] = ["pm_1", "pm_2"].map(|it| velocity_turns::id_of(acme, Whose::Method(it)));
    let version = async |id| velocity_turns::version(db, id).await.unwrap();
    assert_eq!(version(one).await, None);
    let at = seconds(10);
    let first = |id| velocity_turns::insert(id, at);
    done(stage, vec![first(one), first(two), first(one)]).await;
    let next = |id, version| velocity_turns::update(&VelocityTurn { id, at: seconds(20), version });
    done(stage, vec![next(one, 2), next(two, 2)]).await;
    missed(stage, vec![next(one, 2)]).await;
    missed(stage, vec![next(one, 4)]).await;
    done(stage, vec![next(one, 3), first(one)]).await;
    assert_eq!((version(one).await, version(two).await), (Some(3), Some(2)));
    done(stage, vec![velocity_turns::remove_before(seconds(20))]).await;
    assert_eq!(version(two).await, Some(2), "taken since");
    done(stage, vec![velocity_turns::remove_before(seconds(21))]).await;
    assert_eq!((version(one).await, version(two).await), (None, None));
}
