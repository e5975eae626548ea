//! Settlement: a gateway's file against what is here, every difference by its name; what it paid
//! to the bank is booked once.

use caudal_domain::{Clock, TenantId};
use caudal_gateway::simulator::{Settings, WebhookSettings};
use caudal_service::settlements::{SettlementLine, SettlementReport, read_settlement};
use caudal_testkit::{Answer, Call, Client, TestApp, both_databases, until};
use futures::future::join_all;
use serde_json::{Value, json};

use super::payments_at_gateways::leap_until;

both_databases! {
    the_file_of_a_day_agrees_and_differences_are_named what_is_paid_to_the_bank_is_booked_once
    a_fee_that_its_payer_bears_is_in_the_file settlements_refuse_nonsense
    what_took_two_days_is_asked_of_both_files what_came_back_is_in_the_file
}

const ACCOUNT: &str = "sim_test_settled";
const DAY_S: i64 = 86_400;

/// A type of payments through an account of its own at the simulator; the account's id.
async fn account(app: &TestApp, bearer: &str) -> String {
    let credentials = json!({"api_key": ACCOUNT, "webhook_secrets": ["a-secret-of-ours"]});
    let new = json!({"kind": "simulator", "name": "settled", "credentials": credentials});
    let made = app.client.post("/gateway-accounts", new).await.expect(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    let rules = json!({"fee": {"fixed": 10, "basis_points": 100}, "gateway_accounts": [id]});
    let new = json!({"name": "settled", "via": "gateway", "fee_bearer": bearer,
        "fee_return": "proportional", "currencies": {"USD": rules}});
    app.client.post("/payment-types", new).await.expect(201);
    id
}

async fn pay(app: &TestApp, wallet: &str, amount: i64, method: &str) -> String {
    let body = json!({"type": "settled", "amount": amount, "currency": "USD", "to": wallet,
        "payment_method": method});
    let paid = app.client.post("/payments", body).await.expect(201);
    assert_eq!(paid["status"], "succeeded", "{paid}");
    paid["id"].as_str().expect("an id").to_owned()
}

async fn refund(app: &TestApp, payment: &str, amount: i64) -> Value {
    let path = format!("/payments/{payment}/refunds");
    app.client.post(path, json!({"amount": amount})).await.expect(201)
}

/// The file of a day, `ago` days before today, as its account gets it from the simulator.
async fn file(app: &TestApp, ago: i64) -> String {
    let date = app.clock.now().plus_seconds(-ago * DAY_S).to_string()[..10].to_owned();
    let url = &app.instance.simulator.as_ref().expect("a simulator").url;
    let addr = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
    let simulator = Client::new(addr.parse().expect("an address"), None);
    let path = format!("/settlement.csv?account={ACCOUNT}&day={date}");
    let answer = simulator.send(Call::absolute("GET", &path)).await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.bytes.to_vec()).expect("a text")
}

async fn check(app: &TestApp, tenant: TenantId, (file, near): (&str, i64)) -> SettlementReport {
    let lines: Vec<SettlementLine> = read_settlement(file).expect("a file");
    app.instance.service.check_settlement(tenant, &lines, near).await.expect("a report")
}

fn webhooks(app: &TestApp, hold: bool) {
    let webhooks = WebhookSettings { hold, ..WebhookSettings::default() };
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    simulator.set(Settings { webhooks, ..Settings::default() });
}

/// Three payments of one day, one of them refunded in part, one disputed, and a payout.
async fn day(app: &TestApp, wallet: &str, account: &str) -> [String; 3] {
    let one = pay(app, wallet, 1000, "pm_card_visa").await;
    let two = pay(app, wallet, 2000, "pm_card_visa").await;
    // Told of a dispute before its payment is booked, we would ask again later.
    webhooks(app, true);
    let disputed = pay(app, wallet, 3000, "pm_card_createDispute").await;
    webhooks(app, false);
    refund(app, &one, 100).await;
    until("the dispute", async || !app.client.all("/disputes").await.is_empty()).await;
    let body = json!({"wallet": wallet, "amount": 500, "destination": "ba_ok",
        "gateway_account": account});
    let payout = app.client.post("/payouts", body).await.expect(201);
    let path = format!("/payouts/{}", payout["id"].as_str().expect("an id"));
    let is_paid = async || app.client.get(&path).await.expect(200)["status"] == "paid";
    leap_until(app, "paid", 5, is_paid).await;
    [one, two, disputed]
}

/// The gateway's name of a payment's charge.
async fn charge(app: &TestApp, payment: &str) -> String {
    let payment = app.client.get(format!("/payments/{payment}")).await.expect(200);
    payment["gateway_reference"].as_str().expect("a name").to_owned()
}

