//! Webhooks out: each event once to each endpoint that wants it, signed, again after failures, and
//! never to ourselves or our neighbours.

use std::{collections::BTreeSet, io::Write as _, process::Command};

use caudal_domain::{Clock, SystemRole, TenantId, id::STREAMS};
use caudal_service::notices::Looked;
use caudal_store::{
    UnitOfWork, deliveries,
    events::{self, Advance},
};
use caudal_testkit::{Call, Client, Database, TestApp, at_once, both_databases, until};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::receiver::{Heard, Receiver, Reply};

both_databases! {
    an_event_is_sent_once_and_signed only_what_is_wanted_is_sent
    failures_are_tried_again_under_the_same_id what_is_given_up_can_be_replayed
    an_endpoint_that_fails_for_days_is_disabled whoever_is_gone_is_disabled_at_once
    secrets_are_rotated_with_overlap a_ping_tries_an_endpoint many_workers_send_once
    a_worker_that_died_is_followed a_position_set_back_makes_nothing_twice
    an_ill_endpoint_takes_no_others_places endpoints_are_kept_like_anything
    another_tenant_sees_nothing bad_endpoints_are_refused answers_do_not_hold_us_up
}

struct Endpoint {
    id: String,
    secret: String,
}

impl Endpoint {
    fn path(&self) -> String {
        format!("/webhook-endpoints/{}", self.id)
    }
}

async fn endpoint(client: &Client, url: &str, events: &[&str]) -> Endpoint {
    let body = json!({"url": url, "events": events});
    let made = client.post("/webhook-endpoints", body).await.expect(201);
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    Endpoint { id: text("id"), secret: text("secret") }
}

/// By a library that Caudal does not use.
fn is_signed(heard: &Heard, secret: &str) -> bool {
    let mut headers = hyper::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, heard.headers[name].parse().expect("a header"));
    }
    Webhook::new(secret).expect("a secret").verify(&heard.body, &headers).is_ok()
}

/// The deliveries of the endpoint, once the newest is as it should be.
async fn deliveries_once(
    client: &Client,
    endpoint: &Endpoint,
    is_so: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let mut found = Vec::new();
    until("the delivery to be so", async || {
        found = client.all(&format!("{}/deliveries", endpoint.path())).await;
        found.first().is_some_and(&is_so)
    })
    .await;
    found
}

fn has_status(status: &str) -> impl Fn(&Value) -> bool + use<'_> {
    move |delivery| delivery["status"] == status
}

fn has_tried(count: usize) -> impl Fn(&Value) -> bool {
    move |delivery| delivery["attempts"].as_array().is_some_and(|all| all.len() == count)
}

