//! Events: the last step before COMMIT takes the stream heads and writes behind them.

use caudal_domain::Event;
use futures::join;
use tokio_postgres::{Client, Error, Statement, types::ToSql};

use crate::{
    Position,
    postgres::values::{Id, Json, Time},
};

pub(super) struct EventStatements {
    pub lock_heads: Statement,
    pub insert: Statement,
}

pub(super) const LOCK_HEADS: &str =
    "select stream from stream_heads where stream = any ($1) order by stream for update";

/// Gives each event its place in its stream and writes it; answers with the new heads.
pub(super) const INSERT_EVENTS: &str = "with heads as (
       update stream_heads h set seq = h.seq + n.events
       from unnest($1::int2[], $2::int8[]) n (stream, events) where h.stream = n.stream
       returning h.stream, h.seq, h.seq - n.events as base),
     written as (
       insert into events (stream, seq, id, bucket, tenant_id, kind, subject, data, occurred_at)
       select h.stream, h.base + e.place, e.id, e.bucket, e.tenant_id, e.kind, e.subject, e.data,
         e.at
       from unnest($3::int2[], $4::int8[], $5::uuid[], $6::int2[], $7::uuid[], $8::text[],
         $9::text[], $10::json[], $11::timestamptz[])
         e (stream, place, id, bucket, tenant_id, kind, subject, data, at)
       join heads h on h.stream = e.stream)
     select stream, seq from heads";

/// Takes the heads of the streams in ascending order and writes the events behind them.
pub(super) async fn write(
    client: &Client,
    statements: &EventStatements,
    events: &[Event],
) -> Result<Position, Error> {
    if events.is_empty() {
        return Ok(Position::new());
    }
    let mut counts = [0i64; caudal_domain::id::STREAMS as usize];
    let mut places = Vec::with_capacity(events.len());
    for event in events {
        let count = &mut counts[usize::from(event.id.bucket().stream())];
        *count += 1;
        places.push(*count);
    }
    let touched = || (0i16..).zip(counts).filter(|(_, count)| *count > 0);
    let streams: Vec<i16> = touched().map(|(stream, _)| stream).collect();
    let counts: Vec<i64> = touched().map(|(_, count)| count).collect();
    let of: Vec<i16> = events.iter().map(|e| e.id.bucket().stream().into()).collect();
    let ids: Vec<Id> = events.iter().map(|e| Id(e.id.0)).collect();
    let buckets: Vec<i16> = events.iter().map(|e| e.id.bucket().0.into()).collect();
    let tenants: Vec<Id> = events.iter().map(|e| Id(e.tenant.0)).collect();
    let kinds: Vec<&str> = events.iter().map(|e| e.kind).collect();
    let subjects: Vec<&str> = events.iter().map(|e| e.subject.as_str()).collect();
    let data: Vec<Json> = events.iter().map(|e| Json(&e.data)).collect();
    let times: Vec<Time> = events.iter().map(|e| Time(e.occurred_at)).collect();
    let params: [&(dyn ToSql + Sync); 11] = [
        &streams, &counts, &of, &places, &ids, &buckets, &tenants, &kinds, &subjects, &data, &times,
    ];
    let (locked, written) = join!(
        lock_heads(client, &statements.lock_heads, &streams),
        client.query(&statements.insert, &params),
    );
    locked?;
    written?.iter().map(|row| Ok((row.try_get::<_, i16>(0)? as u8, row.try_get(1)?))).collect()
}

/// A single one is locked where it is moved on.
async fn lock_heads(client: &Client, lock: &Statement, streams: &[i16]) -> Result<(), Error> {
    match streams {
        [_] => Ok(()),
        _ => client.execute(lock, &[&streams]).await.map(drop),
    }
}
