//! The driver of the ringing client machine: one task, one WebSocket at a time.

use super::connect::{WebSocket, connect, websocket_url};
use crate::base::{DeviceId, Error, ErrorCode, RequestId, Result, SessionId};
use crate::ringing::client::{Client, ClientOutput, ClientSettings, LoginState};
use crate::ringing::wire::{
    Answer, Command, Initiate, MAX_SERVER_MESSAGE, Query, Reject, RejectReason, Request, SessionAccess, SessionRef,
};
use crate::ringing::{Call, CallEvent, LogFilter, LogPage, PushOutcome, PushedCall, User};
use crate::task::answered;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

/// Requests that wait for the task; more are refused.
const QUEUE: usize = 64;

/// How long the closing of the connection may take at logout.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a logout may take before the task is stopped where it stands.
const LOGOUT_TIMEOUT: Duration = Duration::from_millis(1900);

/// How long a write may take before the connection counts as broken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a device logs in.
#[derive(Clone)]
pub struct RingSettings {
    /// The server: `ws`, `wss`, `http` or `https`.
    pub server: String,
    /// A user token.
    pub token: String,
    /// Chosen by the device and kept by it; unique for its user.
    pub device_id: DeviceId,
    /// Ring even while in another call; otherwise the server answers such a call with busy.
    pub call_waiting: bool,
    /// How long a request may go unanswered, reconnects included, before it fails with `timed_out`.
    pub request_timeout: Duration,
}

impl RingSettings {
    /// No call waiting; requests time out after 15 s.
    pub fn new(server: impl Into<String>, token: impl Into<String>, device_id: DeviceId) -> Self {
        Self {
            server: server.into(),
            token: token.into(),
            device_id,
            call_waiting: false,
            request_timeout: Duration::from_secs(15),
        }
    }
}

/// What a logged-in device hears. Handed over on a thread of the runtime, in order; the callback must not block.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "short-lived, and most of them are the large one")]
pub enum RingEvent {
    Call(CallEvent),
    /// Logged in, reconnecting, logged out.
    Login(LoginState),
}

/// A device logged in to ringing. It reconnects by itself, and a request survives that: it has one effect and one answer.
///
/// Cheap to clone. When the last clone is dropped the device is logged out.
#[derive(Clone)]
pub struct RingClient {
    shared: Arc<Shared>,
}

struct Shared {
    to_task: mpsc::Sender<Ask>,
    user: User,
    device: DeviceId,
    view: View,
    stopped: tokio::sync::watch::Receiver<bool>,
    task: tokio::task::AbortHandle,
}

/// What the task last knew, readable without asking it.
type View = Arc<Mutex<Calls>>;

#[derive(Clone, Default)]
struct Calls {
    active: Option<Call>,
    incoming: Vec<Call>,
}

enum Ask {
    Request { request: Request, reply: oneshot::Sender<Result<Answer>> },
    Push { payload: Vec<u8>, reply: oneshot::Sender<Result<Answer>> },
    ClearActive { reply: oneshot::Sender<Option<Call>> },
    LogOut,
}

impl RingClient {
    /// Logs in. Runs on the tokio runtime that it is called on. Dropped before it is ready, it calls the login off.
    ///
    /// Errors: `invalid_argument` (the URL), `server_unreachable`, `tls_refused`, `timed_out`, every `token_*` code but
    /// `token_wrong_room`, `too_many_requests` (the user's devices), `server_unavailable`.
    pub async fn connect(
        settings: RingSettings,
        events: impl Fn(RingEvent) + Send + Sync + 'static,
    ) -> Result<RingClient> {
        let mut url = websocket_url(&settings.server)?;
        url.set_path(&format!("{}/v1/ring", url.path().trim_end_matches('/')));
        let device = settings.device_id.clone();
        let client = Client::new(ClientSettings {
            token: settings.token,
            device_id: settings.device_id,
            call_waiting: settings.call_waiting,
            request_timeout: settings.request_timeout,
            seed: rand::random(),
        });
        let (to_task, from_handles) = mpsc::channel(QUEUE);
        let (logged_in, first_login) = oneshot::channel();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let view = View::default();
        let task = Task {
            client,
            url,
            socket: None,
            connecting: None,
            events: Box::new(events),
            replies: HashMap::new(),
            first_login: Some(logged_in),
            view: view.clone(),
            stop,
            over: false,
        };
        let task = tokio::spawn(task.run(from_handles)).abort_handle();
        let mut starting = Starting { task: task.clone(), decided: false };
        let first_login = first_login.await;
        starting.decided = true;
        let user = first_login.map_err(|_| Error::from(ErrorCode::ShutDown))??;
        Ok(RingClient { shared: Arc::new(Shared { to_task, user, device, view, stopped, task }) })
    }

