//! What the use cases of people are made of: secrets, passwords, mails, limits, and their settings.

use std::time::Duration;

use caudal_cache::limits::Limiter;
use caudal_identity::{Hasher, SigningAlgorithm, Vault};
use caudal_outbound::{BreachedPasswords, Issuers, Mailer};

use crate::issuers::TrustedIssuer;

/// Made once, when the process starts.
pub struct People {
    pub vault: Vault,
    pub hasher: Hasher,
    pub mailer: Mailer,
    /// Asked besides the list of common passwords; `None`: not asked.
    pub breached_passwords: Option<BreachedPasswords>,
    pub issuers: Issuers,
    pub limiter: Limiter,
    pub settings: PeopleSettings,
}

#[derive(Clone, Debug)]
pub struct PeopleSettings {
    /// Where users reach this platform: the tokens' `iss`, and the links in mails.
    pub public_url: String,
    /// The tokens' `aud`.
    pub audience: String,
    pub signing_algorithm: SigningAlgorithm,
    /// Foreign issuers whose tokens are believed.
    pub issuers: Vec<TrustedIssuer>,
    /// How long a key signs; it goes on verifying for one more token's lifetime.
    pub signing_key_lifetime: Duration,
    pub access_token_lifetime: Duration,
    /// Between two refreshes at most.
    pub refresh_token_lifetime: Duration,
    /// However often it is refreshed.
    pub session_lifetime: Duration,
    /// For so long a refresh token that was used works again, for an answer that got lost.
    pub refresh_grace: Duration,
    /// Failed logins in a row that lock an account, and for how long.
    pub lockout_failures: i64,
    pub lockout: Duration,
    /// A second factor given earlier than this is asked for again before sensitive operations.
    pub step_up_within: Duration,
    /// A transfer from this amount on, in minor units, is one; `None`: none is.
    pub step_up_amount_minor: Option<i64>,
    /// Whether a password passes that nobody could check.
    pub breach_check_fails_open: bool,
    pub rate_limits: bool,
    /// Whether mails that went to the log may be read: in development.
    pub shows_mails: bool,
}

impl Default for PeopleSettings {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 3600;
        Self {
            public_url: "http://127.0.0.1:8080".into(),
            audience: "caudal".into(),
            signing_algorithm: SigningAlgorithm::EdDsa,
            issuers: Vec::new(),
            signing_key_lifetime: Duration::from_secs(30 * DAY),
            access_token_lifetime: Duration::from_secs(10 * MINUTE),
            refresh_token_lifetime: Duration::from_secs(30 * DAY),
            session_lifetime: Duration::from_secs(90 * DAY),
            refresh_grace: Duration::from_secs(10),
            lockout_failures: 10,
            lockout: Duration::from_secs(15 * MINUTE),
            step_up_within: Duration::from_secs(5 * MINUTE),
            step_up_amount_minor: None,
            breach_check_fails_open: true,
            rate_limits: true,
            shows_mails: false,
        }
    }
}
