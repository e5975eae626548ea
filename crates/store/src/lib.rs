//! The only room that speaks SQL. Two databases, one surface: [`Store`].
//!
//! What is written once for both: every noun's reads ([`wallets`], [`transfers`], [`entries`],
//! [`events`], [`tenants`], [`api_keys`], [`books`]) and every [`UnitOfWork`]. What each database
//! does in its own way stands in `postgres/` and `sqlite/`, a file each where both do it: the batch
//! commit ([`Lane`]), connections, migrations, partitions.
//!
//! To add a noun: its tables in both `migrations/` folders, a file here with its reads and the
//! [`Step`]s that write it, its cases in `tests/conformance.rs`.

pub mod api_keys;
mod backend;
mod batch;
pub mod books;
pub mod entries;
mod error;
pub mod events;
mod postgres;
pub mod receipts;
mod settings;
mod sql;
mod sqlite;
pub mod tenants;
pub mod transfers;
mod unit_of_work;
pub mod wallets;

pub use backend::{Backend, Lane, Position, Store, open};
pub use batch::{AttachedRow, Attachment, Decide, Locked, Locks, Writes};
pub use error::StoreError;
pub use receipts::{Answer, Receipt};
pub use settings::{PoolSettings, Settings};
pub use sql::{Row, Value};
pub use unit_of_work::{Expect, Step, UnitOfWork, UnitOutcome};
