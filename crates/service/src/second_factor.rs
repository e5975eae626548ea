//! Second factors: TOTP with recovery codes, and what is asked again before sensitive operations.
//!
//! A seed is proposed, then put into force by its first code. From then on a login is half done
//! without a code (`step_up.rs` does the other half), and `require_step_up` asks for one again. A
//! code counts once, whichever instance sees it: the step that spends it misses the second time.

use std::time::Duration;

use caudal_domain::{Actor, Event, MailTemplate, TenantId, Timestamp, UserId, event::kinds};
use caudal_identity::{Binding, LookupKey, lookup_hash, opaque, totp};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome,
    second_factors::{self, Answered, Totp},
    sessions::{self, Others},
    users::{self, UserRow},
};
use serde::Serialize;
use totp::Seed;

use crate::{
    Caller, Service, ServiceError, SignedIn,
    api_keys::Secret,
    audit::Did,
    guesses::{PASSWORD, Proving, SECOND_FACTOR},
    personal::{Person, not_opened},
    unit::Subject,
};

/// What apps show above the code.
const ISSUER: &str = "Caudal";
/// Codes in a set: enough for years of lost phones, few enough to be printed.
const RECOVERY_CODES: usize = 10;
/// The name in `vault_keys` of the key under which recovery codes are hashed: they have 60 bits,
/// so that a plain hash of them could be searched.
const RECOVERY_KEY: &str = "recovery_codes";

/// What an app needs to make codes. Shown once.
#[derive(Debug)]
pub struct TotpProposal {
    pub secret: Secret,
    /// `otpauth://totp/…`, for a QR code.
    pub otpauth_uri: Secret,
}

/// What a signed-in user proves themselves with.
#[derive(Debug)]
pub enum Proof {
    Password(Secret),
    /// Of the app, or a recovery code.
    Code(Secret),
}

impl Proof {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Password(_) => PASSWORD,
            Self::Code(_) => SECOND_FACTOR,
        }
    }
}

#[derive(Serialize)]
struct SecondFactorData {
    user_id: UserId,
}

impl Service {
    /// Whether the caller proved who they are a moment ago. An API key is its own proof; a user
    /// gives the second factor again, or the password where the session has had no other.
    pub(crate) fn require_step_up(&self, caller: &Caller) -> Result<(), ServiceError> {
        let Some(signed_in) = &caller.session else { return Ok(()) };
        let proven_at = signed_in.second_factor_at.unwrap_or(signed_in.auth_at);
        let within = self.people().settings.step_up_within;
        if is_recent(proven_at, self.now(), within) {
            Ok(())
        } else {
            Err(ServiceError::StepUpRequired)
        }
    }

    /// The same of whoever has a second factor: a password alone does not stand for it.
    pub(crate) async fn require_fresh_factor(&self, caller: &Caller) -> Result<(), ServiceError> {
        let Actor::User(user) = caller.actor else { return Ok(()) };
        match self.totp_in_force(caller.tenant, user).await? {
            Some(_) => self.require_step_up(caller),
            None => Ok(()),
        }
    }

    /// The same for money: only amounts from the setting on, which without it are none.
    pub(crate) fn require_step_up_for(
        &self,
        caller: &Caller,
        amount_minor: i64,
    ) -> Result<(), ServiceError> {
        match self.people().settings.step_up_amount_minor {
            Some(from) if amount_minor >= from => self.require_step_up(caller),
            _ => Ok(()),
        }
    }

    /// A new seed in place of an earlier proposal. Refused when TOTP is in force.
    pub async fn propose_totp(
        &self,
        caller: &Caller,
        password: &Secret,
    ) -> Result<TotpProposal, ServiceError> {
        let row = self.own_row(caller).await?;
        self.ask_password(caller, &row, password).await?;
        let seed = Seed::generate(self.chance());
        let place = totp_row(row.id);
        let sealed = self.vault().seal(self.chance(), &bound(&row, &place), seed.bytes());
        let at = self.now();
        let steps = vec![
            users::password_given(row.tenant, row.id, at),
            second_factors::propose_totp(row.tenant, row.id, &sealed),
            self.audit(caller, did("second_factor.proposed", row.id), at),
        ];
        self.commit_all(UnitOfWork { at, steps, ..UnitOfWork::default() }, IN_FORCE).await?;
        let account = self.open_profile(&row)?.email.unwrap_or_else(|| row.id.to_string());
        let uri = seed.uri(ISSUER, &account);
        let uri = uri.ok_or_else(|| ServiceError::Broken("a TOTP URI can't be made".into()))?;
        let secret = Secret::new(seed.base32().as_str());
        Ok(TotpProposal { secret, otpauth_uri: Secret::new(uri.as_str()) })
    }

