//! Many at once: the same money is spent once, given back once, captured or expired but not both.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use caudal_domain::{AccountId, Clock};
use caudal_store::{Step, UnitOfWork};
use caudal_testkit::{Answer, TestApp, at_once, both_databases, until};
use serde_json::json;

both_databases! {
    as_many_win_as_fit credit_has_a_floor reversals_race captures_race_each_other
    captures_race_expiry freezing_races_spending transfers_back_and_forth
    balances_are_made_again_while_they_move
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// Everybody got one of the two answers, `won` of them the first.
#[track_caller]
fn assert_won(answers: &[Answer], (good, won): (u16, usize), (status, code): (u16, &str)) {
    for answer in answers.iter().filter(|answer| answer.status != good) {
        answer.refused(status, code);
    }
    assert_eq!(count(answers, good), won);
}

async fn as_many_win_as_fit(app: &TestApp) {
    let client = &app.client;
    let from = client.funded(5_099).await;
    let mut payees = Vec::new();
    for _ in 0..4 {
        payees.push(client.wallet("USD").await);
    }
    let (caller, payer, all) = (client.clone(), from.clone(), payees.clone());
    let answers = at_once(200, move |number| {
        let (caller, from, to) = (caller.clone(), payer.clone(), all[number % 4].clone());
        async move { caller.transfer(&from, &to, 100).await }
    })
    .await;
    assert_won(&answers, (201, 50), (402, "insufficient_funds"));
    assert_eq!(client.balance(&from).await, (99, 0, 99));
    let mut paid = 0;
    for payee in &payees {
        paid += client.balance(payee).await.2;
    }
    assert_eq!(paid, 5000);
    for entry in client.all(&format!("/wallets/{from}/entries?limit=100")).await {
        assert!(entry["balance_after"].as_i64().expect("a number") >= 0, "{entry}");
    }
}

async fn credit_has_a_floor(app: &TestApp) {
    let client = &app.client;
    let wallet = json!({"currency": "USD", "floor": -1000});
    let wallet = client.post("/wallets", wallet).await.expect(201);
    let pair = (wallet["id"].as_str().expect("an id").to_owned(), client.wallet("USD").await);
    // Half of them hold, half of them pay.
    let (caller, both) = (client.clone(), pair.clone());
    let answers = at_once(200, move |number| {
        let (caller, pair) = (caller.clone(), both.clone());
        async move {
            let mut body = json!({"from": pair.0, "to": pair.1, "amount": 30, "currency": "USD"});
            body["hold"] = (number % 2 == 0).into();
            caller.post("/transfers", body).await
        }
    })
    .await;
    assert_won(&answers, (201, 33), (402, "insufficient_funds"));
    assert_eq!(client.balance(&pair.0).await.0, -990);
}

async fn reversals_race(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let moved = client.transfer(&pair.0, &pair.1, 1000).await.expect(201);
    // Money that could be taken by mistake.
    client.fund(&pair.1, 5000).await.expect(201);
    let id = moved["id"].as_str().expect("an id").to_owned();
    let (caller, transfer) = (client.clone(), id.clone());
    let answers = at_once(100, move |_| {
        let (caller, id) = (caller.clone(), transfer.clone());
        async move { caller.act(&id, "reverse", json!({"amount": 30})).await }
    })
    .await;
    assert_won(&answers, (201, 33), (422, "amount_exceeds_reversible"));
    assert_eq!(client.balance(&pair.0).await, (990, 0, 990));
    assert_eq!(client.read_transfer(&id).await["amount_reversed"], 990);
    let (caller, transfer) = (client.clone(), id.clone());
    let answers = at_once(20, move |_| {
        let (caller, id) = (caller.clone(), transfer.clone());
        async move { caller.act(&id, "reverse", json!({})).await }
    })
    .await;
    assert_won(&answers, (201, 1), (409, "transfer_state"));
    assert_eq!(client.balance(&pair.0).await, (1000, 0, 1000));
    assert_eq!(client.read_transfer(&id).await["status"], "reversed");
}

async fn captures_race_each_other(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(2000).await;
    let hold = client.hold(&pair, 1000, 60).await;
    let (caller, id) = (client.clone(), hold.clone());
    let answers = at_once(100, move |_| {
        let (caller, id) = (caller.clone(), id.clone());
        async move { caller.act(&id, "capture", json!({"amount": 30, "final": false})).await }
    })
    .await;
    assert_won(&answers, (200, 33), (422, "amount_exceeds_held"));
    assert_eq!(client.balance(&pair.0).await, (1000, 10, 1010));
    let (caller, id) = (client.clone(), hold.clone());
    let answers = at_once(50, move |number| {
        let (caller, id) = (caller.clone(), id.clone());
        let verb = if number % 2 == 0 { "capture" } else { "void" };
        async move { caller.act(&id, verb, json!({})).await }
    })
    .await;
    assert_won(&answers, (200, 1), (409, "transfer_state"));
    let (available, held, total) = client.balance(&pair.0).await;
    assert_eq!((available, held), (total, 0));
    assert_eq!(total + client.balance(&pair.1).await.2, 2000);
}

async fn captures_race_expiry(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(4000).await;
    let mut holds = Vec::new();
    for _ in 0..40 {
        holds.push(client.hold(&pair, 100, 60).await);
    }
    app.clock.advance_micros(59_999_990);
    let (caller, clock, ids) = (client.clone(), app.clock.clone(), holds.clone());
    let answers = at_once(40, move |number| {
        let (caller, clock, id) = (caller.clone(), clock.clone(), ids[number].clone());
        async move {
            // Their time comes while they are captured.
            clock.advance_micros(1);
            caller.act(&id, "capture", json!({})).await
        }
    })
    .await;
    let captured = count(&answers, 200);
    assert_won(&answers, (200, captured), (409, "transfer_state"));
    until("every hold ended", async || client.all("/transfers?status=held").await.is_empty()).await;
    let taken = 100 * captured as i64;
    assert_eq!(client.balance(&pair.0).await, (4000 - taken, 0, 4000 - taken));
    assert_eq!(client.balance(&pair.1).await, (taken, 0, taken));
    for (hold, answer) in holds.iter().zip(&answers) {
        let wanted = if answer.status == 200 { "captured" } else { "expired" };
        assert_eq!(client.read_transfer(hold).await["status"], wanted);
    }
}

async fn freezing_races_spending(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let (caller, both) = (client.clone(), pair.clone());
    let answers = at_once(101, move |number| {
        let (caller, pair) = (caller.clone(), both.clone());
        async move {
            match number {
                50 => caller.act(&pair.0, "freeze", json!({})).await,
                _ => caller.transfer(&pair.0, &pair.1, 1).await,
            }
        }
    })
    .await;
    assert_eq!(answers[50].status, 200);
    let won = count(&answers, 201);
    assert_eq!(count(&answers, 409), 100 - won);
    // What was paid after the freeze would show here.
    client.transfer(&pair.0, &pair.1, 1).await.refused(409, "wallet_frozen");
    assert_eq!(client.balance(&pair.1).await.2, won as i64);
}

async fn transfers_back_and_forth(app: &TestApp) {
    let client = &app.client;
    let mut wallets = Vec::new();
    for _ in 0..5 {
        wallets.push(client.funded(1000).await);
    }
    let (caller, ring) = (client.clone(), wallets.clone());
    // Every pair in both directions at once: a deadlock would show as a 503 or a wait.
    let answers = at_once(300, move |number| {
        let caller = caller.clone();
        let (from, to) = (number % 5, (number % 5 + 1 + number / 5 % 4) % 5);
        let (from, to) = (ring[from].clone(), ring[to].clone());
        async move { caller.transfer(&from, &to, 1).await }
    })
    .await;
    assert_eq!(count(&answers, 201), 300);
    let mut total = 0;
    for wallet in &wallets {
        total += client.balance(wallet).await.2;
    }
    assert_eq!(total, 5000);
}

/// Shifts what an account shows, behind the books' back.
async fn falsify(app: &TestApp, wallet: &str, by: i64) {
    let id: AccountId = wallet.parse().expect("an id");
    let sql = match app.database_url().starts_with("sqlite") {
        true => {
            "update entries set balance_after = balance_after + $2 where account_id = $1
             and version = (select max(version) from entries where account_id = $1)"
        }
        false => "update accounts set total = total + $2 where id = $1",
    };
    let steps = vec![Step::new(sql, vec![id.0.into(), by.into()])];
    let unit = UnitOfWork { at: app.clock.now(), steps, ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a commit");
}

async fn balances_are_made_again_while_they_move(app: &TestApp) {
    let pair = app.client.pair(100_000).await;
    let beside = app.client.funded(7).await;
    let stop = Arc::new(AtomicBool::new(false));
    let movers: Vec<_> = (0..8)
        .map(|_| {
            let (client, pair, stop) = (app.client.clone(), pair.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.transfer(&pair.0, &pair.1, 1).await.expect(201);
                }
            })
        })
        .collect();
    let rebuild = async || app.instance.service.rebuild().await.expect("a comparison").differences;
    for _ in 0..10 {
        assert_eq!(rebuild().await, Vec::<String>::new());
    }
    falsify(app, &beside, 1).await;
    let found = rebuild().await;
    falsify(app, &beside, -1).await;
    stop.store(true, Ordering::Relaxed);
    for mover in movers {
        mover.await.expect("transfers go well");
    }
    assert!(found.len() == 1 && found[0].starts_with(&beside), "{found:?}");
}
