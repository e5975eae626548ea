//! Lists: pages that lose and double nothing, filters, fields; history and balances of any time.

use std::collections::BTreeSet;

use caudal_domain::Clock as _;
use caudal_testkit::{TestApp, both_databases};
use serde_json::{Value, json};

both_databases! {
    pages_lose_and_double_nothing a_wallet_lists_a_transfer_once filters_choose fields_choose
    entries_have_no_gaps balances_of_any_time
}

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// Reads page by page, writing between the pages, and gives what was met.
async fn page_through(app: &TestApp, list: &str, between: impl AsyncFn()) -> Vec<Value> {
    let joint = if list.contains('?') { '&' } else { '?' };
    let mut met = Vec::new();
    let mut next = String::new();
    loop {
        let page = app.client.get(format_args!("{list}{joint}limit=30{next}")).await.expect(200);
        let data = page["data"].as_array().expect("a list");
        assert!(data.len() <= 30);
        met.extend_from_slice(data);
        between().await;
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return met,
        }
    }
}

/// All that was there is met once; what came meanwhile, at most once.
fn assert_complete(list: &str, met: &[Value], wanted: &BTreeSet<String>) {
    let ids: BTreeSet<_> = met.iter().map(id).collect();
    assert_eq!(ids.len(), met.len(), "{list}: something is met twice");
    let lost: Vec<_> = wanted.difference(&ids).collect();
    assert!(lost.is_empty(), "{list}: lost {lost:?}");
}

async fn pages_lose_and_double_nothing(app: &TestApp) {
    let client = &app.client;
    let (from, to) = client.pair(1_000_000).await;
    let mut wallets = BTreeSet::from([from.clone(), to.clone()]);
    let mut transfers = BTreeSet::new();
    for number in 0..250 {
        wallets.insert(client.wallet("USD").await);
        transfers.insert(id(&client.transfer(&from, &to, 1).await.expect(201)));
        if number % 50 == 0 {
            app.clock.advance_micros(700);
        }
    }
    let write = async || {
        for _ in 0..3 {
            client.wallet("USD").await;
            client.transfer(&from, &to, 1).await.expect(201);
        }
    };
    let by_wallet = format!("/transfers?wallet={to}");
    let entries = format!("/wallets/{to}/entries");
    assert_complete("wallets", &page_through(app, "/wallets", write).await, &wallets);
    assert_complete("transfers", &page_through(app, "/transfers", write).await, &transfers);
    assert_complete("of a wallet", &page_through(app, &by_wallet, write).await, &transfers);
    let met = page_through(app, &entries, write).await;
    let versions: BTreeSet<_> = met.iter().map(|entry| entry["version"].as_i64()).collect();
    assert_eq!(versions.len(), met.len());
    assert!((1..=250).all(|version| versions.contains(&Some(version))));
    // A whole page that is the last says so.
    assert_eq!(client.get("/api-keys?limit=1").await.expect(200)["has_more"], false);
}

async fn a_wallet_lists_a_transfer_once(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let mut wanted = BTreeSet::new();
    // Its entries lie far apart: one for the hold, two for its captures.
    let hold = client.hold(&pair, 100, 3600).await;
    for _ in 0..40 {
        wanted.insert(id(&client.transfer(&pair.0, &pair.1, 1).await.expect(201)));
    }
    client.act(&hold, "capture", json!({"amount": 10, "final": false})).await.expect(200);
    for _ in 0..40 {
        wanted.insert(id(&client.transfer(&pair.0, &pair.1, 1).await.expect(201)));
    }
    client.act(&hold, "capture", json!({})).await.expect(200);
    wanted.insert(hold);
    for wallet in [&pair.0, &pair.1] {
        let list = format!("/transfers?wallet={wallet}");
        let met = page_through(app, &list, async || ()).await;
        assert_complete(&list, &met, &wanted);
    }
}

async fn filters_choose(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let euro = client.wallet("EUR").await;
    let start = app.clock.now();
    app.clock.advance(10);
    let reference = json!({"from": pair.0, "to": pair.1, "amount": 5, "currency": "USD",
        "reference": "order 17"});
    let named = id(&client.post("/transfers", reference).await.expect(201));
    let hold = client.hold(&pair, 10, 60).await;
    let lost = client.transfer(&pair.0, &pair.1, 1).await.expect(201);
    client.act(&id(&lost), "reverse", json!({})).await.expect(201);
    client.act(&euro, "freeze", json!({})).await.expect(200);
    let ids = async |path: &str| -> Vec<String> { client.all(path).await.iter().map(id).collect() };
    let wallet = &pair.0;
    assert_eq!(ids("/transfers?reference=order%2017").await, std::slice::from_ref(&named));
    assert_eq!(ids(&format!("/transfers?reference=order+17&wallet={wallet}")).await, [named]);
    assert_eq!(ids("/transfers?reference=order").await, [""; 0]);
    assert_eq!(ids("/transfers?status=held").await, std::slice::from_ref(&hold));
    assert_eq!(ids(&format!("/transfers?status=held&wallet={wallet}")).await, [hold]);
    assert_eq!(ids("/transfers?status=reversed").await, [id(&lost)]);
    assert_eq!(ids(&format!("/transfers?wallet={euro}")).await, [""; 0]);
    assert_eq!(ids("/wallets?currency=EUR").await, std::slice::from_ref(&euro));
    assert_eq!(ids("/wallets?status=frozen").await, std::slice::from_ref(&euro));
    assert_eq!(ids("/wallets?currency=USD&status=frozen").await, [""; 0]);
    // The funding came at the start, all else ten seconds later.
    let later = start.plus_seconds(10);
    for list in ["/transfers".to_owned(), format!("/transfers?wallet={wallet}")] {
        let joint = if list.contains('?') { '&' } else { '?' };
        for (query, count) in [
            (format!("created[gte]={start}"), 5),
            (format!("created[gte]={later}"), 4),
            (format!("created[lt]={later}"), 1),
            (format!("created[lt]={start}"), 0),
            (format!("created[gte]={start}&created[lt]={later}"), 1),
        ] {
            assert_eq!(ids(&format!("{list}{joint}{query}")).await.len(), count, "{list} {query}");
        }
    }
    assert_eq!(ids(&format!("/wallets?created[lt]={start}")).await.len(), 0);
    assert_eq!(ids(&format!("/wallets?created[gte]={start}")).await.len(), 3);
    let empty = format!("/wallets/{wallet}/entries?created[lt]={start}");
    assert_eq!(client.all(&empty).await.len(), 0);
    // No page is empty while others follow, and none follows the last.
    let entries = format!("/wallets/{wallet}/entries");
    let all = client.all(&entries).await.len();
    for (query, limit, count) in [
        (format!("created[lt]={later}"), 1, 1),
        (format!("created[gte]={later}"), 100, all - 1),
        (format!("created[gte]={start}&created[lt]={later}"), 1, 1),
        (format!("created[gte]={later}&created[lt]={start}"), 1, 0),
    ] {
        let page = client.get(format!("{entries}?{query}&limit={limit}")).await.expect(200);
        let told = (page["data"].as_array().map(Vec::len), &page["has_more"]);
        assert_eq!(told, (Some(count), &json!(false)), "{query}");
    }
}

