//! Events on their way to tenants' endpoints: sent with a signature, again after ever longer
//! pauses, given up after three days, replayed when a person asks.
//!
//! A worker claims a delivery for [`LEASE_SECONDS`] and writes what came of it. One that dies
//! leaves a delivery that is due again, under the same `webhook-id`: the receiver may hear it twice
//! and can tell.

use std::time::Duration;

use caudal_domain::{
    DeliveryId, EventId, Refusal, Timestamp, WebhookEndpointId, event::kinds, id::Chance,
};
use caudal_identity::webhooks::seconds;
use caudal_outbound::{WebhookFault, WebhookRequest};
pub use caudal_store::deliveries::DeliveryRow;
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, deliveries,
    deliveries::{AttemptRow, Next},
    webhook_endpoints,
    webhook_endpoints::EndpointRow,
};
use metrics::{counter, histogram};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    Asked, Caller, Done, Page, Service, ServiceError,
    asked::Window,
    audit::Did,
    id_range,
    unit::{Creation, Subject},
};

/// A worker has a delivery for so long; an attempt may take half of it at most.
pub const LEASE_SECONDS: i64 = 60;
/// Between attempts: together 71 hours and a half, so that a weekend's outage is lived through.
/// Each is a tenth longer or shorter by chance, so that a receiver that comes back is not hit by
/// all at once.
const PAUSES_SECONDS: [i64; 10] =
    [5, 60, 5 * 60, 30 * 60, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 20 * HOUR];
const HOUR: i64 = 3600;
/// An endpoint that took nothing for so long, and failed so often in a row, is disabled.
const FAILING_SECONDS: i64 = 2 * 24 * HOUR;
const FAILURES: i64 = 10;
/// "Gone": the receiver wants nothing any more (Standard Webhooks).
const GONE: u16 = 410;
/// Of one delivery, among those shown.
const ATTEMPTS_SHOWN: usize = 50;
/// As the audit names it.
const NO_ENDPOINT: &str = "the endpoint is gone or disabled";

/// A delivery as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub endpoint: WebhookEndpointId,
    pub event: EventId,
    pub kind: String,
    pub status: DeliveryStatus,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    Pending,
    Delivered,
    Failed,
}

/// One try.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    pub number: i64,
    pub at: Timestamp,
    pub duration_ms: i64,
    /// Of the answer, if one came; else `detail` says why not.
    pub status: Option<i64>,
    pub detail: Option<String>,
}

#[derive(Serialize)]
struct ReplayData {
    delivery_id: DeliveryId,
    webhook_endpoint_id: WebhookEndpointId,
    event_id: EventId,
}

impl Service {
    pub async fn list_deliveries(
        &self,
        caller: &Caller,
        endpoint: WebhookEndpointId,
        (is_failed, window): (bool, &Window),
    ) -> Result<Page<Delivery>, ServiceError> {
        self.endpoint_row(caller, endpoint).await?;
        let (_, before) = id_range(&window.created);
        let filter = deliveries::Filter {
            tenant: caller.tenant,
            endpoint,
            before: window.cursor.map_or(before, |cursor| cursor.min(before)),
            limit: window.rows(),
            failed: is_failed,
        };
        let rows = deliveries::list(self.store(), &filter).await?;
        let page = window.page(rows, |row| (row.id.0, row.created_at));
        let ids: Vec<_> = page.items.iter().map(|row| row.id).collect();
        let mut attempts = self.attempts(caller, &ids).await?;
        let items = page.items.into_iter().map(|row| {
            let (own, others) = attempts.drain(..).partition(|tried| tried.delivery == row.id);
            attempts = others;
            delivery_of(row, own)
        });
        Ok(Page { items: items.collect(), next: page.next })
    }

