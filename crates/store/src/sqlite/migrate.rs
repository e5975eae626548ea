//! The schema's steps, compiled in. To add one: a file in both `migrations/` folders, a line here.

use caudal_domain::Timestamp;
use rusqlite::{Connection, params};

use super::writer::{End, transaction};
use crate::StoreError;

const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_heart", include_str!("../../migrations/sqlite/0001_heart.sql")),
    ("0002_people", include_str!("../../migrations/sqlite/0002_people.sql")),
    ("0003_pending", include_str!("../../migrations/sqlite/0003_pending.sql")),
    ("0004_payments", include_str!("../../migrations/sqlite/0004_payments.sql")),
    ("0005_quiet_events", include_str!("../../migrations/sqlite/0005_quiet_events.sql")),
    ("0006_exchanges", include_str!("../../migrations/sqlite/0006_exchanges.sql")),
    ("0007_deleted_accounts", include_str!("../../migrations/sqlite/0007_deleted_accounts.sql")),
    ("0008_velocity", include_str!("../../migrations/sqlite/0008_velocity.sql")),
    ("0009_wallet_tiers", include_str!("../../migrations/sqlite/0009_wallet_tiers.sql")),
    ("0010_notices", include_str!("../../migrations/sqlite/0010_notices.sql")),
    ("0011_reports", include_str!("../../migrations/sqlite/0011_reports.sql")),
    ("0012_settlements", include_str!("../../migrations/sqlite/0012_settlements.sql")),
    ("0013_proofs", include_str!("../../migrations/sqlite/0013_proofs.sql")),
    ("0014_velocity_turns", include_str!("../../migrations/sqlite/0014_velocity_turns.sql")),
    (
        "0015_events_beside_transfers",
        include_str!("../../migrations/sqlite/0015_events_beside_transfers.sql"),
    ),
    ("0016_business_days", include_str!("../../migrations/sqlite/0016_business_days.sql")),
    ("0017_large_sums", include_str!("../../migrations/sqlite/0017_large_sums.sql")),
    ("0018_makers_of_keys", include_str!("../../migrations/sqlite/0018_makers_of_keys.sql")),
    ("0019_promised_payments", include_str!("../../migrations/sqlite/0019_promised_payments.sql")),
    ("0020_account_states", include_str!("../../migrations/sqlite/0020_account_states.sql")),
];

/// Runs what has not run yet, each in a transaction of its own.
pub fn run(connection: &Connection, now: Timestamp) -> Result<Vec<String>, StoreError> {
    connection.execute_batch(
        "create table if not exists schema_migrations
         (name text primary key not null, applied_at integer not null) strict",
    )?;
    let names = pending(connection)?;
    for (name, sql) in MIGRATIONS.iter().filter(|(name, _)| names.iter().any(|n| n == name)) {
        transaction(connection, |connection| {
            connection.execute_batch(sql)?;
            connection.execute(
                "insert into schema_migrations (name, applied_at) values (?1, ?2)",
                params![name, now.micros()],
            )?;
            Ok(End::Commit(()))
        })?;
    }
    Ok(names)
}

pub fn pending(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut applied: Vec<String> = Vec::new();
    if connection.table_exists(None, "schema_migrations")? {
        let mut names = connection.prepare("select name from schema_migrations")?;
        applied = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    }
    let missing = MIGRATIONS.iter().map(|(name, _)| (*name).to_owned());
    Ok(missing.filter(|name| !applied.contains(name)).collect())
}
