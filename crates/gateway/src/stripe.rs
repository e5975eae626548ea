//! Stripe: PaymentIntents, refunds, disputes, payouts; API version in [`VERSION`].
//!
//! Forms in, JSON out (`shapes`), webhooks by `Stripe-Signature` (`events`). Each request that
//! changes something bears our key twice: as `Idempotency-Key`, under which Stripe answers a
//! repetition with the first answer for at least 24 h, and as metadata, by which it is found when
//! no answer came. Stripe's search lags by up to a minute and it has none for refunds and payouts,
//! whose lists are looked through instead: "not found" is never proof of anything.

mod events;
mod shapes;

use async_trait::async_trait;
use caudal_domain::{Amount, Currency, Mode, Timestamp};
use caudal_outbound::{Answer as Reply, Request, Url};
use serde::{Deserialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    accounts::{GatewayAccount, GatewayKind, OpenError, Surroundings},
    believed,
    calls::{Calls, read},
    errors::DeclineCode,
    port::{
        Answer, CancelRequest, CaptureMode, CaptureRequest, ChargeRequest, ConcedeRequest,
        EvidenceRequest, Gateway, GatewayFault, NotSent, Object, PayoutRequest, Query,
        RefundRequest, Standing, Unclear,
    },
    quirks::{self, AmountQuirk, Purpose},
    webhooks::{Delivery, WebhookError, WebhookEvent, hmac::HmacScheme},
};
use shapes::{Dispute, Intent, Listed, Payout, Problem, Refund};

/// The API version that requests name and stripe-mock proves them against; answers keep its
/// shapes whatever the account's default is.
pub const VERSION: &str = "2026-08-26.dahlia";

/// Where our key is in metadata.
const KEY_FIELD: &str = "caudal_key";

/// Pages of a list that are looked through, of 100 each; more is no answer.
const PAGES_MAX: usize = 10;
/// Payment methods that Stripe has for tests, usable by anybody.
const TEST_METHODS: &str = "pm_card_";

/// Asked for with each intent, so that its fee comes with it.
const FEE: (&str, &str) = ("expand[]", "latest_charge.balance_transaction");

pub struct StripeGateway {
    calls: Calls,
    base: Url,
    secret_key: Zeroizing<String>,
    mode: Mode,
    signatures: HmacScheme,
}

#[derive(Deserialize)]
struct Keys {
    secret_key: String,
    #[serde(default)]
    webhook_secrets: Vec<String>,
}

impl StripeGateway {
    pub fn open(account: &GatewayAccount, around: &Surroundings) -> Result<Self, OpenError> {
        let keys: Keys = account.credentials.read()?;
        let secret_key = Zeroizing::new(keys.secret_key);
        // Secret and restricted keys: sk_test_…, rk_live_…
        let mut words = secret_key.split('_');
        let mode = match (words.next(), words.next()) {
            (Some("sk" | "rk"), Some("test")) => Mode::Test,
            (Some("sk" | "rk"), Some("live")) => Mode::Live,
            _ => return Err(OpenError::Credentials("not a secret key of Stripe")),
        };
        if mode != account.mode {
            return Err(OpenError::WrongMode);
        }
        let (client, world) = (around.client.clone(), around.world.clone());
        Ok(Self {
            calls: Calls::new(GatewayKind::Stripe.name(), client, around.guard, world),
            base: around.stripe.clone(),
            secret_key,
            mode,
            signatures: HmacScheme::new(events::HEADER, keys.webhook_secrets),
        })
    }

    fn url(&self, path: &[&str]) -> Result<Url, GatewayFault> {
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().map_err(|()| unsendable("no such address"))?;
        // Ids are segments of their own, so that none can point elsewhere.
        segments.pop_if_empty().push("v1").extend(path);
        drop(segments);
        Ok(url)
    }

    fn signed_in(&self, request: Request) -> Request {
        request
            .with_header("authorization", format!("Bearer {}", *self.secret_key))
            .with_header("stripe-version", VERSION)
    }

    async fn post(&self, path: &[&str], key: &str, form: Form) -> Result<Reply, GatewayFault> {
        let body = form.encoded();
        let request = Request::post(self.url(path)?, "application/x-www-form-urlencoded", body)
            .with_header("idempotency-key", key);
        self.calls.send(&self.signed_in(request)).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        pairs: &[(&str, &str)],
    ) -> Result<Option<T>, GatewayFault> {
        let mut url = self.url(path)?;
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let reply = self.calls.send(&self.signed_in(Request::get(url))).await?;
        match reply.status {
            200 => read(&reply).map(Some),
            404 => Ok(None),
            status => Err(unsendable(&format!("status {status}"))),
        }
    }

