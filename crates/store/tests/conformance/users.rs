//! Users: their rows, addresses, lockout, erasure; and the keys of persons.

use caudal_domain::{RoleRef, SystemRole, TenantId, Timestamp, UserId, UserStatus};
use caudal_store::{
    Step, UnitOutcome,
    guesses::{self, Failure, Guessed},
    person_keys,
    person_keys::PersonKey,
    roles, second_factors,
    users::{self, Change, Entering, Filter, Foreign, Replacement, UserRow},
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
    assert_eq!(found(stage, &ada).await.deactivated_from, Some(UserStatus::Active));
    done(stage, vec![users::touch(&change(&ada, 5))]).await;
    missed(stage, vec![users::touch(&change(&ada, 5))]).await;
    done(stage, vec![users::set_status(&change(&ada, 6), UserStatus::Active)]).await;
    assert_eq!(found(stage, &ada).await.deactivated_from, None);
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
        users::lock(acme, ada.id),
        users::proven(acme, ada.id, seconds(9)),
        users::password_given(acme, ada.id, seconds(9)),
        users::may_enter(&entering(&ada, seconds(9))),
        users::login_succeeded(&entering(&ada, seconds(9))),
        guesses::count(&failure(&ada, Guessed::Logins, seconds(9))),
        guesses::lock_out(&Failure { most: 1, ..failure(&ada, Guessed::Proofs, seconds(9)) }),
    ] {
        missed(stage, vec![step]).await;
    }
}

fn entering(user: &UserRow, at: Timestamp) -> Entering {
    let password = user.password.clone().unwrap_or_default();
    Entering { tenant: user.tenant, id: user.id, password, at }
}

/// Three lock for a minute.
fn failure(user: &UserRow, guessed: Guessed, at: Timestamp) -> Failure {
    let lock_until = at.plus_seconds(60);
    Failure { tenant: user.tenant, id: user.id, guessed, at, most: 3, lock_until }
}

/// Whether it locked; as the service does it, which does not know what others do meanwhile.
async fn fail(store: caudal_store::Store, failure: Failure) -> bool {
    let (count, lock) = (guesses::count(&failure), guesses::lock_out(&failure));
    for (step, locks) in [(count.clone(), false), (lock, true), (count, false)] {
        if outcome(&store, vec![step]).await == UnitOutcome::Done {
            return locks;
        }
    }
    false
}

pub async fn lockout(stage: &Stage) {
    let acme = tenant(stage).await;
    let ada = UserRow { password: Some("phc".into()), ..new_user(stage, acme) };
    done(stage, vec![users::insert(&ada)]).await;
    let count = |at| guesses::count(&failure(&ada, Guessed::Logins, at));
    let lock = |at| guesses::lock_out(&failure(&ada, Guessed::Logins, at));
    let succeeded = |at| users::login_succeeded(&entering(&ada, at));
    missed(stage, vec![lock(seconds(0))]).await;
    done(stage, vec![count(seconds(0)), count(seconds(0))]).await;
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_logins, now.locked_until), (2, None));
    missed(stage, vec![count(seconds(0))]).await;
    done(stage, vec![users::may_enter(&entering(&ada, seconds(1)))]).await;
    assert_eq!(found(stage, &ada).await.failed_logins, 2);
    done(stage, vec![succeeded(seconds(1))]).await;
    assert_eq!(found(stage, &ada).await.failed_logins, 0, "a success forgets");

    // Ten at once: the third of them locks, and only one is the third.
    let failures = (0..10).map(|_| {
        tokio::spawn(fail(stage.store.clone(), failure(&ada, Guessed::Logins, seconds(0))))
    });
    let mut locked = 0;
    for failure in failures.collect::<Vec<_>>() {
        locked += usize::from(failure.await.unwrap());
    }
    assert_eq!(locked, 1);
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_logins, now.locked_until), (0, Some(seconds(60))));
    assert!(now.is_locked(seconds(59)) && !now.is_locked(seconds(60)));
    for step in [count(seconds(59)), lock(seconds(59))] {
        missed(stage, vec![step]).await;
    }
    missed(stage, vec![succeeded(seconds(59))]).await;
    missed(stage, vec![users::may_enter(&entering(&ada, seconds(59)))]).await;
    // After a lock the count begins anew.
    done(stage, vec![count(seconds(60)), count(seconds(60))]).await;
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_logins, now.locked_until), (2, None));
    done(stage, vec![lock(seconds(60))]).await;
    assert_eq!(found(stage, &ada).await.locked_until, Some(seconds(120)));
    done(stage, vec![succeeded(seconds(120))]).await;
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_logins, now.locked_until), (0, None));
    // With another password than the one that was right, nobody enters.
    let other = Entering { password: "other".into(), ..entering(&ada, seconds(120)) };
    missed(stage, vec![users::login_succeeded(&other)]).await;
    missed(stage, vec![users::may_enter(&other)]).await;
    let status = users::set_status(&change(&ada, 2), UserStatus::Deactivated);
    done(stage, vec![status]).await;
    missed(stage, vec![succeeded(seconds(120))]).await;
    missed(stage, vec![users::may_enter(&entering(&ada, seconds(120)))]).await;
}

