//! Each way in which a gateway can fail to answer, and whether the charge may have happened.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use caudal_gateway::{Gateway, GatewayKind, Surroundings};
use futures::{FutureExt, future::join_all};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{TestClock, around, charge, opened, said};

const LIMIT: Duration = Duration::from_millis(400);

/// What a server does with a request that it has read.
#[derive(Clone, Copy)]
enum Act {
    Answer(u16, &'static str),
    Reset,
    CloseWithin,
    Silence,
}

use Act::*;

async fn read_request(socket: &mut TcpStream) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = socket.read(&mut buffer).await {
        seen.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return;
        }
    }
}

async fn act(mut socket: TcpStream, act: Act, end: &Notify) {
    read_request(&mut socket).await;
    match act {
        Answer(status, body) => {
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
            let length = format!("content-length: {}\r\n\r\n", body.len());
            socket.write_all([&head, &length, body].concat().as_bytes()).await.unwrap();
            let _ = socket.read(&mut [0; 1]).await;
        }
        Reset => socket.set_zero_linger().unwrap(),
        CloseWithin => {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
            socket.write_all(half).await.unwrap();
        }
        Silence => end.notified().await,
    }
}

/// Does one after another with its requests, the last for ever; or, `then_gone`, is gone after
/// them.
async fn serve(acts: &'static [Act], then_gone: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let end = Arc::new(Notify::new());
        for n in 0.. {
            let next = match acts.get(n) {
                Some(next) => *next,
                None if then_gone => return,
                None => *acts.last().unwrap(),
            };
            let (socket, _) = listener.accept().await.unwrap();
            if then_gone && n + 1 == acts.len() {
                // Gone before the answer is, so that the next try finds nobody.
                drop(listener);
                return act(socket, next, &end).await;
            }
            let end = Arc::clone(&end);
            tokio::spawn(async move { act(socket, next, &end).await });
        }
    });
    url
}

async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: SocketAddr = listener.local_addr().unwrap();
    format!("http://{at}/")
}

fn gateway(kind: GatewayKind, url: &str) -> Arc<dyn Gateway> {
    let mut around = around(url, TestClock::start().world(), LIMIT);
    around.guard.limit = LIMIT;
    opened(kind, &around)
}

/// What both gateways' clients make of a server, shortened at the second colon.
async fn outcome(url: &str) -> String {
    let mut both = Vec::new();
    for kind in GatewayKind::ALL {
        let answer = gateway(kind, url).charge(&charge("k", 1_000, "pm_card_visa")).await;
        let text = said(answer);
        both.push(text.splitn(3, ':').take(2).collect::<Vec<_>>().join(":"));
    }
    assert_eq!(both[0], both[1], "{url}");
    both.remove(0)
}

#[tokio::test]
async fn each_failure_tells_whether_it_may_have_happened() {
    const DECLINED: &str = r#"{"error": {"code": "expired_card", "message": "no"}}"#;
    let table: [(&'static [Act], &str); 13] = [
        (&[Answer(402, DECLINED)], "declined: expired_card"),
        (&[Answer(401, r#"{"error": {"code": "unauthorized", "message": "no"}}"#)], {
            "declined: account_refused (elsewhere)"
        }),
        (&[Answer(429, "")], "not sent: the gateway asks for patience (429)"),
        (&[Answer(500, "")], "unclear: status 500"),
        (&[Answer(503, "")], "unclear: status 503"),
        (&[Answer(409, "")], "unclear: status 409"),
        (&[Answer(302, "")], "unclear: status 302"),
        (&[Answer(200, "<html>")], "unclear: the answer cannot be read"),
        (&[Answer(402, "<html>")], "unclear: the answer cannot be read"),
        (&[Reset], "unclear: connection lost"),
        (&[CloseWithin], "unclear: connection lost"),
        (&[Silence], "unclear: no answer in time"),
        (&[Answer(500, ""), Answer(401, DECLINED)], "unclear: status 401"),
    ];
    for (acts, expected) in table {
        // The second gateway of `outcome` meets the last act only; where there are two, each
        // gets a server of its own.
        if acts.len() > 1 {
            let url = serve(acts, false).await;
            let gateway = gateway(GatewayKind::Stripe, &url);
            let answer = gateway.charge(&charge("k", 1_000, "pm")).await;
            assert_eq!(said(answer), expected);
            continue;
        }
        assert_eq!(outcome(&serve(acts, false).await).await, expected);
    }
    assert_eq!(outcome(&nobody().await).await, "not sent: no connection");
}

#[tokio::test]
async fn a_second_try_that_is_refused_does_not_hide_a_first_that_was_heard() {
    for kind in GatewayKind::ALL {
        let url = serve(&[Reset], true).await;
        let answer = gateway(kind, &url).charge(&charge("k", 1_000, "pm_card_visa")).await;
        let text = said(answer);
        assert!(text.starts_with("unclear: an earlier try is unclear: no connection"), "{text}");
    }
}

#[tokio::test]
async fn a_breaker_that_opens_sends_nothing_and_a_probe_closes_it() {
    let url = serve(&[Answer(500, "")], false).await;
    let clock = TestClock::start();
    let gateway = opened(GatewayKind::Stripe, &around(&url, clock.world(), LIMIT));
    let ask = || async { said(gateway.charge(&charge("k", 1_000, "pm")).await) };
    for _ in 0..5 {
        // Two tries each; the tenth failure opens it.
        assert_eq!(ask().await, "unclear: status 500");
    }
    assert!(gateway.refuses().now_or_never().is_some());
    let open = "not sent: the gateway failed too often lately; next try in 30s";
    assert_eq!(ask().await, open);
    clock.advance(30);
    // The probe is heard, its second try is not made: what was heard stays unclear.
    let probe = ask().await;
    assert!(probe.starts_with("unclear: an earlier try is unclear"), "{probe}");
    assert_eq!(ask().await, open);
}

#[tokio::test]
async fn a_full_bulkhead_sends_nothing() {
    let url = serve(&[Silence], false).await;
    let mut around: Surroundings = around(&url, TestClock::start().world(), LIMIT);
    around.guard.at_once = 2;
    around.guard.limit = LIMIT;
    let gateway = opened(GatewayKind::Simulator, &around);
    let one = charge("k", 1_000, "pm_card_visa");
    let all = join_all((0..3).map(|_| gateway.charge(&one))).await;
    let mut texts: Vec<_> = all.into_iter().map(said).collect();
    texts.sort();
    let busy = "not sent: too many calls to the gateway are under way";
    assert_eq!(texts, [busy, "unclear: no answer in time", "unclear: no answer in time"]);
}
