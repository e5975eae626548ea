//! The first commit of a saga: what was asked for, the saga itself, leased to this process, and the
//! call that will be made. Then it runs, and whoever asked waits for a while.

use std::time::Duration;

use caudal_domain::{
    Amount, GatewayAccountId, PaymentId, Refusal, SagaId, TenantId, Timestamp,
    fee::FeeBearer,
    payment::{PaymentEvent, PaymentStatus},
};
use caudal_engine::{Command, Given, Job};
use caudal_gateway::Purpose;
use caudal_store::{
    payment_attempts,
    payments::{self, PaymentRow},
    sagas::{self, SagaRow},
};
use tokio::time::{Instant, sleep};

use super::{
    Operation, QUEUED_FOR_S, SagaData, Step, Work,
    commit::{attempt_of, saga_of},
};
use crate::{
    Asked, Done, Position, Service, ServiceError,
    audit::Did,
    payments::{Making, Payment, PaymentFollow, capturable, telling, unless_declined},
    unit::broken,
    velocity_turns::Counting,
};

/// How long a repeated request waits for the first one's answer.
const DUPLICATE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After so long nobody is waiting for the first answer any more.
const ANSWERED_AFTER_S: i64 = 10;

/// Our key for a charge at the account in this place of the route.
pub(super) fn charge_key(payment: PaymentId, place: usize) -> String {
    format!("{payment}-{}", place + 1)
}

/// Our key for the payment's next call, which is no charge.
pub(super) fn follow_key(payment: &Payment, operation: Operation) -> String {
    let (id, attempt) = (payment.row.id, payment.data.attempts + 1);
    format!("{id}-{}-{attempt}", operation.name())
}

impl Service {
    pub(crate) async fn pay_through_gateway(
        &self,
        asked: Asked<'_>,
        making: Making,
        counting: Counting,
    ) -> Result<Done<Payment>, ServiceError> {
        let tenant = asked.caller.tenant;
        let Making { payment, route } = making;
        if let Some(refusal) = self.check_wallets(&payment.row).await? {
            return self.refuse_payment(asked, refusal).await;
        }
        let amount = payment.row.amount + fee_on_top(&payment, payment.row.amount);
        let route = self.usable(tenant, &payment, (route, amount)).await?;
        let at = payment.row.created_at;
        let work = self.charge_work(payment, (route, amount), at)?;
        let mut command = Command::writing();
        command.receipt = Some(asked.receipt);
        command.context = Some(format!("{} charge", work.payment.row.id));
        command.steps = vec![
            payments::insert(&work.payment.to_row()?),
            sagas::insert(&work.saga),
            payment_attempts::start(&attempt_of(&work)?),
        ];
        command.telling = Some(telling::of_new(&work.payment)?);
        counting.go_with(&mut command);
        let done = self.submit(tenant, command).await?;
        drop(counting);
        match done.value {
            Given::Kept(kept) => unless_declined(self.said_of(tenant, &kept).await?),
            _ => self.answer_of(work, done.position).await,
        }
    }

    /// A payment that a person let go on: sent as if no rule had spoken.
    pub(crate) async fn approve_at_gateway(
        &self,
        asked: Asked<'_>,
        (payment, mut approved): (&Payment, Payment),
        did: Did<'_>,
    ) -> Result<Done<Payment>, ServiceError> {
        let (tenant, at) = (asked.caller.tenant, approved.row.updated_at);
        if let Some(refusal) = self.check_wallets(&approved.row).await? {
            return self.refuse_payment(asked, refusal).await;
        }
        let route = approved.data.review.as_ref().map(|review| review.route.clone());
        let amount = approved.row.amount + fee_on_top(&approved, approved.row.amount);
        let route = self.usable(tenant, &approved, (route.unwrap_or_default(), amount)).await?;
        approved.data.answered.clear();
        let work = self.charge_work(approved, (route, amount), at)?;
        let mut command = follow_command(asked, &work)?;
        command.steps.push(self.audit(asked.caller, did, at));
        command.telling = Some(telling::of_change(payment, &work.payment)?);
        match self.follow_up(work, command).await {
            Err(ServiceError::Refused(refusal)) => self.refuse_payment(asked, refusal).await,
            done => done,
        }
    }

