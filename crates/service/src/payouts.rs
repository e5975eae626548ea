//! Payouts: from a wallet to its holder's bank. The money is held with the commit that makes the
//! payout; what happens at the gateway is a saga ([`run`]), and what that comes to is written with
//! the money ([`turn`]). What a payout may become next is the table of `caudal_domain::payment`.

mod resolve;
mod run;
mod turn;

use caudal_domain::{
    AccountId, Amount, Currency, GatewayAccountId, PayoutId, Refusal, SagaId, TenantId, Timestamp,
    UserId,
    event::kinds,
    payment::{PayoutEvent, PayoutStatus},
    text::Metadata,
};
use caudal_engine::{Command, Given, Telling};
use caudal_gateway::Purpose;
use caudal_ledger::{
    Movement,
    movements::{HoldUntil, payout},
};
pub use caudal_store::payouts::PayoutRow;
use caudal_store::{gateway_accounts, payouts, sagas};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Page, Reach, Service, ServiceError, asked::Window, id_range,
    payment_saga::PERSON_AFTER_S, unit::broken,
};

/// A payout's money is held until somebody knows what came of it, however long that takes.
const HELD_FOR_S: i64 = 10 * 365 * 86_400;
/// Accounts looked through for the one that is active.
const ACCOUNTS_MOST: i64 = 100;
/// Of its sagas.
const KIND: &str = "payout";

#[derive(Clone, Debug)]
pub struct NewPayout {
    pub wallet: AccountId,
    pub amount: Amount,
    /// The wallet's, if not given.
    pub currency: Option<Currency>,
    /// The gateway's token of a bank account.
    pub destination: String,
    /// The tenant's only active one, if not given.
    pub gateway_account: Option<GatewayAccountId>,
    pub description: Option<String>,
    pub metadata: Metadata,
}

/// Which payouts to list.
#[derive(Clone, Debug, Default)]
pub struct PayoutFilter {
    pub status: Option<PayoutStatus>,
    pub wallet: Option<AccountId>,
}

/// What a saga of a payout remembers, as JSON.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SagaData {
    /// When it was asked for.
    since: Timestamp,
    /// Questions asked so far.
    #[serde(default)]
    asked: usize,
    /// It may have been sent.
    #[serde(default)]
    is_sent: bool,
    /// A person was called for.
    #[serde(default)]
    has_called: bool,
}

/// Whether nobody has known for so long that a person has to find out.
fn is_undecided(payout: &PayoutRow, at: Timestamp) -> bool {
    payout.status == PayoutStatus::Unknown && payout.created_at.plus_seconds(PERSON_AFTER_S) <= at
}

#[derive(Serialize)]
struct PayoutTold<'a> {
    payout_id: PayoutId,
    status: PayoutStatus,
    amount: i64,
    currency: Currency,
    wallet_id: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

fn telling(payout: &PayoutRow) -> Result<Telling, ServiceError> {
    let kind = match payout.status {
        PayoutStatus::Pending => kinds::PAYOUT_REQUESTED,
        PayoutStatus::Unknown => kinds::PAYOUT_LOST_FROM_SIGHT,
        PayoutStatus::InTransit => kinds::PAYOUT_SENT,
        PayoutStatus::Paid => kinds::PAYOUT_PAID,
        PayoutStatus::Returned => kinds::PAYOUT_RETURNED,
        PayoutStatus::Failed => kinds::PAYOUT_FAILED,
        PayoutStatus::Canceled => kinds::PAYOUT_CANCELED,
    };
    telling_as(kind, payout)
}

fn telling_as(kind: &'static str, payout: &PayoutRow) -> Result<Telling, ServiceError> {
    let data = PayoutTold {
        payout_id: payout.id,
        status: payout.status,
        amount: payout.amount,
        currency: payout.currency,
        wallet_id: payout.wallet,
        user_id: payout.user,
        failure: payout.failure.as_deref(),
    };
    Ok(Telling {
        kind,
        subject: payout.id.to_string(),
        bucket: payout.id.bucket(),
        data: serde_json::to_string(&data).map_err(broken)?,
    })
}

