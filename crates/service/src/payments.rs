//! Payments: the customer's business, for which money is moved. A payment's row goes with the money
//! in one commit; what it may become next is the table of `caudal_domain::payment`.
//!
//! Reading order: this file (what a payment is, how it is asked for and read), [`wallet`] (from a
//! wallet: one commit), `payment_saga` (through a gateway: steps outside), [`follow`] (captures and
//! calls off), `refunds`. [`said`] keeps what was answered, [`telling`] says what happened.

mod batch;
pub(crate) mod counted;
mod expire;
mod follow;
pub(crate) mod review;
pub(crate) mod said;
pub(crate) mod seen;
pub(crate) mod telling;
mod wallet;

use caudal_domain::{
    AccountId, Amount, Chart, Currency, GatewayAccountId, Mode, PaymentId, PaymentType, Refusal,
    TenantId, Timestamp, UserId,
    fee::{FeeBearer, FeeRate, FeeReturn},
    payment::{PaymentAmounts, PaymentEvent, PaymentStatus},
    payment_type::{CaptureMode, LossBearer, PaymentTerms, PaymentVia},
    text::Metadata,
};
use caudal_rules::Verdict;
use caudal_store::{UnitOfWork, payment_attempts, payments, refunds, wallets};
use std::collections::BTreeMap;

pub use caudal_store::{payment_attempts::AttemptRow, payments::PaymentRow, refunds::RefundRow};
pub use follow::PaymentFollow;
use moka::sync::Cache;
pub use review::Review;
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Page, Reach, ReceiptOf, Service, ServiceError,
    asked::Window,
    id_range,
    screening::{Judged, Screening},
    unit::broken,
};

pub(crate) use follow::capturable;
pub use said::Snapshot;
pub(crate) use said::unless_declined;

/// An authorization holds so long: seven days, as gateways keep theirs.
pub(crate) const AUTHORIZED_FOR_S: i64 = 7 * 86_400;
/// Refunds and attempts shown with a payment.
const SHOWN_MOST: i64 = 100;

/// A payment as it is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewPayment {
    /// The name of its type.
    pub kind: String,
    pub amount: Amount,
    pub currency: Currency,
    /// The wallet credited.
    pub to: AccountId,
    /// The payer's wallet, where the type is one of wallets.
    pub from: Option<AccountId>,
    /// A gateway's token, where the type is one of gateways.
    pub payment_method: Option<String>,
    /// As the type says, if not given.
    pub capture: Option<CaptureMode>,
    /// Where the payer comes back to from what the gateway asked of them.
    pub return_url: Option<String>,
    pub reference: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
}

/// A payment as it stands.
#[derive(Clone, Debug)]
pub struct Payment {
    pub row: PaymentRow,
    pub data: PaymentData,
}

/// What belongs to a payment and is not searched; kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PaymentData {
    /// What the payer must do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action_url: Option<String>,
    /// The gateway's reason, in our words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decline_code: Option<String>,
    /// When a promise ends that was not captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_default")]
    pub fee_bearer: FeeBearer,
    #[serde(skip_serializing_if = "is_default")]
    pub fee_return: FeeReturn,
    /// Who bears what is charged back for good.
    #[serde(skip_serializing_if = "is_default")]
    pub loss_bearer: LossBearer,
    /// Of what is captured later, whose amount is not known yet.
    #[serde(skip_serializing_if = "is_default")]
    pub fee_rate: FeeRate,
    /// Seconds from the capture.
    #[serde(skip_serializing_if = "is_default")]
    pub available_after_s: i64,
    /// Calls to gateways so far.
    #[serde(skip_serializing_if = "is_default")]
    pub attempts: i64,
    /// Somebody is calling it off at the gateway.
    #[serde(skip_serializing_if = "is_default")]
    pub is_canceling: bool,
    /// Nobody knows for so long what became of it that a person has to find out and say so.
    #[serde(skip_serializing_if = "is_default")]
    pub needs_decision: bool,
    /// The gateway has moved money beside our books; a person sets that right there. The API shows
    /// both as one.
    #[serde(skip_serializing_if = "is_default")]
    pub is_contradicted: bool,
    /// What it said so far that contradicts: each calls for a person once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contradictions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// Why a rule set it aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// What was answered first to what was asked of a gateway, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answered: BTreeMap<String, Snapshot>,
    /// What happened to it after it was made, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Happened>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A step of a payment's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    #[serde(rename = "event")]
    pub what: PaymentEvent,
    pub status: PaymentStatus,
    pub at: Timestamp,
}

