//! The HTTP client and the guard before it.

use std::time::{Duration, Instant};

use caudal_outbound::{
    Answer, Client, ClientOptions, Guard, GuardOptions, HttpFault, Refused, Request, Url,
};
use futures::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, header, path},
};

use crate::TestClock;

fn client() -> Client {
    let limit = Duration::from_millis(300);
    Client::new(ClientOptions { limit, body_bytes: 1_000, ..Default::default() }).unwrap()
}

fn get(server: &str, path: &str) -> Request {
    Request::get(Url::parse(server).unwrap().join(path).unwrap())
}

async fn serve(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// A server that reads a request and then writes these bytes, whatever they are.
async fn serve_raw(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(&answer).await;
            let _ = socket.read(&mut [0; 1]).await;
        }
    });
    url
}

#[tokio::test]
async fn an_answer_is_read_whole_and_we_say_who_we_are() {
    let server = MockServer::start().await;
    let agent = concat!("caudal/", env!("CARGO_PKG_VERSION"));
    Mock::given(header("user-agent", agent))
        .respond_with(ResponseTemplate::new(404).set_body_string("nothing here"))
        .mount(&server)
        .await;
    let answer = client().send(get(&server.uri(), "/a")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (404, &b"nothing here"[..]));
    assert_eq!(answer.success(), Err(HttpFault::Status(404)));
}

#[tokio::test]
async fn a_slow_server_is_given_up_within_the_limit() {
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    // The second one answers at once, but never ends.
    let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_vec();
    for url in [serve(slow).await.uri(), serve_raw(endless).await] {
        let began = Instant::now();
        let fault = client().send(get(&url, "/")).await.map(|answer| answer.status);
        assert_eq!(fault, Err(HttpFault::TimedOut));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = MockServer::start().await;
    let away = ResponseTemplate::new(302).insert_header("location", "/b");
    Mock::given(path("/a")).respond_with(away).mount(&server).await;
    Mock::given(path("/b")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
    let answer = client().send(get(&server.uri(), "/a")).await.unwrap();
    assert_eq!(answer.success(), Err(HttpFault::Status(302)));
}

#[tokio::test]
async fn an_answer_too_large_is_refused_whether_it_tells_its_length_or_not() {
    let told = serve(ResponseTemplate::new(200).set_body_bytes(vec![b'a'; 1_001])).await;
    let chunk = [b"200\r\n".to_vec(), vec![b'a'; 0x200], b"\r\n".to_vec()].concat();
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let untold = serve_raw([head, chunk.repeat(2), b"0\r\n\r\n".to_vec()].concat()).await;
    for url in [told.uri(), untold] {
        let fault = client().send(get(&url, "/")).await.map(|answer| answer.status);
        assert_eq!(fault, Err(HttpFault::TooLarge(1_000)));
    }
    let just = serve(ResponseTemplate::new(200).set_body_bytes(vec![b'a'; 1_000])).await;
    assert_eq!(client().send(get(&just.uri(), "/")).await.unwrap().body.len(), 1_000);
}

#[tokio::test]
async fn failures_open_the_breaker_and_a_probe_closes_it() {
    let (clock, client) = (TestClock::start(), client());
    let guard = Guard::new("test", GuardOptions::default(), clock.world());
    let server = MockServer::start().await;
    let ill = ResponseTemplate::new(500);
    Mock::given(any()).respond_with(ill).up_to_n_times(11).expect(11).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&server).await;
    let call = || {
        let request = get(&server.uri(), "/");
        guard.call(async { client.send(request).await.and_then(Answer::success) })
    };

    for _ in 0..10 {
        assert_eq!(call().await, Err(Refused::Failed(HttpFault::Status(500))));
    }
    assert_eq!(call().await, Err(Refused::Open(Duration::from_secs(30))));
    clock.advance(30);
    assert_eq!(call().await, Err(Refused::Failed(HttpFault::Status(500))));
    assert_eq!(call().await, Err(Refused::Open(Duration::from_secs(30))));
    clock.advance(30);
    assert!(call().await.is_ok());
    assert!(guard.refuses().now_or_never().is_none());
}

#[tokio::test]
async fn faults_do_not_tell_the_url() {
    let url = "http://user:secret@127.0.0.1:1/token?key=secret";
    let fault = client().send(Request::get(Url::parse(url).unwrap())).await.unwrap_err();
    assert!(matches!(fault, HttpFault::NotConnected(_)), "{fault:?}");
    assert!(!format!("{fault} {fault:?}").contains("secret"));
}
