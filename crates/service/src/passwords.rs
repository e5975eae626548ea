//! Passwords: changed by those who know them, recovered by those who read their mail, and checked
//! against what leaked elsewhere.

use std::time::{Duration, Instant};

use caudal_domain::{
    Actor, CodePurpose, Mail, MailId, MailTemplate, Refusal, TenantId, Timestamp, UserId,
    UserStatus, event::kinds,
};
use caudal_identity::{
    Email, Password, PersonKey,
    common_passwords::is_common,
    opaque,
    passwords::{Place, SALT_BYTES},
};
use caudal_outbound::breached_passwords::Breach;
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, codes,
    codes::Code,
    mails, sessions,
    sessions::Others,
    users,
    users::{Replacement, UserRow},
};

use crate::{
    Asked, Caller, Origin, Service, ServiceError,
    api_keys::Secret,
    audit::{By, Did},
    codes::{one_time_code, owner_of_code, unknown_code, void_all},
    guesses::{PASSWORD, Proving},
    logins::not_hashed,
    mails::NewMail,
    personal::{Person, Profile},
    unit::Creation,
    users::read_email,
};

/// A code that sets a password: as short as mail allows.
const RECOVERY_SECONDS: i64 = 30 * 60;

/// Whoever asks for a recovery waits for whole steps of this, in which the little hides that more
/// is done for an address that is known.
const ANSWER_STEP: Duration = Duration::from_millis(50);

/// Who asks for a new password, without being known.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub email: Secret,
    /// `None`: the only one there is.
    pub tenant: Option<TenantId>,
}

/// A new password, with what proves that its owner sets it.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// A code of a mail, or the password there was.
    pub proof: Secret,
    pub password: Secret,
}

/// The steps in which something that took so long is answered.
fn in_steps(took: Duration) -> Duration {
    let whole = took.as_micros() / ANSWER_STEP.as_micros();
    ANSWER_STEP * u32::try_from(whole).unwrap_or(u32::MAX - 1).saturating_add(1)
}

/// The form of a password; never says the password.
pub(crate) fn read_password(param: &str, text: &Secret) -> Result<Password, ServiceError> {
    Password::parse(text.reveal()).map_err(|rule| ServiceError::invalid(param, rule.to_string()))
}

impl Service {
    /// When it is the place's turn.
    pub(crate) async fn hash_password(
        &self,
        place: Place,
        password: &Password,
    ) -> Result<String, ServiceError> {
        let turn = place.turn().await.map_err(not_hashed)?;
        let mut salt = [0; SALT_BYTES];
        self.chance().fill(&mut salt);
        self.people().hasher.hash(turn, password, salt).await.map_err(not_hashed)
    }

    /// The same for the first start, when nobody is served yet.
    pub(crate) fn hash_password_here(&self, password: &Password) -> Result<String, ServiceError> {
        let mut salt = [0; SALT_BYTES];
        self.chance().fill(&mut salt);
        self.people().hasher.hash_here(password, salt).map_err(not_hashed)
    }

    /// Refuses what is known from leaks: by the list at hand always, by a service where one is set.
    pub(crate) async fn check_leaks(&self, password: &Password) -> Result<(), ServiceError> {
        if is_common(password.as_str()) {
            return Err(Refusal::PasswordCompromised.into());
        }
        let Some(breached) = &self.people().breached_passwords else { return Ok(()) };
        match breached.check(password.as_str()).await {
            Breach::Clean => Ok(()),
            Breach::Breached(_) => Err(Refusal::PasswordCompromised.into()),
            Breach::Unavailable if self.people().settings.breach_check_fails_open => Ok(()),
            Breach::Unavailable => Err(ServiceError::Unavailable(
                "new passwords can't be checked against leaked ones now: try again later".into(),
            )),
        }
    }

    /// Asks whoever is signed in for their password again. Guesses are counted apart from those at
    /// the door, where strangers stand. What it opens begins by [`users::password_given`].
    pub(crate) async fn ask_password(
        &self,
        caller: &Caller,
        row: &UserRow,
        password: &Secret,
    ) -> Result<(), ServiceError> {
        let proving = Proving::in_session(caller, PASSWORD);
        let attempt = self.check_account(row.tenant, row.id.0, proving.limit())?;
        let turn = self.place_in_line()?.turn().await.map_err(not_hashed)?;
        let at = self.now();
        let user = Some(row).filter(|row| !row.is_locked_out_of(proving.guessed, at));
        if self.check_password(turn, user, password.reveal()).await? {
            self.attempt_succeeded(attempt);
            return Ok(());
        }
        self.guessed_wrong(&proving, Some(row)).await?;
        Err(ServiceError::WrongPassword)
    }

