//! Schedules: round trips, lists, and each run once.

use std::slice::from_ref;

use caudal_domain::{PaymentId, ScheduleId, TenantId, UserId};
use caudal_store::schedules::{self, Filter, ScheduleRow};

use super::{
    fixtures::{done, missed, seconds, tenant},
    races::one_wins,
    stage::Stage,
};

fn schedule(stage: &Stage, tenant: TenantId, second: i64) -> ScheduleRow {
    let at = seconds(second);
    ScheduleRow {
        id: ScheduleId(stage.id(at, 3)),
        tenant,
        user: None,
        status: "active".into(),
        payment: "{\"amount\":5}".into(),
        rule: "{\"every\":\"month\"}".into(),
        runs: 0,
        next_at: Some(at),
        last_payment: None,
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let user = Some(UserId(4));
    let mut first = ScheduleRow { user, ..schedule(stage, acme, 1) };
    let second = schedule(stage, acme, 2);
    let rows = [&first, &second, &schedule(stage, other, 3)];
    done(stage, rows.map(schedules::insert).into()).await;
    assert_eq!(schedules::find(db, acme, first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(schedules::find(db, other, first.id).await.unwrap(), None);
    (first.status, first.payment, first.rule) = ("paused".into(), "{}".into(), "[]".into());
    (first.runs, first.next_at) = (1, None);
    first.last_payment = Some(PaymentId(6));
    (first.updated_at, first.version) = (seconds(5), 2);
    let foreign = ScheduleRow { tenant: other, ..first.clone() };
    missed(stage, vec![schedules::update(&foreign)]).await;
    done(stage, vec![schedules::update(&first)]).await;
    assert_eq!(schedules::find(db, acme, first.id).await.unwrap(), Some(first.clone()));
    let all = || Filter { tenant: acme, user: None, status: None, before: u128::MAX, limit: 9 };
    let listed = async |filter: Filter| schedules::list(db, &filter).await.unwrap();
    let everything = [second.clone(), first];
    assert_eq!(listed(all()).await, everything);
    assert_eq!(listed(Filter { limit: 1, ..all() }).await, everything[..1]);
    assert_eq!(listed(Filter { before: second.id.0, ..all() }).await, everything[1..]);
    assert_eq!(listed(Filter { user, ..all() }).await, everything[1..]);
    let status = Some("active".to_owned());
    assert_eq!(listed(Filter { status, ..all() }).await, everything[..1]);
}

pub async fn due_by_time(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let (late, early) = (schedule(stage, acme, 5), schedule(stage, acme, 2));
    let never = ScheduleRow { next_at: None, ..schedule(stage, acme, 1) };
    done(stage, [&late, &early, &never].map(schedules::insert).into()).await;
    let due = async |at, limit| schedules::due(db, seconds(at), limit).await.unwrap();
    assert_eq!(due(1, 9).await, []);
    assert_eq!(due(5, 9).await, [early.clone(), late.clone()]);
    assert_eq!(due(5, 1).await, from_ref(&early));
    // Two workers run the same one.
    let ran = ScheduleRow { runs: 1, next_at: Some(seconds(60)), version: 2, ..early };
    one_wins(stage, (0..3).map(|_| vec![schedules::update(&ran)]).collect(), 0).await;
    assert_eq!(due(5, 9).await, [late]);
}
