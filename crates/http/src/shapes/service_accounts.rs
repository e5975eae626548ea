//! Service accounts as they are asked for and shown.

use caudal_domain::{ServiceAccount, ServiceAccountId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_name;
use crate::{problem::Problem, query::Shown};

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewServiceAccount, example = json!({"name": "billing"}))]
pub(crate) struct ServiceAccountRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl ServiceAccountRequest {
    pub fn into_name(self) -> Result<String, Problem> {
        check_name("name", &self.name)?;
        Ok(self.name)
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ServiceAccountChange, example = json!({"name": "invoicing"}))]
pub(crate) struct ServiceAccountPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl ServiceAccountPatch {
    pub fn into_name(self) -> Result<String, Problem> {
        check_name("name", &self.name)?;
        Ok(self.name)
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServiceAccount, example = json!({
    "id": "sva_01h455vb4pex5vsknk084sn02q", "object": "service_account", "name": "billing",
    "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct ServiceAccountShape<'a> {
    #[schema(value_type = String)]
    id: ServiceAccountId,
    object: &'static str,
    name: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl<'a> From<&'a ServiceAccount> for ServiceAccountShape<'a> {
    fn from(account: &'a ServiceAccount) -> Self {
        let ServiceAccount { id, created_at, .. } = *account;
        Self { id, object: "service_account", name: &account.name, created_at }
    }
}

impl Shown for ServiceAccountShape<'_> {
    const FIELDS: &'static [&'static str] = &["id", "object", "name", "created_at"];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&ServiceAccountShape::from(&ServiceAccount {
            id: ServiceAccountId(1),
            tenant: TenantId(1),
            name: "billing".into(),
            version: 1,
            created_at: Timestamp::default(),
        }));
    }
}
