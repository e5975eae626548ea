//! Events, read per stream in commit order; and how far each relay has come.

use std::sync::Arc;

use caudal_domain::{EventId, TenantId, event::StoredEvent, id::STREAMS};

use crate::{Backend, Row, Step, StoreError, Value};

/// The last `seq` of every stream.
pub type Heads = [i64; STREAMS as usize];

/// The events after `seq` of one stream, in commit order, without gaps.
pub async fn after(
    db: &dyn Backend,
    stream: u8,
    seq: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = "select stream, seq, id, tenant_id, kind, subject, data, occurred_at from events
         where stream = $1 and seq > $2 order by seq limit $3";
    let params = [i64::from(stream).into(), seq.into(), limit.into()];
    db.query("events", sql, &params).await?.iter().map(read).collect()
}

/// A part of one stream: after one `seq`, up to another.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub stream: u8,
    pub after: i64,
    pub to: i64,
    pub limit: i64,
}

/// How much one look takes in of each stream, at most.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Events passed.
    pub span: i64,
    /// Events read.
    pub limit: i64,
}

impl Look {
    /// What is next on each stream that has more than was looked at.
    pub fn parts(self, looked: &Heads, heads: &Heads) -> Vec<Part> {
        let next = |(stream, (after, head)): (u8, (&i64, &i64))| {
            let to = *head.min(&after.saturating_add(self.span));
            Part { stream, after: *after, to, limit: self.limit }
        };
        let all = (0..STREAMS).zip(looked.iter().zip(heads)).map(next);
        all.filter(|part| part.after < part.to).collect()
    }
}

/// How many events were not looked at yet.
pub fn lag(looked: &Heads, heads: &Heads) -> i64 {
    looked.iter().zip(heads).map(|(looked, head)| (head - looked).max(0)).sum()
}

/// What the kinds asked for do not begin with, said as the partial index says it that passes over
/// the others unread.
const PASSED_OVER: [(&[&str], &str); 2] = [
    // events_quiet
    (
        &["transfer.", "wallet.", "payment."],
        "kind not like 'transfer.%' and kind not like 'wallet.%' and kind not like 'payment.%'",
    ),
    // events_beside_transfers
    (&["transfer."], "kind not like 'transfer.%'"),
];

/// What a part of a stream holds of the kinds asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In commit order.
    pub events: Vec<Arc<StoredEvent>>,
    /// Up to where all of them are here. Short of the part's end, where its limit cut some off or
    /// what is next was not read yet.
    pub reached: i64,
}

/// The events of these kinds (constants, never input; `None`: of all kinds) in parts of different
/// streams. What this process has just written itself is not read again.
pub async fn of_kinds(
    db: &dyn Backend,
    parts: &[Part],
    kinds: Option<&[&'static str]>,
) -> Result<Vec<Found>, StoreError> {
    let recent: Vec<_> = parts.iter().map(|part| db.recent_events().find(part, kinds)).collect();
    let is_left = |(_, found): &(&Part, &Option<Found>)| found.is_none();
    let left = parts.iter().zip(&recent).filter(is_left).map(|(part, _)| *part);
    let mut rest = read_kinds(db, &left.collect::<Vec<_>>(), kinds).await?.into_iter();
    Ok(recent.into_iter().filter_map(|found| found.or_else(|| rest.next())).collect())
}

/// One look for all parts, for it is the looks that cost.
async fn read_kinds(
    db: &dyn Backend,
    parts: &[Part],
    kinds: Option<&[&'static str]>,
) -> Result<Vec<Found>, StoreError> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let condition = kinds.map_or("true".into(), condition);
    let of_part = |n: usize| {
        format!(
            "select * from (
               select stream, seq, id, tenant_id, kind, subject, data, occurred_at from events
               where stream = ${} and seq > ${} and seq <= ${} and {condition}
               order by seq limit ${}) part_{n}",
            4 * n + 1,
            4 * n + 2,
            4 * n + 3,
            4 * n + 4
        )
    };
    let sql = (0..parts.len()).map(of_part).collect::<Vec<_>>().join(" union all ");
    let params: Vec<Value> = parts
        .iter()
        .flat_map(|part| [part.stream.into(), part.after, part.to, part.limit].map(Value::from))
        .collect();
    let mut pages = vec![Vec::new(); parts.len()];
    for row in &db.query("events", &sql, &params).await? {
        let event = Arc::new(read(row)?);
        let page = parts.iter().position(|part| part.stream == event.stream);
        row.decode(0, page.and_then(|place| pages.get_mut(place)))?.push(event);
    }
    Ok(parts.iter().zip(pages).map(|(part, events)| found(part, events)).collect())
}

