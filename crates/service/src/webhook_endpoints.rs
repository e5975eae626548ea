//! Where a tenant wants its events sent: endpoints with a secret that is shown once, rotated with
//! overlap, disabled after failing for long, enabled again by a person.

use caudal_domain::{
    DeliveryId, Event, Mode, Refusal, TenantId, Timestamp, WebhookEndpoint, WebhookEndpointId,
    event::{CloudEvent, kinds},
    webhook_endpoint::ENDPOINTS_MOST,
};
use caudal_identity::{Binding, webhooks::WebhookSecret};
use caudal_outbound::BadTarget;
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, deliveries,
    deliveries::DeliveryRow,
    webhook_endpoints,
    webhook_endpoints::{Disabled, EndpointRow},
};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Caller, Done, Edit, Page, Service, ServiceError,
    api_keys::Secret,
    asked::Window,
    audit::{By, Did},
    deliveries::{Delivery, delivery_of},
    personal::{SEALED, not_opened},
    unit::{Creation, Subject, broken},
};

/// Why an endpoint is disabled that nobody asked to be.
const FAILING: &str = "failing";
const ASKED: &str = "asked";

#[derive(Clone, Debug)]
pub struct NewWebhookEndpoint {
    pub url: String,
    pub events: Vec<String>,
}

/// What is not given stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookEndpointChange {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub active: Option<bool>,
}

impl WebhookEndpointChange {
    fn fields(&self) -> Vec<&'static str> {
        let given = [
            ("url", self.url.is_some()),
            ("events", self.events.is_some()),
            ("active", self.active.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }
}

/// A new endpoint, or one with a new secret, which is there unless this is a replay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedEndpoint {
    pub endpoint: WebhookEndpoint,
    #[serde(skip)]
    pub secret: Option<Secret>,
}

/// What is sealed. Of several rotations in a row only the last secret before works on.
#[derive(Serialize, Deserialize)]
struct Secrets {
    current: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<SecretBefore>,
}

#[derive(Serialize, Deserialize)]
struct SecretBefore {
    secret: String,
    until: Timestamp,
}

