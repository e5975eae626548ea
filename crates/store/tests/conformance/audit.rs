//! The audit: read by page and filter, changed by nobody.

use caudal_domain::{Actor, AuditId, AuditRecord, TenantId, UserId, id::lowest_at};
use caudal_store::{
    Step, StoreError, UnitOfWork,
    audit::{self, Filter},
};

use super::{
    fixtures::{done, missed, seconds, tenant},
    stage::Stage,
};

fn record(stage: &Stage, tenant: TenantId, after: i64) -> AuditRecord {
    let at = seconds(after);
    AuditRecord {
        id: AuditId(stage.id(at, 3)),
        tenant,
        at,
        actor: Actor::User(UserId(7)),
        address: Some("2001:db8::7".into()),
        request_id: Some("req_1".into()),
        action: "user.updated".into(),
        object_kind: "user".into(),
        object_id: "usr_1".into(),
        fields: vec!["name".into(), "email".into()],
    }
}

fn all(tenant: TenantId) -> Filter {
    let (actor, action, object) = (None, None, None);
    Filter { tenant, actor, action, object, before: u128::MAX, from: 0, limit: 9 }
}

pub async fn by_page_and_filter(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let first = record(stage, acme, 1);
    let second = AuditRecord {
        actor: Actor::System,
        address: None,
        request_id: None,
        action: "signing_key.rotated".into(),
        object_kind: "signing_key".into(),
        object_id: "k1".into(),
        fields: vec![],
        ..record(stage, acme, 2)
    };
    let third = AuditRecord { actor: Actor::User(UserId(8)), ..record(stage, acme, 3) };
    let elsewhere = record(stage, other, 4);
    done(stage, [&first, &second, &third, &elsewhere].map(audit::insert).into()).await;
    let listed = async |filter: Filter| audit::list(db, &filter).await.unwrap();
    let everything = [third.clone(), second.clone(), first.clone()];
    assert_eq!(listed(all(acme)).await, everything);
    assert_eq!(listed(Filter { limit: 2, ..all(acme) }).await, everything[..2]);
    assert_eq!(listed(Filter { before: second.id.0, ..all(acme) }).await, everything[2..]);
    let until = Filter { before: lowest_at(seconds(3)), ..all(acme) };
    let span = Filter { from: lowest_at(seconds(2)), ..until };
    assert_eq!(listed(span).await, everything[1..2]);
    for (actor, found) in [
        (Actor::User(UserId(7)), &everything[2..]),
        (Actor::System, &everything[1..2]),
        (Actor::Anyone, &[]),
    ] {
        assert_eq!(listed(Filter { actor: Some(actor), ..all(acme) }).await, found);
    }
    let action = Some("user.updated".to_owned());
    let updates = listed(Filter { action, ..all(acme) }).await;
    assert_eq!(updates, [third.clone(), first]);
    let object = Some("k1".to_owned());
    assert_eq!(listed(Filter { object, ..all(acme) }).await, [second]);
    let both = Filter { actor: Some(third.actor), action: Some("x".into()), ..all(acme) };
    assert_eq!(listed(both).await, []);
}

pub async fn nobody_changes_it(stage: &Stage) {
    let acme = tenant(stage).await;
    let record = record(stage, acme, 1);
    done(stage, vec![audit::insert(&record)]).await;
    for sql in [
        "update audit set action = 'nothing'",
        "delete from audit",
        "insert into audit select * from audit where true
         on conflict (tenant_id, id) do update set action = 'nothing'",
    ] {
        let unit = UnitOfWork { steps: vec![Step::new(sql, vec![])], ..UnitOfWork::default() };
        let error = stage.store.commit(unit).await.expect_err(sql);
        let told = matches!(&error, StoreError::Rejected(why) | StoreError::Unavailable(why)
            if why.contains("only added to") || why.contains("42501"));
        assert!(told, "{sql}: {error:?}");
    }
    assert_eq!(audit::list(stage.store.as_ref(), &all(acme)).await.unwrap(), [record]);
}

pub async fn tables_of_people_keep_what_they_must(stage: &Stage) {
    // What has no end is never deleted.
    for sql in ["delete from users", "delete from signing_keys"] {
        let unit = UnitOfWork { steps: vec![Step::new(sql, vec![])], ..UnitOfWork::default() };
        let error = stage.store.commit(unit).await.expect_err(sql);
        assert!(format!("{error:?}").contains("42501"), "{sql}: {error:?}");
    }
    missed(stage, vec![Step::one("delete from codes", vec![])]).await;
}
