//! Payments that are made later: in time, once each, and as long as whoever set them up may pay.

use caudal_domain::{Clock, SystemRole, Timestamp};
use caudal_testkit::{Client, TestApp, at_once, both_databases, until};
use serde_json::{Value, json};

both_databases! {
    an_occurrence_is_paid_once_and_in_time what_was_missed_is_made_up_once
    many_workers_and_a_kill_pay_once what_is_declined_goes_on_next_time
    bad_schedules_are_refused schedules_are_their_holders_own
    schedules_of_one_moment_do_not_wait_for_each_other
}

const DAY: i64 = 24 * 3600;

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

fn payment(pair: &(String, String), amount: i64) -> Value {
    json!({"type": "wallet", "amount": amount, "currency": "USD", "from": pair.0, "to": pair.1})
}

async fn schedule(client: &Client, body: Value) -> String {
    id_of(&client.post("/schedules", body).await.expect(201))
}

async fn shown(client: &Client, id: &str) -> Value {
    client.get(format!("/schedules/{id}")).await.expect(200)
}

async fn runs(client: &Client, id: &str, count: i64) {
    until("the schedule to run", async || shown(client, id).await["runs"] == count).await;
}

async fn an_occurrence_is_paid_once_and_in_time(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let start = app.clock.now().plus_seconds(3600);
    let body = json!({"payment": payment(&pair, 100), "every": "day", "count": 3,
        "start_at": start.to_string(), "timezone": "UTC"});
    let made = client.post_as("plan", "/schedules", body.clone()).await.expect(201);
    let id = id_of(&made);
    assert_eq!((&made["status"], &made["next_at"]), (&json!("active"), &json!(start.to_string())));
    let again = client.post_as("plan", "/schedules", body).await;
    assert!(again.is_replay());
    assert_eq!(again.expect(201), made);
    let once = schedule(client, json!({"payment": payment(&pair, 7)})).await;
    runs(client, &once, 1).await;
    let ended = shown(client, &once).await;
    assert_eq!((&ended["status"], &ended["next_at"]), (&json!("ended"), &Value::Null));
    assert_eq!(client.balance(&pair.1).await.0, 7);
    for (day, status) in [(1, "active"), (2, "active"), (3, "ended")] {
        let next = start.plus_seconds((day - 1) * DAY);
        app.clock.set(Timestamp::from_micros(next.micros() - 1));
        assert!(!app.instance.service.run_due_schedules().await.expect("a look"));
        assert_eq!(shown(client, &id).await["runs"], day - 1);
        app.clock.set(next);
        runs(client, &id, day).await;
        let schedule = shown(client, &id).await;
        assert_eq!(schedule["status"], status);
        assert_eq!(client.balance(&pair.1).await.0, 7 + 100 * day);
        let paid = schedule["last_payment_id"].as_str().expect("a payment");
        let paid = client.get(format!("/payments/{paid}")).await.expect(200);
        assert_eq!((&paid["amount"], &paid["status"]), (&json!(100), &json!("succeeded")));
    }
    app.clock.advance(30 * DAY);
    assert!(!app.instance.service.run_due_schedules().await.expect("a look"));
    assert_eq!(client.balance(&pair.1).await.0, 307);
    let ids: Vec<_> = client.all("/schedules?limit=1").await.iter().map(id_of).collect();
    assert_eq!(ids, [once, id]);
    assert_eq!(client.all("/schedules?status=active").await.len(), 0);
}

async fn schedules_of_one_moment_do_not_wait_for_each_other(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let start = app.clock.now().plus_seconds(3600);
    let body = json!({"payment": payment(&pair, 100), "start_at": start.to_string()});
    let [one, other] = [schedule(client, body.clone()).await, schedule(client, body).await];
    // Neither is begun before the other one is about to be.
    app.gate.gather("update schedules", 2);
    app.clock.set(start);
    runs(client, &one, 1).await;
    runs(client, &other, 1).await;
    assert_eq!(client.balance(&pair.1).await.0, 200);
}

