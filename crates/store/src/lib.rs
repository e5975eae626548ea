//! The only room that speaks SQL. Two databases, one surface: [`Store`].
//!
//! What is written once for both: every noun's reads ([`wallets`], [`transfers`], [`entries`],
//! [`events`], [`tenants`], [`api_keys`], [`books`]; of people [`users`], [`person_keys`],
//! [`sessions`], [`codes`], [`second_factors`], [`roles`], [`service_accounts`], [`signing_keys`],
//! [`vault_keys`], [`audit`], [`mails`]; of payments [`payments`], [`refunds`], [`disputes`],
//! [`payouts`], [`sagas`], [`payment_attempts`], [`payment_types`], [`gateway_accounts`],
//! [`fraud_rules`], [`velocity`], [`velocity_turns`], [`wallet_tiers`], [`incoming_webhooks`],
//! [`webhook_endpoints`], [`deliveries`],
//! [`notifications`], [`schedules`], [`uploads`], [`rates`], [`quotes`], [`inbox`], [`reports`],
//! [`settlements`])
//! and every
//! [`UnitOfWork`]. What each database does in its own way stands in `postgres/` and `sqlite/`, a
//! file each where both do it: the batch commit ([`Lane`]), connections, migrations, partitions,
//! look-ups of single accounts ([`Backend::account`]).
//!
//! To add a noun: its tables in both `migrations/` folders, a file here with its reads and the
//! [`Step`]s that write it, its cases in `tests/conformance.rs`.

pub mod api_keys;
pub mod audit;
mod backend;
mod batch;
pub mod books;
pub mod codes;
pub mod deliveries;
pub mod disputes;
pub mod entries;
mod error;
pub mod events;
pub mod fraud_rules;
pub mod gateway_accounts;
pub mod guesses;
pub mod inbox;
pub mod incoming_webhooks;
mod known;
pub mod mails;
mod measures;
pub mod notifications;
pub mod payment_attempts;
pub mod payment_types;
pub mod payments;
pub mod payouts;
pub mod person_keys;
mod postgres;
pub mod quotes;
pub mod rates;
pub mod receipts;
mod recent_events;
pub mod refunds;
pub mod reports;
pub mod roles;
pub mod sagas;
pub mod schedules;
pub mod second_factors;
mod select;
pub mod service_accounts;
pub mod sessions;
mod settings;
pub mod settlements;
pub mod signing_keys;
mod sql;
mod sqlite;
pub mod tenants;
pub mod transfers;
mod unit_of_work;
pub mod uploads;
pub mod users;
pub mod vault_keys;
pub mod velocity;
pub mod velocity_turns;
pub mod wallet_tiers;
pub mod wallets;
pub mod webhook_endpoints;

pub use backend::{Backend, Lane, Position, Store, is_exposed, open};
pub use batch::{AttachedRow, Attachment, Decide, Locked, Locks, Writes};
pub use error::StoreError;
pub use receipts::{Answer, Receipt};
pub use recent_events::RecentEvents;
pub use settings::{PoolSettings, Settings};
pub use sql::{Row, Value};
pub use unit_of_work::{Expect, OfLists, Step, UnitOfWork, UnitOutcome};
