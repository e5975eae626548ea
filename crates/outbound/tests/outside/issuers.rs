//! JWKS documents of foreign issuers.

use std::sync::Arc;

use caudal_outbound::{
    Client, ClientOptions, Issuer, Issuers, Url,
    issuers::{IssuersOptions, NoKeys},
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::TestClock;

const FIRST: &str = r#"{"keys": [{"kid": "one"}]}"#;
const SECOND: &str = r#"{"keys": [{"kid": "two"}]}"#;

struct Setup {
    server: MockServer,
    clock: TestClock,
    issuers: Issuers,
    name: String,
}

/// An issuer found at `/realm` of a server, its keys given or to be discovered.
async fn setup(discovered: bool) -> Setup {
    let (server, clock) = (MockServer::start().await, TestClock::start());
    let name = format!("{}/realm", server.uri());
    let keys = Url::parse(&format!("{}/keys", server.uri())).unwrap();
    let issuer = Issuer { name: name.clone(), jwks_uri: (!discovered).then_some(keys) };
    let client = Client::new(ClientOptions::default()).unwrap();
    let options = IssuersOptions::default();
    let issuers = Issuers::new(vec![issuer], &client, options, &clock.world());
    Setup { server, clock, issuers, name }
}

impl Setup {
    async fn answer(&self, at: &str, body: &str, times: u64) {
        let answer = ResponseTemplate::new(200).set_body_string(body);
        let mock = Mock::given(path(at)).respond_with(answer);
        mock.up_to_n_times(times).mount(&self.server).await;
    }

    async fn asked(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }

    async fn jwks(&self) -> Result<String, NoKeys> {
        self.issuers.jwks(&self.name).await.map(|jwks| jwks.json.clone())
    }
}

#[tokio::test]
async fn keys_are_kept_for_their_time_and_fetched_once_for_many() {
    let it = setup(false).await;
    it.answer("/keys", FIRST, 1).await;
    it.answer("/keys", SECOND, 1).await;
    let all = futures::future::join_all((0..20).map(|_| it.jwks())).await;
    assert!(all.iter().all(|json| json.as_deref() == Ok(FIRST)));
    it.clock.advance(599);
    assert_eq!(it.jwks().await.as_deref(), Ok(FIRST));
    assert_eq!(it.asked().await, 1);
    it.clock.advance(1);
    assert_eq!(it.jwks().await.as_deref(), Ok(SECOND));
}

#[tokio::test]
async fn an_unknown_key_asks_again_at_most_every_30_seconds() {
    let it = setup(false).await;
    it.answer("/keys", FIRST, 2).await;
    it.answer("/keys", SECOND, 9).await;
    let mut seen = it.issuers.jwks(&it.name).await.unwrap();
    for second in 0..60 {
        let newer = it.issuers.newer(&it.name, &seen).await.unwrap();
        let expected = if second < 30 { 1 } else { 2 };
        assert_eq!(it.asked().await, expected, "after {second} s");
        seen = newer;
        it.clock.advance(1);
    }
    // Those who saw the old document get the new one without asking, and once for all.
    let all = (0..20).map(|_| it.issuers.newer(&it.name, &seen));
    let all = futures::future::join_all(all).await;
    assert!(all.into_iter().all(|jwks| jwks.unwrap().json == SECOND));
    assert_eq!(it.asked().await, 3);
}

#[tokio::test]
async fn an_outage_is_bridged_for_an_hour_and_not_hammered() {
    let it = setup(false).await;
    it.answer("/keys", FIRST, 1).await;
    it.answer("/keys", "<html>maintenance</html>", 99).await;
    assert_eq!(it.jwks().await.as_deref(), Ok(FIRST));
    it.clock.advance(600);
    for _ in 0..10 {
        assert_eq!(it.jwks().await.as_deref(), Ok(FIRST));
    }
    assert_eq!(it.asked().await, 2);
    it.clock.advance(3_600);
    assert!(matches!(it.jwks().await, Err(NoKeys::Unavailable(why)) if why.contains("JWKS")));
}

#[tokio::test]
async fn keys_are_discovered_where_the_issuer_says() {
    let it = setup(true).await;
    let found = format!(r#"{{"issuer": "{}", "jwks_uri": "{}/k"}}"#, it.name, it.server.uri());
    it.answer("/realm/.well-known/openid-configuration", &found, 1).await;
    it.answer("/k", FIRST, 1).await;
    assert_eq!(it.jwks().await.as_deref(), Ok(FIRST));
}

#[tokio::test]
async fn the_configuration_of_another_issuer_is_refused() {
    for issuer in ["https://evil.example", "{name}/", "{name}x"] {
        let it = setup(true).await;
        let issuer = issuer.replace("{name}", &it.name);
        let found = format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{}/k"}}"#, it.server.uri());
        it.answer("/realm/.well-known/openid-configuration", &found, 1).await;
        it.answer("/k", FIRST, 1).await;
        let why = it.jwks().await.unwrap_err().to_string();
        assert!(why.contains("another issuer's"), "{why}");
        assert_eq!(it.asked().await, 1);
    }
}

#[tokio::test]
async fn an_issuer_of_no_setting_is_never_asked() {
    let it = setup(false).await;
    let other = format!("{}/other", it.server.uri());
    assert_eq!(it.issuers.jwks(&other).await.err(), Some(NoKeys::Untrusted));
    assert_eq!(it.asked().await, 0);
}

#[tokio::test]
async fn whoever_hangs_up_does_not_stop_the_fetch() {
    let it = setup(false).await;
    it.answer("/keys", FIRST, 1).await;
    let issuers = Arc::new(&it.issuers);
    let mut first = Box::pin(issuers.jwks(&it.name));
    assert!(futures::poll!(&mut first).is_pending());
    drop(first);
    assert_eq!(it.jwks().await.as_deref(), Ok(FIRST));
    assert_eq!(it.asked().await, 1);
}
