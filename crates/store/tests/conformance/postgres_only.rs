//! What only a server has: partitions and roles.

use std::{collections::BTreeSet, process::Command};

use caudal_domain::{AccountId, Fingerprint, ReceiptKey, TenantId};
use caudal_store::{
    Answer, Locked, Locks, Receipt, Row, Step, StoreError, UnitOfWork, UnitOutcome, Writes,
    payment_attempts::{self, Ended},
    payments, sagas, second_factors, tenants,
    users::{self, Entering, UserRow},
    velocity_turns::{self, VelocityTurn},
    wallets,
};
use futures::{future::join_all, poll};

use super::{
    attachments::rows,
    batches::look_through,
    fixtures::{
        Batch, commit, done, funded, new_tenant, new_user, new_wallet, outcome, pay, post, seconds,
        tenant, usd, wallet,
    },
    payments::new_payment,
    sagas::saga,
    sessions::with_password_alone,
    stage::{START, Stage},
};

/// Partitions of `table` that the plan of `sql` names.
async fn partitions(stage: &Stage, table: &str, sql: &str) -> BTreeSet<String> {
    let plan = stage.client().query(&format!("explain (costs off) {sql}"), &[]).await.unwrap();
    let lines = plan.iter().map(|row| row.get::<_, String>(0));
    let words =
        lines.flat_map(|line| line.split([' ', '(', ')']).map(str::to_owned).collect::<Vec<_>>());
    let start = format!("{table}_");
    words
        .filter(|word| {
            let rest = word.strip_prefix(&start);
            // Not its indices, whose names go on with `_pkey` and the like.
            rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '_'))
        })
        .collect()
}

pub async fn look_ups_by_id_prune(stage: &Stage) {
    let account = stage.literal(stage.id(START, 77));
    let by_id = format!("where bucket = 77 and id = {account}");
    for (table, condition) in [
        ("accounts", by_id.clone()),
        ("transfers", by_id.clone()),
        ("payments", format!("{by_id} and tenant_id = {account}")),
        ("payments", format!("{by_id} and tenant_id = {account} and version = 2 - 1")),
        ("entries", format!("where bucket = 77 and account_id = {account} and version < 9")),
        ("receipts", format!("where generation = 1 and bucket = 77 and key = {account}")),
    ] {
        let named = partitions(stage, table, &format!("select * from {table} {condition}")).await;
        assert_eq!(named.len(), 1, "{table}: {named:?}");
        let all = partitions(stage, table, &format!("select * from {table}")).await;
        assert!(all.len() > 1, "{table}: {all:?}");
    }
}

/// Plans are made once, often while the tables are still empty: what looks easy then must not be a
/// walk through a tenant's rows later. The settings are those of a lane (`postgres/connect.rs`).
pub async fn lists_find_rows_by_key(stage: &Stage) {
    let (client, acme) = (stage.client(), tenant(stage).await);
    let settings = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
         set enable_mergejoin = off; set enable_hashjoin = off; set enable_bitmapscan = off;
         set enable_material = off; set random_page_cost = 0.1";
    client.batch_execute(settings).await.unwrap();
    let (payment, saga) = (new_payment(stage, acme, 1), saga(stage, acme, 1));
    let turn = VelocityTurn { id: 1, at: START, version: 2 };
    let (outcome, nothing) = ("succeeded".to_owned(), None::<String>);
    let (reference, decline_code, detail) = (nothing.clone(), nothing.clone(), nothing);
    let ended = Ended { at: START, outcome, reference, decline_code, detail };
    let steps = [
        payments::update(&payment),
        sagas::advance(&saga),
        sagas::finish(&saga, "succeeded", START),
        payment_attempts::end(acme, (payment.id, 1), &ended),
        velocity_turns::update(&turn),
    ];
    for step in steps {
        let sql = step.of_lists.expect("lists").sql;
        client.batch_execute(&format!("prepare asked as {sql}")).await.unwrap();
        let nulls = vec!["null"; step.params.len()].join(", ");
        let explain = format!("explain (costs off) execute asked ({nulls})");
        let rows = client.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let scans: Vec<&String> = plan.iter().filter(|line| line.contains(" Scan ")).collect();
        let is_by_key = |line: &&String| line.contains("_pkey on ") || line.contains("Function");
        assert!(scans.len() > 1 && scans.iter().all(is_by_key), "{}", plan.join("\n"));
        client.batch_execute("deallocate asked").await.unwrap();
    }
    client.batch_execute("reset all").await.unwrap();
}

