//! The port against the simulator: every test token, and books that agree.

use std::{collections::HashSet, sync::Arc, time::Duration};

use caudal_gateway::{
    Answer, CancelRequest, CaptureMode, CaptureRequest, ChargeRequest, DisputeState,
    EvidenceRequest, Gateway, GatewayKind, Object, PayoutRequest, Query, RefundRequest, Standing,
    simulator::{Running, Settings, Simulator, Status},
};
use caudal_outbound::{Client, ClientOptions, Request};
use futures::{StreamExt, stream};

use crate::{SECOND, TestClock, around, charge, opened, reference, said, usd};

const ACCOUNT: &str = "sim_test_1";

async fn start(settings: Settings, limit: Duration) -> (Running, Arc<dyn Gateway>, TestClock) {
    let clock = TestClock::start();
    let at = "127.0.0.1:0".parse().unwrap();
    let running = Simulator::start(at, settings, clock.world()).await.unwrap();
    let mut around = around(running.url.as_str(), clock.world(), limit);
    around.guard.limit = limit;
    let gateway = opened(GatewayKind::Simulator, &around);
    (running, gateway, clock)
}

fn manual(key: &str, minor: i64, payment_method: &str) -> ChargeRequest {
    ChargeRequest { capture: CaptureMode::Manual, ..charge(key, minor, payment_method) }
}

fn capture(key: &str, reference: &str, minor: i64) -> CaptureRequest {
    let (amount, currency) = usd(minor);
    CaptureRequest { key: key.into(), reference: reference.into(), amount, currency }
}

fn refund(key: &str, charge: &str, minor: i64) -> RefundRequest {
    let (amount, currency) = usd(minor);
    RefundRequest { key: key.into(), charge: charge.into(), amount, currency }
}

fn by_key(object: Object, key: &str) -> Query {
    let since = TestClock::start().world().clock.now();
    Query::Key { object, key: key.into(), charge: None, since }
}

/// Asks until the standing is as expected; what happens by itself happens soon.
async fn until<T>(
    gateway: &dyn Gateway,
    query: Query,
    expected: impl Fn(Standing) -> Option<T>,
) -> T {
    for _ in 0..10_000 {
        let standing = gateway.query(&query).await.unwrap();
        if let Some(found) = standing.and_then(&expected) {
            return found;
        }
        tokio::task::yield_now().await;
    }
    panic!("{query:?} never came to it");
}

#[tokio::test]
async fn every_test_token_does_as_it_is_called() {
    let limit = Duration::from_millis(300);
    let (_running, gateway, _) = start(Settings::default(), limit).await;
    let table = [
        ("pm_card_visa", "succeeded"),
        ("pm_card_chargeDeclined", "declined: do_not_honor (elsewhere)"),
        ("pm_card_chargeDeclinedInsufficientFunds", "declined: insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "declined: expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "declined: processing_error (elsewhere)"),
        ("pm_card_createDispute", "succeeded"),
        ("pm_card_threeDSecure2Required", "requires_action"),
        ("pm_bank_transfer", "processing"),
        ("pm_slow_5s", "unclear: no answer in time"),
        ("pm_timeout", "unclear: no answer in time"),
        ("pm_error_500", "unclear: status 500"),
        ("pm_of_nobody", "declined: not_found"),
    ];
    for (token, expected) in table {
        assert_eq!(said(gateway.charge(&charge(token, 1_000, token)).await), expected, "{token}");
    }
    // What was unclear is asked for: the slow one happened, the others are not known.
    let slow = gateway.query(&by_key(Object::Charge, "pm_slow_5s")).await.unwrap();
    assert!(matches!(slow, Some(Standing::Charge(c)) if c.captured_minor == 1_000));
    for token in ["pm_timeout", "pm_error_500"] {
        assert_eq!(gateway.query(&by_key(Object::Charge, token)).await.unwrap(), None, "{token}");
    }
    let declined = by_key(Object::Charge, "pm_card_chargeDeclinedExpiredCard");
    let Some(Standing::Charge(found)) = gateway.query(&declined).await.unwrap() else { panic!() };
    assert_eq!(said(Ok(found.answer)), "declined: expired_card");
}

