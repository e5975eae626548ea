//! Roles: those that come with Caudal, those of a tenant, and who has which.
//!
//! Nobody gives or takes what they do not have themselves: else whoever writes roles could make
//! themselves an owner, or an owner nobody.

use caudal_domain::{
    Actor, Event, Refusal, Role, RoleId, RoleRef, SystemRole, Timestamp, User, UserId, UserStatus,
    access::Scope, event::kinds, text::is_unseen,
};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, roles,
    users::{self, Change, UserRow},
};
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use crate::{
    Asked, Caller, Done, Edit, Page, Position, Service, ServiceError,
    asked::Window,
    audit::{By, Did},
    unit::{Creation, Subject},
};

/// Roles that one person may have: more is a mistake, and each is a look-up.
const ROLES_MOST: usize = 20;

#[derive(Clone, Debug)]
pub struct NewRole {
    pub name: String,
    pub scopes: Vec<Scope>,
}

/// What to change; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    pub name: Option<String>,
    pub scopes: Option<Vec<Scope>>,
}

/// A role of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyRole {
    System(SystemRole),
    Custom(Role),
}

impl AnyRole {
    pub fn scopes(&self) -> Vec<Scope> {
        match self {
            Self::System(role) => role.scopes(),
            Self::Custom(role) => role.scopes.clone(),
        }
    }

    /// Its place in the list: system roles come after all others, owners first.
    fn place(&self) -> (u128, Timestamp) {
        match self {
            Self::System(role) => (place_of(*role), Timestamp::default()),
            Self::Custom(role) => (role.id.0, role.created_at),
        }
    }
}

/// No UUIDv7 is as small.
fn place_of(role: SystemRole) -> u128 {
    SystemRole::ALL.iter().rev().zip(1..).find(|(it, _)| **it == role).map_or(0, |(_, at)| at)
}

/// What somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRoles {
    pub user: UserId,
    pub roles: Vec<RoleRef>,
    /// Of all roles together.
    pub scopes: Vec<Scope>,
    /// The user's, which a change of roles counts up.
    pub version: i64,
}

/// Whose roles change, and to which.
struct Move<'a> {
    row: &'a UserRow,
    wanted: &'a [RoleRef],
}

#[derive(Serialize)]
struct RoleData<'a> {
    role_id: RoleId,
    scopes: &'a [Scope],
}

#[derive(Serialize)]
struct UserRolesData<'a> {
    user_id: UserId,
    roles: &'a [RoleRef],
}

