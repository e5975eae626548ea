//! Batches: all or nothing, and lanes that never stand in each other's way.

use std::sync::{Arc, Mutex};

use caudal_domain::{AccountId, Refusal, TenantId, TransferId};
use caudal_store::{Lane, Locked, Locks, StoreError, Writes, books, entries, events, wallets};

use super::{
    fixtures::{
        Batch, Ids, commit, decide, funded, new_wallet, pay, post, seconds, sorted, tenant, usd,
        wallet,
    },
    stage::{START, Stage},
};

/// What a batch found under its locks.
async fn look(stage: &Stage, locks: Locks) -> Locked {
    look_through(stage.store.lane().as_mut(), locks).await
}

/// The same on a lane that goes on afterwards.
pub async fn look_through(lane: &mut dyn Lane, locks: Locks) -> Locked {
    let found: Arc<Mutex<Option<Locked>>> = Arc::default();
    let kept = found.clone();
    let decide = Box::new(move |locked| {
        *kept.lock().unwrap() = Some(locked);
        Writes::default()
    });
    let position = lane.commit_batch(locks, decide).await.expect("nothing to write");
    assert_eq!(position, []);
    let found = found.lock().unwrap().take();
    found.expect("decide was called")
}

pub async fn nothing_to_write(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let paid = post(stage, tenant, pay(a, b, 30), seconds(1)).await;
    let heads = events::heads(stage.store.as_ref()).await.unwrap();
    let locks = Batch { transfers: vec![paid.id], ..Batch::of(tenant, START, vec![pay(a, b, 1)]) };
    let found = look(stage, locks.locks()).await;
    let totals: Vec<_> = found.accounts.iter().map(|a| (a.id, a.total, a.version)).collect();
    assert_eq!(totals, [(a, 70, 2), (b, 30, 1)]);
    assert_eq!(found.transfers, [paid]);
    assert_eq!(events::heads(stage.store.as_ref()).await.unwrap(), heads);
}

pub async fn absent_rows_are_left_out(stage: &Stage) {
    let tenant = tenant(stage).await;
    let there = wallet(stage, tenant, 10).await;
    let ghost = new_wallet(stage, tenant, usd(), 200).account.id;
    let locks = Locks {
        accounts: sorted(&[there, ghost]),
        transfers: vec![TransferId(stage.id(START, 10))],
        receipts: vec![caudal_domain::ReceiptKey::new(tenant, 1, "never used")],
        at: START,
        ..Locks::default()
    };
    let found = look(stage, locks).await;
    assert_eq!(found.accounts.iter().map(|a| a.id).collect::<Vec<_>>(), [there]);
    assert!(found.transfers.is_empty() && found.receipts.is_empty() && found.rows.is_empty());

    // The ledger's answer on an account that is not there.
    let batch = Batch::of(tenant, START, vec![pay(ghost, there, 1)]);
    let (decided, _) = commit(stage, stage.store.lane().as_mut(), batch).await.unwrap();
    assert!(matches!(decided[0], Err(Refusal::WalletNotFound { account }) if account == ghost));
}

/// Everything that a batch could have changed.
async fn state(stage: &Stage, wallets: [AccountId; 2]) -> impl PartialEq + std::fmt::Debug {
    let db = stage.store.as_ref();
    let balances = books::balances(db, None, 0, 1_000).await.unwrap();
    let mut history = Vec::new();
    for wallet in wallets {
        history.push(entries::list(db, wallet, i64::MAX, 1_000).await.unwrap());
    }
    let mut stored = Vec::new();
    for stream in 0..16 {
        stored.push(events::after(db, stream, 0, 1_000).await.unwrap());
    }
    (balances, history, stored, events::heads(db).await.unwrap())
}

