//! How often one may ask: windows of users, quotas of keys, addresses of strangers.

use caudal_domain::SystemRole;
use caudal_testkit::{Call, Database, TestApp, both_databases};
use serde_json::json;

use super::people::{PASSWORD, login, person};

both_databases! {
    a_wallet_holder_makes_ten_wallets_an_hour each_item_of_a_batch_counts
    a_tenant_sets_its_own_limits new_limits_are_in_force_at_once
    keys_without_a_quota_are_not_counted
    guessing_is_slowed_down a_forged_address_changes_nothing
}

async fn a_wallet_holder_makes_ten_wallets_an_hour(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let body = json!({"currency": "USD"});
    for left in (0..10).rev() {
        let made = ada.client.post("/wallets", body.clone()).await;
        assert_eq!(made.header("ratelimit-limit"), Some("10"));
        assert_eq!(made.header("ratelimit-remaining"), Some(left.to_string().as_str()));
        assert_eq!(made.header("ratelimit-reset"), Some("3600"));
        made.expect(201);
        app.clock.advance(10);
    }
    // The token lives for ten minutes; the limit is the person's, not the token's.
    let refused = ada.client.post("/wallets", body.clone()).await;
    refused.refused(429, "rate_limited");
    assert_eq!(refused.json["retryable"], true);
    // The first one was 100 s ago.
    assert_eq!(refused.header("retry-after"), Some("3500"));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));
    assert_eq!(refused.header("ratelimit-reset"), Some("3590"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));

    // What she reads is counted apart, and others are unharmed.
    let read = ada.client.get("/wallets").await;
    assert_eq!(read.header("ratelimit-remaining"), Some("999"));
    read.expect(200);
    let ben = person(app, "ben", SystemRole::WalletHolder).await;
    ben.client.post("/wallets", body.clone()).await.expect(201);

    app.clock.advance(3500);
    let tokens = login(app, &ada.email, PASSWORD).await.expect(200);
    let again = super::people::with_token(app, &tokens);
    again.post("/wallets", body.clone()).await.expect(201);
    again.post("/wallets", body).await.refused(429, "rate_limited");
}

async fn each_item_of_a_batch_counts(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::Operator).await;
    let (from, to) = app.client.pair(1000).await;
    let batch = |first: u32, count: u32| {
        let items: Vec<_> = (first..first + count)
            .map(|n| {
                json!({"from": from, "to": to, "amount": 1, "currency": "USD",
                    "idempotency_key": n.to_string()})
            })
            .collect();
        json!({"transfers": items})
    };
    let sent = ada.client.post("/transfers/batch", batch(0, 60)).await;
    sent.expect(200);
    // All or none: what is refused leaves what was left.
    let refused = ada.client.post("/transfers/batch", batch(100, 60)).await;
    refused.refused(429, "rate_limited");
    ada.client.post("/transfers/batch", batch(200, 39)).await.expect(200);
    assert_eq!(app.client.balance(&to).await.0, 99);
    ada.client.transfer(&from, &to, 1).await.refused(429, "rate_limited");
}

async fn a_tenant_sets_its_own_limits(app: &TestApp) {
    let tenant = app.client.get("/tenants/me").await.expect(200);
    let tenant = tenant["id"].as_str().expect("an id").parse().expect("a tenant's");
    let config = r#"{"rate_limits": {"create_wallet_per_hour": 2, "api_key_per_minute": 3}}"#;
    let steps = vec![caudal_store::tenants::set_config(tenant, config)];
    let unit = caudal_store::UnitOfWork { steps, ..caudal_store::UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a commit");
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let body = json!({"currency": "USD"});
    for _ in 0..2 {
        ada.client.post("/wallets", body.clone()).await.expect(201);
    }
    ada.client.post("/wallets", body).await.refused(429, "rate_limited");
    // A key that was not met before: the others are remembered as they were.
    let key = app.client_with(&["wallets:read"]).await;
    for left in ["2", "1", "0"] {
        let read = key.get("/wallets").await;
        assert_eq!(read.header("ratelimit-remaining"), Some(left));
        read.expect(200);
    }
    key.get("/wallets").await.refused(429, "rate_limited");
    app.clock.advance(60);
    key.get("/wallets").await.expect(200);
}

async fn new_limits_are_in_force_at_once(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let key = app.client_with(&["wallets:read"]).await;
    let left = async |client: &caudal_testkit::Client| {
        let answer = client.get("/wallets").await;
        answer.header("ratelimit-limit").map(str::to_owned)
    };
    // Both are remembered with the limits of before.
    assert_eq!((left(&ada.client).await, left(&key).await), (Some("1000".into()), None));
    let limits = json!({"view_per_hour": 500, "api_key_per_minute": 30});
    let config = json!({"config": {"rate_limits": limits}});
    app.client.patch("/tenants/me", config).await.expect(200);
    let now = (left(&ada.client).await, left(&key).await);
    assert_eq!(now, (Some("500".into()), Some("30".into())));
}

async fn keys_without_a_quota_are_not_counted(app: &TestApp) {
    for _ in 0..20 {
        let made = app.client.post("/wallets", json!({"currency": "USD"})).await;
        assert_eq!(made.header("ratelimit-limit"), None);
        made.expect(201);
    }
}

async fn guessing_is_slowed_down(app: &TestApp) {
    // An account that is not there is as slow to guess as one that is.
    for _ in 0..10 {
        login(app, "nobody@example.org", "wrong, wrong, wrong").await.expect(401);
    }
    let refused = login(app, "nobody@example.org", "wrong, wrong, wrong").await;
    refused.refused(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("60"));
    // A right password is not counted.
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    for _ in 0..12 {
        login(app, &ada.email, PASSWORD).await.expect(200);
    }
    // The address has 60 a minute, of whatever accounts; ten are gone.
    for n in 0..50 {
        login(app, &format!("n{n}@example.org"), "wrong, wrong, wrong").await.expect(401);
    }
    login(app, &ada.email, PASSWORD).await.refused(429, "rate_limited");
    app.clock.advance(60);
    login(app, &ada.email, PASSWORD).await.expect(200);
}

/// Ten wrong passwords of ten accounts each, from an address each.
async fn guess_from_many_addresses(app: &TestApp) -> Vec<u16> {
    let mut statuses = Vec::new();
    for n in 0..70 {
        let body = json!({"email": format!("m{n}@example.org"), "password": "wrong, wrong"});
        let call = Call::new("POST", "/auth/login").json(&body);
        let call = call.header("x-forwarded-for", format!("198.51.100.{n}"));
        statuses.push(app.client.without_key().send(call).await.status);
    }
    statuses
}

async fn a_forged_address_changes_nothing(app: &TestApp) {
    let statuses = guess_from_many_addresses(app).await;
    assert!(statuses[..60].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses[60..].iter().all(|status| *status == 429), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_is_believed() {
    let app = TestApp::start_with(Database::sqlite(), |settings| {
        settings.trusted_proxies = "127.0.0.0/8".into();
    })
    .await;
    let statuses = guess_from_many_addresses(&app).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_can_be_switched_off() {
    let app = TestApp::start_with(Database::sqlite(), |settings| {
        settings.rate_limits = caudal::settings::Switch::Off;
    })
    .await;
    let ada = person(&app, "ada", SystemRole::WalletHolder).await;
    for _ in 0..11 {
        let made = ada.client.post("/wallets", json!({"currency": "USD"})).await;
        assert_eq!(made.header("ratelimit-limit"), None);
        made.expect(201);
    }
    app.finish().await;
}
