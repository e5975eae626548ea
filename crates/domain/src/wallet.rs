//! A wallet: the account a holder sees, with its owner and labels.

use serde::{Deserialize, Serialize};

use crate::{account::Account, id::UserId, text::Metadata, time::Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    pub account: Account,
    pub user: Option<UserId>,
    pub name: Option<String>,
    pub metadata: Metadata,
    /// Counts changes of user, name, metadata and floor, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
}
