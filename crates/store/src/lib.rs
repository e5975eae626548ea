//! The only room that speaks SQL. Two databases, one surface: [`Store`].
//!
//! What is written once for both: every noun's reads ([`wallets`], [`transfers`], [`entries`],
//! [`events`], [`tenants`], [`api_keys`], [`books`]; of people [`users`], [`person_keys`],
//! [`sessions`], [`codes`], [`second_factors`], [`roles`], [`service_accounts`], [`signing_keys`],
//! [`vault_keys`], [`audit`], [`mails`]) and every [`UnitOfWork`]. What each database does in its
//! own way stands in `postgres/` and `sqlite/`, a file each where both do it: the batch commit
//! ([`Lane`]), connections, migrations, partitions.
//!
//! To add a noun: its tables in both `migrations/` folders, a file here with its reads and the
//! [`Step`]s that write it, its cases in `tests/conformance.rs`.

pub mod api_keys;
pub mod audit;
mod backend;
mod batch;
pub mod books;
pub mod codes;
pub mod entries;
mod error;
pub mod events;
pub mod mails;
pub mod person_keys;
mod postgres;
pub mod receipts;
pub mod roles;
pub mod second_factors;
pub mod service_accounts;
pub mod sessions;
mod settings;
pub mod signing_keys;
mod sql;
mod sqlite;
pub mod tenants;
pub mod transfers;
mod unit_of_work;
pub mod users;
pub mod vault_keys;
pub mod wallets;

pub use backend::{Backend, Lane, Position, Store, open};
pub use batch::{AttachedRow, Attachment, Decide, Locked, Locks, Writes};
pub use error::StoreError;
pub use receipts::{Answer, Receipt};
pub use settings::{PoolSettings, Settings};
pub use sql::{Row, Value};
pub use unit_of_work::{Expect, Step, UnitOfWork, UnitOutcome};
