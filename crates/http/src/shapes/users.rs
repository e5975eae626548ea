//! Users, their passwords and what is held of them, as asked for and shown.

use std::fmt;

use caudal_domain::{
    AccountId, AuditRecord, Mail, RoleRef, Session, TenantId, Timestamp, User, UserId,
};
use caudal_service::{
    api_keys::Secret,
    export::Export,
    passwords::{NewPassword, Recovery},
    profiles::ProfileChange,
    users::NewUser,
};
use serde::{Deserialize, Deserializer, Serialize, de, de::Visitor};
use utoipa::ToSchema;

use super::{check_name, given, notifications::NotificationShape};
use crate::{problem::Problem, query::Shown};

/// A text that is never said again: not by `Debug`, not in the problem of a wrong type.
#[derive(Clone)]
pub(crate) struct Private(String);

impl From<Private> for Secret {
    fn from(private: Private) -> Self {
        Self::new(private.0)
    }
}

impl<'de> Deserialize<'de> for Private {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

struct Text;

/// The usual errors of a visitor repeat what was found.
macro_rules! refuse {
    ($($visit:ident($type:ty)),*) => {
        $(fn $visit<E: de::Error>(self, _: $type) -> Result<Private, E> {
            Err(E::custom("must be a text"))
        })*
    };
}

impl<'de> Visitor<'de> for Text {
    type Value = Private;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Private, E> {
        Ok(Private(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Private, E> {
        Ok(Private(text))
    }

    refuse! { visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64) }

    fn visit_unit<E: de::Error>(self) -> Result<Private, E> {
        Err(E::custom("must be a text"))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser, example = json!({
    "email": "ada@example.org", "password": "correct horse battery staple", "name": "Ada"
}))]
pub(crate) struct UserRequest {
    #[schema(value_type = String, format = Email)]
    email: Private,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    password: Private,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    name: Option<Private>,
    /// Of a sign-up: where. The only tenant when not given.
    tenant: Option<String>,
}

impl UserRequest {
    pub fn tenant(&self) -> Result<Option<TenantId>, Problem> {
        read_tenant(self.tenant.as_deref())
    }

    pub fn into_new(self) -> Result<NewUser, Problem> {
        if self.tenant.is_some() {
            return Err(Problem::invalid("tenant", "is that of the credentials"));
        }
        self.into_sign_up()
    }

    pub fn into_sign_up(self) -> Result<NewUser, Problem> {
        let Self { email, password, name, tenant: _ } = self;
        if let Some(name) = &name {
            check_name("name", &name.0)?;
        }
        let name = name.map(Secret::from);
        Ok(NewUser { email: email.into(), password: password.into(), name })
    }
}

/// A malformed id is as unknown as any other.
fn read_tenant(text: Option<&str>) -> Result<Option<TenantId>, Problem> {
    text.map(|id| id.parse().map_err(|_| Problem::not_found("tenant"))).transpose()
}

/// What is not given stays; a name of null is taken away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileChange, example = json!({"name": "Ada Lovelace"}))]
pub(crate) struct ProfilePatch {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    name: Option<Option<Private>>,
    /// In force once the code that is sent to it was used. Needs the password.
    #[schema(value_type = Option<String>, format = Email)]
    email: Option<Private>,
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Private>,
}

impl ProfilePatch {
    pub fn into_change(self) -> Result<ProfileChange, Problem> {
        let Self { name, email, password } = self;
        if let Some(Some(name)) = &name {
            check_name("name", &name.0)?;
        }
        Ok(ProfileChange {
            name: name.map(|name| name.map(Secret::from)),
            email: email.map(Secret::from),
            password: password.map(Secret::from),
        })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange, example = json!({
    "current": "correct horse battery staple", "new": "staple battery horse correct"
}))]
pub(crate) struct PasswordRequest {
    #[schema(value_type = String, format = Password)]
    current: Private,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    new: Private,
}

impl From<PasswordRequest> for NewPassword {
    fn from(request: PasswordRequest) -> Self {
        Self { proof: request.current.into(), password: request.new.into() }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VerifyEmail, example = json!({"code": "cod_…"}))]
pub(crate) struct VerifyRequest {
    #[schema(value_type = String)]
    pub code: Private,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Recover, example = json!({"email": "ada@example.org"}))]
pub(crate) struct RecoverRequest {
    #[schema(value_type = String, format = Email)]
    email: Private,
    /// The only tenant when not given.
    tenant: Option<String>,
}

impl RecoverRequest {
    pub fn into_recovery(self) -> Result<Recovery, Problem> {
        let tenant = read_tenant(self.tenant.as_deref())?;
        Ok(Recovery { email: self.email.into(), tenant })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConfirmRecovery, example = json!({
    "code": "cod_…", "password": "correct horse battery staple"
}))]
pub(crate) struct ConfirmRequest {
    #[schema(value_type = String)]
    code: Private,
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    password: Private,
}

impl From<ConfirmRequest> for NewPassword {
    fn from(request: ConfirmRequest) -> Self {
        Self { proof: request.code.into(), password: request.password.into() }
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Erase, example = json!({"password": "correct horse battery staple"}))]
pub(crate) struct EraseRequest {
    /// Whoever has none needs a fresh login instead.
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<Private>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = User, example = json!({
    "id": "usr_01h455vb4pex5vsknk084sn02q", "object": "user", "status": "active",
    "email": "ada@example.org", "name": "Ada", "email_verified_at": null,
    "roles": ["wallet_holder"], "created_at": "2026-01-31T09:30:00Z"
}))]
pub(crate) struct UserShape<'a> {
    #[schema(value_type = String)]
    id: UserId,
    object: &'static str,
    /// `pending`, `active`, `deactivated` or `erased`.
    status: &'static str,
    email: Option<&'a str>,
    name: Option<&'a str>,
    #[schema(value_type = Option<String>)]
    email_verified_at: Option<Timestamp>,
    #[schema(value_type = Vec<String>)]
    roles: &'a [RoleRef],
    #[schema(value_type = String)]
    created_at: Timestamp,
}

