//! Payments that a fraud rule set aside: blocked at once, or looked at by a person, who lets them
//! go on or blocks them. Nothing is held or sent before that.

use caudal_domain::{
    AccountKind, AccountStatus, Actor, Event, EventId, FraudRuleId, GatewayAccountId, PaymentId,
    Refusal, Timestamp,
    payment::{PaymentEvent, PaymentStatus},
};
use caudal_engine::{Command, Instead, Otherwise, Telling};
use caudal_ledger::Movement;
use caudal_rules::{Finding, Verdict};
use caudal_store::{Answer, Receipt, UnitOfWork, UnitOutcome, payments, payments::PaymentRow};
use serde::{Deserialize, Serialize};

use super::{Happened, Making, Payment, PaymentFilter, said, telling, wallet};
use crate::{
    Asked, Caller, Done, Page, Service, ServiceError,
    asked::Window,
    audit::Did,
    screening::{Judged, Screening},
};

/// Why a payment was set aside, kept with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    pub rule: FraudRuleId,
    /// The rule could not be evaluated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_failed: bool,
    /// Where it would have gone, for when it goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<GatewayAccountId>,
}

const REVIEW_APPROVED: &str = "review.approved";
const REVIEW_REJECTED: &str = "review.rejected";

impl Service {
    /// Makes the payment blocked or in review, with what is told of it, in one commit.
    pub(super) async fn set_aside(
        &self,
        asked: Asked<'_>,
        making: Making,
        judged: Judged,
    ) -> Result<Done<Payment>, ServiceError> {
        let Making { mut payment, route } = making;
        let Judged { verdict, counting } = judged;
        if let Some(refusal) = self.check_wallets(&payment.row).await? {
            return self.refuse_payment(asked, refusal).await;
        }
        let (Finding { rule, has_failed }, status) = match verdict {
            Verdict::Review(finding) => (finding, PaymentStatus::InReview),
            Verdict::Block(finding) => (finding, PaymentStatus::Blocked),
            Verdict::Allow => {
                return Err(ServiceError::Broken("what is allowed is not set aside".into()));
            }
        };
        let at = payment.row.created_at;
        let suspicion = self.suspicion(&Screening::new(&payment.row, at), verdict)?;
        payment.data.review = Some(Review { rule, has_failed, route });
        payment.row.status = status;
        if status == PaymentStatus::Blocked {
            payment.row.failure = Some(status.name().into());
        }
        let told = self.payment_event(telling::of_new(&payment)?, (&payment, at));
        let events = std::iter::once(told).chain(suspicion).collect();
        let mut steps = vec![payments::insert(&payment.to_row()?)];
        steps.extend(counting.steps());
        let unit = UnitOfWork { at, steps, events, receipt: None };
        said::unless_declined(self.commit_payment(asked, unit, payment).await?)
    }

    /// Whether money could go that way at all; else why it is refused before anybody looks at it.
    pub(crate) async fn check_wallets(
        &self,
        row: &PaymentRow,
    ) -> Result<Option<Refusal>, ServiceError> {
        for account in [Some(row.wallet), row.from].into_iter().flatten() {
            let found = self.store().account(row.tenant, account).await?;
            let refusal = match found.filter(|found| found.kind == AccountKind::Wallet) {
                None => Refusal::WalletNotFound { account },
                Some(wallet) if wallet.currency != row.currency => {
                    Refusal::CurrencyMismatch { account }
                }
                Some(wallet) if wallet.status == AccountStatus::Closed => {
                    Refusal::WalletClosed { account }
                }
                Some(_) => continue,
            };
            return Ok(Some(refusal));
        }
        Ok(None)
    }

    fn payment_event(&self, told: Telling, (payment, at): (&Payment, Timestamp)) -> Event {
        Event {
            id: EventId(self.next_id(at, told.bucket)),
            tenant: payment.row.tenant,
            kind: told.kind,
            subject: told.subject,
            data: told.data,
            occurred_at: at,
        }
    }

    /// Writes what moves no money, or says what was said first to its key.
    async fn commit_payment(
        &self,
        Asked { caller, receipt }: Asked<'_>,
        mut unit: UnitOfWork,
        payment: Payment,
    ) -> Result<Done<Payment>, ServiceError> {
        let answer = Answer::Said(said::kept(&payment)?);
        let (key, fingerprint) = (receipt.key, receipt.fingerprint);
        unit.receipt = Some(Receipt { key, fingerprint, answer });
        let (first, position) = match self.commit(unit).await? {
            (UnitOutcome::Done, position) => {
                return Ok(Done { value: payment, replayed: false, position });
            }
            (UnitOutcome::Missed(_), _) => return Err(Refusal::Conflict.into()),
            (UnitOutcome::Replayed(first), position) => (first, position),
        };
        match first.answer {
            Answer::Said(kept) if first.fingerprint == fingerprint => {
                Ok(Done { position, ..self.said_of(caller.tenant, &kept).await? })
            }
            Answer::Refused(refusal) if first.fingerprint == fingerprint => {
                Err(ServiceError::RefusedBefore(refusal))
            }
            _ => Err(Refusal::IdempotencyMismatch.into()),
        }
    }

