//! Personal data at rest: sealed with the key of its person, found by the hash of the address.
//!
//! Everything sealed is bound to its tenant, row and field. A person's key is sealed by the vault
//! in `person_keys`; once that row is gone, nothing of the person can be read again.

use std::fmt;

use caudal_domain::{TenantId, User, UserId, id::Chance};
use caudal_identity::{Binding, Email, LookupKey, PersonKey, Vault, VaultError, lookup_hash};
use caudal_store::{Step, UnitOfWork, UnitOutcome, person_keys, users::UserRow, vault_keys};
use serde::{Deserialize, Serialize};

use crate::{Service, ServiceError};

/// The name in `vault_keys` of the key under which addresses are hashed.
pub(crate) const LOOKUP_KEY: &str = "email_lookup";

/// Who somebody is.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// As it was written.
    pub email: Option<String>,
    pub name: Option<String>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(…)")
    }
}

/// Whose data it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub tenant: TenantId,
    pub user: UserId,
}

impl From<&UserRow> for Person {
    fn from(row: &UserRow) -> Self {
        Self { tenant: row.tenant, user: row.id }
    }
}

/// Where the sealed key of the instance stands. Used, too, when master keys are rotated.
pub(crate) fn vault_key_row(name: &str) -> String {
    format!("vault_keys/{name}")
}

/// Where the sealed key of a person stands.
pub(crate) fn person_key_row(user: UserId) -> String {
    format!("person_keys/{user}")
}

/// The field of both.
pub(crate) const SEALED: &str = "sealed";

impl Service {
    /// Under which hash an address is found. The key is made once for all instances: of two that
    /// make it at the same time, the second takes the first one's.
    pub async fn email_hash(&self, tenant: TenantId, email: &Email) -> Result<u128, ServiceError> {
        let key = self.inner.lookup_key.get_or_try_init(|| self.load_vault_key(LOOKUP_KEY)).await?;
        Ok(lookup_hash(key, tenant, &email.normalised))
    }

    /// A fingerprint of what must not be guessed from it.
    pub(crate) async fn private_print(
        &self,
        tenant: TenantId,
        parts: &[&str],
    ) -> Result<u128, ServiceError> {
        let key = self.inner.lookup_key.get_or_try_init(|| self.load_vault_key(LOOKUP_KEY)).await?;
        // U+0000 is in no address: no fingerprint is the hash of one.
        Ok(lookup_hash(key, tenant, &format!("\0{}", parts.join("\0"))))
    }

    /// The key of that name; made where there is none.
    pub(crate) async fn load_vault_key(&self, name: &str) -> Result<LookupKey, ServiceError> {
        if let Some(found) = vault_keys::find(self.store(), name).await? {
            return self.open_vault_key(&found);
        }
        let key = LookupKey::generate(self.chance());
        let row = vault_key_row(name);
        let sealed = key.seal_key(self.vault(), self.chance(), &instance_bound(&row));
        let name = name.to_owned();
        let row = vault_keys::VaultKey { name, sealed };
        let steps = vec![vault_keys::insert(&row)];
        let unit = UnitOfWork { at: self.now(), steps, ..UnitOfWork::default() };
        if let (UnitOutcome::Done, _) = self.commit(unit).await? {
            return Ok(key);
        }
        let first = vault_keys::find(self.store(), &row.name).await?;
        self.open_vault_key(&first.ok_or_else(|| unreadable(&"no key of the instance"))?)
    }

    fn open_vault_key(&self, found: &vault_keys::VaultKey) -> Result<LookupKey, ServiceError> {
        let row = vault_key_row(&found.name);
        LookupKey::open_key(self.vault(), &instance_bound(&row), &found.sealed).map_err(not_opened)
    }

    /// A key for a new person, and the step that keeps it.
    pub(crate) fn new_person_key(&self, person: Person) -> (PersonKey, Step) {
        let key = PersonKey::generate(self.chance());
        let row = person_key_row(person.user);
        let bound_to = Binding { tenant: person.tenant, row: &row, field: SEALED };
        let sealed = key.seal_key(self.vault(), self.chance(), &bound_to);
        let Person { tenant, user } = person;
        (key, person_keys::insert(&person_keys::PersonKey { user, tenant, sealed }))
    }

    /// `None` for those who are erased.
    pub(crate) fn person_key(&self, row: &UserRow) -> Result<Option<PersonKey>, ServiceError> {
        let Some(sealed) = &row.person_key else { return Ok(None) };
        let place = person_key_row(row.id);
        let bound_to = Binding { tenant: row.tenant, row: &place, field: SEALED };
        PersonKey::open_key(self.vault(), &bound_to, sealed).map(Some).map_err(not_opened)
    }

    /// Empty for those who are erased.
    pub(crate) fn open_profile(&self, row: &UserRow) -> Result<Profile, ServiceError> {
        let (Some(key), Some(sealed)) = (self.person_key(row)?, &row.profile) else {
            return Ok(Profile::default());
        };
        let place = format!("users/{}", row.id);
        let bound_to = Binding { tenant: row.tenant, row: &place, field: "profile" };
        let plain = key.open(&bound_to, sealed).map_err(not_opened)?;
        serde_json::from_slice(&plain).map_err(|error| unreadable(&error))
    }

    /// For the column `users.profile`.
    pub(crate) fn seal_profile(
        &self,
        key: &PersonKey,
        person: Person,
        profile: &Profile,
    ) -> Result<String, ServiceError> {
        let place = format!("users/{}", person.user);
        let bound_to = Binding { tenant: person.tenant, row: &place, field: "profile" };
        let plain = serde_json::to_vec(profile).map_err(|error| unreadable(&error))?;
        Ok(key.seal(self.chance(), &bound_to, &plain))
    }

    /// The user of a row, opened.
    pub(crate) fn user_of(&self, row: UserRow) -> Result<User, ServiceError> {
        let Profile { email, name } = self.open_profile(&row)?;
        let UserRow { id, tenant, status, email_verified_at, roles, version, created_at, .. } = row;
        Ok(User { id, tenant, status, email, name, email_verified_at, roles, version, created_at })
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.people().vault
    }

    pub(crate) fn chance(&self) -> &dyn Chance {
        self.inner.chance.as_ref()
    }
}

/// Of what belongs to the instance.
fn instance_bound(row: &str) -> Binding<'_> {
    Binding { tenant: TenantId(0), row, field: SEALED }
}

pub(crate) fn not_opened(error: VaultError) -> ServiceError {
    match error {
        // A setting that is wrong, not a row.
        VaultError::UnknownKey(_) => {
            tracing::error!(%error, "a master key that seals stored data is not set");
            ServiceError::Unavailable("stored data can't be read now".into())
        }
        other => unreadable(&other),
    }
}

fn unreadable(error: &dyn fmt::Display) -> ServiceError {
    ServiceError::Broken(format!("sealed data is not as expected: {error}"))
}
