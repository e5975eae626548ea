//! Tenants as they are asked for and shown.

use caudal_domain::{Mode, Placement, Tenant, TenantId, Timestamp};
use caudal_service::tenants::{NewTenant, TenantChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{api_keys::ApiKeyShape, check_name};
use crate::problem::Problem;

/// Characters of a region and of a time zone's name at most.
const WORD_CHARS: usize = 64;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant, example = json!({"name": "Acme", "mode": "test"}))]
pub(crate) struct TenantRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `test` or `live`.
    #[schema(value_type = String)]
    mode: Mode,
    /// `user` (a big tenant spreads over all shards) or `tenant` (a small one stays on one).
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    placement: Placement,
    region: Option<String>,
    /// IANA name; `UTC`, if not given.
    timezone: Option<String>,
}

impl TenantRequest {
    pub fn into_new(self) -> Result<NewTenant, Problem> {
        let Self { name, mode, placement, region, timezone } = self;
        check_name("name", &name)?;
        if let Some(region) = &region {
            check_word("region", region)?;
        }
        let timezone = timezone.unwrap_or_else(|| "UTC".into());
        check_word("timezone", &timezone)?;
        Ok(NewTenant { name, mode, placement, region, timezone })
    }
}

/// What is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange, example = json!({"timezone": "Europe/Lisbon"}))]
pub(crate) struct TenantPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// IANA name.
    timezone: Option<String>,
}

impl TenantPatch {
    pub fn into_change(self) -> Result<TenantChange, Problem> {
        let Self { name, timezone } = self;
        if let Some(name) = &name {
            check_name("name", name)?;
        }
        if let Some(timezone) = &timezone {
            check_word("timezone", timezone)?;
        }
        Ok(TenantChange { name, timezone })
    }
}

/// Names such as `eu-west-1` and `America/Argentina/Buenos_Aires`.
fn check_word(param: &str, text: &str) -> Result<(), Problem> {
    let fits = (1..=WORD_CHARS).contains(&text.len());
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+".contains(&b))
    };
    if fits && text.split('/').all(is_part) {
        return Ok(());
    }
    Err(Problem::invalid(param, "1 to 64 letters, digits and -, _, + in parts divided by /"))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tenant, example = json!({
    "id": "ten_01h455vb4pex5vsknk084sn02q", "object": "tenant", "name": "Acme", "mode": "test",
    "placement": "user", "region": null, "timezone": "UTC",
    "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct TenantShape<'a> {
    #[schema(value_type = String)]
    id: TenantId,
    object: &'static str,
    name: &'a str,
    #[schema(value_type = String)]
    mode: Mode,
    #[schema(value_type = String)]
    placement: Placement,
    region: Option<&'a str>,
    timezone: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Only in the answer to its creation: the owner's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyShape<'a>>,
}

impl<'a> From<&'a Tenant> for TenantShape<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        let Tenant { id, mode, placement, created_at, .. } = *tenant;
        Self {
            id,
            object: "tenant",
            name: &tenant.name,
            mode,
            placement,
            region: tenant.region.as_deref(),
            timezone: &tenant.timezone,
            created_at,
            api_key: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_zones_look_like_names() {
        for good in ["UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+3", "eu-west-1"] {
            assert!(check_word("timezone", good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a//b", "a b", "é", &"a".repeat(65)] {
            assert!(check_word("timezone", bad).is_err(), "{bad}");
        }
    }
}