async fn an_event_is_sent_once_and_signed(app: &TestApp) {
    // Later than what made the demo tenant.
    app.clock.advance(1);
    let (receiver, mut stream) = (Receiver::start().await, app.client.events(None).await);
    let endpoint = endpoint(&app.client, &receiver.url(), &["*"]).await;
    assert_eq!(stream.next().await.event, "webhook_endpoint.created");
    let wallet = app.client.wallet("USD").await;
    let told = stream.next().await.data;
    let heard = receiver.hears(1).await;
    assert!(is_signed(&heard[0], &endpoint.secret), "{:?}", heard[0].headers);
    assert!(!is_signed(&heard[0], "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!(heard[0].json(), told, "the same as on the stream");
    assert_eq!(
        (heard[0].id(), &told["subject"]),
        (told["id"].as_str().expect("text"), &json!(wallet))
    );
    assert_eq!(heard[0].headers["content-type"], "application/json");
    let listed = deliveries_once(&app.client, &endpoint, has_status("delivered")).await;
    assert_eq!(listed.len(), 1, "of its own making it is not told: {listed:?}");
    let delivery = &listed[0];
    assert_eq!(delivery["event_id"], told["id"]);
    assert_eq!(delivery["webhook_endpoint_id"], json!(endpoint.id));
    assert_eq!(delivery["type"], "wallet.created");
    assert_eq!(delivery["attempts"][0]["status"], 200);
    assert_eq!(delivery["attempts"][0]["detail"], Value::Null);
    let path = format!("{}/deliveries/{}", endpoint.path(), delivery["id"].as_str().expect("text"));
    assert_eq!(app.client.get(path).await.expect(200), *delivery);
    assert!(has_verified_by_the_example(&heard[0], &endpoint.secret), "docs/webhooks.md");
    // What came before it is there is not its business, nor what comes once it is gone.
    app.client.delete(endpoint.path()).await;
    app.client.get(endpoint.path()).await.refused(404, "webhook_endpoint_not_found");
    app.client.wallet("USD").await;
    let last = self::endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    app.client.wallet("USD").await;
    deliveries_once(&app.client, &last, has_status("delivered")).await;
    let to_last = receiver.heard().iter().filter(|heard| is_signed(heard, &last.secret)).count();
    assert_eq!(to_last, receiver.heard().len() - 1);
}

/// Runs the example of the docs over what was heard, as its reader would.
fn has_verified_by_the_example(heard: &Heard, secret: &str) -> bool {
    let page = include_str!("../../../../docs/webhooks.md");
    let example = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let headers: Value = heard.headers.clone().into_iter().collect();
    let call = format!(
        "{}\nimport json, sys\nbody = sys.stdin.buffer.read()\n\
         headers = json.loads(sys.argv[2])\n\
         assert verify(sys.argv[1], headers, body)['specversion'] == '1.0'\n\
         try:\n    verify(sys.argv[1], headers, body + b' ')\n\
         except ValueError:\n    pass\nelse:\n    sys.exit('an altered body passes')\n",
        example.expect("an example")
    );
    let python = Command::new("python3")
        .args(["-c", &call, secret, &headers.to_string()])
        .stdin(std::process::Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: the example of the docs: no python3 here");
        return true;
    };
    let mut stdin = python.stdin.take().expect("its input");
    stdin.write_all(&heard.body).expect("the body is read");
    drop(stdin);
    python.wait().expect("it ends").success()
}

async fn only_what_is_wanted_is_sent(app: &TestApp) {
    let receiver = Receiver::start().await;
    let wanted = ["wallet.frozen", "wallet.unfrozen"];
    let endpoint = endpoint(&app.client, &receiver.url(), &wanted).await;
    let (from, to) = app.client.pair(1000).await;
    app.client.transfer(&from, &to, 5).await.expect(201);
    app.client.act(&from, "freeze", json!({})).await.expect(200);
    app.client.act(&from, "unfreeze", json!({})).await.expect(200);
    let heard = receiver.hears(2).await;
    let kinds: BTreeSet<_> = heard.iter().map(Heard::kind).collect();
    assert_eq!(kinds, BTreeSet::from(wanted.map(str::to_owned)));
    app.client.patch(endpoint.path(), json!({"events": ["wallet.closed"]})).await.expect(200);
    app.client.act(&to, "freeze", json!({})).await.expect(200);
    app.client.act(&app.client.wallet("EUR").await, "close", json!({})).await.expect(200);
    assert_eq!(receiver.hears(3).await[2].kind(), "wallet.closed");
}

async fn failures_are_tried_again_under_the_same_id(app: &TestApp) {
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    receiver.reply(|_| Reply::Status(500));
    app.client.wallet("USD").await;
    let steps = [
        (Reply::Redirect, 6),
        (Reply::HangUp, 70),
        (Reply::Status(404), 360),
        (Reply::Status(204), 2000),
    ];
    for (tries, (reply, seconds)) in (1..).zip(steps) {
        deliveries_once(&app.client, &endpoint, has_tried(tries)).await;
        receiver.reply(move |_| reply);
        app.clock.advance(seconds);
    }
    let listed = deliveries_once(&app.client, &endpoint, has_status("delivered")).await;
    let attempts = listed[0]["attempts"].as_array().expect("attempts");
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt["status"].clone()).collect();
    assert_eq!(json!(statuses), json!([500, 302, null, 404, 204]));
    assert!(attempts[2]["detail"].is_string(), "{attempts:?}");
    let heard = receiver.heard();
    assert_eq!(heard.len(), 5);
    assert!(heard.iter().all(|it| it.path == "/hooks"), "redirects are not followed");
    assert!(heard.iter().all(|it| it.id() == heard[0].id() && it.body == heard[0].body));
    assert!(is_signed(&heard[0], &endpoint.secret));
    let times: BTreeSet<_> = heard.iter().map(|it| &it.headers["webhook-timestamp"]).collect();
    assert_eq!(times.len(), 5, "each attempt is signed anew");
}

/// The longest that the pauses between attempts can be.
const PAUSES: [i64; 10] = [6, 66, 330, 1980, 7920, 19_800, 39_600, 55_440, 79_200, 79_200];

async fn what_is_given_up_can_be_replayed(app: &TestApp) {
    let receiver = Receiver::start().await;
    let wanted = ["wallet.created", "wallet.frozen"];
    let endpoint = endpoint(&app.client, &receiver.url(), &wanted).await;
    let failing = |heard: &Heard| match heard.kind().as_str() {
        "wallet.created" => Reply::Status(503),
        _ => Reply::Status(200),
    };
    receiver.reply(failing);
    let wallet = app.client.wallet("USD").await;
    let path = format!("{}/deliveries", endpoint.path());
    let failed = async || app.client.get(format!("{path}?status=failed")).await.expect(200);
    let mut first = Value::Null;
    for (tries, pause) in (1..).zip(PAUSES) {
        until("the attempt", async || {
            let all = app.client.all(&path).await;
            first = all.last().cloned().unwrap_or_default();
            has_tried(tries)(&first)
        })
        .await;
        // Something else goes well in between, so the endpoint is not the trouble.
        let before = receiver.heard().len();
        app.client.act(&wallet, "freeze", json!({})).await.expect(200);
        app.client.act(&wallet, "unfreeze", json!({})).await.expect(200);
        receiver.hears(before + 1).await;
        assert_eq!(failed().await["data"], json!([]));
        app.clock.advance(pause);
    }
    until("it to be given up", async || failed().await["data"] != json!([])).await;
    let given_up = failed().await["data"][0].clone();
    assert_eq!(given_up["id"], first["id"]);
    assert!(has_tried(11)(&given_up), "{given_up}");
    let replay = format!("{path}/{}/replay", first["id"].as_str().expect("text"));
    receiver.reply(|_| Reply::Status(200));
    let replayed = app.client.post_as("again", &replay, json!({})).await.expect(200);
    assert_eq!(replayed["status"], "pending");
    let mut now = Value::Null;
    until("the replay", async || {
        now = app.client.get(replay.trim_end_matches("/replay")).await.expect(200);
        now["status"] == "delivered"
    })
    .await;
    assert!(has_tried(12)(&now), "{now}");
    let heard = receiver.heard();
    let created: Vec<_> = heard.iter().filter(|it| it.kind() == "wallet.created").collect();
    assert_eq!(created.len(), 12);
    assert!(created.iter().all(|it| it.id() == created[0].id()));
    assert!(app.client.post_as("again", &replay, json!({})).await.is_replay());
    let audit = app.client.get("/audit?action=webhook_delivery.replayed").await.expect(200);
    assert_eq!(audit["data"].as_array().map(Vec::len), Some(1));
}

async fn an_endpoint_that_fails_for_days_is_disabled(app: &TestApp) {
    let receiver = Receiver::start().await;
    let (_, owner) = app.user(&[SystemRole::Owner]).await;
    let (_, clerk) = app.user(&[SystemRole::Operator]).await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    receiver.reply(|_| Reply::Status(500));
    app.client.wallet("USD").await;
    for (tries, pause) in (1..10).zip(PAUSES) {
        deliveries_once(&app.client, &endpoint, has_tried(tries)).await;
        app.clock.advance(pause);
    }
    let mut disabled = Value::Null;
    until("it to be disabled", async || {
        disabled = app.client.get(endpoint.path()).await.expect(200);
        disabled["active"] == false
    })
    .await;
    assert_eq!(disabled["disabled_reason"], "failing");
    let listed = deliveries_once(&app.client, &endpoint, has_status("failed")).await;
    assert!(has_tried(10)(&listed[0]), "{}", listed[0]);
    until("those who run the tenant to be told", async || {
        let told = owner.get("/notifications").await;
        // Days have passed: the token has expired.
        told.status == 401 || told.json["data"][0]["type"] == "webhook_endpoint.disabled"
    })
    .await;
    let _ = clerk;
    let audit = app.client.get("/audit?action=webhook_endpoint.disabled").await.expect(200);
    assert_eq!(audit["data"][0]["actor"]["kind"], "system");
    let replay =
        format!("{}/deliveries/{}", endpoint.path(), listed[0]["id"].as_str().expect("text"));
    let replay = app.client.post(format!("{replay}/replay"), json!({})).await;
    replay.refused(409, "webhook_endpoint_state");
    let ping = app.client.post(format!("{}/ping", endpoint.path()), json!({})).await;
    ping.refused(409, "webhook_endpoint_state");
    // Nothing is kept for it meanwhile.
    app.client.wallet("USD").await;
    receiver.reply(|_| Reply::Status(200));
    let enabled = app.client.patch(endpoint.path(), json!({"active": true})).await.expect(200);
    assert_eq!((&enabled["active"], &enabled["disabled_at"]), (&json!(true), &Value::Null));
    app.clock.advance(1);
    let wallet = app.client.wallet("USD").await;
    until("what comes now", async || {
        receiver.heard().iter().any(|heard| heard.json()["subject"] == json!(wallet))
    })
    .await;
}

async fn whoever_is_gone_is_disabled_at_once(app: &TestApp) {
    let receiver = Receiver::start().await;
    let (_, owner) = app.user(&[SystemRole::Owner]).await;
    let (_, clerk) = app.user(&[SystemRole::Operator]).await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    let mut stream = app.client.events(None).await;
    receiver.reply(|_| Reply::Status(410));
    app.client.wallet("USD").await;
    assert_eq!(stream.next().await.event, "wallet.created");
    let told = stream.next().await;
    assert_eq!(told.event, "webhook_endpoint.disabled");
    assert_eq!(told.data["subject"], json!(endpoint.id));
    let listed = deliveries_once(&app.client, &endpoint, has_status("failed")).await;
    assert_eq!(listed[0]["attempts"][0]["status"], 410);
    let mut told = Value::Null;
    until("those who run the tenant to be told", async || {
        told = owner.get("/notifications").await.expect(200)["data"][0].clone();
        told["type"] == "webhook_endpoint.disabled"
    })
    .await;
    assert_eq!(told["data"]["reason"], "failing");
    assert_eq!(clerk.get("/notifications").await.expect(200)["data"], json!([]));
}

async fn secrets_are_rotated_with_overlap(app: &TestApp) {
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    let path = format!("{}/rotate", endpoint.path());
    let rotated = app.client.post_as("turn", &path, json!({"overlap_s": 100})).await;
    let rotated = rotated.expect(200);
    let second = rotated["secret"].as_str().expect("a secret").to_owned();
    let again = app.client.post_as("turn", &path, json!({"overlap_s": 100})).await;
    assert!(again.is_replay());
    assert!(again.json.get("secret").is_none(), "shown once");
    assert_ne!(second, endpoint.secret);
    app.client.wallet("USD").await;
    let heard = receiver.hears(1).await;
    assert_eq!(heard[0].headers["webhook-signature"].split(' ').count(), 2);
    assert!(is_signed(&heard[0], &endpoint.secret) && is_signed(&heard[0], &second));
    app.clock.advance(100);
    app.client.wallet("USD").await;
    let heard = receiver.hears(2).await;
    assert!(!is_signed(&heard[1], &endpoint.secret) && is_signed(&heard[1], &second));
    assert_eq!(heard[1].headers["webhook-signature"].split(' ').count(), 1);
    for bad in [json!({"overlap_s": -1}), json!({"overlap_s": 604_801}), json!({"x": 1})] {
        app.client.post(&path, bad).await.refused(400, "invalid_request");
    }
    let shown = app.client.get(endpoint.path()).await.expect(200).to_string();
    assert!(!shown.contains("whsec_"), "{shown}");
}

async fn a_ping_tries_an_endpoint(app: &TestApp) {
    let receiver = Receiver::start().await;
    let (quiet, other) = (
        endpoint(&app.client, &receiver.url(), &["wallet.closed"]).await,
        endpoint(&app.client, &receiver.url(), &["wallet.closed"]).await,
    );
    let ping = format!("{}/ping", quiet.path());
    let pinged = app.client.post_as("try", &ping, json!({})).await.expect(201);
    assert_eq!(pinged["type"], "webhook_endpoint.pinged");
    let heard = receiver.hears(1).await;
    assert!(is_signed(&heard[0], &quiet.secret));
    assert_eq!(heard[0].json()["data"]["webhook_endpoint_id"], json!(quiet.id));
    let again = app.client.post_as("try", &ping, json!({})).await;
    assert!(again.is_replay());
    assert_eq!(again.expect(201)["id"], pinged["id"]);
    deliveries_once(&app.client, &quiet, has_status("delivered")).await;
    assert_eq!(app.client.all(&format!("{}/deliveries", other.path())).await.len(), 0);
    assert_eq!(receiver.heard().len(), 1);
}

async fn tenant(app: &TestApp) -> TenantId {
    app.tenant_id().await
}

async fn many_workers_send_once(app: &TestApp) {
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    receiver.reply(|_| Reply::Status(500));
    let service = app.instance.service.clone();
    // Many make notices of the same events, beside the app's own worker.
    for _ in 0..5 {
        app.client.wallet("USD").await;
        let many = service.clone();
        let made = at_once(6, move |_| {
            let service = many.clone();
            async move { service.make_notices(&mut Looked::default()).await }
        });
        assert!(made.await.into_iter().all(|made| made.is_ok()));
    }
    until("each to be tried", async || {
        let all = app.client.all(&format!("{}/deliveries", endpoint.path())).await;
        all.len() == 5 && all.iter().all(has_tried(1))
    })
    .await;
    // Many take up what is due.
    receiver.reply(|_| Reply::Status(200));
    app.clock.advance(6);
    let many = service.clone();
    at_once(6, move |_| {
        let service = many.clone();
        async move {
            for row in service.due_deliveries(&[], 100).await.expect("rows") {
                service.deliver(&row).await.expect("delivered or not");
            }
        }
    })
    .await;
    until("all to be delivered", async || {
        let all = app.client.all(&format!("{}/deliveries", endpoint.path())).await;
        all.len() == 5 && all.iter().all(|it| has_status("delivered")(it) && has_tried(2)(it))
    })
    .await;
    let heard = receiver.heard();
    let ids: BTreeSet<_> = heard.iter().map(Heard::id).collect();
    assert_eq!((heard.len(), ids.len()), (10, 5), "each twice: one failed, one went well");
}

async fn a_worker_that_died_is_followed(app: &TestApp) {
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    receiver.reply(|_| Reply::Status(500));
    app.client.wallet("USD").await;
    let listed = deliveries_once(&app.client, &endpoint, has_tried(1)).await;
    receiver.reply(|_| Reply::Status(200));
    // Somebody claims it, and is never heard of again.
    let store = &app.instance.store;
    let id = listed[0]["id"].as_str().expect("text").parse().expect("an id");
    let row = deliveries::find(store.as_ref(), tenant(app).await, id).await;
    let row = row.expect("a read").expect("the delivery");
    let lease = app.clock.now().plus_seconds(60);
    let steps = vec![deliveries::claim(&row, lease)];
    let unit = UnitOfWork { at: app.clock.now(), steps, ..UnitOfWork::default() };
    store.commit(unit).await.expect("a claim");
    app.clock.advance(59);
    let due = app.instance.service.due_deliveries(&[], 9).await.expect("rows");
    assert_eq!(due.len(), 0, "it is somebody's");
    app.clock.advance(1);
    let listed = deliveries_once(&app.client, &endpoint, has_status("delivered")).await;
    let numbers: Vec<_> = listed[0]["attempts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["number"].clone())
        .collect();
    assert_eq!(json!(numbers), json!([1, 3]), "of the second nobody told");
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].id(), heard[1].id());
}

