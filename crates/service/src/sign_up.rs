//! Sign-up by anybody, and the proof of an address. Nobody learns here who has an account: the
//! answer is the same, the work is of the same kind, and the rest goes by mail.
//!
//! A code carries (sealed) what it puts into force: the password and name that were given with it,
//! or the new address. So whoever signs up somebody else's address first gains nothing: its owner
//! proves it with the code of their own sign-up, and gets their own password.

use caudal_domain::{
    Actor, CodePurpose, MailTemplate, Refusal, SystemRole, TenantId, Timestamp, UserStatus,
    event::kinds,
};
use caudal_identity::{Binding, Email, PersonKey, opaque};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, codes, codes::Code, tenants, users, users::UserRow,
};
use serde::{Deserialize, Serialize};

use crate::{
    Origin, Service, ServiceError,
    api_keys::Secret,
    audit::By,
    codes::{one_time_code, owner_of_code, unknown_code},
    mails::{NewMail, code_row},
    passwords::read_password,
    personal::{Person, Profile, not_opened},
    unit::broken,
    users::{ATTEMPTS, MadePerson, NewPerson, NewUser, actor, read_email, user_did},
};

/// A day: mail may be slow, and people are.
const VERIFY_SECONDS: i64 = 24 * 3600;

/// What a code puts into force, besides that the address is proven.
#[derive(Default, Serialize, Deserialize)]
struct Proven {
    /// PHC string.
    password: Option<String>,
    name: Option<String>,
    /// Another address than the one there is.
    email: Option<String>,
}

impl Service {
    /// Always the same answer. What the input alone tells is told: its form, a leaked password.
    pub async fn sign_up(
        &self,
        origin: &Origin,
        tenant: Option<TenantId>,
        new: NewUser,
    ) -> Result<(), ServiceError> {
        self.check_mailing(origin)?;
        let (email, password) =
            (read_email(&new.email)?, read_password("password", &new.password)?);
        let place = self.place_in_line()?;
        let tenant = self.tenant_of_stranger(tenant).await?;
        self.check_leaks(&password).await?;
        let hash = self.email_hash(tenant, &email).await?;
        self.check_recipient(tenant, hash, CodePurpose::VerifyEmail)?;
        let password = self.hash_password(place, &password).await?;
        let name = new.name.map(|name| name.reveal().to_owned());
        if tenants::find(self.store(), tenant).await?.is_none() {
            let at = self.now();
            let steps = self.steps_for_nobody(tenant, &email, at)?;
            return self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await.map(drop);
        }
        for _ in 0..ATTEMPTS {
            let at = self.now();
            let unit = match users::find_by_email(self.store(), tenant, hash).await? {
                None => {
                    let person = NewPerson {
                        tenant,
                        email: email.clone(),
                        name: name.clone(),
                        password: password.clone(),
                        status: UserStatus::Pending,
                        email_verified_at: None,
                        role: SystemRole::WalletHolder,
                    };
                    self.first_sign_up(origin, person).await?
                }
                Some(row) if row.status == UserStatus::Pending => {
                    let (password, name) = (Some(password.clone()), name.clone());
                    let proven = Proven { password, name, email: None };
                    let key = self.person_key(&row)?.ok_or_else(unknown_code)?;
                    let proof = Proof { row: &row, key: &key, to: &email };
                    let mut steps = vec![users::lock(tenant, row.id)];
                    steps.extend(self.verify_steps(&proof, &proven, at)?);
                    UnitOfWork { at, steps, ..UnitOfWork::default() }
                }
                Some(row) => {
                    let steps = self.steps_to_known(&row, at)?;
                    UnitOfWork { at, steps, ..UnitOfWork::default() }
                }
            };
            // Missed: somebody came with the same address at the same time.
            if let (UnitOutcome::Done, _) = self.commit(unit).await? {
                return Ok(());
            }
        }
        Err(Refusal::Conflict.into())
    }