/// The only line that begins so.
fn line<'a>(file: &'a str, start: &str) -> &'a str {
    let mut found = file.lines().filter(|line| line.starts_with(start));
    let line = found.next().unwrap_or_else(|| panic!("no {start} in {file}"));
    assert!(found.next().is_none(), "{file}");
    line
}

async fn the_file_of_a_day_agrees_and_differences_are_named(app: &TestApp) {
    let (tenant, wallet) = (app.tenant_id().await, app.client.wallet("USD").await);
    let account = account(app, "payee").await;
    let [one, two, _] = day(app, &wallet, &account).await;
    let open = file(app, 0).await;
    assert!(!open.contains("settlement,"), "the day is not over: {open}");
    assert_eq!(check(app, tenant, (&open, 0)).await.differences, Vec::<String>::new());
    app.clock.advance(DAY_S);
    // What happens to it later is in the files of later days.
    refund(app, &one, 200).await;
    let good = file(app, 1).await;
    let report = check(app, tenant, (&good, 0)).await;
    assert_eq!(report.differences, Vec::<String>::new(), "{good}");
    assert_eq!((report.matched, report.settlements.len()), (6, 1), "{good}");
    let next = file(app, 0).await;
    assert_eq!(check(app, tenant, (&next, 0)).await.differences, Vec::<String>::new(), "{next}");

    let first = charge(app, &one).await;
    let second = charge(app, &two).await;
    let ones = line(&good, &format!("charge,{first},")).to_owned();
    let twos = line(&good, &format!("charge,{second},")).to_owned();
    let without = |line: &str| good.replace(&format!("{line}\r\n"), "");
    let refunded = line(&good, "refund,").to_owned();
    let dispute = line(&good, "dispute,").to_owned();
    let settled = line(&good, "settlement,").to_owned();
    let both = ones.replace(&format!(",{first},{first},"), &format!(",sum,{first} {second},"));
    let both = both.replace(",1000,59,", ",3000,0,");
    let summed = without(&twos).replace(&ones, &both);
    for (file, near, named) in [
        (without(&ones), 9999, vec!["(sim_ch_", ") of 1000 USD is not in the file"]),
        (without(&refunded), 9999, vec!["ref_", "of 100 USD is not in the file"]),
        (without(&dispute), 9999, vec!["dsp_", "of 3000 USD is not in the file"]),
        (without(line(&good, "payout,")), 9999, vec!["po_", "of 500 USD is not in the file"]),
        (
            good.replace(&ones, &format!("{ones}\r\n{ones}")),
            0,
            vec!["line 2: charge", "2000 USD in the file, 1000 USD here"],
        ),
        (
            good.replace(&ones, &format!("{ones}\r\n{}", ones.replace(&first, "sim_ch_x"))),
            1500,
            vec!["line 3: charge sim_ch_x of 1000 USD has no payment"],
        ),
        (good.replace(&ones, &ones.replace(",1000,59,", ",1001,60,")), 0, vec!["1001 USD in the"]),
        (good.replace(&ones, &ones.replace(",1000,59,", ",1001,60,")), 1, vec![]),
        (
            good.replace(&refunded, &refunded.replace(",-100,", ",-101,")),
            0,
            vec!["refund", "-101 USD in the file, -100 USD here"],
        ),
        (good.replace(",USD,", ",EUR,"), 9999, vec!["EUR in the file"]),
        (
            good.replace(&settled, &settled.replace(",-", ",-1")),
            0,
            vec!["settlement sim_st_", "but its"],
        ),
        // One line for several payments, and what is then there twice.
        (summed.clone(), 200, vec![]),
        (summed.replace(",3000,0,", ",2999,0,"), 0, vec!["2999 USD in the file, 3000 USD here"]),
        (summed.replace(&both, &format!("{both}\r\n{twos}")), 9999, vec!["is in line 2 too"]),
        (summed.replace(&format!(" {second}"), " sim_ch_y"), 9999, vec!["sim_ch_y of 3000"]),
        (ones_twice(&good, &ones, &first), 9999, vec!["line 2: charge", &first, "is in it twice"]),
        // The day is over: what is not in its file is missing, however early the file ends.
        (
            good.lines().take(2).collect::<Vec<_>>().join("\r\n"),
            9999,
            vec!["of 2000 USD is not in"],
        ),
    ] {
        let found = check(app, tenant, (&file, near)).await.differences;
        let is_named = |it: &String| named.iter().all(|part| it.contains(part));
        assert_eq!(found.is_empty(), named.is_empty(), "{named:?} {file}{found:#?}");
        assert!(named.is_empty() || found.iter().any(is_named), "{named:?} {file}{found:#?}");
    }
    let strange = check(app, TenantId(9), (&good, 0)).await.differences;
    assert_eq!(strange.len(), 6, "another tenant's are unknown: {strange:#?}");
}

