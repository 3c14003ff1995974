//! A server of one's own, devices that write down what they hear, and bare HTTP.

use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use trill::base::{DeviceId, Error, ErrorCode, Result, Uid, UnixMillis};
use trill::engine::{RingClient, RingEvent, RingSettings};
use trill::identity::{AdminToken, ApiKey, UserToken};
use trill::ringing::client::LoginState;
use trill::ringing::wire::Initiate;
use trill::ringing::{CallEvent, CallEventKind, CallType};
use trill::server::{ApiKeyConfig, CallConfig, Server, ServerConfig};

pub const KEY_ID: &str = "test";
pub const SECRET: &str = "a-secret-for-tests-of-thirty-two-bytes-or-more";

/// The bound on every wait. Nothing here takes long; a machine under load may.
pub const SOON: Duration = Duration::from_secs(30);

pub struct TestServer {
    pub server: Server,
    dir: TempDir,
    config: ServerConfig,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = ServerConfig {
            http: "127.0.0.1:0".parse().unwrap(),
            udp: "127.0.0.1:0".parse().unwrap(),
            api_keys: vec![ApiKeyConfig { id: KEY_ID.into(), secret: SECRET.into() }],
            database: dir.path().join("trill.db").display().to_string(),
            calls: CallConfig { ring_timeout_min: Duration::from_secs(1), ..CallConfig::default() },
            ..ServerConfig::default()
        };
        change(&mut config);
        let server = Server::start(config.clone()).await.unwrap();
        // A restart comes back to the same address, as a real server does.
        config.http = server.http_addr();
        Self { server, dir, config }
    }

    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.http_addr())
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("trill.db")
    }

    pub async fn restart(self) -> Self {
        self.restart_after(async || {}).await
    }

    /// Something is done while the server is away.
    pub async fn restart_after(self, meanwhile: impl AsyncFnOnce()) -> Self {
        let Self { server, dir, config } = self;
        server.shutdown().await;
        meanwhile().await;
        let server = Server::start(config.clone()).await.unwrap();
        Self { server, dir, config }
    }

    pub async fn log_in(&self, uid: &str, device: &str) -> Device {
        Device::log_in(&self.url(), user_token(uid), device).await.unwrap()
    }
}

/// A logged-in device, with all that it hears in order.
pub struct Device {
    pub client: RingClient,
    events: Mutex<mpsc::UnboundedReceiver<CallEvent>>,
    logins: Mutex<mpsc::UnboundedReceiver<LoginState>>,
}

impl Device {
    pub async fn log_in(url: &str, token: String, device: &str) -> Result<Self> {
        Self::log_in_with(RingSettings::new(url, token, DeviceId::new(device).unwrap())).await
    }

    pub async fn log_in_with(settings: RingSettings) -> Result<Self> {
        let (to_events, events) = mpsc::unbounded_channel();
        let (to_logins, logins) = mpsc::unbounded_channel();
        let client = RingClient::connect(settings, move |event| match event {
            RingEvent::Call(event) => drop(to_events.send(event)),
            RingEvent::Login(state) => drop(to_logins.send(state)),
        })
        .await?;
        Ok(Self { client, events: Mutex::new(events), logins: Mutex::new(logins) })
    }

    /// The next event, which must be of that kind.
    pub async fn expect(&self, kind: CallEventKind) -> CallEvent {
        let mut events = self.events.lock().await;
        let event = timeout(SOON, events.recv()).await.unwrap_or_else(|_| panic!("no event; {kind} expected"));
        let event = event.unwrap_or_else(|| panic!("logged out; {kind} expected"));
        assert_eq!(event.kind, kind, "{event:?}");
        event
    }

    /// The next event of that kind, whatever comes before it.
    pub async fn until(&self, kind: CallEventKind) -> CallEvent {
        let mut events = self.events.lock().await;
        loop {
            let event = timeout(SOON, events.recv()).await.unwrap_or_else(|_| panic!("no event; {kind} expected"));
            let event = event.unwrap_or_else(|| panic!("logged out; {kind} expected"));
            if event.kind == kind {
                return event;
            }
        }
    }

    /// The next change of the login that is as wanted.
    pub async fn until_login(&self, wanted: impl Fn(&LoginState) -> bool) -> LoginState {
        let mut logins = self.logins.lock().await;
        loop {
            let state = timeout(SOON, logins.recv()).await.expect("a change of the login in time").expect("a change");
            if wanted(&state) {
                return state;
            }
        }
    }

    /// Lost the connection, and is back.
    pub async fn until_back(&self) {
        self.until_login(|state| matches!(state, LoginState::Reconnecting(_))).await;
        self.until_login(|state| matches!(state, LoginState::LoggedIn(_))).await;
    }

    /// Logs out, and finds that nothing was said that no test asked for.
    pub async fn expect_nothing_more(&self) {
        self.client.log_out().await;
        let rest = self.events.lock().await.try_recv();
        assert!(rest.is_err(), "an event that nobody expected: {rest:?}");
    }
}

pub fn key() -> ApiKey {
    ApiKey::new(KEY_ID, SECRET).unwrap()
}

pub fn uid(uid: &str) -> Uid {
    Uid::new(uid).unwrap()
}

pub fn user_token(name: &str) -> String {
    user_token_of(&key(), name)
}

pub fn user_token_of(key: &ApiKey, name: &str) -> String {
    let token = UserToken { name: Some(name.to_uppercase()), ..UserToken::new(uid(name)) };
    token.mint(key, UnixMillis::now(), Duration::from_secs(600))
}

pub fn call_to(callee: &str) -> Initiate {
    Initiate::user(&uid(callee), CallType::Video)
}

pub fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.map_err(|error: Error| error.code()).expect_err("it should have been refused")
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn error_code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {}", self.body)).to_owned()
    }
}

/// One request over a connection of its own. `headers` are whole lines.
pub async fn http(server: &TestServer, method: &str, path: &str, headers: &[String]) -> Answer {
    http_with(server, method, path, headers, "").await
}

/// The same with a JSON body.
pub async fn http_json(
    server: &TestServer,
    method: &str,
    path: &str,
    token: String,
    body: serde_json::Value,
) -> Answer {
    let json = "content-type: application/json".to_owned();
    http_with(server, method, path, &[token, json], &body.to_string()).await
}

pub async fn http_with(server: &TestServer, method: &str, path: &str, headers: &[String], body: &str) -> Answer {
    let address = server.server.http_addr();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    // A body over the limit is refused before it is read: then the rest of it cannot be written.
    stream.write_all(request.as_bytes()).await.ok();
    let mut text = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut text)).await.expect("an answer in time");
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {read:?} {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

pub fn admin() -> String {
    let token = AdminToken { name: "backend".into() };
    bearer(&token.mint(&key(), UnixMillis::now(), Duration::from_secs(60)))
}

pub fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}
