//! Daily sums of payments: every payment counts once, as it stands, on its tenant's business day.

use caudal_domain::{BusinessDay, Clock, Currency, SystemRole, payment::PaymentStatus};
use caudal_store::reports::{self, ReportRow, ReportSums};
use caudal_testkit::{TestApp, at_once, both_databases, until};
use serde_json::{Value, json};

both_databases! {
    every_payment_counts_once_as_it_stands days_are_the_tenants_own pages_and_filters
    what_differs_is_put_right time_zones_are_looked_up
}

async fn lines(app: &TestApp) -> Vec<Value> {
    app.client.all("/reports/daily").await
}

/// Waits until the sums hold so many payments.
async fn counted(app: &TestApp, count: i64) {
    let sum = async || {
        let lines = lines(app).await;
        lines.iter().map(|line| line["count"].as_i64().expect("a number")).sum::<i64>()
    };
    until("the payments to be counted", async || sum().await == count).await;
}

fn payment(pair: &(String, String), amount: i64) -> Value {
    json!({"type": "wallet", "amount": amount, "currency": "USD", "from": pair.0, "to": pair.1})
}

async fn every_payment_counts_once_as_it_stands(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    at_once(10, |_| {
        let (client, body) = (client.clone(), payment(&pair, 50));
        async move { client.post("/payments", body).await.expect(201) }
    })
    .await;
    client.post("/payments", payment(&pair, 501)).await.refused(402, "insufficient_funds");
    let mut held = payment(&pair, 200);
    held["capture"] = json!("manual");
    let held = client.post("/payments", held).await.expect(201);
    counted(app, 12).await;
    let today = BusinessDay(app.clock.now().days()).to_string();
    let line = |status: &str, count: i64, amount: i64, captured: i64| {
        json!({"day": today, "currency": "USD", "type": "wallet", "status": status, "count": count,
            "amount": amount, "captured": captured, "refunded": 0, "disputed": 0, "fees": 0})
    };
    let before = [
        line("failed", 1, 501, 0),
        line("requires_capture", 1, 200, 0),
        line("succeeded", 10, 500, 500),
    ];
    assert_eq!(lines(app).await, before);
    // It moves from one line to another, and is in one only.
    let path = format!("/payments/{}/capture", held["id"].as_str().expect("an id"));
    client.post(path, json!({"amount": 150})).await.expect(200);
    let after = [line("failed", 1, 501, 0), line("succeeded", 11, 700, 650)];
    until("the capture to be counted", async || lines(app).await == after).await;
    // Read again from the start, nothing is counted twice.
    let rebuilt = app.instance.service.rebuild().await.expect("a comparison");
    assert_eq!((rebuilt.payments, rebuilt.differences.len()), (12, 0));
    assert_eq!(lines(app).await, after);
}

async fn days_are_the_tenants_own(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let change = |zone: &str, cut_off: &str| {
        let config = json!({"business_day_cut_off": cut_off});
        json!({"timezone": zone, "config": config})
    };
    // 23:30 in New York is another day in UTC.
    let day = app.clock.now().days() + 1;
    let midnight = caudal_domain::Timestamp::from_micros(day * 86_400_000_000);
    for (number, (zone, cut_off, hours, on)) in [
        ("America/New_York", "00:00", 2, day - 1),
        ("UTC", "00:00", 2, day),
        ("UTC", "01:30", 2, day + 1),
        ("Asia/Tokyo", "00:00", 20, day + 1),
    ]
    .into_iter()
    .enumerate()
    {
        client.patch("/tenants/me", change(zone, cut_off)).await.expect(200);
        app.clock.set(midnight.plus_seconds(hours * 3600));
        let amount = 10 + number as i64;
        let made = client.post("/payments", payment(&pair, amount)).await.expect(201);
        assert_eq!(made["business_date"], BusinessDay(on).to_string(), "{zone} {cut_off}");
        let is_there = async || {
            let path = format!("/reports/daily?from={0}&to={0}", BusinessDay(on));
            let lines = client.all(&path).await;
            let on_it = lines.iter().map(|line| line["amount"].as_i64().expect("a number"));
            // Days that went before are as they were.
            on_it.sum::<i64>() >= amount
        };
        until(&format!("{zone} {cut_off} {}", BusinessDay(on)), is_there).await;
    }
    let shown = client.get("/tenants/me").await.expect(200);
    assert_eq!(shown["config"]["business_day_cut_off"], "00:00");
}