pub async fn all_or_nothing(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let before = state(stage, [a, b]).await;
    let mut lane = stage.store.lane();
    for spoil in
        [entry_twice, transfer_twice, less_than_nothing_held, less_pending, amount_of_nothing]
    {
        let mut good = good_writes(stage, tenant, [a, b]);
        let locks = Batch::of(tenant, seconds(5), vec![pay(a, b, 1)]).locks();
        let decide = Box::new(move |locked: Locked| {
            let mut writes = good(locked);
            spoil(&mut writes);
            writes
        });
        let error = lane.commit_batch(locks, decide).await.expect_err("a spoilt batch");
        assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
        assert_eq!(state(stage, [a, b]).await, before, "nothing of it is there");
    }
    // The same lane goes on.
    let batch = Batch::of(tenant, seconds(5), vec![pay(a, b, 1)]);
    let (decided, position) = commit(stage, lane.as_mut(), batch).await.unwrap();
    assert!(decided[0].is_ok());
    assert_eq!(position.len(), 1);
    assert_ne!(state(stage, [a, b]).await, before);
}

fn entry_twice(writes: &mut Writes) {
    let twice = writes.entries[0].clone();
    writes.entries.push(twice);
}

fn transfer_twice(writes: &mut Writes) {
    let twice = writes.new_transfers[0].clone();
    writes.new_transfers.push(twice);
}

fn less_than_nothing_held(writes: &mut Writes) {
    let account = &mut writes.accounts[0];
    account.held = -1;
    let entries = writes.entries.iter_mut().filter(|entry| entry.account == account.id);
    entries.for_each(|entry| entry.held_after = -1);
}

fn less_pending(writes: &mut Writes) {
    let account = &mut writes.accounts[0];
    account.pending = -1;
    let entries = writes.entries.iter_mut().filter(|entry| entry.account == account.id);
    entries.for_each(|entry| entry.pending_after = -1);
}

fn amount_of_nothing(writes: &mut Writes) {
    writes.new_transfers[0].amount = 0;
}

/// A decision that posts one transfer, as writes in hand.
fn good_writes(
    stage: &Stage,
    tenant: TenantId,
    [from, to]: [AccountId; 2],
) -> impl FnMut(Locked) -> Writes + Send + use<> {
    let mut ids = Ids(stage.ids());
    let batch = Batch::of(tenant, seconds(5), vec![pay(from, to, 1)]);
    move |locked| decide(&batch, locked, &mut ids).1
}

const LANES: usize = 4;
const BATCHES: i64 = 50;

/// Pays round the ten wallets, in the lane's own direction.
async fn go_round(stage: &Stage, tenant: TenantId, wallets: &[AccountId], number: usize) {
    let mut lane = stage.store.lane();
    let count = wallets.len();
    for turn in 0..BATCHES {
        let posts = (0..count)
            .map(|place| {
                let (from, to) = (wallets[place], wallets[(place + 1) % count]);
                match number % 2 {
                    0 => pay(from, to, 3),
                    _ => pay(to, from, 3),
                }
            })
            .collect();
        let batch = Batch::of(tenant, seconds(turn), posts);
        let (decided, _) = commit(stage, lane.as_mut(), batch).await.expect("no lane in the way");
        assert!(decided.iter().all(Result::is_ok), "{decided:?}");
    }
}

pub async fn opposite_directions(stage: &Stage) {
    let tenant = tenant(stage).await;
    let mut accounts = Vec::new();
    for place in 0..10u8 {
        accounts.push(funded(stage, tenant, place * 25, 10_000).await);
    }
    let runs = (0..LANES).map(|number| go_round(stage, tenant, &accounts, number));
    futures::future::join_all(runs).await;
    for id in &accounts {
        let found = wallets::find(stage.store.as_ref(), tenant, *id).await.unwrap();
        let account = found.expect("a wallet").account;
        assert_eq!(account.total, 10_000, "as much came as went");
        assert_eq!(account.version, 1 + 2 * BATCHES * LANES as i64);
    }
    for check in books::CHECKS {
        let found = check.run(stage.store.as_ref(), None, 10).await.unwrap();
        assert_eq!(found, Some(vec![]), "{}", check.name);
    }
}