impl<'a> From<&'a User> for UserShape<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            object: "user",
            status: user.status.name(),
            email: user.email.as_deref(),
            name: user.name.as_deref(),
            email_verified_at: user.email_verified_at,
            roles: &user.roles,
            created_at: user.created_at,
        }
    }
}

impl Shown for UserShape<'_> {
    const FIELDS: &'static [&'static str] =
        &["id", "object", "status", "email", "name", "email_verified_at", "roles", "created_at"];
}

/// All that is held of one person.
#[derive(Serialize, ToSchema)]
#[schema(as = UserExport)]
pub(crate) struct ExportShape<'a> {
    user: UserShape<'a>,
    has_password: bool,
    issuer: Option<&'a str>,
    subject: Option<&'a str>,
    has_second_factor: bool,
    recovery_codes_left: i64,
    #[schema(value_type = Vec<Object>)]
    sessions: &'a [Session],
    #[schema(value_type = Vec<String>)]
    wallets: &'a [AccountId],
    /// What they did.
    #[schema(value_type = Vec<Object>)]
    audit: &'a [AuditRecord],
    /// Written to them: when and why.
    #[schema(value_type = Vec<Object>)]
    mails: &'a [Mail],
    /// Told to them in the app.
    notifications: Vec<NotificationShape<'a>>,
}

impl<'a> From<&'a Export> for ExportShape<'a> {
    fn from(export: &'a Export) -> Self {
        let foreign = export.foreign.as_ref();
        Self {
            user: UserShape::from(&export.user),
            has_password: export.has_password,
            issuer: foreign.map(|(issuer, _)| issuer.as_str()),
            subject: foreign.map(|(_, subject)| subject.as_str()),
            has_second_factor: export.has_second_factor,
            recovery_codes_left: export.recovery_codes_left,
            sessions: &export.sessions,
            wallets: &export.wallets,
            audit: &export.audit,
            mails: &export.mails,
            notifications: export.notifications.iter().map(NotificationShape::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_not_in_the_problem() {
        for body in ["{\"code\": 123456789}", "{\"code\": true}", "{\"code\": [\"123456789\"]}"] {
            let problem = serde_json::from_str::<VerifyRequest>(body).err().expect(body);
            let said = problem.to_string();
            assert!(!said.contains("123456789") && !said.contains("true"), "{said}");
        }
    }
}
