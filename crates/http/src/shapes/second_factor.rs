//! Second factors as they are asked for and shown. Nothing here is ever printed: no `Debug`.

use caudal_service::{
    api_keys::Secret,
    second_factor::{Proof, TotpProposal},
    step_up::SteppedUp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// No code has more characters, however it is typed.
const CODE_BYTES: usize = 64;

fn code(text: String) -> Result<Secret, Problem> {
    match text.len() {
        1..=CODE_BYTES => Ok(Secret::new(text)),
        _ => Err(Problem::invalid("code", "is no code")),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTotp, example = json!({"password": "correct horse battery"}))]
pub(crate) struct TotpRequest {
    password: String,
}

impl TotpRequest {
    pub fn into_password(self) -> Secret {
        Secret::new(self.password)
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TotpCode, example = json!({"code": "123456"}))]
pub(crate) struct CodeRequest {
    code: String,
}

impl CodeRequest {
    pub fn into_code(self) -> Result<Secret, Problem> {
        code(self.code)
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TotpRemoval, example = json!({
    "password": "correct horse battery", "code": "123456"
}))]
pub(crate) struct RemovalRequest {
    password: String,
    /// Of the app, or a recovery code.
    code: String,
}

impl RemovalRequest {
    pub fn into_parts(self) -> Result<(Secret, Secret), Problem> {
        Ok((Secret::new(self.password), code(self.code)?))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MfaAnswer, example = json!({
    "challenge": "cod_0Fg0Sh1eLr9vQ1pXkq4Y2u3Jw5Zt6Nn7Bb8Cc9Dd0Ee", "code": "123456"
}))]
pub(crate) struct MfaRequest {
    /// As the login gave it.
    challenge: String,
    /// Of the app, or a recovery code.
    code: String,
}

impl MfaRequest {
    pub fn into_parts(self) -> Result<(String, Secret), Problem> {
        Ok((self.challenge, code(self.code)?))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StepUp, example = json!({"code": "123456"}))]
pub(crate) struct StepUpRequest {
    /// Of the app, or a recovery code.
    code: Option<String>,
    /// Where there is no second factor.
    password: Option<String>,
}

impl StepUpRequest {
    pub fn into_proof(self) -> Result<Proof, Problem> {
        match (self.code, self.password) {
            (Some(given), None) => code(given).map(Proof::Code),
            (None, Some(password)) => Ok(Proof::Password(Secret::new(password))),
            _ => Err(Problem::invalid("code", "give either code or password")),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Totp, example = json!({
    "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
    "otpauth_uri": "otpauth://totp/Caudal:ada%40example.org?secret=GEZDGNBVGY3TQOJQ…&issuer=Caudal"
}))]
pub(crate) struct TotpShape<'a> {
    /// Base32, for apps without a camera.
    secret: &'a str,
    /// For a QR code.
    otpauth_uri: &'a str,
}

impl<'a> From<&'a TotpProposal> for TotpShape<'a> {
    fn from(proposal: &'a TotpProposal) -> Self {
        let TotpProposal { secret, otpauth_uri } = proposal;
        Self { secret: secret.reveal(), otpauth_uri: otpauth_uri.reveal() }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCodes, example = json!({"recovery_codes": ["0123-4567-89ab"]}))]
pub(crate) struct RecoveryCodesShape<'a> {
    /// Shown once; each works once in place of a code.
    recovery_codes: Vec<&'a str>,
}

impl<'a> From<&'a Vec<Secret>> for RecoveryCodesShape<'a> {
    fn from(codes: &'a Vec<Secret>) -> Self {
        Self { recovery_codes: codes.iter().map(Secret::reveal).collect() }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = SteppedUp, example = json!({
    "access_token": "eyJ…", "token_type": "Bearer", "expires_in": 600
}))]
pub(crate) struct SteppedUpShape<'a> {
    /// Of the same session, whose refresh token stays as it is.
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
}

impl<'a> From<&'a SteppedUp> for SteppedUpShape<'a> {
    fn from(stepped_up: &'a SteppedUp) -> Self {
        let SteppedUp { access, expires_in } = stepped_up;
        Self { access_token: access.reveal(), token_type: "Bearer", expires_in: *expires_in }
    }
}