async fn what_was_missed_is_made_up_once(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let body = json!({"payment": payment(&pair, 100), "every": "day"});
    let id = schedule(client, body).await;
    runs(client, &id, 1).await;
    // Nobody ran for ten days and a half: one payment makes up for all.
    app.clock.advance(10 * DAY + DAY / 2);
    runs(client, &id, 2).await;
    assert_eq!(client.balance(&pair.1).await.0, 200);
    let started = shown(client, &id).await["start_at"].clone();
    let started = Timestamp::parse(started.as_str().expect("a time")).expect("a time");
    let next = started.plus_seconds(11 * DAY).to_string();
    assert_eq!(shown(client, &id).await["next_at"], next);
    // The clock goes back: what was paid is not paid again.
    app.clock.advance(-5 * DAY);
    app.instance.service.run_due_schedules().await.expect("a look");
    assert_eq!(shown(client, &id).await["runs"], 2);
    assert_eq!(client.delete(format!("/schedules/{id}")).await.status, 204);
    assert_eq!(client.delete(format!("/schedules/{id}")).await.status, 204);
    app.clock.advance(30 * DAY);
    app.instance.service.run_due_schedules().await.expect("a look");
    let canceled = shown(client, &id).await;
    assert_eq!((&canceled["status"], &canceled["runs"]), (&json!("canceled"), &json!(2)));
    assert_eq!(client.balance(&pair.1).await.0, 200);
    for action in ["schedule.created", "schedule.canceled"] {
        let done = client.all(&format!("/audit?action={action}&object={id}")).await;
        assert_eq!(done.len(), 1, "{action}");
    }
}

async fn many_workers_and_a_kill_pay_once(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    let start = app.clock.now().plus_seconds(60);
    for _ in 0..10 {
        let body = json!({"payment": payment(&pair, 100), "start_at": start.to_string()});
        schedule(client, body).await;
    }
    app.clock.advance(60);
    at_once(8, |_| {
        let service = app.instance.service.clone();
        async move { service.run_due_schedules().await.expect("a look") }
    })
    .await;
    let is_done = async || client.all("/schedules?status=ended").await.len() == 10;
    until("all schedules to end", is_done).await;
    assert_eq!(client.balance(&pair.1).await.0, 1000);
    assert_eq!(client.all("/payments").await.len(), 10);
    // Killed after the payment, before the schedule was moved on: as the row says then.
    let id = schedule(client, json!({"payment": payment(&pair, 100), "every": "day"})).await;
    runs(client, &id, 1).await;
    for gone in [60, 21 * 3600] {
        let before = shown(client, &id).await["runs"].as_i64().expect("a number");
        let tenant = app.tenant_id().await;
        let parsed = id.parse().expect("an id");
        let store = app.instance.store.as_ref();
        let mut row = caudal_store::schedules::find(store, tenant, parsed)
            .await
            .expect("a look")
            .expect("the schedule");
        let mut plan: Value = serde_json::from_str(&row.rule).expect("JSON");
        plan["next"] = json!(plan["next"].as_i64().expect("a number") - 1);
        plan["tried_at"] = json!(app.clock.now());
        row.rule = plan.to_string();
        row.next_at = Some(app.clock.now().plus_seconds(60));
        row.version += 1;
        let unit = caudal_store::UnitOfWork {
            at: app.clock.now(),
            steps: vec![caudal_store::schedules::update(&row)],
            ..caudal_store::UnitOfWork::default()
        };
        store.commit(unit).await.expect("a unit of work");
        app.clock.advance(gone);
        runs(client, &id, before + 1).await;
        assert_eq!(client.balance(&pair.1).await.0, 1100, "after {gone} s");
        // Soon after, the answer is read again; a day later it is told that nobody is sure.
        let failure = if gone == 60 { Value::Null } else { json!("interrupted") };
        assert_eq!(shown(client, &id).await["last_failure"], failure);
    }
}

