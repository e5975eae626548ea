//! Roles of tenants, and who has which. System roles have no rows, only assignments.

use caudal_domain::{
    Role, RoleId, RoleRef, SystemRole, TenantId, UserId, UserStatus, access::Scope,
};

use crate::{Backend, Row, Step, StoreError};

const COLUMNS: &str = "id, tenant_id, name, scopes, version, created_at from roles";

/// A role as an assignment stores it: small numbers, which no UUIDv7 is, are system roles. What
/// has a number keeps it.
fn encode(role: RoleRef) -> u128 {
    match role {
        RoleRef::System(SystemRole::Owner) => OWNER,
        RoleRef::System(SystemRole::Admin) => 2,
        RoleRef::System(SystemRole::Operator) => 3,
        RoleRef::System(SystemRole::Support) => 4,
        RoleRef::System(SystemRole::WalletHolder) => 5,
        RoleRef::Custom(id) => id.0,
    }
}

const OWNER: u128 = 1;

/// Reads [`encode`] back.
pub(crate) fn decode(stored: u128) -> RoleRef {
    let system = SystemRole::ALL.iter().copied().map(RoleRef::System);
    system
        .into_iter()
        .find(|role| encode(*role) == stored)
        .unwrap_or(RoleRef::Custom(RoleId(stored)))
}

/// Misses when the tenant has a role of that name.
pub fn insert(role: &Role) -> Step {
    Step::one(
        "insert into roles (tenant_id, id, name, scopes, version, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        vec![
            role.tenant.0.into(),
            role.id.0.into(),
            role.name.clone().into(),
            names(&role.scopes).into(),
            role.version.into(),
            role.created_at.into(),
        ],
    )
}

/// Writes name and scopes if the row still has the version before `role.version`. Misses, too, when
/// another role has the name.
pub fn update(role: &Role) -> Step {
    Step::one(
        "update roles set name = $3, scopes = $4, version = $5
         where tenant_id = $1 and id = $2 and version = $5 - 1",
        vec![
            role.tenant.0.into(),
            role.id.0.into(),
            role.name.clone().into(),
            names(&role.scopes).into(),
            role.version.into(),
        ],
    )
}

/// The role, and from everybody who has it: also from whoever is being given it meanwhile, as both
/// begin with [`in_turn`].
pub fn delete(tenant: TenantId, id: RoleId) -> [Step; 3] {
    let params = || vec![tenant.0.into(), id.0.into()];
    [
        in_turn(tenant),
        Step::one("delete from roles where tenant_id = $1 and id = $2", params()),
        Step::new("delete from user_roles where tenant_id = $1 and role = $2", params()),
    ]
}

/// The first step of a unit that gives or deletes a tenant's roles: such units wait for each other.
pub fn in_turn(tenant: TenantId) -> Step {
    Step::one("update tenants set version = version where id = $1", vec![tenant.0.into()])
}

/// Misses when the tenant has no such user or no such role, and when the user has it. What gives a
/// tenant's own role begins with [`in_turn`].
pub fn give(tenant: TenantId, user: UserId, role: RoleRef) -> Step {
    let params = vec![user.0.into(), tenant.0.into(), encode(role).into()];
    match role {
        RoleRef::System(_) => Step::one(
            "insert into user_roles (user_id, tenant_id, role)
             select u.id, u.tenant_id, $3 from users u where u.id = $1 and u.tenant_id = $2",
            params,
        ),
        RoleRef::Custom(_) => Step::one(
            "insert into user_roles (user_id, tenant_id, role)
             select u.id, u.tenant_id, r.id from users u
             join roles r on r.tenant_id = u.tenant_id and r.id = $3
             where u.id = $1 and u.tenant_id = $2",
            params,
        ),
    }
}

/// Takes all roles of a user.
pub fn take_all(tenant: TenantId, user: UserId) -> Step {
    Step::new(
        "delete from user_roles where user_id = $1 and tenant_id = $2",
        vec![user.0.into(), tenant.0.into()],
    )
}

