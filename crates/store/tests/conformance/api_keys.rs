//! API keys.

use caudal_domain::{
    Actor, ApiKeyId, TenantId, UserId,
    access::{ApiKey, Scope},
};
use caudal_store::{UnitOutcome, api_keys, tenants};

use super::{
    fixtures::{done, missed, new_key, new_tenant, outcome, seconds, tenant},
    stage::{START, Stage},
};

fn everything(tenant: TenantId) -> api_keys::Filter {
    api_keys::Filter { tenant, made_by: None, before: ApiKeyId(u128::MAX), limit: 99 }
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let mut key = ApiKey {
        name: "till 7".into(),
        scopes: vec![Scope::WalletsRead, Scope::TransfersWrite],
        expires_at: Some(seconds(60)),
        ..new_key(stage, tenant)
    };
    done(stage, vec![api_keys::insert(&key, 77)]).await;
    assert_eq!(api_keys::find_by_secret(db, 77).await.unwrap(), Some(key.clone()));
    assert_eq!(api_keys::find_by_secret(db, 78).await.unwrap(), None);
    assert_eq!(api_keys::find(db, tenant, key.id).await.unwrap(), Some(key.clone()));
    let stranger = new_tenant(stage, "stranger").id;
    assert_eq!(api_keys::find(db, stranger, key.id).await.unwrap(), None);

    key.name = "till 8".into();
    missed(stage, vec![api_keys::rename(tenant, key.id, ("another", "till 8"))]).await;
    done(stage, vec![api_keys::rename(tenant, key.id, ("till 7", &key.name))]).await;
    key.revoked_at = Some(seconds(5));
    done(stage, vec![api_keys::revoke(tenant, key.id, seconds(5))]).await;
    assert_eq!(api_keys::find(db, tenant, key.id).await.unwrap(), Some(key.clone()));
    missed(stage, vec![api_keys::revoke(tenant, key.id, seconds(6))]).await;

    // The same secret for a second key.
    missed(stage, vec![api_keys::insert(&new_key(stage, tenant), 77)]).await;
}

pub async fn descendants(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let user = Actor::User(UserId(stage.id(START, 3)));
    // Who made each: the user, or the key of that place.
    let makers = [None, Some(0), Some(1), Some(0), None, Some(4)];
    let mut keys: Vec<ApiKey> = Vec::new();
    for (number, maker) in makers.into_iter().enumerate() {
        let key = ApiKey {
            made_by: Some(maker.map_or(user, |place: usize| Actor::ApiKey(keys[place].id))),
            ..new_key(stage, tenant)
        };
        done(stage, vec![api_keys::insert(&key, 100 + number as u128)]).await;
        assert_eq!(api_keys::find(db, tenant, key.id).await.unwrap(), Some(key.clone()));
        keys.push(key);
    }
    let made = async |by: Actor| {
        let filter = api_keys::Filter { made_by: Some(by), ..everything(tenant) };
        let found = api_keys::list(db, &filter).await.unwrap();
        found.iter().map(|key| key.id).collect::<Vec<_>>()
    };
    assert_eq!(made(Actor::ApiKey(keys[0].id)).await, [keys[3].id, keys[1].id]);
    assert_eq!(made(user).await, [keys[4].id, keys[0].id]);
    assert_eq!(made(Actor::User(UserId(keys[0].id.0))).await, []);
    let all = api_keys::with_descendants(db, tenant, keys[0].id).await.unwrap();
    assert_eq!(all, keys[..4]);

    done(stage, vec![api_keys::stays(tenant, keys[1].id, None)]).await;
    done(stage, vec![api_keys::revoke(tenant, keys[1].id, seconds(1))]).await;
    let turn = api_keys::Rotation { tenant, old: keys[5].id, new: keys[4].id, ends_at: seconds(9) };
    done(stage, vec![api_keys::rotate(&turn)]).await;
    done(stage, vec![api_keys::stays(tenant, keys[5].id, Some(seconds(9)))]).await;
    for (id, ends_at) in [(keys[1].id, None), (keys[5].id, None), (keys[5].id, Some(seconds(8)))] {
        let gone = vec![tenants::hold(tenant), api_keys::stays(tenant, id, ends_at)];
        assert_eq!(outcome(&stage.store, gone).await, UnitOutcome::Missed(1));
    }
    let stranger = new_tenant(stage, "stranger").id;
    done(stage, vec![api_keys::revoke_with_descendants(stranger, keys[0].id, seconds(2))]).await;
    done(stage, vec![api_keys::revoke_with_descendants(tenant, keys[0].id, seconds(3))]).await;
    let ended = [Some(3), Some(1), Some(3), Some(3), None, None];
    for (key, end) in keys.iter().zip(ended) {
        let found = api_keys::find(db, tenant, key.id).await.unwrap().unwrap();
        assert_eq!(found.revoked_at, end.map(seconds), "{}", key.id);
    }
}

pub async fn by_page(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let key = new_key(stage, tenant);
        done(stage, vec![api_keys::insert(&key, number)]).await;
        ids.insert(0, key.id);
    }
    let mut seen = Vec::new();
    let mut filter = api_keys::Filter { limit: 2, ..everything(tenant) };
    loop {
        let page = api_keys::list(db, &filter).await.unwrap();
        seen.extend(page.iter().map(|key| key.id));
        match page.last() {
            Some(last) => filter.before = last.id,
            None => break,
        }
    }
    assert_eq!(seen, ids);
}