    /// Who is logged in, as the server knows it.
    pub fn user(&self) -> &User {
        &self.shared.user
    }

    /// Calls somebody. The call that comes back rings, or is `busy`, or is `ongoing` already: then the receiver was
    /// calling this user at the same time, and the two are in that one call.
    ///
    /// Errors: `calling_self`, `user_unknown`, `group_unknown`, `not_a_member`, `empty_group`, `busy_self`,
    /// `invalid_argument`, `too_large` (the metadata, or the group); and, as every request, `store_failed`, `too_many_requests`, `timed_out`, `not_logged_in`.
    pub async fn initiate(&self, initiate: Initiate) -> Result<Call> {
        self.command(Command::Initiate(initiate)).await
    }

    /// Accepts a call that rings here, or joins a group's call that is ongoing, also after having left it.
    ///
    /// Errors: `call_not_found`, `not_a_party`, `already_joined`, `already_ended`, `not_allowed_in_state` (another
    /// device was first), `busy_self`, `not_a_member` (not any more).
    pub async fn accept(&self, session: &SessionId) -> Result<Call> {
        self.command(Command::Accept(SessionRef { session_id: session.clone() })).await
    }

    /// Rejects a call that rings here (`Rejected`, `Busy`), or gives up one that this user dials (`Cancelled`).
    ///
    /// Errors: `call_not_found`, `not_a_party`, `already_ended`, `not_allowed_in_state`, `invalid_argument`.
    pub async fn reject(&self, session: &SessionId, reason: RejectReason) -> Result<Call> {
        self.command(Command::Reject(Reject { session_id: session.clone(), reason })).await
    }

    /// Ends an ongoing call; a group's goes on for the others. Errors: `call_not_found`, `not_a_party`, `already_ended`, `not_allowed_in_state`.
    pub async fn end(&self, session: &SessionId) -> Result<Call> {
        self.command(Command::End(SessionRef { session_id: session.clone() })).await
    }

    /// What to join the session of an ongoing call with. Errors: `not_yet_accepted`, `not_a_party`, `already_ended`,
    /// `call_not_found`.
    pub async fn session_token(&self, session: &SessionId) -> Result<SessionAccess> {
        let query = Query::SessionToken(SessionRef { session_id: session.clone() });
        match self.ask(Request::Query(query)).await? {
            Answer::SessionToken(access) => Ok(access),
            _ => Err(unfitting()),
        }
    }

    /// A push came in: what became of the call that it announces. Errors: `malformed`, `too_large`, `not_a_party`,
    /// `token_expired`, `token_wrong_key`, `call_not_found`.
    pub async fn call_from_push(&self, payload: Vec<u8>) -> Result<PushedCall> {
        let (reply, answer) = oneshot::channel();
        match self.send(Ask::Push { payload, reply }, answer).await? {
            Answer::Call(call) => {
                let outcome = PushOutcome::of(&self.shared.user.uid, &self.shared.device, &call);
                Ok(PushedCall { outcome, call: *call })
            }
            _ => Err(unfitting()),
        }
    }

    /// A page of this user's call log. Errors: `invalid_argument`.
    pub async fn log(&self, filter: LogFilter) -> Result<LogPage> {
        match self.ask(Request::Query(Query::Calls(filter))).await? {
            Answer::Calls(page) => Ok(page),
            _ => Err(unfitting()),
        }
    }

