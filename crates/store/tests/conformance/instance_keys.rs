//! Keys of the instance: those that sign tokens, and those of the vault.

use caudal_store::{
    UnitOutcome,
    signing_keys::{self, SigningKey},
    vault_keys::{self, VaultKey},
};

use super::{
    fixtures::{done, missed, outcome, seconds},
    stage::Stage,
};

fn key(kid: &str, active_from: i64) -> SigningKey {
    SigningKey {
        kid: kid.into(),
        algorithm: "EdDSA".into(),
        public_jwk: "{}".into(),
        sealed: "sealed".into(),
        active_from: seconds(active_from),
        signs_until: None,
        verifies_until: None,
    }
}

pub async fn signing_keys_take_over_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let mut old = key("k1", 0);
    done(stage, vec![signing_keys::insert(&old)]).await;
    missed(stage, vec![signing_keys::insert(&key("k2", 0))]).await;
    let other = SigningKey { algorithm: "ES256".into(), ..key("e1", 1) };
    done(stage, vec![signing_keys::insert(&other)]).await;
    // Two instances rotate at once.
    let racers = ["k2", "k3"].map(|kid| {
        let close = signing_keys::close("k1", seconds(10), seconds(20));
        let steps = vec![close, signing_keys::insert(&key(kid, 10))];
        let store = stage.store.clone();
        tokio::spawn(async move { outcome(&store, steps).await })
    });
    let mut outcomes = Vec::new();
    for racer in racers {
        outcomes.push(racer.await.unwrap());
    }
    outcomes.sort_by_key(|outcome| *outcome != UnitOutcome::Done);
    assert_eq!(outcomes, [UnitOutcome::Done, UnitOutcome::Missed(0)]);
    (old.signs_until, old.verifies_until) = (Some(seconds(10)), Some(seconds(20)));
    let verifying = signing_keys::verifying(db, seconds(19)).await.unwrap();
    assert_eq!(verifying[..2], [old.clone(), other.clone()]);
    let signing = |now| verifying.iter().filter(|key| key.signs(seconds(now))).count();
    assert_eq!((signing(9), signing(10)), (2, 2), "one of each algorithm");
    assert_eq!(signing_keys::verifying(db, seconds(20)).await.unwrap().len(), 2);
    assert_eq!(signing_keys::all(db).await.unwrap().len(), 3);

    done(stage, vec![signing_keys::distrust("e1", seconds(15))]).await;
    missed(stage, vec![signing_keys::distrust("e1", seconds(15))]).await;
    done(stage, vec![signing_keys::distrust("k1", seconds(15))]).await;
    assert_eq!(signing_keys::verifying(db, seconds(15)).await.unwrap().len(), 1);
    done(stage, vec![signing_keys::reseal(&old, "again")]).await;
    missed(stage, vec![signing_keys::reseal(&old, "too late")]).await;
    assert_eq!(signing_keys::all(db).await.unwrap()[0].sealed, "again");
}

pub async fn vault_keys_are_made_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let key = VaultKey { name: "email_hash".into(), sealed: "sealed".into() };
    done(stage, vec![vault_keys::insert(&key)]).await;
    missed(stage, vec![vault_keys::insert(&VaultKey { sealed: "mine".into(), ..key.clone() })])
        .await;
    assert_eq!(vault_keys::find(db, "email_hash").await.unwrap(), Some(key.clone()));
    assert_eq!(vault_keys::find(db, "other").await.unwrap(), None);
    done(stage, vec![vault_keys::reseal(&key, "again")]).await;
    missed(stage, vec![vault_keys::reseal(&key, "too late")]).await;
    let again = VaultKey { sealed: "again".into(), ..key };
    assert_eq!(vault_keys::all(db).await.unwrap(), [again]);
}
