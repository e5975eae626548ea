//! Events: gapless per stream in commit order, and how far a relay has come.

use std::sync::Arc;

use caudal_domain::{
    AccountId, Event, EventId, TenantId,
    event::kinds::{PAYMENT_PROCESSED, TRANSFER_COMPLETED, USER_ROLES_CHANGED, WALLET_FUNDED},
    id::STREAMS,
};
use caudal_store::{
    Backend, Locks, Position, Store, UnitOfWork, Writes,
    events::{self, Advance, Found, Part},
};

use super::{
    fixtures::{Batch, commit, done, funded, missed, pay, seconds, tenant},
    races::one_wins,
    stage::{START, Stage, open},
};

pub async fn positions_only_go_forward(stage: &Stage) {
    let db = stage.store.as_ref();
    assert_eq!(events::position(db, "relay").await.unwrap(), [0; STREAMS as usize]);
    for (seq, wanted) in [(5, 5), (9, 9), (7, 9)] {
        done(stage, vec![events::save_position("relay", 3, seq)]).await;
        assert_eq!(events::position(db, "relay").await.unwrap()[3], wanted);
    }
    done(stage, vec![events::save_position("relay", 15, 2)]).await;
    let position = events::position(db, "relay").await.unwrap();
    assert_eq!((position[3], position[15], position[0]), (9, 2, 0));
    assert_eq!(events::position(db, "other").await.unwrap(), [0; STREAMS as usize]);
}

const LANES: u8 = 4;
const BATCHES: i64 = 20;

/// Batches of three transfers in different streams; the position after each.
async fn drive(stage: &Stage, tenant: TenantId, wallets: Vec<AccountId>) -> Vec<Position> {
    let mut lane = stage.store.lane();
    let mut positions = Vec::new();
    for at in 1..=BATCHES {
        let posts = vec![
            pay(wallets[0], wallets[1], 1),
            pay(wallets[1], wallets[2], 1),
            pay(wallets[0], wallets[2], 1),
        ];
        let batch = Batch::of(tenant, seconds(at), posts);
        let (decided, position) = commit(stage, lane.as_mut(), batch).await.expect("a batch");
        assert!(decided.iter().all(Result::is_ok));
        positions.push(position);
    }
    positions
}

pub async fn gapless_from_four_lanes(stage: &Stage) {
    let tenant = tenant(stage).await;
    let mut lanes = Vec::new();
    for lane in 0..LANES {
        let mut wallets = Vec::new();
        // Every lane meets every other one in streams 1 and 8, and has one more with a neighbour.
        for bucket in [16 + lane, 128 + lane, 200 + lane * 16] {
            wallets.push(funded(stage, tenant, bucket, 1_000).await);
        }
        lanes.push(wallets);
    }
    let before = events::heads(stage.store.as_ref()).await.unwrap();
    let runs = lanes.into_iter().map(|wallets| drive(stage, tenant, wallets));
    let positions: Vec<Position> = futures::future::join_all(runs).await.concat();

    let heads = events::heads(stage.store.as_ref()).await.unwrap();
    let written: i64 = heads.iter().sum::<i64>() - before.iter().sum::<i64>();
    assert_eq!(written, i64::from(LANES) * BATCHES * 3);
    let mut last = before;
    for position in &positions {
        assert!(position.is_sorted(), "ascending: {position:?}");
        for (stream, seq) in position {
            let slot = &mut last[usize::from(*stream)];
            *slot = (*slot).max(*seq);
        }
    }
    assert_eq!(last, heads, "the positions answered reach the heads");
    all_there(&stage.store, heads).await;
}

async fn all_there(store: &Store, heads: events::Heads) {
    for (stream, head) in (0..STREAMS).zip(heads) {
        let all = events::after(store.as_ref(), stream, 0, 10_000).await.unwrap();
        let places: Vec<i64> = all.iter().map(|event| event.seq).collect();
        assert_eq!(places, (1..=head).collect::<Vec<_>>(), "stream {stream}");
        assert!(all.iter().all(|event| event.id.bucket().stream() == stream));
        if head > 2 {
            let page = events::after(store.as_ref(), stream, head - 2, 1).await.unwrap();
            assert_eq!(page, all[all.len() - 2..all.len() - 1]);
        }
    }
}

