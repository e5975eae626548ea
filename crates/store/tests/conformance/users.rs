//! Users: their rows, addresses, lockout, erasure; and the keys of persons.

use caudal_domain::{RoleRef, SystemRole, TenantId, UserId, UserStatus};
use caudal_store::{
    Step, UnitOutcome, person_keys,
    person_keys::PersonKey,
    roles,
    users::{self, Change, FailedLogin, Filter, Foreign, Replacement, UserRow},
};

use super::{
    fixtures::{done, missed, new_user, outcome, seconds, tenant, user_of},
    stage::Stage,
};

fn change(user: &UserRow, version: i64) -> Change {
    Change { tenant: user.tenant, id: user.id, version, at: seconds(9) }
}

async fn found(stage: &Stage, user: &UserRow) -> UserRow {
    users::find(stage.store.as_ref(), user.tenant, user.id).await.unwrap().expect("the user")
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let mut ada = UserRow {
        email_hash: Some(77),
        profile: Some("sealed é".into()),
        password: Some("$argon2id$…".into()),
        email_verified_at: Some(seconds(1)),
        foreign: Some(Foreign { issuer: "https://id".into(), subject: "a1".into() }),
        person_key: Some("sealed key".into()),
        roles: vec![RoleRef::System(SystemRole::Owner), RoleRef::System(SystemRole::Support)],
        ..new_user(stage, acme)
    };
    let key = PersonKey { user: ada.id, tenant: acme, sealed: "sealed key".into() };
    let mut steps = vec![users::insert(&ada), person_keys::insert(&key)];
    steps.extend(ada.roles.iter().map(|role| roles::give(acme, ada.id, *role)));
    done(stage, steps).await;
    let plain = user_of(stage, acme).await;
    let foreign = ada.foreign.clone().unwrap();
    assert_eq!(users::find(db, acme, ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(users::find(db, acme, plain.id).await.unwrap(), Some(plain.clone()));
    assert_eq!(users::find_by_email(db, acme, 77).await.unwrap(), Some(ada.clone()));
    assert_eq!(users::find_by_foreign(db, acme, &foreign).await.unwrap(), Some(ada.clone()));
    assert_eq!(person_keys::find(db, acme, ada.id).await.unwrap(), Some(key.clone()));
    // Another tenant's ids, addresses and subjects name nothing.
    assert_eq!(users::find(db, other, ada.id).await.unwrap(), None);
    assert_eq!(users::find_by_email(db, other, 77).await.unwrap(), None);
    assert_eq!(users::find_by_foreign(db, other, &foreign).await.unwrap(), None);
    assert_eq!(person_keys::find(db, other, ada.id).await.unwrap(), None);

    done(stage, vec![users::update_profile(&change(&ada, 2), "new", Some(78))]).await;
    (ada.profile, ada.email_hash) = (Some("new".into()), Some(78));
    (ada.version, ada.updated_at) = (2, seconds(9));
    assert_eq!(found(stage, &ada).await, ada);
    missed(stage, vec![users::update_profile(&change(&ada, 2), "stale", None)]).await;
    missed(
        stage,
        vec![users::update_profile(&Change { tenant: other, ..change(&ada, 3) }, "", None)],
    )
    .await;
    done(stage, vec![person_keys::reseal(&key, "again")]).await;
    missed(stage, vec![person_keys::reseal(&key, "too late")]).await;
    assert_eq!(found(stage, &ada).await.person_key.as_deref(), Some("again"));
}

pub async fn an_address_once_a_tenant(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let with = |tenant, hash| UserRow { email_hash: hash, ..new_user(stage, tenant) };
    let ada = with(acme, Some(77));
    done(stage, vec![users::insert(&ada)]).await;
    missed(stage, vec![users::insert(&with(acme, Some(77)))]).await;
    done(stage, vec![users::insert(&with(other, Some(77)))]).await;
    // Those without an address are not in each other's way.
    done(stage, vec![users::insert(&with(acme, None)), users::insert(&with(acme, None))]).await;
    let bob = with(acme, Some(78));
    done(stage, vec![users::insert(&bob)]).await;
    missed(stage, vec![users::update_profile(&change(&bob, 2), "p", Some(77))]).await;
    // Erased: the address is free again.
    done(stage, vec![users::erase(&change(&ada, 2)), users::insert(&with(acme, Some(77)))]).await;

    let foreign = || Some(Foreign { issuer: "https://id".into(), subject: "a1".into() });
    let come = |tenant| UserRow { foreign: foreign(), ..new_user(stage, tenant) };
    done(stage, vec![users::insert(&come(acme)), users::insert(&come(other))]).await;
    missed(stage, vec![users::insert(&come(acme))]).await;
}

pub async fn status_goes_its_way(stage: &Stage) {
    let acme = tenant(stage).await;
    let ada = UserRow { status: UserStatus::Pending, ..new_user(stage, acme) };
    done(stage, vec![users::insert(&ada), users::verified(&change(&ada, 2))]).await;
    let now = found(stage, &ada).await;
    assert_eq!((now.status, now.email_verified_at), (UserStatus::Active, Some(seconds(9))));
    done(stage, vec![users::set_status(&change(&ada, 3), UserStatus::Deactivated)]).await;
    // A late click on the mail's link does not let somebody in who was put out.
    done(stage, vec![users::verified(&change(&ada, 4))]).await;
    assert_eq!(found(stage, &ada).await.status, UserStatus::Deactivated);
    done(stage, vec![users::touch(&change(&ada, 5))]).await;
    missed(stage, vec![users::touch(&change(&ada, 5))]).await;
}

pub async fn erased_for_good(stage: &Stage) {
    let acme = tenant(stage).await;
    let ada = UserRow {
        email_hash: Some(77),
        profile: Some("sealed".into()),
        password: Some("phc".into()),
        foreign: Some(Foreign { issuer: "i".into(), subject: "s".into() }),
        ..new_user(stage, acme)
    };
    let key = PersonKey { user: ada.id, tenant: acme, sealed: "key".into() };
    done(stage, vec![users::insert(&ada), person_keys::insert(&key)]).await;
    let stranger = TenantId(5);
    missed(stage, vec![person_keys::destroy(stranger, ada.id)]).await;
    done(stage, vec![users::erase(&change(&ada, 2)), person_keys::destroy(acme, ada.id)]).await;
    let bare = UserRow {
        email_hash: None,
        profile: None,
        password: None,
        foreign: None,
        status: UserStatus::Erased,
        version: 2,
        updated_at: seconds(9),
        ..ada.clone()
    };
    assert_eq!(found(stage, &ada).await, bare);
    for step in [
        users::update_profile(&change(&ada, 3), "back", Some(77)),
        users::set_status(&change(&ada, 3), UserStatus::Active),
        users::verified(&change(&ada, 3)),
        users::erase(&change(&ada, 3)),
        users::reset_password(acme, ada.id, "phc", seconds(9)),
        users::login_succeeded(acme, ada.id, seconds(9)),
    ] {
        missed(stage, vec![step]).await;
    }
}

pub async fn lockout(stage: &Stage) {
    let acme = tenant(stage).await;
    let ada = user_of(stage, acme).await;
    let fail = |lock_until| {
        users::failed_login(&FailedLogin { tenant: acme, id: ada.id, most: 3, lock_until })
    };
    done(stage, vec![fail(seconds(60)), fail(seconds(60))]).await;
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_logins, now.locked_until), (2, None));
    done(stage, vec![users::login_succeeded(acme, ada.id, seconds(1))]).await;
    assert_eq!(found(stage, &ada).await.failed_logins, 0, "a success forgets");

    // Ten at once: all are counted.
    let failures = (0..10).map(|_| {
        let (store, step) = (stage.store.clone(), fail(seconds(60)));
        tokio::spawn(async move { outcome(&store, vec![step]).await })
    });
    for failure in failures.collect::<Vec<_>>() {
        assert_eq!(failure.await.unwrap(), UnitOutcome::Done);
    }
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_logins, now.locked_until), (10, Some(seconds(60))));
    assert!(now.is_locked(seconds(59)) && !now.is_locked(seconds(60)));
    missed(stage, vec![users::login_succeeded(acme, ada.id, seconds(59))]).await;
    // A lock is never shortened.
    done(stage, vec![fail(seconds(30))]).await;
    assert_eq!(found(stage, &ada).await.locked_until, Some(seconds(60)));
    done(stage, vec![users::login_succeeded(acme, ada.id, seconds(60))]).await;
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_logins, now.locked_until), (0, None));
    let status = users::set_status(&change(&ada, 2), UserStatus::Deactivated);
    done(stage, vec![status]).await;
    missed(stage, vec![users::login_succeeded(acme, ada.id, seconds(60))]).await;
}