/// Why a payment did not come about, though it was made: it is there to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined {
    pub payment: PaymentId,
    pub status: PaymentStatus,
    /// `insufficient_funds`, `card_declined`, `blocked` …
    pub code: String,
    /// The gateway's reason, in our words.
    pub decline_code: Option<String>,
    /// Said before, under the same key.
    pub replayed: bool,
}

/// Which payments to list.
#[derive(Clone, Debug, Default)]
pub struct PaymentFilter {
    pub status: Option<PaymentStatus>,
    pub kind: Option<String>,
    /// The wallet credited.
    pub wallet: Option<AccountId>,
    /// The wallet that pays.
    pub payer: Option<AccountId>,
    pub user: Option<UserId>,
    pub reference: Option<String>,
}

/// What may be shown with a payment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expand {
    pub refunds: bool,
    pub attempts: bool,
}

/// A payment with what was asked for besides.
#[derive(Clone, Debug)]
pub struct Expanded {
    pub payment: Payment,
    pub refunds: Option<Vec<RefundRow>>,
    pub attempts: Option<Vec<AttemptRow>>,
}

impl Payment {
    pub(crate) fn read(row: PaymentRow) -> Result<Self, ServiceError> {
        let data = match row.data.as_str() {
            "{}" => PaymentData::default(),
            text => serde_json::from_str(text).map_err(broken)?,
        };
        Ok(Self { row, data })
    }

    /// The row with its data, to be written.
    pub(crate) fn to_row(&self) -> Result<PaymentRow, ServiceError> {
        let data = match is_default(&self.data) {
            true => "{}".to_owned(),
            false => serde_json::to_string(&self.data).map_err(broken)?,
        };
        Ok(PaymentRow { data, ..self.row.clone() })
    }

    /// The next version of it.
    pub(crate) fn next(&self, at: Timestamp) -> Self {
        let mut next = self.clone();
        next.row.version += 1;
        next.row.updated_at = at;
        next
    }

    /// The next version, after this has happened. What the table does not know is refused.
    pub(crate) fn on(&self, what: PaymentEvent, at: Timestamp) -> Result<Self, Refusal> {
        let mut next = self.next(at);
        next.row.status = self.row.status.next(what)?;
        next.data.history.push(Happened { what, status: next.row.status, at });
        next.data.next_action_url = None;
        Ok(next)
    }

    /// What has happened to it, oldest first: it was made, and then.
    pub fn history(&self) -> Vec<Happened> {
        let first = match (self.row.status, &self.data.review) {
            (PaymentStatus::Blocked, _) if self.data.history.is_empty() => PaymentEvent::Refused,
            (_, Some(_)) => PaymentEvent::SentToReview,
            _ => PaymentEvent::Accepted,
        };
        let made = Happened {
            what: first,
            status: PaymentStatus::first(first).unwrap_or(self.row.status),
            at: self.row.created_at,
        };
        std::iter::once(made).chain(self.data.history.iter().copied()).collect()
    }

    /// Why it failed, as its maker is told.
    pub(crate) fn declined(&self, replayed: bool) -> Option<Declined> {
        let status = self.row.status;
        if !matches!(status, PaymentStatus::Failed | PaymentStatus::Blocked) {
            return None;
        }
        Some(Declined {
            payment: self.row.id,
            status,
            code: self.row.failure.clone().unwrap_or_else(|| status.name().to_owned()),
            decline_code: self.data.decline_code.clone(),
            replayed,
        })
    }
}

/// Whose own accounts are known to be there: of a currency, and what a gateway owes in it.
pub(crate) type OpenedAccounts = Cache<(TenantId, Currency, Option<GatewayAccountId>), ()>;
/// Of which so many are remembered; looking again costs a statement.
pub(crate) const OPENED_MOST: u64 = 100_000;

/// How often a payment is judged again when another process made one that counts.
const ATTEMPTS: usize = 20;

/// A payment that is being made, and on which terms.
#[derive(Clone)]
pub(crate) struct Making {
    pub payment: Payment,
    /// Accounts at gateways, in the order in which they are tried; none for wallets.
    pub route: Vec<GatewayAccountId>,
}

