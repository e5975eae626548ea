//! Caudal's nouns. Plain values with their rules; no I/O, no async, no clock, no chance.
//!
//! Reading order: [`id`] (an id says when and where its row lives), [`money`], [`time`], then the
//! nouns: [`tenant`], [`account`], [`wallet`], [`transfer`], [`event`], and [`refusal`], the one
//! list of reasons for which Caudal says no.

pub mod access;
pub mod account;
pub mod event;
pub mod id;
pub mod key;
pub mod money;
pub mod refusal;
pub mod tenant;
pub mod text;
pub mod time;
pub mod transfer;
pub mod wallet;

pub use account::{Account, AccountKind, AccountStatus};
pub use event::Event;
pub use id::{AccountId, ApiKeyId, Bucket, EventId, IdSource, TenantId, TransferId, UserId};
pub use key::{Fingerprint, ReceiptKey};
pub use money::{Amount, Currency, MAX_AMOUNT};
pub use refusal::Refusal;
pub use tenant::{Mode, Placement, Tenant};
pub use time::{Clock, Timestamp};
pub use transfer::{Entry, Leg, Transfer, TransferKind, TransferStatus};
pub use wallet::Wallet;
