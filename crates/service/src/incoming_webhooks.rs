//! What gateways tell by webhook: believed by its signature, kept before it is answered, each
//! event once; worked on afterwards.
//!
//! A webhook moves no money. What it speaks of is asked of the gateway, and what the gateway says
//! is handed to `Service::heed_gateway`, so copies, disorder and old news do no harm. What nobody
//! here knows may be known in a moment (an answer that is still under way names it), and what is
//! worked on now may have been asked before the gateway decided: such a webhook is tried again, and
//! given up and told after [`PAUSES_S`].

use caudal_domain::{Event, GatewayAccountId, Timestamp, event::kinds, text::check_text};
use caudal_gateway::{
    Delivery, EventKind, GatewayFault, Object, Query, Standing, WebhookError, WebhookEvent,
};
use caudal_store::{
    UnitOfWork, UnitOutcome, gateway_accounts,
    incoming_webhooks::{self, IncomingRow},
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    Service, ServiceError,
    unit::{Subject, broken},
};

/// Before each further try, in seconds; after the last one it is given up: nearly two days.
const PAUSES_S: [i64; 9] = [2, 10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400];
/// Whoever took one and was not heard of again has lost it to the next.
const LEASE_S: i64 = 30;
/// Taken up in one round, and worked on at once.
const DUE_MOST: i64 = 64;
const AT_ONCE: usize = 16;
/// Of a gateway's name for an event or a thing.
const NAME_CHARS: usize = 255;

/// All that is kept of an event; what else the gateway wrote may name people.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    object: Kept,
    reference: String,
    happened_at: Timestamp,
}

/// [`Object`] as kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Charge,
    Refund,
    Dispute,
    Payout,
}

impl From<Object> for Kept {
    fn from(object: Object) -> Self {
        match object {
            Object::Charge => Self::Charge,
            Object::Refund => Self::Refund,
            Object::Dispute => Self::Dispute,
            Object::Payout => Self::Payout,
        }
    }
}

impl From<Kept> for Object {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Charge => Self::Charge,
            Kept::Refund => Self::Refund,
            Kept::Dispute => Self::Dispute,
            Kept::Payout => Self::Payout,
        }
    }
}

#[derive(Serialize)]
struct UnclaimedData<'a> {
    gateway_account_id: GatewayAccountId,
    event_key: &'a str,
    kind: &'a str,
    reference: &'a str,
}

