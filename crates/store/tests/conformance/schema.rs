//! The schema comes up once and stays.

use caudal_domain::{ApiKeyId, access::ApiKey};
use caudal_store::{api_keys, tenants, wallets};

use super::{
    fixtures::{done, funded, new_tenant},
    stage::{START, Stage},
};

pub async fn migrating_again_does_nothing(stage: &Stage) {
    assert_eq!(stage.store.pending_migrations().await.unwrap(), Vec::<String>::new());
    assert_eq!(stage.store.migrate(START).await.unwrap(), Vec::<String>::new());
    // A step that is not on record is pending again.
    stage.raw("delete from schema_migrations").await;
    let pending = stage.store.pending_migrations().await.unwrap();
    assert_eq!(pending, ["0001_heart", "0002_people"]);
}

pub async fn an_upgrade_keeps_rows(stage: &Stage) {
    let db = stage.store.as_ref();
    stage.back_to_the_first_schema().await;
    stage.store.create_partitions(START).await.unwrap();
    let acme = new_tenant(stage, "Acme");
    done(stage, vec![tenants::insert(&acme)]).await;
    let wallet = funded(stage, acme.id, 5, 100).await;
    let key = ApiKey {
        id: ApiKeyId(stage.id(START, 3)),
        tenant: acme.id,
        name: "till".into(),
        scopes: vec![],
        created_at: START,
        expires_at: None,
        revoked_at: None,
        service_account: None,
        rotated_to: None,
        last_used_at: None,
    };
    let (id, hash) = (stage.literal(key.id.0), stage.literal(77));
    stage
        .raw(&format!(
            "insert into api_keys (id, tenant_id, secret_hash, name, scopes, created_at)
             select {id}, id, {hash}, 'till', '', created_at from tenants"
        ))
        .await;

    assert_eq!(stage.store.pending_migrations().await.unwrap(), ["0002_people"]);
    assert_eq!(stage.store.migrate(START).await.unwrap(), ["0002_people"]);
    assert_eq!(stage.store.migrate(START).await.unwrap(), Vec::<String>::new());
    assert_eq!(tenants::find(db, acme.id).await.unwrap(), Some(acme.clone()));
    assert_eq!(tenants::find_config(db, acme.id).await.unwrap().as_deref(), Some("{}"));
    assert_eq!(api_keys::find_by_secret(db, 77).await.unwrap(), Some(key));
    let kept = wallets::find(db, acme.id, wallet).await.unwrap().expect("the wallet");
    assert_eq!(kept.account.total, 100);
}

pub async fn partitions_are_made_once(stage: &Stage) {
    assert_eq!(stage.store.create_partitions(START).await.unwrap(), Vec::<String>::new());
    // A month later there are new ones to make, or none where there are no partitions.
    let later = START.plus_seconds(31 * 86_400);
    let first = stage.store.create_partitions(later).await.unwrap();
    assert!(first.is_empty() || first.iter().any(|name| name.starts_with("transfers")));
    assert_eq!(stage.store.create_partitions(later).await.unwrap(), Vec::<String>::new());
}

pub async fn connections_are_counted(stage: &Stage) {
    let (in_use, most) = stage.store.connections();
    assert_eq!(in_use, 0);
    assert!(most > 0);
}
