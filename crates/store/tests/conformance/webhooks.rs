//! Webhooks in, each event stored once; webhooks out, each event sent by one worker at a time.

use std::slice::from_ref;

use caudal_domain::{DeliveryId, EventId, GatewayAccountId, TenantId, WebhookEndpointId};
use caudal_store::{
    deliveries::{self, AttemptRow, DeliveryRow, Next},
    incoming_webhooks::{self, IncomingRow},
    webhook_endpoints::{self, Disabled, EndpointRow},
};

use super::{
    fixtures::{done, missed, seconds, tenant},
    races::one_wins,
    stage::{START, Stage},
};

fn incoming(tenant: TenantId, key: &str, second: i64) -> IncomingRow {
    IncomingRow {
        gateway_account: GatewayAccountId(6),
        event_key: key.into(),
        tenant,
        kind: "charge.succeeded".into(),
        data: "told".into(),
        attempts: 0,
        received_at: seconds(second),
        next_at: seconds(second),
        done_at: None,
        failed_at: None,
    }
}

pub async fn told_once_and_claimed_by_one(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = incoming(acme, "evt_1", 1);
    let units = (0..4).map(|_| vec![incoming_webhooks::insert(&row)]).collect();
    one_wins(stage, units, 0).await;
    let elsewhere =
        IncomingRow { gateway_account: GatewayAccountId(7), ..incoming(acme, "evt_1", 9) };
    done(stage, vec![incoming_webhooks::insert(&elsewhere)]).await;
    let find = async |tenant| {
        incoming_webhooks::find(db, tenant, row.gateway_account, "evt_1").await.unwrap()
    };
    assert_eq!(find(acme).await.as_ref(), Some(&row));
    assert_eq!(find(other).await, None);
    let due = async |at| incoming_webhooks::due(db, seconds(at), 9).await.unwrap();
    assert_eq!(due(0).await, []);
    assert_eq!(due(1).await, from_ref(&row));
    let foreign = IncomingRow { tenant: other, ..row.clone() };
    missed(stage, vec![incoming_webhooks::claim(&foreign, seconds(60))]).await;
    let units = (0..4).map(|_| vec![incoming_webhooks::claim(&row, seconds(60))]).collect();
    one_wins(stage, units, 0).await;
    assert_eq!(due(8).await, []);
    let again = IncomingRow { attempts: 1, next_at: seconds(60), ..row.clone() };
    assert_eq!(due(60).await, [elsewhere, again], "whoever claimed it died");
    assert!(!format!("{row:?}").contains("told"));
}

pub async fn incoming_ends_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let (good, bad, open) =
        (incoming(acme, "a", 1), incoming(acme, "b", 1), incoming(acme, "c", 1));
    done(stage, [&good, &bad, &open].map(incoming_webhooks::insert).into()).await;
    done(stage, vec![incoming_webhooks::put_off(&bad, seconds(9))]).await;
    done(stage, vec![incoming_webhooks::done(&good, seconds(3))]).await;
    done(stage, vec![incoming_webhooks::failed(&bad, seconds(4))]).await;
    for ended in [&good, &bad] {
        missed(stage, vec![incoming_webhooks::done(ended, seconds(5))]).await;
        missed(stage, vec![incoming_webhooks::failed(ended, seconds(5))]).await;
        missed(stage, vec![incoming_webhooks::put_off(ended, seconds(5))]).await;
    }
    let find = async |row: &IncomingRow| {
        incoming_webhooks::find(db, acme, row.gateway_account, &row.event_key).await.unwrap()
    };
    let ended = IncomingRow { done_at: Some(seconds(3)), ..good.clone() };
    assert_eq!(find(&good).await, Some(ended));
    let ended = IncomingRow { failed_at: Some(seconds(4)), next_at: seconds(9), ..bad.clone() };
    assert_eq!(find(&bad).await, Some(ended));
    assert_eq!(incoming_webhooks::due(db, seconds(99), 9).await.unwrap(), from_ref(&open));
    missed(stage, vec![incoming_webhooks::insert(&good)]).await;
    done(stage, vec![incoming_webhooks::remove_before(seconds(1))]).await;
    assert!(find(&good).await.is_some());
    done(stage, vec![incoming_webhooks::remove_before(seconds(2))]).await;
    assert_eq!((find(&good).await, find(&bad).await), (None, None));
    assert_eq!(find(&open).await, Some(open), "not before it has ended");
}

