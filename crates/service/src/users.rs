//! Users: made by those who may, read, listed, deactivated.
//!
//! Their own sign-up is in [`crate::sign_up`], what they change in [`crate::profiles`], what is
//! held of them in `export.rs`, their end in `erasure.rs`. E-mail and name are sealed wherever they
//! stand, also in receipts; events and audit have ids only.

use caudal_domain::{
    Actor, Event, Fingerprint, Refusal, RoleRef, SystemRole, TenantId, Timestamp, User, UserId,
    UserStatus, event::kinds,
};
use caudal_identity::{Email, PersonKey};
use caudal_store::{
    Step, UnitOfWork, roles, sessions,
    sessions::Others,
    users,
    users::{Change, UserRow},
    wallets,
};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Page, Reach, ReceiptOf, Service, ServiceError,
    api_keys::Secret,
    asked::Window,
    audit::Did,
    codes::void_all,
    id_range,
    passwords::read_password,
    personal::{Person, Profile},
    roles::is_owner,
    unit::{Creation, Subject},
};

/// What a user is made of. The e-mail is no less private than the password.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub email: Secret,
    pub password: Secret,
    pub name: Option<Secret>,
}

/// Which users to list.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    pub status: Option<UserStatus>,
    /// Just this address.
    pub email: Option<Secret>,
}

/// Somebody to be written down, their password hashed.
pub(crate) struct NewPerson {
    pub tenant: TenantId,
    pub email: Email,
    pub name: Option<String>,
    pub password: String,
    pub status: UserStatus,
    pub email_verified_at: Option<Timestamp>,
    pub role: SystemRole,
}

/// The same with what writes them down. The first step misses where the address is taken.
pub(crate) struct MadePerson {
    pub row: UserRow,
    pub user: User,
    pub key: PersonKey,
    pub steps: Vec<Step>,
}

/// What is kept with the key of a creation: opened again as long as the person's key is there.
#[derive(Serialize, Deserialize)]
struct KeptUser {
    /// Without address and name.
    user: User,
    profile: Option<String>,
}

#[derive(Serialize)]
struct UserData {
    user_id: UserId,
    status: UserStatus,
}

/// How often a change is decided again when another one came between.
pub(crate) const ATTEMPTS: u32 = 4;

/// Whether the user is only somebody's word: a sign-up that nobody proved and nobody gave a role.
/// It gives way to whoever answers for the address, unless it has a wallet, or strangers could
/// block it.
fn is_mere_claim(row: &UserRow) -> bool {
    let is_bare = row.roles == [RoleRef::System(SystemRole::WalletHolder)];
    is_bare && row.status == UserStatus::Pending
}

pub(crate) fn read_email(text: &Secret) -> Result<Email, ServiceError> {
    Email::parse(text.reveal()).map_err(|rule| ServiceError::invalid("email", rule.to_string()))
}

impl Service {
    /// Makes a user who may log in at once: whoever asks answers for the address.
    pub async fn create_user(
        &self,
        asked: Asked<'_>,
        new: NewUser,
    ) -> Result<Done<User>, ServiceError> {
        let caller = asked.caller;
        caller.reach.require_tenant()?;
        let (email, password) =
            (read_email(&new.email)?, read_password("password", &new.password)?);
        let place = self.place_in_line()?;
        let name = new.name.as_ref().map_or("", Secret::reveal);
        let print = [new.email.reveal(), new.password.reveal(), name];
        let receipt = self.private_receipt(asked, &print).await?;
        let hash = self.email_hash(caller.tenant, &email).await?;
        // Spares a hash; what decides is the commit.
        let found = users::find_by_email(self.store(), caller.tenant, hash).await?;
        if found.as_ref().is_some_and(|row| !is_mere_claim(row)) {
            return self.opened(self.refuse(receipt, Refusal::EmailTaken).await?).await;
        }
        if let Err(error) = self.check_leaks(&password).await {
            return self.opened(self.keep_refusal(receipt, error).await?).await;
        }
        let made = self.make_person(NewPerson {
            tenant: caller.tenant,
            email,
            name: new.name.map(|name| name.reveal().to_owned()),
            password: self.hash_password(place, &password).await?,
            status: UserStatus::Active,
            email_verified_at: None,
            role: SystemRole::WalletHolder,
        });
        let MadePerson { row, user, mut steps, .. } = made.await?;
        let at = row.created_at;
        steps.push(self.audit(caller, user_did(kinds::USER_CREATED, row.id, &[]), at));
        let events = vec![self.user_event(kinds::USER_CREATED, &row, at)?];
        let mut unit = UnitOfWork { at, steps, events, receipt: None };
        let takes_place = found.is_some();
        if let Some(claim) = found {
            let nothing_given = wallets::none_of(caller.tenant, claim.id);
            let mut gone = self.erasure(caller, claim)?;
            gone.steps.push(nothing_given);
            gone.join(unit);
            unit = gone;
        }
        let user = User { email: None, name: None, ..user };
        let value = KeptUser { user, profile: row.profile };
        let creation = Creation { unit, receipt: Some(receipt), value };
        let done = match self.create_or(creation, |_| Refusal::EmailTaken.into()).await {
            Err(error) => self.keep_refusal(receipt, error).await?,
            Ok(done) => done,
        };
        if takes_place && !done.replayed {
            self.forget_deleted().await;
        }
        self.opened(done).await
    }