    /// One call, as it is now or as it ended. Errors: `call_not_found`, `not_a_party`.
    pub async fn call(&self, session: &SessionId) -> Result<Call> {
        match self.ask(Request::Query(Query::Call(SessionRef { session_id: session.clone() }))).await? {
            Answer::Call(call) => Ok(*call),
            _ => Err(unfitting()),
        }
    }

    /// The call that this device dials or is in.
    pub fn active_call(&self) -> Option<Call> {
        self.view().active
    }

    /// The calls that ring here.
    pub fn incoming_calls(&self) -> Vec<Call> {
        self.view().incoming
    }

    /// Forgets the active call on this device; nobody else is told.
    pub async fn clear_active_call(&self) -> Option<Call> {
        let (reply, answer) = oneshot::channel();
        self.shared.to_task.send(Ask::ClearActive { reply }).await.ok()?;
        answered(&self.shared.to_task, answer).await?
    }

    /// Logs out: unanswered requests fail with `cancelled`. Takes 2 s at the most, also with a dead network. No event
    /// comes after it returns.
    pub async fn log_out(&self) {
        let mut stopped = self.shared.stopped.clone();
        let orderly = async {
            // When the task is gone it is logged out already.
            self.shared.to_task.send(Ask::LogOut).await.ok();
            stopped.wait_for(|stopped| *stopped).await.ok();
        };
        if tokio::time::timeout(LOGOUT_TIMEOUT, orderly).await.is_err() {
            // It hangs in a write to a dead network.
            self.shared.task.abort();
        }
    }

    async fn command(&self, command: Command) -> Result<Call> {
        match self.ask(Request::Command(command)).await? {
            Answer::Call(call) => Ok(*call),
            _ => Err(unfitting()),
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.send(Ask::Request { request, reply }, answer).await
    }

    async fn send(&self, ask: Ask, answer: oneshot::Receiver<Result<Answer>>) -> Result<Answer> {
        self.shared.to_task.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(ErrorCode::TooManyRequests, "too many requests wait already; wait for their answers")
            }
            mpsc::error::TrySendError::Closed(_) => ErrorCode::NotLoggedIn.into(),
        })?;
        answered(&self.shared.to_task, answer).await.unwrap_or_else(|| Err(ErrorCode::NotLoggedIn.into()))
    }

    fn view(&self) -> Calls {
        self.shared.view.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Stops the task of a login that nobody waits for any more: by itself it would log in yet, maybe in the place of the next one.
struct Starting {
    task: tokio::task::AbortHandle,
    decided: bool,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if !self.decided {
            self.task.abort();
        }
    }
}

struct Task {
    client: Client,
    url: Url,
    socket: Option<WebSocket>,
    /// The attempt under way.
    connecting: Option<oneshot::Receiver<Result<WebSocket>>>,
    events: Box<dyn Fn(RingEvent) + Send + Sync>,
    replies: HashMap<RequestId, oneshot::Sender<Result<Answer>>>,
    first_login: Option<oneshot::Sender<Result<User>>>,
    view: View,
    stop: tokio::sync::watch::Sender<bool>,
    over: bool,
}