pub async fn passwords(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let ada = UserRow { password: Some("first".into()), ..new_user(stage, acme) };
    done(stage, vec![users::insert(&ada)]).await;
    let replace = |tenant, old: &str, new: &str| -> Step {
        let (old, new) = (old.to_owned(), new.to_owned());
        users::replace_password(&Replacement { tenant, id: ada.id, old, new, at: seconds(9) })
    };
    done(stage, vec![replace(acme, "first", "second")]).await;
    missed(stage, vec![replace(acme, "first", "third")]).await;
    missed(stage, vec![replace(other, "second", "third")]).await;
    let lock_until = seconds(60);
    let failed = FailedLogin { tenant: acme, id: ada.id, most: 1, lock_until };
    done(stage, vec![users::failed_login(&failed)]).await;
    missed(stage, vec![users::reset_password(other, ada.id, "third", seconds(9))]).await;
    done(stage, vec![users::reset_password(acme, ada.id, "third", seconds(9))]).await;
    let now = found(stage, &ada).await;
    assert_eq!(now.password.as_deref(), Some("third"));
    assert_eq!((now.failed_logins, now.locked_until), (0, None));
    assert!(!format!("{now:?} {failed:?}").contains("third"));
}

pub async fn by_page_and_filter(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    user_of(stage, other).await;
    let mut ids: Vec<UserId> = Vec::new();
    for number in 0..5 {
        let status = if number == 2 { UserStatus::Pending } else { UserStatus::Active };
        let user = UserRow { status, ..new_user(stage, acme) };
        done(stage, vec![users::insert(&user)]).await;
        ids.insert(0, user.id);
    }
    // Several roles are several rows of the answer, and still one user.
    for role in [SystemRole::Operator, SystemRole::Admin, SystemRole::WalletHolder] {
        done(stage, vec![roles::give(acme, ids[1], RoleRef::System(role))]).await;
    }
    let all = Filter { tenant: acme, status: None, before: u128::MAX, from: 0, limit: 2 };
    let (mut seen, mut before) = (Vec::new(), u128::MAX);
    loop {
        let page = users::list(db, &Filter { before, ..all }).await.unwrap();
        assert!(page.len() <= 2);
        seen.extend(page.iter().map(|user| user.id));
        let Some(last) = page.last() else { break };
        before = last.id.0;
    }
    assert_eq!(seen, ids);
    let pending = Filter { status: Some(UserStatus::Pending), ..all.clone() };
    assert_eq!(users::list(db, &pending).await.unwrap()[0].id, ids[2]);
    let recent = Filter { from: ids[1].0, limit: 9, ..all };
    let recent = users::list(db, &recent).await.unwrap();
    assert_eq!(recent.iter().map(|user| user.roles.len()).collect::<Vec<_>>(), [0, 3]);
}

pub async fn keys_in_order(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let mut keys = Vec::new();
    for tenant in [acme, other, acme] {
        let user = user_of(stage, tenant).await.id;
        keys.push(PersonKey { user, tenant, sealed: format!("key {}", keys.len()) });
    }
    done(stage, keys.iter().map(person_keys::insert).collect()).await;
    assert_eq!(person_keys::after(db, UserId(0), 2).await.unwrap(), keys[..2]);
    assert_eq!(person_keys::after(db, keys[1].user, 2).await.unwrap(), keys[2..]);
}