impl Service {
    /// Makes a payment, and waits a while for what becomes of it. What was declined is an error
    /// that names the payment.
    pub async fn pay(
        &self,
        asked: Asked<'_>,
        new: NewPayment,
    ) -> Result<Done<Payment>, ServiceError> {
        self.require_step_up_for(asked.caller, new.amount.minor())?;
        match self.pay_as_judged(asked, new).await {
            Err(error) => self.unless_paid_before(asked.caller.tenant, asked.receipt, error).await,
            done => done,
        }
    }

    async fn pay_as_judged(
        &self,
        asked: Asked<'_>,
        new: NewPayment,
    ) -> Result<Done<Payment>, ServiceError> {
        let making = self.prepare(asked.caller, new).await?;
        for _ in 0..ATTEMPTS {
            let row = &making.payment.row;
            let judged = self.screen(&Screening::new(row, row.created_at)).await?;
            if judged.counting.is_nothing() {
                return self.make(asked, making, judged).await;
            }
            match self.make(asked, making.clone(), judged).await {
                // Another process made one that counts, or something else came between.
                Err(ServiceError::Refused(Refusal::Conflict)) => {}
                done => return done,
            }
        }
        Err(Refusal::Conflict.into())
    }

    async fn make(
        &self,
        asked: Asked<'_>,
        making: Making,
        judged: Judged,
    ) -> Result<Done<Payment>, ServiceError> {
        match (judged.verdict, making.payment.row.from) {
            (Verdict::Allow, Some(_)) => {
                self.pay_from_wallet(asked, making.payment, judged.counting).await
            }
            (Verdict::Allow, None) => {
                self.pay_through_gateway(asked, making, judged.counting).await
            }
            _ => self.set_aside(asked, making, judged).await,
        }
    }

    /// The answer that the key was given first, where there is one: of a payment that would not be
    /// made now.
    pub(crate) async fn unless_paid_before(
        &self,
        tenant: TenantId,
        receipt: ReceiptOf,
        error: ServiceError,
    ) -> Result<Done<Payment>, ServiceError> {
        let kept = self.told_before(receipt, error).await?;
        unless_declined(self.said_of(tenant, &kept).await?)
    }

    /// Holds what is asked for against the payment's type.
    async fn prepare(&self, caller: &Caller, new: NewPayment) -> Result<Making, ServiceError> {
        let kind = self.payment_type(caller.tenant, &new.kind).await?.filter(|kind| kind.active);
        let kind = kind
            .ok_or_else(|| ServiceError::invalid("type", "no active payment type has this name"))?;
        let terms = terms_of(&kind, &new)?;
        check_sides(&kind, &new)?;
        let from = self.own_payer(caller, new.from).await?;
        let user = match (caller.reach, from) {
            (Reach::Own(user), _) => Some(user),
            (Reach::Tenant, Some(from)) => {
                self.inner.owners.read(self.store(), caller.tenant, from).await?
            }
            (Reach::Tenant, None) => None,
        };
        let route = terms.gateway_accounts.clone();
        self.check_method(caller, new.payment_method.as_deref(), &route).await?;
        if !route.is_empty() || terms.fee.of(new.amount.minor()) > 0 {
            self.open_accounts(caller, new.currency, &route).await?;
        }
        let parties = (caller.tenant, from, user);
        let payment = self.new_payment((&kind, terms), parties, new).await?;
        Ok(Making { payment, route })
    }

    /// A token with which another user of the tenant has paid is not the caller's.
    async fn check_method(
        &self,
        caller: &Caller,
        method: Option<&str>,
        route: &[GatewayAccountId],
    ) -> Result<(), ServiceError> {
        let (Reach::Own(user), Some(method), Some(account)) = (caller.reach, method, route.first())
        else {
            return Ok(());
        };
        let gateway = self.gateway(caller.tenant, *account).await;
        if gateway.is_ok_and(|gateway| gateway.is_everybodys(method)) {
            return Ok(());
        }
        match payments::first_payer(self.store(), caller.tenant, method).await? {
            Some(first) if first != user => Err(ServiceError::NotFound("payment_method")),
            _ => Ok(()),
        }
    }

