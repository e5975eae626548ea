//! Files of payments: each line once, whatever happens on the way, and what came of it.

use caudal_domain::{Clock, SystemRole, UploadId};
use caudal_store::{
    UnitOfWork,
    uploads::{UploadRow, insert},
};
use caudal_testkit::{Answer, Call, Client, TestApp, at_once, both_databases, until};
use serde_json::{Value, json};

both_databases! {
    every_line_is_told_what_came_of_it many_workers_pay_each_line_once
    a_kill_in_the_middle_doubles_nothing bad_files_are_refused files_are_the_tenants_own
    a_quote_that_stays_open_harms_its_line_only results_are_no_formulas
    what_was_not_received_whole_is_ended files_do_not_wait_for_each_other
}

async fn upload(client: &Client, key: &str, media_type: &str, text: &str) -> Answer {
    let call = Call::new("POST", "/payments/uploads").key(key).body(text.to_owned());
    client.send(call.header("content-type", media_type)).await
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

async fn shown(client: &Client, id: &str) -> Value {
    client.get(format!("/payments/uploads/{id}")).await.expect(200)
}

async fn completed(client: &Client, id: &str) -> Value {
    let is_done = async || shown(client, id).await["status"] == "completed";
    until("the file to be worked through", is_done).await;
    shown(client, id).await
}

async fn results(client: &Client, id: &str) -> Vec<String> {
    let answer = client.get(format!("/payments/uploads/{id}/results")).await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// So many lines of one unit each.
fn jsonl(pair: &(String, String), count: usize) -> String {
    let line = json!({"type": "wallet", "amount": 1, "currency": "USD", "from": pair.0,
        "to": pair.1});
    format!("{line}\n").repeat(count)
}

async fn every_line_is_told_what_came_of_it(app: &TestApp) {
    let client = &app.client;
    let (from, to) = client.pair(1000).await;
    let nobody = "wal_00000000000000000000000001";
    let text = format!(
        "type,amount,currency,from,to,reference\n\
         wallet,100,USD,{from},{to},first\n\
         wallet,ten,USD,{from},{to},\n\
         wallet,5000,USD,{from},{to},\n\
         none,1,USD,{from},{to},\n\
         wallet,1,USD,{nobody},{to},\n\
         wallet,200,USD,{from},{to},\n"
    );
    let made = upload(client, "file", "text/csv", &text).await.expect(201);
    assert_eq!((&made["status"], &made["lines"]), (&json!("processing"), &json!(6)));
    assert_eq!((&made["pending"], &made["failed"]), (&json!(5), &json!(1)));
    let id = id_of(&made);
    let done = completed(client, &id).await;
    assert_eq!((&done["succeeded"], &done["failed"]), (&json!(2), &json!(4)));
    assert_eq!(client.balance(&to).await.0, 300);
    let lines = results(client, &id).await;
    let parts: Vec<Vec<&str>> = lines.iter().map(|line| line.splitn(4, ',').collect()).collect();
    assert_eq!(parts[0], ["line", "status", "payment_id", "detail"]);
    for (part, (number, status, has_payment, detail)) in parts[1..].iter().zip([
        ("2", "succeeded", true, "\"\""),
        ("3", "failed", false, "\"amount: "),
        ("4", "failed", true, "\"insufficient_funds\""),
        ("5", "failed", false, "\"type: "),
        ("6", "failed", false, "\"wallet_not_found\""),
        ("7", "succeeded", true, "\"\""),
    ]) {
        assert_eq!((part[0], part[1], !part[2].is_empty()), (number, status, has_payment));
        assert!(part[3].starts_with(detail), "{part:?}");
    }
    let first = client.get(format!("/payments/{}", parts[1][2])).await.expect(200);
    assert_eq!((&first["reference"], &first["amount"]), (&json!("first"), &json!(100)));
    let again = upload(client, "file", "text/csv", &text).await;
    assert!(again.is_replay());
    assert_eq!(again.expect(201), made);
    let other = upload(client, "file", "text/csv", &format!("{text}\n")).await;
    other.refused(422, "idempotency_mismatch");
    assert_eq!(
        client
            .all("/payments/uploads")
            .await
            .iter()
            .filter(|it| it["status"] == "completed")
            .count(),
        1
    );
    assert_eq!(client.all(&format!("/audit?action=upload.created&object={id}")).await.len(), 1);
}

async fn many_workers_pay_each_line_once(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    let text = jsonl(&pair, 450);
    let id = id_of(&upload(client, "many", "application/jsonl", &text).await.expect(201));
    at_once(6, |_| {
        let service = app.instance.service.clone();
        async move { while service.work_on_uploads().await.expect("a look") {} }
    })
    .await;
    let done = completed(client, &id).await;
    assert_eq!((&done["succeeded"], &done["failed"]), (&json!(450), &json!(0)));
    assert_eq!(client.balance(&pair.1).await.0, 450);
    assert_eq!(results(client, &id).await.len(), 451);
}

async fn files_do_not_wait_for_each_other(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    let text = jsonl(&pair, 3);
    // Neither is done before the other one is about to be.
    app.gate.gather("update upload_lines", 2);
    let mut files = Vec::new();
    for key in ["one", "other"] {
        files.push(id_of(&upload(client, key, "application/jsonl", &text).await.expect(201)));
    }
    for file in &files {
        assert_eq!(completed(client, file).await["succeeded"], 3);
    }
}

async fn a_kill_in_the_middle_doubles_nothing(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    let (tenant, store) = (app.tenant_id().await, app.instance.store.as_ref());
    for (number, gone, paid) in [(1, 61, 20), (2, 21 * 3600, 20)] {
        let key = format!("killed {number}");
        let text = jsonl(&pair, 20);
        let id = id_of(&upload(client, &key, "application/x-ndjson", &text).await.expect(201));
        completed(client, &id).await;
        assert_eq!(client.balance(&pair.1).await.0, number * paid);
        // As it was when a worker had paid all lines and written nothing down.
        let parsed = id.parse().expect("an id");
        let found = caudal_store::uploads::find(store, tenant, parsed).await.expect("a look");
        let mut row = found.expect("the file");
        row.status = "processing".into();
        row.next_at = Some(app.clock.now().plus_seconds(60));
        row.updated_at = app.clock.now();
        row.version += 1;
        let lines = caudal_store::Step::new(
            "update upload_lines set status = 'pending', payment_id = null where upload_id = $1",
            vec![parsed_id(&id).into()],
        );
        let counts = caudal_store::Step::new(
            "update uploads set succeeded = 0, failed = 0 where id = $1",
            vec![parsed_id(&id).into()],
        );
        let unit = UnitOfWork {
            at: app.clock.now(),
            steps: vec![lines, counts, caudal_store::uploads::update(&row)],
            ..UnitOfWork::default()
        };
        store.commit(unit).await.expect("a unit of work");
        app.clock.advance(gone);
        let done = completed(client, &id).await;
        assert_eq!(client.balance(&pair.1).await.0, number * paid, "after {gone} s");
        // Soon after, the answers are read again; a day later it is told that nobody is sure.
        let succeeded = if number == 1 { 20 } else { 0 };
        assert_eq!(done["succeeded"], json!(succeeded), "after {gone} s");
        assert_eq!(done["failed"], json!(20 - succeeded));
    }
}

fn parsed_id(id: &str) -> u128 {
    id.parse::<UploadId>().expect("an id").0
}

async fn bad_files_are_refused(app: &TestApp) {
    let client = &app.client;
    let line = jsonl(&client.pair(10).await, 1);
    for (number, (media_type, text, status, code)) in [
        ("application/json", &*line, 415, "unsupported_media_type"),
        ("text/csv", "", 400, "invalid_request"),
        ("text/csv", "type,colour\nwallet,red\n", 400, "invalid_request"),
        ("text/csv", "type,amount\n", 400, "invalid_request"),
        ("application/jsonl", "\n \n", 400, "invalid_request"),
        ("application/jsonl", &"{}\n".repeat(100_001), 413, "payload_too_large"),
    ]
    .into_iter()
    .enumerate()
    {
        upload(client, &format!("bad {number}"), media_type, text).await.refused(status, code);
    }
    let keyless = Call::new("POST", "/payments/uploads").body(line.clone());
    let keyless = client.send(keyless.header("content-type", "application/jsonl")).await;
    assert_eq!(keyless.refused(400, "invalid_request").json["param"], "Idempotency-Key");
    // Each bad line is told, and none of its words are.
    let card =
        "{\"type\":\"wallet\",\"description\":\"4242424242424242\"}\n{\"4242424242424242\":1}";
    let id = id_of(&upload(client, "card", "application/jsonl", card).await.expect(201));
    assert_eq!(completed(client, &id).await["failed"], 2);
    let told = results(client, &id).await.concat();
    assert!(!told.contains("4242"), "{told}");
    client.get("/payments/uploads/upl_1").await.refused(404, "upload_not_found");
}

async fn files_are_the_tenants_own(app: &TestApp) {
    let client = &app.client;
    let text = jsonl(&client.pair(10).await, 1);
    let id = id_of(&upload(client, "own", "application/jsonl", &text).await.expect(201));
    let stranger = app.tenant("test").await;
    for path in [format!("/payments/uploads/{id}"), format!("/payments/uploads/{id}/results")] {
        stranger.get(path).await.refused(404, "upload_not_found");
    }
    assert_eq!(stranger.all("/payments/uploads").await.len(), 0);
    let (_, holder) = app.user(&[SystemRole::WalletHolder]).await;
    upload(&holder, "x", "application/jsonl", &text).await.refused(403, "forbidden");
    holder.get(format!("/payments/uploads/{id}")).await.refused(403, "forbidden");
    // Staff who may not pay any more pay no line.
    let (user, staff) = app.user(&[SystemRole::Operator]).await;
    let later = id_of(&upload(&staff, "later", "application/jsonl", &text).await.expect(201));
    completed(client, &later).await;
    client.post(format!("/users/{user}/deactivate"), json!({})).await.expect(200);
    upload(&staff, "gone", "application/jsonl", &text).await.refused(401, "unauthorized");
}

async fn a_quote_that_stays_open_harms_its_line_only(app: &TestApp) {
    let client = &app.client;
    let (from, to) = client.pair(1000).await;
    let text = format!(
        "type,amount,currency,to,from,reference\n\
         wallet,5,USD,{to},{from},\"unclosed\n\
         wallet,7,USD,{to},{from},\"a \"\"quote\"\", closed\"\n\
         wallet,8,USD,{to},{from},ab\"c\n\
         wallet,9,USD,{to},\"{from},\n\
         wallet,10,USD,{to},{from},last\n"
    );
    let id = id_of(&upload(client, "open", "text/csv", &text).await.expect(201));
    let done = completed(client, &id).await;
    assert_eq!((&done["lines"], &done["succeeded"]), (&json!(5), &json!(3)));
    assert_eq!(client.balance(&to).await.0, 25);
    let lines = results(client, &id).await;
    for (line, begins) in lines[1..].iter().zip([
        "2,failed,,\"has a quote",
        "3,succeeded,",
        "4,succeeded,",
        "5,failed,,\"has a quote",
        "6,succeeded,",
    ]) {
        assert!(line.starts_with(begins), "{line}");
    }
}

async fn results_are_no_formulas(app: &TestApp) {
    let client = &app.client;
    let text = ["=cmd|x", "+1", "-1", "@SUM(1)"].map(|name| format!("{{\"{name}\":1}}\n")).concat();
    let id = id_of(&upload(client, "formula", "application/jsonl", &text).await.expect(201));
    assert_eq!(completed(client, &id).await["failed"], 4);
    for (line, number) in results(client, &id).await[1..].iter().zip(1..) {
        let begins = format!("{number},failed,,\"'");
        assert!(line.starts_with(&begins), "{line}");
    }
}

async fn what_was_not_received_whole_is_ended(app: &TestApp) {
    let (client, at) = (&app.client, app.clock.now());
    let row = UploadRow {
        id: UploadId(7 << 64),
        tenant: app.tenant_id().await,
        user: None,
        status: "receiving".into(),
        format: "csv".into(),
        lines: 2,
        succeeded: 0,
        failed: 0,
        data: "{}".into(),
        next_at: None,
        version: 1,
        created_at: at,
        updated_at: at,
    };
    let unit = UnitOfWork { at, steps: vec![insert(&row)], ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a commit");
    for (seconds, status) in [(3599, "receiving"), (2, "interrupted")] {
        app.clock.advance(seconds);
        app.instance.service.purge().await.expect("a purge");
        let shown = client.get(format!("/payments/uploads/{}", row.id)).await.expect(200);
        assert_eq!(shown["status"], status);
    }
}