#[tokio::test]
async fn a_key_is_one_charge_however_often_it_is_sent() {
    let (running, gateway, _) = start(Settings::default(), SECOND).await;
    let first = gateway.charge(&charge("k", 1_000, "pm_card_visa")).await;
    assert_eq!(gateway.charge(&charge("k", 1_000, "pm_card_visa")).await, first);
    let another = gateway.charge(&charge("k", 1_001, "pm_card_visa")).await;
    assert_eq!(said(another), "declined: invalid_request");
    assert_eq!(running.simulator.totals(ACCOUNT)["USD"].captured, 1_000);
    let Ok(Answer::Succeeded { fee: Some(fee), .. }) = first else { panic!("{first:?}") };
    assert_eq!(fee.amount_minor, 59);
}

#[tokio::test]
async fn captures_stay_within_the_authorization_and_refunds_within_the_capture() {
    let (running, gateway, _) = start(Settings::default(), SECOND).await;
    let held = gateway.charge(&manual("a", 1_000, "pm_card_visa")).await;
    assert_eq!(said(held.clone()), "requires_capture");
    let id = reference(held);
    let early = said(gateway.refund(&refund("r0", &id, 1)).await);
    assert_eq!(early, "declined: wrong_state");
    let steps = [
        ("above", gateway.capture(&capture("c1", &id, 1_001)).await, "declined: invalid_amount"),
        ("part", gateway.capture(&capture("c2", &id, 600)).await, "succeeded"),
        ("again", gateway.capture(&capture("c2", &id, 600)).await, "succeeded"),
        ("twice", gateway.capture(&capture("c3", &id, 400)).await, "declined: wrong_state"),
        ("back", gateway.refund(&refund("r1", &id, 350)).await, "succeeded"),
        ("back again", gateway.refund(&refund("r1", &id, 350)).await, "succeeded"),
        ("too much", gateway.refund(&refund("r2", &id, 251)).await, "declined: invalid_amount"),
        ("the rest", gateway.refund(&refund("r3", &id, 250)).await, "succeeded"),
        ("nobody's", gateway.refund(&refund("r4", "sim_ch_0", 1)).await, "declined: not_found"),
    ];
    for (what, answer, expected) in steps {
        assert_eq!(said(answer), expected, "{what}");
    }
    let totals = running.simulator.totals(ACCOUNT).remove("USD").unwrap();
    assert_eq!((totals.captured, totals.refunded), (600, 600));

    let held = reference(gateway.charge(&manual("b", 1_000, "pm_card_visa")).await);
    let cancel = CancelRequest { key: "x".into(), reference: held.clone() };
    assert_eq!(said(gateway.cancel(&cancel).await), "canceled");
    assert_eq!(said(gateway.capture(&capture("c4", &held, 1)).await), "declined: wrong_state");
}

#[tokio::test]
async fn a_hundred_refunds_at_once_never_exceed_the_capture() {
    let (running, gateway, _) = start(Settings::default(), SECOND).await;
    let id = reference(gateway.charge(&charge("a", 1_000, "pm_card_visa")).await);
    let all = stream::iter(0..100)
        .map(|n| {
            let (gateway, refund) = (Arc::clone(&gateway), refund(&format!("r{n}"), &id, 30));
            async move { said(gateway.refund(&refund).await) }
        })
        .buffer_unordered(32)
        .collect::<Vec<_>>()
        .await;
    assert_eq!(all.iter().filter(|said| *said == "succeeded").count(), 33);
    assert_eq!(running.simulator.totals(ACCOUNT)["USD"].refunded, 990);
}

