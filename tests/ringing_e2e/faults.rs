//! What goes wrong outside: each a clear error, nothing lost, nobody else disturbed.

use crate::bare::*;
use crate::support::*;
use futures_util::{SinkExt, StreamExt};
use sqlx::{Connection, Executor};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use trill::base::{ErrorCode, ParticipantIdentity, SessionId, UnixMillis};
use trill::identity::{AdminToken, ApiKey, SessionToken, UserToken};
use trill::ringing::client::LoginState;
use trill::ringing::{CallEventKind, CallStatus, LogFilter};
use trill::server::{Server, ServerConfig};

#[tokio::test]
async fn a_malformed_message_closes_that_connection_with_a_reason_and_no_other() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let long = format!(r#"{{"type":"request","id":"1","method":"calls","x":"{}"}}"#, "x".repeat(64 * 1024));
    let bad = [
        (Message::text("{not json"), "malformed"),
        (Message::text(r#"{"type":"dance"}"#), "malformed"),
        (Message::text(r#"{"type":"request","id":"","method":"calls"}"#), "malformed"),
        (Message::text(r#"{"type":"request","method":"calls"}"#), "malformed"),
        (Message::binary(vec![1, 2, 3]), "malformed"),
        (Message::text(long), "too_large"),
        (Message::text(r#"{"type":"hello","version":1,"token":"x","deviceId":"d"}"#), "malformed"),
    ];
    for (message, code) in bad {
        let mut socket = bare_logged_in(&server, "mallory").await;
        socket.send(message).await.unwrap();
        expect_bye(&mut socket, code).await;
    }
    alice.client.initiate(call_to("bob")).await.unwrap();
    bob.expect(CallEventKind::IncomingReceived).await;
}

#[tokio::test]
async fn a_bad_request_fails_alone_and_its_connection_goes_on() {
    let server = TestServer::start().await;
    let mut socket = bare_logged_in(&server, "mallory").await;
    for (request, code) in [
        (r#"{"type":"request","id":"1","method":"fly"}"#, "not_supported"),
        (r#"{"type":"request","id":"2","method":"accept"}"#, "malformed"),
        (r#"{"type":"request","id":"3","method":"calls","params":{"limit":0}}"#, "invalid_argument"),
        (r#"{"type":"request","id":"4","method":"calls","params":{"cursor":"x"}}"#, "invalid_argument"),
    ] {
        socket.send(Message::text(request)).await.unwrap();
        let answer = next(&mut socket).await.unwrap();
        assert_eq!((answer["type"].as_str(), answer["error"]["code"].as_str()), (Some("response"), Some(code)));
    }
    socket.send(Message::text(r#"{"type":"request","id":"5","method":"calls"}"#)).await.unwrap();
    assert!(next(&mut socket).await.unwrap()["answer"]["calls"].is_object());
}

#[tokio::test]
async fn whoever_does_not_say_hello_properly_is_told_why() {
    let server = TestServer::start().await;
    let token = user_token("mallory");
    for (message, code) in [
        (r#"{"type":"request","id":"1","method":"calls"}"#.to_owned(), "not_logged_in"),
        (format!(r#"{{"type":"hello","version":9,"token":"{token}","deviceId":"d"}}"#), "not_supported"),
        (r#"{"type":"hello","version":1,"token":"","deviceId":"d"}"#.to_owned(), "token_missing"),
    ] {
        let mut socket = bare(&server).await;
        socket.send(Message::text(message)).await.unwrap();
        expect_bye(&mut socket, code).await;
    }
}

#[tokio::test]
async fn a_flood_of_requests_is_refused_and_not_served() {
    let server = TestServer::start_with(|config| config.limits.requests_per_second = 1).await;
    let mut socket = bare_logged_in(&server, "mallory").await;
    let mut refused = 0;
    for id in 0..20 {
        let request = format!(r#"{{"type":"request","id":"{id}","method":"calls"}}"#);
        socket.send(Message::text(request)).await.unwrap();
        refused += usize::from(next(&mut socket).await.unwrap()["error"]["code"] == "too_many_requests");
    }
    // Five at once, and one more for each second that a slow machine takes for all this.
    assert!((1..=15).contains(&refused), "{refused} of 20");
}

#[tokio::test]
async fn a_token_that_does_not_hold_fails_the_login_with_its_own_error() {
    let server = TestServer::start().await;
    let now = UnixMillis::now();
    let minute = Duration::from_secs(60);
    let user = UserToken::new(uid("alice"));
    let stranger = ApiKey::new("test", "another-secret-of-thirty-two-bytes-or-more").unwrap();
    let old = user.mint(&key(), UnixMillis(now.0 - 3_600_000), minute);
    let early = user.mint(&key(), now + 60 * minute, minute);
    for (token, expected) in [
        (old, ErrorCode::TokenExpired),
        (early, ErrorCode::TokenNotYetValid),
        (user.mint(&stranger, now, minute), ErrorCode::TokenWrongKey),
        ("not.a.jwt".to_owned(), ErrorCode::TokenMalformed),
        (String::new(), ErrorCode::TokenMissing),
    ] {
        let refused = Device::log_in(&server.url(), token, "phone").await.map(drop);
        assert_eq!(code(refused), expected);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let port = TcpStream::connect(("127.0.0.1", 1)).await;
    assert!(port.is_err(), "somebody listens on port 1");
    let refused = Device::log_in("ws://127.0.0.1:1", user_token("alice"), "phone").await.map(drop);
    assert_eq!(code(refused), ErrorCode::ServerUnreachable);
}

#[tokio::test]
async fn a_second_login_of_one_device_replaces_the_first() {
    let server = TestServer::start().await;
    let first = server.log_in("alice", "phone").await;
    let second = server.log_in("alice", "phone").await;
    let state = first.until_login(|state| matches!(state, LoginState::LoggedOut(_))).await;
    let LoginState::LoggedOut(error) = state else { unreachable!() };
    assert_eq!(error.code(), ErrorCode::DeviceReplaced);
    assert_eq!(code(first.client.log(LogFilter::default()).await), ErrorCode::NotLoggedIn);
    second.client.log(LogFilter::default()).await.unwrap();
}

#[tokio::test]
async fn a_device_that_vanished_without_a_word_is_found_by_its_silence() {
    let server = TestServer::start_with(|config| {
        config.ping_interval = Duration::from_millis(200);
        config.calls.caller_grace = Duration::from_millis(200);
    })
    .await;
    let bob = server.log_in("bob", "laptop").await;
    // It reads nothing any more, so it answers no ping; and its connection stays open.
    let mut alice = bare_logged_in(&server, "alice").await;
    let params = serde_json::json!({"receiver":"bob","receiverType":"USER","type":"AUDIO"});
    let request = serde_json::json!({"type":"request","id":"1","method":"initiate","params":params});
    alice.send(Message::text(request.to_string())).await.unwrap();
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.expect(CallEventKind::IncomingCancelled).await;
    drop(alice);
}

#[tokio::test]
async fn a_port_in_use_and_a_bad_configuration_are_told_at_the_start() {
    let server = TestServer::start().await;
    let start = async |config: ServerConfig| code(Server::start(config).await.map(drop));
    let config = server.config().clone();
    assert_eq!(start(config.clone()).await, ErrorCode::PortInUse);
    let free = ServerConfig { http: "127.0.0.1:0".parse().unwrap(), ..config };
    let (udp, database) = (server.server.udp_addr(), format!("{}-2", server.config().database));
    assert_eq!(start(ServerConfig { udp, database, ..free.clone() }).await, ErrorCode::PortInUse);
    assert_eq!(start(ServerConfig { api_keys: vec![], ..free.clone() }).await, ErrorCode::Configuration);
    let second = Server::start(free.clone()).await.map(drop).unwrap_err();
    assert_eq!(second.code(), ErrorCode::StoreFailed);
    assert!(second.message().contains("another server"), "two servers would act for the same calls: {second}");
    let nowhere = "/no/such/folder/trill.db".to_owned();
    assert_eq!(start(ServerConfig { database: nowhere, ..free }).await, ErrorCode::StoreFailed);
}

#[tokio::test]
async fn a_locked_store_fails_the_request_and_loses_nothing() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;

    let path = format!("sqlite:{}", server.database().display());
    let mut other = sqlx::SqliteConnection::connect(&path).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(code(bob.client.accept(&session).await), ErrorCode::StoreFailed);
    // What was not stored did not happen, and nobody was told that it did.
    assert_eq!(code(alice.client.session_token(&session).await), ErrorCode::NotYetAccepted);
    assert_eq!(alice.client.call(&session).await.unwrap().status, CallStatus::Initiated);
    // The owner's changes neither.
    let body = serde_json::json!({"name": "Carol"});
    let refused = http_json(&server, "PUT", "/v1/users/carol", admin(), body.clone()).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (503, "store_failed"));
    let refused = http(&server, "DELETE", "/v1/users/bob", &[admin()]).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (503, "store_failed"));
    other.execute("ROLLBACK").await.unwrap();

    assert_eq!(http(&server, "GET", "/v1/users/carol", &[admin()]).await.status, 404);
    assert_eq!(http_json(&server, "PUT", "/v1/users/carol", admin(), body).await.status, 201);
    assert_eq!(bob.client.accept(&session).await.unwrap().status, CallStatus::Ongoing);
    alice.expect(CallEventKind::OutgoingAccepted).await;
    alice.expect_nothing_more().await;
}

#[tokio::test]
async fn a_token_of_another_key_or_for_another_use_is_refused_by_every_door() {
    let server = TestServer::start().await;
    let now = UnixMillis::now();
    let minute = Duration::from_secs(60);
    let unknown = ApiKey::new("other", "a-secret-of-another-key-of-thirty-two-bytes").unwrap();
    let forged = ApiKey::new(KEY_ID, "the-right-id-and-a-wrong-secret-of-32-bytes").unwrap();
    let room = SessionToken::for_call(
        ParticipantIdentity::new("alice").unwrap(),
        String::new(),
        &SessionId::new("lobby").unwrap(),
    );
    for (token, status, code) in [
        (AdminToken { name: "x".into() }.mint(&unknown, now, minute), 401, "token_wrong_key"),
        (AdminToken { name: "x".into() }.mint(&forged, now, minute), 401, "token_wrong_key"),
        (UserToken::new(uid("alice")).mint(&forged, now, minute), 401, "token_wrong_key"),
        (room.mint(&key(), now, minute), 403, "token_missing_grant"),
        ("x".repeat(20_000), 413, "too_large"),
    ] {
        for path in ["/v1/calls", "/v1/users", "/v1/groups", "/v1/users/alice"] {
            let answer = http(&server, "GET", path, &[bearer(&token)]).await;
            assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{path}");
        }
        let mut socket = bare(&server).await;
        let hello = serde_json::json!({"type": "hello", "version": 1, "token": token, "deviceId": "d"});
        socket.send(Message::text(hello.to_string())).await.unwrap();
        expect_bye(&mut socket, code).await;
    }
}

#[tokio::test]
async fn one_device_id_of_two_users_is_two_devices() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "phone").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();
    alice.until(CallEventKind::OutgoingAccepted).await;
}

#[tokio::test]
async fn a_call_does_not_ring_for_an_hour_because_the_clock_was_set_back_by_one() {
    let server = TestServer::start_with(|config| {
        config.calls.ring_timeout = Duration::from_secs(2);
        config.calls.ring_timeout_max = Duration::from_secs(2);
    })
    .await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let call = alice.client.initiate(call_to("bob")).await.unwrap();
    bob.expect(CallEventKind::IncomingReceived).await;
    let path = format!("sqlite:{}", server.database().display());
    // While the server is away, what it stored comes to lie an hour ahead of the clock.
    let server = server
        .restart_after(async || {
            let mut store = sqlx::SqliteConnection::connect(&path).await.unwrap();
            let hour = "UPDATE calls SET record = json_set(record, '$.ringsUntil', json_extract(record, '$.ringsUntil') + 3600000)";
            store.execute(hour).await.unwrap();
            store.close().await.unwrap();
        })
        .await;
    let event = alice.until(CallEventKind::OutgoingUnanswered).await;
    assert_eq!(event.call.session_id, call.session_id);
    server.server.shutdown().await;
}

#[tokio::test]
async fn logging_out_from_a_server_that_is_silent_does_not_hang() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    // A server that welcomes, and from then on neither reads nor answers.
    let silent = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket.next().await.unwrap().unwrap();
        let welcome =
            r#"{"type":"welcome","version":1,"user":{"uid":"alice"},"time":0,"pingIntervalMs":60000,"calls":[]}"#;
        socket.send(Message::text(welcome)).await.unwrap();
        std::future::pending::<tungstenite::Result<()>>().await
    });
    let alice = Device::log_in(&url, "any".into(), "phone").await.unwrap();
    let request = tokio::spawn({
        let client = alice.client.clone();
        async move { client.log(LogFilter::default()).await }
    });
    let started = std::time::Instant::now();
    alice.client.log_out().await;
    // Bounded, not hung, is what this shows: its own timer ends it after 1.9 s, which a busy machine may notice late.
    // Nothing else would end it so soon: the server is silent for ever, and a request may take 15 s.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let answer = timeout(SOON, request).await.expect("an answer in time").unwrap();
    assert!(matches!(code(answer), ErrorCode::Cancelled | ErrorCode::NotLoggedIn));
    silent.abort();
}
