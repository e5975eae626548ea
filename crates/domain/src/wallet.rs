//! A wallet: the account a holder sees, with its owner and labels.

use crate::{account::Account, id::UserId, text::Metadata, time::Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    pub account: Account,
    pub user: Option<UserId>,
    pub name: Option<String>,
    pub metadata: Metadata,
    pub created_at: Timestamp,
}
