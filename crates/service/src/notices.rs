//! A consumer of events: makes of each the deliveries to endpoints that want it and what people are
//! told of it. What it makes and how far it has come are one commit, so each event counts once
//! however many workers run; the inbox holds even when its position is set back.
//!
//! Where nobody wants webhooks, only the kinds of [`notifications::KINDS`] are read: bare transfers
//! then cost nothing here.

use std::{collections::BTreeSet, sync::Arc};

use caudal_domain::{
    Currency, DeliveryId, EventId, MailTemplate, PaymentId, TenantId, Timestamp, UserId,
    event::{CloudEvent, StoredEvent, kinds},
    webhook_endpoint::wants,
};
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, deliveries,
    deliveries::DeliveryRow,
    events::{self, Advance, Found, Heads, Look, Part},
    inbox, webhook_endpoints,
    webhook_endpoints::EndpointRow,
};
use futures::{StreamExt, TryStreamExt};
use metrics::{counter, gauge};
use serde::Deserialize;

use crate::{Service, ServiceError, mails::Paid, notifications, personal::Person, unit::broken};

/// As positions and the inbox name it.
const CONSUMER: &str = "notices";
/// What is made into notices by one commit of a stream.
const LOOK: Look = Look { span: 20_000, limit: 100 };
/// Events that concerned nobody and may be looked at again after a restart.
const UNWRITTEN: i64 = 5_000;
/// Streams worked through at the same time.
const AT_ONCE: usize = 4;

/// What is told by mail as well. Their kinds are among [`notifications::KINDS`].
const RECEIPTS: [(&str, MailTemplate); 2] = [
    (kinds::PAYMENT_PROCESSED, MailTemplate::PaymentReceipt),
    (kinds::REFUND_SUCCEEDED, MailTemplate::RefundReceipt),
];

/// Of such an event.
#[derive(Deserialize)]
struct Receipted {
    payment_id: PaymentId,
    amount: i64,
    amount_captured: Option<i64>,
    currency: Currency,
    /// The payer, if it is a user.
    user_id: Option<UserId>,
}

/// What one event leads to.
struct Notices {
    event: EventId,
    steps: Vec<Step>,
}

/// Up to where a worker has looked. What concerned nobody is passed over here, and written down
/// only now and then: a commit for each look would cost the database more than the looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looked(Heads);

impl Service {
    /// One look at all streams; whether there may be more at once.
    pub async fn make_notices(&self, looked: &mut Looked) -> Result<bool, ServiceError> {
        let db = self.store();
        let heads = events::heads(db).await?;
        if events::lag(&looked.0, &heads) == 0 {
            gauge!("notices_lag_events").set(0.0);
            return Ok(false);
        }
        let position = events::position(db, CONSUMER).await?;
        for (looked, from) in looked.0.iter_mut().zip(position) {
            *looked = from.max(*looked);
        }
        let parts = LOOK.parts(&looked.0, &heads);
        gauge!("notices_lag_events").set(events::lag(&looked.0, &heads) as f64);
        // Read behind the heads: whoever wanted events before the last of them is seen.
        let is_wanted = webhook_endpoints::any_enabled(db).await?;
        let kinds = (!is_wanted).then_some(notifications::KINDS);
        let pages = events::of_kinds(db, &parts, kinds).await?;
        pages.iter().for_each(|page| self.measure_heard(CONSUMER, &page.events));
        let rounds = futures::stream::iter(parts.into_iter().zip(pages))
            .map(async |(part, page): (Part, Found)| {
                let place = usize::from(part.stream);
                let end = self.go_along((&part, position[place]), &page, is_wanted).await?;
                Ok::<_, ServiceError>((place, end))
            })
            .buffer_unordered(AT_ONCE);
        let ends: Vec<(usize, i64)> = rounds.try_collect().await?;
        for (place, end) in ends {
            looked.0[place] = end;
        }
        Ok(events::lag(&looked.0, &heads) > 0)
    }

    /// How far the stream is done. The consumer is at `from`, this worker has looked at all before
    /// `part`.
    async fn go_along(
        &self,
        (part, from): (&Part, i64),
        page: &Found,
        is_wanted: bool,
    ) -> Result<i64, ServiceError> {
        let to = page.reached;
        let notices = self.notices_of(&page.events, is_wanted).await?;
        if notices.is_empty() && to - from < UNWRITTEN {
            return Ok(to);
        }
        let step = Advance { stream: part.stream, from, to };
        match self.write_notices(&step, &notices).await? {
            UnitOutcome::Done => {
                counter!("notices_events_total").increment(notices.len() as u64);
                Ok(to)
            }
            // Another worker was there first: look again from where it is.
            UnitOutcome::Missed(0) => Ok(part.after),
            _ => {
                let new = self.not_in_inbox(notices).await?;
                self.write_notices(&step, &new).await?;
                Ok(to)
            }
        }
    }