fn endpoint(stage: &Stage, tenant: TenantId) -> EndpointRow {
    EndpointRow {
        id: WebhookEndpointId(stage.id(START, 3)),
        tenant,
        url: "https://example.com/hooks".into(),
        events: vec!["payment.succeeded".into(), "refund.failed".into()],
        sealed: "sealed1:whsec".into(),
        failures: 0,
        failing_since: None,
        disabled: None,
        version: 1,
        created_at: START,
        updated_at: START,
    }
}

pub async fn endpoints_round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (mut first, second) = (endpoint(stage, acme), endpoint(stage, acme));
    let rows = [&first, &second, &endpoint(stage, other)];
    done(stage, rows.map(webhook_endpoints::insert).into()).await;
    let find = async |tenant, id| webhook_endpoints::find(db, tenant, id).await.unwrap();
    assert_eq!(find(acme, first.id).await.as_ref(), Some(&first));
    assert_eq!(find(other, first.id).await, None);
    let all = WebhookEndpointId(u128::MAX);
    assert_eq!(webhook_endpoints::list(db, acme, all, 1).await.unwrap(), from_ref(&second));
    assert_eq!(webhook_endpoints::list(db, acme, second.id, 9).await.unwrap(), from_ref(&first));
    let enabled = async || webhook_endpoints::enabled(db, &[acme]).await.unwrap();
    assert_eq!(enabled().await, [first.clone(), second.clone()]);
    let of_both = webhook_endpoints::enabled(db, &[acme, other]).await.unwrap();
    assert_eq!(of_both.len(), 3);
    let after = webhook_endpoints::after(db, first.id, 1).await.unwrap();
    assert_eq!(after, from_ref(&second));
    assert!(!format!("{first:?}").contains("whsec"));

    (first.url, first.events, first.sealed) =
        ("https://example.com/2".into(), vec!["*".into()], "sealed1:new".into());
    first.disabled = Some(Disabled { at: seconds(2), why: "asked".into() });
    (first.updated_at, first.version) = (seconds(2), 2);
    let foreign = EndpointRow { tenant: other, ..first.clone() };
    missed(stage, vec![webhook_endpoints::update(&foreign)]).await;
    done(stage, vec![webhook_endpoints::update(&first)]).await;
    missed(stage, vec![webhook_endpoints::update(&first)]).await;
    assert_eq!(find(acme, first.id).await.as_ref(), Some(&first));
    assert_eq!(enabled().await, [second]);
    let row = delivery(stage, &first, 1);
    done(stage, vec![deliveries::insert(&row)]).await;
    missed(stage, webhook_endpoints::delete(other, first.id, seconds(5)).into()).await;
    done(stage, webhook_endpoints::delete(acme, first.id, seconds(5)).into()).await;
    assert_eq!(find(acme, first.id).await, None);
    let orphan = deliveries::find(db, acme, row.id).await.unwrap().expect("the delivery");
    assert_eq!(orphan.failed_at, Some(seconds(5)));
}