async fn a_position_set_back_makes_nothing_twice(app: &TestApp) {
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    for _ in 0..3 {
        app.client.wallet("USD").await;
    }
    receiver.hears(3).await;
    let (store, service) = (&app.instance.store, &app.instance.service);
    let set_back = async || {
        let position = events::position(store.as_ref(), "notices").await.expect("a position");
        let back = (0..STREAMS).filter(|stream| position[usize::from(*stream)] > 0).map(|stream| {
            let from = position[usize::from(stream)];
            events::advance("notices", &Advance { stream, from, to: 0 })
        });
        let unit = UnitOfWork { steps: back.collect(), ..UnitOfWork::default() };
        store.commit(unit).await.expect("a commit")
    };
    set_back().await;
    while service.make_notices(&mut Looked::default()).await.expect("notices") {}
    app.client.wallet("USD").await;
    receiver.hears(4).await;
    deliveries_once(&app.client, &endpoint, has_status("delivered")).await;
    let all = app.client.all(&format!("{}/deliveries", endpoint.path())).await;
    assert_eq!((all.len(), receiver.heard().len()), (4, 4));
}

async fn an_ill_endpoint_takes_no_others_places(app: &TestApp) {
    let (ill, well) = (Receiver::start().await, Receiver::start().await);
    ill.reply(|_| Reply::Silence);
    endpoint(&app.client, &ill.url(), &["wallet.created"]).await;
    endpoint(&app.client, &well.url(), &["wallet.created"]).await;
    for _ in 0..30 {
        app.client.wallet("USD").await;
    }
    // While the ill one is waited for, and more for it waits.
    well.hears(30).await;
    assert!(ill.heard().len() < 30, "it has a share of the workers");
}