    /// Looks through a list for the thing that bears our key.
    async fn find<T: DeserializeOwned + shapes::Keyed>(
        &self,
        path: &str,
        filter: &[(&str, &str)],
        key: &str,
    ) -> Result<Option<T>, GatewayFault> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut pairs = vec![("limit", "100")];
            pairs.extend_from_slice(filter);
            if let Some(after) = &after {
                pairs.push(("starting_after", after));
            }
            let Some(page) = self.get::<Listed<T>>(&[path], &pairs).await? else {
                return Ok(None);
            };
            after = page.data.last().map(|last| last.id().to_owned());
            let found = page.data.into_iter().find(|thing| thing.key() == Some(key));
            if found.is_some() || !page.has_more {
                return Ok(found);
            }
        }
        Err(GatewayFault::Unclear(Unclear::Nonsense("the list is too long to look through")))
    }

    async fn by_reference(
        &self,
        object: Object,
        reference: &str,
    ) -> Result<Option<Standing>, GatewayFault> {
        match object {
            Object::Charge => {
                let found = self.get::<Intent>(&["payment_intents", reference], &[FEE]).await?;
                found.map(Intent::standing).transpose()
            }
            Object::Refund => {
                let found = self.get::<Refund>(&["refunds", reference], &[]).await?;
                found.map(Refund::standing).transpose()
            }
            Object::Dispute => {
                let found = self.get::<Dispute>(&["disputes", reference], &[]).await?;
                found.map(Dispute::standing).transpose()
            }
            Object::Payout => {
                let found = self.get::<Payout>(&["payouts", reference], &[]).await?;
                found.map(Payout::standing).transpose()
            }
        }
    }

    async fn by_key(&self, query: &ByKey<'_>) -> Result<Option<Standing>, GatewayFault> {
        let since = query.since.millis().div_euclid(1_000).to_string();
        match query.object {
            Object::Charge => self.search(query.key).await?.map(Intent::standing).transpose(),
            Object::Refund => {
                let Some(charge) = query.charge else { return Ok(None) };
                let filter = [("payment_intent", charge)];
                let found = self.find::<Refund>("refunds", &filter, query.key).await?;
                found.map(Refund::standing).transpose()
            }
            Object::Payout => {
                let filter = [("created[gte]", since.as_str())];
                let found = self.find::<Payout>("payouts", &filter, query.key).await?;
                found.map(Payout::standing).transpose()
            }
            // Disputes are the bank's; none has a key of ours.
            Object::Dispute => Ok(None),
        }
    }

    async fn search(&self, key: &str) -> Result<Option<Intent>, GatewayFault> {
        let quoted = key.replace('\\', "\\\\").replace('\'', "\\'");
        let query = format!("metadata['{KEY_FIELD}']:'{quoted}'");
        let pairs =
            [("query", query.as_str()), ("expand[]", "data.latest_charge.balance_transaction")];
        let found = self.get::<Listed<Intent>>(&["payment_intents", "search"], &pairs).await?;
        let mut all = found.map(|found| found.data).unwrap_or_default().into_iter();
        Ok(all.find(|intent| shapes::Keyed::key(intent) == Some(key)))
    }
}

/// A question by key.
struct ByKey<'a> {
    object: Object,
    key: &'a str,
    charge: Option<&'a str>,
    since: Timestamp,
}

/// A form as it grows.
struct Form(Vec<(String, String)>);