    /// Those that wait for a person, newest first.
    pub async fn list_reviews(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<Payment>, ServiceError> {
        caller.reach.require_tenant()?;
        let status = Some(PaymentStatus::InReview);
        let filter = PaymentFilter { status, ..PaymentFilter::default() };
        self.list_payments(caller, filter, window).await
    }

    /// The payment goes on as if no rule had spoken. Not for whoever pays it.
    pub async fn approve_review(
        &self,
        asked: Asked<'_>,
        id: PaymentId,
    ) -> Result<Done<Payment>, ServiceError> {
        let payment = match self.reviewable(asked, id).await? {
            Ok(payment) => payment,
            Err(refusal) => return self.refuse_payment(asked, refusal).await,
        };
        let approved = match payment.on(PaymentEvent::Approved, self.now()) {
            Ok(approved) => approved,
            Err(refusal) => return self.refuse_payment(asked, refusal).await,
        };
        match payment.row.from {
            Some(_) => self.approve_from_wallet(asked, (&payment, approved)).await,
            None => {
                let did = did(REVIEW_APPROVED, id);
                self.approve_at_gateway(asked, (&payment, approved), did).await
            }
        }
    }

    async fn approve_from_wallet(
        &self,
        asked: Asked<'_>,
        (payment, approved): (&Payment, Payment),
    ) -> Result<Done<Payment>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let paid = wallet::accepted_at(approved.clone(), approved.row.updated_at)?;
        let mut command = Command::new(Movement::Post(wallet::movement_of(&paid)));
        command.receipt = Some(receipt);
        command.context = Some(said::kept(&paid)?);
        command.attachments.push(payments::attachment_with_transfer(&paid.to_row()?));
        command.telling = Some(telling::of_change(payment, &paid)?);
        let did = did(REVIEW_APPROVED, paid.row.id);
        command.steps.push(self.audit(caller, did, paid.row.updated_at));
        let mut failed = wallet::refused(approved);
        failed.data.history.push(Happened {
            what: PaymentEvent::Declined,
            status: failed.row.status,
            at: failed.row.updated_at,
        });
        let (before, after) = (payment.clone(), failed.clone());
        command.otherwise = Some(Otherwise::new(move || {
            let made = || Ok((after.to_row()?, telling::of_change(&before, &after)?));
            let (row, telling) = made().unwrap_or_else(wallet::never);
            Instead { steps: vec![payments::update(&row)], telling }
        }));
        let done = self.submit_within_tiers(caller.tenant, command).await;
        let paid = match done {
            Err(ServiceError::Refused(Refusal::InsufficientFunds { .. })) => failed,
            _ => paid,
        };
        self.paid_from_wallet(caller, paid, done).await
    }

    /// The payment is blocked, for good.
    pub async fn reject_review(
        &self,
        asked: Asked<'_>,
        id: PaymentId,
    ) -> Result<Done<Payment>, ServiceError> {
        let payment = match self.reviewable(asked, id).await? {
            Ok(payment) => payment,
            Err(refusal) => return self.refuse_payment(asked, refusal).await,
        };
        let at = self.now();
        let mut blocked = match payment.on(PaymentEvent::Refused, at) {
            Ok(blocked) => blocked,
            Err(refusal) => return self.refuse_payment(asked, refusal).await,
        };
        blocked.row.failure = Some(PaymentStatus::Blocked.name().into());
        let steps = vec![
            payments::update(&blocked.to_row()?),
            self.audit(asked.caller, did(REVIEW_REJECTED, id), at),
        ];
        let told = telling::of_change(&payment, &blocked)?;
        let events = vec![self.payment_event(told, (&blocked, at))];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        self.commit_payment(asked, unit, blocked).await
    }

    /// Called off while it waits: nothing of it was held or sent.
    pub(super) async fn cancel_review(
        &self,
        asked: Asked<'_>,
        payment: &Payment,
    ) -> Result<Done<Payment>, ServiceError> {
        let at = self.now();
        let canceled = payment.on(PaymentEvent::CalledOff, at)?;
        let steps = vec![payments::update(&canceled.to_row()?)];
        let told = telling::of_change(payment, &canceled)?;
        let events = vec![self.payment_event(told, (&canceled, at))];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        self.commit_payment(asked, unit, canceled).await
    }

    /// The payment, if the caller may decide on it and there is something to decide.
    async fn reviewable(
        &self,
        asked: Asked<'_>,
        id: PaymentId,
    ) -> Result<Result<Payment, Refusal>, ServiceError> {
        let caller: &Caller = asked.caller;
        caller.reach.require_tenant()?;
        let Some(payment) = self.find_payment(caller, id).await? else {
            return Ok(Err(Refusal::PaymentNotFound));
        };
        not_own(caller, &payment)?;
        let status = payment.row.status;
        match status {
            PaymentStatus::InReview => Ok(Ok(payment)),
            _ => Ok(Err(Refusal::PaymentState { status })),
        }
    }
}

/// Nobody decides on what they pay themselves.
pub(crate) fn not_own(caller: &Caller, payment: &Payment) -> Result<(), ServiceError> {
    match (caller.actor, payment.row.user) {
        (Actor::User(user), Some(payer)) if user == payer => Err(ServiceError::OwnPayment),
        _ => Ok(()),
    }
}

fn did(action: &str, payment: PaymentId) -> Did<'_> {
    Did { action, object_kind: "payment", object_id: payment.to_string(), fields: &["status"] }
}
