//! Monthly partitions, created ahead; and the daily turn of the receipts' generations.

use caudal_domain::{Timestamp, id::lowest_at};
use time::{Date, Month};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    StoreError,
    postgres::errors,
    receipts::{may_retire, stale_generation},
};

/// Tables whose partitions are bounded by the first 48 bits of their ids: the month.
const MONTHLY: [&str; 3] = ["transfers", "events", "payments"];

/// How many months after the current one there are partitions for.
const MONTHS_AHEAD: usize = 3;

/// Creates what is missing; the books are never dropped.
pub(super) async fn create(client: &Client, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let mut created = Vec::new();
    let mut month = first_of_month(now);
    for _ in 0..=MONTHS_AHEAD {
        let next = next_month(month);
        for table in MONTHLY {
            let name = format!("{table}_{:04}_{:02}", month.year(), u8::from(month.month()));
            // A schema that is behind does not have all of the tables yet.
            let missing = client
                .query_one(
                    "select to_regclass($1) is null and to_regclass($2) is not null",
                    &[&name, &table],
                )
                .await
                .map_err(errors::classify)?;
            if missing.get::<_, bool>(0) {
                let (from, to) = (lowest_id(month), lowest_id(next));
                let sql = format!(
                    "create table if not exists {name} partition of {table}
                     for values from ('{from}') to ('{to}')"
                );
                client.batch_execute(&sql).await.map_err(errors::classify)?;
                created.push(name);
            }
        }
        month = next;
    }
    Ok(created)
}

/// Empties the generation that is neither written nor read today.
pub(super) async fn retire_receipts(client: &Client, now: Timestamp) -> Result<(), StoreError> {
    if !may_retire(now) {
        return Ok(());
    }
    let table = format!("receipts_{}", stale_generation(now));
    let filled = client
        .query_one(&format!("select exists (select from {table})"), &[])
        .await
        .map_err(errors::classify)?;
    if filled.get::<_, bool>(0) {
        // All batches would wait behind it for whoever reads the table at length.
        let sql = format!("set lock_timeout = '200ms'; truncate {table}");
        client.batch_execute(&sql).await.map_err(errors::classify)?;
    }
    Ok(())
}

fn first_of_month(now: Timestamp) -> Date {
    let today = now.date_time().date();
    today.replace_day(1).unwrap_or(today)
}

fn next_month(month: Date) -> Date {
    let (year, next) = match month.month() {
        Month::December => (month.year() + 1, Month::January),
        other => (month.year(), other.next()),
    };
    Date::from_calendar_date(year, next, 1).unwrap_or(month)
}

fn lowest_id(month: Date) -> Uuid {
    let seconds = month.midnight().assume_utc().unix_timestamp();
    Uuid::from_u128(lowest_at(Timestamp::from_micros(seconds * 1_000_000)))
}
