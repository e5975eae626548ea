//! A service account: a program that acts through API keys. Idempotency keys are the account's, so
//! that a rotated API key replays what the one before it did.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ServiceAccountId, TenantId},
    time::Timestamp,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    pub id: ServiceAccountId,
    pub tenant: TenantId,
    pub name: String,
    /// Counts changes, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
}
