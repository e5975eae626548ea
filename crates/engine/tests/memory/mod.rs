//! A database in memory that fails on request, to see what the engine makes of it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock, Mutex},
};

use async_trait::async_trait;
use caudal_domain::{
    Account, AccountId, AccountKind, AccountStatus, Bucket, Clock, Currency, IdSource, Leg,
    ReceiptKey, TenantId, Timestamp, Transfer, TransferId, TransferKind, text::Metadata,
};
use caudal_engine::{Command, Engine, ReceiptOf, Settings};
use caudal_ledger::{Movement, NewTransfer};
use caudal_store::{
    Backend, Decide, Lane, Locked, Locks, Position, Receipt, RecentEvents, Row, Step, Store,
    StoreError, UnitOfWork, UnitOutcome, Value,
};

pub const TENANT: TenantId = TenantId(7);

/// A transfer with this reference is refused by the "database".
pub const POISON: &str = "poison";

#[derive(Default)]
pub struct Tables {
    pub accounts: HashMap<AccountId, Account>,
    pub transfers: HashMap<TransferId, Transfer>,
    pub receipts: HashMap<ReceiptKey, Receipt>,
    pub events: usize,
    pub steps: Vec<Step>,
    pub batches: Vec<usize>,
    /// So many of the next batches panic.
    pub panics: usize,
    /// Given instead of the next commits, first one first.
    pub faults: Vec<StoreError>,
    /// Accounts that another process holds; whoever waits for them gets them.
    pub held: HashSet<AccountId>,
    /// Accounts that were waited for before a batch was formed.
    pub waited_ahead: Vec<AccountId>,
}

#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Tables>>);

impl Memory {
    fn panic_if_asked(&self) {
        let mut tables = self.0.lock().expect("no panic under the lock");
        let left = tables.panics.checked_sub(1);
        tables.panics = left.unwrap_or_default();
        drop(tables);
        assert!(left.is_none(), "as asked");
    }
}

#[async_trait]
impl Lane for Memory {
    async fn lock_ahead(&mut self, accounts: &[AccountId]) -> Result<(), StoreError> {
        let mut tables = self.0.lock().expect("no panic under the lock");
        tables.waited_ahead.extend(accounts);
        tables.held.retain(|held| !accounts.contains(held));
        Ok(())
    }

    async fn commit_batch(
        &mut self,
        locks: Locks,
        mut decide: Decide,
    ) -> Result<Position, StoreError> {
        // As a real one, it takes a moment, in which the queue fills.
        tokio::task::yield_now().await;
        self.panic_if_asked();
        let mut tables = self.0.lock().expect("no panic under the lock");
        let is_held = |id: &&AccountId| locks.pass_over && tables.held.contains(*id);
        let locked = Locked {
            accounts: locks
                .accounts
                .iter()
                .filter(|id| !is_held(id))
                .filter_map(|id| tables.accounts.get(id).copied())
                .collect(),
            rows: vec![],
            passed: locks.accounts.iter().filter(is_held).copied().collect(),
            transfers: locks
                .transfers
                .iter()
                .filter_map(|id| tables.transfers.get(id).cloned())
                .collect(),
            receipts: locks
                .receipts
                .iter()
                .filter_map(|key| tables.receipts.get(key).cloned())
                .collect(),
        };
        let writes = decide(locked);
        if !tables.faults.is_empty() {
            return Err(tables.faults.remove(0));
        }
        if writes.new_transfers.iter().any(|t| t.reference.as_deref() == Some(POISON)) {
            return Err(StoreError::Rejected("a poisoned row".into()));
        }
        if writes.is_empty() {
            return Ok(Position::new());
        }
        tables.batches.push(writes.new_transfers.len());
        tables.events += writes.events.len();
        tables.steps.extend(writes.steps);
        tables.accounts.extend(writes.accounts.into_iter().map(|a| (a.id, a)));
        let transfers = writes.new_transfers.into_iter().chain(writes.changed_transfers);
        tables.transfers.extend(transfers.map(|t| (t.id, t)));
        tables.receipts.extend(writes.receipts.into_iter().map(|r| (r.key, r)));
        Ok(Position::new())
    }
}