async fn fields_choose(app: &TestApp) {
    let client = &app.client;
    let (from, to) = client.pair(100).await;
    client.transfer(&from, &to, 1).await.expect(201);
    for (list, fields) in [
        ("/wallets".to_owned(), ["balance", "id"]),
        ("/transfers".to_owned(), ["amount", "legs"]),
        (format!("/transfers?wallet={from}"), ["created_at", "status"]),
        (format!("/wallets/{from}/entries"), ["amount", "version"]),
        ("/api-keys".to_owned(), ["name", "scopes"]),
    ] {
        let joint = if list.contains('?') { '&' } else { '?' };
        let found = client.all(&format!("{list}{joint}fields={},{}", fields[0], fields[1])).await;
        assert!(!found.is_empty(), "{list}");
        for item in found {
            let names: Vec<_> = item.as_object().expect("an object").keys().cloned().collect();
            assert_eq!(names, fields, "{list}");
        }
    }
    for key in client.all("/api-keys").await {
        assert!(key.get("key").is_none(), "a secret in a list");
    }
}

async fn entries_have_no_gaps(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let hold = client.hold(&pair, 300, 60).await;
    client.act(&hold, "capture", json!({"amount": 100, "final": false})).await.expect(200);
    client.act(&hold, "void", json!({})).await.expect(200);
    let moved = id(&client.transfer(&pair.0, &pair.1, 50).await.expect(201));
    client.act(&moved, "reverse", json!({"amount": 20})).await.expect(201);
    let entries = client.all(&format!("/wallets/{}/entries", pair.0)).await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let number = |name: &str| entry[name].as_i64().expect("a number");
            [number("version"), number("amount"), number("balance_after"), number("held_after")]
        })
        .collect();
    let wanted = [
        [6, 20, 870, 0],
        [5, -50, 850, 0],
        [4, 0, 900, 0],
        [3, -100, 900, 200],
        [2, 0, 1000, 300],
        [1, 1000, 1000, 0],
    ];
    assert_eq!(told, wanted);
    assert!(
        entries.iter().all(|entry| entry["id"].as_str().is_some_and(|s| s.starts_with("ent_")))
    );
    assert_eq!(entries[4]["transfer_id"].as_str(), Some(hold.as_str()));
}

async fn balances_of_any_time(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let other = client.wallet("USD").await;
    let mut told = vec![(app.clock.now(), [0, 0, 0])];
    let pair = (wallet.clone(), other.clone());
    for step in 1..=9 {
        app.clock.advance(1);
        match step % 3 {
            1 => drop(client.fund(&wallet, 100).await.expect(201)),
            2 => drop(client.hold(&pair, 10, 3600).await),
            // Several at one instant: the last one counts.
            _ => {
                client.transfer(&wallet, &other, 1).await.expect(201);
                client.transfer(&wallet, &other, 2).await.expect(201);
            }
        }
        let (available, held, total) = client.balance(&wallet).await;
        told.push((app.clock.now(), [available, held, total]));
    }
    app.clock.advance(100);
    client.fund(&wallet, 5000).await.expect(201);
    let at = async |micros: i64| {
        let time = caudal_domain::Timestamp::from_micros(micros);
        let path = format!("/wallets/{wallet}/balance?at={time}");
        let balance = client.get(path).await.expect(200)["balance"].clone();
        ["available", "held", "total"].map(|name| balance[name].as_i64().expect("a number"))
    };
    for (step, (time, balance)) in told.iter().enumerate() {
        assert_eq!(at(time.micros()).await, *balance, "at step {step}");
        assert_eq!(at(time.micros() + 999_999).await, *balance, "after step {step}");
        let before = step.checked_sub(1).map_or([0, 0, 0], |step| told[step].1);
        assert_eq!(at(time.micros() - 1).await, before, "before step {step}");
    }
    assert_eq!(at(0).await, [0, 0, 0]);
    let now = client.balance(&wallet).await;
    assert_eq!(at(app.clock.now().micros() + 1_000_000_000).await, [now.0, now.1, now.2]);
}