#[tokio::test]
async fn the_payer_confirms_or_refuses_3d_secure() {
    let (running, gateway, _) = start(Settings::default(), SECOND).await;
    let client = Client::new(ClientOptions::default()).unwrap();
    for (verdict, expected) in
        [("confirm", "succeeded"), ("fail", "declined: authentication_failed")]
    {
        let asked = charge(verdict, 1_000, "pm_card_threeDSecure2Required");
        let answer = gateway.charge(&asked).await.unwrap();
        let Answer::RequiresAction { reference, url } = answer else { panic!("{answer:?}") };
        let page = client.send(Request::get(url.parse().unwrap())).await.unwrap();
        assert!(String::from_utf8_lossy(&page.body).contains("1000 USD"));
        let to = format!("{url}/{verdict}").parse().unwrap();
        let reply = client.send(Request::post(to, "text/plain", "")).await.unwrap();
        assert_eq!(reply.status, 303);
        let query = Query::Reference { object: Object::Charge, reference };
        let Some(Standing::Charge(found)) = gateway.query(&query).await.unwrap() else { panic!() };
        assert_eq!(said(Ok(found.answer)), expected);
    }
    let alone = ChargeRequest {
        return_url: None,
        ..charge("alone", 1_000, "pm_card_threeDSecure2Required")
    };
    assert_eq!(said(gateway.charge(&alone).await), "declined: authentication_required");
    assert_eq!(running.simulator.totals(ACCOUNT)["USD"].captured, 1_000);
}

#[tokio::test]
async fn disputes_come_by_themselves_and_are_won_or_lost() {
    let (running, gateway, _) = start(Settings::default(), SECOND).await;
    for (text, expected, left) in
        [("winning_evidence", DisputeState::Won, 0), ("losing_evidence", DisputeState::Lost, 1_000)]
    {
        let asked = charge(text, 1_000, "pm_card_createDispute");
        let id = reference(gateway.charge(&asked).await);
        let simulator = &running.simulator;
        let query = Query::Reference { object: Object::Charge, reference: id.clone() };
        until(&*gateway, query, |_| {
            (simulator.totals(ACCOUNT)["USD"].disputed == 1_000).then_some(())
        })
        .await;
        let after = said(gateway.refund(&refund(&format!("r{text}"), &id, 1)).await);
        assert_eq!(after, "declined: invalid_amount");
        // The settlement file names the dispute.
        let file = simulator.settlement(ACCOUNT, None);
        let line = file.lines().rfind(|line| line.starts_with("dispute,")).unwrap();
        let dispute = line.split(',').nth(1).unwrap().to_owned();
        let evidence = EvidenceRequest {
            key: format!("e{text}"),
            dispute: dispute.clone(),
            text: text.into(),
        };
        gateway.submit_evidence(&evidence).await.unwrap();
        let query = Query::Reference { object: Object::Dispute, reference: dispute };
        let Some(Standing::Dispute(found)) = gateway.query(&query).await.unwrap() else { panic!() };
        assert_eq!((found.state, found.charge), (expected, Some(id)));
        assert_eq!(simulator.totals(ACCOUNT)["USD"].disputed, left);
    }
}

#[tokio::test]
async fn payouts_and_what_is_decided_later() {
    let (running, gateway, _) = start(Settings::default(), SECOND).await;
    for (destination, at_once, finally) in [
        ("ba_ok", "processing", "succeeded"),
        ("ba_returned", "processing", "declined: invalid_account"),
        ("ba_refused", "declined: invalid_account", "declined: invalid_account"),
    ] {
        let (amount, currency) = usd(500);
        let (key, destination) = (destination.to_owned(), destination.to_owned());
        let payout = PayoutRequest { key: key.clone(), amount, currency, destination };
        assert_eq!(said(gateway.payout(&payout).await), at_once, "{key}");
        let found = |standing| match standing {
            Standing::Payout(payout) => (said(Ok(payout.answer)) == finally).then_some(()),
            _ => None,
        };
        until(&*gateway, by_key(Object::Payout, &key), found).await;
    }
    assert_eq!(running.simulator.totals(ACCOUNT)["USD"].paid_out, 500);
    for (token, finally) in
        [("pm_bank_transfer", "succeeded"), ("pm_bank_transferFails", "declined: invalid_account")]
    {
        gateway.charge(&charge(token, 700, token)).await.unwrap();
        let found = |standing| match standing {
            Standing::Charge(charge) => (said(Ok(charge.answer)) == finally).then_some(()),
            _ => None,
        };
        until(&*gateway, by_key(Object::Charge, token), found).await;
    }
    assert_eq!(running.simulator.totals(ACCOUNT)["USD"].captured, 700);
}