    /// The tenant that was named, whether there is one or not, so that nobody learns which there
    /// are; or the only one.
    pub(crate) async fn tenant_of_stranger(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<TenantId, ServiceError> {
        if let Some(id) = tenant {
            return Ok(id);
        }
        match tenants::first(self.store(), 2).await?.as_slice() {
            [only] => Ok(only.id),
            [] => Err(ServiceError::invalid("tenant", "is needed: there is none yet")),
            _ => Err(ServiceError::invalid("tenant", "is needed: there are several")),
        }
    }

    async fn first_sign_up(
        &self,
        origin: &Origin,
        person: NewPerson,
    ) -> Result<UnitOfWork, ServiceError> {
        let (to, tenant) = (person.email.clone(), person.tenant);
        let (password, name) = (Some(person.password.clone()), person.name.clone());
        let proven = Proven { password, name, email: None };
        let MadePerson { row, key, mut steps, .. } = self.make_person(person).await?;
        let at = row.created_at;
        let proof = Proof { row: &row, key: &key, to: &to };
        steps.extend(self.verify_steps(&proof, &proven, at)?);
        let by = By { tenant, actor: Actor::Anyone, origin: Some(origin) };
        steps.push(self.audit(by, user_did(kinds::USER_CREATED, row.id, &[]), at));
        let events = vec![self.user_event(kinds::USER_CREATED, &row, at)?];
        Ok(UnitOfWork { at, steps, events, receipt: None })
    }

    /// A code, and the mail with it.
    fn verify_steps(
        &self,
        proof: &Proof<'_>,
        proven: &Proven,
        at: Timestamp,
    ) -> Result<Vec<Step>, ServiceError> {
        let Proof { row, key, to } = proof;
        let text = opaque::generate(opaque::Prefix::Code, self.chance());
        let hash = opaque::hash(&text);
        let place = code_row(hash, row.id);
        let bound_to = Binding { tenant: row.tenant, row: &place, field: "data" };
        let plain = serde_json::to_vec(proven).map_err(broken)?;
        let code = Code {
            hash,
            tenant: row.tenant,
            user: row.id,
            purpose: CodePurpose::VerifyEmail,
            data: Some(key.seal(self.chance(), &bound_to, &plain)),
            expires_at: at.plus_seconds(VERIFY_SECONDS),
            used_at: None,
            attempts: 0,
        };
        let (person, to) = (Person::from(*row), to.shown.as_str());
        let mail =
            NewMail { person, key, template: MailTemplate::VerifyEmail, to, code: Some(&text) };
        Ok(vec![codes::insert(&code), self.mail(&mail, at)?])
    }

    /// Tells whoever has the address that they have an account; with as many rows as a sign-up.
    fn steps_to_known(&self, row: &UserRow, at: Timestamp) -> Result<Vec<Step>, ServiceError> {
        let shown = self.open_profile(row)?.email.unwrap_or_default();
        let email = Email { normalised: String::new(), shown };
        let mut steps = self.steps_for_nobody(row.tenant, &email, at)?;
        steps.extend(self.mail_to(row, MailTemplate::AlreadyRegistered, at)?);
        Ok(steps)
    }

    /// Of somebody who wants another address: a code to it, or to its owner that it is taken.
    pub(crate) async fn steps_to_new_address(
        &self,
        row: &UserRow,
        email: &Email,
        at: Timestamp,
    ) -> Result<Vec<Step>, ServiceError> {
        let hash = self.email_hash(row.tenant, email).await?;
        self.check_recipient(row.tenant, hash, CodePurpose::VerifyEmail)?;
        let owner = users::find_by_email(self.store(), row.tenant, hash).await?;
        if let Some(other) = owner.filter(|other| other.id != row.id) {
            return self.steps_to_known(&other, at);
        }
        let key = self.person_key(row)?.ok_or(ServiceError::NotFound("user"))?;
        let proven = Proven { email: Some(email.shown.clone()), ..Proven::default() };
        self.verify_steps(&Proof { row, key: &key, to: email }, &proven, at)
    }

    /// Uses a code: the address is proven, and what the code carries is in force.
    pub async fn verify_email(&self, origin: &Origin, text: &Secret) -> Result<(), ServiceError> {
        self.check_mailing(origin)?;
        for _ in 0..ATTEMPTS {
            let at = self.now();
            let code = one_time_code(self, text, CodePurpose::VerifyEmail, at).await?;
            let row = owner_of_code(self, &code).await?;
            let proven = self.proven(&row, &code)?;
            let unit = self.proof_unit(origin, &Used { row, code, proven }, at).await?;
            match self.commit(unit).await?.0 {
                UnitOutcome::Done => return Ok(()),
                UnitOutcome::Missed(0 | 1) => return Err(unknown_code()),
                _ => {}
            }
        }
        Err(Refusal::Conflict.into())
    }

    fn proven(&self, row: &UserRow, code: &Code) -> Result<Proven, ServiceError> {
        let key = self.person_key(row)?.ok_or_else(unknown_code)?;
        let Some(sealed) = &code.data else { return Ok(Proven::default()) };
        let place = code_row(code.hash, row.id);
        let bound_to = Binding { tenant: row.tenant, row: &place, field: "data" };
        let plain = key.open(&bound_to, sealed).map_err(not_opened)?;
        serde_json::from_slice(&plain).map_err(broken)
    }

    async fn proof_unit(
        &self,
        origin: &Origin,
        used: &Used,
        at: Timestamp,
    ) -> Result<UnitOfWork, ServiceError> {
        let Used { row, code, proven } = used;
        let (tenant, user) = (row.tenant, row.id);
        let mut steps = vec![
            users::lock(tenant, user),
            codes::use_up(code.hash, CodePurpose::VerifyEmail, at),
            codes::void(tenant, user, CodePurpose::VerifyEmail, at),
        ];
        let mut row = row.clone();
        if row.status == UserStatus::Pending {
            let profile = Profile { name: proven.name.clone(), ..self.open_profile(&row)? };
            steps.push(self.profile_step(&row, &profile, row.email_hash)?);
            let password = proven.password.as_ref();
            steps.extend(password.map(|phc| users::reset_password(tenant, user, phc, at)));
            row.version += 1;
            row.status = UserStatus::Active;
        }
        let mut fields = vec!["email_verified_at"];
        if let Some(email) = &proven.email {
            steps.extend(self.address_steps(&row, email, at).await?);
            row.version += 1;
            fields.push("email");
        }
        steps.push(users::verified(&self.change_of(&row, at)));
        let by = By { tenant, actor: actor(&row), origin: Some(origin) };
        steps.push(self.audit(by, user_did(kinds::USER_VERIFIED, user, &fields), at));
        let events = vec![self.user_event(kinds::USER_VERIFIED, &row, at)?];
        Ok(UnitOfWork { at, steps, events, receipt: None })
    }

    /// The new address takes the old one's place; the old one is told, and codes sent to it are
    /// void.
    async fn address_steps(
        &self,
        row: &UserRow,
        email: &str,
        at: Timestamp,
    ) -> Result<Vec<Step>, ServiceError> {
        let email = read_email(&Secret::new(email))?;
        let hash = self.email_hash(row.tenant, &email).await?;
        let owner = users::find_by_email(self.store(), row.tenant, hash).await?;
        if owner.is_some_and(|other| other.id != row.id) {
            return Err(unknown_code());
        }
        let profile = Profile { email: Some(email.shown), ..self.open_profile(row)? };
        let mut steps = vec![self.profile_step(row, &profile, Some(hash))?];
        steps.push(codes::void(row.tenant, row.id, CodePurpose::Recover, at));
        steps.extend(self.mail_to(row, MailTemplate::EmailChanged, at)?);
        Ok(steps)
    }

    pub(crate) fn profile_step(
        &self,
        row: &UserRow,
        profile: &Profile,
        email_hash: Option<u128>,
    ) -> Result<Step, ServiceError> {
        let key = self.person_key(row)?.ok_or_else(unknown_code)?;
        let sealed = self.seal_profile(&key, row.into(), profile)?;
        let change = self.change_of(row, self.now());
        Ok(users::update_profile(&change, &sealed, email_hash))
    }
}

/// Who is to prove which address.
struct Proof<'a> {
    row: &'a UserRow,
    key: &'a PersonKey,
    to: &'a Email,
}

/// A code that is being used.
struct Used {
    row: UserRow,
    code: Code,
    proven: Proven,
}