fn condition(kinds: &[&'static str]) -> String {
    let is_none =
        |prefixes: &[&str]| !kinds.iter().any(|k| prefixes.iter().any(|p| k.starts_with(p)));
    let passed_over = PASSED_OVER.iter().find(|(prefixes, _)| is_none(prefixes));
    let passed_over = passed_over.map_or("true", |(_, condition)| condition);
    format!("{passed_over} and kind in ('{}')", kinds.join("', '"))
}

fn found(part: &Part, mut events: Vec<Arc<StoredEvent>>) -> Found {
    events.sort_unstable_by_key(|event| event.seq);
    let reached = match events.last() {
        Some(last) if events.len() as i64 == part.limit => last.seq,
        _ => part.to,
    };
    Found { events, reached }
}

pub async fn heads(db: &dyn Backend) -> Result<Heads, StoreError> {
    fill(&db.query("stream_heads", "select stream, seq from stream_heads", &[]).await?)
}

/// How far the named relay has come; zero where it never ran.
pub async fn position(db: &dyn Backend, relay: &str) -> Result<Heads, StoreError> {
    let sql = "select stream, seq from relay_positions where relay = $1";
    fill(&db.query("relay_positions", sql, &[relay.into()]).await?)
}

/// Remembers how far the relay has come on one stream; never moves it back.
pub fn save_position(relay: &str, stream: u8, seq: i64) -> Step {
    Step::new(
        "insert into relay_positions (relay, stream, seq) values ($1, $2, $3)
         on conflict (relay, stream) do update set seq = excluded.seq
         where relay_positions.seq < excluded.seq",
        vec![relay.into(), i64::from(stream).into(), seq.into()],
    )
}

/// A step of a consumer along one stream: what it makes of the events between is written in the
/// same unit of work.
#[derive(Clone, Copy, Debug)]
pub struct Advance {
    pub stream: u8,
    pub from: i64,
    pub to: i64,
}

/// Misses when the consumer is not at `from`: another worker was there first.
pub fn advance(relay: &str, step: &Advance) -> Step {
    let Advance { stream, from, to } = *step;
    Step::one(
        "insert into relay_positions (relay, stream, seq) values ($1, $2, $4)
         on conflict (relay, stream) do update set seq = excluded.seq
         where relay_positions.seq = $3",
        vec![relay.into(), i64::from(stream).into(), from.into(), to.into()],
    )
}

fn fill(rows: &[Row]) -> Result<Heads, StoreError> {
    let mut heads = Heads::default();
    for row in rows {
        let stream = row.int(0)?;
        let slot = usize::try_from(stream).ok().and_then(|stream| heads.get_mut(stream));
        *row.decode(0, slot)? = row.int(1)?;
    }
    Ok(heads)
}

fn read(row: &Row) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        stream: row.int(0)? as u8,
        seq: row.int(1)?,
        id: EventId(row.id(2)?),
        tenant: TenantId(row.id(3)?),
        kind: row.text(4)?.to_owned(),
        subject: row.text(5)?.to_owned(),
        data: row.text(6)?.to_owned(),
        occurred_at: row.time(7)?,
    })
}