async fn what_is_declined_goes_on_next_time(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(50).await;
    let mut heard = client.events(None).await;
    let id = schedule(client, json!({"payment": payment(&pair, 100), "every": "week"})).await;
    runs(client, &id, 1).await;
    let schedule = shown(client, &id).await;
    assert_eq!(schedule["last_failure"], "insufficient_funds");
    assert_eq!(schedule["status"], "active");
    loop {
        let message = heard.next().await;
        if message.event == "schedule.failed" {
            assert_eq!(message.data["data"]["schedule_id"], json!(id));
            break;
        }
    }
    client.fund(&pair.0, 100).await.expect(201);
    app.clock.advance(7 * DAY);
    runs(client, &id, 2).await;
    assert_eq!(shown(client, &id).await["last_failure"], Value::Null);
    assert_eq!(client.balance(&pair.1).await.0, 100);
}

async fn bad_schedules_are_refused(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let good = json!({"payment": payment(&pair, 100)});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let every = |name: &str, value: Value| {
        let mut body = with("every", json!("day"));
        body[name] = value;
        body
    };
    let past = app.clock.now().plus_seconds(-1).to_string();
    let mut card = payment(&pair, 1);
    card["description"] = json!("4242 4242 4242 4242");
    for (body, code, param) in [
        (json!({}), "invalid_request", "payment"),
        (with("payment", json!({"type": "wallet"})), "invalid_request", "payment.amount"),
        (with("payment", payment(&pair, 0)), "invalid_request", "payment.amount"),
        (with("payment", card), "card_number_in_text", "payment.description"),
        (with("start_at", json!(past)), "invalid_request", "start_at"),
        (with("start_at", json!("soon")), "invalid_request", "start_at"),
        (with("count", json!(2)), "invalid_request", "every"),
        (with("every", json!("fortnight")), "invalid_request", "every"),
        (every("interval", json!(0)), "invalid_request", "interval"),
        (every("interval", json!(1001)), "invalid_request", "interval"),
        (every("count", json!(0)), "invalid_request", "count"),
        (every("timezone", json!("Mars/Base")), "invalid_request", "timezone"),
        (every("until", json!(past)), "invalid_request", "start_at"),
    ] {
        let answer = client.post("/schedules", body.clone()).await;
        let said = answer.refused(400, code).json["param"].clone();
        assert_eq!(said, param, "{body}");
    }
    client.get("/schedules/sch_1").await.refused(404, "schedule_not_found");
    assert_eq!(client.all("/schedules").await.len(), 0);
}

async fn schedules_are_their_holders_own(app: &TestApp) {
    let client = &app.client;
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let body = json!({"currency": "USD", "user_id": ada_id.to_string()});
    let hers = id_of(&client.post("/wallets", body).await.expect(201));
    client.fund(&hers, 1000).await.expect(201);
    let pair = client.pair(1000).await;
    let daily = |from: &str| {
        let payment = payment(&(from.to_owned(), pair.1.clone()), 100);
        json!({"payment": payment, "every": "day"})
    };
    let own = schedule(&ada, daily(&hers)).await;
    runs(client, &own, 1).await;
    // Somebody else's wallet pays nothing.
    ada.post("/schedules", daily(&pair.0)).await.refused(404, "wallet_not_found");
    assert_eq!(client.balance(&hers).await.0, 900);
    let stranger = app.tenant("test").await;
    for who in [&bob, &stranger] {
        who.get(format!("/schedules/{own}")).await.refused(404, "schedule_not_found");
        who.delete(format!("/schedules/{own}")).await.refused(404, "schedule_not_found");
        assert_eq!(who.all("/schedules").await.len(), 0);
    }
    assert_eq!(ada.all("/schedules").await.len(), 1);
    assert_eq!(client.all("/schedules").await.len(), 1);
    // Who was deactivated pays no more.
    client.post(format!("/users/{ada_id}/deactivate"), json!({})).await.expect(200);
    app.clock.advance(DAY);
    runs(client, &own, 2).await;
    assert_eq!(shown(client, &own).await["last_failure"], "forbidden");
    assert_eq!(client.balance(&hers).await.0, 900);
}
