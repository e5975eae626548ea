//! A repeated request is told what it was told first, whatever was switched off since.

use caudal_domain::{Clock, SystemRole};
use caudal_store::{Step, UnitOfWork};
use caudal_testkit::{Call, Client, TestApp, both_databases, until};
use serde_json::{Value, json};

use super::{
    payments::{body, id, with},
    payments_at_gateways::card,
};

both_databases! {
    a_type_that_is_off_changes_no_answer an_account_that_is_off_changes_no_answer
    lines_paid_before_a_crash_stay_paid occurrences_paid_before_a_crash_stay_paid
    a_schedule_is_made_once_though_its_start_has_passed
}

async fn change_type(client: &Client, name: &str, change: Value) {
    let all = client.all("/payment-types").await;
    let kind = all.iter().find(|kind| kind["name"] == name).expect("a type");
    let path = format!("/payment-types/{}", id(kind));
    client.patch(path, change).await.expect(200);
}

async fn is_replayed(client: &Client, path: &str, (asked, first): (&Value, &Value)) {
    let again = client.post_as(path, path, asked.clone()).await;
    assert!(again.is_replay(), "{}", again.json);
    assert_eq!(&again.expect(201), first);
}

async fn a_type_that_is_off_changes_no_answer(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    for (name, asked) in
        [("wallet", body(&pair, 100)), ("card", card(&pair.1, 100, "pm_card_visa"))]
    {
        let first = client.post_as(name, "/payments", asked.clone()).await.expect(201);
        let lower = json!({"currencies": {"USD": {"max_amount": 50,
        "gateway_accounts": match name {
            "card" => json!([id(&client.all("/gateway-accounts").await[0])]),
            _ => json!([]),
        }}}});
        for change in [json!({"active": false}), lower] {
            change_type(client, name, change.clone()).await;
            let again = client.post_as(name, "/payments", asked.clone()).await;
            assert!(again.is_replay(), "{name} {change}: {}", again.json);
            assert_eq!(again.expect(201), first, "{name} {change}");
            // What is new is refused; another request under the key is another request.
            client.post("/payments", asked.clone()).await.refused(400, "invalid_request");
            let other = with(asked.clone(), "amount", 101);
            let other = client.post_as(name, "/payments", other).await;
            other.refused(422, "idempotency_mismatch");
            change_type(client, name, json!({"active": true})).await;
        }
    }
    assert_eq!(client.balance(&pair.1).await.0, 200);
}

async fn an_account_that_is_off_changes_no_answer(app: &TestApp) {
    let client = &app.client;
    let wallet = client.funded(1000).await;
    let asked = card(&wallet, 100, "pm_card_visa");
    let paid = client.post_as("/payments", "/payments", asked.clone()).await.expect(201);
    let account = id(&client.all("/gateway-accounts").await[0]);
    let out = json!({"wallet": wallet, "amount": 400, "destination": "ba_ok"});
    let first = client.post_as("/payouts", "/payouts", out.clone()).await.expect(201);
    let named = with(out.clone(), "gateway_account", account.as_str());
    let second = client.post_as("named", "/payouts", named.clone()).await.expect(201);
    let path = format!("/gateway-accounts/{account}");
    client.patch(path, json!({"active": false})).await.expect(200);
    is_replayed(client, "/payments", (&asked, &paid)).await;
    is_replayed(client, "/payouts", (&out, &first)).await;
    let again = client.post_as("named", "/payouts", named.clone()).await;
    assert!(again.is_replay(), "{}", again.json);
    assert_eq!(again.expect(201), second);
    for (path, asked) in [("/payments", asked), ("/payouts", out), ("/payouts", named)] {
        client.post(path, asked).await.refused(400, "invalid_request");
    }
}

