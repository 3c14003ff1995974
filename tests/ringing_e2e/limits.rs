//! What outsiders may ask for is bounded: each limit is refused with its code, and nobody else pays for it.

use crate::bare::*;
use crate::support::*;
use futures_util::SinkExt;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use trill::base::{DeviceId, ErrorCode, UnixMillis};
use trill::engine::RingSettings;
use trill::identity::{LEEWAY, UserToken};
use trill::ringing::client::LoginState;
use trill::ringing::wire::Initiate;
use trill::ringing::{CallEventKind, CallStatus};

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Until the metric is as wanted.
async fn until_metric(server: &TestServer, name: &str, wanted: impl Fn(f64) -> bool) {
    let start = Instant::now();
    loop {
        let value = metric(&http(server, "GET", "/metrics", &[]).await.body, name);
        if wanted(value) {
            return;
        }
        assert!(start.elapsed() < SOON, "{name} is {value}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Requests after which one must have been refused, at any rate that these tests set and on any machine.
const FLOOD: usize = 100;

fn is_refused(answer: &Answer) -> bool {
    answer.status == 429 && answer.error_code() == "too_many_requests"
}

/// Asks until it is refused. Returns how often it was not. No number of requests is sure to be too many: while a slow
/// machine makes them, tokens come back.
async fn until_refused(mut refused: impl AsyncFnMut() -> bool) -> usize {
    for allowed in 0..FLOOD {
        if refused().await {
            return allowed;
        }
    }
    panic!("none of {FLOOD} requests was refused")
}

/// Five seconds' worth are let through at once, and then so many a second.
async fn expect_rate(per_second: usize, refused: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    let allowed = until_refused(refused).await;
    let most = (per_second as f64 * (5.0 + start.elapsed().as_secs_f64())) as usize;
    assert!((5 * per_second..=most).contains(&allowed), "{allowed} of {most} at the most");
}

/// When one way of asking is refused, the other is too, for they have one bucket; returns that refusal. If a token has
/// come back in between, it is done again, but less often in all than a full bucket of its own (`burst`) would allow.
async fn refused_together<T>(
    burst: usize,
    mut refused: impl AsyncFnMut() -> bool,
    mut other: impl AsyncFnMut() -> Option<T>,
) -> T {
    for _ in 1..burst {
        until_refused(&mut refused).await;
        if let Some(refusal) = other().await {
            return refusal;
        }
    }
    panic!("it is refused in one way, and never in the other")
}

#[tokio::test]
async fn the_devices_of_one_user_share_its_rate() {
    let server = TestServer::start_with(|config| {
        config.limits.requests_per_second = 1000;
        config.limits.user_requests_per_second = 2;
    })
    .await;
    let mut first = bare_logged_in(&server, "mallory").await;
    let mut id = 0;
    let mut device_is_refused = async || {
        id += 1;
        let request = json!({"type": "request", "id": id.to_string(), "method": "calls"});
        first.send(Message::text(request.to_string())).await.unwrap();
        next(&mut first).await.unwrap()["error"]["code"] == "too_many_requests"
    };
    expect_rate(2, &mut device_is_refused).await;
    // Over HTTP too it is the same user; and another user is none the worse for it.
    let over_http = async || {
        let answer = http(&server, "GET", "/v1/calls", &[bearer(&user_token("mallory"))]).await;
        (answer.status != 200).then_some(answer)
    };
    let answer = refused_together(10, &mut device_is_refused, over_http).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (429, "too_many_requests"));
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    assert_eq!(http(&server, "GET", "/v1/calls", &[bearer(&user_token("alice"))]).await.status, 200);
}

#[tokio::test]
async fn one_address_may_ask_and_log_in_only_so_often() {
    let server = TestServer::start_with(|config| {
        config.limits.address_requests_per_second = 2;
        config.limits.address_logins_per_second = 1;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let ask = async |path: &str, address: &str| {
        http(&server, "GET", path, &[admin(), format!("x-forwarded-for: {address}")]).await
    };
    expect_rate(2, async || is_refused(&ask("/v1/calls", "192.0.2.1").await)).await;
    assert_eq!(ask("/v1/calls", "192.0.2.2").await.status, 200, "another address is not that one");
    assert_eq!(ask("/healthz", "192.0.2.1").await.status, 200, "a watchman is let through");

    // Logins: refused before anything is upgraded, with a code that a device understands.
    let mut ring_is_refused = async || is_refused(&ask("/v1/ring", "192.0.2.1").await);
    expect_rate(1, &mut ring_is_refused).await;
    let validate = async || Some(ask("/rtc/validate", "192.0.2.1").await).filter(is_refused);
    refused_together(5, &mut ring_is_refused, validate).await;
    let ring_is_refused = async || is_refused(&http(&server, "GET", "/v1/ring", &[]).await);
    let log_in = async || Device::log_in(&server.url(), user_token("alice"), "phone").await.err();
    assert_eq!(refused_together(5, ring_is_refused, log_in).await.code(), ErrorCode::TooManyRequests);
}

#[tokio::test]
async fn a_forwarded_address_that_no_trusted_proxy_tells_counts_for_nothing() {
    let server = TestServer::start_with(|config| config.limits.address_requests_per_second = 1).await;
    let mut n = 0;
    let asked_and_refused = async || {
        n += 1;
        let forwarded = format!("x-forwarded-for: 192.0.2.{n}");
        is_refused(&http(&server, "GET", "/v1/calls", &[admin(), forwarded]).await)
    };
    expect_rate(1, asked_and_refused).await;
}

#[tokio::test]
async fn the_devices_of_a_user_are_so_many_and_no_more() {
    let server = TestServer::start_with(|config| config.limits.devices_per_user = 2).await;
    let _first = server.log_in("alice", "phone").await;
    let _second = server.log_in("alice", "laptop").await;
    let third = Device::log_in(&server.url(), user_token("alice"), "tablet").await.map(drop);
    assert_eq!(code(third), ErrorCode::TooManyRequests);
    // One that it has already is no new one.
    server.log_in("alice", "laptop").await;
}

#[tokio::test]
async fn the_devices_of_a_server_are_so_many_and_no_more() {
    let server = TestServer::start_with(|config| config.limits.connections = 1).await;
    let _alice = server.log_in("alice", "phone").await;
    let bob = Device::log_in(&server.url(), user_token("bob"), "laptop").await.map(drop);
    assert_eq!(code(bob), ErrorCode::ServerUnavailable);
}

#[tokio::test]
async fn a_user_who_rings_everywhere_already_is_not_rung_once_more() {
    let server = TestServer::start_with(|config| config.limits.open_calls_per_user = 2).await;
    let bob = server.log_in("bob", "laptop").await;
    for caller in ["alice", "carol"] {
        let caller = server.log_in(caller, "phone").await;
        caller.client.initiate(call_to("bob")).await.unwrap();
        bob.expect(CallEventKind::IncomingReceived).await;
    }
    let dave = server.log_in("dave", "phone").await;
    assert_eq!(code(dave.client.initiate(call_to("bob")).await), ErrorCode::TooManyRequests);
    bob.expect_nothing_more().await;
}

#[tokio::test]
async fn messages_and_metadata_are_as_large_as_the_owner_allows() {
    let server = TestServer::start_with(|config| {
        config.limits.message_size = 4096;
        config.limits.metadata_size = 64;
    })
    .await;
    let alice = server.log_in("alice", "phone").await;
    let _bob = server.log_in("bob", "laptop").await;
    let metadata = |len| Some(serde_json::Value::from("x".repeat(len)));
    let refused = alice.client.initiate(Initiate { metadata: metadata(63), ..call_to("bob") }).await;
    assert_eq!(code(refused), ErrorCode::TooLarge);
    alice.client.initiate(Initiate { metadata: metadata(62), ..call_to("bob") }).await.unwrap();
    let mut socket = bare_logged_in(&server, "mallory").await;
    socket.send(Message::text(" ".repeat(4097))).await.unwrap();
    expect_bye(&mut socket, "too_large").await;
}

#[tokio::test]
async fn a_client_that_dawdles_over_its_request_is_let_go() {
    let server = TestServer::start_with(|config| {
        config.limits.header_timeout = Duration::from_millis(300);
        config.limits.request_timeout = Duration::from_millis(300);
    })
    .await;
    let address = server.server.http_addr();
    // Half a head, and nothing more.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut rest = Vec::new();
    timeout(SOON, slow.read_to_end(&mut rest)).await.expect("the end of the connection").unwrap();
    // A head, and half a body.
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT /v1/users/bob HTTP/1.1\r\nhost: x\r\n{}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        admin()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut text = vec![0; 1024];
    let read = timeout(SOON, slow.read(&mut text)).await.expect("an answer in time").unwrap();
    let text = String::from_utf8_lossy(&text[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("timed_out"), "{text}");
}

#[tokio::test]
async fn a_device_that_stops_reading_is_dropped_and_holds_up_nobody() {
    let server = TestServer::start_with(|config| {
        config.limits.write_timeout = Duration::from_secs(1);
        config.limits.requests_per_second = 0;
        config.limits.user_requests_per_second = 0;
    })
    .await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    // A log to ask for that is not small.
    let metadata = Some(serde_json::Value::from("x".repeat(4000)));
    for _ in 0..30 {
        let call = Initiate { metadata: metadata.clone(), ..call_to("bob") };
        let session = alice.client.initiate(call).await.unwrap().session_id;
        alice.client.reject(&session, trill::ringing::wire::RejectReason::Cancelled).await.unwrap();
    }
    // A third device, with hardly a buffer, asks for it again and again and reads nothing.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.server.http_addr()).await.unwrap();
    let url = format!("ws://{}/v1/ring", server.server.http_addr());
    let (mut stuck, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let hello = json!({"type": "hello", "version": 1, "token": user_token("alice"), "deviceId": "stuck"});
    stuck.send(Message::text(hello.to_string())).await.unwrap();
    until_metric(&server, "trill_ringing_connections", |count| count == 3.0).await;
    for id in 0..400 {
        let request = json!({"type": "request", "id": id.to_string(), "method": "calls"});
        // When the server has enough of it, it takes no more.
        if timeout(Duration::from_secs(5), stuck.send(Message::text(request.to_string()))).await.is_err() {
            break;
        }
    }
    // Meanwhile calls go through as ever, to the same user's other device too.
    let started = Instant::now();
    let session = bob.client.initiate(call_to("alice")).await.unwrap().session_id;
    alice.until(CallEventKind::IncomingReceived).await;
    alice.client.accept(&session).await.unwrap();
    bob.until(CallEventKind::OutgoingAccepted).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    until_metric(&server, "trill_ringing_connections", |count| count == 2.0).await;
    assert!(metric(&http(&server, "GET", "/metrics", &[]).await.body, "trill_ringing_slow_readers_total") >= 1.0);
    assert_eq!(bob.client.call(&session).await.unwrap().status, CallStatus::Ongoing);
}

#[tokio::test]
async fn a_token_that_expires_ends_the_login_and_a_new_one_goes_on_with_the_call() {
    let server = TestServer::start().await;
    let bob = server.log_in("bob", "laptop").await;
    // It expired just so long ago that the leeway for clocks is over in 5 to 6 s, as whole seconds count: time for the
    // login and the call on a slow machine too.
    let minted = UnixMillis(UnixMillis::now().0 - LEEWAY.as_millis() as u64 + 6000);
    let short = UserToken::new(uid("alice")).mint(&key(), minted, Duration::ZERO);
    let settings = RingSettings::new(server.url(), short, DeviceId::new("phone").unwrap());
    let alice = Device::log_in_with(settings).await.unwrap();
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();
    let state = alice.until_login(|state| matches!(state, LoginState::LoggedOut(_))).await;
    let LoginState::LoggedOut(error) = state else { unreachable!() };
    assert_eq!(error.code(), ErrorCode::TokenExpired);

    let alice = server.log_in("alice", "phone").await;
    assert_eq!(alice.client.active_call().unwrap().session_id, session, "the same device is still in the call");
    alice.client.end(&session).await.unwrap();
    bob.expect(CallEventKind::Ended).await;
}
