//! All that is held of one person, for themselves to have (GDPR, articles 15 and 20).

use caudal_domain::{
    AccountId, Actor, AuditRecord, Mail, MailId, Session, SessionId, User, UserId,
};
use caudal_store::{
    audit, mails, notifications, second_factors, sessions, users::UserRow, wallets,
};

use crate::{Caller, Service, ServiceError, notifications::Notification, users::user_did};

/// Of each kind at most, newest first: a person has not more, and an answer has a bound.
const MOST: i64 = 10_000;

/// E-mail and name are in the user.
#[derive(Clone, Debug)]
pub struct Export {
    pub user: User,
    pub has_password: bool,
    /// The foreign issuer who vouches for them, and its name for them.
    pub foreign: Option<(String, String)>,
    pub has_second_factor: bool,
    pub recovery_codes_left: i64,
    pub sessions: Vec<Session>,
    pub wallets: Vec<AccountId>,
    /// What they did.
    pub audit: Vec<AuditRecord>,
    /// Mails written to them.
    pub mails: Vec<Mail>,
    /// What they were told in the app.
    pub notifications: Vec<Notification>,
}

impl Service {
    pub async fn export_me(&self, caller: &Caller) -> Result<Export, ServiceError> {
        let row = self.own_row(caller).await?;
        self.export(caller, row).await
    }

    pub async fn export_user(&self, caller: &Caller, id: UserId) -> Result<Export, ServiceError> {
        let row = self.reached_row(caller, id).await?;
        self.export(caller, row).await
    }

    async fn export(&self, caller: &Caller, row: UserRow) -> Result<Export, ServiceError> {
        let (db, tenant, user) = (self.store(), row.tenant, row.id);
        let totp = second_factors::find_totp(db, tenant, user).await?;
        let export = Export {
            has_password: row.password.is_some(),
            foreign: row.foreign.clone().map(|foreign| (foreign.issuer, foreign.subject)),
            has_second_factor: totp.is_some_and(|totp| totp.confirmed_at.is_some()),
            recovery_codes_left: second_factors::count_recovery_codes(db, tenant, user).await?,
            sessions: sessions::list(db, &all_sessions(&row)).await?,
            wallets: self.wallets_of(&row).await?,
            audit: audit::list(db, &all_acts(&row)).await?,
            mails: self.mails_of(&row).await?,
            notifications: notifications::list(db, &all_told(&row)).await?,
            user: self.user_of(row)?,
        };
        let at = self.now();
        let did = user_did("user.exported", user, &[]);
        let steps = vec![self.audit(caller, did, at)];
        let unit = caudal_store::UnitOfWork { at, steps, ..Default::default() };
        self.commit(unit).await?;
        Ok(export)
    }

    async fn wallets_of(&self, row: &UserRow) -> Result<Vec<AccountId>, ServiceError> {
        let filter = wallets::Filter {
            tenant: row.tenant,
            user: Some(row.id),
            status: None,
            currency: None,
            before: u128::MAX,
            from: 0,
            limit: MOST,
        };
        let found = wallets::list(self.store(), &filter).await?;
        Ok(found.into_iter().map(|wallet| wallet.account.id).collect())
    }

    async fn mails_of(&self, row: &UserRow) -> Result<Vec<Mail>, ServiceError> {
        let newest = MailId(u128::MAX);
        let found = mails::list_of_user(self.store(), row.tenant, (row.id, newest), MOST).await?;
        Ok(found.into_iter().map(|row| row.mail).collect())
    }
}

fn all_sessions(row: &UserRow) -> sessions::Filter {
    sessions::Filter {
        tenant: row.tenant,
        user: row.id,
        live_at: None,
        before: SessionId(u128::MAX),
        limit: MOST,
    }
}

fn all_told(row: &UserRow) -> notifications::Filter {
    notifications::Filter {
        tenant: row.tenant,
        user: row.id,
        unread: false,
        before: u128::MAX,
        limit: MOST,
    }
}

fn all_acts(row: &UserRow) -> audit::Filter {
    audit::Filter {
        tenant: row.tenant,
        actor: Some(Actor::User(row.id)),
        action: None,
        object: None,
        before: u128::MAX,
        from: 0,
        limit: MOST,
    }
}
