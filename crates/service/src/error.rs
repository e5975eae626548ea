//! Why a use case did not give what was asked: one list, mapped to HTTP once.

use caudal_cache::limits::Verdict;
use caudal_domain::{Refusal, access::Scope};
use caudal_engine::EngineError;
use caudal_store::StoreError;

use crate::payments::Declined;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Decided against; stored with the idempotency key.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Decided against before, under the same idempotency key; said again.
    #[error(transparent)]
    RefusedBefore(Refusal),
    /// A payment was made and came to nothing.
    #[error("the payment was declined: {}", .0.decline_code.as_ref().unwrap_or(&.0.code))]
    Declined(Box<Declined>),
    /// The request can't mean anything.
    #[error("{param}: {detail}")]
    Invalid { param: String, detail: String },
    /// The noun that is not there, or is another tenant's.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// `If-Match` named another version.
    #[error("it changed since it was read")]
    Stale,
    #[error("this needs the scope {0}")]
    Forbidden(Scope),
    /// A wallet holder asked for more than what is their own.
    #[error("this reaches past what is your own")]
    BeyondReach,
    /// Whoever pays does not decide on the review of it.
    #[error("nobody decides on a payment of their own")]
    OwnPayment,
    /// What comes with Caudal is the same for all.
    #[error("system roles can't be changed")]
    SystemRole,
    #[error("the credentials are not valid")]
    Unauthorized,
    /// A webhook that is not the gateway's own, or too old.
    #[error("{0}")]
    BadSignature(String),
    /// A login that failed, whatever the reason.
    #[error("the e-mail address, password or code is not right")]
    BadCredentials,
    /// An API key asked for what only a user has: a profile, sessions.
    #[error("this is for users, and an API key is none")]
    NotAUser,
    /// Of somebody who is signed in, asked for again.
    #[error("the password is not right, or the account is locked for a while")]
    WrongPassword,
    /// Signed in too long ago for this.
    #[error("this needs a fresh proof of who you are: see /auth/step-up")]
    StepUpRequired,
    /// Of somebody signed in: the password or code that was asked for again.
    #[error("the password or code is not right")]
    WrongProof,
    /// Not with the second factor as it is.
    #[error("{0}")]
    SecondFactorState(&'static str),
    /// More often than this caller, account or address may; what is left and when.
    #[error("too many requests: try again in {} s", .0.retry_after.as_secs() + 1)]
    RateLimited(Verdict),
    #[error("too many requests are waiting")]
    Overloaded,
    #[error("the first request with this key is still being answered")]
    InFlight,
    #[error("{0}")]
    Unavailable(String),
    /// A bug, or books that somebody else has written in.
    #[error("{0}")]
    Broken(String),
}

impl ServiceError {
    pub fn invalid(param: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { param: param.into(), detail: detail.into() }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Contention(_) | StoreError::Unknown(_) => {
                tracing::warn!(%error, "the store failed");
                Self::Unavailable("the database can't be reached now".into())
            }
            StoreError::Rejected(_) => {
                tracing::error!(%error, "BUG: the database refused a value that the door let in");
                Self::Refused(Refusal::Rejected)
            }
            StoreError::Inconsistent { .. } => {
                tracing::error!(%error, "BUG: a row does not mean what is expected");
                Self::Broken("the stored data is not as expected".into())
            }
        }
    }
}

impl From<EngineError> for ServiceError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Overloaded => Self::Overloaded,
            EngineError::InFlight => Self::InFlight,
            EngineError::Unavailable(_) => {
                Self::Unavailable("the request could not be committed; try again".into())
            }
            EngineError::Unknown(_) => Self::Unavailable(
                "whether the request was committed is not known; the same key will tell".into(),
            ),
        }
    }
}