    /// Puts the proposal into force with its first code; the other sessions, which knew only the
    /// password, end. The recovery codes are shown once.
    pub async fn confirm_totp(
        &self,
        caller: &Caller,
        code: &Secret,
    ) -> Result<Vec<Secret>, ServiceError> {
        let SignedIn { session, .. } = caller.signed_in()?;
        let row = self.own_row(caller).await?;
        let totp = second_factors::find_totp(self.store(), row.tenant, row.id).await?;
        let totp = totp.filter(|totp| totp.confirmed_at.is_none());
        let totp = totp.ok_or(ServiceError::SecondFactorState(NOT_PROPOSED))?;
        let proving = Proving::in_session(caller, SECOND_FACTOR);
        let attempt = self.check_account(row.tenant, row.id.0, proving.limit())?;
        let at = self.now();
        let step = totp::check(&self.seed(&totp)?, code.reveal(), at, None);
        let step = step.ok_or(ServiceError::WrongProof)?;
        let answered = Answered { tenant: row.tenant, user: row.id, step };
        let (codes, renewed) = self.new_codes(&row).await?;
        let others = Others { tenant: row.tenant, user: row.id, except: Some(session) };
        let confirmed = second_factors::confirm_totp(&answered, &totp.seed, at);
        let mut steps = vec![users::lock(row.tenant, row.id), confirmed];
        steps.extend(renewed);
        steps.extend([
            sessions::stepped_up(row.tenant, session, at),
            sessions::revoke_all_of_user(&others, at),
            self.audit(caller, did(kinds::SECOND_FACTOR_ENABLED, row.id), at),
        ]);
        steps.extend(self.mail_to(&row, MailTemplate::SecondFactorEnabled, at)?);
        let events = vec![self.second_factor_event(kinds::SECOND_FACTOR_ENABLED, &row, at)?];
        self.commit_all(UnitOfWork { at, steps, events, receipt: None }, NOT_PROPOSED).await?;
        self.attempt_succeeded(attempt);
        Ok(codes)
    }

