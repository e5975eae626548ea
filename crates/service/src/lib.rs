//! Use cases: one method, one unit of work. Knows who asks and what is asked, not how (no HTTP),
//! and decides nothing about money: that is the ledger's, behind the engine.
//!
//! Reading order: [`access`] (who asks), [`asked`] (receipts, pages, what came of it), then a file
//! per noun: [`tenants`], [`api_keys`], [`wallets`], [`transfers`], [`events`]; and the keeping of
//! the house: [`sweep`], [`reconcile`], [`rebuild`], `bootstrap`.
//!
//! To add a use case: a method on [`Service`] in its noun's file. Money goes through
//! `Service::submit`, everything else through `Service::commit`.

pub mod access;
mod acting;
pub mod api_keys;
pub mod asked;
pub mod audit;
pub mod bank_movements;
mod bootstrap;
mod chart;
mod codes;
pub mod deliveries;
pub mod disputes;
mod erasure;
mod error;
pub mod events;
pub mod exchanges;
pub mod export;
pub mod fraud_rules;
pub mod gateway_accounts;
mod guesses;
mod incoming_webhooks;
pub mod issuers;
mod key_uses;
pub mod limits;
pub mod logins;
pub mod mails;
pub mod notices;
pub mod notifications;
mod ownership;
pub mod passwords;
pub mod payment_saga;
pub mod payment_types;
pub mod payments;
pub mod payouts;
pub mod people;
mod personal;
pub mod profiles;
mod purge;
pub mod quotes;
pub mod rates;
pub mod rebuild;
mod rebuild_reports;
pub mod reconcile;
pub mod refunds;
pub mod reports;
pub mod reseal;
pub mod roles;
pub mod schedules;
mod screening;
pub mod second_factor;
pub mod service_accounts;
pub mod sessions;
pub mod settlements;
pub mod sign_up;
pub mod signing_keys;
mod standings;
pub mod step_up;
pub mod sweep;
pub mod tenants;
mod tokens;
pub mod transfers;
mod turns;
mod unit;
pub mod uploads;
pub mod users;
mod velocity_turns;
pub mod wallet_tiers;
pub mod wallets;
pub mod webhook_endpoints;
mod whose_event;

use std::sync::{Arc, Mutex, PoisonError};

pub use access::{Caller, Known, Origin, Reach, SignedIn};
pub use asked::{Asked, Done, Edit, Page, Position, ReceiptOf, Span, Window};
pub use bootstrap::{Bootstrap, OWNER};
use caudal_domain::{
    Bucket, Clock, IdSource, Timestamp,
    id::{Chance, lowest_at},
};
use caudal_engine::Engine;
use caudal_gateway::Surroundings;
use caudal_outbound::Webhooks;
use caudal_store::Store;
pub use error::ServiceError;
use key_uses::KeyUses;
pub use people::People;

/// What a [`Service`] is made of.
pub struct Parts {
    pub store: Store,
    pub engine: Engine,
    pub clock: Arc<dyn Clock>,
    pub ids: Box<dyn IdSource>,
    /// For secrets.
    pub chance: Arc<dyn Chance>,
    pub people: People,
    /// What accounts at gateways are opened in.
    pub gateways: Surroundings,
    /// Where gateways that can be told reach this platform.
    pub webhooks_url: String,
    pub webhooks: Webhooks,
    pub payments_pool: payment_saga::PoolSettings,
}

/// All use cases. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    engine: Engine,
    clock: Arc<dyn Clock>,
    ids: Mutex<Box<dyn IdSource>>,
    chance: Arc<dyn Chance>,
    known_keys: access::KnownKeys,
    people: People,
    webhooks: Webhooks,
    tokens: tokens::Remembered,
    /// Hashes addresses; read from the database once.
    lookup_key: tokio::sync::OnceCell<caudal_identity::LookupKey>,
    /// Hashes recovery codes, likewise.
    recovery_key: tokio::sync::OnceCell<caudal_identity::LookupKey>,
    hub: Arc<events::Hub>,
    owners: ownership::Owners,
    opened_accounts: payments::OpenedAccounts,
    payments_pool: payment_saga::Pool,
    seam: payment_saga::Seam,
    refund_turns: turns::Turns,
    charts: chart::Charts,
    gateways: gateway_accounts::Gateways,
    payment_types: payment_types::KnownTypes,
    rules: screening::KnownRules,
    configs: tenants::KnownConfigs,
    turns: turns::Turns,
    velocity_turns: turns::Turns,
    key_uses: KeyUses,
}

