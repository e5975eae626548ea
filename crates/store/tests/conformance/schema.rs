//! The schema comes up once and stays.

use caudal_domain::{AccountId, AccountStatus, TransferId};
use caudal_store::{api_keys, entries, tenants, transfers, wallets};

use super::{
    fixtures::{done, new_key, new_tenant},
    stage::{START, Stage},
};

pub async fn migrating_again_does_nothing(stage: &Stage) {
    assert_eq!(stage.store.pending_migrations().await.unwrap(), Vec::<String>::new());
    assert_eq!(stage.store.migrate(START).await.unwrap(), Vec::<String>::new());
    // A step that is not on record is pending again.
    stage.raw("delete from schema_migrations").await;
    let pending = stage.store.pending_migrations().await.unwrap();
    assert_eq!(pending, migrations());
}

pub async fn an_upgrade_keeps_rows(stage: &Stage) {
    let db = stage.store.as_ref();
    stage.back_to_the_first_schema().await;
    stage.store.create_partitions(START).await.unwrap();
    let acme = new_tenant(stage, "Acme");
    done(stage, vec![tenants::insert(&acme)]).await;
    let wallet = AccountId(stage.id(START, 5));
    let paid = TransferId(stage.id(START, 5));
    stage.raw(&old_books(stage, wallet, paid)).await;
    let key = new_key(stage, acme.id);
    let (id, hash) = (stage.literal(key.id.0), stage.literal(77));
    stage
        .raw(&format!(
            "insert into api_keys (id, tenant_id, secret_hash, name, scopes, created_at)
             select {id}, id, {hash}, 'till', '', created_at from tenants"
        ))
        .await;

    let since = migrations().split_off(1);
    assert_eq!(stage.store.pending_migrations().await.unwrap(), since);
    assert_eq!(stage.store.migrate(START).await.unwrap(), since);
    assert_eq!(stage.store.migrate(START).await.unwrap(), Vec::<String>::new());
    assert_eq!(tenants::find(db, acme.id).await.unwrap(), Some(acme.clone()));
    assert_eq!(tenants::find_config(db, acme.id).await.unwrap().as_deref(), Some("{}"));
    assert_eq!(api_keys::find_by_secret(db, 77).await.unwrap(), Some(key));
    let kept = wallets::find(db, acme.id, wallet).await.unwrap().expect("the wallet");
    assert_eq!((kept.account.total, kept.account.version), (100, 1));
    assert_eq!((kept.account.status, kept.account.floor), (AccountStatus::Frozen, Some(-5)));
    assert_eq!(kept.account.updated_at, acme.created_at);
    let entry = entries::list(db, wallet, i64::MAX, 9).await.unwrap().remove(0);
    assert_eq!((entry.balance_after, entry.pending_after, entry.transfer), (100, 0, paid));
    let paid = transfers::find(db, acme.id, paid).await.unwrap().expect("the transfer");
    assert_eq!((paid.amount, paid.available_at), (100, None));
}

/// A wallet's first money, as the first schema had it.
fn old_books(stage: &Stage, wallet: AccountId, paid: TransferId) -> String {
    let (wallet, paid) = (stage.literal(wallet.0), stage.literal(paid.0));
    format!(
        "insert into accounts (bucket, id, tenant_id, kind, currency, status, floor, total, held,
           pending, version, updated_at)
         select 5, {wallet}, id, 0, 'USD', 1, -5, 100, 0, 0, 1, created_at from tenants;
         insert into wallets (bucket, id, tenant_id, user_id, currency, name, metadata, version,
           created_at)
         select 5, {wallet}, id, null, 'USD', null, null, 1, created_at from tenants;
         insert into transfers (bucket, id, tenant_id, kind, status, currency, from_id, to_id,
           amount, amount_captured, amount_reversed, created_at)
         select bucket, {paid}, tenant_id, 1, 0, currency, id, id, 100, 0, 0, created_at
         from wallets;
         insert into entries (bucket, account_id, version, transfer_id, amount, balance_after,
           held_after, created_at)
         select bucket, id, 1, {paid}, 100, 100, 0, created_at from wallets;"
    )
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

/// The names of all files, so that none is forgotten in the list that is compiled in.
fn migrations() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut names: Vec<String> =
        files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
