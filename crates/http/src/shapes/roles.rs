//! Roles and permissions as they are asked for and shown.

use caudal_domain::{RoleRef, SystemRole, Timestamp, UserId, access::Scope};
use caudal_service::roles::{AnyRole, NewRole, RoleChange, UserRoles};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_name;
use crate::{
    endpoint::{Access, Endpoint},
    problem::Problem,
    query::Shown,
};

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRole, example = json!({"name": "cashier", "scopes": ["wallets:read"]}))]
pub(crate) struct RoleRequest {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Such as the maker of the role has.
    #[schema(value_type = Vec<String>, min_items = 1)]
    scopes: Vec<Scope>,
}

impl RoleRequest {
    pub fn into_new(self) -> Result<NewRole, Problem> {
        let Self { name, scopes } = self;
        check_name("name", &name)?;
        check_scopes(&scopes)?;
        Ok(NewRole { name, scopes })
    }
}

fn check_scopes(scopes: &[Scope]) -> Result<(), Problem> {
    match scopes {
        [] => Err(Problem::invalid("scopes", "a role without scopes opens nothing")),
        _ => Ok(()),
    }
}

/// What is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RoleChange, example = json!({"scopes": ["wallets:read", "transfers:read"]}))]
pub(crate) struct RolePatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[schema(value_type = Option<Vec<String>>, min_items = 1)]
    scopes: Option<Vec<Scope>>,
}

impl RolePatch {
    pub fn into_change(self) -> Result<RoleChange, Problem> {
        let Self { name, scopes } = self;
        if let Some(name) = &name {
            check_name("name", name)?;
        }
        if let Some(scopes) = &scopes {
            check_scopes(scopes)?;
        }
        Ok(RoleChange { name, scopes })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Role, example = json!({
    "id": "rol_01h455vb4pex5vsknk084sn02q", "object": "role", "name": "cashier",
    "is_system": false, "scopes": ["wallets:read"], "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct RoleShape {
    /// A system role's is its name.
    #[schema(value_type = String)]
    id: RoleRef,
    object: &'static str,
    name: String,
    /// Comes with Caudal and can't be changed.
    is_system: bool,
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
}

impl From<&AnyRole> for RoleShape {
    fn from(role: &AnyRole) -> Self {
        let (id, name, created_at) = match role {
            AnyRole::System(role) => (RoleRef::System(*role), role.name().to_owned(), None),
            AnyRole::Custom(role) => {
                (RoleRef::Custom(role.id), role.name.clone(), Some(role.created_at))
            }
        };
        let is_system = created_at.is_none();
        Self { id, object: "role", name, is_system, scopes: role.scopes(), created_at }
    }
}

impl Shown for RoleShape {
    const FIELDS: &'static [&'static str] =
        &["id", "object", "name", "is_system", "scopes", "created_at"];
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUserRoles, example = json!({"roles": ["support"]}))]
pub(crate) struct UserRolesRequest {
    /// System roles by name, others by id.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<RoleRef>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = UserRoles, example = json!({
    "user_id": "usr_01h455vb4pex5vsknk084sn02q", "object": "user_roles", "roles": ["support"],
    "scopes": ["wallets:read"]
}))]
pub(crate) struct UserRolesShape {
    #[schema(value_type = String)]
    user_id: UserId,
    object: &'static str,
    #[schema(value_type = Vec<String>)]
    roles: Vec<RoleRef>,
    /// Of all roles together.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
}

impl From<&UserRoles> for UserRolesShape {
    fn from(has: &UserRoles) -> Self {
        let UserRoles { user, roles, scopes, .. } = has.clone();
        Self { user_id: user, object: "user_roles", roles, scopes }
    }
}

/// A scope, and where it is asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Permission, example = json!({
    "scope": "audit:read", "object": "permission", "is_above_tenants": false,
    "routes": ["GET /api/v1/audit"], "system_roles": ["owner", "admin", "operator", "support"]
}))]
pub(crate) struct PermissionShape {
    #[schema(value_type = String)]
    scope: Scope,
    object: &'static str,
    /// No tenant can have or give it.
    is_above_tenants: bool,
    /// None: it is asked for inside of a route that asks for another first.
    routes: Vec<String>,
    #[schema(value_type = Vec<String>)]
    system_roles: Vec<&'static str>,
}

impl PermissionShape {
    /// Every scope, in their order.
    pub fn all(endpoints: &[Endpoint]) -> Vec<Self> {
        let routes_of = |scope| {
            let asking = [Access::Scope(scope), Access::OpenOr(scope)];
            let asks = endpoints.iter().filter(move |it| asking.contains(&it.access));
            asks.map(|endpoint| format!("{} {}", endpoint.verb(), endpoint.path)).collect()
        };
        let roles = |scope| SystemRole::ALL.iter().filter(move |role| role.grants(scope));
        let shape = |scope: &Scope| Self {
            scope: *scope,
            object: "permission",
            is_above_tenants: scope.is_above_tenants(),
            routes: routes_of(*scope),
            system_roles: roles(*scope).map(|role| role.name()).collect(),
        };
        Scope::ALL.iter().map(shape).collect()
    }
}

impl Shown for &PermissionShape {
    const FIELDS: &'static [&'static str] = PermissionShape::FIELDS;
}

impl Shown for PermissionShape {
    const FIELDS: &'static [&'static str] =
        &["scope", "object", "is_above_tenants", "routes", "system_roles"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::get, shapes::tests::assert_fields};

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&RoleShape::from(&AnyRole::System(SystemRole::Owner)));
        assert_fields(&PermissionShape::all(&[])[0]);
    }

    #[test]
    fn the_catalogue_names_the_routes_that_ask() {
        let endpoints = [get("/a", Scope::AuditRead), get("/b", Access::SignedIn)];
        let all = PermissionShape::all(&endpoints);
        assert_eq!(all.len(), Scope::ALL.len());
        for permission in all {
            let wanted: &[&str] =
                if permission.scope == Scope::AuditRead { &["GET /a"] } else { &[] };
            assert_eq!(permission.routes, wanted, "{}", permission.scope);
        }
    }
}