    /// The tenant's own accounts of payments in this currency, where they are not there yet.
    async fn open_accounts(
        &self,
        caller: &Caller,
        currency: Currency,
        route: &[GatewayAccountId],
    ) -> Result<(), ServiceError> {
        let opened = &self.inner.opened_accounts;
        let key = |gateway| (caller.tenant, currency, gateway);
        let is_new = |gateway: &&GatewayAccountId| !opened.contains_key(&key(Some(**gateway)));
        let new: Vec<GatewayAccountId> = route.iter().filter(is_new).copied().collect();
        if new.is_empty() && opened.contains_key(&key(None)) {
            return Ok(());
        }
        let (at, chart) = (self.now(), Chart { tenant: caller.tenant, currency });
        let is_test = caller.mode == Mode::Test;
        let steps = wallets::insert_payment_accounts(chart, &new, is_test, at);
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?;
        for gateway in std::iter::once(None).chain(new.into_iter().map(Some)) {
            opened.insert(key(gateway), ());
        }
        Ok(())
    }

    /// A payer that is not the caller's is as good as unknown; a tenant's own account, too.
    async fn own_payer(
        &self,
        caller: &Caller,
        from: Option<AccountId>,
    ) -> Result<Option<AccountId>, ServiceError> {
        let Some(from) = from else { return Ok(None) };
        let is_theirs = match caller.reach {
            Reach::Tenant => !from.is_system(),
            Reach::Own(own) => {
                let owner = self.inner.owners.read(self.store(), caller.tenant, from).await?;
                owner == Some(own)
            }
        };
        Ok(Some(if is_theirs { from } else { AccountId(0) }))
    }

    async fn new_payment(
        &self,
        (kind, terms): (&PaymentType, &PaymentTerms),
        (tenant, from, user): (TenantId, Option<AccountId>, Option<UserId>),
        new: NewPayment,
    ) -> Result<Payment, ServiceError> {
        let at = self.now();
        let settings = &kind.settings;
        let manual = new.capture.unwrap_or(settings.capture) == CaptureMode::Manual;
        let to = if new.to.is_system() { AccountId(0) } else { new.to };
        let row = PaymentRow {
            id: PaymentId(self.next_id(at, to.bucket())),
            tenant,
            status: PaymentStatus::Processing,
            kind: new.kind,
            amount: new.amount.minor(),
            currency: new.currency,
            amounts: PaymentAmounts::default(),
            fee: terms.fee.of(new.amount.minor()),
            wallet: to,
            from,
            user,
            payment_method: new.payment_method,
            manual_capture: manual,
            gateway_account: None,
            gateway_reference: None,
            transfer: None,
            failure: None,
            reference: new.reference,
            description: new.description,
            metadata: new.metadata,
            data: String::new(),
            available_at: None,
            created_at: at,
            updated_at: at,
            version: 1,
            business_day: self.business_day(tenant, at).await?,
        };
        let data = PaymentData {
            fee_bearer: settings.fee_bearer,
            fee_return: settings.fee_return,
            loss_bearer: settings.loss_bearer,
            fee_rate: if manual { terms.fee } else { FeeRate::default() },
            available_after_s: settings.available_after_s,
            return_url: new.return_url,
            ..PaymentData::default()
        };
        Ok(Payment { row, data })
    }

    pub async fn payment(&self, caller: &Caller, id: PaymentId) -> Result<Payment, ServiceError> {
        let found = self.find_payment(caller, id).await?;
        let payment = found.ok_or(ServiceError::NotFound("payment"))?;
        let is_whole = self.sees_payer(caller, &payment.row).await?;
        Ok(if is_whole { payment } else { payment.seen_by_payee() })
    }

    /// `None`, too, when it is not the caller's. Whole, as it is written again.
    pub(crate) async fn find_payment(
        &self,
        caller: &Caller,
        id: PaymentId,
    ) -> Result<Option<Payment>, ServiceError> {
        let Some(row) = payments::find(self.store(), caller.tenant, id).await? else {
            return Ok(None);
        };
        let is_theirs = self.holds_payment(caller, &row).await?;
        if is_theirs { Payment::read(row).map(Some) } else { Ok(None) }
    }