    async fn write_notices(
        &self,
        step: &Advance,
        notices: &[Notices],
    ) -> Result<UnitOutcome, ServiceError> {
        let at = self.now();
        let mut steps = vec![events::advance(CONSUMER, step)];
        for notices in notices {
            steps.push(inbox::insert(CONSUMER, notices.event, at));
            steps.extend(notices.steps.iter().cloned());
        }
        let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
        Ok(self.commit(unit).await?.0)
    }

    /// After somebody has set the position back.
    async fn not_in_inbox(&self, notices: Vec<Notices>) -> Result<Vec<Notices>, ServiceError> {
        let mut new = Vec::new();
        for notices in notices {
            if !inbox::has(self.store(), CONSUMER, notices.event).await? {
                new.push(notices);
            }
        }
        Ok(new)
    }

    /// What the events lead to; nothing for those that concern nobody.
    async fn notices_of(
        &self,
        page: &[Arc<StoredEvent>],
        is_wanted: bool,
    ) -> Result<Vec<Notices>, ServiceError> {
        let endpoints = if is_wanted { self.endpoints_of(page).await? } else { Vec::new() };
        let at = self.now();
        let mut all = Vec::new();
        for event in page {
            let wanting = endpoints.iter().filter(|endpoint| is_for(endpoint, event));
            let mut steps: Vec<_> = wanting
                .map(|endpoint| deliveries::insert(&self.delivery_of_event(endpoint, event, at)))
                .collect();
            steps.extend(self.notifications_of(event, at).await?);
            steps.extend(self.receipt_of(event, at).await?);
            if !steps.is_empty() {
                all.push(Notices { event: event.id, steps });
            }
        }
        Ok(all)
    }

    /// The mail to the payer, of what was paid or given back.
    async fn receipt_of(
        &self,
        event: &StoredEvent,
        at: Timestamp,
    ) -> Result<Option<Step>, ServiceError> {
        let Some((_, template)) = RECEIPTS.iter().find(|(kind, _)| *kind == event.kind) else {
            return Ok(None);
        };
        let told: Receipted = serde_json::from_str(&event.data).map_err(broken)?;
        let Some(user) = told.user_id else { return Ok(None) };
        let config = self.tenant_config(event.tenant).await?;
        if !config.notifications.as_ref().is_none_or(|config| config.receipts) {
            return Ok(None);
        }
        let person = Person { tenant: event.tenant, user };
        let paid = Paid {
            payment_id: told.payment_id,
            amount: told.amount_captured.unwrap_or(told.amount),
            currency: told.currency,
        };
        self.mail_receipt(person, (*template, paid), at).await
    }

    /// Those of all tenants that the page is about.
    async fn endpoints_of(
        &self,
        page: &[Arc<StoredEvent>],
    ) -> Result<Vec<EndpointRow>, ServiceError> {
        let tenants: BTreeSet<TenantId> = page.iter().map(|event| event.tenant).collect();
        match tenants.into_iter().collect::<Vec<_>>() {
            tenants if tenants.is_empty() => Ok(Vec::new()),
            tenants => Ok(webhook_endpoints::enabled(self.store(), &tenants).await?),
        }
    }

    fn delivery_of_event(
        &self,
        endpoint: &EndpointRow,
        event: &StoredEvent,
        at: Timestamp,
    ) -> DeliveryRow {
        DeliveryRow {
            id: DeliveryId(self.scattered_id(at)),
            tenant: endpoint.tenant,
            endpoint: endpoint.id,
            event: event.id,
            kind: event.kind.clone(),
            body: CloudEvent::from(event).json(),
            attempts: 0,
            next_at: at,
            delivered_at: None,
            failed_at: None,
            created_at: at,
        }
    }
}

/// An endpoint is told of what it wants since it is there, and not of itself.
fn is_for(endpoint: &EndpointRow, event: &StoredEvent) -> bool {
    endpoint.tenant == event.tenant
        && endpoint.created_at <= event.occurred_at
        && wants(&endpoint.events, &event.kind)
        && endpoint.id.to_string() != event.subject
}
