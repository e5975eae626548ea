//! Logins, refreshes and sessions as they are asked for and shown.

use caudal_domain::{Session, SessionId, Timestamp};
use caudal_service::{
    logins::{Credentials, Login},
    sessions::Tokens,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::query::Shown;

/// Without `Debug`: what is printed for debugging ends in logs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLogin, example = json!({
    "email": "ada@example.org", "password": "correct horse battery staple"
}))]
pub(crate) struct LoginRequest {
    email: String,
    #[schema(format = Password)]
    password: String,
    /// Needed where there are several.
    tenant: Option<String>,
}

impl LoginRequest {
    pub fn credentials(&self) -> Credentials<'_> {
        let Self { email, password, tenant } = self;
        Credentials { email, password, tenant: tenant.as_deref() }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRefresh, example = json!({
    "refresh_token": "rt_Zm9yIHRoZSBkb2N1bWVudDogbm90IGEgcmVhbCBvbmU"
}))]
pub(crate) struct RefreshRequest {
    pub refresh_token: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Logout, example = json!({}))]
pub(crate) struct LogoutRequest {
    /// Ends this token's session; not given, that of the access token.
    pub refresh_token: Option<String>,
}

/// What carries a session on: shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens, example = json!({
    "access_token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIs…", "token_type": "Bearer",
    "expires_in": 600, "refresh_token": "rt_Zm9yIHRoZSBkb2N1bWVudDogbm90IGEgcmVhbCBvbmU"
}))]
pub(crate) struct TokensShape<'a> {
    access_token: &'a str,
    token_type: &'static str,
    /// Seconds that the access token lives.
    expires_in: i64,
    refresh_token: &'a str,
}

impl<'a> From<&'a Tokens> for TokensShape<'a> {
    fn from(tokens: &'a Tokens) -> Self {
        Self {
            access_token: tokens.access.reveal(),
            token_type: "Bearer",
            expires_in: tokens.expires_in,
            refresh_token: tokens.refresh.reveal(),
        }
    }
}

/// The password was right, and a second factor is asked for: take it with the challenge to
/// `/auth/mfa`.
#[derive(Serialize, ToSchema)]
#[schema(as = Challenge, example = json!({
    "mfa_required": true, "challenge": "cod_Zm9yIHRoZSBkb2N1bWVudDogbm90IGEgcmVhbCBvbmU"
}))]
pub(crate) struct ChallengeShape<'a> {
    mfa_required: bool,
    challenge: &'a str,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Login)]
pub(crate) enum LoginShape<'a> {
    Done(TokensShape<'a>),
    SecondFactor(ChallengeShape<'a>),
}

impl<'a> From<&'a Login> for LoginShape<'a> {
    fn from(login: &'a Login) -> Self {
        match login {
            Login::Done(tokens) => Self::Done(tokens.into()),
            Login::SecondFactor { challenge } => {
                let challenge = challenge.reveal();
                Self::SecondFactor(ChallengeShape { mfa_required: true, challenge })
            }
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Session, example = json!({
    "id": "ses_01h455vb4pex5vsknk084sn02q", "object": "session", "is_current": true,
    "created_at": "2026-01-31T09:30:00.000000Z", "last_used_at": "2026-01-31T09:40:00.000000Z",
    "expires_at": "2026-05-01T09:30:00.000000Z", "second_factor_at": null,
    "address": "203.0.113.7", "user_agent": "Firefox"
}))]
pub(crate) struct SessionShape<'a> {
    #[schema(value_type = String)]
    id: SessionId,
    object: &'static str,
    /// Whether it is the one that asks.
    is_current: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    second_factor_at: Option<Timestamp>,
    /// Where it was last used from.
    address: Option<&'a str>,
    user_agent: Option<&'a str>,
}

impl<'a> SessionShape<'a> {
    pub fn new(session: &'a Session, current: SessionId) -> Self {
        let Session { id, created_at, last_used_at, expires_at, second_factor_at, .. } = *session;
        Self {
            id,
            object: "session",
            is_current: id == current,
            created_at,
            last_used_at,
            expires_at,
            second_factor_at,
            address: session.address.as_deref(),
            user_agent: session.user_agent.as_deref(),
        }
    }
}

impl Shown for SessionShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "is_current",
        "created_at",
        "last_used_at",
        "expires_at",
        "second_factor_at",
        "address",
        "user_agent",
    ];
}

#[cfg(test)]
mod tests {
    use caudal_domain::{TenantId, UserId};

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        let session = Session {
            id: SessionId(1),
            tenant: TenantId(1),
            user: UserId(1),
            created_at: Timestamp::default(),
            last_used_at: Timestamp::default(),
            expires_at: Timestamp::default(),
            revoked_at: None,
            address: None,
            user_agent: None,
            auth_at: Timestamp::default(),
            second_factor_at: None,
        };
        assert_fields(&SessionShape::new(&session, SessionId(1)));
    }
}
