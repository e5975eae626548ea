//! Wrong passwords and codes, as the row of their user counts them.

use caudal_domain::{TenantId, Timestamp, UserId};

use crate::{Step, Value};

/// Where somebody guesses, and what is counted and locked apart: at the door stand strangers, whose
/// guesses must not shut out whoever is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guessed {
    Logins,
    /// Of who is signed in.
    Proofs,
}

/// A wrong password or code, and what the limit of them does.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub tenant: TenantId,
    pub id: UserId,
    pub guessed: Guessed,
    pub at: Timestamp,
    /// This many failures in a row lock; then the count begins anew.
    pub most: i64,
    pub lock_until: Timestamp,
}

/// Counts in the database, so that failures at the same time are all counted. Misses when this one
/// locks ([`lock_out`]), and while there is a lock.
pub fn count(failure: &Failure) -> Step {
    let sql = match failure.guessed {
        Guessed::Logins => {
            "update users set failed_logins = failed_logins + 1, locked_until = null
             where id = $1 and tenant_id = $2 and status <> 'erased'
               and (locked_until is null or locked_until <= $3) and failed_logins + 1 < $4"
        }
        Guessed::Proofs => {
            "update users set failed_proofs = failed_proofs + 1, proofs_locked_until = null
             where id = $1 and tenant_id = $2 and status <> 'erased'
               and (proofs_locked_until is null or proofs_locked_until <= $3)
               and failed_proofs + 1 < $4"
        }
    };
    Step::one(sql, failure.params())
}

/// Locks, and forgets the failures that led there. Misses when there are too few, and while there
/// is a lock: none is made longer.
pub fn lock_out(failure: &Failure) -> Step {
    let sql = match failure.guessed {
        Guessed::Logins => {
            "update users set failed_logins = 0, locked_until = $5
             where id = $1 and tenant_id = $2 and status <> 'erased'
               and (locked_until is null or locked_until <= $3) and failed_logins + 1 >= $4"
        }
        Guessed::Proofs => {
            "update users set failed_proofs = 0, proofs_locked_until = $5
             where id = $1 and tenant_id = $2 and status <> 'erased'
               and (proofs_locked_until is null or proofs_locked_until <= $3)
               and failed_proofs + 1 >= $4"
        }
    };
    let mut params = failure.params();
    params.push(failure.lock_until.into());
    Step::one(sql, params)
}

impl Failure {
    fn params(&self) -> Vec<Value> {
        vec![self.id.0.into(), self.tenant.0.into(), self.at.into(), self.most.into()]
    }
}
