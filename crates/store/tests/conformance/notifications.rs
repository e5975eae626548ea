//! Notifications: one for each event and recipient. And the inbox of consumers: each event once.

use caudal_domain::{EventId, NotificationId, TenantId, UserId};
use caudal_store::{
    inbox,
    notifications::{self, Filter, NotificationRow},
};

use super::{
    fixtures::{done, missed, seconds, tenant},
    races::{one_wins, race},
    stage::Stage,
};

fn notification(stage: &Stage, tenant: TenantId, user: UserId, second: i64) -> NotificationRow {
    let at = seconds(second);
    NotificationRow {
        id: NotificationId(stage.id(at, 3)),
        tenant,
        user,
        event: EventId(stage.id(at, 3)),
        kind: "payment.succeeded".into(),
        subject: "pay_1".into(),
        data: "{}".into(),
        created_at: at,
        read_at: None,
    }
}

fn all(tenant: TenantId, user: UserId) -> Filter {
    Filter { tenant, user, unread: false, before: u128::MAX, limit: 9 }
}

pub async fn once_for_each_event_and_recipient(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let (ada, bob) = (UserId(1), UserId(2));
    let row = notification(stage, acme, ada, 1);
    let another = |user| {
        let id = NotificationId(stage.id(seconds(2), 3));
        NotificationRow { id, user, ..row.clone() }
    };
    // Many workers tell of one event.
    let units = (0..4).map(|_| vec![notifications::insert(&another(ada))]).collect();
    race(stage, units).await;
    done(stage, vec![notifications::insert(&another(bob))]).await;
    let of = async |user| notifications::list(db, &all(acme, user)).await.unwrap().len();
    assert_eq!((of(ada).await, of(bob).await), (1, 1));
}

pub async fn read_and_counted(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (ada, bob) = (UserId(1), UserId(2));
    let rows = [1, 2, 3].map(|at| notification(stage, acme, ada, at));
    let foreign = notification(stage, acme, bob, 4);
    done(stage, rows.iter().chain([&foreign]).map(notifications::insert).collect()).await;
    let [mut first, second, third] = rows;
    let listed = async |filter| notifications::list(db, &filter).await.unwrap();
    let unread = async |most| notifications::unread(db, acme, ada, most).await.unwrap();
    let everything = [third.clone(), second.clone(), first.clone()];
    assert_eq!(listed(all(acme, ada)).await, everything);
    assert_eq!(listed(Filter { limit: 1, ..all(acme, ada) }).await, everything[..1]);
    let page = Filter { before: second.id.0, ..all(acme, ada) };
    assert_eq!(listed(page).await, everything[2..]);
    assert_eq!(listed(all(other, ada)).await, []);
    assert_eq!((unread(9).await, unread(2).await), (3, 2));

    missed(stage, vec![notifications::read_one(acme, (bob, first.id), seconds(5))]).await;
    missed(stage, vec![notifications::read_one(other, (ada, first.id), seconds(5))]).await;
    for at in [6, 7] {
        done(stage, vec![notifications::read_one(acme, (ada, first.id), seconds(at))]).await;
    }
    first.read_at = Some(seconds(6));
    let find =
        async |tenant, user| notifications::find(db, tenant, (user, first.id)).await.unwrap();
    assert_eq!(find(acme, ada).await.as_ref(), Some(&first));
    assert_eq!((find(acme, bob).await, find(other, ada).await), (None, None));
    assert_eq!(listed(all(acme, ada)).await[2], first);
    let new = Filter { unread: true, ..all(acme, ada) };
    assert_eq!(listed(new).await, [third, second]);
    done(stage, vec![notifications::read_all(other, ada, seconds(8))]).await;
    assert_eq!(unread(9).await, 2);
    done(stage, vec![notifications::read_all(acme, ada, seconds(8))]).await;
    assert_eq!(unread(9).await, 0);
    done(stage, vec![notifications::remove_of_user(other, ada)]).await;
    assert_eq!(listed(all(acme, ada)).await.len(), 3);
    done(stage, vec![notifications::remove_of_user(acme, ada)]).await;
    assert_eq!(listed(all(acme, ada)).await, []);
    assert_eq!(listed(all(acme, bob)).await, [foreign]);
}

pub async fn inbox_counts_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let event = EventId(stage.id(seconds(1), 3));
    let has = async |consumer: &str| inbox::has(db, consumer, event).await.unwrap();
    assert!(!has("reports").await);
    let units = (0..4).map(|_| vec![inbox::insert("reports", event, seconds(1))]).collect();
    one_wins(stage, units, 0).await;
    assert!(has("reports").await);
    assert!(!has("receipts").await);
    done(stage, vec![inbox::insert("receipts", event, seconds(2))]).await;
    done(stage, vec![inbox::remove_before(seconds(2))]).await;
    assert!(!has("reports").await);
    missed(stage, vec![inbox::insert("receipts", event, seconds(3))]).await;
}
