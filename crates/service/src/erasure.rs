//! Erasure: nothing personal stays. The person's key goes, and with it whatever it sealed, also in
//! receipts and in backups; the books keep the id, which then names nobody.

use caudal_domain::{Refusal, UserId, UserStatus, event::kinds};
use caudal_store::{
    UnitOfWork, UnitOutcome, codes, mails, notifications, person_keys, roles, second_factors,
    sessions, sessions::Others, users, users::UserRow, wallets,
};

use crate::{
    Caller, Service, ServiceError,
    api_keys::Secret,
    roles::is_owner,
    users::{ATTEMPTS, user_did},
};

impl Service {
    /// By themselves, who give their password once more; those without one, a fresh proof.
    pub async fn erase_me(
        &self,
        caller: &Caller,
        password: Option<&Secret>,
    ) -> Result<(), ServiceError> {
        let row = self.own_row(caller).await?;
        match (password, &row.password) {
            (Some(password), _) => {
                self.require_fresh_factor(caller).await?;
                self.ask_password(caller, &row, password).await?;
            }
            (None, None) => self.require_step_up(caller)?,
            (None, Some(_)) => return Err(ServiceError::invalid("password", "is needed")),
        }
        self.erase(caller, row.id).await
    }

    pub async fn erase_user(&self, caller: &Caller, id: UserId) -> Result<(), ServiceError> {
        let row = self.reached_row(caller, id).await?;
        self.require_step_up(caller)?;
        self.require_over(caller, &row).await?;
        self.erase(caller, id).await
    }

    /// Once erased, nothing is done again.
    async fn erase(&self, caller: &Caller, id: UserId) -> Result<(), ServiceError> {
        for _ in 0..ATTEMPTS {
            let found = users::find(self.store(), caller.tenant, id).await?;
            let row = found.ok_or(ServiceError::NotFound("user"))?;
            if row.status == UserStatus::Erased {
                return Ok(());
            }
            let unit = self.erasure(caller, row)?;
            let owner_check = unit.steps.len() - 1;
            match self.commit(unit).await?.0 {
                UnitOutcome::Missed(step) if step == owner_check => {
                    return Err(Refusal::LastOwner.into());
                }
                UnitOutcome::Missed(_) => {}
                _ => {
                    self.forget_deleted().await;
                    return Ok(());
                }
            }
        }
        Err(Refusal::Conflict.into())
    }

    /// Erased they are without it, too: what is left opens nothing that the master keys don't.
    pub(crate) async fn forget_deleted(&self) {
        if let Err(error) = self.store().forget_deleted().await {
            tracing::warn!(%error, "what was deleted still stands in the database's files");
        }
    }

    pub(crate) fn erasure(
        &self,
        caller: &Caller,
        row: UserRow,
    ) -> Result<UnitOfWork, ServiceError> {
        let at = self.now();
        let (tenant, user) = (row.tenant, row.id);
        let (lock_owners, owner_remains) = roles::owner_remains(tenant);
        let mut steps = vec![
            lock_owners,
            users::erase(&self.change_of(&row, at)),
            person_keys::destroy(tenant, user),
            sessions::revoke_all_of_user(&Others { tenant, user, except: None }, at),
            sessions::forget_origins(tenant, user),
            codes::remove_of_user(tenant, user),
            mails::remove_of_user(tenant, user),
            notifications::remove_of_user(tenant, user),
            wallets::forget_words(tenant, user),
        ];
        steps.extend(second_factors::remove(tenant, user));
        steps.push(roles::take_all(tenant, user));
        steps.push(self.audit(caller, user_did(kinds::USER_ERASED, user, &[]), at));
        if is_owner(&row) {
            steps.push(owner_remains);
        }
        let row = UserRow { status: UserStatus::Erased, ..row };
        let events = vec![self.user_event(kinds::USER_ERASED, &row, at)?];
        Ok(UnitOfWork { at, steps, events, receipt: None })
    }
}
