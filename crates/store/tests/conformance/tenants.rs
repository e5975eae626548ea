//! Tenants and their API keys.

use caudal_domain::{
    ApiKeyId, Mode, Placement, Tenant, TenantId,
    access::{ApiKey, Scope},
};
use caudal_store::{UnitOfWork, UnitOutcome, api_keys, tenants};

use super::{
    fixtures::{done, new_tenant, seconds, tenant},
    stage::{START, Stage},
};

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let full = Tenant {
        mode: Mode::Live,
        placement: Placement::Tenant,
        region: Some("eu-west".into()),
        timezone: "Europe/Berlin".into(),
        config: caudal_domain::TenantConfig::default(),
        ..new_tenant(stage, "Größe & Söhne 💶")
    };
    let plain = new_tenant(stage, "Plain");
    done(stage, vec![tenants::insert(&full), tenants::insert(&plain)]).await;
    assert_eq!(tenants::find(db, full.id).await.unwrap(), Some(full.clone()));
    assert_eq!(tenants::find(db, plain.id).await.unwrap(), Some(plain.clone()));
    let nobody = new_tenant(stage, "nobody").id;
    assert_eq!(tenants::find(db, nobody).await.unwrap(), None);
    assert_eq!(tenants::first(db, 1).await.unwrap(), vec![full.clone()]);
    assert_eq!(tenants::first(db, 9).await.unwrap(), vec![full, plain]);
}

pub async fn change_counts_versions(stage: &Stage) {
    let mut acme = new_tenant(stage, "Acme");
    done(stage, vec![tenants::insert(&acme)]).await;
    acme.name = "Acme & Sons".into();
    acme.version = 2;
    done(stage, vec![tenants::update(&acme)]).await;
    let stale = Tenant { name: "too late".into(), ..acme.clone() };
    let unit = UnitOfWork { steps: vec![tenants::update(&stale)], ..UnitOfWork::default() };
    let (outcome, _) = stage.store.commit(unit).await.unwrap();
    assert_eq!(outcome, UnitOutcome::Missed(0));
    assert_eq!(tenants::find(stage.store.as_ref(), acme.id).await.unwrap(), Some(acme));
}

pub async fn configured(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    assert_eq!(tenants::find_config(db, acme).await.unwrap().as_deref(), Some("{}"));
    done(stage, vec![tenants::set_config(acme, "{\"mfa\":\"é\"}")]).await;
    let config = tenants::find_config(db, acme).await.unwrap();
    assert_eq!(config.as_deref(), Some("{\"mfa\":\"é\"}"));
    assert_eq!(tenants::find_config(db, other).await.unwrap().as_deref(), Some("{}"));
    assert_eq!(tenants::find_config(db, TenantId(5)).await.unwrap(), None);
}

pub async fn keys_round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let mut key = ApiKey {
        id: ApiKeyId(stage.id(START, 3)),
        tenant,
        name: "till 7".into(),
        scopes: vec![Scope::WalletsRead, Scope::TransfersWrite],
        created_at: START,
        expires_at: Some(seconds(60)),
        revoked_at: None,
        service_account: None,
        rotated_to: None,
        last_used_at: None,
    };
    done(stage, vec![api_keys::insert(&key, 77)]).await;
    assert_eq!(api_keys::find_by_secret(db, 77).await.unwrap(), Some(key.clone()));
    assert_eq!(api_keys::find_by_secret(db, 78).await.unwrap(), None);
    assert_eq!(api_keys::find(db, tenant, key.id).await.unwrap(), Some(key.clone()));
    let stranger = new_tenant(stage, "stranger").id;
    assert_eq!(api_keys::find(db, stranger, key.id).await.unwrap(), None);

    key.name = "till 8".into();
    done(stage, vec![api_keys::rename(tenant, key.id, "till 8")]).await;
    key.revoked_at = Some(seconds(5));
    done(stage, vec![api_keys::revoke(tenant, key.id, seconds(5))]).await;
    assert_eq!(api_keys::find(db, tenant, key.id).await.unwrap(), Some(key.clone()));
    let again = vec![api_keys::revoke(tenant, key.id, seconds(6))];
    let unit = UnitOfWork { steps: again, ..UnitOfWork::default() };
    assert_eq!(stage.store.commit(unit).await.unwrap().0, UnitOutcome::Missed(0));

    // The same secret for a second key.
    let twin = ApiKey { id: ApiKeyId(stage.id(START, 3)), ..key };
    let steps = vec![api_keys::insert(&twin, 77)];
    let unit = UnitOfWork { steps, ..UnitOfWork::default() };
    assert_eq!(stage.store.commit(unit).await.unwrap().0, UnitOutcome::Missed(0));
}

pub async fn keys_by_page(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let key = ApiKey {
            id: ApiKeyId(stage.id(START, 3)),
            tenant,
            name: format!("key {number}"),
            scopes: vec![],
            created_at: START,
            expires_at: None,
            revoked_at: None,
            service_account: None,
            rotated_to: None,
            last_used_at: None,
        };
        done(stage, vec![api_keys::insert(&key, number)]).await;
        ids.insert(0, key.id);
    }
    let mut seen = Vec::new();
    let mut before = ApiKeyId(u128::MAX);
    loop {
        let page = api_keys::list(db, tenant, before, 2).await.unwrap();
        seen.extend(page.iter().map(|key| key.id));
        match page.last() {
            Some(last) => before = last.id,
            None => break,
        }
    }
    assert_eq!(seen, ids);
}
