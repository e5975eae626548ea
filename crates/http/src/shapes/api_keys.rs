//! API keys as they are asked for and shown.

use caudal_domain::{
    ApiKeyId, ServiceAccountId, Timestamp,
    access::{ApiKey, Scope},
};
use caudal_service::api_keys::{NewApiKey, Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{audit::ActorShape, check_name};
use crate::{problem::Problem, query::Shown};

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey, example = json!({"name": "shop", "scopes": ["transfers:write"]}))]
pub(crate) struct ApiKeyRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Such as the maker of the key has.
    #[schema(value_type = Vec<String>, min_items = 1)]
    scopes: Vec<Scope>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Whom it acts for; none: it is its own account.
    service_account_id: Option<String>,
}

impl ApiKeyRequest {
    pub fn into_new(self) -> Result<NewApiKey, Problem> {
        let Self { name, scopes, expires_at, service_account_id } = self;
        check_name("name", &name)?;
        if scopes.is_empty() {
            return Err(Problem::invalid("scopes", "a key without scopes opens nothing"));
        }
        let account = service_account_id.map(|id| id.parse::<ServiceAccountId>()).transpose();
        let service_account = account.map_err(|_| Problem::not_found("service_account"))?;
        Ok(NewApiKey { name, scopes, expires_at, service_account })
    }
}

/// How long the old key works on.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyRotation, example = json!({"overlap_s": 3600}))]
pub(crate) struct ApiKeyRotation {
    /// Seconds; a day, if not given. A key that ends sooner still does.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_s: Option<i64>,
}

const DAY_S: i64 = 24 * 3600;

impl ApiKeyRotation {
    pub fn overlap_s(&self) -> Result<i64, Problem> {
        let overlap_s = self.overlap_s.unwrap_or(DAY_S);
        match (0..=7 * DAY_S).contains(&overlap_s) {
            true => Ok(overlap_s),
            false => Err(Problem::invalid("overlap_s", "0 to 604800 seconds: a week")),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyChange, example = json!({"name": "till"}))]
pub(crate) struct ApiKeyPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl ApiKeyPatch {
    pub fn into_name(self) -> Result<String, Problem> {
        check_name("name", &self.name)?;
        Ok(self.name)
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey, example = json!({
    "id": "key_01h455vb4pex5vsknk084sn02q", "object": "api_key", "name": "shop",
    "scopes": ["transfers:write"], "created_at": "2026-01-31T09:30:00.000000Z",
    "expires_at": null, "revoked_at": null, "service_account_id": null, "rotated_to": null,
    "last_used_at": "2026-01-31T10:00:00.000000Z",
    "made_by": {"kind": "user", "id": "usr_01h455vb4pex5vsknk084sn02q"}
}))]
pub(crate) struct ApiKeyShape<'a> {
    #[schema(value_type = String)]
    id: ApiKeyId,
    object: &'static str,
    /// The secret: only in the first answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    name: &'a str,
    #[schema(value_type = Vec<String>)]
    scopes: &'a [Scope],
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    service_account_id: Option<ServiceAccountId>,
    /// The key that takes its place.
    #[schema(value_type = Option<String>)]
    rotated_to: Option<ApiKeyId>,
    /// To within a minute or two.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// The user or the key that made it or rotated another into it; null: the platform.
    made_by: Option<ActorShape>,
}

impl<'a> ApiKeyShape<'a> {
    pub fn with_secret(key: &'a ApiKey, secret: &'a Option<Secret>) -> Self {
        Self { key: secret.as_ref().map(Secret::reveal), ..key.into() }
    }
}

impl<'a> From<&'a ApiKey> for ApiKeyShape<'a> {
    fn from(key: &'a ApiKey) -> Self {
        let ApiKey { id, created_at, expires_at, revoked_at, .. } = *key;
        Self {
            id,
            object: "api_key",
            key: None,
            name: &key.name,
            scopes: &key.scopes,
            created_at,
            expires_at,
            revoked_at,
            service_account_id: key.service_account,
            rotated_to: key.rotated_to,
            last_used_at: key.last_used_at,
            made_by: key.made_by.map(ActorShape::from),
        }
    }
}

impl Shown for ApiKeyShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "name",
        "scopes",
        "created_at",
        "expires_at",
        "revoked_at",
        "service_account_id",
        "rotated_to",
        "last_used_at",
        "made_by",
    ];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        let key = ApiKey {
            id: ApiKeyId(1),
            tenant: TenantId(1),
            name: "shop".into(),
            scopes: vec![Scope::TransfersWrite],
            created_at: Timestamp::default(),
            expires_at: None,
            revoked_at: None,
            service_account: None,
            rotated_to: None,
            last_used_at: None,
            made_by: None,
        };
        assert_fields(&ApiKeyShape::from(&key));
    }
}
