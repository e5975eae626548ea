//! The port against the simulator.

use async_trait::async_trait;
use caudal_domain::{Amount, Currency, Mode, Timestamp};
use caudal_outbound::{Answer as Reply, Method, Request, Url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::shapes::{
    Charge, Dispute, DisputeStatus, Endpoint, Event, NewCapture, NewCharge, NewEvidence, NewPayout,
    NewRefund, Payout, Problem, Refund, Status, Thing,
};
use crate::{
    accounts::{GatewayAccount, GatewayKind, OpenError, Surroundings},
    believed,
    calls::{Calls, read},
    errors::{self, decline},
    port::{
        Answer, CancelRequest, CaptureMode, CaptureRequest, ChargeRequest, ChargeStanding,
        ConcedeRequest, DisputeStanding, DisputeState, EvidenceRequest, Fee, Gateway, GatewayFault,
        NotSent, Object, PayoutRequest, PayoutStanding, Query, RefundRequest, RefundStanding,
        Standing,
    },
    quirks::{self, AmountQuirk, Purpose},
    webhooks::{
        Delivery, EventKind, WebhookError, WebhookEvent, hmac::HmacScheme, keys::KeyScheme,
    },
};

/// Where its webhooks bear their signature.
pub const HEADER: &str = "simulator-signature";

pub struct SimulatorGateway {
    calls: Calls,
    base: Url,
    api_key: Zeroizing<String>,
    webhook_secrets: Zeroizing<Vec<String>>,
    secrets: HmacScheme,
    published: KeyScheme,
}

#[derive(Deserialize)]
struct Keys {
    api_key: String,
    #[serde(default)]
    webhook_secrets: Vec<String>,
}

impl SimulatorGateway {
    pub fn open(account: &GatewayAccount, around: &Surroundings) -> Result<Self, OpenError> {
        if account.mode != Mode::Test {
            return Err(OpenError::SimulatorIsForTests);
        }
        let base = around.simulator.clone().ok_or(OpenError::NoSimulator)?;
        let keys: Keys = account.credentials.read()?;
        let jwks = base.join(".well-known/jwks.json").map_err(|_| OpenError::NoSimulator)?;
        let (client, world) = (around.client.clone(), around.world.clone());
        Ok(Self {
            published: KeyScheme::new(HEADER, jwks, &client, &world),
            calls: Calls::new(GatewayKind::Simulator.name(), client, around.guard, world),
            base,
            api_key: Zeroizing::new(keys.api_key),
            secrets: HmacScheme::new(HEADER, keys.webhook_secrets.clone()),
            webhook_secrets: Zeroizing::new(keys.webhook_secrets),
        })
    }

    fn url(&self, path: &[&str]) -> Result<Url, GatewayFault> {
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().map_err(|()| unsendable("no such address"))?;
        segments.pop_if_empty().push("v1").extend(path);
        drop(segments);
        Ok(url)
    }

    fn signed_in(&self, request: Request) -> Request {
        request.with_header("authorization", format!("Bearer {}", *self.api_key))
    }

    async fn post(
        &self,
        path: &[&str],
        key: &str,
        body: &impl Serialize,
    ) -> Result<Reply, GatewayFault> {
        let body = serde_json::to_vec(body).map_err(|_| unsendable("not JSON"))?;
        let request = Request::post(self.url(path)?, "application/json", body)
            .with_header("idempotency-key", key);
        self.calls.send(&self.signed_in(request)).await
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<Option<T>, GatewayFault> {
        let reply = self.calls.send(&self.signed_in(Request::get(url))).await?;
        match reply.status {
            200 => read(&reply).map(Some),
            404 => Ok(None),
            status => Err(unsendable(&format!("status {status}"))),
        }
    }
}

fn unsendable(why: &str) -> GatewayFault {
    GatewayFault::NotSent(NotSent::Unsendable(why.to_owned()))
}

#[async_trait]
impl Gateway for SimulatorGateway {
    fn kind(&self) -> GatewayKind {
        GatewayKind::Simulator
    }

    fn is_everybodys(&self, payment_method: &str) -> bool {
        super::tokens::method(payment_method).is_some()
    }

    fn check_amount(
        &self,
        amount: Amount,
        currency: Currency,
        purpose: Purpose,
    ) -> Result<(), AmountQuirk> {
        quirks::SIMULATOR.to_gateway(amount, currency, purpose).map(|_| ())
    }

    async fn refuses(&self) {
        self.calls.refuses().await;
    }

    async fn charge(&self, charge: &ChargeRequest) -> Result<Answer, GatewayFault> {
        let new = NewCharge {
            amount: charge.amount,
            currency: charge.currency,
            payment_method: charge.payment_method.clone(),
            manual: charge.capture == CaptureMode::Manual,
            description: charge.description.clone(),
            return_url: charge.return_url.clone(),
            metadata: charge.metadata.clone(),
        };
        let reply = self.post(&["charges"], &charge.key, &new).await?;
        answer(&reply, |thing| believed::charged(charge, standing(thing)))
    }

    async fn capture(&self, capture: &CaptureRequest) -> Result<Answer, GatewayFault> {
        let path = ["charges", &capture.reference, "capture"];
        let new = NewCapture { amount: capture.amount };
        let reply = self.post(&path, &capture.key, &new).await?;
        answer(&reply, |thing| believed::captured(capture, standing(thing)))
    }

    async fn cancel(&self, cancel: &CancelRequest) -> Result<Answer, GatewayFault> {
        let path = ["charges", &cancel.reference, "cancel"];
        let reply = self.post(&path, &cancel.key, &()).await?;
        answer(&reply, |thing| believed::canceled(cancel, standing(thing)))
    }

    async fn refund(&self, refund: &RefundRequest) -> Result<Answer, GatewayFault> {
        let new = NewRefund { charge: refund.charge.clone(), amount: refund.amount };
        let reply = self.post(&["refunds"], &refund.key, &new).await?;
        answer(&reply, |thing| believed::refunded(refund, standing(thing)))
    }

    async fn payout(&self, payout: &PayoutRequest) -> Result<Answer, GatewayFault> {
        let new = NewPayout {
            amount: payout.amount,
            currency: payout.currency,
            destination: payout.destination.clone(),
        };
        let reply = self.post(&["payouts"], &payout.key, &new).await?;
        answer(&reply, |thing| believed::paid_out(payout, standing(thing)))
    }

    async fn submit_evidence(&self, evidence: &EvidenceRequest) -> Result<Answer, GatewayFault> {
        let path = ["disputes", &evidence.dispute, "evidence"];
        let new = NewEvidence { text: evidence.text.clone() };
        answer(&self.post(&path, &evidence.key, &new).await?, |thing| Ok(answer_of(&thing)))
    }

    async fn concede(&self, concession: &ConcedeRequest) -> Result<Answer, GatewayFault> {
        let path = ["disputes", &concession.dispute, "concede"];
        answer(&self.post(&path, &concession.key, &()).await?, |thing| Ok(answer_of(&thing)))
    }

    async fn query(&self, query: &Query) -> Result<Option<Standing>, GatewayFault> {
        let (object, url) = match query {
            Query::Reference { object, reference } => {
                (*object, self.url(&[folder(*object), reference])?)
            }
            Query::Key { object, key, .. } => {
                let mut url = self.url(&["lookup"])?;
                url.query_pairs_mut().append_pair("key", key);
                (*object, url)
            }
        };
        let found = self.get::<Thing>(url).await?;
        Ok(found.filter(|thing| kind_of(thing) == object).map(standing))
    }

    async fn point_webhooks(&self, url: &str) -> Result<(), GatewayFault> {
        let endpoint = Endpoint { url: url.to_owned(), secrets: self.webhook_secrets.to_vec() };
        let body = serde_json::to_vec(&endpoint).map_err(|_| unsendable("not JSON"))?;
        let request = Request::post(self.url(&["webhook"])?, "application/json", body);
        let request = Request { method: Method::PUT, ..request };
        match self.calls.send(&self.signed_in(request)).await?.status {
            204 => Ok(()),
            status => Err(unsendable(&format!("status {status}"))),
        }
    }

    async fn verify_webhook(
        &self,
        delivery: &Delivery<'_>,
        now: Timestamp,
    ) -> Result<WebhookEvent, WebhookError> {
        if self.published.applies(delivery) {
            self.published.verify(delivery, now).await?;
        } else {
            self.secrets.verify(delivery, now)?;
        }
        let event = serde_json::from_slice::<Event>(delivery.body);
        event.map(told).map_err(|_| WebhookError::Nonsense("not an event of the simulator"))
    }
}

fn folder(object: Object) -> &'static str {
    match object {
        Object::Charge => "charges",
        Object::Refund => "refunds",
        Object::Dispute => "disputes",
        Object::Payout => "payouts",
    }
}

fn kind_of(thing: &Thing) -> Object {
    match thing {
        Thing::Charge(_) => Object::Charge,
        Thing::Refund(_) => Object::Refund,
        Thing::Dispute(_) => Object::Dispute,
        Thing::Payout(_) => Object::Payout,
    }
}

fn answer(
    reply: &Reply,
    of: impl FnOnce(Thing) -> Result<Answer, GatewayFault>,
) -> Result<Answer, GatewayFault> {
    if (200..300).contains(&reply.status) {
        return of(read(reply)?);
    }
    let Problem { error } = read(reply)?;
    Ok(declined(&error.code, error.reference))
}

fn declined(code: &str, reference: Option<String>) -> Answer {
    let found = decline(errors::SIMULATOR, code);
    let (code, retryable_elsewhere) = (found.code, found.retryable_elsewhere);
    Answer::Declined { code, retryable_elsewhere, reference }
}

fn answer_of(thing: &Thing) -> Answer {
    match thing {
        Thing::Charge(charge) => charge_answer(charge),
        Thing::Refund(Refund { id, status, decline_code, .. })
        | Thing::Payout(Payout { id, status, decline_code, .. }) => {
            plain(*status, id, decline_code.as_deref())
        }
        Thing::Dispute(dispute) => {
            let reference = dispute.id.clone();
            match dispute.status {
                DisputeStatus::Open | DisputeStatus::UnderReview => {
                    Answer::Processing { reference }
                }
                DisputeStatus::Won => Answer::Succeeded { reference, fee: None },
                DisputeStatus::Lost => declined("dispute_lost", Some(reference)),
            }
        }
    }
}

fn charge_answer(charge: &Charge) -> Answer {
    let reference = charge.id.clone();
    match (charge.status, &charge.next_action_url) {
        (Status::Succeeded, _) => {
            let fee = Fee { amount_minor: charge.fee, currency: charge.currency };
            Answer::Succeeded { reference, fee: Some(fee) }
        }
        (Status::RequiresAction, Some(url)) => {
            Answer::RequiresAction { reference, url: url.clone() }
        }
        (status, _) => plain(status, &reference, charge.decline_code.as_deref()),
    }
}

fn plain(status: Status, id: &str, code: Option<&str>) -> Answer {
    let reference = id.to_owned();
    match status {
        Status::Succeeded => Answer::Succeeded { reference, fee: None },
        Status::RequiresCapture => Answer::RequiresCapture { reference },
        Status::Processing | Status::RequiresAction => Answer::Processing { reference },
        Status::Canceled => Answer::Canceled { reference },
        Status::Failed => declined(code.unwrap_or(""), Some(reference)),
    }
}

fn standing(thing: Thing) -> Standing {
    let answer = answer_of(&thing);
    match thing {
        Thing::Charge(charge) => Standing::Charge(ChargeStanding {
            reference: charge.id,
            key: Some(charge.key),
            amount_minor: charge.amount,
            captured_minor: charge.amount_captured,
            refunded_minor: Some(charge.amount_refunded),
            currency: charge.currency,
            answer,
        }),
        Thing::Refund(refund) => Standing::Refund(RefundStanding {
            reference: refund.id,
            key: Some(refund.key),
            charge: Some(refund.charge),
            amount_minor: refund.amount,
            currency: refund.currency,
            answer,
        }),
        Thing::Payout(payout) => Standing::Payout(PayoutStanding {
            reference: payout.id,
            key: Some(payout.key),
            amount_minor: payout.amount,
            currency: payout.currency,
            answer,
        }),
        Thing::Dispute(dispute) => Standing::Dispute(dispute_standing(dispute)),
    }
}

fn dispute_standing(dispute: Dispute) -> DisputeStanding {
    DisputeStanding {
        reference: dispute.id,
        charge: Some(dispute.charge),
        amount_minor: dispute.amount,
        currency: dispute.currency,
        state: match dispute.status {
            DisputeStatus::Open => DisputeState::Open,
            DisputeStatus::UnderReview => DisputeState::UnderReview,
            DisputeStatus::Won => DisputeState::Won,
            DisputeStatus::Lost => DisputeState::Lost,
        },
        reason: dispute.reason,
        evidence_due_at: Some(dispute.evidence_due_at),
    }
}

fn told(event: Event) -> WebhookEvent {
    let kind = match event.kind.as_str() {
        "charge.succeeded" => EventKind::ChargeSucceeded,
        "charge.failed" => EventKind::ChargeFailed,
        "charge.capturable" => EventKind::ChargeCapturable,
        "charge.canceled" => EventKind::ChargeCanceled,
        "refund.updated" => EventKind::RefundUpdated,
        "dispute.opened" => EventKind::DisputeOpened,
        "dispute.closed" => EventKind::DisputeClosed,
        "payout.paid" => EventKind::PayoutPaid,
        "payout.failed" => EventKind::PayoutFailed,
        _ => EventKind::Other(event.kind.clone()),
    };
    let about = Some((kind_of(&event.data), event.data.id().to_owned()));
    WebhookEvent { id: event.id, kind, about, happened_at: event.created_at }
}