impl Service {
    pub fn new(parts: Parts) -> Self {
        let Parts { store, engine, clock, ids, chance, people, gateways, .. } = parts;
        let Parts { webhooks_url, webhooks, payments_pool, .. } = parts;
        let hub = Arc::new(events::Hub::new(store.clone()));
        let known_keys = access::KnownKeys::new();
        let ids = Mutex::new(ids);
        let lookup_key = tokio::sync::OnceCell::new();
        let (owners, key_uses) = (ownership::Owners::new(), KeyUses::new(store.clone()));
        let inner = Inner {
            store,
            engine,
            clock,
            ids,
            chance,
            known_keys,
            people,
            webhooks,
            tokens: tokens::Remembered::new(),
            lookup_key,
            recovery_key: tokio::sync::OnceCell::new(),
            hub,
            owners,
            payments_pool: payment_saga::Pool::new(payments_pool),
            seam: payment_saga::Seam::default(),
            refund_turns: turns::Turns::new(),
            opened_accounts: moka::sync::Cache::new(payments::OPENED_MOST),
            charts: chart::Charts::new(),
            gateways: gateway_accounts::Gateways::new(gateways, webhooks_url),
            payment_types: payment_types::KnownTypes::new(),
            rules: screening::KnownRules::new(),
            configs: tenants::KnownConfigs::new(),
            turns: turns::Turns::new(),
            velocity_turns: turns::Turns::new(),
            key_uses,
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Commands waiting in the engine, and the most there may be.
    pub fn queued(&self) -> (usize, usize) {
        self.inner.engine.queued()
    }

    /// Workers that run payments for requests and are at work, and payments that wait for one.
    pub fn paying(&self) -> (usize, usize) {
        self.inner.payments_pool.busy()
    }

    /// Database connections in use, and the most there may be.
    pub fn database_connections(&self) -> (usize, usize) {
        self.inner.store.connections()
    }

    /// Whether the database answers.
    pub async fn check_database(&self) -> Result<(), ServiceError> {
        caudal_store::events::heads(self.store()).await?;
        Ok(())
    }

    /// Random bytes, for what must not be guessed or met twice.
    pub fn fill_random(&self, buffer: &mut [u8]) {
        self.inner.chance.fill(buffer);
    }

    pub(crate) fn people(&self) -> &People {
        &self.inner.people
    }

    pub(crate) fn webhooks(&self) -> &Webhooks {
        &self.inner.webhooks
    }

    pub(crate) fn store(&self) -> &dyn caudal_store::Backend {
        self.inner.store.as_ref()
    }

    pub(crate) fn next_id(&self, at: Timestamp, bucket: Bucket) -> u128 {
        self.inner.ids.lock().unwrap_or_else(PoisonError::into_inner).next(at, bucket)
    }

    /// An id whose bucket is chance: the hash of the id itself.
    pub(crate) fn scattered_id(&self, at: Timestamp) -> u128 {
        let id = self.next_id(at, Bucket(0));
        id | u128::from(Bucket::of(&id.to_be_bytes()).0)
    }
}

/// The ids from which and below which a list of the span reads, wide by up to a millisecond, for
/// that is all that ids know.
pub(crate) fn id_range(span: &Span) -> (u128, u128) {
    let round_up = |at: Timestamp| Timestamp::from_micros(at.micros().saturating_add(999));
    let from = span.from.map_or(0, lowest_at);
    let before = span.before.map_or(u128::MAX, |at| lowest_at(round_up(at)));
    (from, before)
}
