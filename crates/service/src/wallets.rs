//! Wallets: made, read, labelled, frozen and closed; their entries and balances.

use std::ops::Range;

use caudal_domain::{
    Account, AccountId, AccountKind, AccountStatus, Bucket, Currency, Entry, Event, MAX_AMOUNT,
    Mode, Placement, Timestamp, UserId, UserStatus, Wallet, access::Scope, event::kinds,
    text::Metadata,
};
use caudal_engine::{Command, Given};
use caudal_ledger::Movement;
use caudal_store::{Attachment, Step, UnitOfWork, UnitOutcome, entries, users, wallets};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Edit, Page, Reach, Service, ServiceError,
    asked::Window,
    audit::Did,
    id_range,
    unit::{Creation, Subject, broken},
};

#[derive(Clone, Debug)]
pub struct NewWallet {
    pub currency: Currency,
    pub user: Option<UserId>,
    pub name: Option<String>,
    /// Minor units; below zero is credit.
    pub floor: i64,
    pub metadata: Metadata,
}

/// What to change; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct WalletChange {
    pub name: Option<Option<String>>,
    pub metadata: Option<Metadata>,
    pub floor: Option<i64>,
}

impl WalletChange {
    /// The names of what it changes.
    fn fields(&self) -> Vec<&'static str> {
        let Self { name, metadata, floor } = self;
        let given = [
            ("name", name.is_some()),
            ("metadata", metadata.is_some()),
            ("floor", floor.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }
}

/// Which wallets to list.
#[derive(Clone, Debug, Default)]
pub struct WalletFilter {
    pub user: Option<UserId>,
    pub status: Option<AccountStatus>,
    pub currency: Option<Currency>,
}

/// A balance at a moment, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub total: i64,
    pub held: i64,
    pub pending: i64,
    /// Number of the last entry that counts.
    pub version: i64,
}

impl Balance {
    pub fn of(account: &Account) -> Self {
        let Account { total, held, pending, version, .. } = *account;
        Self { total, held, pending, version }
    }

    pub fn available(&self) -> i64 {
        self.total - self.held - self.pending
    }
}

/// What a wallet is besides its account: kept with the receipt of a change of the account.
#[derive(Serialize, Deserialize)]
struct ColdHalf {
    user: Option<UserId>,
    name: Option<String>,
    metadata: Metadata,
    version: i64,
    created_at: Timestamp,
}

#[derive(Serialize)]
struct WalletData {
    wallet_id: AccountId,
    currency: Currency,
    status: AccountStatus,
    floor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
}

/// How often a change is decided again when another one came between.
const ATTEMPTS: u32 = 4;

impl Service {
    pub async fn create_wallet(
        &self,
        asked: Asked<'_>,
        new: NewWallet,
    ) -> Result<Done<Wallet>, ServiceError> {
        let Asked { caller, receipt } = asked;
        check_floor(caller, new.floor)?;
        if new.floor != 0 {
            self.require_step_up(caller)?;
        }
        let new = as_own(caller, new)?;
        if let (Reach::Tenant, Some(user)) = (caller.reach, new.user) {
            let found = users::find(self.store(), caller.tenant, user).await?;
            let found = found.filter(|user| user.status != UserStatus::Erased);
            if found.is_none() {
                // They may have been there when it was asked first.
                let said = self.said_before(receipt).await?;
                return said.ok_or(ServiceError::NotFound("user"));
            }
        }
        let at = self.now();
        let account = Account {
            id: self.new_wallet_id(caller, new.user, at),
            tenant: caller.tenant,
            kind: AccountKind::Wallet,
            currency: new.currency,
            status: AccountStatus::Active,
            floor: Some(new.floor),
            total: 0,
            held: 0,
            pending: 0,
            version: 0,
            updated_at: at,
        };
        let NewWallet { user, name, metadata, floor, .. } = new;
        let wallet = Wallet { account, user, name, metadata, version: 1, created_at: at };
        // They may be erased meanwhile, or before this is committed.
        let lock = user.map(|user| users::lock(caller.tenant, user));
        let mut steps: Vec<Step> = lock.into_iter().collect();
        steps.extend(wallets::insert(&wallet, caller.mode == Mode::Test));
        if floor != 0 {
            let did = (kinds::WALLET_CREATED, &["floor"][..]);
            steps.push(self.audit_wallet(caller, account.id, did));
        }
        let unit = UnitOfWork {
            at,
            steps,
            events: vec![self.wallet_event(kinds::WALLET_CREATED, &wallet, at)?],
            receipt: None,
        };
        let creation = Creation { unit, receipt: Some(receipt), value: wallet };
        self.create_or(creation, |_| ServiceError::NotFound("user")).await
    }

    fn new_wallet_id(&self, caller: &Caller, user: Option<UserId>, at: Timestamp) -> AccountId {
        let placed_by = match (caller.placement, user) {
            (Placement::Tenant, _) => caller.tenant.0,
            (Placement::User, Some(user)) => user.0,
            (Placement::User, None) => return AccountId(self.scattered_id(at)),
        };
        AccountId(self.next_id(at, Bucket::of(&placed_by.to_be_bytes())))
    }