pub async fn proofs_are_locked_apart(stage: &Stage) {
    let acme = tenant(stage).await;
    let ada = UserRow { password: Some("phc".into()), ..new_user(stage, acme) };
    done(stage, vec![users::insert(&ada)]).await;
    let count = |at| guesses::count(&failure(&ada, Guessed::Proofs, at));
    let counted = async || found(stage, &ada).await.failed_proofs;
    let given = |at| users::password_given(acme, ada.id, at);
    done(stage, vec![count(seconds(0)), count(seconds(0))]).await;
    assert_eq!(counted().await, 2);
    done(stage, vec![given(seconds(0))]).await;
    assert_eq!(counted().await, 0);
    // With a second factor in force the password alone forgets nothing.
    missed(stage, vec![second_factors::in_force(acme, ada.id)]).await;
    let answered = second_factors::Answered { tenant: acme, user: ada.id, step: 1 };
    let proposed = second_factors::propose_totp(acme, ada.id, "seed");
    done(stage, vec![proposed]).await;
    missed(stage, vec![second_factors::in_force(acme, ada.id)]).await;
    done(stage, vec![second_factors::confirm_totp(&answered, "seed", seconds(0))]).await;
    done(stage, vec![second_factors::in_force(acme, ada.id)]).await;
    done(stage, vec![count(seconds(0)), given(seconds(0))]).await;
    assert_eq!(counted().await, 1);
    done(stage, vec![users::proven(acme, ada.id, seconds(0))]).await;
    assert_eq!(counted().await, 0);

    done(stage, vec![count(seconds(0)), count(seconds(0))]).await;
    done(stage, vec![guesses::lock_out(&failure(&ada, Guessed::Proofs, seconds(0)))]).await;
    let now = found(stage, &ada).await;
    assert_eq!((now.failed_proofs, now.proofs_locked_until), (0, Some(seconds(60))));
    assert!(now.is_locked_out_of(Guessed::Proofs, seconds(59)) && !now.is_locked(seconds(59)));
    for step in [given(seconds(59)), users::proven(acme, ada.id, seconds(59)), count(seconds(59))] {
        missed(stage, vec![step]).await;
    }
    done(stage, vec![users::login_succeeded(&entering(&ada, seconds(59)))]).await;
    done(stage, vec![given(seconds(60))]).await;
    assert_eq!(found(stage, &ada).await.proofs_locked_until, None);
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
    for guessed in [Guessed::Logins, Guessed::Proofs] {
        let failed = Failure { most: 1, ..failure(&ada, guessed, seconds(0)) };
        done(stage, vec![guesses::lock_out(&failed)]).await;
    }
    missed(stage, vec![users::reset_password(other, ada.id, "third", seconds(9))]).await;
    done(stage, vec![users::reset_password(acme, ada.id, "third", seconds(9))]).await;
    let now = found(stage, &ada).await;
    assert_eq!(now.password.as_deref(), Some("third"));
    assert_eq!((now.failed_logins, now.locked_until, now.proofs_locked_until), (0, None, None));
    assert!(!format!("{now:?}").contains("third"));
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
