//! Second factors: what is asked again before sensitive operations.

use std::time::Duration;

use caudal_domain::Timestamp;

use crate::{Caller, Service, ServiceError};

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