impl Service {
    /// Holds the money; what comes of it is told by its status later.
    pub async fn create_payout(
        &self,
        asked: Asked<'_>,
        new: NewPayout,
    ) -> Result<Done<PayoutRow>, ServiceError> {
        let Asked { caller, receipt } = asked;
        self.require_step_up_for(caller, new.amount.minor())?;
        let mut payout = match self.new_payout(caller, new).await {
            Ok(payout) => payout,
            Err(error) => {
                let id = self.told_before(receipt, error).await?;
                let value = self.as_created(caller.tenant, &id).await?;
                return Ok(Done { value, replayed: true, position: Vec::new() });
            }
        };
        let chart = self.chart(payout.tenant, payout.currency, None).await?;
        let until = HoldUntil::Seconds(HELD_FOR_S);
        let held = payout::hold(chart, payout.wallet, payout.amount, until);
        let mut command = Command::new(Movement::Post(held));
        command.receipt = Some(receipt);
        command.context = Some(payout.id.to_string());
        command.steps =
            vec![payouts::insert_with_transfer(&payout), sagas::insert(&self.saga_of(&payout)?)];
        command.telling = Some(telling(&payout)?);
        let done = self.submit_within_tiers(caller.tenant, command).await?;
        let Done { value, replayed, position } = done;
        match value {
            Given::Transfer(transfer) => payout.transfer = Some(transfer.id),
            Given::Kept(id) => payout = self.as_created(caller.tenant, &id).await?,
            _ => return Err(ServiceError::Broken("a payout gave something else".into())),
        }
        Ok(Done { value: payout, replayed, position })
    }

    async fn new_payout(&self, caller: &Caller, new: NewPayout) -> Result<PayoutRow, ServiceError> {
        let wallet = self.wallet(caller, new.wallet).await?;
        let (account, currency) = (wallet.account.id, wallet.account.currency);
        if new.currency.is_some_and(|given| given != currency) {
            return Err(Refusal::CurrencyMismatch { account }.into());
        }
        let gateway_account = self.payout_account(caller, new.gateway_account).await?;
        let gateway = self.charging_gateway(caller.tenant, gateway_account).await?;
        let gateway = gateway
            .ok_or_else(|| ServiceError::invalid("gateway_account", "it is switched off"))?;
        let fits = gateway.check_amount(new.amount, currency, Purpose::Payout);
        fits.map_err(|why| ServiceError::invalid("amount", why.to_string()))?;
        let at = self.now();
        Ok(PayoutRow {
            id: PayoutId(self.next_id(at, account.bucket())),
            tenant: caller.tenant,
            wallet: account,
            user: wallet.user,
            status: PayoutStatus::Pending,
            amount: new.amount.minor(),
            currency,
            destination: new.destination,
            gateway_account: Some(gateway_account),
            gateway_reference: None,
            transfer: None,
            failure: None,
            description: new.description,
            metadata: new.metadata,
            data: "{}".into(),
            created_at: at,
            updated_at: at,
            version: 1,
        })
    }

    /// The account that is named, else the only one that is active.
    async fn payout_account(
        &self,
        caller: &Caller,
        named: Option<GatewayAccountId>,
    ) -> Result<GatewayAccountId, ServiceError> {
        if let Some(named) = named {
            return Ok(named);
        }
        let all = GatewayAccountId(u128::MAX);
        let rows = gateway_accounts::list(self.store(), caller.tenant, all, ACCOUNTS_MOST).await?;
        let mut active = rows.iter().filter(|row| row.active);
        match (active.next(), active.next()) {
            (Some(only), None) => Ok(only.id),
            _ => Err(ServiceError::invalid("gateway_account", "name one of the tenant's")),
        }
    }