    /// Runs the saga, and tells what became of the payment so far.
    pub(super) async fn answer_of(
        &self,
        work: Work,
        position: Position,
    ) -> Result<Done<Payment>, ServiceError> {
        let id = (work.saga.tenant, work.payment.row.id);
        let operation = work.data.operation;
        let ended = self.run_for_request(work).await.map(|work| work.payment);
        let value = match ended {
            Some(payment) if payment.data.answered.contains_key(operation.name()) => payment,
            _ => self.note_first_answer(id, operation).await?,
        };
        unless_declined(Done { value, replayed: false, position })
    }

    /// The accounts of the route that take new payments, and such an amount.
    async fn usable(
        &self,
        tenant: TenantId,
        payment: &Payment,
        (route, amount): (Vec<GatewayAccountId>, i64),
    ) -> Result<Vec<GatewayAccountId>, ServiceError> {
        let out_of_range = || ServiceError::invalid("amount", "is out of range with its fee");
        let amount = Amount::new(amount).ok_or_else(out_of_range)?;
        let (mut usable, mut misfit) = (Vec::new(), None);
        for account in route {
            let gateway = match self.charging_gateway(tenant, account).await {
                Ok(gateway) => gateway,
                // Another of the route may do.
                Err(ServiceError::Broken(why)) => {
                    tracing::error!(%account, why, "a gateway account can't be opened");
                    None
                }
                Err(error) => return Err(error),
            };
            let Some(gateway) = gateway else { continue };
            match gateway.check_amount(amount, payment.row.currency, Purpose::Charge) {
                Ok(()) => usable.push(account),
                Err(why) => misfit = Some(why),
            }
        }
        match (usable.is_empty(), misfit) {
            (false, _) => Ok(usable),
            (true, Some(why)) => Err(ServiceError::invalid("amount", why.to_string())),
            (true, None) => {
                Err(ServiceError::invalid("type", "no gateway takes payments of this type now"))
            }
        }
    }

    /// Whether the payment's gateway takes a part like this; asked before any money is moved.
    pub(crate) async fn check_part(
        &self,
        payment: &PaymentRow,
        amount: i64,
    ) -> Result<(), ServiceError> {
        let Some((account, amount)) = payment.gateway_account.zip(Amount::new(amount)) else {
            return Ok(());
        };
        let gateway = self.gateway(payment.tenant, account).await?;
        let fits = gateway.check_amount(amount, payment.currency, Purpose::Part);
        fits.map_err(|why| ServiceError::invalid("amount", why.to_string()))
    }

    fn charge_work(
        &self,
        mut payment: Payment,
        (route, amount): (Vec<GatewayAccountId>, i64),
        at: Timestamp,
    ) -> Result<Work, ServiceError> {
        payment.data.attempts = 1;
        // Kept, so that whoever asks again says the same.
        let own = || self.people().settings.public_url.clone();
        payment.data.return_url.get_or_insert_with(own);
        payment.row.gateway_account = route.first().copied();
        let data = SagaData {
            operation: Operation::Charge,
            route,
            place: 0,
            amount,
            principal: payment.row.amount,
            attempt: 1,
            key: charge_key(payment.row.id, 0),
            since: at,
            is_for_time: false,
            asked: 0,
            deadline: at.plus_seconds(QUEUED_FOR_S),
        };
        self.new_work(payment, data, at)
    }

    /// Work that this process has leased to itself.
    pub(crate) fn new_work(
        &self,
        payment: Payment,
        data: SagaData,
        at: Timestamp,
    ) -> Result<Work, ServiceError> {
        let bucket = payment.row.id.bucket();
        let id = SagaId(self.next_id(at, bucket));
        let owner = (payment.row.id.0, self.scattered_id(at));
        let saga = saga_of(&data, (id, payment.row.tenant), owner, at)?;
        Ok(Work {
            saga,
            data,
            step: Step::Send,
            payment,
            refund: None,
            is_waited_for: false,
            is_taken_over: false,
        })
    }