async fn endpoints_are_kept_like_anything(app: &TestApp) {
    let client = &app.client;
    let body = json!({"url": "https://shop.example/hooks?x=1", "events": ["*"]});
    let made = client.post_as("one", "/webhook-endpoints", body.clone()).await.expect(201);
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")));
    let again = client.post_as("one", "/webhook-endpoints", body.clone()).await;
    assert!(again.is_replay());
    assert_eq!((again.status, again.json.get("secret")), (201, None));
    let path = format!("/webhook-endpoints/{}", made["id"].as_str().expect("text"));
    let read = client.get(&path).await;
    let tag = read.header("etag").expect("a tag").to_owned();
    let shown = read.expect(200);
    assert_eq!(shown["url"], body["url"]);
    let change = json!({"events": ["wallet.created"], "active": false});
    let changed = client.patch(&path, change).await.expect(200);
    assert_eq!(changed["disabled_reason"], "asked");
    let stale = Call::new("PATCH", &path).header("if-match", tag).json(&json!({"active": true}));
    client.send(stale).await.refused(412, "precondition_failed");
    for _ in 0..3 {
        client.post("/webhook-endpoints", body.clone()).await.expect(201);
    }
    let listed = client.all("/webhook-endpoints?limit=2").await;
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|it| it.get("secret").is_none()));
    let fields = client.get("/webhook-endpoints?fields=id,active").await.expect(200);
    assert_eq!(fields["data"][3], json!({"id": made["id"], "active": false}));
    assert_eq!(client.delete(&path).await.status, 204);
    client.delete(&path).await.refused(404, "webhook_endpoint_not_found");
    for action in ["created", "updated", "deleted"] {
        let audit = client.get(format!("/audit?action=webhook_endpoint.{action}")).await;
        assert_ne!(audit.expect(200)["data"], json!([]), "{action}");
    }
    for _ in 0..17 {
        client.post("/webhook-endpoints", body.clone()).await.expect(201);
    }
    let full = client.post_as("full", "/webhook-endpoints", body.clone()).await;
    full.refused(422, "webhook_endpoints_full");
    client.delete(format!("/webhook-endpoints/{}", listed[0]["id"].as_str().expect("text"))).await;
    let kept = client.post_as("full", "/webhook-endpoints", body).await;
    assert!(kept.is_replay(), "what was decided is said again");
}