#[async_trait]
impl Backend for Memory {
    async fn query(&self, _: &'static str, _: &str, _: &[Value]) -> Result<Vec<Row>, StoreError> {
        Ok(vec![])
    }
    async fn account(
        &self,
        tenant: TenantId,
        id: AccountId,
    ) -> Result<Option<Account>, StoreError> {
        let tables = self.0.lock().expect("no panic under the lock");
        let found = tables.accounts.get(&id).copied();
        Ok(found.filter(|account| account.tenant == tenant))
    }
    async fn query_at_length(
        &self,
        _: &'static str,
        _: &str,
        _: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        Ok(vec![])
    }
    async fn gather_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }
    async fn commit(&self, _: UnitOfWork) -> Result<(UnitOutcome, Position), StoreError> {
        Ok((UnitOutcome::Done, Position::new()))
    }
    fn recent_events(&self) -> &RecentEvents {
        static NONE: LazyLock<RecentEvents> = LazyLock::new(RecentEvents::default);
        &NONE
    }
    fn lane(&self) -> Box<dyn Lane> {
        Box::new(self.clone())
    }
    async fn migrate(&self, _: Timestamp) -> Result<Vec<String>, StoreError> {
        Ok(vec![])
    }
    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        Ok(vec![])
    }
    async fn create_partitions(&self, _: Timestamp) -> Result<Vec<String>, StoreError> {
        Ok(vec![])
    }
    async fn retire_receipts(&self, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
    async fn forget_deleted(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn connections(&self) -> (usize, usize) {
        (0, 0)
    }
}

pub struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000)
    }
}

struct Counting(u128);

impl IdSource for Counting {
    fn next(&mut self, _: Timestamp, bucket: Bucket) -> u128 {
        self.0 += 256;
        self.0 | u128::from(bucket.0)
    }
}

/// An engine over `wallets` wallets of 1,000 each.
pub fn engine(wallets: u128, settings: &Settings) -> (Engine, Memory) {
    let memory = Memory::default();
    for n in 0..wallets {
        let account = Account {
            id: wallet(n),
            tenant: TENANT,
            kind: AccountKind::Wallet,
            currency: usd(),
            status: AccountStatus::Active,
            floor: Some(0),
            total: 1000,
            held: 0,
            pending: 0,
            version: 1,
            updated_at: Timestamp::default(),
        };
        memory.0.lock().expect("no panic under the lock").accounts.insert(account.id, account);
    }
    let store: Store = Arc::new(memory.clone());
    let ids = Arc::new(|| Box::new(Counting(0)) as Box<dyn IdSource>);
    (Engine::start(&store, settings, Arc::new(Noon), ids), memory)
}

pub fn wallet(n: u128) -> AccountId {
    AccountId(n * 1000 + 1)
}

fn usd() -> Currency {
    Currency::from_code("USD").expect("a known code")
}

/// A transfer between two wallets.
pub fn transfer(from: u128, to: u128, amount: i64) -> Command {
    Command::new(Movement::Post(NewTransfer {
        kind: TransferKind::Transfer,
        currency: usd(),
        legs: vec![Leg::new(wallet(from), wallet(to), amount)],
        hold_until: None,
        reference: None,
        metadata: Metadata::default(),
        terms: None,
    }))
}

pub fn with_reference(mut command: Command, reference: &str) -> Command {
    if let Some(Movement::Post(new)) = &mut command.movement {
        new.reference = Some(reference.into());
    }
    command
}

pub fn with_key(mut command: Command, key: u128, fingerprint: u128) -> Command {
    let fingerprint = caudal_domain::Fingerprint(fingerprint);
    command.receipt = Some(ReceiptOf { key: ReceiptKey(key), fingerprint });
    command
}

impl Memory {
    pub fn total(&self, n: u128) -> i64 {
        self.0.lock().expect("no panic under the lock").accounts[&wallet(n)].total
    }

    pub fn steps(&self) -> usize {
        self.0.lock().expect("no panic under the lock").steps.len()
    }

    pub fn transfers(&self) -> usize {
        self.0.lock().expect("no panic under the lock").transfers.len()
    }
}
