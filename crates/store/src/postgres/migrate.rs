//! Migrations: versioned files, each in a transaction of its own, one instance at a time.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;

use crate::{StoreError, postgres::errors};

/// To add one more: a file with the next number here and in `migrations/sqlite`.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_heart", include_str!("../../migrations/postgres/0001_heart.sql")),
    ("0002_people", include_str!("../../migrations/postgres/0002_people.sql")),
    ("0003_pending", include_str!("../../migrations/postgres/0003_pending.sql")),
    ("0004_payments", include_str!("../../migrations/postgres/0004_payments.sql")),
    ("0005_quiet_events", include_str!("../../migrations/postgres/0005_quiet_events.sql")),
    ("0006_exchanges", include_str!("../../migrations/postgres/0006_exchanges.sql")),
    ("0007_deleted_accounts", include_str!("../../migrations/postgres/0007_deleted_accounts.sql")),
    ("0008_velocity", include_str!("../../migrations/postgres/0008_velocity.sql")),
    ("0009_wallet_tiers", include_str!("../../migrations/postgres/0009_wallet_tiers.sql")),
    ("0010_notices", include_str!("../../migrations/postgres/0010_notices.sql")),
    ("0011_reports", include_str!("../../migrations/postgres/0011_reports.sql")),
    ("0012_settlements", include_str!("../../migrations/postgres/0012_settlements.sql")),
    ("0013_proofs", include_str!("../../migrations/postgres/0013_proofs.sql")),
    ("0014_velocity_turns", include_str!("../../migrations/postgres/0014_velocity_turns.sql")),
    (
        "0015_events_beside_transfers",
        include_str!("../../migrations/postgres/0015_events_beside_transfers.sql"),
    ),
    ("0016_business_days", include_str!("../../migrations/postgres/0016_business_days.sql")),
    ("0017_large_sums", include_str!("../../migrations/postgres/0017_large_sums.sql")),
    ("0018_makers_of_keys", include_str!("../../migrations/postgres/0018_makers_of_keys.sql")),
    (
        "0019_promised_payments",
        include_str!("../../migrations/postgres/0019_promised_payments.sql"),
    ),
    ("0020_account_states", include_str!("../../migrations/postgres/0020_account_states.sql")),
];

/// Any number, the same in every instance: "caudal" in ASCII.
const LOCK: i64 = 0x6361_7564_616c;

/// Batches wait behind a step that waits for its tables, and give up after a second.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '500ms'";
/// So they have a turn, and it tries again: for a minute.
const PAUSE: Duration = Duration::from_millis(500);
const TRIES: u32 = 60;

pub(super) async fn run(client: &mut Client) -> Result<Vec<String>, StoreError> {
    client.execute("select pg_advisory_lock($1)", &[&LOCK]).await.map_err(errors::classify)?;
    let done = run_locked(client).await;
    let unlock = client.execute("select pg_advisory_unlock($1)", &[&LOCK]).await;
    let done = done?;
    unlock.map_err(errors::classify)?;
    Ok(done)
}

async fn run_locked(client: &mut Client) -> Result<Vec<String>, StoreError> {
    client
        .batch_execute(
            "create table if not exists schema_migrations (
               name text primary key, applied_at timestamptz not null default now())",
        )
        .await
        .map_err(errors::classify)?;
    let names = pending(client).await?;
    for (name, sql) in MIGRATIONS.iter().filter(|(name, _)| names.iter().any(|n| n == name)) {
        let mut tries = 1;
        while let Err(error) = apply(client, name, sql).await {
            let goes_on = matches!(error, StoreError::Contention(_)) && tries < TRIES;
            if !goes_on {
                return Err(error);
            }
            tracing::info!(name, %error, "waiting for whoever uses the tables of this step");
            tries += 1;
            sleep(PAUSE).await;
        }
    }
    Ok(names)
}

async fn apply(client: &mut Client, name: &str, sql: &str) -> Result<(), StoreError> {
    let step = client.transaction().await.map_err(errors::classify)?;
    step.batch_execute(LOCK_TIMEOUT).await.map_err(errors::classify)?;
    step.batch_execute(sql).await.map_err(errors::classify)?;
    step.execute("insert into schema_migrations (name) values ($1)", &[&name])
        .await
        .map_err(errors::classify)?;
    step.commit().await.map_err(errors::classify)
}

pub(super) async fn pending(client: &Client) -> Result<Vec<String>, StoreError> {
    let exists = client
        .query_one("select to_regclass('schema_migrations') is not null", &[])
        .await
        .map_err(errors::classify)?;
    let mut done: Vec<String> = Vec::new();
    if exists.get(0) {
        let rows = client
            .query("select name from schema_migrations", &[])
            .await
            .map_err(errors::classify)?;
        done.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    let pending = MIGRATIONS.iter().map(|(name, _)| (*name).to_owned());
    Ok(pending.filter(|name| !done.contains(name)).collect())
}