fn ones_twice(file: &str, line: &str, reference: &str) -> String {
    let twice = line
        .replace(&format!(",{reference},{reference},"), &format!(",sum,{reference} {reference},"));
    file.replace(line, &twice.replace(",1000,59,", ",2000,0,"))
}

async fn what_came_back_is_in_the_file(app: &TestApp) {
    let client = &app.client;
    let (tenant, wallet) = (app.tenant_id().await, client.wallet("USD").await);
    // All of it on one day, however long that takes.
    app.clock.advance(DAY_S - app.clock.now().micros() / 1_000_000 % DAY_S);
    let account = account(app, "payee").await;
    let ended = async |path: String, status: &str| {
        let is_so = async || client.get(&path).await.expect(200)["status"] == status;
        leap_until(app, status, 20, is_so).await;
    };
    let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
    let failing = pay(app, &wallet, 1000, "pm_card_refundFail").await;
    let refunded = id(&refund(app, &failing, 100).await);
    ended(format!("/refunds/{refunded}"), "failed").await;
    let body = json!({"wallet": wallet, "amount": 500, "destination": "ba_returned",
        "gateway_account": account});
    let payout = id(&client.post("/payouts", body).await.expect(201));
    ended(format!("/payouts/{payout}"), "returned").await;
    webhooks(app, true);
    pay(app, &wallet, 3000, "pm_card_createDispute").await;
    webhooks(app, false);
    let mut disputes = Vec::new();
    until("the dispute", async || {
        disputes = client.all("/disputes").await;
        !disputes.is_empty()
    })
    .await;
    let dispute = id(&disputes[0]);
    let evidence = json!({"text": "winning_evidence"});
    client.post(format!("/disputes/{dispute}/evidence"), evidence).await.expect(200);
    ended(format!("/disputes/{dispute}"), "won").await;
    app.clock.advance(DAY_S);
    let good = file(app, 1).await;
    let report = check(app, tenant, (&good, 0)).await;
    assert_eq!((report.differences, report.open), (vec![], vec![]), "{good}");
    for (kind, missing) in
        [("refund_failed,", refunded), ("payout_returned,", payout), ("dispute_won,", dispute)]
    {
        let without = good.replace(&format!("{}\r\n", line(&good, kind)), "");
        let found = check(app, tenant, (&without, 9999)).await.differences;
        assert!(matches!(&found[..], [one] if one.contains(&missing)), "{kind} {found:?}");
    }
}

async fn what_took_two_days_is_asked_of_both_files(app: &TestApp) {
    let (tenant, wallet) = (app.tenant_id().await, app.client.wallet("USD").await);
    account(app, "payee").await;
    let one = pay(app, &wallet, 1000, "pm_card_pendingRefund").await;
    let refunded = refund(app, &one, 100).await;
    assert_eq!(refunded["status"], "pending");
    app.clock.advance(DAY_S);
    // So that the second day has a file.
    pay(app, &wallet, 2000, "pm_card_visa").await;
    let path = format!("/refunds/{}", refunded["id"].as_str().expect("an id"));
    let is_refunded = async || app.client.get(&path).await.expect(200)["status"] == "succeeded";
    leap_until(app, "the refund", 60, is_refunded).await;
    app.clock.advance(DAY_S);
    let files = [file(app, 2).await, file(app, 1).await];
    let mut open = Vec::new();
    for file in &files {
        let report = check(app, tenant, (file, 0)).await;
        assert_eq!(report.differences, Vec::<String>::new(), "{file}");
        open.extend(report.open);
    }
    assert!(matches!(&open[..], [one] if one.contains("ref_")), "{open:?} {files:#?}");
    let (_, second) = files[1].split_once("\r\n").expect("a header");
    let both = format!("{}{second}", files[0]);
    let report = check(app, tenant, (&both, 0)).await;
    assert_eq!((report.differences.len(), report.open.len()), (0, 0), "{report:#?}");
    let without = both.replace(&format!("{}\r\n", line(&both, "refund,")), "");
    let report = check(app, tenant, (&without, 9999)).await;
    assert!(matches!(&report.differences[..], [one] if one.contains("ref_")), "{report:#?}");
}

async fn tell(app: &TestApp, (key, account): (&str, &str), body: &Value) -> Answer {
    let path = format!("/gateway-accounts/{account}/settlements");
    app.client.post_as(key, path, body.clone()).await
}

/// What lies on the tenant's own account of this kind, as books say it.
async fn total(app: &TestApp, kind: &str) -> i128 {
    let tenant = app.tenant_id().await;
    let report = app.instance.service.reconcile(Some(tenant)).await.expect("a report");
    assert!(report.is_proven());
    let lines = report.trial_balance.iter();
    let own = lines.filter(|it| it.kind.starts_with(kind) && it.currency == "USD");
    own.map(|it| it.total.parse::<i128>().expect("a number")).sum()
}

