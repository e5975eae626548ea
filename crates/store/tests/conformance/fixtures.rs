//! Tenants, wallets and movements of money for the cases: small, and decided by the real ledger.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use caudal_domain::{
    Account, AccountId, AccountKind, AccountStatus, ApiKeyId, Bucket, Currency, Event, EventId,
    IdSource, Leg, Mode, Placement, Refusal, Tenant, TenantId, Timestamp, Transfer, TransferId,
    TransferKind, UserId, UserStatus, Wallet, access::ApiKey, account::system_account,
    text::Metadata,
};
use caudal_ledger::{Book, Movement, NewTransfer, Outcome, Posting, movements::HoldUntil};
use caudal_store::{
    Lane, Locked, Locks, Position, Receipt, Step, Store, StoreError, UnitOfWork, UnitOutcome,
    Writes, tenants, users, users::UserRow, wallets,
};

use super::stage::{START, Stage};

pub fn usd() -> Currency {
    Currency::from_code("USD").unwrap()
}

pub fn eur() -> Currency {
    Currency::from_code("EUR").unwrap()
}

pub fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    Metadata(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

pub fn seconds(count: i64) -> Timestamp {
    START.plus_seconds(count)
}

/// Commits the steps as a unit that must succeed.
pub async fn done(stage: &Stage, steps: Vec<Step>) {
    let unit = UnitOfWork { at: START, steps, ..UnitOfWork::default() };
    let (outcome, _) = stage.store.commit(unit).await.expect("a unit of work");
    assert_eq!(outcome, UnitOutcome::Done);
}

pub async fn outcome(store: &Store, steps: Vec<Step>) -> UnitOutcome {
    let unit = UnitOfWork { at: START, steps, ..UnitOfWork::default() };
    store.commit(unit).await.expect("a unit of work").0
}

/// Commits the steps as a unit of which one must miss.
pub async fn missed(stage: &Stage, steps: Vec<Step>) {
    let said = format!("{steps:?}");
    let outcome = outcome(&stage.store, steps).await;
    assert!(matches!(outcome, UnitOutcome::Missed(_)), "{said}: {outcome:?}");
}

/// An active user who can't log in.
pub fn new_user(stage: &Stage, tenant: TenantId) -> UserRow {
    UserRow {
        id: user(stage),
        tenant,
        email_hash: None,
        profile: None,
        password: None,
        status: UserStatus::Active,
        email_verified_at: None,
        failed_logins: 0,
        locked_until: None,
        failed_proofs: 0,
        proofs_locked_until: None,
        deactivated_from: None,
        foreign: None,
        version: 1,
        created_at: START,
        updated_at: START,
        person_key: None,
        roles: vec![],
    }
}

pub async fn user_of(stage: &Stage, tenant: TenantId) -> UserRow {
    let user = new_user(stage, tenant);
    done(stage, vec![users::insert(&user)]).await;
    user
}

pub fn new_tenant(stage: &Stage, name: &str) -> Tenant {
    Tenant {
        id: TenantId(stage.id(START, 3)),
        name: name.into(),
        mode: Mode::Test,
        placement: Placement::User,
        region: None,
        timezone: "UTC".into(),
        config: caudal_domain::TenantConfig::default(),
        version: 1,
        created_at: START,
    }
}

pub async fn tenant(stage: &Stage) -> TenantId {
    let tenant = new_tenant(stage, "Acme");
    done(stage, vec![tenants::insert(&tenant)]).await;
    tenant.id
}

/// One that may nothing, and never ends.
pub fn new_key(stage: &Stage, tenant: TenantId) -> ApiKey {
    ApiKey {
        id: ApiKeyId(stage.id(START, 3)),
        tenant,
        name: "till".into(),
        scopes: vec![],
        created_at: START,
        expires_at: None,
        revoked_at: None,
        service_account: None,
        rotated_to: None,
        last_used_at: None,
        made_by: None,
    }
}

pub fn new_wallet(stage: &Stage, tenant: TenantId, currency: Currency, bucket: u8) -> Wallet {
    let account = Account {
        id: AccountId(stage.id(START, bucket)),
        tenant,
        kind: AccountKind::Wallet,
        currency,
        status: AccountStatus::Active,
        floor: Some(0),
        total: 0,
        held: 0,
        pending: 0,
        version: 0,
        updated_at: START,
    };
    Wallet {
        account,
        user: None,
        name: None,
        metadata: Metadata::default(),
        version: 1,
        created_at: START,
    }
}

pub async fn wallet(stage: &Stage, tenant: TenantId, bucket: u8) -> AccountId {
    let wallet = new_wallet(stage, tenant, usd(), bucket);
    done(stage, wallets::insert(&wallet, true)).await;
    wallet.account.id
}

pub fn user(stage: &Stage) -> UserId {
    UserId(stage.id(START, 9))
}

pub fn treasury(tenant: TenantId) -> AccountId {
    system_account(tenant, AccountKind::Treasury, usd())
}

pub fn pay(from: AccountId, to: AccountId, amount: i64) -> NewTransfer {
    let kind = TransferKind::Transfer;
    NewTransfer {
        kind,
        currency: usd(),
        legs: vec![Leg::new(from, to, amount)],
        hold_until: None,
        reference: None,
        metadata: Metadata::default(),
        terms: None,
    }
}

pub fn hold(from: AccountId, to: AccountId, amount: i64, until: Timestamp) -> NewTransfer {
    NewTransfer { hold_until: Some(HoldUntil::At(until)), ..pay(from, to, amount) }
}

pub fn sorted(accounts: &[AccountId]) -> Vec<AccountId> {
    let mut accounts = accounts.to_vec();
    accounts.sort_by_key(|id| (id.bucket(), *id));
    accounts.dedup();
    accounts
}

/// Movements decided in one batch.
pub struct Batch {
    pub tenant: TenantId,
    pub at: Timestamp,
    pub accounts: Vec<AccountId>,
    pub transfers: Vec<TransferId>,
    pub movements: Vec<Movement>,
    pub receipts: Vec<Receipt>,
}

impl Batch {
    /// The postings, with the accounts they need.
    pub fn of(tenant: TenantId, at: Timestamp, posts: Vec<NewTransfer>) -> Self {
        let legs = posts.iter().flat_map(|post| &post.legs);
        let accounts: Vec<_> = legs.flat_map(|leg| [leg.from, leg.to]).collect();
        Self {
            tenant,
            at,
            accounts,
            transfers: Vec::new(),
            movements: posts.into_iter().map(Movement::Post).collect(),
            receipts: Vec::new(),
        }
    }

    /// A movement of a transfer that is there.
    pub fn on(transfer: &Transfer, at: Timestamp, movement: Movement) -> Self {
        Self {
            tenant: transfer.tenant,
            at,
            accounts: transfer.legs.iter().flat_map(|leg| [leg.from, leg.to]).collect(),
            transfers: vec![transfer.id],
            movements: vec![movement],
            receipts: Vec::new(),
        }
    }

    pub fn locks(&self) -> Locks {
        Locks {
            accounts: sorted(&self.accounts),
            transfers: self.transfers.clone(),
            at: self.at,
            ..Locks::default()
        }
    }
}

type Decided = Vec<Result<Outcome, Refusal>>;

/// Ids from a function.
pub struct Ids<F>(pub F);

impl<F: FnMut(Timestamp, Bucket) -> u128 + Send> IdSource for Ids<F> {
    fn next(&mut self, at: Timestamp, bucket: Bucket) -> u128 {
        self.0(at, bucket)
    }
}

/// Commits the batch as the engine would.
pub async fn commit(
    stage: &Stage,
    lane: &mut dyn Lane,
    batch: Batch,
) -> Result<(Decided, Position), StoreError> {
    let decided: Arc<Mutex<Decided>> = Arc::default();
    let mut ids = Ids(stage.ids());
    let locks = batch.locks();
    let kept = decided.clone();
    let decide = Box::new(move |locked: Locked| {
        let (outcomes, writes) = decide(&batch, locked, &mut ids);
        *kept.lock().unwrap() = outcomes;
        writes
    });
    let position = lane.commit_batch(locks, decide).await?;
    let decided = std::mem::take(&mut *decided.lock().unwrap());
    Ok((decided, position))
}

/// What the ledger decides on the batch, and what is to be written for it.
pub fn decide(batch: &Batch, locked: Locked, ids: &mut dyn IdSource) -> (Decided, Writes) {
    let mut book = Book::new(locked.accounts, locked.transfers, batch.at);
    let mut writes = Writes { at: book.now(), ..Writes::default() };
    let (mut accounts, mut transfers) = (BTreeSet::new(), BTreeMap::new());
    let mut outcomes = Vec::new();
    for movement in &batch.movements {
        let outcome = book.decide(batch.tenant, movement, ids);
        match &outcome {
            Ok(Outcome::Posting(posting)) => {
                accounts.extend(posting.entries.iter().map(|entry| entry.account));
                transfers.entry(posting.transfer.id).or_insert(posting.created);
                for other in posting.others() {
                    transfers.entry(other.id).or_insert(false);
                }
                writes.entries.extend_from_slice(&posting.entries);
                writes.events.push(event(posting, ids));
            }
            Ok(Outcome::Account(account)) => drop(accounts.insert(account.id)),
            Err(_) => {}
        }
        outcomes.push(outcome);
    }
    let accounts: Vec<_> = accounts.into_iter().collect();
    writes.accounts =
        sorted(&accounts).iter().map(|id| *book.account(*id).expect("a locked account")).collect();
    for (id, created) in transfers {
        let transfer = book.transfer(id).expect("a written transfer").clone();
        match created {
            true => writes.new_transfers.push(transfer),
            false => writes.changed_transfers.push(transfer),
        }
    }
    writes.receipts.clone_from(&batch.receipts);
    (outcomes, writes)
}

fn event(posting: &Posting, ids: &mut dyn IdSource) -> Event {
    let transfer = &posting.transfer;
    Event {
        id: EventId(ids.next(transfer.created_at, transfer.id.bucket())),
        tenant: transfer.tenant,
        kind: caudal_domain::event::kinds::TRANSFER_COMPLETED,
        subject: transfer.id.to_string(),
        data: format!("{{\"amount\":{}}}", transfer.amount),
        occurred_at: transfer.created_at,
    }
}

/// Commits one movement that must be accepted; the transfer after it.
pub async fn accepted(stage: &Stage, batch: Batch) -> Transfer {
    let mut lane = stage.store.lane();
    let (mut decided, _) = commit(stage, lane.as_mut(), batch).await.expect("a batch");
    match decided.remove(0) {
        Ok(Outcome::Posting(posting)) => posting.transfer,
        other => panic!("not a posting: {other:?}"),
    }
}

/// Posts one transfer at `at`.
pub async fn post(stage: &Stage, tenant: TenantId, new: NewTransfer, at: Timestamp) -> Transfer {
    accepted(stage, Batch::of(tenant, at, vec![new])).await
}

/// A wallet with money in it.
pub async fn funded(stage: &Stage, tenant: TenantId, bucket: u8, amount: i64) -> AccountId {
    let id = wallet(stage, tenant, bucket).await;
    let fund = NewTransfer { kind: TransferKind::Fund, ..pay(treasury(tenant), id, amount) };
    post(stage, tenant, fund, START).await;
    id
}
