//! Tenants.

use caudal_domain::{Mode, Placement, Tenant, TenantId};
use caudal_store::{UnitOfWork, UnitOutcome, tenants};

use super::{
    fixtures::{done, new_tenant, tenant},
    stage::Stage,
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