    /// Due at once; whoever takes it first makes the call.
    fn saga_of(&self, payout: &PayoutRow) -> Result<sagas::SagaRow, ServiceError> {
        let at = payout.created_at;
        let data = SagaData { since: at, asked: 0, is_sent: false, has_called: false };
        Ok(sagas::SagaRow {
            id: SagaId(self.next_id(at, payout.id.bucket())),
            tenant: payout.tenant,
            kind: KIND.into(),
            subject: payout.id.0,
            step: run::SEND.into(),
            data: serde_json::to_string(&data).map_err(broken)?,
            attempts: 0,
            next_at: at,
            lease_until: None,
            holder: None,
            token: 0,
            outcome: None,
            finished_at: None,
            created_at: at,
            version: 1,
        })
    }

    /// As it was answered first.
    async fn as_created(&self, tenant: TenantId, id: &str) -> Result<PayoutRow, ServiceError> {
        let lost = || ServiceError::Broken(format!("{id} has a receipt but no row"));
        let id: PayoutId = id.parse().map_err(|_| lost())?;
        let found = payouts::find(self.store(), tenant, id).await?.ok_or_else(lost)?;
        Ok(PayoutRow {
            status: PayoutStatus::Pending,
            gateway_reference: None,
            failure: None,
            updated_at: found.created_at,
            version: 1,
            ..found
        })
    }

    /// Calls off what was certainly never sent, and that nobody is about to send.
    pub async fn cancel_payout(
        &self,
        asked: Asked<'_>,
        id: PayoutId,
    ) -> Result<Done<PayoutRow>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let payout = self.payout(caller, id).await?;
        let sagas = sagas::of_subject(self.store(), caller.tenant, id.0, 1).await?;
        let is_unsent = |saga: &sagas::SagaRow| {
            saga.step == run::SEND && saga.attempts == 0 && saga.holder.is_none()
        };
        let unsent = sagas.into_iter().find(is_unsent);
        let (replayed, position) = match unsent.filter(|_| payout.status == PayoutStatus::Pending) {
            Some(saga) => {
                let mut command = self.call_off(&payout, saga)?;
                command.receipt = Some(receipt);
                let done = self.submit(caller.tenant, command).await?;
                (done.replayed, done.position)
            }
            None => {
                let refusal = Refusal::PayoutState { status: payout.status };
                let done: Done<PayoutId> = self.refuse(receipt, refusal).await?;
                (done.replayed, done.position)
            }
        };
        // What is called off stays so: the answer is the same whenever it is given.
        let value = self.payout(caller, id).await?;
        Ok(Done { value, replayed, position })
    }

    fn call_off(
        &self,
        payout: &PayoutRow,
        mut saga: sagas::SagaRow,
    ) -> Result<Command, ServiceError> {
        let turn = turn::Turn::of(PayoutEvent::CalledOff);
        let turn::Written { mut commands, next } = turn::written(payout, turn, self.now())?;
        let mut command = commands.pop().ok_or(ServiceError::NotFound("payout"))?;
        saga.version += 1;
        let finish = sagas::finish(&saga, next.status.name(), next.updated_at);
        command.attachments.push(sagas::attachment(&saga, finish));
        command.context = Some(serde_json::to_string(&payout.id).map_err(broken)?);
        Ok(command)
    }

    pub async fn payout(&self, caller: &Caller, id: PayoutId) -> Result<PayoutRow, ServiceError> {
        let found = payouts::find(self.store(), caller.tenant, id).await?;
        let is_seen = |payout: &PayoutRow| match caller.reach {
            Reach::Tenant => true,
            Reach::Own(user) => payout.user == Some(user),
        };
        found.filter(is_seen).ok_or(ServiceError::NotFound("payout"))
    }

    pub async fn list_payouts(
        &self,
        caller: &Caller,
        filter: PayoutFilter,
        window: &Window,
    ) -> Result<Page<PayoutRow>, ServiceError> {
        let (from, before) = id_range(&window.created);
        let user = match caller.reach {
            Reach::Tenant => None,
            Reach::Own(user) => Some(user),
        };
        let filter = payouts::Filter {
            tenant: caller.tenant,
            status: filter.status,
            wallet: filter.wallet,
            user,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let rows = payouts::list(self.store(), &filter).await?;
        Ok(window.page(rows, |payout| (payout.id.0, payout.created_at)))
    }
}
