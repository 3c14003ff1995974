//! The session server's endpoints as a client meets them: HTTP answers, both encodings, and what costs a client its
//! connection.
#![cfg(feature = "server")]
#![allow(clippy::disallowed_methods, reason = "real sockets run in real time")]

use futures_util::{SinkExt, StreamExt};
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{DisconnectReason, JoinResponse, Ping, SignalRequest, SignalResponse, leave_request};
use prost::Message as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use trill::base::{Error, ErrorCode, ParticipantIdentity, Result, SessionId, UnixMillis};
use trill::identity::{ApiKey, KeyRing, SessionToken, UserToken};
use trill::server::sfu::{CloseReason, RoomGate, Sfu, SfuConfig};

const SECRET: &str = "a-secret-for-tests-of-thirty-two-bytes-or-more";

/// The bound on every wait.
const SOON: Duration = Duration::from_secs(10);

/// Knows one session whose callee has not accepted.
struct Gate;

#[async_trait::async_trait]
impl RoomGate for Gate {
    async fn may_join(&self, room: &SessionId, _: &ParticipantIdentity) -> Result<()> {
        if room.as_str() == "ringing" { Err(ErrorCode::NotYetAccepted.into()) } else { Ok(()) }
    }
}

struct Server {
    address: SocketAddr,
    sfu: Sfu,
}