    async fn attempts(
        &self,
        caller: &Caller,
        ids: &[DeliveryId],
    ) -> Result<Vec<AttemptRow>, ServiceError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let most = (ids.len() * ATTEMPTS_SHOWN) as i64;
        Ok(deliveries::attempts(self.store(), caller.tenant, ids, most).await?)
    }

    pub async fn delivery(
        &self,
        caller: &Caller,
        (endpoint, id): (WebhookEndpointId, DeliveryId),
    ) -> Result<Delivery, ServiceError> {
        self.endpoint_row(caller, endpoint).await?;
        let row = deliveries::find(self.store(), caller.tenant, id).await?;
        let row = row.filter(|row| row.endpoint == endpoint);
        let row = row.ok_or(ServiceError::NotFound("webhook_delivery"))?;
        let attempts = self.attempts(caller, &[id]).await?;
        Ok(delivery_of(row, attempts))
    }

    /// Sends it again at once, whatever came of it, under the same `webhook-id`.
    pub async fn replay_delivery(
        &self,
        asked: Asked<'_>,
        (endpoint, id): (WebhookEndpointId, DeliveryId),
    ) -> Result<Done<Delivery>, ServiceError> {
        let Asked { caller, receipt } = asked;
        if self.endpoint_row(caller, endpoint).await?.disabled.is_some() {
            return self.refuse(receipt, Refusal::WebhookEndpointState).await;
        }
        let mut value = self.delivery(caller, (endpoint, id)).await?;
        let (at, kind) = (self.now(), kinds::WEBHOOK_DELIVERY_REPLAYED);
        let object_id = id.to_string();
        let did = Did { action: kind, object_kind: "webhook_delivery", object_id, fields: &[] };
        let subject = Subject { kind, tenant: caller.tenant, id: id.0, text: &id, at };
        let data =
            ReplayData { delivery_id: id, webhook_endpoint_id: endpoint, event_id: value.event };
        let unit = UnitOfWork {
            at,
            steps: vec![deliveries::replay(caller.tenant, id, at), self.audit(caller, did, at)],
            events: vec![self.event(&subject, &data)?],
            receipt: None,
        };
        (value.status, value.next_attempt_at) = (DeliveryStatus::Pending, Some(at));
        (value.delivered_at, value.failed_at) = (None, None);
        self.create(Creation { unit, receipt: Some(receipt), value }).await
    }

    /// What is due, but nothing for the endpoints `without`.
    pub async fn due_deliveries(
        &self,
        without: &[WebhookEndpointId],
        most: usize,
    ) -> Result<Vec<DeliveryRow>, ServiceError> {
        Ok(deliveries::due(self.store(), self.now(), without, most as i64).await?)
    }

    /// Claims a delivery, sends it, and writes what came of it. Nothing when another worker has it.
    pub async fn deliver(&self, row: &DeliveryRow) -> Result<(), ServiceError> {
        let now = self.now();
        let claim = deliveries::claim(row, now.plus_seconds(LEASE_SECONDS));
        if !self.is_done(vec![claim]).await? {
            return Ok(());
        }
        let found = webhook_endpoints::find(self.store(), row.tenant, row.endpoint).await?;
        let Some(endpoint) = found.filter(|endpoint| endpoint.disabled.is_none()) else {
            let gone = self.attempt_of(row, (now, Duration::ZERO), Err(NO_ENDPOINT.into()));
            return self.is_done(deliveries::attempted(&gone, Next::Failed).into()).await.map(drop);
        };
        let started = Instant::now();
        let sent = self.send_delivery(row, &endpoint, now).await?;
        let took = started.elapsed();
        histogram!("webhook_response_time_seconds").record(took.as_secs_f64());
        let is_gone = sent == Ok(GONE);
        let next = match &sent {
            Ok(200..=299) => Next::Delivered,
            _ => next_of(row.attempts, self.now(), self.chance()),
        };
        counter!("webhook_deliveries_total", "outcome" => outcome_of(next)).increment(1);
        let attempt = self.attempt_of(row, (now, took), sent.map_err(|why| why.to_string()));
        let is_failure = self.write_attempt(&attempt, &endpoint, next).await?;
        if is_failure {
            self.disable_if_failing(&endpoint, is_gone).await?;
        }
        Ok(())
    }

    async fn send_delivery(
        &self,
        row: &DeliveryRow,
        endpoint: &EndpointRow,
        at: Timestamp,
    ) -> Result<Result<u16, WebhookFault>, ServiceError> {
        let id = row.event.to_string();
        let signature = self.signatures(endpoint, (&id, at, row.body.as_bytes()))?;
        // What may be called has been decided when the address was given; where it leads is
        // checked anew.
        let url = match self.webhooks().target(&endpoint.url, true) {
            Ok(url) => url,
            Err(bad) => return Ok(Err(bad.into())),
        };
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", seconds(at).to_string()),
            ("webhook-signature", signature),
        ];
        let request = WebhookRequest { url, headers, body: row.body.clone().into() };
        Ok(self.webhooks().send(request).await)
    }

    fn attempt_of(
        &self,
        row: &DeliveryRow,
        (at, took): (Timestamp, Duration),
        sent: Result<u16, String>,
    ) -> AttemptRow {
        let (status, detail) = match sent {
            Ok(status) => (Some(i64::from(status)), None),
            Err(why) => (None, Some(why)),
        };
        AttemptRow {
            delivery: row.id,
            tenant: row.tenant,
            number: row.attempts + 1,
            at,
            duration_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            status,
            detail,
        }
    }

    /// Whether this was one more failure of the endpoint. The endpoint's row is written first, as
    /// by all who write both, so that no two wait for each other.
    async fn write_attempt(
        &self,
        attempt: &AttemptRow,
        endpoint: &EndpointRow,
        next: Next,
    ) -> Result<bool, ServiceError> {
        let (tenant, id) = (endpoint.tenant, endpoint.id);
        let told = match next {
            Next::Delivered => webhook_endpoints::worked(tenant, id),
            _ => webhook_endpoints::failed(tenant, id, attempt.at),
        };
        let mut steps = vec![told];
        steps.extend(deliveries::attempted(attempt, next));
        let is_written = self.is_done(steps).await?;
        Ok(is_written && next != Next::Delivered)
    }

    async fn disable_if_failing(
        &self,
        endpoint: &EndpointRow,
        is_gone: bool,
    ) -> Result<(), ServiceError> {
        let found = webhook_endpoints::find(self.store(), endpoint.tenant, endpoint.id).await?;
        let Some(row) = found.filter(|row| row.disabled.is_none()) else { return Ok(()) };
        if (is_gone || is_failing(&row, self.now())) && self.disable_failing(&row).await? {
            tracing::warn!(id = %row.id, is_gone, "a webhook endpoint is disabled: it fails");
        }
        Ok(())
    }

    /// Whether all steps hit.
    async fn is_done(&self, steps: Vec<Step>) -> Result<bool, ServiceError> {
        let unit = UnitOfWork { at: self.now(), steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }
}