/// As it was when a worker had paid all lines and written nothing down.
async fn as_if_killed(app: &TestApp, upload: &str) {
    let (tenant, store) = (app.tenant_id().await, app.instance.store.as_ref());
    let parsed: caudal_domain::UploadId = upload.parse().expect("an id");
    let found = caudal_store::uploads::find(store, tenant, parsed).await.expect("a look");
    let mut row = found.expect("the file");
    row.status = "processing".into();
    row.next_at = Some(app.clock.now().plus_seconds(60));
    row.updated_at = app.clock.now();
    row.version += 1;
    let lines =
        "update upload_lines set status = 'pending', payment_id = null where upload_id = $1";
    let counts = "update uploads set succeeded = 0, failed = 0 where id = $1";
    let steps = [lines, counts].map(|sql| Step::new(sql, vec![parsed.0.into()]));
    let steps = steps.into_iter().chain([caudal_store::uploads::update(&row)]).collect();
    let unit = UnitOfWork { at: app.clock.now(), steps, ..UnitOfWork::default() };
    store.commit(unit).await.expect("a unit of work");
}

async fn lines_paid_before_a_crash_stay_paid(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let (user, staff) = app.user(&[SystemRole::Operator]).await;
    let text = format!("{}\n", body(&pair, 1)).repeat(5);
    let shown =
        async |upload: &str| client.get(format!("/payments/uploads/{upload}")).await.expect(200);
    let completed = async |upload: &str| {
        until("the file's end", async || shown(upload).await["status"] == "completed").await;
        shown(upload).await
    };
    let call = Call::new("POST", "/payments/uploads").key("file").body(text);
    let made = staff.send(call.header("content-type", "application/jsonl")).await.expect(201);
    let upload = id(&made);
    assert_eq!(completed(&upload).await["succeeded"], 5);
    as_if_killed(app, &upload).await;
    change_type(client, "wallet", json!({"active": false})).await;
    app.clock.advance(61);
    assert_eq!(completed(&upload).await["succeeded"], 5, "the type is off");
    change_type(client, "wallet", json!({"active": true})).await;
    as_if_killed(app, &upload).await;
    client.post(format!("/users/{user}/deactivate"), json!({})).await.expect(200);
    app.clock.advance(61);
    assert_eq!(completed(&upload).await["succeeded"], 5, "who sent it is gone");
    assert_eq!(client.balance(&pair.1).await.0, 5);
}

async fn occurrences_paid_before_a_crash_stay_paid(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let body = json!({"payment": body(&pair, 100), "every": "day"});
    let schedule = id(&client.post("/schedules", body).await.expect(201));
    let shown = async || client.get(format!("/schedules/{schedule}")).await.expect(200);
    until("the schedule to run", async || shown().await["runs"] == 1).await;
    let (tenant, store) = (app.tenant_id().await, app.instance.store.as_ref());
    let parsed = schedule.parse().expect("an id");
    let found = caudal_store::schedules::find(store, tenant, parsed).await.expect("a look");
    let mut row = found.expect("the schedule");
    let mut plan: Value = serde_json::from_str(&row.rule).expect("JSON");
    plan["next"] = json!(0);
    plan["tried_at"] = json!(app.clock.now());
    row.rule = plan.to_string();
    row.next_at = Some(app.clock.now().plus_seconds(60));
    row.version += 1;
    let steps = vec![caudal_store::schedules::update(&row)];
    let unit = UnitOfWork { at: app.clock.now(), steps, ..UnitOfWork::default() };
    store.commit(unit).await.expect("a unit of work");
    change_type(client, "wallet", json!({"active": false})).await;
    app.clock.advance(61);
    until("the schedule to run", async || shown().await["runs"] == 2).await;
    assert_eq!(shown().await["last_failure"], Value::Null);
    assert_eq!(client.balance(&pair.1).await.0, 100);
}

async fn a_schedule_is_made_once_though_its_start_has_passed(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let start = app.clock.now().plus_seconds(60).to_string();
    let body = json!({"payment": body(&pair, 1), "start_at": start});
    let first = client.post_as("plan", "/schedules", body.clone()).await.expect(201);
    app.clock.advance(61);
    let again = client.post_as("plan", "/schedules", body.clone()).await;
    assert!(again.is_replay(), "{}", again.json);
    assert_eq!(again.expect(201), first);
    client.post("/schedules", body).await.refused(400, "invalid_request");
}