    /// The user of an answer that was kept. Of whoever is erased only the id is left.
    async fn opened(&self, done: Done<KeptUser>) -> Result<Done<User>, ServiceError> {
        let KeptUser { mut user, profile } = done.value;
        if let Some(mut row) = users::find(self.store(), user.tenant, user.id).await? {
            row.profile = profile;
            let profile = self.open_profile(&row)?;
            (user.email, user.name) = (profile.email, profile.name);
        }
        Ok(Done { value: user, replayed: done.replayed, position: done.position })
    }

    pub(crate) async fn make_person(&self, new: NewPerson) -> Result<MadePerson, ServiceError> {
        let at = self.now();
        let (tenant, id) = (new.tenant, UserId(self.scattered_id(at)));
        let person = Person { tenant, user: id };
        let (key, keep_key) = self.new_person_key(person);
        let profile = Profile { email: Some(new.email.shown.clone()), name: new.name.clone() };
        let role = RoleRef::System(new.role);
        let row = UserRow {
            id,
            tenant,
            email_hash: Some(self.email_hash(tenant, &new.email).await?),
            profile: Some(self.seal_profile(&key, person, &profile)?),
            password: Some(new.password),
            status: new.status,
            email_verified_at: new.email_verified_at,
            failed_logins: 0,
            locked_until: None,
            failed_proofs: 0,
            proofs_locked_until: None,
            deactivated_from: None,
            foreign: None,
            version: 1,
            created_at: at,
            updated_at: at,
            person_key: None,
            roles: vec![role],
        };
        let user = User {
            id,
            tenant,
            status: row.status,
            email: profile.email,
            name: profile.name,
            email_verified_at: row.email_verified_at,
            roles: row.roles.clone(),
            version: row.version,
            created_at: at,
        };
        let steps = vec![users::insert(&row), keep_key, roles::give(tenant, id, role)];
        Ok(MadePerson { row, user, key, steps })
    }

    pub async fn user(&self, caller: &Caller, id: UserId) -> Result<User, ServiceError> {
        self.user_of(self.reached_row(caller, id).await?)
    }

    pub async fn me(&self, caller: &Caller) -> Result<User, ServiceError> {
        self.user_of(self.own_row(caller).await?)
    }

    pub(crate) async fn own_row(&self, caller: &Caller) -> Result<UserRow, ServiceError> {
        let user = caller.signed_in()?.user;
        let row = users::find(self.store(), caller.tenant, user).await?;
        row.ok_or(ServiceError::NotFound("user"))
    }

    pub(crate) async fn reached_row(
        &self,
        caller: &Caller,
        id: UserId,
    ) -> Result<UserRow, ServiceError> {
        let reached = caller.reach == Reach::Tenant || caller.reach == Reach::Own(id);
        let found = match reached {
            true => users::find(self.store(), caller.tenant, id).await?,
            false => None,
        };
        found.ok_or(ServiceError::NotFound("user"))
    }

    pub async fn list_users(
        &self,
        caller: &Caller,
        filter: &UserFilter,
        window: &Window,
    ) -> Result<Page<User>, ServiceError> {
        let (from, before) = id_range(&window.created);
        let before = window.cursor.map_or(before, |cursor| cursor.min(before));
        let status = filter.status;
        let tenant = caller.tenant;
        let rows = match (&filter.email, caller.reach) {
            (Some(email), _) => {
                let hash = self.email_hash(tenant, &read_email(email)?).await?;
                users::find_by_email(self.store(), tenant, hash).await?.into_iter().collect()
            }
            (None, Reach::Own(own)) => {
                users::find(self.store(), tenant, own).await?.into_iter().collect()
            }
            (None, Reach::Tenant) => {
                let limit = window.rows();
                users::list(self.store(), &users::Filter { tenant, status, before, from, limit })
                    .await?
            }
        };
        let is_meant = |row: &UserRow| {
            let is_reached = caller.reach == Reach::Tenant || caller.reach == Reach::Own(row.id);
            let is_here = (from..before).contains(&row.id.0);
            is_reached && is_here && status.is_none_or(|status| status == row.status)
        };
        let users = rows.into_iter().filter(is_meant).map(|row| self.user_of(row));
        let users = users.collect::<Result<Vec<_>, _>>()?;
        Ok(window.page(users, |user| (user.id.0, user.created_at)))
    }

