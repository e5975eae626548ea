//! The other half of a login, and a fresh proof in a session that goes on.

use caudal_domain::{Actor, CodePurpose, Session, Timestamp};
use caudal_identity::opaque::{self, Prefix};
use caudal_store::{UnitOfWork, UnitOutcome, codes, sessions, users, users::UserRow};

use crate::{
    Caller, Origin, Service, ServiceError, SignedIn,
    api_keys::Secret,
    audit::{By, Did},
    guesses::{Proving, SECOND_FACTOR},
    second_factor::Proof,
    sessions::Tokens,
};

/// Answers to one challenge; then the password is asked for again.
const ANSWERS_MOST: i64 = 5;

/// A new access token of the same session; its refresh token stays as it is.
#[derive(Debug)]
pub struct SteppedUp {
    pub access: Secret,
    pub expires_in: i64,
}

impl Service {
    /// Ends the login that the challenge began. Whatever is wrong, the answer is the same.
    pub async fn answer_challenge(
        &self,
        challenge: &str,
        code: &Secret,
        origin: &Origin,
    ) -> Result<Tokens, ServiceError> {
        if !opaque::has_form(Prefix::Code, challenge) {
            return Err(ServiceError::BadCredentials);
        }
        let (hash, at) = (opaque::hash(challenge), self.now());
        let row = self.challenged(hash, at).await?;
        let by = By { tenant: row.tenant, actor: Actor::Anyone, origin: Some(origin) };
        let proving = Proving::at_door(by, SECOND_FACTOR);
        let spent = match self.prove_code(&proving, &row, code).await {
            Ok(spent) => Some(spent),
            Err(ServiceError::WrongProof) => return Err(ServiceError::BadCredentials),
            Err(ServiceError::SecondFactorState(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(spent) = spent {
            // One commit: a code that opens nothing is not spent.
            let mut begun = self.begin_session(&row, origin, Some(at))?;
            let answered = [spent, codes::use_up(hash, CodePurpose::MfaChallenge, at)];
            begun.unit.steps.splice(1..1, answered);
            if let Some(tokens) = self.start_session(begun).await? {
                return Ok(tokens);
            }
        }
        self.guessed_wrong(&proving, Some(&row)).await?;
        Err(ServiceError::BadCredentials)
    }

    /// Whose challenge it is. The answer is counted before it is looked at.
    async fn challenged(&self, hash: u128, at: Timestamp) -> Result<UserRow, ServiceError> {
        let steps = vec![codes::count_attempt(hash, ANSWERS_MOST, at)];
        let counted = self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?.0;
        if counted != UnitOutcome::Done {
            return Err(ServiceError::BadCredentials);
        }
        let found = codes::find(self.store(), hash).await?;
        let found = found.filter(|code| code.purpose == CodePurpose::MfaChallenge);
        let code = found.ok_or(ServiceError::BadCredentials)?;
        let row = users::find(self.store(), code.tenant, code.user).await?;
        row.ok_or(ServiceError::BadCredentials)
    }

    /// Proves again who is signed in: by the second factor, or by the password where there is
    /// none. The token that comes of it opens what `require_step_up` guards.
    pub async fn step_up(&self, caller: &Caller, proof: &Proof) -> Result<SteppedUp, ServiceError> {
        let SignedIn { session, .. } = caller.signed_in()?;
        let row = self.own_row(caller).await?;
        let found = sessions::find(self.store(), caller.tenant, session).await?;
        // A foreign issuer keeps its sessions: its users prove themselves there.
        let session = found.ok_or(ServiceError::SecondFactorState(FOREIGN))?;
        let at = self.now();
        let (tenant, user) = (row.tenant, row.id);
        let proving = Proving::in_session(caller, proof.name());
        let mut steps = Vec::new();
        let session = match proof {
            Proof::Code(code) => {
                let spent = self.prove_code(&proving, &row, code).await?;
                steps.extend([users::proven(tenant, user, at), spent]);
                steps.push(sessions::stepped_up(caller.tenant, session.id, at));
                Session { second_factor_at: Some(at), ..session }
            }
            Proof::Password(_) if self.totp_in_force(row.tenant, row.id).await?.is_some() => {
                return Err(ServiceError::SecondFactorState(CODE_ASKED));
            }
            Proof::Password(password) => {
                self.ask_password(caller, &row, password).await?;
                steps.push(users::password_given(tenant, user, at));
                steps.push(sessions::proven_by_password(caller.tenant, session.id, at));
                Session { auth_at: at, second_factor_at: None, ..session }
            }
        };
        let did = Did {
            action: "session.stepped_up",
            object_kind: "session",
            object_id: session.id.to_string(),
            fields: &[],
        };
        steps.push(self.audit(caller, did, at));
        let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
        self.commit_proof(&proving, &row, unit).await?;
        let (access, expires_in) = self.access_token(&session).await?;
        Ok(SteppedUp { access, expires_in })
    }
}

const FOREIGN: &str = "another issuer keeps this session: prove who you are there";
const CODE_ASKED: &str = "a code of the second factor is asked for, not the password";