async fn what_is_paid_to_the_bank_is_booked_once(app: &TestApp) {
    let (tenant, wallet) = (app.tenant_id().await, app.client.wallet("USD").await);
    let account = account(app, "payee").await;
    day(app, &wallet, &account).await;
    app.clock.advance(DAY_S);
    let good = file(app, 1).await;
    let report = check(app, tenant, (&good, 0)).await;
    let (paid, is_booked) = report.settlements[0].clone();
    // 59 + 88 + 117 of charges, 1,500 of the dispute.
    assert_eq!((paid.amount, paid.fee, is_booked), (2900, 1764, false), "{good}");
    let (bank, owed) = (total(app, "bank").await, total(app, "gateway_receivable").await);
    assert_eq!(owed, -2900);
    let body = json!({"reference": paid.reference, "amount": paid.amount, "fee": paid.fee,
        "currency": "USD"});
    let keys: Vec<_> = (0..8).map(|n| format!("k{}", n / 2)).collect();
    let told = join_all(keys.iter().map(|key| tell(app, (key, &account), &body))).await;
    let ids: Vec<_> = told.into_iter().map(|it| it.expect(201)["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for (kind, wanted) in
        [("gateway_receivable", 0), ("bank", bank - 2900 + 1764), ("gateway_fees", -1764)]
    {
        assert_eq!(total(app, kind).await, wanted, "{kind}");
    }
    let other = json!({"reference": paid.reference, "amount": paid.amount, "fee": 0,
        "currency": "USD"});
    tell(app, ("other", &account), &other).await.refused(409, "settlement_booked");
    tell(app, ("other", &account), &other).await.refused(409, "settlement_booked");
    assert_eq!(total(app, "gateway_receivable").await, 0);
    let report = check(app, tenant, (&good, 0)).await;
    assert_eq!((report.differences.len(), report.settlements[0].1), (0, true));
    let off = good.replace(",1000,59,", ",1001,60,");
    let found = check(app, tenant, (&off, 1)).await.differences;
    assert!(found.iter().any(|it| it.contains("2900 less 1764 are booked")), "{found:#?}");
    let acts = app.client.all(&format!("/audit?object={account}")).await;
    let booked = acts.iter().filter(|it| it["action"] == "gateway.settled").count();
    assert_eq!(booked, 1, "{acts:#?}");
    // A day of refunds: the gateway takes from the bank.
    let back = json!({"reference": "next", "amount": -40, "fee": 3, "currency": "USD"});
    tell(app, ("back", &account), &back).await.expect(201);
    assert!(tell(app, ("back", &account), &back).await.is_replay());
    tell(app, ("back", &account), &other).await.refused(422, "idempotency_mismatch");
    assert_eq!(total(app, "gateway_receivable").await, -40);
}

async fn a_fee_that_its_payer_bears_is_in_the_file(app: &TestApp) {
    let (tenant, wallet) = (app.tenant_id().await, app.client.wallet("USD").await);
    account(app, "payer").await;
    let payment = pay(app, &wallet, 1000, "pm_card_visa").await;
    refund(app, &payment, 500).await;
    app.clock.advance(DAY_S);
    let good = file(app, 1).await;
    assert!(good.contains(",1020,") && good.contains(",-510,"), "{good}");
    assert_eq!(check(app, tenant, (&good, 0)).await.differences, Vec::<String>::new(), "{good}");
}

async fn settlements_refuse_nonsense(app: &TestApp) {
    let account = account(app, "payee").await;
    let good = json!({"reference": "po_1", "amount": 5, "fee": 1, "currency": "USD"});
    for (field, value) in [
        ("reference", json!("")),
        ("amount", json!(1.5)),
        ("amount", json!(1i64 << 53)),
        ("fee", json!(-(1i64 << 53))),
        ("currency", json!("usd")),
        ("what", json!(1)),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = tell(app, ("bad", &account), &body).await;
        answer.refused_as(&body.to_string(), 400, "invalid_request");
        assert_eq!(answer.json["param"], field, "{body}");
    }
    let nothing = json!({"reference": "po_1", "amount": 0, "currency": "USD"});
    tell(app, ("bad", &account), &nothing).await.refused(400, "invalid_request");
    let unknown = "gwa_00000000000000000000000007";
    tell(app, ("bad", unknown), &good).await.refused(404, "gateway_account_not_found");
    let path = format!("/gateway-accounts/{account}/settlements");
    let foreign = app.tenant("test").await;
    foreign.post(&path, good.clone()).await.refused(404, "gateway_account_not_found");
    let narrow = app.client_with(&["treasury:bank", "gateway_accounts:write"]).await;
    narrow.post(&path, good).await.refused(403, "forbidden");
}