/// Whoever looks for others as well may go away.
pub async fn a_look_for_many_is_taken_over(stage: &Stage) {
    let (db, acme) = (stage.store.as_ref(), tenant(stage).await);
    let mut accounts = Vec::new();
    for bucket in 0..3 {
        let wallet = new_wallet(stage, acme, usd(), bucket);
        done(stage, wallets::insert(&wallet, true)).await;
        accounts.push(wallet.account);
    }
    let [mut first, mut second, mut third] =
        [0, 1, 2].map(|place: usize| Box::pin(db.account(acme, accounts[place].id)));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    assert!(poll!(&mut third).is_pending());
    assert_eq!(first.await.unwrap(), Some(accounts[0]));
    assert!(poll!(&mut second).is_pending(), "it looks for itself and the third");
    drop(second);
    assert_eq!(third.await.unwrap(), Some(accounts[2]));
}

/// Goes on when the test ends, however it ends.
struct Frozen(String);

impl Frozen {
    /// The backend whose last statement was like this.
    async fn after(stage: &Stage, statement: &str) -> Self {
        let sql = "select pid::text from pg_stat_activity
             where datname = current_database() and query like $1 and pid <> pg_backend_pid()";
        let found = stage.client().query_one(sql, &[&statement]).await.unwrap();
        let frozen = Self(found.get(0));
        frozen.signal("-STOP");
        frozen
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

/// Many wait for one look: a backend that freezes holds them up for seconds, and nobody after.
pub async fn a_frozen_look_is_given_up(stage: &Stage) {
    let (db, acme) = (stage.store.as_ref(), tenant(stage).await);
    let wallet = new_wallet(stage, acme, usd(), 9);
    done(stage, wallets::insert(&wallet, true)).await;
    let account = wallet.account;
    assert_eq!(db.account(acme, account.id).await.unwrap(), Some(account));
    let _frozen = Frozen::after(stage, "% k (bucket, id, tenant)%").await;
    let looked = join_all((0..10).map(|_| db.account(acme, account.id))).await;
    assert!(looked.iter().any(|found| matches!(found, Err(StoreError::Unavailable(_)))));
    assert_eq!(db.account(acme, account.id).await.unwrap(), Some(account));
}

/// Its server's own time limit does not help where the backend itself stands still.
pub async fn a_frozen_read_is_given_up(stage: &Stage) {
    let (db, acme) = (stage.store.as_ref(), tenant(stage).await);
    assert!(tenants::find(db, acme).await.unwrap().is_some());
    let _frozen = Frozen::after(stage, "%from tenants%").await;
    let read = tenants::find(db, acme).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(tenants::find(db, acme).await.unwrap().is_some());
}

/// Until somebody waits for a lock of this database.
async fn somebody_waits(stage: &Stage) {
    let sql = "select 1 from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..10_000 {
        if !stage.client().query(sql, &[]).await.unwrap().is_empty() {
            return;
        }
    }
    panic!("nobody waits");
}

/// What the login waited for is heeded, also where another table tells it.
pub async fn a_login_heeds_what_it_waited_for(stage: &Stage) {
    let acme = tenant(stage).await;
    let ada = UserRow { password: Some("phc".into()), ..new_user(stage, acme) };
    let proposed = second_factors::propose_totp(acme, ada.id, "seed");
    done(stage, vec![users::insert(&ada), proposed]).await;
    let id = stage.literal(ada.id.0);
    let entering = Entering { tenant: acme, id: ada.id, password: "phc".into(), at: seconds(1) };
    let confirm = format!(
        "update users set version = version where id = {id};
         update totp set confirmed_at = now(), last_step = 1 where user_id = {id}"
    );
    let change = format!("update users set password = 'other' where id = {id}");
    for (meanwhile, missed) in [(confirm, 1), (change, 0)] {
        stage.raw(&format!("begin; {meanwhile}")).await;
        let mut steps = vec![users::login_succeeded(&entering)];
        steps.extend(with_password_alone(stage, acme, ada.id));
        let store = stage.store.clone();
        let login = tokio::spawn(async move { outcome(&store, steps).await });
        somebody_waits(stage).await;
        stage.raw("commit").await;
        assert_eq!(login.await.unwrap(), UnitOutcome::Missed(missed), "{meanwhile}");
    }
}

/// What can't be sent at all must not leave the rest of the unit to be committed.
pub async fn a_value_that_can_not_be_sent_changes_nothing(stage: &Stage) {
    let acme = new_tenant(stage, "Acme");
    let sql = "insert into relay_positions (relay, stream, seq) values ($1, $2, 1)";
    let too_large = Step::new(sql, vec!["relay".into(), 70_000i64.into()]);
    let steps = vec![tenants::insert(&acme), too_large];
    let unit = UnitOfWork { at: START, steps, ..UnitOfWork::default() };
    let answer = stage.store.commit(unit).await;
    assert!(matches!(answer, Err(StoreError::Rejected(_))), "a stream is a smallint: {answer:?}");
    assert_eq!(tenants::find(stage.store.as_ref(), acme.id).await.unwrap(), None);
}

/// Whoever asked went away while its unit waited for the key: nothing of it goes on in the
/// connection that the next one gets.
pub async fn a_unit_given_up_leaves_nothing_open(stage: &Stage) {
    let receipt = Receipt {
        key: ReceiptKey::new(TenantId(1), 2, "key"),
        fingerprint: Fingerprint(7),
        answer: Answer::Said("done".into()),
    };
    stage.raw(&format!("select pg_advisory_lock({})", receipt.key.0 as i64)).await;
    let acme = new_tenant(stage, "Acme");
    let steps = vec![tenants::insert(&acme)];
    let receipt = Some(receipt);
    let unit = UnitOfWork { at: START, steps, receipt, ..UnitOfWork::default() };
    let store = stage.store.clone();
    let asked = tokio::spawn(async move { store.commit(unit).await });
    somebody_waits(stage).await;
    asked.abort();
    assert!(asked.await.is_err_and(|error| error.is_cancelled()));
    stage.raw("select pg_advisory_unlock_all()").await;
    let micros = "(extract(epoch from clock_timestamp()) * 1000000)::bigint";
    let then = stage.client().query_one(&format!("select {micros}"), &[]).await.unwrap();
    let then: i64 = then.get(0);
    let db = stage.store.as_ref();
    let begun = micros.replace("clock_timestamp", "transaction_timestamp");
    for _ in 0..8 {
        let rows = db.query("", &format!("select {begun}"), &[]).await.unwrap();
        assert!(rows[0].int(0).unwrap() >= then, "a transaction of somebody else's");
    }
    assert_eq!(tenants::find(db, acme.id).await.unwrap(), None);
}

/// What another writer holds is passed over on request, and is there again when it is through. What
/// does not exist is not.
pub async fn held_accounts_are_passed_over(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let unknown = AccountId(stage.id(START, 250));
    let locks = |pass_over| {
        let payments = vec![pay(a, b, 1), pay(a, unknown, 1)];
        Locks { pass_over, ..Batch::of(tenant, seconds(5), payments).locks() }
    };
    let ids =
        |locked: &Locked| locked.accounts.iter().map(|account| account.id).collect::<Vec<_>>();
    let (mut first, mut second) = (stage.store.lane(), stage.store.lane());
    // Of the second round the lane knows that `a` exists.
    for total in [100, 99] {
        first.lock_ahead(&[a]).await.unwrap();
        let seen = look_through(second.as_mut(), locks(true)).await;
        assert_eq!((ids(&seen), seen.passed), (vec![b], vec![a]));

        // Who waited first finds its own among all.
        let batch = Batch::of(tenant, seconds(5), vec![pay(a, b, 1)]);
        let (decided, _) = commit(stage, first.as_mut(), batch).await.unwrap();
        assert!(decided[0].is_ok());
        for pass_over in [false, true] {
            let seen = look_through(second.as_mut(), locks(pass_over)).await;
            assert_eq!((ids(&seen), seen.passed), (vec![a, b], vec![]));
            assert_eq!(seen.accounts[0].total, total - 1);
        }
    }
}

/// The wait for a row ends the transaction; that nothing more can be asked of it then must not hide
/// that the batch may run again.
pub async fn a_held_row_beside_a_held_account_is_contention(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let [row, ..] = rows(stage).await;
    let batch = Batch::of(tenant, seconds(5), vec![pay(a, b, 1)]);
    let locks = Locks { pass_over: true, rows: vec![row], ..batch.locks() };
    let (mut first, mut second) = (stage.store.lane(), stage.store.lane());
    first.lock_ahead(&[a]).await.unwrap();
    stage.raw("begin; select from scratch for update").await;
    let answer = second.commit_batch(locks, Box::new(|_| Writes::default())).await;
    assert!(matches!(answer, Err(StoreError::Contention(_))), "{answer:?}");
    stage.raw("rollback").await;
}

/// Requests have ten seconds; a proof over whole tables has what it needs.
pub async fn proofs_have_no_time_limit(stage: &Stage) {
    let db = stage.store.as_ref();
    let sql = "select current_setting('statement_timeout'), current_user::text";
    let row =
        |rows: Vec<Row>| (rows[0].text(0).unwrap().to_owned(), rows[0].text(1).unwrap().to_owned());
    let engine = "caudal_engine".to_owned();
    assert_eq!(row(db.query("", sql, &[]).await.unwrap()), ("10s".to_owned(), engine.clone()));
    db.gather_statistics().await.unwrap();
    assert_eq!(row(db.query_at_length("", sql, &[]).await.unwrap()), ("0".to_owned(), engine));
}

/// What the engine may never take away.
const KEPT: [&str; 17] = [
    "accounts",
    "transfers",
    "entries",
    "events",
    "receipts",
    "wallets",
    "stream_heads",
    "payments",
    "refunds",
    "disputes",
    "payouts",
    "payment_attempts",
    "gateway_accounts",
    "schedules",
    "uploads",
    "upload_lines",
    "fx_rates",
];

/// A step needs the table for itself, which somebody reads at length: batches must not queue up
/// behind it until their own time is over.
pub async fn an_upgrade_holds_up_no_batch(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    let client = stage.client();
    let step = "0020_account_states";
    let undo = "drop view account_states; delete from schema_migrations where name =";
    let undo = format!("{undo} '{step}'");
    client.batch_execute(&undo).await.unwrap();
    client.batch_execute("begin; select from accounts limit 1").await.unwrap();
    let beside = async {
        let waiting = "select count(*) from pg_locks
             where not granted and relation = 'accounts'::regclass";
        while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
        post(stage, tenant, pay(a, b, 5), seconds(1)).await;
        client.batch_execute("commit").await.unwrap();
    };
    let (upgraded, ()) = tokio::join!(stage.store.migrate(START), beside);
    assert_eq!(upgraded.unwrap(), [step]);
}

pub async fn the_engine_can_not_rewrite_history(stage: &Stage) {
    let tenant = tenant(stage).await;
    let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
    post(stage, tenant, pay(a, b, 5), seconds(1)).await;
    let client = stage.client();
    client.batch_execute("set role caudal_engine").await.unwrap();
    let mut forbidden = vec![
        "update entries set amount = amount + 1".to_owned(),
        "update events set data = '{}'".to_owned(),
        "update receipts set fingerprint = key".to_owned(),
        "drop table entries".to_owned(),
        "truncate events".to_owned(),
        "update webhook_attempts set status = 200".to_owned(),
        "update fx_rates set rate = '1'".to_owned(),
    ];
    forbidden.extend(KEPT.map(|table| format!("delete from {table}")));
    for sql in forbidden {
        let error = client.batch_execute(&sql).await.expect_err(&sql);
        let code = error.code().map(|code| code.code().to_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error:?}");
    }
    // What it is for still works.
    client.batch_execute("update accounts set total = total").await.unwrap();
    client.batch_execute("reset role").await.unwrap();
}