impl Server {
    async fn start(change: impl FnOnce(&mut SfuConfig)) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = SfuConfig::new(loopback, KeyRing::new(key(SECRET)));
        change(&mut config);
        let sfu = Sfu::start(config, Arc::new(Gate)).unwrap();
        let listener = TcpListener::bind(loopback).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = sfu.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, sfu }
    }

    /// The status and all of the answer to a GET.
    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer.to_lowercase())
    }

    async fn validate(&self, token: &str) -> (u16, String) {
        self.get(&format!("/rtc/validate?access_token={token}")).await
    }

    async fn connect(&self, identity: &str) -> Client {
        self.connect_with(&token(identity, "room"), "").await
    }

    async fn connect_with(&self, token: &str, query: &str) -> Client {
        let url = format!("ws://{}/rtc?access_token={token}{query}", self.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Client { socket }
    }
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(SOON, self.socket.next()).await.expect("the server says something").and_then(|m| m.ok())
    }

    /// The next message that `wanted` picks something from.
    async fn wait_for<T>(&mut self, wanted: impl Fn(Response) -> Option<T>) -> T {
        loop {
            let Some(Message::Binary(bytes)) = self.next().await else { panic!("the connection ended") };
            let message = SignalResponse::decode(&bytes[..]).unwrap().message.unwrap();
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    async fn joined(&mut self) -> JoinResponse {
        self.wait_for(|message| match message {
            Response::Join(join) => Some(join),
            other => panic!("not a join response first, but {other:?}"),
        })
        .await
    }

    /// Why the server said farewell, and the code and reason with which it closed.
    async fn end(&mut self) -> (Option<DisconnectReason>, u16, String) {
        let mut reason = None;
        loop {
            match self.next().await {
                Some(Message::Binary(bytes)) => {
                    if let Some(Response::Leave(leave)) = SignalResponse::decode(&bytes[..]).unwrap().message {
                        reason = Some(leave.reason());
                    }
                }
                Some(Message::Close(Some(frame))) => return (reason, frame.code.into(), frame.reason.to_string()),
                Some(_) => {}
                None => panic!("the connection ended without a close frame; farewell: {reason:?}"),
            }
        }
    }

    async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    async fn request(&mut self, message: Request) {
        let bytes = SignalRequest { message: Some(message) }.encode_to_vec();
        self.send(Message::Binary(Bytes::from(bytes))).await;
    }

    /// It still has its session: the server answers.
    async fn assert_alive(&mut self) {
        self.request(Request::PingReq(Ping { timestamp: 7, rtt: 0 })).await;
        self.wait_for(|message| match message {
            Response::PongResp(pong) => (pong.last_ping_timestamp == 7).then_some(()),
            _ => None,
        })
        .await;
    }

    async fn see_leave(&mut self, identity: &str) {
        self.wait_for(|message| match message {
            Response::Update(update) => {
                update.participants.into_iter().find(|p| p.identity == identity && p.state == 3).map(drop)
            }
            _ => None,
        })
        .await;
    }
}

fn key(secret: &str) -> ApiKey {
    ApiKey::new("test", secret).unwrap()
}

fn token(identity: &str, room: &str) -> String {
    session_token(identity, room).mint(&key(SECRET), UnixMillis::now(), Duration::from_secs(60))
}

fn session_token(identity: &str, room: &str) -> SessionToken {
    SessionToken::for_call(identity.parse().unwrap(), String::new(), &room.parse().unwrap())
}

#[tokio::test]
async fn each_refusal_has_its_status_and_code_before_any_websocket() {
    let server = Server::start(|_| {}).await;
    let (now, minute) = (UnixMillis::now(), Duration::from_secs(60));
    let anna = || session_token("anna", "room");
    let long_ago = UnixMillis(now.0 - 3_600_000);
    let mut no_join = anna();
    no_join.video.room_join = false;
    let user = UserToken::new("anna".parse().unwrap()).mint(&key(SECRET), now, minute);
    let other_key = key("another-secret-for-tests-of-thirty-two-bytes");
    let cases = [
        (String::new(), 401, "token_missing"),
        ("rubbish".into(), 401, "token_malformed"),
        (anna().mint(&other_key, now, minute), 401, "token_wrong_key"),
        (anna().mint(&key(SECRET), long_ago, minute), 401, "token_expired"),
        (user, 403, "token_missing_grant"),
        (no_join.mint(&key(SECRET), now, minute), 403, "token_missing_grant"),
        (token("anna", "ringing"), 403, "not_yet_accepted"),
    ];
    for (token, status, code) in cases {
        let (got, answer) = server.validate(&token).await;
        assert_eq!(got, status, "{answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
        assert!(answer.contains("access-control-allow-origin: *"), "a browser must be able to read it: {answer}");
        let url = format!("ws://{}/rtc?access_token={token}", server.address);
        assert!(tokio_tungstenite::connect_async(url).await.is_err(), "{code}: no WebSocket either");
    }
    assert_eq!(server.validate(&token("anna", "room")).await.0, 200);
}

#[tokio::test]
async fn version_1_is_not_found_in_a_way_that_browsers_can_see() {
    let server = Server::start(|_| {}).await;
    for path in ["/rtc/v1", "/rtc/v1/validate"] {
        let (status, answer) = server.get(path).await;
        assert_eq!(status, 404);
        assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
    }
}

#[tokio::test]
async fn the_join_response_has_what_clients_rely_on() {
    let server = Server::start(|_| {}).await;
    let mut anna = server.connect("anna").await;
    anna.joined().await;
    let mut ben = server.connect("ben").await;
    let join = ben.joined().await;
    assert_eq!(join.room.unwrap().name, "room");
    assert_eq!(join.participant.unwrap().identity, "ben");
    assert_eq!(join.other_participants[0].identity, "anna");
    assert_eq!((join.ping_interval, join.ping_timeout), (5, 15));
    assert!(join.fast_publish && join.subscriber_primary);
    assert!(join.server_info.unwrap().protocol <= 17);
    ben.wait_for(|message| matches!(message, Response::Offer(_)).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_speaks_json_is_answered_in_json() {
    let server = Server::start(|_| {}).await;
    let mut anna = server.connect("anna").await;
    anna.joined().await;
    anna.send(Message::Text(r#"{"ping":"5"}"#.into())).await;
    loop {
        if let Message::Text(text) = anna.next().await.unwrap() {
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
            if answer.get("pong").is_some() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn who_breaks_a_rule_is_told_and_put_out_and_the_others_go_on() {
    let server = Server::start(|config| {
        config.limits.signal_bytes = 4096;
        config.limits.signals_per_second = 20;
    })
    .await;
    let mut anna = server.connect("anna").await;
    anna.joined().await;
    let malformed = || vec![Message::Binary(Bytes::from_static(&[0xff; 32]))];
    let malformed_json = || vec![Message::Text("{".into())];
    let too_long = || vec![Message::Binary(vec![0; 5000].into())];
    let ping = SignalRequest { message: Some(Request::Ping(1)) }.encode_to_vec();
    let too_many = || vec![Message::Binary(ping.clone().into()); 150];
    let cases = [
        (malformed(), 1007, "malformed"),
        (malformed_json(), 1007, "malformed"),
        (too_long(), 1009, "too_large"),
        (too_many(), 1008, "too_many_requests"),
    ];
    for (messages, code, reason) in cases {
        let mut ben = server.connect("ben").await;
        ben.joined().await;
        for message in messages {
            // The server may have hung up before the last one.
            if ben.socket.send(message).await.is_err() {
                break;
            }
        }
        let (_, got, why) = ben.end().await;
        assert_eq!(got, code, "{why}");
        assert!(why.starts_with(reason), "{why}");
        anna.see_leave("ben").await;
        anna.assert_alive().await;
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_dropped() {
    let server = Server::start(|config| {
        config.ping_timeout = Duration::from_secs(1);
        config.resume_timeout = Duration::from_secs(1);
    })
    .await;
    let mut silent = server.connect("silent").await;
    silent.joined().await;
    let (_, _, why) = silent.end().await;
    assert!(why.starts_with("timed_out"), "{why}");
}

#[tokio::test]
async fn who_pings_and_has_no_media_connection_in_time_is_told_and_dropped() {
    let server = Server::start(|config| config.connect_timeout = Duration::from_millis(500)).await;
    let mut anna = server.connect("anna").await;
    anna.joined().await;
    let mut pings = tokio::time::interval(Duration::from_millis(100));
    let farewell = async {
        loop {
            tokio::select! {
                biased;
                message = anna.next() => {
                    let Some(Message::Binary(bytes)) = message else { panic!("the connection ended without a word") };
                    if let Some(Response::Leave(leave)) = SignalResponse::decode(&bytes[..]).unwrap().message {
                        return leave.reason();
                    }
                }
                _ = pings.tick() => anna.request(Request::PingReq(Ping { timestamp: 7, rtt: 0 })).await,
            }
        }
    };
    // Less than the 15 s after which an offer counts as unanswered.
    let reason = tokio::time::timeout(SOON, farewell).await.expect("it is told to leave");
    assert_eq!(reason, DisconnectReason::JoinFailure);
    assert_eq!(anna.end().await.1, 1000);
}

#[tokio::test]
async fn a_resume_of_what_the_server_does_not_know_asks_for_a_new_join() {
    let server = Server::start(|_| {}).await;
    let mut anna = server.connect_with(&token("anna", "room"), "&reconnect=1&sid=PA_unknown").await;
    let leave = anna
        .wait_for(|message| match message {
            Response::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.action(), leave_request::Action::Reconnect);
}

#[tokio::test]
async fn a_full_session_says_so() {
    let server = Server::start(|config| config.limits.participants = 1).await;
    let mut anna = server.connect("anna").await;
    anna.joined().await;
    let mut ben = server.connect("ben").await;
    let (reason, _, why) = ben.end().await;
    assert_eq!(reason, Some(DisconnectReason::JoinFailure));
    assert!(why.starts_with("room_full"), "{why}");
}

#[tokio::test]
async fn the_server_can_end_a_session_and_put_somebody_out() {
    let server = Server::start(|_| {}).await;
    let (mut anna, mut ben) = (server.connect("anna").await, server.connect("ben").await);
    anna.joined().await;
    ben.joined().await;
    let room = SessionId::new("room").unwrap();
    server.sfu.remove(&room, &"ben".parse().unwrap()).await.unwrap();
    assert_eq!(ben.end().await.0, Some(DisconnectReason::ParticipantRemoved));
    let again: Error = server.sfu.remove(&room, &"ben".parse().unwrap()).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::ParticipantNotFound);
    server.sfu.close_room(&room, CloseReason::Ended).await;
    assert_eq!(anna.end().await.0, Some(DisconnectReason::RoomDeleted));
}

#[tokio::test]
async fn a_shutdown_is_told_to_everybody_and_nobody_comes_in_after_it() {
    let server = Server::start(|_| {}).await;
    let mut anna = server.connect("anna").await;
    anna.joined().await;
    server.sfu.shutdown().await;
    assert_eq!(anna.end().await.0, Some(DisconnectReason::ServerShutdown));
    let (_, _, why) = server.connect("ben").await.end().await;
    assert!(why.starts_with("server_unavailable"), "{why}");
}
