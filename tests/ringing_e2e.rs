//! Ringing over real sockets: two devices and a server with its store, on the loopback.
#![cfg(feature = "server")]

use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use trill::base::{DeviceId, Error, ErrorCode, Result, Uid, UnixMillis};
use trill::engine::{RingClient, RingEvent, RingSettings};
use trill::identity::{ApiKey, UserToken};
use trill::ringing::wire::{Initiate, RejectReason};
use trill::ringing::{CallEvent, CallEventKind, CallStatus, CallType, EndReason, LogFilter, ParticipantState};
use trill::server::{ApiKeyConfig, CallConfig, Server, ServerConfig};

const SECRET: &str = "a-secret-for-tests-of-thirty-two-bytes-or-more";

/// The bound on every wait. Nothing here takes long; a machine under load may.
const SOON: Duration = Duration::from_secs(20);

struct TestServer {
    server: Server,
    dir: TempDir,
    config: ServerConfig,
}

impl TestServer {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = ServerConfig {
            http: "127.0.0.1:0".parse().unwrap(),
            udp: "127.0.0.1:0".parse().unwrap(),
            api_keys: vec![ApiKeyConfig { id: "test".into(), secret: SECRET.into() }],
            database: dir.path().join("trill.db").display().to_string(),
            calls: CallConfig {
                ring_timeout_min: Duration::from_millis(200),
                caller_grace: Duration::from_millis(500),
                call_grace: Duration::from_millis(800),
                ..CallConfig::default()
            },
            ..ServerConfig::default()
        };
        change(&mut config);
        let server = Server::start(config.clone()).await.unwrap();
        // A restart comes back to the same address, as a real server does.
        config.http = server.http_addr();
        Self { server, dir, config }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.http_addr())
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("trill.db")
    }

    async fn restart(self) -> Self {
        let Self { server, dir, config } = self;
        server.shutdown().await;
        let server = Server::start(config.clone()).await.unwrap();
        Self { server, dir, config }
    }

    async fn log_in(&self, uid: &str, device: &str) -> Device {
        Device::log_in(&self.url(), user_token(uid), device).await.unwrap()
    }
}

struct Device {
    client: RingClient,
    events: Mutex<mpsc::UnboundedReceiver<CallEvent>>,
}

impl Device {
    async fn log_in(url: &str, token: String, device: &str) -> Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let settings = RingSettings::new(url, token, DeviceId::new(device).unwrap());
        let client = RingClient::connect(settings, move |event| {
            if let RingEvent::Call(event) = event {
                let _ = sender.send(event);
            }
        })
        .await?;
        Ok(Self { client, events: Mutex::new(events) })
    }

    /// The next event, which must be of that kind.
    async fn expect(&self, kind: CallEventKind) -> CallEvent {
        let mut events = self.events.lock().await;
        let event = timeout(SOON, events.recv()).await.unwrap_or_else(|_| panic!("no event; {kind} expected"));
        let event = event.unwrap_or_else(|| panic!("logged out; {kind} expected"));
        assert_eq!(event.kind, kind, "{event:?}");
        event
    }

    async fn expect_nothing_more(&self) {
        self.client.log_out().await;
        let rest = self.events.lock().await.recv().await;
        assert!(rest.is_none(), "an event that nobody expected: {rest:?}");
    }
}

fn key() -> ApiKey {
    ApiKey::new("test", SECRET).unwrap()
}

fn uid(uid: &str) -> Uid {
    Uid::new(uid).unwrap()
}

fn user_token(name: &str) -> String {
    let token = UserToken { name: Some(name.to_uppercase()), ..UserToken::new(uid(name)) };
    token.mint(&key(), UnixMillis::now(), Duration::from_secs(600))
}

fn call_to(callee: &str) -> Initiate {
    Initiate::user(&uid(callee), CallType::Video)
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.map_err(|error: Error| error.code()).expect_err("it should have been refused")
}

#[tokio::test]
async fn a_call_is_rung_accepted_ended_and_stands_in_both_logs() {
    let server = TestServer::start().await;
    let alice = server.log_in("alice", "phone").await;
    let bob = server.log_in("bob", "laptop").await;

    let metadata = Some(serde_json::json!({ "topic": "tea" }));
    let call = alice.client.initiate(Initiate { metadata: metadata.clone(), ..call_to("bob") }).await.unwrap();
    assert_eq!(call.status, CallStatus::Initiated);
    assert_eq!(call.receiver.name.as_deref(), Some("BOB"));
    let session = call.session_id.clone();

    let incoming = bob.expect(CallEventKind::IncomingReceived).await;
    assert_eq!(incoming.call.initiator.name.as_deref(), Some("ALICE"));
    assert_eq!(incoming.call.metadata, metadata);
    alice.expect(CallEventKind::OutgoingRinging).await;

    // Consent: no token for either before the callee accepts.
    assert_eq!(code(alice.client.session_token(&session).await), ErrorCode::NotYetAccepted);
    assert_eq!(code(bob.client.session_token(&session).await), ErrorCode::NotYetAccepted);

    let accepted = bob.client.accept(&session).await.unwrap();
    assert_eq!(accepted.status, CallStatus::Ongoing);
    let event = alice.expect(CallEventKind::OutgoingAccepted).await;
    assert_eq!(event.by.unwrap().uid, uid("bob"));
    assert_eq!(alice.client.active_call().unwrap().session_id, session);

    let access = alice.client.session_token(&session).await.unwrap();
    assert_eq!(access.url, format!("ws://{}", server.server.http_addr()));
    bob.client.session_token(&session).await.unwrap();

    let ended = alice.client.end(&session).await.unwrap();
    assert_eq!((ended.status, ended.end_reason), (CallStatus::Ended, Some(EndReason::HungUp)));
    assert_eq!(ended.ended_by, Some(uid("alice")));
    alice.expect(CallEventKind::Ended).await;
    bob.expect(CallEventKind::Ended).await;
    assert_eq!(code(bob.client.session_token(&session).await), ErrorCode::AlreadyEnded);

    for device in [&alice, &bob] {
        let page = device.client.log(LogFilter::default()).await.unwrap();
        assert_eq!(page.calls, [ended.clone()]);
        assert_eq!(device.client.active_call(), None);
        device.expect_nothing_more().await;
    }
    server.server.shutdown().await;
}
