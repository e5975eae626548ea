//! Entries: an account's history, and its balance at any instant.

use caudal_domain::{AccountId, Entry, TenantId};
use caudal_store::{entries, wallets};

use super::{
    fixtures::{Batch, commit, funded, hold, pay, post, seconds, tenant, treasury, wallet},
    stage::{START, Stage},
};

pub async fn by_page(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 250).await);
    let mut paid = Vec::new();
    for at in 1..=4 {
        paid.push(post(stage, tenant, pay(a, b, at), seconds(at)).await.id);
    }
    let page = entries::list(db, a, i64::MAX, 2).await.unwrap();
    let last = Entry {
        account: a,
        version: 5,
        transfer: paid[3],
        amount: -4,
        balance_after: 90,
        held_after: 0,
        pending_after: 0,
        created_at: seconds(4),
    };
    assert_eq!(page[0], last);
    let versions = async |before, limit| -> Vec<i64> {
        let page = entries::list(db, a, before, limit).await.unwrap();
        page.iter().map(|entry| entry.version).collect()
    };
    assert_eq!(versions(i64::MAX, 100).await, [5, 4, 3, 2, 1]);
    assert_eq!(versions(4, 2).await, [3, 2]);
    assert_eq!(versions(2, 2).await, [1]);
    assert_eq!(versions(1, 2).await, [] as [i64; 0]);
    assert_eq!(entries::list(db, b, i64::MAX, 100).await.unwrap().len(), 4);
}

/// Entries of the long history; the instants between them are two seconds apart.
const HISTORY: usize = 1000;

/// Pays into `to` in batches of one to seven, some of it held again; the history, oldest first.
async fn long_history(stage: &Stage, tenant: TenantId, to: AccountId) -> Vec<Entry> {
    let mut lane = stage.store.lane();
    let (mut written, mut at) = (0, 10);
    while written < HISTORY {
        let count = (1 + at as usize / 2 % 7).min(HISTORY - written);
        let posts = (0..count)
            .map(|place| match place {
                3 => hold(to, treasury(tenant), 1, seconds(90_000)),
                _ => pay(treasury(tenant), to, 2),
            })
            .collect();
        let batch = Batch::of(tenant, seconds(at), posts);
        let (decided, _) = commit(stage, lane.as_mut(), batch).await.unwrap();
        assert!(decided.iter().all(Result::is_ok), "{decided:?}");
        (written, at) = (written + count, at + 2);
    }
    let mut all = entries::list(stage.store.as_ref(), to, i64::MAX, 10_000).await.unwrap();
    all.reverse();
    all
}

pub async fn balance_at_any_instant(stage: &Stage) {
    let db = stage.store.as_ref();
    let tenant = tenant(stage).await;
    let to = wallet(stage, tenant, 250).await;
    assert_eq!(wallets::balance_at(db, to, seconds(99)).await.unwrap(), None, "no entries yet");
    let history = long_history(stage, tenant, to).await;
    assert_eq!(history.len(), HISTORY);

    // Before the first, exactly at and between; the middle; up to the last and after it.
    for at in (8..30).chain(250..270).chain(490..530) {
        let at = seconds(at);
        let last = history.iter().rev().find(|entry| entry.created_at <= at);
        assert_eq!(wallets::balance_at(db, to, at).await.unwrap().as_ref(), last, "{at}");
    }
    assert!(history.last().is_some_and(|entry| entry.created_at < seconds(530)));
    assert_eq!(wallets::balance_at(db, to, seconds(9)).await.unwrap(), None);
    let unknown = AccountId(stage.id(START, 10));
    assert_eq!(wallets::balance_at(db, unknown, seconds(99)).await.unwrap(), None);
}