impl Form {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// One whose thing is found again by our key.
    fn keyed(key: &str) -> Self {
        Self::new().with("metadata[caudal_key]", key)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

fn unsendable(why: &str) -> GatewayFault {
    GatewayFault::NotSent(NotSent::Unsendable(why.to_owned()))
}

/// An amount in Stripe's units, or the decline that it would be.
fn units(amount: Amount, currency: Currency, purpose: Purpose) -> Result<String, Answer> {
    let units = quirks::STRIPE.to_gateway(amount, currency, purpose);
    units.map(|units| units.to_string()).map_err(|_| Answer::Declined {
        code: DeclineCode::InvalidAmount,
        retryable_elsewhere: false,
        reference: None,
    })
}

fn answer<T: DeserializeOwned>(
    reply: &Reply,
    of: impl FnOnce(T) -> Result<Answer, GatewayFault>,
) -> Result<Answer, GatewayFault> {
    match reply.status {
        200..=299 => of(read(reply)?),
        status => Ok(read::<Problem>(reply)?.error.answer(status)),
    }
}

fn charge_form(charge: &ChargeRequest, amount: &str) -> Form {
    let capture = match charge.capture {
        CaptureMode::Automatic => "automatic",
        CaptureMode::Manual => "manual",
    };
    // What the payer has to do before the money comes must not be left open without a way back.
    let alone = charge.return_url.is_none().then_some("true");
    let mut form = Form::keyed(&charge.key)
        .with("amount", amount)
        .with("currency", &charge.currency.code().to_ascii_lowercase())
        .with("confirm", "true")
        .with("payment_method", &charge.payment_method)
        .with("payment_method_types[]", "card")
        .with("capture_method", capture)
        .with_some("description", charge.description.as_deref())
        .with_some("return_url", charge.return_url.as_deref())
        .with_some("error_on_requires_action", alone)
        .with(FEE.0, FEE.1);
    for (name, value) in &charge.metadata {
        form = form.with(&format!("metadata[{name}]"), value);
    }
    form
}

#[async_trait]
impl Gateway for StripeGateway {
    fn kind(&self) -> GatewayKind {
        GatewayKind::Stripe
    }

    fn is_everybodys(&self, payment_method: &str) -> bool {
        self.mode == Mode::Test && payment_method.starts_with(TEST_METHODS)
    }

    fn check_amount(
        &self,
        amount: Amount,
        currency: Currency,
        purpose: Purpose,
    ) -> Result<(), AmountQuirk> {
        quirks::STRIPE.to_gateway(amount, currency, purpose).map(|_| ())
    }

    async fn refuses(&self) {
        self.calls.refuses().await;
    }

    async fn charge(&self, charge: &ChargeRequest) -> Result<Answer, GatewayFault> {
        let amount = match units(charge.amount, charge.currency, Purpose::Charge) {
            Ok(amount) => amount,
            Err(declined) => return Ok(declined),
        };
        let form = charge_form(charge, &amount);
        let reply = self.post(&["payment_intents"], &charge.key, form).await?;
        answer(&reply, |intent: Intent| believed::charged(charge, intent.standing()?))
    }

    async fn capture(&self, capture: &CaptureRequest) -> Result<Answer, GatewayFault> {
        let amount = match units(capture.amount, capture.currency, Purpose::Part) {
            Ok(amount) => amount,
            Err(declined) => return Ok(declined),
        };
        // No metadata: it would take the place of the charge's own key.
        let form = Form::new().with("amount_to_capture", &amount).with(FEE.0, FEE.1);
        let path = ["payment_intents", &capture.reference, "capture"];
        let reply = self.post(&path, &capture.key, form).await?;
        answer(&reply, |intent: Intent| believed::captured(capture, intent.standing()?))
    }

    async fn cancel(&self, cancel: &CancelRequest) -> Result<Answer, GatewayFault> {
        let path = ["payment_intents", &cancel.reference, "cancel"];
        let reply = self.post(&path, &cancel.key, Form::new()).await?;
        answer(&reply, |intent: Intent| believed::canceled(cancel, intent.standing()?))
    }

    async fn refund(&self, refund: &RefundRequest) -> Result<Answer, GatewayFault> {
        let amount = match units(refund.amount, refund.currency, Purpose::Part) {
            Ok(amount) => amount,
            Err(declined) => return Ok(declined),
        };
        let form =
            Form::keyed(&refund.key).with("payment_intent", &refund.charge).with("amount", &amount);
        let reply = self.post(&["refunds"], &refund.key, form).await?;
        answer(&reply, |made: Refund| believed::refunded(refund, made.standing()?))
    }

    async fn payout(&self, payout: &PayoutRequest) -> Result<Answer, GatewayFault> {
        let amount = match units(payout.amount, payout.currency, Purpose::Payout) {
            Ok(amount) => amount,
            Err(declined) => return Ok(declined),
        };
        let form = Form::keyed(&payout.key)
            .with("amount", &amount)
            .with("currency", &payout.currency.code().to_ascii_lowercase())
            .with("destination", &payout.destination);
        let reply = self.post(&["payouts"], &payout.key, form).await?;
        answer(&reply, |made: Payout| believed::paid_out(payout, made.standing()?))
    }

    async fn submit_evidence(&self, evidence: &EvidenceRequest) -> Result<Answer, GatewayFault> {
        let form =
            Form::new().with("evidence[uncategorized_text]", &evidence.text).with("submit", "true");
        let path = ["disputes", &evidence.dispute];
        answer(&self.post(&path, &evidence.key, form).await?, |dispute: Dispute| {
            Ok(dispute.answer())
        })
    }

    async fn concede(&self, concession: &ConcedeRequest) -> Result<Answer, GatewayFault> {
        let path = ["disputes", &concession.dispute, "close"];
        let reply = self.post(&path, &concession.key, Form::new()).await?;
        answer(&reply, |dispute: Dispute| Ok(dispute.answer()))
    }

    async fn query(&self, query: &Query) -> Result<Option<Standing>, GatewayFault> {
        match query {
            Query::Reference { object, reference } => self.by_reference(*object, reference).await,
            Query::Key { object, key, charge, since } => {
                let charge = charge.as_deref();
                self.by_key(&ByKey { object: *object, key, charge, since: *since }).await
            }
        }
    }

    async fn verify_webhook(
        &self,
        delivery: &Delivery<'_>,
        now: Timestamp,
    ) -> Result<WebhookEvent, WebhookError> {
        self.signatures.verify(delivery, now)?;
        events::read(delivery.body, self.mode)
    }
}