pub async fn consumers_advance_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let step = |from, to| vec![events::advance("notices", &Advance { stream: 3, from, to })];
    let at = async || events::position(db, "notices").await.unwrap()[3];
    assert_eq!(at().await, 0, "it never ran");
    one_wins(stage, (0..4).map(|_| step(0, 10)).collect(), 0).await;
    assert_eq!(at().await, 10);
    missed(stage, step(0, 20)).await;
    missed(stage, step(9, 20)).await;
    one_wins(stage, (0..4).map(|_| step(10, 20)).collect(), 0).await;
    assert_eq!(at().await, 20);
    // Each consumer for itself.
    done(stage, vec![events::advance("others", &Advance { stream: 3, from: 0, to: 5 })]).await;
    assert_eq!(at().await, 20);
}

/// Twelve events on stream 3 with others between them, of which a lane writes some, two at once.
async fn tell(stage: &Stage, kinds: [&'static str; 4]) {
    let tenant = tenant(stage).await;
    let event = |kind, bucket| {
        let id = EventId(stage.id(START, bucket));
        let (subject, data) = (id.to_string(), format!("{{\"kind\":\"{kind}\"}}"));
        Event { id, tenant, kind, subject, data, occurred_at: START }
    };
    let mut lane = stage.store.lane();
    for pair in [[kinds[0], kinds[1]], [kinds[2], kinds[3]]].into_iter().cycle().take(6) {
        let events = vec![event(pair[0], 48), event(pair[0], 80), event(pair[1], 49)];
        if pair[0] == kinds[0] {
            let unit = UnitOfWork { at: START, events, ..UnitOfWork::default() };
            stage.store.commit(unit).await.unwrap();
        } else {
            let writes = move |_| Writes { events: events.clone(), at: START, ..Writes::default() };
            let locks = Locks { at: START, ..Locks::default() };
            lane.commit_batch(locks, Box::new(writes)).await.unwrap();
        }
    }
}

/// By the process that wrote them, and by one that has to read them.
pub async fn some_kinds_are_found_among_all(stage: &Stage) {
    let all = [TRANSFER_COMPLETED, WALLET_FUNDED, PAYMENT_PROCESSED, USER_ROLES_CHANGED];
    tell(stage, all).await;
    are_found(stage.store.as_ref(), all).await;
    if let Some(url) = stage.url_of_several() {
        let other = open(&url).await.unwrap();
        are_found(other.as_ref(), all).await;
    }
}

async fn are_found(db: &dyn Backend, all: [&'static str; 4]) {
    let whole = events::after(db, 3, 0, 100).await.unwrap();
    assert_eq!(events::of_kinds(db, &[], None).await.unwrap(), []);
    let some = [&all[..], &all[1..], &all[2..], &all[3..], &all[..1], &all[1..2]];
    for asked in some.into_iter().map(Some).chain([None]) {
        for (after, to, limit) in [(0, 12, 100), (2, 11, 100), (2, 11, 2), (5, 5, 100)] {
            let part = Part { stream: 3, after, to, limit };
            let none = Part { stream: 4, after: 0, to: 7, limit: 1 };
            let found = events::of_kinds(db, &[none, part], asked).await.unwrap();
            let mut wanted = whole.clone();
            wanted.retain(|e| e.seq > after && e.seq <= to);
            wanted.retain(|e| asked.is_none_or(|asked| asked.contains(&e.kind.as_str())));
            wanted.truncate(limit as usize);
            let cut = wanted.last().filter(|_| wanted.len() as i64 == limit);
            let reached = cut.map_or(to, |last| last.seq);
            let wanted = Found { events: wanted.into_iter().map(Arc::new).collect(), reached };
            let nothing = Found { events: Vec::new(), reached: 7 };
            assert_eq!(found, [nothing, wanted], "{asked:?} after {after} to {to}");
        }
    }
}