    fn wallet_event(
        &self,
        kind: &'static str,
        wallet: &Wallet,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let Account { id, tenant, currency, status, floor, .. } = wallet.account;
        let data = WalletData { wallet_id: id, currency, status, floor, user_id: wallet.user };
        self.event(&Subject { kind, tenant, id: id.0, text: &id, at }, &data)
    }

    pub async fn wallet(&self, caller: &Caller, id: AccountId) -> Result<Wallet, ServiceError> {
        self.find_wallet(caller, id).await?.ok_or(ServiceError::NotFound("wallet"))
    }

    pub(crate) async fn find_wallet(
        &self,
        caller: &Caller,
        id: AccountId,
    ) -> Result<Option<Wallet>, ServiceError> {
        let found = wallets::find(self.store(), caller.tenant, id).await?;
        Ok(found.filter(|wallet| caller.reach.holds(wallet)))
    }

    pub async fn list_wallets(
        &self,
        caller: &Caller,
        filter: &WalletFilter,
        window: &Window,
    ) -> Result<Page<Wallet>, ServiceError> {
        let user = match (caller.reach, filter.user) {
            (Reach::Tenant, user) => user,
            (Reach::Own(own), None) => Some(own),
            (Reach::Own(own), Some(user)) if user == own => Some(own),
            // Somebody else's are as good as none.
            (Reach::Own(_), Some(_)) => return Ok(Page { items: Vec::new(), next: None }),
        };
        let (from, before) = id_range(&window.created);
        let filter = wallets::Filter {
            tenant: caller.tenant,
            user,
            status: filter.status,
            currency: filter.currency,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let rows = wallets::list(self.store(), &filter).await?;
        Ok(window.page(rows, |wallet| (wallet.account.id.0, wallet.created_at)))
    }

    /// A page of the wallet's history, newest first; the cursor is a version.
    pub async fn entries(
        &self,
        caller: &Caller,
        id: AccountId,
        window: &Window,
    ) -> Result<Page<Entry>, ServiceError> {
        self.wallet(caller, id).await?;
        let versions = self.versions_within(id, window).await?;
        let mut rows = entries::list(self.store(), id, versions.end, window.rows()).await?;
        rows.retain(|entry| entry.version >= versions.start);
        Ok(window.page(rows, |entry| (entry.version.unsigned_abs().into(), entry.created_at)))
    }

    /// The versions of the account's entries that the window lets through: each instant is found
    /// by halving, so that no page is read in vain, however long the history.
    pub(crate) async fn versions_within(
        &self,
        id: AccountId,
        window: &Window,
    ) -> Result<Range<i64>, ServiceError> {
        let first_since = async |at: Timestamp| {
            let just_before = Timestamp::from_micros(at.micros().saturating_sub(1));
            let last = wallets::balance_at(self.store(), id, just_before).await?;
            Ok::<_, ServiceError>(last.map_or(1, |entry| entry.version + 1))
        };
        let start = match window.created.from {
            Some(from) => first_since(from).await?,
            None => 1,
        };
        let end = match window.created.before {
            Some(before) => first_since(before).await?,
            None => i64::MAX,
        };
        let cursor = window.cursor.and_then(|cursor| i64::try_from(cursor).ok());
        Ok(start..end.min(cursor.unwrap_or(i64::MAX)))
    }

    /// The balance now, or as it was at an instant.
    pub async fn balance(
        &self,
        caller: &Caller,
        id: AccountId,
        at: Option<Timestamp>,
    ) -> Result<(Wallet, Balance), ServiceError> {
        let wallet = self.wallet(caller, id).await?;
        let balance = match at {
            None => Balance::of(&wallet.account),
            Some(at) => {
                let found = wallets::balance_at(self.store(), id, at).await?;
                found.map_or(Balance::default(), |entry| Balance {
                    total: entry.balance_after,
                    held: entry.held_after,
                    pending: entry.pending_after,
                    version: entry.version,
                })
            }
        };
        Ok((wallet, balance))
    }

    /// Changes labels and floor together.
    pub async fn update_wallet(
        &self,
        caller: &Caller,
        id: AccountId,
        edit: Edit<'_, Wallet, WalletChange>,
    ) -> Result<Done<Wallet>, ServiceError> {
        let Edit { change, is_met } = edit;
        if let Some(floor) = change.floor {
            caller.require(Scope::WalletsCredit)?;
            caller.reach.require_tenant()?;
            check_floor(caller, floor)?;
            self.require_step_up(caller)?;
        }
        for _ in 0..ATTEMPTS {
            let before = self.wallet(caller, id).await?;
            if is_met.is_some_and(|is_met| !is_met(&before)) {
                return Err(ServiceError::Stale);
            }
            let wallet = changed(before, &change);
            let done = match change.floor {
                Some(_) => self.write_floor(caller, wallet, &change).await?,
                None => self.write_labels(wallet).await?,
            };
            if let Some(done) = done {
                return Ok(done);
            }
        }
        Err(caudal_domain::Refusal::Conflict.into())
    }

    /// `None`: another change came between.
    async fn write_labels(&self, wallet: Wallet) -> Result<Option<Done<Wallet>>, ServiceError> {
        let at = self.now();
        let unit = UnitOfWork {
            at,
            steps: vec![wallets::update(&wallet)],
            events: vec![self.wallet_event(kinds::WALLET_UPDATED, &wallet, at)?],
            receipt: None,
        };
        let (outcome, position) = self.commit(unit).await?;
        let done = Done { value: wallet, replayed: false, position };
        Ok((outcome == UnitOutcome::Done).then_some(done))
    }

    /// The floor is the account's, so the engine writes it, and the labels with it.
    async fn write_floor(
        &self,
        caller: &Caller,
        mut wallet: Wallet,
        change: &WalletChange,
    ) -> Result<Option<Done<Wallet>>, ServiceError> {
        let account = wallet.account.id;
        let floor = change.floor.unwrap_or_default();
        let mut command = Command::new(Movement::SetFloor { account, floor });
        let action = kinds::WALLET_UPDATED;
        command.steps.push(self.audit_wallet(caller, account, (action, &change.fields())));
        command.attachments.push(Attachment {
            row: wallets::attached(&wallet),
            expected_version: wallet.version - 1,
            write: wallets::update(&wallet),
        });
        match self.submit(wallet.account.tenant, command).await {
            Err(ServiceError::Refused(caudal_domain::Refusal::Conflict)) => Ok(None),
            Err(error) => Err(error),
            Ok(done) => {
                if let Given::Account { account, .. } = &done.value {
                    wallet.account = *account;
                }
                Ok(Some(done.map(|_| wallet)))
            }
        }
    }

    /// The record of a privileged act on a wallet.
    pub(crate) fn audit_wallet(
        &self,
        caller: &Caller,
        wallet: AccountId,
        (action, fields): (&str, &[&str]),
    ) -> Step {
        let did = Did { action, object_kind: "wallet", object_id: wallet.to_string(), fields };
        self.audit(caller, did, self.now())
    }

    /// Freezes, unfreezes or closes. An unknown wallet is refused by the engine, so that the
    /// refusal is kept with the key like any other.
    pub async fn set_wallet_status(
        &self,
        asked: Asked<'_>,
        id: AccountId,
        status: AccountStatus,
    ) -> Result<Done<Wallet>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        let mut command = Command::new(Movement::SetStatus { account: id, status });
        command.receipt = Some(receipt);
        let action = match status {
            AccountStatus::Active => kinds::WALLET_UNFROZEN,
            AccountStatus::Frozen => kinds::WALLET_FROZEN,
            AccountStatus::Closed => kinds::WALLET_CLOSED,
        };
        command.steps.push(self.audit_wallet(caller, id, (action, &["status"])));
        if let Some(Wallet { user, name, metadata, version, created_at, .. }) =
            self.find_wallet(caller, id).await?
        {
            let half = ColdHalf { user, name, metadata, version, created_at };
            command.context = Some(serde_json::to_string(&half).map_err(broken)?);
        }
        let done = self.submit(caller.tenant, command).await?;
        let Given::Account { account, context } = &done.value else {
            return Err(ServiceError::Broken("a change of an account gave a transfer".into()));
        };
        let half: ColdHalf =
            serde_json::from_str(context.as_deref().unwrap_or_default()).map_err(broken)?;
        let ColdHalf { user, name, metadata, version, created_at } = half;
        let wallet = Wallet { account: *account, user, name, metadata, version, created_at };
        Ok(done.map(|_| wallet))
    }
}

/// A wallet holder makes wallets for nobody else.
fn as_own(caller: &Caller, mut new: NewWallet) -> Result<NewWallet, ServiceError> {
    if let Reach::Own(own) = caller.reach {
        if new.user.is_some_and(|user| user != own) {
            return Err(ServiceError::BeyondReach);
        }
        new.user = Some(own);
    }
    Ok(new)
}

fn check_floor(caller: &Caller, floor: i64) -> Result<(), ServiceError> {
    if floor.checked_abs().is_none_or(|size| size > MAX_AMOUNT) {
        let detail = format!("a floor lies within ±{MAX_AMOUNT} minor units");
        return Err(ServiceError::invalid("floor", detail));
    }
    if floor != 0 {
        caller.require(Scope::WalletsCredit)?;
        caller.reach.require_tenant()?;
    }
    Ok(())
}

fn changed(mut wallet: Wallet, change: &WalletChange) -> Wallet {
    if let Some(name) = &change.name {
        wallet.name.clone_from(name);
    }
    if let Some(metadata) = &change.metadata {
        wallet.metadata.clone_from(metadata);
    }
    wallet.version += 1;
    wallet
}