    /// What is answered first, where the saga has not kept it: the payment as it stands.
    pub(crate) async fn note_first_answer(
        &self,
        (tenant, id): (TenantId, PaymentId),
        operation: Operation,
    ) -> Result<Payment, ServiceError> {
        loop {
            let found = payments::find(self.store(), tenant, id).await?;
            let lost = || ServiceError::Broken(format!("{id} is not there any more"));
            let payment = Payment::read(found.ok_or_else(lost)?)?;
            if let Some(answer) = payment.data.answered.get(operation.name()).cloned() {
                return Ok(payment.back_in(answer));
            }
            let mut next = payment.next(payment.row.updated_at);
            let answer = next.snapshot();
            next.data.answered.insert(operation.name().to_owned(), answer);
            let mut command = Command::writing();
            command.attachments.push(payments::attachment(&next.to_row()?));
            let reply = self.run(Job::one(tenant, command)).await?;
            match reply.replies.into_iter().next().map(|reply| reply.given) {
                Some(Given::Refused(Refusal::Conflict)) => {}
                _ => return Ok(next),
            }
        }
    }

    /// What was answered first to a request that is asked again; it may be waited for still.
    pub(crate) async fn first_answer(
        &self,
        mut payment: Payment,
        operation: &str,
    ) -> Result<Payment, ServiceError> {
        let until = Instant::now() + DUPLICATE_WITHIN;
        loop {
            if let Some(answer) = payment.data.answered.get(operation).cloned() {
                return Ok(payment.back_in(answer));
            }
            let last = payment.row.updated_at.plus_seconds(ANSWERED_AFTER_S);
            if payment.row.status != PaymentStatus::Processing || last < self.now() {
                return Ok(payment);
            }
            if Instant::now() >= until {
                return Err(ServiceError::InFlight);
            }
            sleep(LOOK_EVERY).await;
            let (tenant, id) = (payment.row.tenant, payment.row.id);
            let found = payments::find(self.store(), tenant, id).await?;
            let lost = || ServiceError::Broken(format!("{id} is not there any more"));
            payment = Payment::read(found.ok_or_else(lost)?)?;
        }
    }

    pub(crate) async fn follow_at_gateway(
        &self,
        asked: Asked<'_>,
        payment: &Payment,
        follow: PaymentFollow,
    ) -> Result<Done<Payment>, ServiceError> {
        match follow {
            PaymentFollow::Capture { amount } => {
                self.capture_at_gateway(asked, payment, amount).await
            }
            PaymentFollow::Cancel => self.cancel_at_gateway(asked, payment).await,
        }
    }

    async fn capture_at_gateway(
        &self,
        asked: Asked<'_>,
        payment: &Payment,
        amount: Option<i64>,
    ) -> Result<Done<Payment>, ServiceError> {
        let at = self.now();
        let principal = capturable(payment, (amount, at))?;
        self.check_part(&payment.row, principal).await?;
        let next = payment.on(PaymentEvent::CaptureAsked, at)?;
        let until = payment.data.capture_until.unwrap_or_else(|| at.plus_seconds(QUEUED_FOR_S));
        let asks = (Operation::Capture, principal, until);
        let work = self.follow_work(next, asks, at)?;
        let mut command = follow_command(asked, &work)?;
        command.telling = Some(telling::of_change(payment, &work.payment)?);
        self.follow_up(work, command).await
    }

    async fn cancel_at_gateway(
        &self,
        asked: Asked<'_>,
        payment: &Payment,
    ) -> Result<Done<Payment>, ServiceError> {
        let (at, status) = (self.now(), payment.row.status);
        let called_off = payment.on(PaymentEvent::CalledOff, at)?;
        let open = self.unfinished(payment.row.tenant, payment.row.id.0).await?;
        if matches!(status, PaymentStatus::Queued | PaymentStatus::InReview) {
            return self.drop_unsent(asked, (payment, called_off), open).await;
        }
        let is_held =
            matches!(status, PaymentStatus::RequiresCapture | PaymentStatus::RequiresAction);
        if !is_held || payment.data.is_canceling {
            // The gateway has it, and nobody can call it back now.
            return Err(Refusal::PaymentState { status }.into());
        }
        let mut next = payment.next(at);
        next.data.is_canceling = true;
        let asks = (Operation::Cancel, payment.row.amount, at.plus_seconds(QUEUED_FOR_S));
        let work = self.follow_work(next, asks, at)?;
        let mut command = follow_command(asked, &work)?;
        command.attachments.extend(open.map(|saga| ended(saga, at)));
        self.follow_up(work, command).await
    }