    /// Lets somebody in again, or no longer: then all their sessions end.
    pub async fn set_user_status(
        &self,
        asked: Asked<'_>,
        id: UserId,
        active: bool,
    ) -> Result<Done<User>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let row = self.reached_row(caller, id).await?;
        self.require_step_up(caller)?;
        self.require_over(caller, &row).await?;
        let (kind, status) = match (active, row.email_verified_at, row.status) {
            (_, _, status @ UserStatus::Erased) => {
                return self
                    .opened(self.refuse(receipt, Refusal::UserState { status }).await?)
                    .await;
            }
            (false, ..) => (kinds::USER_DEACTIVATED, UserStatus::Deactivated),
            // Who was never let in is not now.
            (true, _, UserStatus::Pending) => (kinds::USER_REACTIVATED, UserStatus::Pending),
            (true, None, _) if row.deactivated_from == Some(UserStatus::Pending) => {
                (kinds::USER_REACTIVATED, UserStatus::Pending)
            }
            (true, ..) => (kinds::USER_REACTIVATED, UserStatus::Active),
        };
        if status == row.status {
            let value = self.user_of(row)?;
            return Ok(Done { value, replayed: false, position: Vec::new() });
        }
        let unit = self.status_unit(caller, &row, (kind, status))?;
        let owner_check = unit.steps.len() - 1;
        let mut user = self.user_of(row.clone())?;
        (user.status, user.version) = (status, row.version + 1);
        let kept = User { email: None, name: None, ..user };
        let value = KeptUser { user: kept, profile: row.profile };
        let creation = Creation { unit, receipt: Some(receipt), value };
        let missed = |step| match step == owner_check {
            true => Refusal::LastOwner.into(),
            false => ServiceError::Stale,
        };
        let done = match self.create_or(creation, missed).await {
            Err(ServiceError::Stale) => return Err(Refusal::Conflict.into()),
            Err(error) => self.keep_refusal(receipt, error).await?,
            Ok(done) => done,
        };
        self.opened(done).await
    }

    fn status_unit(
        &self,
        caller: &Caller,
        row: &UserRow,
        (kind, status): (&'static str, UserStatus),
    ) -> Result<UnitOfWork, ServiceError> {
        let at = self.now();
        let (tenant, user) = (row.tenant, row.id);
        let (lock_owners, owner_remains) = roles::owner_remains(tenant);
        let mut steps = vec![lock_owners, users::set_status(&self.change_of(row, at), status)];
        if status == UserStatus::Deactivated {
            let all = Others { tenant, user, except: None };
            steps.push(sessions::revoke_all_of_user(&all, at));
            steps.extend(void_all(tenant, user, at));
        }
        steps.push(self.audit(caller, user_did(kind, user, &["status"]), at));
        let takes_owner = status == UserStatus::Deactivated && is_owner(row);
        steps.extend(takes_owner.then_some(owner_remains));
        let row = UserRow { status, ..row.clone() };
        let events = vec![self.user_event(kind, &row, at)?];
        Ok(UnitOfWork { at, steps, events, receipt: None })
    }

    /// Nobody takes out whoever may more than they themselves. What is somebody's own does not
    /// count, for every user has that.
    pub(crate) async fn require_over(
        &self,
        caller: &Caller,
        row: &UserRow,
    ) -> Result<(), ServiceError> {
        let standing = roles::standing(self.store(), row.tenant, row.id).await?;
        let wide = standing.map(|standing| standing.wide).unwrap_or_default();
        wide.into_iter().try_for_each(|scope| caller.require_wide(scope))
    }

    /// The change that comes after the row.
    pub(crate) fn change_of(&self, row: &UserRow, at: Timestamp) -> Change {
        Change { tenant: row.tenant, id: row.id, version: row.version + 1, at }
    }

    pub(crate) fn user_event(
        &self,
        kind: &'static str,
        row: &UserRow,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let (tenant, id) = (row.tenant, row.id);
        let data = UserData { user_id: id, status: row.status };
        self.event(&Subject { kind, tenant, id: id.0, text: &id, at }, &data)
    }

    /// The receipt of a request whose body must not be guessed from its fingerprint: the parts are
    /// hashed under a key of the vault.
    pub(crate) async fn private_receipt(
        &self,
        asked: Asked<'_>,
        parts: &[&str],
    ) -> Result<ReceiptOf, ServiceError> {
        let Asked { caller, receipt } = asked;
        let print = self.private_print(caller.tenant, parts).await?;
        let (open, private) = (receipt.fingerprint.0.to_be_bytes(), print.to_be_bytes());
        Ok(ReceiptOf { fingerprint: Fingerprint::of(&[&open, &private]), ..receipt })
    }
}

pub(crate) fn user_did<'a>(action: &'a str, user: UserId, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "user", object_id: user.to_string(), fields }
}

/// The actor that a person is.
pub(crate) fn actor(row: &UserRow) -> Actor {
    Actor::User(row.id)
}