impl Service {
    /// Takes a webhook as it came in, byte for byte. Once this gives `Ok`, it is kept. Header names
    /// are in lower case.
    pub async fn take_webhook(
        &self,
        account: GatewayAccountId,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<(), ServiceError> {
        let row = gateway_accounts::find_of_anyone(self.store(), account).await?;
        let tenant = row.ok_or(ServiceError::NotFound("gateway_account"))?.tenant;
        let gateway = self.gateway(tenant, account).await?;
        let now = self.now();
        let event = gateway.verify_webhook(&Delivery { headers, body }, now).await;
        let event = event.map_err(not_believed)?;
        let Some((object, reference)) = &event.about else { return Ok(()) };
        for name in [&event.id, reference] {
            if name.is_empty() || check_text(name, NAME_CHARS).is_err() {
                return Err(ServiceError::invalid("", "the event has no name that can be kept"));
            }
        }
        let object = (*object).into();
        let told = Told { object, reference: reference.clone(), happened_at: event.happened_at };
        let row = IncomingRow {
            gateway_account: account,
            event_key: event.id.clone(),
            tenant,
            kind: name_of(&event).to_owned(),
            data: serde_json::to_string(&told).map_err(broken)?,
            attempts: 0,
            received_at: now,
            next_at: now,
            done_at: None,
            failed_at: None,
        };
        let steps = vec![incoming_webhooks::insert(&row)];
        // A step that misses: it was told before, which is as good.
        self.commit(UnitOfWork { at: now, steps, ..UnitOfWork::default() }).await?;
        Ok(())
    }

    /// Works on what is due, of all tenants; how many there were.
    pub async fn work_on_webhooks(&self) -> Result<usize, ServiceError> {
        let due = incoming_webhooks::due(self.store(), self.now(), DUE_MOST).await?;
        let count = due.len();
        futures::stream::iter(due)
            .for_each_concurrent(AT_ONCE, async |webhook| {
                if let Err(error) = self.work_on_webhook(webhook).await {
                    // Its lease ends, and it is due again.
                    tracing::warn!(%error, "a webhook could not be worked on; trying again");
                }
            })
            .await;
        Ok(count)
    }

    async fn work_on_webhook(&self, webhook: IncomingRow) -> Result<(), ServiceError> {
        let leased_until = self.now().plus_seconds(LEASE_S);
        if !self.wrote(vec![incoming_webhooks::claim(&webhook, leased_until)]).await? {
            return Ok(());
        }
        let told: Told = serde_json::from_str(&webhook.data).map_err(broken)?;
        match self.learn(&webhook, &told).await {
            Ok(()) => {
                self.wrote(vec![incoming_webhooks::done(&webhook, self.now())]).await?;
            }
            Err(why) => self.put_webhook_off(&webhook, &told, &why).await?,
        }
        Ok(())
    }

    /// Asks the gateway what it stands like, and heeds it.
    async fn learn(&self, webhook: &IncomingRow, told: &Told) -> Result<(), ServiceError> {
        let IncomingRow { tenant, gateway_account, .. } = *webhook;
        let gateway = self.gateway(tenant, gateway_account).await?;
        let (object, reference) = (told.object.into(), told.reference.clone());
        let standing = gateway.query(&Query::Reference { object, reference }).await;
        let standing: Option<Standing> = standing.map_err(|fault: GatewayFault| {
            ServiceError::Unavailable(format!("the gateway was not heard: {fault}"))
        })?;
        let standing = standing.ok_or(ServiceError::NotFound("thing at the gateway"))?;
        match &standing {
            Standing::Payout(payout) => self.heed_payout(tenant, gateway_account, payout).await,
            Standing::Dispute(dispute) => self.heed_dispute(tenant, gateway_account, dispute).await,
            _ => self.heed_gateway(tenant, gateway_account, &standing).await,
        }
    }

    async fn put_webhook_off(
        &self,
        webhook: &IncomingRow,
        told: &Told,
        why: &ServiceError,
    ) -> Result<(), ServiceError> {
        let (at, account) = (self.now(), webhook.gateway_account);
        let tried = usize::try_from(webhook.attempts).unwrap_or(usize::MAX);
        if let Some(pause) = PAUSES_S.get(tried) {
            tracing::debug!(%account, kind = webhook.kind, %why, "a webhook waits");
            self.wrote(vec![incoming_webhooks::put_off(webhook, at.plus_seconds(*pause))]).await?;
            return Ok(());
        }
        tracing::warn!(%account, kind = webhook.kind, %why, "a webhook is given up");
        let unit = UnitOfWork {
            at,
            steps: vec![incoming_webhooks::failed(webhook, at)],
            events: vec![self.unclaimed_event(webhook, told, at)?],
            receipt: None,
        };
        self.commit(unit).await?;
        Ok(())
    }

    fn unclaimed_event(
        &self,
        webhook: &IncomingRow,
        told: &Told,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let (account, kind) = (webhook.gateway_account, kinds::GATEWAY_WEBHOOK_UNCLAIMED);
        let tenant = webhook.tenant;
        let subject = Subject { kind, tenant, id: account.0, text: &account, at };
        let data = UnclaimedData {
            gateway_account_id: account,
            event_key: &webhook.event_key,
            kind: &webhook.kind,
            reference: &told.reference,
        };
        self.event(&subject, &data)
    }

    /// Whether the steps wrote what they were to write.
    async fn wrote(&self, steps: Vec<caudal_store::Step>) -> Result<bool, ServiceError> {
        let unit = UnitOfWork { at: self.now(), steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }
}

fn not_believed(error: WebhookError) -> ServiceError {
    match error {
        WebhookError::KeysUnavailable(_) => ServiceError::Unavailable(error.to_string()),
        WebhookError::Nonsense(_) => ServiceError::invalid("", error.to_string()),
        _ => ServiceError::BadSignature(error.to_string()),
    }
}

/// Ours where it has one, else the gateway's own.
fn name_of(event: &WebhookEvent) -> &str {
    match &event.kind {
        EventKind::ChargeSucceeded => "charge.succeeded",
        EventKind::ChargeFailed => "charge.failed",
        EventKind::ChargeCapturable => "charge.capturable",
        EventKind::ChargeCanceled => "charge.canceled",
        EventKind::ChargeUpdated => "charge.updated",
        EventKind::RefundUpdated => "refund.updated",
        EventKind::DisputeOpened => "dispute.opened",
        EventKind::DisputeUpdated => "dispute.updated",
        EventKind::DisputeClosed => "dispute.closed",
        EventKind::PayoutPaid => "payout.paid",
        EventKind::PayoutFailed => "payout.failed",
        EventKind::Other(_) => "other",
    }
}
