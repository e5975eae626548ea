//! One-time codes of mails: found as long as they can be used. What they put into force is in the
//! files of sign-up and passwords.

use caudal_domain::{CodePurpose, TenantId, Timestamp, UserId};
use caudal_identity::opaque;
use caudal_store::{
    Step,
    codes::{self, Code},
    users::{self, UserRow},
};

use crate::{Service, ServiceError, api_keys::Secret};

/// The code as stored, if it can still be used.
pub(crate) async fn one_time_code(
    service: &Service,
    text: &Secret,
    purpose: CodePurpose,
    at: Timestamp,
) -> Result<Code, ServiceError> {
    if !opaque::has_form(opaque::Prefix::Code, text.reveal()) {
        return Err(unknown_code());
    }
    let found = codes::find(service.store(), opaque::hash(text.reveal())).await?;
    let is_good =
        |code: &Code| code.purpose == purpose && code.used_at.is_none() && at < code.expires_at;
    found.filter(is_good).ok_or_else(unknown_code)
}

/// What was asked for with an old password, or by somebody who is out now, comes to nothing: a new
/// password, another address, the other half of a login.
pub(crate) fn void_all(tenant: TenantId, user: UserId, at: Timestamp) -> [Step; 3] {
    [CodePurpose::VerifyEmail, CodePurpose::Recover, CodePurpose::MfaChallenge]
        .map(|purpose| codes::void(tenant, user, purpose, at))
}

pub(crate) async fn owner_of_code(service: &Service, code: &Code) -> Result<UserRow, ServiceError> {
    users::find(service.store(), code.tenant, code.user).await?.ok_or_else(unknown_code)
}

pub(crate) fn unknown_code() -> ServiceError {
    ServiceError::invalid("code", "is not known, was used or has expired")
}