/// The first and the last step of a unit that may take an owner away: the second misses when no
/// active one would be left. The first is [`in_turn`], so that the last two owners cannot remove
/// one another.
pub fn owner_remains(tenant: TenantId) -> (Step, Step) {
    let check = "update tenants set version = version where id = $1 and exists (
           select 1 from user_roles r join users u on u.id = r.user_id and u.tenant_id = r.tenant_id
           where r.tenant_id = $1 and r.role = $2 and u.status = 'active')";
    (in_turn(tenant), Step::one(check, vec![tenant.0.into(), OWNER.into()]))
}

pub async fn find(
    db: &dyn Backend,
    tenant: TenantId,
    id: RoleId,
) -> Result<Option<Role>, StoreError> {
    let sql = format!("select {COLUMNS} where tenant_id = $1 and id = $2");
    let params = [tenant.0.into(), id.0.into()];
    db.query("roles", &sql, &params).await?.first().map(read).transpose()
}

/// Newest first, below `before`.
pub async fn list(
    db: &dyn Backend,
    tenant: TenantId,
    before: RoleId,
    limit: i64,
) -> Result<Vec<Role>, StoreError> {
    let sql =
        format!("select {COLUMNS} where tenant_id = $1 and id < $2 order by id desc limit $3");
    let params = [tenant.0.into(), before.0.into(), limit.into()];
    db.query("roles", &sql, &params).await?.iter().map(read).collect()
}

/// What somebody may at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub status: UserStatus,
    pub roles: Vec<RoleRef>,
    /// Of all roles together, in order, each once.
    pub scopes: Vec<Scope>,
    /// Those that come from a role other than `wallet_holder`, whose scopes reach its own alone.
    pub wide: Vec<Scope>,
}

/// `None`: the tenant has no such user.
pub async fn standing(
    db: &dyn Backend,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<Standing>, StoreError> {
    let sql = "select u.status, r.role, c.scopes from users u
         left join user_roles r on r.user_id = u.id and r.tenant_id = u.tenant_id
         left join roles c on c.tenant_id = u.tenant_id and c.id = r.role
         where u.id = $1 and u.tenant_id = $2 order by r.role";
    let rows = db.query("user_roles", sql, &[user.0.into(), tenant.0.into()]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let status = first.decode(0, UserStatus::from_name(first.text(0)?))?;
    let mut standing = Standing { status, roles: vec![], scopes: vec![], wide: vec![] };
    for row in &rows {
        let Some(role) = row.opt_id(1)?.map(decode) else { continue };
        match (role, row.opt_text(2)?) {
            (RoleRef::System(SystemRole::WalletHolder), _) => {
                standing.scopes.extend(SystemRole::WalletHolder.scopes());
            }
            (RoleRef::System(role), _) => standing.wide.extend(role.scopes()),
            (RoleRef::Custom(_), Some(names)) => standing.wide.extend(scopes(Some(names))),
            // There is no such role any more.
            (RoleRef::Custom(_), None) => continue,
        }
        standing.roles.push(role);
    }
    standing.scopes.extend(&standing.wide);
    for scopes in [&mut standing.scopes, &mut standing.wide] {
        scopes.sort_unstable();
        scopes.dedup();
    }
    Ok(Some(standing))
}

/// The active users who have one of two system roles, whichever were first.
pub async fn holders(
    db: &dyn Backend,
    tenant: TenantId,
    roles: [SystemRole; 2],
    limit: i64,
) -> Result<Vec<UserId>, StoreError> {
    let sql = "select distinct r.user_id from user_roles r
         join users u on u.id = r.user_id and u.tenant_id = r.tenant_id
         where r.tenant_id = $1 and r.role in ($2, $3) and u.status = 'active'
         order by r.user_id limit $4";
    let [first, second] = roles.map(|role| encode(RoleRef::System(role)).into());
    let rows = db.query("user_roles", sql, &[tenant.0.into(), first, second, limit.into()]).await?;
    rows.iter().map(|row| row.id(0).map(UserId)).collect()
}

fn names(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ")
}

fn scopes(names: Option<&str>) -> impl Iterator<Item = Scope> {
    names.unwrap_or_default().split_whitespace().filter_map(Scope::from_name)
}

fn read(row: &Row) -> Result<Role, StoreError> {
    Ok(Role {
        id: RoleId(row.id(0)?),
        tenant: TenantId(row.id(1)?),
        name: row.text(2)?.to_owned(),
        scopes: scopes(Some(row.text(3)?)).collect(),
        version: row.int(4)?,
        created_at: row.time(5)?,
    })
}