    /// Whether the caller made it, pays it or is paid.
    async fn holds_payment(&self, caller: &Caller, row: &PaymentRow) -> Result<bool, ServiceError> {
        let Reach::Own(own) = caller.reach else { return Ok(true) };
        if row.user == Some(own) {
            return Ok(true);
        }
        for wallet in std::iter::once(row.wallet).chain(row.from) {
            let owner = self.inner.owners.read(self.store(), row.tenant, wallet).await?;
            if owner == Some(own) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A payment with what is asked for besides.
    pub async fn expanded_payment(
        &self,
        caller: &Caller,
        id: PaymentId,
        expand: Expand,
    ) -> Result<Expanded, ServiceError> {
        let found = self.find_payment(caller, id).await?;
        let payment = found.ok_or(ServiceError::NotFound("payment"))?;
        let is_whole = self.sees_payer(caller, &payment.row).await?;
        let payment = if is_whole { payment } else { payment.seen_by_payee() };
        let (tenant, db) = (caller.tenant, self.store());
        let refunds = match expand.refunds {
            true => {
                let rows = refunds::of_payment(db, tenant, id, SHOWN_MOST).await?;
                let seen_by_payee = rows.iter().cloned().map(seen::refund_seen_by_payee);
                Some(if is_whole { rows } else { seen_by_payee.collect() })
            }
            false => None,
        };
        let attempts = match (expand.attempts, is_whole) {
            (true, true) => Some(payment_attempts::of_payment(db, tenant, id, SHOWN_MOST).await?),
            (true, false) => Some(Vec::new()),
            (false, _) => None,
        };
        Ok(Expanded { payment, refunds, attempts })
    }

    /// A wallet holder's list holds what they pay, or what one of their wallets gets.
    pub async fn list_payments(
        &self,
        caller: &Caller,
        filter: PaymentFilter,
        window: &Window,
    ) -> Result<Page<Payment>, ServiceError> {
        let PaymentFilter { status, kind, wallet, payer, user, reference } = filter;
        for wallet in wallet.iter().chain(&payer) {
            self.wallet(caller, *wallet).await?;
        }
        let user = match (caller.reach, user, wallet.or(payer)) {
            (Reach::Own(own), Some(user), _) if user != own => {
                return Ok(Page { items: Vec::new(), next: None });
            }
            (Reach::Own(own), _, None) => Some(own),
            (_, user, _) => user,
        };
        let (from, before) = id_range(&window.created);
        let is_guess = reference.is_some();
        let filter = payments::Filter {
            tenant: caller.tenant,
            status,
            kind,
            wallet,
            payer,
            user,
            reference,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            from,
            limit: window.rows(),
        };
        let rows = payments::list(self.store(), &filter).await?;
        let items = rows.into_iter().map(Payment::read).collect::<Result<Vec<_>, _>>()?;
        let page = window.page(items, |payment| (payment.row.id.0, payment.row.created_at));
        let mut seen = Vec::with_capacity(page.items.len());
        for payment in page.items {
            match self.sees_payer(caller, &payment.row).await? {
                true => seen.push(payment),
                // That one was found tells the reference, which is the payer's.
                false if is_guess => {}
                false => seen.push(payment.seen_by_payee()),
            }
        }
        Ok(Page { items: seen, next: page.next })
    }
}

/// What the type takes in this currency.
fn terms_of<'k>(kind: &'k PaymentType, new: &NewPayment) -> Result<&'k PaymentTerms, ServiceError> {
    let terms = kind.settings.terms(new.currency).ok_or_else(|| {
        ServiceError::invalid("currency", "payments of this type are not in this currency")
    })?;
    match terms.takes(new.amount) {
        true => Ok(terms),
        false => Err(ServiceError::invalid("amount", "is outside the limits of this type")),
    }
}

/// Whether the payment says what its type needs, and nothing else.
fn check_sides(kind: &PaymentType, new: &NewPayment) -> Result<(), ServiceError> {
    let (has_from, has_method) = (new.from.is_some(), new.payment_method.is_some());
    let (param, detail) = match (kind.settings.via, has_from, has_method) {
        (PaymentVia::Wallet, true, false) | (PaymentVia::Gateway, false, true) => return Ok(()),
        (PaymentVia::Wallet, false, _) => ("from", "is needed: payments of this type come from it"),
        (PaymentVia::Wallet, true, true) => ("payment_method", "belongs to types of gateways"),
        (PaymentVia::Gateway, true, _) => ("from", "belongs to types of wallets"),
        (PaymentVia::Gateway, false, false) => ("payment_method", "is needed for this type"),
    };
    Err(ServiceError::invalid(param, detail))
}
