//! Two proofs at once: whichever comes first, what an old password or a spent code opened is shut.

use caudal_domain::SystemRole;
use caudal_identity::{HashSettings, Hasher, Password};
use caudal_store::{UnitOfWork, UnitOutcome, second_factors, users};
use caudal_testkit::{Answer, Call, Client, Held, TestApp, at_once, both_databases};
use serde_json::{Value, json};

use super::{
    people::{self, Person},
    second_factor::{answer, challenge, enrol},
    users::{PASSWORD, code_in, login, mails, member, try_login},
};

both_databases! {
    a_login_with_the_old_password_loses_to_a_change
    a_login_with_the_old_password_loses_to_a_recovery
    a_login_without_the_second_factor_loses_to_it
    a_challenge_for_the_old_password_is_not_given
    an_answer_loses_to_a_change_and_spends_nothing
    a_login_goes_on_while_another_hashes_anew
    one_set_of_recovery_codes_is_left many_codes_of_one_address_are_used_at_once
}

const ADA: &str = "ada@example.org";
const NEW: &str = "another good password 1";
const SESSION: &str = "insert into sessions";

/// A login with the old password that is stopped at `held` for as long as `meanwhile` takes.
async fn late_login(app: &TestApp, held: Held, meanwhile: impl Future<Output = ()>) -> Answer {
    futures::join!(try_login(app, ADA, PASSWORD), held.during(meanwhile)).0
}

async fn change(client: &Client) {
    let body = json!({"current": PASSWORD, "new": NEW});
    client.post("/users/me/password", body).await.expect(204);
}

async fn sessions(client: &Client) -> usize {
    client.all("/users/me/sessions").await.len()
}

async fn a_login_with_the_old_password_loses_to_a_change(app: &TestApp) {
    let (_, ada) = member(app, ADA).await;
    let late = late_login(app, app.gate.hold(SESSION), change(&ada)).await;
    late.refused(401, "invalid_credentials");
    assert_eq!(sessions(&ada).await, 1, "the one that changed it");
}

async fn a_login_with_the_old_password_loses_to_a_recovery(app: &TestApp) {
    member(app, ADA).await;
    let nobody = app.client.without_key();
    let recover = Call::new("POST", "/auth/recover").json(&json!({"email": ADA}));
    nobody.send(recover).await.expect(202);
    let code = code_in(&mails(app, ADA, 1).await[0]);
    let confirmed = async {
        let body = json!({"code": code, "password": NEW});
        nobody.post("/auth/recover/confirm", body).await.expect(204);
    };
    let late = late_login(app, app.gate.hold(SESSION), confirmed).await;
    late.refused(401, "invalid_credentials");
    assert_eq!(sessions(&login(app, ADA, NEW).await).await, 1, "the one that looks");
}

async fn a_login_without_the_second_factor_loses_to_it(app: &TestApp) {
    let ada = people::person(app, "ada", SystemRole::WalletHolder).await;
    let held = app.gate.hold(SESSION);
    let enrolled = held.during(enrol(app, &ada));
    let (late, _) = futures::join!(people::login(app, ADA, people::PASSWORD), enrolled);
    // The password was right: the other half is asked for.
    assert_eq!(late.expect(200)["mfa_required"], true);
    assert_eq!(sessions(&ada.client).await, 1);
}

/// With a second factor, and the password [`PASSWORD`].
async fn enrolled(app: &TestApp) -> (Person, String, Vec<String>) {
    let ada = people::person(app, "ada", SystemRole::WalletHolder).await;
    let (secret, codes) = enrol(app, &ada).await;
    (ada, secret, codes)
}

async fn change_of(person: &Person) {
    let body = json!({"current": people::PASSWORD, "new": NEW});
    person.client.post("/users/me/password", body).await.expect(204);
}

async fn a_challenge_for_the_old_password_is_not_given(app: &TestApp) {
    let (ada, ..) = enrolled(app).await;
    let held = app.gate.hold("insert into codes");
    let changed = held.during(change_of(&ada));
    let (late, ()) = futures::join!(people::login(app, ADA, people::PASSWORD), changed);
    late.refused(401, "invalid_credentials");
}

