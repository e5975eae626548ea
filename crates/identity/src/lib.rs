//! What proves who somebody is: no database, no HTTP, no clock and no chance of its own.
//!
//! [`email`] and [`passwords`] are what people bring, [`totp`] and [`opaque`] what they carry,
//! [`tokens`] and [`foreign`] what vouches for them afterwards, and [`vault`] keeps all of it
//! unreadable at rest. Deciding who may do what is left to `service`.

pub mod common_passwords;
pub mod email;
pub mod foreign;
pub mod jws;
pub mod opaque;
pub mod passwords;
pub mod pool;
pub mod tokens;
pub mod totp;
pub mod vault;
pub mod webhooks;

#[cfg(test)]
mod testing;

pub use self::passwords::{HashError, HashSettings, Hasher, Password, PasswordRule};
pub use email::{Email, EmailError};
pub use foreign::{ForeignClaims, ForeignExpected, ForeignKeys};
pub use tokens::{Claims, Expected, KeySet, PublicKey, SigningAlgorithm, SigningKey, TokenError};
pub use vault::{Binding, LookupKey, PersonKey, Vault, VaultError, VaultSettingError, lookup_hash};
