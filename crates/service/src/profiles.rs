//! Profiles: what people change of their own.

use caudal_domain::{Refusal, User, event::kinds};
use caudal_store::{
    UnitOfWork, UnitOutcome,
    users::{self, UserRow},
};

use crate::{
    Caller, Done, Edit, Service, ServiceError,
    api_keys::Secret,
    personal::Profile,
    users::{read_email, user_did},
};

/// What somebody changes of their own; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    pub name: Option<Option<Secret>>,
    /// Takes effect once the new address is proven. Needs the password.
    pub email: Option<Secret>,
    pub password: Option<Secret>,
}

impl Service {
    /// Changes the name at once; sends a code to a new address.
    pub async fn update_me(
        &self,
        caller: &Caller,
        edit: Edit<'_, User, ProfileChange>,
    ) -> Result<Done<User>, ServiceError> {
        let Edit { change, is_met } = edit;
        let row = self.own_row(caller).await?;
        let user = self.user_of(row.clone())?;
        if is_met.is_some_and(|is_met| !is_met(&user)) {
            return Err(ServiceError::Stale);
        }
        let at = self.now();
        let mut unit = UnitOfWork { at, ..UnitOfWork::default() };
        let mut changed = user;
        if let Some(name) = change.name {
            changed.name = name.map(|name| name.reveal().to_owned());
            changed.version += 1;
            self.write_profile(&row, &changed, &mut unit)?;
            let did = user_did(kinds::USER_UPDATED, row.id, &["name"]);
            unit.steps.push(self.audit(caller, did, at));
            unit.events.push(self.user_event(kinds::USER_UPDATED, &row, at)?);
        }
        if let Some(email) = &change.email {
            let Some(password) = &change.password else {
                let detail = "is needed to change the e-mail address";
                return Err(ServiceError::invalid("password", detail));
            };
            let email = read_email(email)?;
            self.check_mailing(&caller.origin)?;
            self.require_fresh_factor(caller).await?;
            self.ask_password(caller, &row, password).await?;
            unit.steps.push(users::password_given(row.tenant, row.id, at));
            unit.steps.extend(self.steps_to_new_address(&row, &email, at).await?);
            let did = user_did("user.email_change_asked", row.id, &["email"]);
            unit.steps.push(self.audit(caller, did, at));
        }
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => Ok(Done { value: changed, replayed: false, position }),
            _ if is_met.is_some() => Err(ServiceError::Stale),
            _ => Err(Refusal::Conflict.into()),
        }
    }

    fn write_profile(
        &self,
        row: &UserRow,
        user: &User,
        unit: &mut UnitOfWork,
    ) -> Result<(), ServiceError> {
        let key = self.person_key(row)?.ok_or(ServiceError::NotFound("user"))?;
        let profile = Profile { email: user.email.clone(), name: user.name.clone() };
        let sealed = self.seal_profile(&key, row.into(), &profile)?;
        let change = self.change_of(row, unit.at);
        unit.steps.push(users::update_profile(&change, &sealed, row.email_hash));
        Ok(())
    }
}
