//! The two ways to write: movements through the engine, everything else as a unit of work.

use caudal_domain::{Event, EventId, Refusal, TenantId, Timestamp};
use caudal_engine::{Command, Given, Job, JobReply};
use caudal_store::{Answer, Position, Receipt, Step, StoreError, UnitOfWork, UnitOutcome};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Done, ReceiptOf, Service, ServiceError};

/// How often a unit is run when another writer was in the way.
const ATTEMPTS: u32 = 4;

/// A creation without money: what is made, how it is written, and how it is said again.
pub(crate) struct Creation<T> {
    pub unit: UnitOfWork,
    pub receipt: Option<ReceiptOf>,
    pub value: T,
}

impl Service {
    /// Hands one command to the engine; what it gave, told apart from a refusal.
    pub(crate) async fn submit(
        &self,
        tenant: TenantId,
        command: Command,
    ) -> Result<Done<Given>, ServiceError> {
        let mut reply = self.run(Job::one(tenant, command)).await?;
        let Some(first) = reply.replies.pop() else {
            let refusal = reply.refused_at.map(|(_, refusal)| refusal);
            return Err(match refusal {
                Some(refusal) => refusal.into(),
                None => ServiceError::Broken("the engine gave no reply".into()),
            });
        };
        match first.given {
            Given::Refused(refusal) if first.replayed => Err(ServiceError::RefusedBefore(refusal)),
            Given::Refused(refusal) => Err(refusal.into()),
            value => Ok(Done { value, replayed: first.replayed, position: reply.position }),
        }
    }

    pub(crate) async fn run(&self, job: Job) -> Result<JobReply, ServiceError> {
        Ok(self.inner.engine.submit(job).await?)
    }

    /// Runs the unit, again if another writer was in the way.
    pub(crate) async fn commit(
        &self,
        unit: UnitOfWork,
    ) -> Result<(UnitOutcome, Position), ServiceError> {
        let mut attempt = 1;
        loop {
            match self.store().commit(unit.clone()).await {
                Err(StoreError::Contention(why)) if attempt < ATTEMPTS => {
                    tracing::warn!(why, attempt, "running the unit of work again");
                    attempt += 1;
                }
                result => {
                    let (outcome, position) = result?;
                    if outcome == UnitOutcome::Done {
                        self.heed_own(&unit.events).await;
                    }
                    return Ok((outcome, position));
                }
            }
        }
    }

    /// Runs the creation, or says again what was said to its key.
    pub(crate) async fn create<T: Serialize + DeserializeOwned>(
        &self,
        creation: Creation<T>,
    ) -> Result<Done<T>, ServiceError> {
        let missed =
            |step| ServiceError::Broken(format!("step {step} of a creation wrote nothing"));
        self.create_or(creation, missed).await
    }