pub async fn endpoints_are_disabled_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = endpoint(stage, acme);
    done(stage, vec![webhook_endpoints::insert(&row)]).await;
    let find = async || webhook_endpoints::find(db, acme, row.id).await.unwrap().unwrap();
    for second in [3, 4] {
        done(stage, vec![webhook_endpoints::failed(acme, row.id, seconds(second))]).await;
    }
    done(stage, vec![webhook_endpoints::failed(other, row.id, seconds(5))]).await;
    let failing = find().await;
    assert_eq!((failing.failures, failing.failing_since), (2, Some(seconds(3))));
    done(stage, vec![webhook_endpoints::worked(other, row.id)]).await;
    assert_eq!(find().await, failing);
    done(stage, vec![webhook_endpoints::worked(acme, row.id)]).await;
    assert_eq!(find().await, row);
    let disabled = Disabled { at: seconds(9), why: "failing".into() };
    assert!(webhook_endpoints::any_enabled(db).await.unwrap());
    missed(stage, webhook_endpoints::disable(other, row.id, &disabled).into()).await;
    let waiting = delivery(stage, &row, 6);
    done(stage, vec![deliveries::insert(&waiting)]).await;
    let disable = || webhook_endpoints::disable(acme, row.id, &disabled).to_vec();
    one_wins(stage, (0..3).map(|_| disable()).collect(), 0).await;
    let off = find().await;
    assert_eq!((off.disabled, off.version), (Some(disabled), 2));
    assert!(!webhook_endpoints::any_enabled(db).await.unwrap());
    let waiting = deliveries::find(db, acme, waiting.id).await.unwrap().expect("the delivery");
    assert_eq!(waiting.failed_at, Some(seconds(9)), "it waits for nobody");
    // Enabled again, by a person.
    let on = EndpointRow { version: 3, ..row.clone() };
    done(stage, vec![webhook_endpoints::update(&on)]).await;
    assert_eq!(find().await, on);
}

pub async fn endpoints_are_so_many_at_most(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let make = |tenant| {
        let (lock, check) = webhook_endpoints::has_room(tenant, 2);
        vec![lock, check, webhook_endpoints::insert(&endpoint(stage, tenant))]
    };
    done(stage, make(acme)).await;
    // Of many at once, one finds the last place.
    one_wins(stage, (0..4).map(|_| make(acme)).collect(), 1).await;
    missed(stage, make(acme)).await;
    done(stage, make(other)).await;
}

pub async fn endpoints_are_sealed_anew_as_they_were_read(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let row = endpoint(stage, acme);
    done(stage, vec![webhook_endpoints::insert(&row)]).await;
    done(stage, vec![webhook_endpoints::reseal(&row, "anew")]).await;
    missed(stage, vec![webhook_endpoints::reseal(&row, "again")]).await;
    let found = webhook_endpoints::find(db, acme, row.id).await.unwrap();
    assert_eq!(found, Some(EndpointRow { sealed: "anew".into(), ..row }));
}

fn delivery(stage: &Stage, endpoint: &EndpointRow, second: i64) -> DeliveryRow {
    let at = seconds(second);
    DeliveryRow {
        id: DeliveryId(stage.id(at, 3)),
        tenant: endpoint.tenant,
        endpoint: endpoint.id,
        event: EventId(stage.id(at, 3)),
        kind: "payment.succeeded".into(),
        body: "{}".into(),
        attempts: 0,
        next_at: at,
        delivered_at: None,
        failed_at: None,
        created_at: at,
    }
}

pub async fn deliveries_once_and_claimed_by_one(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = delivery(stage, &endpoint(stage, acme), 1);
    let twin = DeliveryRow { id: DeliveryId(stage.id(START, 3)), ..row.clone() };
    done(stage, vec![deliveries::insert(&row)]).await;
    done(stage, vec![deliveries::insert(&twin)]).await;
    assert_eq!(deliveries::find(db, acme, row.id).await.unwrap(), Some(row.clone()));
    assert_eq!(deliveries::find(db, other, row.id).await.unwrap(), None);
    assert_eq!(deliveries::find(db, acme, twin.id).await.unwrap(), None, "one for an event");
    let due = async |at| deliveries::due(db, seconds(at), &[], 9).await.unwrap();
    assert_eq!(due(0).await, []);
    assert_eq!(due(1).await, from_ref(&row));
    let without = [WebhookEndpointId(9), row.endpoint];
    assert_eq!(deliveries::due(db, seconds(1), &without, 9).await.unwrap(), []);
    let units = (0..4).map(|_| vec![deliveries::claim(&row, seconds(60))]).collect();
    one_wins(stage, units, 0).await;
    assert_eq!(due(59).await, []);
    assert_eq!(due(60).await, [DeliveryRow { attempts: 1, next_at: seconds(60), ..row }]);
}

fn attempt(row: &DeliveryRow, number: i64, second: i64) -> AttemptRow {
    AttemptRow {
        delivery: row.id,
        tenant: row.tenant,
        number,
        at: seconds(second),
        duration_ms: 12,
        status: Some(503),
        detail: Some("busy".into()),
    }
}