#[tokio::test]
async fn a_live_account_and_a_stranger_are_turned_away() {
    let (running, _, _) = start(Settings::default(), SECOND).await;
    let client = Client::new(ClientOptions::default()).unwrap();
    let table = [
        ("Bearer sim_live_1", "test", 403),
        ("Bearer sim_test_1", "live", 403),
        ("Bearer sk_test_1", "test", 401),
        ("", "test", 401),
        ("Bearer sim_test_1", "test", 404),
    ];
    for (authorization, mode, status) in table {
        let url = running.url.join("v1/charges/x").unwrap();
        let request = Request::get(url)
            .with_header("authorization", authorization)
            .with_header("caudal-mode", mode);
        assert_eq!(client.send(request).await.unwrap().status, status, "{authorization} {mode}");
    }
}

/// Sends a charge under its key until its end is known, asking when it is unclear.
async fn persist(gateway: &dyn Gateway, request: &ChargeRequest) -> (String, u32) {
    for unclear in 0..100 {
        match gateway.charge(request).await {
            Ok(answer) => return (answer.reference().unwrap().to_owned(), unclear),
            Err(_) => {
                let asked = gateway.query(&by_key(Object::Charge, &request.key)).await;
                if let Ok(Some(Standing::Charge(found))) = asked {
                    return (found.reference, unclear + 1);
                }
            }
        }
    }
    panic!("{} has no end", request.key);
}

#[tokio::test]
async fn a_thousand_charges_of_which_a_fifth_is_unclear_are_a_thousand_charges() {
    let settings = Settings {
        p_error: 0.05,
        p_timeout: 0.05,
        p_error_after: 0.05,
        p_timeout_after: 0.05,
        ..Settings::default()
    };
    let clock = TestClock::start();
    let at = "127.0.0.1:0".parse().unwrap();
    let running = Simulator::start(at, settings, clock.world()).await.unwrap();
    let mut around = around(running.url.as_str(), clock.world(), Duration::from_millis(500));
    around.guard.limit = Duration::from_millis(500);
    // One try a call, so that every failure comes to us; and no breaker, which is not the question.
    around.guard.tries = 1;
    around.guard.breaker.failures_percent = 101;
    let gateway = opened(GatewayKind::Simulator, &around);
    let ends = stream::iter(0..1_000)
        .map(|n| {
            let gateway = Arc::clone(&gateway);
            async move {
                let request = charge(&format!("k{n}"), 1_000 + n, "pm_card_visa");
                persist(&*gateway, &request).await
            }
        })
        .buffer_unordered(64)
        .collect::<Vec<_>>()
        .await;
    let unclear: u32 = ends.iter().map(|(_, unclear)| unclear).sum();
    assert!(unclear > 150, "only {unclear} answers were unclear");
    let references: HashSet<_> = ends.iter().map(|(reference, _)| reference).collect();
    assert_eq!(references.len(), 1_000);
    let charges = running.simulator.charges(ACCOUNT);
    let keys: HashSet<_> = charges.iter().map(|charge| &charge.key).collect();
    assert_eq!((charges.len(), keys.len()), (1_000, 1_000));
    assert!(charges.iter().all(|charge| charge.status == Status::Succeeded));
    let expected: i64 = (0..1_000).map(|n| 1_000 + n).sum();
    let totals = running.simulator.totals(ACCOUNT).remove("USD").unwrap();
    assert_eq!((totals.charges, totals.captured), (1_000, expected));
    // The settlement file says the same.
    let file = running.simulator.settlement(ACCOUNT, None);
    let sum: i64 = file
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(4).unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!((file.lines().count(), sum), (1_001, expected));
}