async fn another_tenant_sees_nothing(app: &TestApp) {
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["*"]).await;
    app.client.wallet("USD").await;
    let listed = deliveries_once(&app.client, &endpoint, has_status("delivered")).await;
    let delivery = listed[0]["id"].as_str().expect("text");
    let other = app.tenant("test").await;
    let own = self::endpoint(&other, &receiver.url(), &["wallet.closed"]).await;
    let path = endpoint.path();
    let foreign = [
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/rotate")),
        ("POST", format!("{path}/ping")),
        ("GET", format!("{path}/deliveries")),
        ("GET", format!("{path}/deliveries/{delivery}")),
        ("POST", format!("{path}/deliveries/{delivery}/replay")),
    ];
    for (number, (method, path)) in (0..).zip(foreign) {
        let call = Call::new(method, &path).key(format!("foreign-{number}")).json(&json!({}));
        let answer = other.send(call).await;
        answer.refused_as(&path, 404, "webhook_endpoint_not_found");
    }
    // Their endpoint, our delivery.
    let mixed = format!("{}/deliveries/{delivery}", own.path());
    other.get(&mixed).await.refused(404, "webhook_delivery_not_found");
    let replay = other.post(format!("{mixed}/replay"), json!({})).await;
    replay.refused(404, "webhook_delivery_not_found");
    other.get("/webhook-endpoints/whe_x").await.refused(404, "webhook_endpoint_not_found");
    let (_, holder) = app.user(&[SystemRole::WalletHolder]).await;
    holder.get("/webhook-endpoints").await.refused(403, "forbidden");
    other.wallet("USD").await;
    app.client.act(&app.client.wallet("USD").await, "close", json!({})).await.expect(200);
    receiver.hears(3).await;
    assert!(receiver.heard().iter().all(|it| is_signed(it, &endpoint.secret)));
}

