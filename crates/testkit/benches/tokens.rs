//! What a request pays to have its credentials believed: 20 µs is the most that is wanted of a
//! token. `cargo bench -p caudal-testkit`.

use caudal::{Settings, settings::Switch};
use caudal_domain::SystemRole;
use caudal_testkit::{Database, TestApp};
use criterion::{BatchSize::PerIteration, Criterion, criterion_group, criterion_main};
use serde_json::json;
use tokio::runtime::Runtime;

async fn signed_in(app: &TestApp) -> String {
    let person = app.user(&[SystemRole::Support]).await.1;
    person.secret().expect("a token").to_owned()
}

fn credentials(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    // Many are made, each with a token.
    let unbraked = |settings: &mut Settings| settings.rate_limits = Switch::Off;
    let app = runtime.block_on(TestApp::start_with(Database::sqlite(), unbraked));
    let service = app.instance.service.clone();
    let token = runtime.block_on(signed_in(&app));
    criterion.bench_function("a token, met before", |bencher| {
        bencher.iter(|| runtime.block_on(service.authenticate_token(&token)).expect("good"));
    });
    let key = runtime.block_on(async {
        let body = json!({"name": "bench", "scopes": ["wallets:read"]});
        let made = app.client.post("/api-keys", body).await.expect(201);
        made["key"].as_str().expect("a key").to_owned()
    });
    criterion.bench_function("an API key, met before", |bencher| {
        bencher.iter(|| runtime.block_on(service.authenticate(&key)).expect("good"));
    });
    // With what is looked up of the person and the session.
    criterion.bench_function("a token, met for the first time", |bencher| {
        let signed_in = || runtime.block_on(signed_in(&app));
        let believe = |token: String| runtime.block_on(service.authenticate_token(&token));
        bencher.iter_batched(signed_in, |token| believe(token).expect("good"), PerIteration);
    });
    runtime.block_on(app.finish());
}

criterion_group!(benches, credentials);
criterion_main!(benches);
