//! Rows that units of work and batches write alike: receipts and events.

use caudal_domain::{Event, Fingerprint, ReceiptKey, Timestamp, TransferId, id::STREAMS};
use rusqlite::{CachedStatement, Connection, params};

use super::codec::{self, blob, is_unique_violation};
use crate::{
    Answer, Position, Receipt, Row, StoreError,
    receipts::{stale_generation, written_generations},
};

/// Looks up receipts in the two generations that count at one instant.
pub struct ReceiptReader<'c> {
    select: CachedStatement<'c>,
}

impl<'c> ReceiptReader<'c> {
    pub fn new(connection: &'c Connection, at: Timestamp) -> Result<Self, StoreError> {
        let mut select = connection.prepare_cached(
            // `in` of the two that count would fill a table of its own for every key.
            "select fingerprint, transfer_id, answer from receipts
             where key = ?1 and generation <> ?2",
        )?;
        select.raw_bind_parameter(2, stale_generation(at))?;
        Ok(Self { select })
    }

    pub fn find(&mut self, key: ReceiptKey) -> Result<Option<Receipt>, StoreError> {
        self.select.raw_bind_parameter(1, blob(key.0))?;
        let rows = codec::read(&mut self.select, "receipts")?;
        rows.first().map(|row| read_receipt(key, row)).transpose()
    }
}

fn read_receipt(key: ReceiptKey, row: &Row) -> Result<Receipt, StoreError> {
    let answer = match row.opt_id(1)? {
        Some(id) => Answer::Created(TransferId(id)),
        None => row.json(2)?,
    };
    Ok(Receipt { key, fingerprint: Fingerprint(row.id(0)?), answer })
}

/// Writes the receipts to the generations of `at`. A key met twice is another writer's.
pub fn insert_receipts(
    connection: &Connection,
    receipts: &[Receipt],
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "insert into receipts (generation, bucket, key, fingerprint, transfer_id, answer)
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (generation, receipt) in
        written_generations(at).flat_map(|day| receipts.iter().map(move |receipt| (day, receipt)))
    {
        let (transfer, answer) = receipt.answer.columns();
        let (bucket, key) = (receipt.bucket().0, blob(receipt.key.0));
        let (fingerprint, transfer) = (blob(receipt.fingerprint.0), transfer.map(|id| blob(id.0)));
        insert.execute(params![generation, bucket, key, fingerprint, transfer, answer]).map_err(
            |error| match is_unique_violation(&error) {
                true => StoreError::Contention(error.to_string()),
                false => error.into(),
            },
        )?;
    }
    Ok(())
}

/// Gives the events the next places of their streams; the last place of each stream touched.
pub fn insert_events(connection: &Connection, events: &[Event]) -> Result<Position, StoreError> {
    let mut touched = [false; STREAMS as usize];
    for event in events {
        touched[usize::from(event.id.bucket().stream())] = true;
    }
    let mut heads = [0i64; STREAMS as usize];
    let mut head = connection.prepare_cached("select seq from stream_heads where stream = ?1")?;
    for stream in (0..STREAMS).filter(|stream| touched[usize::from(*stream)]) {
        heads[usize::from(stream)] = head.query_row([stream], |row| row.get(0))?;
    }
    let mut insert = connection.prepare_cached(
        "insert into events (stream, seq, id, bucket, tenant_id, kind, subject, data, occurred_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for event in events {
        let stream = event.id.bucket().stream();
        let seq = &mut heads[usize::from(stream)];
        *seq += 1;
        insert.execute(params![
            stream,
            *seq,
            blob(event.id.0),
            event.id.bucket().0,
            blob(event.tenant.0),
            event.kind,
            event.subject,
            event.data,
            event.occurred_at.micros(),
        ])?;
    }
    let mut update =
        connection.prepare_cached("update stream_heads set seq = ?2 where stream = ?1")?;
    let mut position = Position::new();
    for stream in (0..STREAMS).filter(|stream| touched[usize::from(*stream)]) {
        let seq = heads[usize::from(stream)];
        update.execute(params![stream, seq])?;
        position.push((stream, seq));
    }
    Ok(position)
}
