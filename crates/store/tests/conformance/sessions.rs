//! Sessions: started, carried on by tokens of which each counts once, ended.

use caudal_domain::{Session, SessionId, TenantId, UserId, UserStatus};
use caudal_store::{
    Step, UnitOutcome,
    second_factors::{self, Answered},
    sessions::{self, Filter, FoundToken, Others, RefreshToken, Use},
    users,
};

use super::{
    fixtures::{done, missed, outcome, seconds, tenant, user_of},
    stage::{START, Stage},
};

fn session(stage: &Stage, tenant: TenantId, user: UserId) -> Session {
    Session {
        id: SessionId(stage.id(START, 9)),
        tenant,
        user,
        created_at: START,
        last_used_at: START,
        expires_at: seconds(1000),
        revoked_at: None,
        address: Some("192.0.2.7".into()),
        user_agent: Some("curl".into()),
        auth_at: START,
        second_factor_at: Some(seconds(1)),
    }
}

fn token(session: &Session, hash: u128) -> RefreshToken {
    RefreshToken {
        hash,
        session: session.id,
        tenant: session.tenant,
        issued_at: START,
        expires_at: seconds(500),
        used_at: None,
    }
}

fn used(after: i64) -> Use {
    Use { at: seconds(after), address: Some("192.0.2.8".into()), user_agent: None }
}

/// Of somebody who gave no second factor.
pub fn with_password_alone(stage: &Stage, tenant: TenantId, user: UserId) -> Vec<Step> {
    let session = Session { second_factor_at: None, ..session(stage, tenant, user) };
    sessions::start(&session, &token(&session, stage.id(START, 9))).into()
}

async fn started(stage: &Stage, tenant: TenantId, user: UserId, hash: u128) -> Session {
    let session = session(stage, tenant, user);
    done(stage, sessions::start(&session, &token(&session, hash)).into()).await;
    session
}

pub async fn ask_for_the_second_factor_in_force(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let ada = user_of(stage, acme).await;
    let alone = || with_password_alone(stage, acme, ada.id);
    done(stage, vec![second_factors::propose_totp(acme, ada.id, "seed")]).await;
    done(stage, alone()).await;
    let answered = Answered { tenant: acme, user: ada.id, step: 1 };
    done(stage, vec![second_factors::confirm_totp(&answered, "seed", START)]).await;
    missed(stage, alone()).await;
    started(stage, acme, ada.id, 1).await;
    // Nobody else's is.
    done(stage, with_password_alone(stage, other, user_of(stage, other).await.id)).await;
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let ada = user_of(stage, acme).await;
    let mut session = started(stage, acme, ada.id, 1).await;
    let first = token(&session, 1);
    let found = sessions::find_token(db, 1).await.unwrap().unwrap();
    let user_status = UserStatus::Active;
    assert_eq!(found, FoundToken { token: first.clone(), session: session.clone(), user_status });
    assert_eq!(sessions::find_token(db, 2).await.unwrap(), None);
    assert_eq!(sessions::find(db, acme, session.id).await.unwrap(), Some(session.clone()));
    assert_eq!(sessions::find(db, other, session.id).await.unwrap(), None);

    done(stage, sessions::rotate(1, &token(&session, 2), &used(5)).into()).await;
    session.last_used_at = seconds(5);
    (session.address, session.user_agent) = (Some("192.0.2.8".into()), None);
    let old = sessions::find_token(db, 1).await.unwrap().unwrap();
    assert_eq!(old.token, RefreshToken { used_at: Some(seconds(5)), ..first });
    assert_eq!(old.session, session);
    let change = users::Change { tenant: acme, id: ada.id, version: 2, at: START };
    done(stage, vec![users::set_status(&change, UserStatus::Deactivated)]).await;
    let new = sessions::find_token(db, 2).await.unwrap().unwrap();
    assert_eq!((new.token.used_at, new.user_status), (None, UserStatus::Deactivated));

    missed(stage, vec![sessions::stepped_up(other, session.id, seconds(6))]).await;
    done(stage, vec![sessions::stepped_up(acme, session.id, seconds(6))]).await;
    done(stage, vec![sessions::forget_origins(acme, ada.id)]).await;
    let now = sessions::find(db, acme, session.id).await.unwrap().unwrap();
    assert_eq!((now.second_factor_at, now.address), (Some(seconds(6)), None));
}

