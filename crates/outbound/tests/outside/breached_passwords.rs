//! The range protocol, with a server that pads.

use caudal_outbound::{
    Breach, BreachedPasswords, Client, ClientOptions, Url,
    breached_passwords::BreachedPasswordsOptions,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

use crate::TestClock;

/// SHA-1 of `password`: 5BAA6 1E4C9B93F3F0682250B6CF8331B7EE68FD8.
const RANGE: &str = "003D68EB55068C33ACE09247EE4C639306B:3\r\n\
                     1E4C9B93F3F0682250B6CF8331B7EE68FD8:9545824\r\n\
                     1E4C9B93F3F0682250B6CF8331B7EE68FD9:0\r\n";
const PADDED: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8:0\r\n\
                      003D68EB55068C33ACE09247EE4C639306B:3";

async fn server(answer: ResponseTemplate, asked: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/range/5BAA6"))
        .and(header("add-padding", "true"))
        .respond_with(answer)
        .expect(asked)
        .mount(&server)
        .await;
    server
}

fn service(server: &MockServer, threshold: u32) -> BreachedPasswords {
    let base = Url::parse(&server.uri()).unwrap();
    let options = BreachedPasswordsOptions { threshold, ..BreachedPasswordsOptions::at(base) };
    let client = Client::new(ClientOptions::default()).unwrap();
    BreachedPasswords::new(client, options, TestClock::start().world())
}

fn text(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(body)
}

#[tokio::test]
async fn a_breached_password_is_found_and_the_answer_kept() {
    let server = server(text(RANGE), 1).await;
    let service = service(&server, 1);
    let both = futures::join!(service.check("password"), service.check("password"));
    assert_eq!(both, (Breach::Breached(9_545_824), Breach::Breached(9_545_824)));
    assert_eq!(service.check("password").await, Breach::Breached(9_545_824));
    let asked = server.received_requests().await.unwrap();
    let told = format!("{asked:?}").to_uppercase();
    assert!(!told.contains("1E4C9B") && !told.contains("PASSWORD\""), "only the prefix leaves");
}

#[tokio::test]
async fn below_the_threshold_it_is_clean() {
    let server = server(text(RANGE), 2).await;
    assert_eq!(service(&server, 9_545_825).check("password").await, Breach::Clean);
    assert_eq!(service(&server, 0).check("password").await, Breach::Breached(9_545_824));
}

#[tokio::test]
async fn padding_is_no_breach_even_when_it_hits() {
    let server = server(text(PADDED), 1).await;
    assert_eq!(service(&server, 1).check("password").await, Breach::Clean);
}

#[tokio::test]
async fn what_is_not_the_protocol_is_no_answer_and_is_not_kept() {
    for (answer, asked) in [
        // Tried again each time: a 503 may pass, a 429 asks for patience.
        (ResponseTemplate::new(503), 4),
        (ResponseTemplate::new(429), 2),
        (ResponseTemplate::new(302).insert_header("location", "/elsewhere"), 2),
        (text("<html>log in to the network</html>"), 2),
        (text(""), 2),
        (text("1E4C9B93F3F0682250B6CF8331B7EE68FD8"), 2),
        (text("1E4C9B93F3F0682250B6CF8331B7EE68FD8:many"), 2),
        (text("1E4C9B93F3F0682250B6CF8331B7EE68FDéé:1"), 2),
    ] {
        let server = server(answer, asked).await;
        let service = service(&server, 1);
        assert_eq!(service.check("password").await, Breach::Unavailable);
        assert_eq!(service.check("password").await, Breach::Unavailable);
    }
}