fn outcome_of(next: Next) -> &'static str {
    match next {
        Next::Delivered => "delivered",
        Next::Again(_) => "put_off",
        Next::Failed => "given_up",
    }
}

/// What follows from a failure after so many attempts before it.
fn next_of(attempts: i64, now: Timestamp, chance: &dyn Chance) -> Next {
    let pause = usize::try_from(attempts).ok().and_then(|place| PAUSES_SECONDS.get(place));
    let Some(seconds) = pause else { return Next::Failed };
    let mut random = [0; 2];
    chance.fill(&mut random);
    // From nine to eleven tenths.
    let permille = 900 + i64::from(u16::from_le_bytes(random) % 201);
    Next::Again(Timestamp::from_micros(now.micros() + seconds * 1000 * permille))
}

fn is_failing(row: &EndpointRow, now: Timestamp) -> bool {
    let is_long = row.failing_since.is_some_and(|since| since.plus_seconds(FAILING_SECONDS) <= now);
    row.failures >= FAILURES && is_long
}

pub(crate) fn delivery_of(row: DeliveryRow, attempts: Vec<AttemptRow>) -> Delivery {
    let status = match (row.delivered_at, row.failed_at) {
        (Some(_), _) => DeliveryStatus::Delivered,
        (None, Some(_)) => DeliveryStatus::Failed,
        (None, None) => DeliveryStatus::Pending,
    };
    let attempts = attempts.into_iter().map(|row| {
        let AttemptRow { number, at, duration_ms, status, detail, .. } = row;
        Attempt { number, at, duration_ms, status, detail }
    });
    Delivery {
        id: row.id,
        endpoint: row.endpoint,
        event: row.event,
        kind: row.kind,
        status,
        next_attempt_at: (status == DeliveryStatus::Pending).then_some(row.next_at),
        delivered_at: row.delivered_at,
        failed_at: row.failed_at,
        created_at: row.created_at,
        attempts: attempts.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Same(u8);

    impl Chance for Same {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn pauses_grow_for_three_days_and_then_it_is_given_up() {
        let now = Timestamp::from_micros(0);
        let pause = |attempts, chance| match next_of(attempts, now, &Same(chance)) {
            Next::Again(at) => Some(at.micros()),
            _ => None,
        };
        let (mut least, mut most) = (0, 0);
        for (attempts, seconds) in (0..).zip(PAUSES_SECONDS) {
            for chance in [0, 1, 77, 255] {
                let micros = pause(attempts, chance).expect("one more");
                assert!(micros >= seconds * 900_000 && micros <= seconds * 1_100_000);
            }
            least += pause(attempts, 0).expect("one more");
            most += seconds * 1_100_000;
        }
        let hours = |micros: i64| micros / 3_600_000_000;
        assert_eq!((hours(least), hours(most)), (64, 78), "about three days");
        for attempts in [10, 11, 900] {
            assert_eq!(next_of(attempts, now, &Same(0)), Next::Failed, "after {attempts}");
        }
    }
}