pub async fn of_two_refreshes_one_wins(stage: &Stage) {
    let acme = tenant(stage).await;
    let ada = user_of(stage, acme).await;
    let session = started(stage, acme, ada.id, 1).await;
    let racers = (10..18).map(|hash| {
        let steps = sessions::rotate(1, &token(&session, hash), &used(5)).into();
        let store = stage.store.clone();
        tokio::spawn(async move { outcome(&store, steps).await })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            UnitOutcome::Done => won += 1,
            lost => assert_eq!(lost, UnitOutcome::Missed(sessions::USED_UP)),
        }
    }
    assert_eq!(won, 1);
    let db = stage.store.as_ref();
    let mut children = 0;
    for hash in 10..18 {
        children += usize::from(sessions::find_token(db, hash).await.unwrap().is_some());
    }
    assert_eq!(children, 1, "what lost left nothing");
    // A lost answer: another child of the same token.
    done(stage, sessions::rotate_again(&token(&session, 99), &used(6)).into()).await;
}

pub async fn what_has_ended_stays_so(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let ada = user_of(stage, acme).await;
    let session = started(stage, acme, ada.id, 1).await;
    let late = sessions::rotate(1, &token(&session, 2), &used(500));
    assert_eq!(outcome(&stage.store, late.into()).await, UnitOutcome::Missed(0), "token expired");
    let late = sessions::rotate_again(&token(&session, 2), &used(1000));
    assert_eq!(outcome(&stage.store, late.into()).await, UnitOutcome::Missed(1), "session expired");
    missed(stage, vec![sessions::revoke(other, session.id, seconds(6))]).await;
    done(stage, vec![sessions::revoke(acme, session.id, seconds(6))]).await;
    missed(stage, vec![sessions::revoke(acme, session.id, seconds(7))]).await;
    missed(stage, vec![sessions::stepped_up(acme, session.id, seconds(7))]).await;
    let after = sessions::rotate(1, &token(&session, 2), &used(7));
    assert_eq!(outcome(&stage.store, after.into()).await, UnitOutcome::Missed(2));
    let db = stage.store.as_ref();
    let old = sessions::find_token(db, 1).await.unwrap().unwrap();
    assert_eq!((old.token.used_at, old.session.is_live(seconds(7))), (None, false));

    done(stage, sessions::remove_expired(seconds(600)).into()).await;
    assert_eq!(sessions::find_token(db, 1).await.unwrap(), None);
    assert!(sessions::find(db, acme, session.id).await.unwrap().is_some());
    done(stage, sessions::remove_expired(seconds(1001)).into()).await;
    assert_eq!(sessions::find(db, acme, session.id).await.unwrap(), None);
}

pub async fn of_a_user(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (ada, bob) = (user_of(stage, acme).await.id, user_of(stage, acme).await.id);
    let theirs = started(stage, acme, bob, 50).await;
    let mut ids = Vec::new();
    for hash in 1..5 {
        ids.insert(0, started(stage, acme, ada, hash).await.id);
    }
    let before = SessionId(u128::MAX);
    let all = Filter { tenant: acme, user: ada, live_at: None, before, limit: 3 };
    let listed = async |filter: Filter| -> Vec<SessionId> {
        sessions::list(db, &filter).await.unwrap().iter().map(|session| session.id).collect()
    };
    assert_eq!(listed(all).await, ids[..3]);
    assert_eq!(listed(Filter { before: ids[2], ..all }).await, ids[3..]);
    assert_eq!(listed(Filter { tenant: other, ..all }).await, []);
    let live = Filter { live_at: Some(seconds(9)), ..all };
    done(stage, vec![sessions::revoke(acme, ids[0], seconds(5))]).await;
    assert_eq!(listed(live).await, ids[1..]);
    let others = Others { tenant: acme, user: ada, except: Some(ids[2]) };
    let stranger = Others { tenant: other, ..others };
    done(stage, vec![sessions::revoke_all_of_user(&stranger, seconds(6))]).await;
    assert_eq!(listed(live).await.len(), 3);
    done(stage, vec![sessions::revoke_all_of_user(&others, seconds(6))]).await;
    assert_eq!(listed(live).await, [ids[2]]);
    assert_eq!(listed(Filter { live_at: Some(seconds(1000)), ..all }).await, []);
    done(stage, vec![sessions::revoke_all_of_user(&Others { except: None, ..others }, START)])
        .await;
    assert_eq!(listed(live).await, []);
    assert_eq!(listed(Filter { user: bob, ..live }).await, [theirs.id]);
}
