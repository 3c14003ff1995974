//! One device of the load, leaner than an engine so that many fit beside the server, and the board on which all of them
//! write what they saw.

use super::target::{Socket, connect, refused};
use futures_util::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use trill::base::{DeviceId, Error, ErrorCode, RequestId, Result, SessionId, Uid};
use trill::ringing::wire::{
    Answer, ClientMessage, Command, Hello, Initiate, Request, RequestMessage, Response, ServerMessage, SessionRef,
    VERSION,
};
use trill::ringing::{CallEvent, CallEventKind, CallStatus, CallType};
use url::Url;

/// How long a login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Settings {
    pub index: usize,
    /// Whom it calls, when it is one that calls.
    pub callee: Uid,
    pub url: Url,
    pub token: String,
    pub talk: Duration,
}

/// What all devices write on.
pub struct Board {
    begin: Instant,
    /// For each pair, when its present call was due, in microseconds since the beginning.
    due: Vec<AtomicU64>,
    /// Pairs that are in no call.
    free: mpsc::UnboundedSender<usize>,
    open: AtomicU64,
    results: Mutex<Results>,
}

#[derive(Clone, Default)]
pub struct Results {
    /// From due to the callee's device knowing, in microseconds.
    pub incoming: Vec<u32>,
    /// From the callee's accept to the caller's device knowing.
    pub accepted: Vec<u32>,
    pub ended: u64,
    pub lost: u64,
    /// By error code.
    pub failures: BTreeMap<String, u64>,
}

impl Board {
    pub fn new(pairs: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<usize>) {
        let (free, pool) = mpsc::unbounded_channel();
        for pair in 0..pairs {
            // The other end is the pool that is returned.
            free.send(pair).ok();
        }
        let due = (0..pairs).map(|_| AtomicU64::new(0)).collect();
        let board = Self { begin: Instant::now(), due, free, open: AtomicU64::new(0), results: Mutex::default() };
        (Arc::new(board), pool)
    }

    /// A call of this pair begins, which was due at `at`.
    pub fn starting(&self, pair: usize, at: Instant) {
        self.open.fetch_add(1, Relaxed);
        self.mark(pair, at);
    }

    pub fn results(&self) -> Results {
        self.lock().clone()
    }

    /// Waits until no call is under way, or until `deadline`.
    pub async fn drain(&self, deadline: Instant) {
        while self.open.load(Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn mark(&self, pair: usize, at: Instant) {
        let since = at.saturating_duration_since(self.begin).as_micros() as u64;
        self.due[pair].store(since, Relaxed);
    }

    fn since_mark(&self, pair: usize) -> u32 {
        let now = self.begin.elapsed().as_micros() as u64;
        u32::try_from(now.saturating_sub(self.due[pair].load(Relaxed))).unwrap_or(u32::MAX)
    }

    fn rung(&self, pair: usize) {
        let took = self.since_mark(pair);
        self.lock().incoming.push(took);
        // From here on the mark is that of the accept, which follows.
        self.mark(pair, Instant::now());
    }

    fn accepted(&self, pair: usize) {
        let took = self.since_mark(pair);
        self.lock().accepted.push(took);
    }

    /// The call of this pair is over, in whatever way.
    fn over(&self, pair: usize, failure: Option<ErrorCode>) {
        self.open.fetch_sub(1, Relaxed);
        match failure {
            Some(code) => self.failed(code),
            None => self.lock().ended += 1,
        }
        // When nobody takes it, no more calls are made.
        self.free.send(pair).ok();
    }

    fn failed(&self, code: ErrorCode) {
        *self.lock().failures.entry(code.name().to_owned()).or_default() += 1;
    }

    fn lost(&self) {
        self.lock().lost += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects and says hello; returns when it is logged in.
pub async fn log_in(settings: &Settings) -> Result<Socket> {
    let unreachable = |e: WsError| refused(&settings.url, &e);
    let login = async {
        let mut socket = connect(&settings.url, settings.url.as_str()).await?;
        let hello = ClientMessage::Hello(Hello {
            version: VERSION,
            token: settings.token.clone(),
            device_id: DeviceId::new("load")?,
            call_waiting: false,
        });
        socket.send(Message::text(hello.to_json())).await.map_err(unreachable)?;
        loop {
            match next(&mut socket).await {
                Some(ServerMessage::Welcome(_)) => return Ok(socket),
                Some(ServerMessage::Bye { error }) => return Err(error.into()),
                Some(_) => {}
                None => return Err(Error::new(ErrorCode::ConnectionLost, "the server closed before the login")),
            }
        }
    };
    tokio::time::timeout(LOGIN_TIMEOUT, login)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorCode::TimedOut, "a login took more than 60 s")))
}

/// Calls when it is told to, answers when it rings, until `stopped`.
pub async fn run(
    socket: Socket,
    settings: Settings,
    board: Arc<Board>,
    mut start: mpsc::Receiver<Instant>,
    mut stopped: watch::Receiver<bool>,
) {
    let pair = settings.index / 2;
    let mut device = Device { socket, settings, board, pair, requests: 0, call: None };
    loop {
        let hang_up_at = device.call.as_ref().and_then(|call| call.hang_up_at);
        let alive = tokio::select! {
            message = next(&mut device.socket) => match message {
                Some(message) => device.heard(message).await,
                None => false,
            },
            Some(_) = start.recv() => device.initiate().await,
            () = sleep_until(hang_up_at) => device.hang_up().await,
            _ = stopped.changed() => {
                // The server may have closed already.
                device.socket.close(None).await.ok();
                return;
            }
        };
        if !alive {
            device.board.lost();
            if device.call.take().is_some() {
                device.board.over(pair, Some(ErrorCode::ConnectionLost));
            }
            return;
        }
    }
}

struct Device {
    socket: Socket,
    settings: Settings,
    board: Arc<Board>,
    pair: usize,
    requests: u64,
    /// The call that this device made.
    call: Option<Dialled>,
}

#[derive(Default)]
struct Dialled {
    session: Option<SessionId>,
    hang_up_at: Option<Instant>,
}

impl Device {
    async fn initiate(&mut self) -> bool {
        self.call = Some(Dialled::default());
        let initiate = Initiate::user(&self.settings.callee, CallType::Audio);
        self.send(Command::Initiate(initiate)).await
    }