    /// Nobody captured it in time: a worker lets it go at the gateway, and then here.
    pub(crate) async fn call_off_promise(&self, payment: &Payment) -> Result<(), ServiceError> {
        let at = self.now();
        let mut next = payment.next(at);
        next.data.is_canceling = true;
        let asks = (Operation::Cancel, payment.row.amount, at.plus_seconds(QUEUED_FOR_S));
        let mut work = self.follow_work(next, asks, at)?;
        work.data.is_for_time = true;
        work.saga = SagaRow {
            data: serde_json::to_string(&work.data).map_err(broken)?,
            next_at: at,
            holder: None,
            lease_until: None,
            ..work.saga
        };
        let mut command = Command::writing();
        command.attachments.push(payments::attachment(&work.payment.to_row()?));
        command.steps =
            vec![sagas::insert(&work.saga), payment_attempts::start(&attempt_of(&work)?)];
        self.submit(work.saga.tenant, command).await.map(drop)
    }

    /// Nothing of it was ever sent: it is called off here alone.
    async fn drop_unsent(
        &self,
        asked: Asked<'_>,
        (payment, mut next): (&Payment, Payment),
        open: Option<SagaRow>,
    ) -> Result<Done<Payment>, ServiceError> {
        let at = self.now();
        let answer = next.snapshot();
        next.data.answered.insert(Operation::Cancel.name().to_owned(), answer);
        let mut command = Command::writing();
        command.receipt = Some(asked.receipt);
        command.context = Some(format!("{} cancel", next.row.id));
        command.attachments.push(payments::attachment(&next.to_row()?));
        command.attachments.extend(open.map(|saga| ended(saga, at)));
        command.telling = Some(telling::of_change(payment, &next)?);
        let done = self.submit(asked.caller.tenant, command).await?;
        match &done.value {
            Given::Kept(kept) => self.said_of(asked.caller.tenant, kept).await,
            _ => Ok(done.map(|_| next)),
        }
    }

    fn follow_work(
        &self,
        mut payment: Payment,
        (operation, principal, deadline): (Operation, i64, Timestamp),
        at: Timestamp,
    ) -> Result<Work, ServiceError> {
        let key = follow_key(&payment, operation);
        payment.data.attempts += 1;
        let attempt = payment.data.attempts;
        let fee = payment.data.fee_rate.of(principal);
        let on_top = if payment.data.fee_bearer == FeeBearer::Payer { fee } else { 0 };
        let data = SagaData {
            operation,
            route: payment.row.gateway_account.into_iter().collect(),
            place: 0,
            amount: principal + on_top,
            principal,
            attempt,
            key,
            since: at,
            is_for_time: false,
            asked: 0,
            deadline,
        };
        self.new_work(payment, data, at)
    }

    async fn follow_up(&self, work: Work, command: Command) -> Result<Done<Payment>, ServiceError> {
        let tenant = work.saga.tenant;
        let done = self.submit(tenant, command).await?;
        match &done.value {
            Given::Kept(kept) => unless_declined(self.said_of(tenant, kept).await?),
            _ => self.answer_of(work, done.position).await,
        }
    }
}

/// The fee that its payer bears is charged with the payment.
pub(super) fn fee_on_top(payment: &Payment, principal: i64) -> i64 {
    let fee = match payment.row.manual_capture {
        true => payment.data.fee_rate.of(principal),
        false => payment.row.fee,
    };
    if payment.data.fee_bearer == FeeBearer::Payer { fee } else { 0 }
}

fn follow_command(asked: Asked<'_>, work: &Work) -> Result<Command, ServiceError> {
    let mut command = Command::writing();
    command.receipt = Some(asked.receipt);
    command.context = Some(format!("{} {}", work.payment.row.id, work.data.operation.name()));
    command.attachments.push(payments::attachment(&work.payment.to_row()?));
    command.steps = vec![sagas::insert(&work.saga), payment_attempts::start(&attempt_of(work)?)];
    Ok(command)
}

/// The saga, ended because its payment is called off another way.
fn ended(mut saga: SagaRow, at: Timestamp) -> caudal_store::Attachment {
    saga.version += 1;
    let write = sagas::finish(&saga, "called_off", at);
    sagas::attachment(&saga, write)
}
