//! What only a file has: its path, its lock, its one writer.

use std::{fs, path::Path};

use caudal_domain::{TenantId, UserId};
use caudal_store::{Locks, StoreError, Writes, person_keys, person_keys::PersonKey, tenants};

use super::{
    fixtures::{done, new_tenant},
    stage::{START, Stage, folder, open},
};

/// Opening must fail; what it says.
async fn refused(url: &str) -> String {
    match open(url).await {
        Ok(_) => panic!("{url} was opened"),
        Err(StoreError::Unavailable(why)) => why,
        Err(other) => panic!("{other:?}"),
    }
}

pub async fn one_process_at_a_time(stage: &Stage) {
    let why = refused(&stage.url()).await;
    assert!(why.contains("another process"), "{why}");
    // The first one goes on.
    done(stage, vec![tenants::insert(&new_tenant(stage, "Acme"))]).await;
}

pub async fn needs_a_file(_: &Stage) {
    for url in ["sqlite://:memory:", "sqlite://"] {
        let why = refused(url).await;
        assert!(why.contains("path of a file"), "{why}");
    }
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let why = refused(&format!("sqlite://{}", folder.display())).await;
    assert!(why.contains("unable to open"), "{why}");
    fs::remove_dir_all(&folder).unwrap();
    let _ = fs::remove_file(folder.with_extension("lock"));
}

pub async fn opens_again_where_it_was_left(stage: &Stage) {
    let folder = folder();
    // Parents are made.
    let url = format!("sqlite://{}", folder.join("a/b/books.db").display());
    let acme = new_tenant(stage, "Acme");
    for round in 0..3 {
        let store = open(&url).await.expect("closed before");
        let pending = store.pending_migrations().await.unwrap();
        assert_eq!(pending.is_empty(), round > 0);
        store.migrate(START).await.unwrap();
        if round == 0 {
            let unit = caudal_store::UnitOfWork {
                steps: vec![tenants::insert(&acme)],
                ..Default::default()
            };
            store.commit(unit).await.unwrap();
        }
        assert_eq!(tenants::find(store.as_ref(), acme.id).await.unwrap(), Some(acme.clone()));
    }
    fs::remove_dir_all(&folder).unwrap();
}

/// What is on an account was written twice before; where the two differ, neither is thrown away.
pub async fn an_upgrade_refuses_books_that_differ(stage: &Stage) {
    stage.back_to_the_first_schema().await;
    stage
        .raw(
            "insert into accounts (bucket, id, tenant_id, kind, currency, status, floor, total,
               held, pending, version, updated_at)
             values (5, x'05', x'01', 0, 'USD', 0, 0, 70, 0, 0, 1, 0)",
        )
        .await;
    let why = stage.store.migrate(START).await.unwrap_err().to_string();
    assert!(why.contains("differ from their last entries; reconcile"), "{why}");
    assert!(!stage.store.pending_migrations().await.unwrap().is_empty());
    // It is as it was: once it is set right, the upgrade goes on.
    stage.raw("update accounts set total = 0, version = 0 where total = 70 and version = 1").await;
    stage.store.migrate(START).await.unwrap();
    assert!(stage.store.pending_migrations().await.unwrap().is_empty());
}

/// What is on an account is its last entry: a look-up, however many entries there are.
pub async fn accounts_are_read_by_look_ups(stage: &Stage) {
    let file = rusqlite::Connection::open(stage.url().replace("sqlite://", "")).unwrap();
    for question in [
        "account_states where id = ?1",
        "account_states where id > ?1 order by id limit 9",
        "wallets w join account_states a on a.id = w.id where w.id = ?1",
        "wallets w join account_states a on a.bucket = w.bucket and a.id = w.id
         where w.tenant_id = ?1 and w.id < ?2 and a.status = 1 order by w.id desc limit 9",
    ] {
        let sql = format!("explain query plan select * from {question}");
        let mut plan = file.prepare(&sql).unwrap();
        let nulls = vec![None::<i64>; plan.parameter_count()];
        let nulls = rusqlite::params_from_iter(nulls);
        let steps = plan.query_map(nulls, |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<_> = steps.collect::<Result<_, _>>().unwrap();
        let slow = ["SCAN", "MATERIALIZE", "CO-ROUTINE", "TEMP B-TREE", "AUTOMATIC"];
        let slow = steps.iter().any(|step| slow.iter().any(|word| step.contains(word)));
        assert!(!slow, "{question}: {steps:#?}");
    }
}

fn holds(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

pub async fn a_start_cuts_off_what_a_crash_left(stage: &Stage) {
    let (tenant, user) = (TenantId(1), UserId(2));
    let sealed = "the key of somebody who is erased";
    let key = PersonKey { user, tenant, sealed: sealed.into() };
    done(stage, vec![person_keys::insert(&key)]).await;
    done(stage, vec![person_keys::destroy(tenant, user)]).await;
    // What stands on the disk at this moment is what a killed process leaves.
    let left = stage.url().replace("sqlite://", "");
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let (file, wal) = (folder.join("books.db"), folder.join("books.db-wal"));
    fs::copy(&left, &file).unwrap();
    fs::copy(format!("{left}-wal"), &wal).unwrap();
    assert!(holds(&wal, sealed), "the WAL tells what was deleted");
    let store = open(&format!("sqlite://{}", file.display())).await.unwrap();
    assert!(!holds(&wal, sealed) && !holds(&file, sealed), "and is cut off at the start");
    assert_eq!(person_keys::find(store.as_ref(), tenant, user).await.unwrap(), None);
    drop(store);
    fs::remove_dir_all(&folder).unwrap();
}

pub async fn survives_a_panicking_decision(stage: &Stage) {
    let mut lane = stage.store.lane();
    let locks = Locks { at: START, ..Locks::default() };
    let decide = Box::new(|_| panic!("on purpose"));
    let error = lane.commit_batch(locks.clone(), decide).await.expect_err("a panic");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    lane.commit_batch(locks, Box::new(|_| Writes::default())).await.expect("the writer serves on");
    done(stage, vec![tenants::insert(&new_tenant(stage, "Acme"))]).await;
}
