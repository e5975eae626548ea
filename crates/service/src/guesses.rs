//! Wrong passwords and codes: counted in the database, locked out, written down.
//!
//! At the door and in sessions they are counted apart ([`Guessed`]), or a stranger's guesses would
//! shut out whoever is inside. What is turned away by a limit is not looked at, so it is no guess,
//! and the audit grows no faster than the limits let it.

use caudal_domain::{MailTemplate, UserId};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome,
    guesses::{self, Failure, Guessed},
    users::UserRow,
};

use crate::{
    Caller, Service, ServiceError,
    audit::{By, Did},
    tokens::seconds,
};

/// Somebody who proves who they are, and what becomes of it when they fail.
#[derive(Clone, Copy)]
pub(crate) struct Proving<'a> {
    pub by: By<'a>,
    pub guessed: Guessed,
    /// [`PASSWORD`] or [`SECOND_FACTOR`].
    pub what: &'static str,
}

pub(crate) const PASSWORD: &str = "password";
pub(crate) const SECOND_FACTOR: &str = "second_factor";

impl<'a> Proving<'a> {
    pub fn in_session(caller: &'a Caller, what: &'static str) -> Self {
        Self { by: caller.into(), guessed: Guessed::Proofs, what }
    }

    pub fn at_door(by: By<'a>, what: &'static str) -> Self {
        Self { by, guessed: Guessed::Logins, what }
    }

    /// The limit that the tries of one account count against.
    pub fn limit(&self) -> &'static str {
        match self.guessed {
            Guessed::Logins => "challenge",
            Guessed::Proofs => "proof",
        }
    }
}

impl Service {
    /// Counts it, and writes it down with the lock that follows: also for accounts that don't
    /// exist, which takes as long.
    pub(crate) async fn guessed_wrong(
        &self,
        proving: &Proving<'_>,
        user: Option<&UserRow>,
    ) -> Result<(), ServiceError> {
        let at = self.now();
        let settings = &self.people().settings;
        // While there is a lock failures don't count, or it would never end.
        let counted = user.filter(|user| !user.is_locked_out_of(proving.guessed, at));
        let failure = Failure {
            tenant: proving.by.tenant,
            id: counted.map_or(UserId(0), |user| user.id),
            guessed: proving.guessed,
            at,
            most: settings.lockout_failures,
            lock_until: at.plus_seconds(seconds(settings.lockout)),
        };
        let (count, lock) = (guesses::count(&failure), guesses::lock_out(&failure));
        if counted.is_some() {
            // Others count at the same time: what is one too many for the first locks.
            let steps = [(count.clone(), false), (lock, true), (count.clone(), false)];
            for (step, locks) in steps {
                if self.write_down(proving, user, (step, locks)).await? {
                    return Ok(());
                }
            }
        }
        self.write_down(proving, user, (count.or_none(), false)).await.map(drop)
    }

    /// Whether the step, which counts or locks, did not miss.
    async fn write_down(
        &self,
        proving: &Proving<'_>,
        user: Option<&UserRow>,
        (step, locks): (Step, bool),
    ) -> Result<bool, ServiceError> {
        let (action, lock) = match proving.guessed {
            Guessed::Logins => ("login.failed", "locked_until"),
            Guessed::Proofs => ("proof.failed", "proofs_locked_until"),
        };
        // Of a login that failed by its password, as of one of nobody, that is understood.
        let is_plain = proving.guessed == Guessed::Logins && proving.what == PASSWORD;
        let mut fields = if is_plain { vec![] } else { vec![proving.what] };
        fields.extend(locks.then_some(lock));
        let did = Did {
            action,
            object_kind: "user",
            object_id: user.map_or_else(|| "unknown".to_owned(), |user| user.id.to_string()),
            fields: &fields,
        };
        let at = self.now();
        let mut steps = vec![step, self.audit(proving.by, did, at)];
        if let Some(user) = user.filter(|_| locks) {
            // They may not be who guessed.
            steps.extend(self.mail_to(user, MailTemplate::LockedOut, at)?);
        }
        let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }
}