async fn bad_endpoints_are_refused(app: &TestApp) {
    let good = "https://shop.example/";
    let long = format!("{good}{}", "a".repeat(2048));
    let rows = [
        (json!({"events": ["*"]}), "url"),
        (json!({"url": good}), "events"),
        (json!({"url": good, "events": []}), "events"),
        (json!({"url": good, "events": "*"}), "events"),
        (json!({"url": good, "events": ["wallet.exploded"]}), "events"),
        (json!({"url": good, "events": ["*", "wallet.created"]}), "events"),
        (json!({"url": good, "events": ["wallet.created\u{0}"]}), "events[0]"),
        (json!({"url": "shop.example", "events": ["*"]}), "url"),
        (json!({"url": 5, "events": ["*"]}), "url"),
        (json!({"url": "", "events": ["*"]}), "url"),
        (json!({"url": "ftp://shop.example/", "events": ["*"]}), "url"),
        (json!({"url": "javascript:alert(1)", "events": ["*"]}), "url"),
        (json!({"url": "https://a:b@shop.example/", "events": ["*"]}), "url"),
        (json!({"url": "https://shop.example:22/", "events": ["*"]}), "url"),
        (json!({"url": "https://shop.example/#x", "events": ["*"]}), "url"),
        (json!({"url": long, "events": ["*"]}), "url"),
        (json!({"url": good, "events": ["*"], "secret": "whsec_x"}), "secret"),
    ];
    for (body, param) in rows {
        let answer = app.client.post("/webhook-endpoints", body.clone()).await;
        answer.refused_as(&body.to_string(), 400, "invalid_request");
        assert_eq!(answer.json["param"], param, "{body}: {}", answer.json);
    }
    let live = app.tenant("live").await;
    let clear = json!({"url": "http://shop.example/", "events": ["*"]});
    live.post("/webhook-endpoints", clear.clone()).await.refused(400, "invalid_request");
    app.client.post("/webhook-endpoints", clear).await.expect(201);
    let unkeyed = json!({"url": good, "events": ["*"]});
    let unkeyed = Call::new("POST", "/webhook-endpoints").json(&unkeyed);
    app.client.send(unkeyed).await.refused(400, "invalid_request");
    let some = endpoint(&app.client, good, &["*"]).await;
    let status = app.client.get(format!("{}/deliveries?status=odd", some.path())).await;
    status.refused(400, "invalid_request");
}

