//! Requests and answers against Stripe's own stripe-mock, which checks every request against
//! Stripe's published description of its API, and answers with the shapes of it.
//!
//! stripe-mock remembers nothing and always tells the same, so only shapes are proven here. Its
//! program is looked for at `CAUDAL_TEST_STRIPE_MOCK`, else on the `PATH`.

use std::{io::Write, process::Stdio};

use caudal_domain::Clock;
use caudal_gateway::{
    CancelRequest, CaptureRequest, ConcedeRequest, EvidenceRequest, GatewayKind, Object,
    PayoutRequest, Query, RefundRequest, Standing,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{SECOND, TestClock, around, charge, opened, said, usd};

/// Its address, once it listens; `None` where there is no such program.
async fn start() -> Option<(Child, String)> {
    let program = std::env::var("CAUDAL_TEST_STRIPE_MOCK").unwrap_or("stripe-mock".into());
    let mut command = Command::new(program);
    command.args(["-strict-version-check", "-http-addr", "127.0.0.1:0"]);
    command.args(["-https-addr", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(at) = line.strip_prefix("Listening for HTTP at address: ") {
            // Its talk goes on; nobody reading would stop it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some((child, format!("http://{at}/")));
        }
    }
    panic!("stripe-mock ended without listening");
}

#[tokio::test]
async fn every_request_and_answer_has_the_shape_that_stripe_documents() {
    let Some((_child, url)) = start().await else {
        let text = "SKIPPED: shapes of Stripe: no stripe-mock (CAUDAL_TEST_STRIPE_MOCK)\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    };
    let clock = TestClock::start();
    let mut around = around(&url, clock.world(), 5 * SECOND);
    around.guard.limit = 5 * SECOND;
    let gateway = opened(GatewayKind::Stripe, &around);
    let (amount, currency) = usd(1_000);
    let key = || "key".to_owned();
    let id = || "thing_1".to_owned();
    // What it says of an intent does not depend on ours; that it can be read is the question.
    let refused = "declined: declined";
    let answers = [
        ("charge", gateway.charge(&charge("key", 1_000, "pm_card_visa")).await),
        ("capture", {
            let capture = CaptureRequest { key: key(), reference: id(), amount, currency };
            gateway.capture(&capture).await
        }),
        ("cancel", gateway.cancel(&CancelRequest { key: key(), reference: id() }).await),
        ("refund", {
            gateway.refund(&RefundRequest { key: key(), charge: id(), amount, currency }).await
        }),
        ("payout", {
            let destination = "ba_1".to_owned();
            gateway.payout(&PayoutRequest { key: key(), amount, currency, destination }).await
        }),
        ("evidence", {
            let text = "we have it in writing".to_owned();
            gateway.submit_evidence(&EvidenceRequest { key: key(), dispute: id(), text }).await
        }),
        ("concession", gateway.concede(&ConcedeRequest { key: key(), dispute: id() }).await),
    ];
    for (what, answer) in answers {
        let text = said(answer);
        let bad = ["unclear", "not sent", "invalid_request", refused];
        assert!(!bad.iter().any(|bad| text.contains(bad)), "{what}: {text}");
    }
    for object in [Object::Charge, Object::Refund, Object::Dispute, Object::Payout] {
        let query = Query::Reference { object, reference: id() };
        let standing = gateway.query(&query).await.unwrap();
        assert!(standing.is_some(), "{object:?}");
        if let Some(Standing::Charge(found)) = standing {
            assert_eq!(found.currency, currency);
        }
        let charge = Some(id());
        let query = Query::Key { object, key: "nobody's".into(), charge, since: clock.now() };
        assert_eq!(gateway.query(&query).await, Ok(None), "{object:?}");
    }
}