#[derive(Serialize)]
struct EndpointData {
    webhook_endpoint_id: WebhookEndpointId,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Service {
    pub async fn create_webhook_endpoint(
        &self,
        asked: Asked<'_>,
        new: NewWebhookEndpoint,
    ) -> Result<Done<CreatedEndpoint>, ServiceError> {
        let Asked { caller, receipt } = asked;
        caller.reach.require_tenant()?;
        self.require_step_up(caller)?;
        self.check_target(caller.mode, &new.url).await?;
        let at = self.now();
        let id = WebhookEndpointId(self.next_id(at, caller.tenant.bucket()));
        let secret = WebhookSecret::generate(self.chance());
        let secrets = Secrets { current: secret.text().to_string(), before: None };
        let row = EndpointRow {
            id,
            tenant: caller.tenant,
            url: new.url,
            events: new.events,
            sealed: self.seal_secrets((caller.tenant, id), &secrets)?,
            failures: 0,
            failing_since: None,
            disabled: None,
            version: 1,
            created_at: at,
            updated_at: at,
        };
        let kind = kinds::WEBHOOK_ENDPOINT_CREATED;
        let (lock, has_room) = webhook_endpoints::has_room(caller.tenant, ENDPOINTS_MOST);
        let steps = vec![
            lock,
            has_room,
            webhook_endpoints::insert(&row),
            self.audit(caller, did(kind, id, &["url", "events"]), at),
        ];
        let events = vec![self.endpoint_event(kind, &row, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        let value = created(&row, &secret);
        let full = Refusal::WebhookEndpointsFull { most: ENDPOINTS_MOST };
        let creation = Creation { unit, receipt: Some(receipt), value };
        match self.create_or(creation, |_| full.into()).await {
            Err(error) => self.keep_refusal(receipt, error).await,
            done => done,
        }
    }

    pub async fn webhook_endpoint(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
    ) -> Result<WebhookEndpoint, ServiceError> {
        self.endpoint_row(caller, id).await.map(|row| shown(&row))
    }

    pub(crate) async fn endpoint_row(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
    ) -> Result<EndpointRow, ServiceError> {
        caller.reach.require_tenant()?;
        let found = webhook_endpoints::find(self.store(), caller.tenant, id).await?;
        found.ok_or(ServiceError::NotFound("webhook_endpoint"))
    }

    pub async fn list_webhook_endpoints(
        &self,
        caller: &Caller,
        window: &Window,
    ) -> Result<Page<WebhookEndpoint>, ServiceError> {
        caller.reach.require_tenant()?;
        let before = WebhookEndpointId(window.cursor.unwrap_or(u128::MAX));
        let db = self.store();
        let rows = webhook_endpoints::list(db, caller.tenant, before, window.rows()).await?;
        let shown = rows.iter().map(shown).collect();
        Ok(window.page(shown, |endpoint: &WebhookEndpoint| (endpoint.id.0, endpoint.created_at)))
    }

    /// Enabled again, its failures count anew; what was given up meanwhile can be replayed.
    pub async fn update_webhook_endpoint(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
        edit: Edit<'_, WebhookEndpoint, WebhookEndpointChange>,
    ) -> Result<Done<WebhookEndpoint>, ServiceError> {
        let mut row = self.endpoint_row(caller, id).await?;
        self.require_step_up(caller)?;
        let Edit { change, is_met } = edit;
        if is_met.is_some_and(|is_met| !is_met(&shown(&row))) {
            return Err(ServiceError::Stale);
        }
        if let Some(url) = &change.url {
            self.check_target(caller.mode, url).await?;
        }
        let at = self.now();
        let (kind, fields) = (kinds::WEBHOOK_ENDPOINT_UPDATED, change.fields());
        let audit = self.audit(caller, did(kind, id, &fields), at);
        row.url = change.url.unwrap_or(row.url);
        row.events = change.events.unwrap_or(row.events);
        row.disabled = match change.active {
            Some(true) => None,
            Some(false) => row.disabled.or(Some(Disabled { at, why: ASKED.into() })),
            None => row.disabled,
        };
        let unit = self.endpoint_update(&mut row, kind, (audit, at))?;
        match self.commit(unit).await? {
            (UnitOutcome::Done, position) => {
                Ok(Done { value: shown(&row), replayed: false, position })
            }
            _ if is_met.is_some() => Err(ServiceError::Stale),
            _ => Err(Refusal::Conflict.into()),
        }
    }

    fn endpoint_update(
        &self,
        row: &mut EndpointRow,
        kind: &'static str,
        (audit, at): (Step, Timestamp),
    ) -> Result<UnitOfWork, ServiceError> {
        row.version += 1;
        row.updated_at = at;
        let steps = vec![webhook_endpoints::update(row), audit];
        let events = vec![self.endpoint_event(kind, row, at)?];
        Ok(UnitOfWork { at, steps, events, receipt: None })
    }

    /// A new secret; for `overlap_s` seconds everything is signed with the old one too.
    pub async fn rotate_webhook_endpoint(
        &self,
        asked: Asked<'_>,
        id: WebhookEndpointId,
        overlap_s: i64,
    ) -> Result<Done<CreatedEndpoint>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let mut row = self.endpoint_row(caller, id).await?;
        self.require_step_up(caller)?;
        let at = self.now();
        let secret = WebhookSecret::generate(self.chance());
        let old = self.open_secrets(&row)?;
        let before = SecretBefore { secret: old.current, until: at.plus_seconds(overlap_s) };
        let secrets = Secrets { current: secret.text().to_string(), before: Some(before) };
        row.sealed = self.seal_secrets((row.tenant, id), &secrets)?;
        let kind = kinds::WEBHOOK_ENDPOINT_ROTATED;
        let audit = self.audit(caller, did(kind, id, &["secret"]), at);
        let unit = self.endpoint_update(&mut row, kind, (audit, at))?;
        let value = created(&row, &secret);
        let creation = Creation { unit, receipt: Some(receipt), value };
        self.create_or(creation, |_| Refusal::Conflict.into()).await
    }

    /// What is under way to it is given up.
    pub async fn delete_webhook_endpoint(
        &self,
        caller: &Caller,
        id: WebhookEndpointId,
    ) -> Result<(), ServiceError> {
        let row = self.endpoint_row(caller, id).await?;
        let (at, kind) = (self.now(), kinds::WEBHOOK_ENDPOINT_DELETED);
        let mut steps = webhook_endpoints::delete(row.tenant, id, at).to_vec();
        steps.push(self.audit(caller, did(kind, id, &[]), at));
        let events = vec![self.endpoint_event(kind, &row, at)?];
        match self.commit(UnitOfWork { at, steps, events, receipt: None }).await?.0 {
            UnitOutcome::Done => Ok(()),
            _ => Err(ServiceError::NotFound("webhook_endpoint")),
        }
    }

    /// Sends it an event of its own, whatever else it wants.
    pub async fn ping_webhook_endpoint(
        &self,
        asked: Asked<'_>,
        id: WebhookEndpointId,
    ) -> Result<Done<Delivery>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let row = self.endpoint_row(caller, id).await?;
        if row.disabled.is_some() {
            return self.refuse(receipt, Refusal::WebhookEndpointState).await;
        }
        let (at, kind) = (self.now(), kinds::WEBHOOK_ENDPOINT_PINGED);
        let event = self.endpoint_event(kind, &row, at)?;
        let delivery = self.delivery_to(&row, &event, at);
        let audit = self.audit(caller, did(kind, id, &[]), at);
        let steps = vec![deliveries::insert(&delivery), audit];
        let unit = UnitOfWork { at, steps, events: vec![event], receipt: None };
        let value = delivery_of(delivery, Vec::new());
        self.create(Creation { unit, receipt: Some(receipt), value }).await
    }

    fn delivery_to(&self, endpoint: &EndpointRow, event: &Event, at: Timestamp) -> DeliveryRow {
        DeliveryRow {
            id: DeliveryId(self.scattered_id(at)),
            tenant: endpoint.tenant,
            endpoint: endpoint.id,
            event: event.id,
            kind: event.kind.to_owned(),
            body: CloudEvent::from(event).json(),
            attempts: 0,
            next_at: at,
            delivered_at: None,
            failed_at: None,
            created_at: at,
        }
    }

    /// Live tenants' events go out encrypted only.
    async fn check_target(&self, mode: Mode, url: &str) -> Result<(), ServiceError> {
        let webhooks = self.webhooks();
        let wrong = |bad: BadTarget| ServiceError::invalid("url", bad.to_string());
        let url = webhooks.target(url, mode == Mode::Test).map_err(wrong)?;
        webhooks.check(&url).await.map_err(wrong)
    }

    pub(crate) fn endpoint_event(
        &self,
        kind: &'static str,
        row: &EndpointRow,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        let subject = Subject { kind, tenant: row.tenant, id: row.id.0, text: &row.id, at };
        let reason = (kind == kinds::WEBHOOK_ENDPOINT_DISABLED).then_some(FAILING);
        self.event(&subject, &EndpointData { webhook_endpoint_id: row.id, reason })
    }

    /// Because it failed for long. Whoever comes second finds it disabled and does nothing.
    pub(crate) async fn disable_failing(&self, row: &EndpointRow) -> Result<bool, ServiceError> {
        let (at, kind) = (self.now(), kinds::WEBHOOK_ENDPOINT_DISABLED);
        let disabled = Disabled { at, why: FAILING.into() };
        let mut steps = webhook_endpoints::disable(row.tenant, row.id, &disabled).to_vec();
        let by = By { tenant: row.tenant, actor: caudal_domain::Actor::System, origin: None };
        steps.push(self.audit(by, did(kind, row.id, &["active"]), at));
        let events = vec![self.endpoint_event(kind, row, at)?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        Ok(self.commit(unit).await?.0 == UnitOutcome::Done)
    }

    /// The signatures of what is sent to it now: more than one while a rotation lasts.
    pub(crate) fn signatures(
        &self,
        row: &EndpointRow,
        (id, at, body): (&str, Timestamp, &[u8]),
    ) -> Result<String, ServiceError> {
        let Secrets { current, before } = self.open_secrets(row)?;
        let before = before.filter(|before| at < before.until).map(|before| before.secret);
        let mut signed = Vec::new();
        for secret in [Some(current), before].into_iter().flatten() {
            let unreadable = || ServiceError::Broken("a webhook secret can't be read".into());
            signed.push(WebhookSecret::parse(&secret).ok_or_else(unreadable)?.sign(id, at, body));
        }
        Ok(signed.join(" "))
    }

    fn open_secrets(&self, row: &EndpointRow) -> Result<Secrets, ServiceError> {
        let place = endpoint_place(row.id);
        let bound_to = Binding { tenant: row.tenant, row: &place, field: SEALED };
        let plain = self.vault().open(&bound_to, &row.sealed).map_err(not_opened)?;
        serde_json::from_slice(&plain).map_err(broken)
    }

    fn seal_secrets(
        &self,
        (tenant, id): (TenantId, WebhookEndpointId),
        secrets: &Secrets,
    ) -> Result<String, ServiceError> {
        let place = endpoint_place(id);
        let bound_to = Binding { tenant, row: &place, field: SEALED };
        let plain = serde_json::to_vec(secrets).map_err(broken)?;
        Ok(self.vault().seal(self.chance(), &bound_to, &plain))
    }
}

/// Where its secrets stand. Used, too, when master keys are rotated.
pub(crate) fn endpoint_place(id: WebhookEndpointId) -> String {
    format!("webhook_endpoints/{id}")
}

fn created(row: &EndpointRow, secret: &WebhookSecret) -> CreatedEndpoint {
    let secret = Some(Secret::new(secret.text().as_str()));
    CreatedEndpoint { endpoint: shown(row), secret }
}

fn shown(row: &EndpointRow) -> WebhookEndpoint {
    WebhookEndpoint {
        id: row.id,
        tenant: row.tenant,
        url: row.url.clone(),
        events: row.events.clone(),
        disabled: row.disabled.as_ref().map(|disabled| (disabled.at, disabled.why.clone())),
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn did<'a>(action: &'a str, id: WebhookEndpointId, fields: &'a [&'a str]) -> Did<'a> {
    Did { action, object_kind: "webhook_endpoint", object_id: id.to_string(), fields }
}
