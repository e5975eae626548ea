//! The routes of administration: roles and permissions, service accounts, the audit, tenants.

use axum::http::StatusCode;
use caudal_domain::access::Scope::{
    ApiKeysWrite, AuditRead, Platform, RolesRead, RolesWrite, ServiceAccountsRead,
    ServiceAccountsWrite,
};

use super::{CREATED, OK};
use crate::{
    endpoint::{Routes, delete, get, patch, post, put},
    routes::{api_keys, audit, roles, service_accounts, tenants},
    shapes::{
        api_keys::{ApiKeyRotation, ApiKeyShape},
        audit::AuditShape,
        roles::UserRolesShape,
        roles::{PermissionShape, RolePatch, RoleRequest, RoleShape, UserRolesRequest},
        service_accounts::{ServiceAccountPatch, ServiceAccountRequest, ServiceAccountShape},
        tenants::TenantShape,
    },
};

pub(super) fn administration_routes(routes: Routes) -> Routes {
    audit_routes(service_account_routes(role_routes(routes)))
}

fn role_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/permissions", RolesRead)
                .summary("List every scope, with the routes that ask for it")
                .lists_all::<PermissionShape>(),
            roles::permissions,
        )
        .add(
            post("/api/v1/roles", RolesWrite)
                .summary("Create a role of scopes that its maker has")
                .takes::<RoleRequest>()
                .gives::<RoleShape>(CREATED)
                .errors(&[409, 422])
                .once(),
            roles::create,
        )
        .add(
            get("/api/v1/roles", RolesRead)
                .summary("List roles, newest first, those that come with Caudal last")
                .lists::<RoleShape>(),
            roles::list,
        )
        .add(
            get("/api/v1/roles/{id}", RolesRead)
                .summary("Read a role")
                .gives::<RoleShape>(OK)
                .errors(&[404]),
            roles::read,
        )
        .add(
            patch("/api/v1/roles/{id}", RolesWrite)
                .summary("Change a role's name and scopes, at once for all who have it")
                .takes::<RolePatch>()
                .gives::<RoleShape>(OK)
                .errors(&[404, 409, 412]),
            roles::update,
        )
        .add(
            delete("/api/v1/roles/{id}", RolesWrite)
                .summary("Delete a role, and from all who have it")
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404, 412]),
            roles::delete,
        )
        .add(
            put("/api/v1/users/{id}/roles", RolesWrite)
                .summary("Give a user these roles and no others")
                .takes::<UserRolesRequest>()
                .gives::<UserRolesShape>(OK)
                .errors(&[404, 409, 412]),
            roles::set_of_user,
        )
}

fn service_account_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/service-accounts", ServiceAccountsWrite)
                .summary("Create a service account, for which API keys act")
                .takes::<ServiceAccountRequest>()
                .gives::<ServiceAccountShape<'_>>(CREATED)
                .errors(&[409, 422])
                .once(),
            service_accounts::create,
        )
        .add(
            get("/api/v1/service-accounts", ServiceAccountsRead)
                .summary("List service accounts, newest first")
                .lists::<ServiceAccountShape<'_>>(),
            service_accounts::list,
        )
        .add(
            get("/api/v1/service-accounts/{id}", ServiceAccountsRead)
                .summary("Read a service account")
                .gives::<ServiceAccountShape<'_>>(OK)
                .errors(&[404]),
            service_accounts::read,
        )
        .add(
            patch("/api/v1/service-accounts/{id}", ServiceAccountsWrite)
                .summary("Rename a service account")
                .takes::<ServiceAccountPatch>()
                .gives::<ServiceAccountShape<'_>>(OK)
                .errors(&[404, 409, 412]),
            service_accounts::update,
        )
        .add(
            delete("/api/v1/service-accounts/{id}", ServiceAccountsWrite)
                .summary("Delete a service account and revoke all its keys")
                .gives_nothing(StatusCode::NO_CONTENT)
                .errors(&[404, 412]),
            service_accounts::delete,
        )
        .add(
            post("/api/v1/api-keys/{id}/rotate", ApiKeysWrite)
                .summary("Put a new key in the place of this one, which works on for a while")
                .may_take::<ApiKeyRotation>()
                .gives::<ApiKeyShape<'_>>(CREATED)
                .errors(&[404, 409, 422])
                .once(),
            api_keys::rotate,
        )
}

fn audit_routes(routes: Routes) -> Routes {
    routes
        .add(
            get("/api/v1/audit", AuditRead)
                .summary("List what was done, by whom and from where, newest first")
                .lists::<AuditShape<'_>>()
                .query(&["actor", "action", "object"]),
            audit::list,
        )
        .add(
            get("/api/v1/tenants", Platform)
                .summary("List the tenants of the platform, newest first")
                .lists::<TenantShape<'_>>(),
            tenants::list,
        )
}