async fn pages_and_filters(app: &TestApp) {
    let client = &app.client;
    let tenant = app.tenant_id().await;
    let today = app.clock.now().days();
    let row = |day, kind: &str, status, code: &str| ReportRow {
        tenant,
        day,
        currency: Currency::from_code(code).expect("a code"),
        kind: kind.into(),
        status,
        sums: ReportSums { count: 1, amount: 5, ..ReportSums::default() },
    };
    let rows = [
        row(today - 40, "card", PaymentStatus::Succeeded, "USD"),
        row(today - 2, "card", PaymentStatus::Succeeded, "EUR"),
        row(today - 2, "my type, \"quoted\"", PaymentStatus::Failed, "USD"),
        row(today, "card", PaymentStatus::Failed, "USD"),
        row(today, "card", PaymentStatus::Succeeded, "USD"),
    ];
    write(app, rows.iter().map(reports::add).collect()).await;
    let days = |from: i64, to: i64| format!("from={}&to={}", BusinessDay(from), BusinessDay(to));
    for (query, count) in [
        (String::new(), 4),
        (days(today - 40, today), 5),
        (days(today - 2, today - 2), 2),
        (format!("{}&limit=1", days(today - 40, today)), 5),
        ("currency=EUR".into(), 1),
        ("status=failed".into(), 2),
        ("type=card&status=failed".into(), 1),
        ("type=none".into(), 0),
    ] {
        assert_eq!(client.all(&format!("/reports/daily?{query}")).await.len(), count, "{query}");
    }
    for (query, param) in [
        ("from=yesterday".to_owned(), "from"),
        ("to=2026-02-30".into(), "to"),
        (days(today, today - 1), "from"),
        (days(today - 366, today), "from"),
        ("status=paid".into(), "status"),
        ("currency=usd".into(), "currency"),
        ("cursor=00".into(), "cursor"),
        ("limit=0".into(), "limit"),
        ("fields=id".into(), "fields"),
    ] {
        let answer = client.get(format!("/reports/daily?{query}")).await;
        assert_eq!(answer.refused(400, "invalid_request").json["param"], param, "{query}");
    }
    let one = client.all("/reports/daily?fields=count,day&currency=EUR").await;
    assert_eq!(one, [json!({"count": 1, "day": BusinessDay(today - 2).to_string()})]);
    let stranger = app.tenant("test").await;
    assert_eq!(stranger.all("/reports/daily").await.len(), 0);
    let (_, holder) = app.user(&[SystemRole::WalletHolder]).await;
    holder.get("/reports/daily").await.refused(403, "forbidden");
    // No payments stand behind these.
    let rebuilt = app.instance.service.rebuild().await.expect("a comparison");
    assert_eq!(rebuilt.differences.len(), 5);
    assert_eq!(lines(app).await.len(), 0);
}

async fn what_differs_is_put_right(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    for amount in [10, 20] {
        client.post("/payments", payment(&pair, amount)).await.expect(201);
    }
    counted(app, 2).await;
    let good = lines(app).await;
    let tenant = app.tenant_id().await;
    let wrong = ReportRow {
        tenant,
        day: app.clock.now().days(),
        currency: Currency::USD,
        kind: "wallet".into(),
        status: PaymentStatus::Succeeded,
        sums: ReportSums { count: 3, amount: -4, ..ReportSums::default() },
    };
    write(app, vec![reports::add(&wrong)]).await;
    assert_ne!(lines(app).await, good);
    let rebuilt = app.instance.service.rebuild().await.expect("a comparison");
    assert_eq!((rebuilt.payments, rebuilt.differences.len()), (2, 1), "{rebuilt:?}");
    assert_eq!(lines(app).await, good);
    let again = app.instance.service.rebuild().await.expect("a comparison");
    assert_eq!(again.differences, Vec::<String>::new());
}

async fn write(app: &TestApp, steps: Vec<caudal_store::Step>) {
    let at = app.clock.now();
    let unit = caudal_store::UnitOfWork { at, steps, ..caudal_store::UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a unit of work");
}

async fn time_zones_are_looked_up(app: &TestApp) {
    let client = &app.client;
    for zone in ["Mars/Base", "europe/lisbon", "", "+01:00"] {
        let answer = client.patch("/tenants/me", json!({"timezone": zone})).await;
        assert_eq!(answer.refused(400, "invalid_request").json["param"], "timezone", "{zone}");
        let body = json!({"name": "x", "mode": "test", "timezone": zone});
        let answer = client.post("/tenants", body).await;
        assert_eq!(answer.refused(400, "invalid_request").json["param"], "timezone", "{zone}");
    }
    for cut_off in ["24:00", "5pm", "17:0"] {
        let body = json!({"config": {"business_day_cut_off": cut_off}});
        let answer = client.patch("/tenants/me", body).await;
        let param = answer.refused(400, "invalid_request").json["param"].clone();
        assert_eq!(param, "config.business_day_cut_off", "{cut_off}");
    }
}