    /// Takes TOTP and the recovery codes away; asks for everything that was given before.
    pub async fn remove_totp(
        &self,
        caller: &Caller,
        password: &Secret,
        code: &Secret,
    ) -> Result<(), ServiceError> {
        let row = self.own_row(caller).await?;
        self.ask_password(caller, &row, password).await?;
        let at = self.now();
        let proving = Proving::in_session(caller, SECOND_FACTOR);
        let spent = self.prove_code(&proving, &row, code).await?;
        let mut steps = vec![users::proven(row.tenant, row.id, at), spent];
        steps.extend(second_factors::remove(row.tenant, row.id));
        steps.push(self.audit(caller, did(kinds::SECOND_FACTOR_DISABLED, row.id), at));
        steps.extend(self.mail_to(&row, MailTemplate::SecondFactorDisabled, at)?);
        let events = vec![self.second_factor_event(kinds::SECOND_FACTOR_DISABLED, &row, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        self.commit_proof(&proving, &row, unit).await
    }

    /// A new set; the old codes are worthless.
    pub async fn replace_recovery_codes(
        &self,
        caller: &Caller,
    ) -> Result<Vec<Secret>, ServiceError> {
        self.require_step_up(caller)?;
        let row = self.own_row(caller).await?;
        self.totp_in_force(row.tenant, row.id)
            .await?
            .ok_or(ServiceError::SecondFactorState(NOT_IN_FORCE))?;
        let at = self.now();
        let (codes, renewed) = self.new_codes(&row).await?;
        // Two sets at once come one after the other.
        let (tenant, user) = (row.tenant, row.id);
        let mut steps = vec![users::lock(tenant, user), second_factors::in_force(tenant, user)];
        steps.extend(renewed);
        let kind = kinds::SECOND_FACTOR_UPDATED;
        steps.push(self.audit(caller, Did { fields: FIELDS, ..did(kind, row.id) }, at));
        let events = vec![self.second_factor_event(kind, &row, at)?];
        self.commit_all(UnitOfWork { at, steps, events, receipt: None }, NOT_IN_FORCE).await?;
        Ok(codes)
    }

    /// Whether a login of this user needs a second factor.
    pub(crate) async fn totp_in_force(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Option<Totp>, ServiceError> {
        let totp = second_factors::find_totp(self.store(), tenant, user).await?;
        Ok(totp.filter(|totp| totp.confirmed_at.is_some()))
    }

    /// The step that spends the code: of the app, or a recovery code. In its unit it comes after
    /// the one that locks the user's row. A wrong one counts like a wrong password.
    pub(crate) async fn prove_code(
        &self,
        proving: &Proving<'_>,
        row: &UserRow,
        code: &Secret,
    ) -> Result<Step, ServiceError> {
        let attempt = self.check_account(row.tenant, row.id.0, proving.limit())?;
        let at = self.now();
        let in_force = self.totp_in_force(row.tenant, row.id).await?;
        let totp = in_force.ok_or(ServiceError::SecondFactorState(NOT_IN_FORCE))?;
        let step = match row.is_locked_out_of(proving.guessed, at) {
            true => None,
            false => self.spend(&totp, code.reveal(), at).await?,
        };
        match step {
            Some(step) => {
                self.attempt_succeeded(attempt);
                Ok(step)
            }
            None => {
                self.guessed_wrong(proving, Some(row)).await?;
                Err(ServiceError::WrongProof)
            }
        }
    }

    async fn spend(
        &self,
        totp: &Totp,
        code: &str,
        at: Timestamp,
    ) -> Result<Option<Step>, ServiceError> {
        let Totp { user, tenant, last_step, .. } = *totp;
        if let Some(code) = opaque::read_recovery_code(code) {
            let hash = self.recovery_hash(Person { tenant, user }, &code).await?;
            return Ok(Some(second_factors::use_recovery_code(tenant, user, hash, at)));
        }
        let step = totp::check(&self.seed(totp)?, code.trim(), at, last_step);
        Ok(step.map(|step| second_factors::advance_totp(&Answered { tenant, user, step })))
    }

    /// Commits a unit whose first step demands that proofs are not locked, and whose second spends
    /// the code; a code that was spent is wrong.
    pub(crate) async fn commit_proof(
        &self,
        proving: &Proving<'_>,
        row: &UserRow,
        unit: UnitOfWork,
    ) -> Result<(), ServiceError> {
        match self.commit(unit).await?.0 {
            UnitOutcome::Done => Ok(()),
            UnitOutcome::Missed(0 | 1) => {
                self.guessed_wrong(proving, Some(row)).await?;
                Err(ServiceError::WrongProof)
            }
            _ => Err(caudal_domain::Refusal::Conflict.into()),
        }
    }

    /// Commits a unit whose second step misses for `why`.
    async fn commit_all(&self, unit: UnitOfWork, why: &'static str) -> Result<(), ServiceError> {
        match self.commit(unit).await?.0 {
            UnitOutcome::Done => Ok(()),
            UnitOutcome::Missed(1) => Err(ServiceError::SecondFactorState(why)),
            _ => Err(caudal_domain::Refusal::Conflict.into()),
        }
    }

    fn seed(&self, totp: &Totp) -> Result<Seed, ServiceError> {
        let place = totp_row(totp.user);
        let bound_to = Binding { tenant: totp.tenant, row: &place, field: SEED };
        let bytes = self.vault().open(&bound_to, &totp.seed).map_err(not_opened)?;
        Seed::from_bytes(&bytes).ok_or_else(|| ServiceError::Broken("no seed was sealed".into()))
    }

    /// A set of codes, and the steps that put it in place of the old one.
    async fn new_codes(&self, row: &UserRow) -> Result<(Vec<Secret>, Vec<Step>), ServiceError> {
        let person = Person::from(row);
        let mut steps = vec![second_factors::remove_recovery_codes(row.tenant, row.id)];
        let mut codes = Vec::with_capacity(RECOVERY_CODES);
        for _ in 0..RECOVERY_CODES {
            let code = opaque::recovery_code(self.chance());
            let hash = self.recovery_hash(person, &code).await?;
            steps.push(second_factors::insert_recovery_code(row.tenant, row.id, hash));
            codes.push(Secret::new(code.as_str()));
        }
        Ok((codes, steps))
    }

    async fn recovery_hash(&self, person: Person, code: &str) -> Result<u128, ServiceError> {
        let load = || self.load_vault_key(RECOVERY_KEY);
        let key: &LookupKey = self.inner.recovery_key.get_or_try_init(load).await?;
        Ok(lookup_hash(key, person.tenant, &format!("{}/{code}", person.user)))
    }

    fn second_factor_event(
        &self,
        kind: &'static str,
        row: &UserRow,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let about = Subject { kind, tenant: row.tenant, id: row.id.0, text: &row.id, at };
        self.event(&about, &SecondFactorData { user_id: row.id })
    }
}

const IN_FORCE: &str = "TOTP is in force already; remove it first";
const NOT_IN_FORCE: &str = "TOTP is not in force";
const NOT_PROPOSED: &str = "no TOTP was proposed, or it is in force already";
const FIELDS: &[&str] = &["recovery_codes"];
/// The field of the sealed seed.
pub(crate) const SEED: &str = "seed";

/// Where a sealed seed stands. Used, too, when master keys are rotated.
pub(crate) fn totp_row(user: UserId) -> String {
    format!("totp/{user}")
}

fn bound<'a>(row: &UserRow, place: &'a str) -> Binding<'a> {
    Binding { tenant: row.tenant, row: place, field: SEED }
}

fn did(action: &str, user: UserId) -> Did<'_> {
    Did { action, object_kind: "user", object_id: user.to_string(), fields: &[] }
}

fn is_recent(at: Timestamp, now: Timestamp, within: Duration) -> bool {
    let within = i64::try_from(within.as_micros()).unwrap_or(i64::MAX);
    now.micros().saturating_sub(at.micros()) <= within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_grows_old() {
        let (at, minute) = (Timestamp::from_micros(0), Duration::from_secs(60));
        assert!(is_recent(at, Timestamp::from_micros(60_000_000), minute));
        assert!(!is_recent(at, Timestamp::from_micros(60_000_001), minute));
    }
}