impl Service {
    pub async fn create_role(
        &self,
        asked: Asked<'_>,
        new: NewRole,
    ) -> Result<Done<Role>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        let (name, scopes) = (new.name, sorted(new.scopes));
        check_name(&name)?;
        check_scopes(caller, &scopes)?;
        let at = self.now();
        let id = RoleId(self.next_id(at, caller.tenant.bucket()));
        let role = Role { id, tenant: caller.tenant, name, scopes, version: 1, created_at: at };
        let kind = kinds::ROLE_CREATED;
        let steps =
            vec![roles::insert(&role), self.audit(caller, did(kind, id, &["name", "scopes"]), at)];
        let events = vec![self.role_event(kind, &role, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        let creation = Creation { unit, receipt: Some(receipt), value: role };
        match self.create_or(creation, |_| Refusal::NameTaken.into()).await {
            Err(ServiceError::Refused(Refusal::NameTaken)) => {
                self.refuse(receipt, Refusal::NameTaken).await
            }
            result => result,
        }
    }

    pub async fn role(&self, caller: &Caller, id: RoleRef) -> Result<AnyRole, ServiceError> {
        match id {
            RoleRef::System(role) => Ok(AnyRole::System(role)),
            RoleRef::Custom(id) => self.custom_role(caller, id).await.map(AnyRole::Custom),
        }
    }

    async fn custom_role(&self, caller: &Caller, id: RoleId) -> Result<Role, ServiceError> {
        caller.reach.require_tenant()?;
        let found = roles::find(self.store(), caller.tenant, id).await?;
        found.ok_or(ServiceError::NotFound("role"))
    }

    /// The tenant's own, newest first, then those that come with Caudal.
    pub async fn list_roles(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<AnyRole>, ServiceError> {
        caller.reach.require_tenant()?;
        let before = window.cursor.unwrap_or(u128::MAX);
        let rows = window.rows();
        let own = roles::list(self.store(), caller.tenant, RoleId(before), rows).await?;
        let system = SystemRole::ALL.iter().copied().filter(|role| place_of(*role) < before);
        let all = own.into_iter().map(AnyRole::Custom).chain(system.map(AnyRole::System));
        let rows = all.take(window.limit + 1).collect();
        Ok(window.page(rows, AnyRole::place))
    }

    pub async fn update_role(
        &self,
        caller: &Caller,
        id: RoleRef,
        edit: Edit<'_, Role, RoleChange>,
    ) -> Result<Done<Role>, ServiceError> {
        let before = self.changeable(caller, id).await?;
        self.require_step_up(caller)?;
        let Edit { change, is_met } = edit;
        if is_met.is_some_and(|is_met| !is_met(&before)) {
            return Err(ServiceError::Stale);
        }
        let fields: Vec<&str> =
            [change.name.as_ref().map(|_| "name"), change.scopes.as_ref().map(|_| "scopes")]
                .into_iter()
                .flatten()
                .collect();
        let role = changed(caller, &before, change)?;
        let at = self.now();
        let mut events = vec![self.role_event(kinds::ROLE_UPDATED, &role, at)?];
        if role.scopes != before.scopes {
            events.push(self.role_event(kinds::PERMISSION_UPDATED, &role, at)?);
        }
        let did = did(kinds::ROLE_UPDATED, role.id, &fields);
        let steps = vec![roles::update(&role), self.audit(caller, did, at)];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: role, replayed: false, position }),
            _ => Err(self.why_not_updated(caller, &role, is_met.is_some()).await),
        }
    }

    /// Another change came between, or another role has the name.
    async fn why_not_updated(&self, caller: &Caller, role: &Role, has_seen: bool) -> ServiceError {
        match self.custom_role(caller, role.id).await {
            Ok(now) if now.version == role.version - 1 => Refusal::NameTaken.into(),
            Ok(_) if has_seen => ServiceError::Stale,
            Ok(_) => Refusal::Conflict.into(),
            Err(error) => error,
        }
    }

    /// Whoever had it, has it no more.
    pub async fn delete_role(
        &self,
        caller: &Caller,
        id: RoleRef,
        edit: Edit<'_, Role, ()>,
    ) -> Result<Done<Role>, ServiceError> {
        let role = self.changeable(caller, id).await?;
        self.require_step_up(caller)?;
        if edit.is_met.is_some_and(|is_met| !is_met(&role)) {
            return Err(ServiceError::Stale);
        }
        let (at, kind) = (self.now(), kinds::ROLE_DELETED);
        let mut steps = Vec::from(roles::delete(caller.tenant, role.id));
        steps.push(self.audit(caller, did(kind, role.id, &[]), at));
        let events = vec![self.role_event(kind, &role, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: role, replayed: false, position }),
            _ => Err(ServiceError::NotFound("role")),
        }
    }

    /// A role that the caller may change: the tenant's own, with nothing the caller lacks.
    async fn changeable(&self, caller: &Caller, id: RoleRef) -> Result<Role, ServiceError> {
        let RoleRef::Custom(id) = id else { return Err(ServiceError::SystemRole) };
        let role = self.custom_role(caller, id).await?;
        role.scopes.iter().try_for_each(|scope| caller.require_wide(*scope))?;
        Ok(role)
    }

    /// Gives the user these roles and no others.
    pub async fn set_user_roles(
        &self,
        caller: &Caller,
        user: UserId,
        edit: Edit<'_, User, Vec<RoleRef>>,
    ) -> Result<Done<UserRoles>, ServiceError> {
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        let Edit { change, is_met } = edit;
        let roles = sorted(change);
        if roles.len() > ROLES_MOST {
            return Err(ServiceError::invalid("roles", format!("has {ROLES_MOST} items at most")));
        }
        let row = users::find(self.store(), caller.tenant, user).await?;
        let row = row.ok_or(ServiceError::NotFound("user"))?;
        if let Some(is_met) = is_met
            && !is_met(&self.user_of(row.clone())?)
        {
            return Err(ServiceError::Stale);
        }
        if row.status == UserStatus::Erased {
            return Err(Refusal::UserState { status: row.status }.into());
        }
        let change = Move { row: &row, wanted: &roles };
        let scopes = self.check_given_and_taken(caller, &change).await?;
        match self.move_roles(caller.into(), &change).await {
            Ok(position) => {
                let value = UserRoles { user, roles, scopes, version: row.version + 1 };
                Ok(Done { value, replayed: false, position })
            }
            Err(ServiceError::Refused(Refusal::Conflict)) if is_met.is_some() => {
                Err(ServiceError::Stale)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the roles that a foreign issuer says, if the user has others. The issuer may take an
    /// owner's, but not the last one's: then its token opens nothing until there is another.
    pub(crate) async fn follow_roles(
        &self,
        row: &UserRow,
        wanted: &[RoleRef],
    ) -> Result<(), ServiceError> {
        if sorted(row.roles.clone()) == wanted {
            return Ok(());
        }
        let by = By { tenant: row.tenant, actor: Actor::System, origin: None };
        self.move_roles(by, &Move { row, wanted }).await.map(drop)
    }

    async fn move_roles(&self, by: By<'_>, change: &Move<'_>) -> Result<Position, ServiceError> {
        let Move { row, wanted } = change;
        let (at, user) = (self.now(), row.id);
        let kind = kinds::USER_ROLES_CHANGED;
        let subject = Subject { kind, tenant: row.tenant, id: user.0, text: &user, at };
        let events = vec![self.event(&subject, &UserRolesData { user_id: user, roles: wanted })?];
        let steps = self.steps_of_roles(by, change, at);
        let last = steps.len() - 1;
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await? {
            (UnitOutcome::Done, position) => Ok(position),
            (UnitOutcome::Missed(step), _) if step == last => Err(Refusal::LastOwner.into()),
            _ => Err(Refusal::Conflict.into()),
        }
    }

    /// All scopes of the wanted roles. What is given and what is taken is the caller's too.
    async fn check_given_and_taken(
        &self,
        caller: &Caller,
        change: &Move<'_>,
    ) -> Result<Vec<Scope>, ServiceError> {
        let mut scopes = Vec::new();
        for id in change.wanted {
            let role = self.role(caller, *id).await?;
            if !change.row.roles.contains(id) {
                check_has(caller, &role)?;
            }
            scopes.extend(role.scopes());
        }
        for id in change.row.roles.iter().filter(|id| !change.wanted.contains(id)) {
            match self.role(caller, *id).await {
                Ok(role) => check_has(caller, &role)?,
                // It was deleted meanwhile, and is gone from everybody.
                Err(ServiceError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sorted(scopes))
    }

    /// Where an owner may go, the last step decides whether one is left.
    fn steps_of_roles(&self, by: By<'_>, change: &Move<'_>, at: Timestamp) -> Vec<Step> {
        let UserRow { id: user, tenant, version, .. } = *change.row;
        let (lock, owner_remains) = roles::owner_remains(tenant);
        let counted = users::touch(&Change { tenant, id: user, version: version + 1, at });
        let mut steps = vec![lock, counted, roles::take_all(tenant, user)];
        steps.extend(change.wanted.iter().map(|role| roles::give(tenant, user, *role)));
        let (action, object_id) = (kinds::USER_ROLES_CHANGED, user.to_string());
        let did = Did { action, object_kind: "user", object_id, fields: &["roles"] };
        steps.push(self.audit(by, did, at));
        if is_owner(change.row) {
            steps.push(owner_remains);
        }
        steps
    }

    fn role_event(
        &self,
        kind: &'static str,
        role: &Role,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let Role { id, tenant, .. } = *role;
        let subject = Subject { kind, tenant, id: id.0, text: &id, at };
        self.event(&subject, &RoleData { role_id: id, scopes: &role.scopes })
    }
}

fn changed(caller: &Caller, before: &Role, change: RoleChange) -> Result<Role, ServiceError> {
    let mut role = before.clone();
    if let Some(name) = change.name {
        check_name(&name)?;
        role.name = name;
    }
    if let Some(scopes) = change.scopes {
        role.scopes = sorted(scopes);
        check_scopes(caller, &role.scopes)?;
    }
    role.version += 1;
    Ok(role)
}

pub(crate) fn is_owner(row: &UserRow) -> bool {
    row.roles.contains(&RoleRef::System(SystemRole::Owner))
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

/// A role named as a system role would pass for it.
fn check_name(name: &str) -> Result<(), ServiceError> {
    let seen: String = name.nfkc().filter(|c| !is_unseen(*c)).collect();
    match SystemRole::from_name(&seen.trim().to_lowercase()) {
        Some(_) => Err(ServiceError::invalid("name", "is that of a system role")),
        None => Ok(()),
    }
}

fn check_scopes(caller: &Caller, scopes: &[Scope]) -> Result<(), ServiceError> {
    match scopes.iter().find(|scope| scope.is_above_tenants()) {
        Some(scope) => {
            Err(ServiceError::invalid("scopes", format!("{scope} is above tenants' roles")))
        }
        None => scopes.iter().try_for_each(|scope| caller.require_wide(*scope)),
    }
}

/// A role's scopes reach the tenant, so the caller's must, but for a wallet holder's.
fn check_has(caller: &Caller, role: &AnyRole) -> Result<(), ServiceError> {
    let has = |scope: &Scope| match role {
        AnyRole::System(SystemRole::WalletHolder) => caller.require(*scope),
        _ => caller.require_wide(*scope),
    };
    role.scopes().iter().try_for_each(has)
}

fn did<'a>(action: &'a str, role: RoleId, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "role", object_id: role.to_string(), fields }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_roles_are_listed_owners_first() {
        let places: Vec<_> = SystemRole::ALL.iter().map(|role| place_of(*role)).collect();
        assert_eq!(places, [5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_role_cannot_pass_for_a_system_role() {
        for name in ["owner", "Owner", " ADMIN ", "ｏｗｎｅｒ", "own\u{200d}er", "ſupport"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("cashier").is_ok());
    }
}