    /// Sets another password and ends every other session.
    pub async fn change_password(
        &self,
        asked: Asked<'_>,
        change: NewPassword,
    ) -> Result<crate::Done<()>, ServiceError> {
        let caller = asked.caller;
        let signed_in = caller.signed_in()?;
        let print = [change.proof.reveal(), change.password.reveal()];
        let receipt = self.private_receipt(asked, &print).await?;
        if let Some(done) = self.said_before(receipt).await? {
            return Ok(done);
        }
        let password = read_password("new", &change.password)?;
        let row = self.own_row(caller).await?;
        self.ask_password(caller, &row, &change.proof).await?;
        if let Err(error) = self.check_leaks(&password).await {
            return self.keep_refusal(receipt, error).await;
        }
        let new = self.hash_password(self.place_in_line()?, &password).await?;
        let old = row.password.clone().unwrap_or_default();
        let at = self.now();
        let (tenant, id) = (row.tenant, row.id);
        let replaced = users::replace_password(&Replacement { tenant, id, old, new, at });
        let mut steps = vec![users::password_given(tenant, id, at), replaced];
        let except = Some(signed_in.session);
        steps.push(sessions::revoke_all_of_user(&Others { tenant, user: id, except }, at));
        steps.extend(void_all(tenant, id, at));
        steps.extend(self.mail_to(&row, MailTemplate::PasswordChanged, at)?);
        steps.push(self.audit(caller, password_did(kinds::PASSWORD_CHANGED, id), at));
        let events = vec![self.user_event(kinds::PASSWORD_CHANGED, &row, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        let creation = Creation { unit, receipt: Some(receipt), value: () };
        // Missed: the password was changed meanwhile, or others guessed at it.
        self.create_or(creation, |_| Refusal::Conflict.into()).await
    }

    /// Sends a code to the address, if it has an account; says nothing about that, and takes as
    /// long either way.
    pub async fn recover(&self, origin: &Origin, asked: Recovery) -> Result<(), ServiceError> {
        self.check_mailing(origin)?;
        let email = read_email(&asked.email)?;
        let tenant = self.tenant_of_stranger(asked.tenant).await?;
        let hash = self.email_hash(tenant, &email).await?;
        self.check_recipient(tenant, hash, CodePurpose::Recover)?;
        let begun = Instant::now();
        let sent = self.begin_recovery(tenant, &email, hash).await;
        tokio::time::sleep_until((begun + in_steps(begun.elapsed())).into()).await;
        sent
    }

    async fn begin_recovery(
        &self,
        tenant: TenantId,
        email: &Email,
        hash: u128,
    ) -> Result<(), ServiceError> {
        let found = users::find_by_email(self.store(), tenant, hash).await?;
        let at = self.now();
        let steps = match found.filter(may_recover) {
            Some(row) => self.recovery_steps(&row, at)?,
            None => {
                let nobody = Person { tenant, user: UserId(0) };
                let mut steps = only_recovery(nobody, at).map(Step::or_none).to_vec();
                steps.extend(self.steps_for_nobody(tenant, email, at)?);
                steps
            }
        };
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await.map(drop)
    }

    fn recovery_steps(&self, row: &UserRow, at: Timestamp) -> Result<Vec<Step>, ServiceError> {
        let key = self.person_key(row)?.ok_or(ServiceError::NotFound("user"))?;
        let to = self.open_profile(row)?.email.unwrap_or_default();
        let text = opaque::generate(opaque::Prefix::Code, self.chance());
        let code = recovery_code(row.into(), &text, at);
        let new = NewMail {
            person: row.into(),
            key: &key,
            template: MailTemplate::RecoverPassword,
            to: &to,
            code: Some(&text),
        };
        let by = By { tenant: row.tenant, actor: Actor::Anyone, origin: None };
        let did = password_did("password.recovery_asked", row.id);
        let mut steps = only_recovery(row.into(), at).to_vec();
        steps.extend([codes::insert(&code), self.mail(&new, at)?, self.audit(by, did, at)]);
        Ok(steps)
    }

    /// As much work, for an address without an account: rows that nobody will ever use, and that
    /// are thrown away like any other.
    pub(crate) fn steps_for_nobody(
        &self,
        tenant: TenantId,
        email: &Email,
        at: Timestamp,
    ) -> Result<Vec<Step>, ServiceError> {
        let person = Person { tenant, user: UserId(self.scattered_id(at)) };
        // A key that is forgotten at once.
        let key = PersonKey::generate(self.chance());
        let text = opaque::generate(opaque::Prefix::Code, self.chance());
        let new = NewMail {
            person,
            key: &key,
            template: MailTemplate::RecoverPassword,
            to: &email.shown,
            code: Some(&text),
        };
        let mail = MailId(self.scattered_id(at));
        let sealed = self.sealed_mail(mail, &new)?;
        let row = Mail {
            id: mail,
            tenant,
            user: Some(person.user),
            template: new.template,
            created_at: at,
        };
        Ok(vec![
            codes::insert(&recovery_code(person, &text, at)),
            mails::insert(&row, &sealed),
            mails::failed(tenant, mail, at),
        ])
    }

    /// Sets the password of whoever got the mail, ends all their sessions and lets them in again.
    pub async fn confirm_recovery(
        &self,
        origin: &Origin,
        new: NewPassword,
    ) -> Result<(), ServiceError> {
        self.check_mailing(origin)?;
        let password = read_password("password", &new.password)?;
        let place = self.place_in_line()?;
        let at = self.now();
        let code = one_time_code(self, &new.proof, CodePurpose::Recover, at).await?;
        self.check_leaks(&password).await?;
        let phc = self.hash_password(place, &password).await?;
        let mut row = owner_of_code(self, &code).await?;
        if !may_recover(&row) {
            return Err(unknown_code());
        }
        let (tenant, user) = (row.tenant, row.id);
        let mut steps = vec![
            users::reset_password(tenant, user, &phc, at),
            codes::use_up(code.hash, CodePurpose::Recover, at),
            sessions::revoke_all_of_user(&Others { tenant, user, except: None }, at),
        ];
        steps.extend(void_all(tenant, user, at));
        let mut events = vec![self.user_event(kinds::PASSWORD_RECOVERED, &row, at)?];
        if row.email_verified_at.is_none() {
            if row.status == UserStatus::Pending {
                // The name came with the sign-up, and that may have been anybody's.
                let profile = Profile { name: None, ..self.open_profile(&row)? };
                steps.push(self.profile_step(&row, &profile, row.email_hash)?);
                row.version += 1;
                row.status = UserStatus::Active;
            }
            // Whoever reads the mail has the address.
            steps.push(users::verified(&self.change_of(&row, at)));
            events.push(self.user_event(kinds::USER_VERIFIED, &row, at)?);
        }
        steps.extend(self.mail_to(&row, MailTemplate::PasswordChanged, at)?);
        let actor = Actor::User(user);
        let by = By { tenant, actor, origin: Some(origin) };
        steps.push(self.audit(by, password_did(kinds::PASSWORD_RECOVERED, user), at));
        let unit = UnitOfWork { at, steps, events, receipt: None };
        match self.commit(unit).await?.0 {
            UnitOutcome::Missed(0 | 1) => Err(unknown_code()),
            UnitOutcome::Missed(_) => Err(Refusal::Conflict.into()),
            _ => {
                self.forget_guesses(&row);
                Ok(())
            }
        }
    }
}

/// Whom a foreign issuer vouches for has their password there.
fn may_recover(row: &UserRow) -> bool {
    row.status.may_recover() && row.foreign.is_none()
}

/// A newer code makes the older ones worthless. One after the other, or two could be good.
fn only_recovery(person: Person, at: Timestamp) -> [Step; 2] {
    let Person { tenant, user } = person;
    [users::lock(tenant, user), codes::void(tenant, user, CodePurpose::Recover, at)]
}

fn recovery_code(person: Person, text: &str, at: Timestamp) -> Code {
    Code {
        hash: opaque::hash(text),
        tenant: person.tenant,
        user: person.user,
        purpose: CodePurpose::Recover,
        data: None,
        expires_at: at.plus_seconds(RECOVERY_SECONDS),
        used_at: None,
        attempts: 0,
    }
}

fn password_did(action: &str, user: UserId) -> Did<'_> {
    Did { action, object_kind: "user", object_id: user.to_string(), fields: &["password"] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_whole_steps() {
        for (took, answered) in [(0, 50), (2_000, 50), (49_999, 50), (50_000, 100), (120_000, 150)]
        {
            assert_eq!(in_steps(Duration::from_micros(took)).as_millis(), answered, "{took}");
        }
    }
}
