//! One-time codes and second factors: each counts once, whoever races.

use std::slice::from_ref;

use caudal_domain::{CodePurpose, TenantId, UserId};
use caudal_store::{
    UnitOutcome,
    codes::{self, Code},
    second_factors::{self, Answered, Totp},
};

use super::{
    fixtures::{done, missed, outcome, seconds, tenant, user_of},
    stage::Stage,
};

fn code(tenant: TenantId, user: UserId, hash: u128) -> Code {
    Code {
        hash,
        tenant,
        user,
        purpose: CodePurpose::Recover,
        data: Some("sealed".into()),
        expires_at: seconds(60),
        used_at: None,
        attempts: 0,
    }
}

pub async fn used_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let ada = user_of(stage, acme).await.id;
    let first = code(acme, ada, 1);
    done(stage, vec![codes::insert(&first)]).await;
    assert_eq!(codes::find(db, 1).await.unwrap(), Some(first.clone()));
    assert_eq!(codes::find(db, 2).await.unwrap(), None);
    missed(stage, vec![codes::insert(&first)]).await;
    missed(stage, vec![codes::use_up(1, CodePurpose::VerifyEmail, seconds(5))]).await;
    missed(stage, vec![codes::use_up(1, CodePurpose::Recover, seconds(60))]).await;
    let racers = (0..4).map(|_| {
        let (store, step) =
            (stage.store.clone(), codes::use_up(1, CodePurpose::Recover, seconds(5)));
        tokio::spawn(async move { outcome(&store, vec![step]).await })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        won += usize::from(racer.await.unwrap() == UnitOutcome::Done);
    }
    assert_eq!(won, 1);
    let used = Code { used_at: Some(seconds(5)), ..first };
    assert_eq!(codes::find(db, 1).await.unwrap(), Some(used));
}

pub async fn few_attempts(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let ada = user_of(stage, acme).await.id;
    done(stage, vec![codes::insert(&code(acme, ada, 1))]).await;
    for _ in 0..3 {
        done(stage, vec![codes::count_attempt(1, 3, seconds(5))]).await;
    }
    missed(stage, vec![codes::count_attempt(1, 3, seconds(5))]).await;
    missed(stage, vec![codes::count_attempt(1, 9, seconds(60))]).await;
    assert_eq!(codes::find(db, 1).await.unwrap().unwrap().attempts, 3);
}

pub async fn voided_and_removed(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let ada = user_of(stage, acme).await.id;
    let mail = Code { purpose: CodePurpose::VerifyEmail, data: None, ..code(acme, ada, 2) };
    done(stage, vec![codes::insert(&code(acme, ada, 1)), codes::insert(&mail)]).await;
    done(stage, vec![codes::void(other, ada, CodePurpose::Recover, seconds(5))]).await;
    assert_eq!(codes::find(db, 1).await.unwrap().unwrap().used_at, None);
    done(stage, vec![codes::void(acme, ada, CodePurpose::Recover, seconds(5))]).await;
    missed(stage, vec![codes::use_up(1, CodePurpose::Recover, seconds(6))]).await;
    missed(stage, vec![codes::count_attempt(1, 9, seconds(6))]).await;
    assert_eq!(codes::find(db, 2).await.unwrap(), Some(mail));
    done(stage, vec![codes::remove_of_user(other, ada), codes::remove_expired(seconds(60))]).await;
    assert!(codes::find(db, 2).await.unwrap().is_some());
    done(stage, vec![codes::remove_expired(seconds(61))]).await;
    assert_eq!(codes::find(db, 2).await.unwrap(), None);
    done(stage, vec![codes::insert(&code(acme, ada, 3)), codes::remove_of_user(acme, ada)]).await;
    assert_eq!(codes::find(db, 3).await.unwrap(), None);
}

pub async fn totp_steps_count_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let ada = user_of(stage, acme).await.id;
    let at = |step| Answered { tenant: acme, user: ada, step };
    let elsewhere = |step| Answered { tenant: other, ..at(step) };
    done(stage, vec![second_factors::propose_totp(acme, ada, "seed 1")]).await;
    done(stage, vec![second_factors::propose_totp(acme, ada, "seed 2")]).await;
    missed(stage, vec![second_factors::propose_totp(other, ada, "foreign")]).await;
    missed(stage, vec![second_factors::advance_totp(&at(7))]).await;
    missed(stage, vec![second_factors::confirm_totp(&at(7), "seed 1", seconds(1))]).await;
    missed(stage, vec![second_factors::confirm_totp(&elsewhere(7), "seed 2", seconds(1))]).await;
    done(stage, vec![second_factors::confirm_totp(&at(7), "seed 2", seconds(1))]).await;
    missed(stage, vec![second_factors::confirm_totp(&at(8), "seed 2", seconds(2))]).await;
    missed(stage, vec![second_factors::propose_totp(acme, ada, "seed 3")]).await;
    // The answer that confirmed is spent, and so is everything before it.
    for step in [7, 6] {
        missed(stage, vec![second_factors::advance_totp(&at(step))]).await;
    }
    missed(stage, vec![second_factors::advance_totp(&elsewhere(8))]).await;
    done(stage, vec![second_factors::advance_totp(&at(8))]).await;
    missed(stage, vec![second_factors::advance_totp(&at(8))]).await;
    let totp = Totp {
        user: ada,
        tenant: acme,
        seed: "seed 2".into(),
        confirmed_at: Some(seconds(1)),
        last_step: Some(8),
    };
    assert_eq!(second_factors::find_totp(db, acme, ada).await.unwrap(), Some(totp.clone()));
    assert_eq!(second_factors::find_totp(db, other, ada).await.unwrap(), None);
    assert_eq!(second_factors::totp_after(db, UserId(0), 9).await.unwrap(), from_ref(&totp));
    assert_eq!(second_factors::totp_after(db, ada, 9).await.unwrap(), []);
    done(stage, vec![second_factors::reseal_totp(&totp, "again")]).await;
    missed(stage, vec![second_factors::reseal_totp(&totp, "too late")]).await;
}

pub async fn recovery_codes_count_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (ada, bob) = (user_of(stage, acme).await.id, user_of(stage, acme).await.id);
    let insert = |user, hash| second_factors::insert_recovery_code(acme, user, hash);
    done(stage, vec![insert(ada, 1), insert(ada, 2), insert(bob, 1)]).await;
    let left = async |user| second_factors::count_recovery_codes(db, acme, user).await.unwrap();
    let answer = |tenant, hash| second_factors::use_recovery_code(tenant, ada, hash, seconds(1));
    missed(stage, vec![answer(other, 1)]).await;
    done(stage, vec![answer(acme, 1)]).await;
    missed(stage, vec![answer(acme, 1)]).await;
    missed(stage, vec![answer(acme, 3)]).await;
    assert_eq!((left(ada).await, left(bob).await), (1, 1));
    done(stage, vec![second_factors::propose_totp(acme, ada, "seed")]).await;
    done(stage, second_factors::remove(other, ada).into()).await;
    assert_eq!(left(ada).await, 1);
    done(stage, second_factors::remove(acme, ada).into()).await;
    assert_eq!((left(ada).await, left(bob).await), (0, 1));
    assert_eq!(second_factors::find_totp(db, acme, ada).await.unwrap(), None);
}