impl Task {
    async fn run(mut self, mut from_handles: mpsc::Receiver<Ask>) {
        self.client.start();
        self.carry_out().await;
        while !self.over {
            let wake = self.client.next_wake().map(tokio::time::Instant::from_std);
            tokio::select! {
                ask = from_handles.recv() => self.asked(ask.unwrap_or(Ask::LogOut)),
                message = next_message(&mut self.socket) => self.incoming(message),
                socket = attempt(&mut self.connecting) => self.attempted(socket),
                () = sleep_until(wake) => self.client.tick(Instant::now()),
            }
            self.carry_out().await;
        }
        // Whoever asks from now on finds nobody here.
        drop(from_handles);
        self.stop.send_replace(true);
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Request { request, reply } => {
                let id = self.client.request(Instant::now(), request);
                self.replies.insert(id, reply);
            }
            Ask::Push { payload, reply } => {
                let id = self.client.call_from_push(Instant::now(), &payload);
                self.replies.insert(id, reply);
            }
            Ask::ClearActive { reply } => {
                // Who asked may have gone.
                let _ = reply.send(self.client.clear_active_call());
            }
            Ask::LogOut => self.client.stop(),
        }
    }

    fn incoming(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) {
        let now = Instant::now();
        let lost = match message {
            Some(Ok(Message::Text(text))) => return self.client.received(now, &text),
            Some(Ok(Message::Close(_))) | None => "the server closed the connection".to_owned(),
            // tungstenite answers pings by itself.
            Some(Ok(_)) => return self.client.heard(now),
            Some(Err(error)) => format!("the connection broke: {error}"),
        };
        self.socket = None;
        self.client.disconnected(now, Error::new(ErrorCode::ConnectionLost, lost));
    }

    fn attempted(&mut self, socket: Result<WebSocket>) {
        self.connecting = None;
        match socket {
            Ok(socket) => {
                self.socket = Some(socket);
                self.client.connected(Instant::now());
            }
            Err(error) => self.client.disconnected(Instant::now(), error),
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.client.poll_output() {
            self.update_view();
            match output {
                ClientOutput::Connect => self.begin_attempt(),
                ClientOutput::Disconnect => {
                    self.connecting = None;
                    if let Some(mut socket) = self.socket.take() {
                        // On a dead network there is nobody to say it to.
                        tokio::time::timeout(CLOSE_TIMEOUT, socket.close(None)).await.ok();
                    }
                }
                ClientOutput::Send(message) => self.send(message.to_json()).await,
                ClientOutput::Event(event) => (self.events)(RingEvent::Call(event)),
                ClientOutput::Answer { id, result } => {
                    if let Some(reply) = self.replies.remove(&id) {
                        // Who asked may have gone.
                        let _ = reply.send(result);
                    }
                }
                ClientOutput::Login(state) => self.login(state),
            }
        }
        self.update_view();
    }

    fn begin_attempt(&mut self) {
        let (done, attempt) = oneshot::channel();
        let url = self.url.clone();
        self.connecting = Some(attempt);
        tokio::spawn(async move {
            let mut done = done;
            let result = tokio::select! {
                result = connect(&url, None, MAX_SERVER_MESSAGE) => result,
                // Nobody waits for it any more.
                () = done.closed() => return,
            };
            let _ = done.send(result);
        });
    }

    async fn send(&mut self, json: String) {
        let Some(socket) = &mut self.socket else { return };
        let lost = match tokio::time::timeout(WRITE_TIMEOUT, socket.send(Message::text(json))).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("the connection broke: {error}"),
            Err(_) => "the server takes no data".to_owned(),
        };
        self.socket = None;
        self.client.disconnected(Instant::now(), Error::new(ErrorCode::ConnectionLost, lost));
    }

    fn login(&mut self, state: LoginState) {
        if let LoginState::LoggedOut(_) = state {
            self.over = true;
        }
        match (self.first_login.take(), state) {
            (Some(first), LoginState::LoggedIn(user)) => {
                (self.events)(RingEvent::Login(LoginState::LoggedIn(user.clone())));
                if first.send(Ok(user)).is_err() {
                    // Nobody waits for this login any more.
                    self.client.stop();
                }
            }
            // A login that never was is told by `connect`'s error alone.
            (Some(first), LoginState::LoggedOut(error) | LoginState::Reconnecting(error)) => {
                drop(first.send(Err(error)))
            }
            (None, state) => (self.events)(RingEvent::Login(state)),
        }
    }

    fn update_view(&self) {
        let calls = Calls {
            active: self.client.active_call().cloned(),
            incoming: self.client.incoming_calls().cloned().collect(),
        };
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = calls;
    }
}

async fn next_message(
    socket: &mut Option<WebSocket>,
) -> Option<Result<Message, tokio_tungstenite::tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn attempt(connecting: &mut Option<oneshot::Receiver<Result<WebSocket>>>) -> Result<WebSocket> {
    match connecting {
        Some(attempt) => attempt.await.unwrap_or_else(|_| Err(ErrorCode::ServerUnreachable.into())),
        None => std::future::pending().await,
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

fn unfitting() -> Error {
    Error::new(ErrorCode::Malformed, "the server's answer does not fit the request")
}