    /// The same, where a step may miss: `missed` says what that means.
    pub(crate) async fn create_or<T: Serialize + DeserializeOwned>(
        &self,
        creation: Creation<T>,
        missed: impl FnOnce(usize) -> ServiceError,
    ) -> Result<Done<T>, ServiceError> {
        let Creation { mut unit, receipt, value } = creation;
        if let Some(ReceiptOf { key, fingerprint }) = receipt {
            let said = serde_json::to_string(&value).map_err(broken)?;
            unit.receipt = Some(Receipt { key, fingerprint, answer: Answer::Said(said) });
        }
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => Ok(Done { value, replayed: false, position }),
            (UnitOutcome::Replayed(first), _) => said_again(first, receipt),
            (UnitOutcome::Missed(step), _) => Err(missed(step)),
        }
    }

    /// Refuses, and keeps that with the key: it is said again to whoever asks the same again.
    /// What the key was told first goes before.
    pub(crate) async fn refuse<T: Serialize + DeserializeOwned>(
        &self,
        receipt: ReceiptOf,
        refusal: Refusal,
    ) -> Result<Done<T>, ServiceError> {
        let ReceiptOf { key, fingerprint } = receipt;
        let answer = Answer::Refused(refusal.clone());
        let kept = Some(Receipt { key, fingerprint, answer });
        let unit = UnitOfWork { at: self.now(), receipt: kept, ..UnitOfWork::default() };
        match self.commit(unit).await? {
            (UnitOutcome::Replayed(first), _) => said_again(first, Some(receipt)),
            _ => Err(refusal.into()),
        }
    }

    /// The same of a use case that failed: what was decided is kept, other errors are not.
    pub(crate) async fn keep_refusal<T: Serialize + DeserializeOwned>(
        &self,
        receipt: ReceiptOf,
        error: ServiceError,
    ) -> Result<Done<T>, ServiceError> {
        match error {
            ServiceError::Refused(refusal) => self.refuse(receipt, refusal).await,
            other => Err(other),
        }
    }

    /// What the key was told before, if it was met: for requests that cannot be looked at twice,
    /// as the password they name is another one by then.
    pub(crate) async fn said_before<T: DeserializeOwned>(
        &self,
        receipt: ReceiptOf,
    ) -> Result<Option<Done<T>>, ServiceError> {
        let first = self.first_receipt(receipt).await?;
        first.map(|first| said_again(first, Some(receipt))).transpose()
    }

    /// What is kept under the key, if it was met.
    async fn first_receipt(&self, receipt: ReceiptOf) -> Result<Option<Receipt>, ServiceError> {
        let ReceiptOf { key, fingerprint } = receipt;
        let asked = Some(Receipt { key, fingerprint, answer: Answer::Said(String::new()) });
        let steps = vec![Step::never()];
        let unit = UnitOfWork { at: self.now(), steps, receipt: asked, ..UnitOfWork::default() };
        Ok(match self.commit(unit).await? {
            (UnitOutcome::Replayed(first), _) => Some(first),
            _ => None,
        })
    }

    /// What was kept for the same request before it came to this error. What is looked at before
    /// the engine reads the receipt (a type, an account) may have been otherwise the first time,
    /// and a repeated request is told what the first was told.
    pub(crate) async fn told_before(
        &self,
        receipt: ReceiptOf,
        error: ServiceError,
    ) -> Result<String, ServiceError> {
        use ServiceError::{Forbidden, Invalid, NotFound, Unauthorized};
        if !matches!(error, Invalid { .. } | NotFound(_) | Forbidden(_) | Unauthorized) {
            return Err(error);
        }
        match self.first_receipt(receipt).await? {
            Some(first) => kept_under(receipt, first),
            None => Err(error),
        }
    }

    /// An event of this moment about what the id's bucket places.
    pub(crate) fn event<T: Serialize>(
        &self,
        about: &Subject<'_>,
        data: &T,
    ) -> Result<Event, ServiceError> {
        Ok(Event {
            id: EventId(self.next_id(about.at, caudal_domain::Bucket(about.id as u8))),
            tenant: about.tenant,
            kind: about.kind,
            subject: about.text.to_string(),
            data: serde_json::to_string(data).map_err(broken)?,
            occurred_at: about.at,
        })
    }
}

/// What an event is about. Its id's last byte is its bucket.
pub(crate) struct Subject<'a> {
    pub kind: &'static str,
    pub tenant: TenantId,
    pub id: u128,
    pub text: &'a (dyn std::fmt::Display + Sync),
    pub at: Timestamp,
}

/// What was kept for the same request, if it was accepted.
pub(crate) fn kept_under(receipt: ReceiptOf, first: Receipt) -> Result<String, ServiceError> {
    match first.answer {
        _ if first.fingerprint != receipt.fingerprint => Err(Refusal::IdempotencyMismatch.into()),
        Answer::Said(kept) => Ok(kept),
        Answer::Refused(refusal) | Answer::RefusedAt { refusal, .. } => {
            Err(ServiceError::RefusedBefore(refusal))
        }
        _ => Err(Refusal::IdempotencyMismatch.into()),
    }
}

fn said_again<T: DeserializeOwned>(
    first: Receipt,
    receipt: Option<ReceiptOf>,
) -> Result<Done<T>, ServiceError> {
    if receipt.map(|receipt| receipt.fingerprint) != Some(first.fingerprint) {
        return Err(Refusal::IdempotencyMismatch.into());
    }
    let said = match first.answer {
        Answer::Said(said) => said,
        Answer::Refused(refusal) => return Err(ServiceError::RefusedBefore(refusal)),
        _ => return Err(Refusal::IdempotencyMismatch.into()),
    };
    let value = serde_json::from_str(&said).map_err(broken)?;
    Ok(Done { value, replayed: true, position: Position::new() })
}

pub(crate) fn broken(error: serde_json::Error) -> ServiceError {
    ServiceError::Broken(format!("stored JSON is not as expected: {error}"))
}