async fn an_answer_loses_to_a_change_and_spends_nothing(app: &TestApp) {
    let (ada, _, codes) = enrolled(app).await;
    let half = challenge(app, &ada).await;
    let held = app.gate.hold(SESSION);
    let (late, ()) = futures::join!(answer(app, &half, &codes[0]), held.during(change_of(&ada)));
    late.refused(401, "invalid_credentials");
    assert_eq!(sessions(&ada.client).await, 1);
    let half = people::login(app, ADA, NEW).await.expect(200)["challenge"].clone();
    answer(app, half.as_str().expect("a challenge"), &codes[0]).await.expect(200);
}

async fn a_login_goes_on_while_another_hashes_anew(app: &TestApp) {
    let (id, _) = member(app, ADA).await;
    // As it was hashed with other settings than today's.
    let old = HashSettings { memory_kib: 32, iterations: 1, ..HashSettings::for_cores(1) };
    let hasher = Hasher::start(&old, &caudal::system::SystemChance).expect("a pool");
    let turn = hasher.place().expect("a free line").turn().await.expect("a turn");
    let password = Password::parse(PASSWORD).expect("good");
    let phc = hasher.hash(turn, &password, [7; 16]).await.expect("a hash");
    let (tenant, id) = (app.tenant_id().await, id.parse().expect("a user's"));
    let steps = vec![users::reset_password(tenant, id, &phc, Default::default())];
    let unit = UnitOfWork { steps, ..UnitOfWork::default() };
    let outcome = app.instance.store.commit(unit).await.expect("a commit").0;
    assert_eq!(outcome, UnitOutcome::Done);
    let other = async { login(app, ADA, PASSWORD).await };
    let held = app.gate.hold("set password");
    let (first, _) = futures::join!(try_login(app, ADA, PASSWORD), held.during(other));
    first.expect(200);
    let now = users::find(app.instance.store.as_ref(), tenant, id).await.expect("a row");
    assert_ne!(now.expect("ada").password, Some(phc));
}

async fn one_set_of_recovery_codes_is_left(app: &TestApp) {
    let (ada, ..) = enrolled(app).await;
    let tenant = app.tenant_id().await;
    for _ in 0..5 {
        app.gate.gather("delete from recovery_codes", 6);
        let made = at_once(6, |_| {
            let client = ada.client.clone();
            async move { client.post("/users/me/recovery-codes", json!({})).await.status }
        });
        let made = made.await;
        assert!(made.iter().all(|status| *status == 200), "{made:?}");
        let store = app.instance.store.as_ref();
        let left = second_factors::count_recovery_codes(store, tenant, ada.id).await;
        assert_eq!(left.expect("a count"), 10);
    }
}

async fn many_codes_of_one_address_are_used_at_once(app: &TestApp) {
    let nobody = app.client.without_key();
    for number in 0..24 {
        if number % 5 == 0 {
            app.clock.advance(30 * 60);
        }
        let body = json!({"email": ADA, "password": format!("{PASSWORD} {number}")});
        nobody.send(Call::new("POST", "/users").json(&body)).await.expect(202);
    }
    let codes: Vec<_> = mails(app, ADA, 24).await.iter().map(|mail| code_in(mail)).collect();
    app.clock.advance(60);
    app.gate.gather("update codes", codes.len());
    let used = at_once(codes.len(), |number| {
        let (nobody, body) = (nobody.clone(), json!({"code": codes[number]}));
        async move { nobody.post("/auth/verify-email", body).await.status }
    });
    let mut used = used.await;
    used.sort_unstable();
    assert_eq!((used[0], &used[1..]), (204, &[400; 23][..]));
    let users = app.client.get("/users?status=active").await.expect(200);
    let is_ada = |user: &&Value| user["email"] == ADA;
    assert_eq!(users["data"].as_array().expect("users").iter().filter(is_ada).count(), 1);
}