    async fn hang_up(&mut self) -> bool {
        let Some(call) = &mut self.call else { return true };
        call.hang_up_at = None;
        let Some(session_id) = call.session.clone() else { return true };
        self.send(Command::End(SessionRef { session_id })).await
    }

    /// False when the connection is over.
    async fn heard(&mut self, message: ServerMessage) -> bool {
        match message {
            ServerMessage::Event(event) => self.event(event).await,
            ServerMessage::Response(response) => self.response(response),
            ServerMessage::Bye { .. } => false,
            ServerMessage::Welcome(_) | ServerMessage::Unknown => true,
        }
    }

    async fn event(&mut self, event: CallEvent) -> bool {
        let session_id = event.call.session_id.clone();
        match event.kind {
            CallEventKind::IncomingReceived => {
                self.board.rung(self.pair);
                self.send(Command::Ringing(SessionRef { session_id: session_id.clone() })).await
                    && self.send(Command::Accept(SessionRef { session_id })).await
            }
            CallEventKind::OutgoingAccepted => {
                self.board.accepted(self.pair);
                if let Some(call) = &mut self.call {
                    call.session = Some(session_id);
                    call.hang_up_at = Some(Instant::now() + self.settings.talk);
                }
                true
            }
            _ => true,
        }
    }

    fn response(&mut self, response: Response) -> bool {
        let failure = match response.into_result() {
            Ok(Answer::Call(call)) if call.status == CallStatus::Busy => Some(ErrorCode::BusySelf),
            Ok(Answer::Call(call)) if call.status.is_over() => None,
            Ok(_) => return true,
            Err(error) => Some(error.code()),
        };
        // Only who made a call ends it.
        match (self.call.take(), failure) {
            (Some(_), failure) => self.board.over(self.pair, failure),
            (None, Some(code)) => self.board.failed(code),
            (None, None) => {}
        }
        true
    }

    async fn send(&mut self, command: Command) -> bool {
        self.requests += 1;
        let Ok(id) = RequestId::new(format!("{}-{}", self.board.begin.elapsed().as_nanos(), self.requests)) else {
            return false;
        };
        let message = ClientMessage::Request(RequestMessage::new(id, &Request::Command(command)));
        self.socket.send(Message::text(message.to_json())).await.is_ok()
    }
}

/// The next message; `None` when the connection is over.
async fn next(socket: &mut Socket) -> Option<ServerMessage> {
    loop {
        if let Message::Text(text) = socket.next().await?.ok()? {
            return ServerMessage::parse(&text).ok();
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
