//! One-time codes: what somebody who was sent or shown one may do with it, once.

use serde::{Deserialize, Serialize};

use crate::tenant::names;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePurpose {
    /// Proves an address.
    VerifyEmail,
    /// Sets a new password.
    Recover,
    /// The half of a login that still needs its second factor.
    MfaChallenge,
}

names!(CodePurpose {
    VerifyEmail = "verify_email",
    Recover = "recover",
    MfaChallenge = "mfa_challenge"
});