async fn answers_do_not_hold_us_up(app: &TestApp) {
    let receiver = Receiver::start().await;
    let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
    for reply in [Reply::Huge, Reply::Stuck] {
        receiver.reply(move |_| reply);
        app.client.wallet("USD").await;
        let listed = deliveries_once(&app.client, &endpoint, has_status("delivered")).await;
        let attempt = &listed[0]["attempts"][0];
        assert_eq!(attempt["status"], 200, "{reply:?}: only the status counts");
    }
}

/// The same with other settings than most tests have, on both databases.
async fn with(change: fn(&mut caudal::Settings), case: impl AsyncFn(TestApp) -> TestApp) {
    let postgres = Database::postgres().await;
    for database in [Some(Database::sqlite()), postgres].into_iter().flatten() {
        case(TestApp::start_with(database, change).await).await.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_answer_in_time_has_failed() {
    let quick = |settings: &mut caudal::Settings| settings.webhooks_timeout_ms = 300;
    with(quick, async |app: TestApp| {
        let receiver = Receiver::start().await;
        let endpoint = endpoint(&app.client, &receiver.url(), &["wallet.created"]).await;
        for (reply, count) in [(Reply::Silence, 1), (Reply::Drip, 2)] {
            receiver.reply(move |_| reply);
            app.clock.advance(1);
            app.client.wallet("USD").await;
            until("the attempt", async || {
                let all = app.client.all(&format!("{}/deliveries", endpoint.path())).await;
                all.len() == count && has_tried(1)(&all[0])
            })
            .await;
            let all = app.client.all(&format!("{}/deliveries", endpoint.path())).await;
            let attempt = &all[0]["attempts"][0];
            assert_eq!(attempt["detail"], "no answer in time", "{reply:?}: {attempt}");
        }
        app
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_makes_us_call_ourselves() {
    with(
        |_| {},
        async |app: TestApp| {
            let receiver = Receiver::start().await;
            let by_name = format!("http://localhost:{}/hooks", receiver.port);
            // Made while it was allowed, as a name that led elsewhere then.
            let old = [
                endpoint(&app.client, &receiver.url(), &["wallet.created"]).await,
                endpoint(&app.client, &by_name, &["wallet.created"]).await,
            ];
            let app = app.restart_with(|settings| settings.webhooks_allow_private = false).await;
            let client = &app.client;
            for url in [
                receiver.url(),
                by_name,
                "https://localhost/".into(),
                "https://127.1/".into(),
                "https://[::1]:8443/".into(),
                "https://[::ffff:10.0.0.1]/".into(),
                "https://169.254.169.254/latest/meta-data/".into(),
                "https://100.64.0.1/".into(),
                "https://192.168.0.1/".into(),
                "https://0.0.0.0/".into(),
                "https://224.0.0.1/".into(),
            ] {
                let answer =
                    client.post("/webhook-endpoints", json!({"url": url, "events": ["*"]})).await;
                answer.refused_as(&url, 400, "invalid_request");
                assert_eq!(answer.json["param"], "url", "{url}");
                let change = client.patch(old[0].path(), json!({"url": url})).await;
                change.refused_as(&url, 400, "invalid_request");
            }
            client.wallet("USD").await;
            for endpoint in &old {
                let listed = deliveries_once(client, endpoint, has_tried(1)).await;
                let detail = &listed[0]["attempts"][0]["detail"];
                assert_eq!(detail, "the address leads to an address that is not public");
            }
            assert_eq!(receiver.heard().len(), 0);
            app
        },
    )
    .await;
}
