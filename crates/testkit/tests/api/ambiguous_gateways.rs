//! A gateway that leaves a fifth of its answers unsaid or untrue, under 2,000 card payments: no
//! card is charged twice, no payment is lost, and our books are the gateway's own. Of more of them
//! with `CAUDAL_TEST_AMBIGUOUS_PAYMENTS=100000`.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    time::Duration,
};

use caudal_gateway::simulator::{Settings, Status};
use caudal_testkit::{TestApp, both_databases};
use futures::{StreamExt, stream};
use serde_json::json;

both_databases! { no_card_is_charged_twice_and_no_payment_is_lost }

const PAYMENTS: usize = 2_000;
const MORE: &str = "CAUDAL_TEST_AMBIGUOUS_PAYMENTS";
const CALLERS: usize = 64;
/// The simulator's name for the account.
const ACCOUNT: &str = "sim_ambiguous";
/// Each of four kinds: it happened or not, and a 500 or nothing at all is said.
const EACH_KIND: f64 = 0.05;
/// In a run that comes to its end it takes seconds, for each so many payments.
const LIMIT: Duration = Duration::from_secs(180);

fn simulate(app: &TestApp, settings: Settings) {
    app.instance.simulator.as_ref().expect("one of its own").simulator.set(settings);
}

/// One payment's key, and what it came to.
async fn pay(app: &TestApp, wallet: &str, number: usize) -> String {
    let body = json!({"type": "shaky", "to": wallet, "amount": 100 + number, "currency": "USD",
        "payment_method": "pm_card_visa"});
    let answer =
        app.client.post_as(&format!("shaky-{number}"), "/payments", body).await.expect(201);
    // Time goes on, so that an open breaker closes again.
    app.clock.advance(1);
    answer["id"].as_str().expect("an id").to_owned()
}

/// How many payments there are of each status.
async fn statuses(app: &TestApp) -> BTreeMap<String, usize> {
    let sql = "select status, count(*) from payments group by status";
    let rows = app.instance.store.query("payments", sql, &[]).await.expect("rows");
    let count = |row: &caudal_store::Row| {
        (row.string(0).expect("text"), row.int(1).expect("a number") as usize)
    };
    rows.iter().map(count).collect()
}

async fn no_card_is_charged_twice_and_no_payment_is_lost(app: &TestApp) {
    let client = &app.client;
    let count = std::env::var(MORE).map_or(PAYMENTS, |text| text.parse().expect(MORE));
    let wallet = client.wallet("USD").await;
    let account =
        json!({"kind": "simulator", "name": "shaky", "credentials": {"api_key": ACCOUNT}});
    let account = client.post("/gateway-accounts", account).await.expect(201);
    let kind = json!({"name": "shaky", "via": "gateway",
        "other_currencies": {"gateway_accounts": [account["id"]]}});
    client.post("/payment-types", kind).await.expect(201);
    simulate(
        app,
        Settings {
            p_error: EACH_KIND,
            p_error_after: EACH_KIND,
            p_timeout: EACH_KIND,
            p_timeout_after: EACH_KIND,
            hang_ms: 20,
            ..Settings::default()
        },
    );
    let paying = stream::iter(0..count).map(|number| pay(app, &wallet, number));
    let mut payments: Vec<String> = paying.buffer_unordered(CALLERS).collect().await;
    payments.sort();
    payments.dedup();
    assert_eq!(payments.len(), count);

    simulate(app, Settings::default());
    let settled = async {
        loop {
            let counts = statuses(app).await;
            let waits = ["processing", "queued"].iter().any(|status| counts.contains_key(*status));
            if !waits && known(app) == counts.get("succeeded").copied().unwrap_or_default() {
                return counts;
            }
            // What waits in the queue has an hour; what is unknown is asked after in hours.
            app.clock.advance(if waits { 20 } else { 3600 });
            // Time stands still while somebody works, so that no lease ends under him.
            while app.instance.service.work_on_sagas().await.expect("a database") > 0 {}
        }
    };
    let ended = tokio::time::timeout(LIMIT * (count / PAYMENTS).max(1) as u32, settled)
        .await
        .expect("all come to rest");
    let unknown = ended.get("unknown").copied().unwrap_or_default();
    assert_eq!(ended.values().sum::<usize>(), count);
    writeln!(std::io::stderr(), "{count} payments: {ended:?}").expect("a terminal or a file");
    assert_eq!(ended["succeeded"] + unknown, count, "{ended:?}");

    let ours = client.all(&format!("/payments?wallet={wallet}&status=succeeded")).await;
    let ours: HashMap<&str, i64> = ours
        .iter()
        .map(|payment| {
            let reference = payment["gateway_reference"].as_str().expect("a reference");
            (reference, payment["amount_captured"].as_i64().expect("an amount"))
        })
        .collect();
    let charges = app.instance.simulator.as_ref().expect("one").simulator.charges(ACCOUNT);
    assert_eq!(charges.len(), ours.len(), "each charge has its payment");
    for charge in &charges {
        assert_eq!(charge.status, Status::Succeeded);
        assert_eq!(ours.get(charge.id.as_str()), Some(&charge.amount_captured), "{}", charge.id);
    }
    let captured: i64 = charges.iter().map(|charge| charge.amount_captured).sum();
    assert_eq!(client.balance(&wallet).await.2, captured);
}

/// Charges that the gateway has made.
fn known(app: &TestApp) -> usize {
    app.instance.simulator.as_ref().expect("one").simulator.charges(ACCOUNT).len()
}