pub async fn only_the_last_claim_says_what_came_of_it(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let row = delivery(stage, &endpoint(stage, acme), 1);
    let find = async || deliveries::find(db, acme, row.id).await.unwrap().unwrap();
    done(stage, vec![deliveries::insert(&row), deliveries::claim(&row, seconds(10))]).await;
    done(stage, vec![deliveries::claim(&find().await, seconds(20))]).await;
    let late = attempt(&row, 1, 11);
    missed(stage, deliveries::attempted(&late, Next::Delivered).into()).await;
    let second = attempt(&row, 2, 12);
    let foreign = AttemptRow { tenant: other, ..second.clone() };
    missed(stage, deliveries::attempted(&foreign, Next::Failed).into()).await;
    done(stage, deliveries::attempted(&second, Next::Again(seconds(30))).into()).await;
    let waiting = find().await;
    assert_eq!((waiting.attempts, waiting.next_at), (2, seconds(30)));
    done(stage, vec![deliveries::claim(&waiting, seconds(40))]).await;
    let third = AttemptRow { status: None, detail: None, ..attempt(&row, 3, 31) };
    done(stage, deliveries::attempted(&third, Next::Failed).into()).await;
    assert_eq!(find().await.failed_at, Some(seconds(31)));
    missed(stage, vec![deliveries::claim(&find().await, seconds(50))]).await;
    let attempts = deliveries::attempts(db, acme, &[DeliveryId(7), row.id], 9).await.unwrap();
    assert_eq!(attempts, [second, third]);
    assert_eq!(deliveries::attempts(db, other, &[row.id], 9).await.unwrap(), []);

    missed(stage, vec![deliveries::replay(other, row.id, seconds(60))]).await;
    done(stage, vec![deliveries::replay(acme, row.id, seconds(60))]).await;
    let again = find().await;
    assert_eq!((again.failed_at, again.attempts), (None, 3));
    done(stage, vec![deliveries::claim(&again, seconds(70))]).await;
    let fourth = attempt(&row, 4, 61);
    done(stage, deliveries::attempted(&fourth, Next::Delivered).into()).await;
    assert_eq!(find().await.delivered_at, Some(seconds(61)));
    assert_eq!(deliveries::due(db, seconds(99), &[], 9).await.unwrap(), []);
}

pub async fn deliveries_by_page_and_removed(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let endpoint = endpoint(stage, acme);
    let [first, second, third] = [1, 2, 3].map(|at| delivery(stage, &endpoint, at));
    done(stage, [&first, &second, &third].map(deliveries::insert).into()).await;
    done(stage, vec![deliveries::claim(&first, seconds(9))]).await;
    done(stage, deliveries::attempted(&attempt(&first, 1, 5), Next::Failed).into()).await;
    let first = deliveries::find(db, acme, first.id).await.unwrap().unwrap();
    let all = || deliveries::Filter {
        tenant: acme,
        endpoint: endpoint.id,
        before: u128::MAX,
        limit: 9,
        failed: false,
    };
    let listed = async |filter| deliveries::list(db, &filter).await.unwrap();
    let everything = [third.clone(), second.clone(), first.clone()];
    assert_eq!(listed(all()).await, everything);
    assert_eq!(listed(deliveries::Filter { limit: 1, ..all() }).await, everything[..1]);
    let page = deliveries::Filter { before: second.id.0, ..all() };
    assert_eq!(listed(page).await, everything[2..]);
    assert_eq!(listed(deliveries::Filter { failed: true, ..all() }).await, everything[2..]);
    assert_eq!(listed(deliveries::Filter { tenant: other, ..all() }).await, []);
    done(stage, deliveries::remove_before(seconds(1)).into()).await;
    assert_eq!(listed(all()).await, everything);
    done(stage, deliveries::remove_before(seconds(6)).into()).await;
    assert_eq!(listed(all()).await, everything[..2], "what is under way stays");
    assert_eq!(deliveries::attempts(db, acme, &[first.id], 9).await.unwrap(), []);
}
