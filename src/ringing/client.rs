//! A device's machine: logs in and stays logged in, sends requests until they are answered, and tells the app about
//! calls without a gap and without a duplicate.
//!
//! Feed it what happens on the connection and [`Client::tick`] when [`Client::next_wake`] is reached; after each, take
//! [`Client::poll_output`] until it is empty.

#[cfg(test)]
mod tests;

use super::call::{Call, CallStatus, EndReason, User};
use super::event::{Actor, CallEvent, CallEventKind};
use super::wake::WakePayload;
use super::wire::{
    self, Answer, ClientMessage, Command, Hello, PushRef, Query, Request, RequestMessage, Response, ServerMessage,
    SessionRef, Welcome,
};
use crate::base::{DeviceId, Error, ErrorCode, RequestId, Result, SessionId, Uid, UnixMillis};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The wait before the first attempt to reconnect, and the longest one. A call rings on for 10 s without its
/// initiator, so the longest leaves room for a second attempt.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long the server may take to answer hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// How many server pings may fail to come before the connection is given up.
const MISSED_PINGS: u32 = 3;

/// How long a connection has to show that it lives, after a push made that doubtful.
const PROBE: Duration = Duration::from_secs(2);

/// Calls that are over and remembered, so that a late word about one is not taken for news.
const REMEMBERED: usize = 64;

/// What the machine is made with.
#[derive(Clone)]
pub struct ClientSettings {
    /// A user token.
    pub token: String,
    pub device_id: DeviceId,
    /// Ring even while in another call; otherwise the server answers such a call with busy.
    pub call_waiting: bool,
    /// How long a request may go unanswered, reconnects included, before it fails with `timed_out`.
    pub request_timeout: Duration,
    /// For request ids and the jitter of reconnects.
    pub seed: u64,
}

/// What the driver is to do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "short-lived, and most of them are the large one")]
pub enum ClientOutput {
    /// Open a connection, then call [`Client::connected`] or [`Client::disconnected`].
    Connect,
    /// Close the connection. No [`Client::disconnected`] is to follow.
    Disconnect,
    Send(ClientMessage),
    Event(CallEvent),
    /// The one answer to a request of [`Client::request`].
    Answer {
        id: RequestId,
        result: Result<Answer>,
    },
    Login(LoginState),
}

/// Where the login stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginState {
    LoggedIn(User),
    /// The connection broke; it is being restored. Calls go on meanwhile.
    Reconnecting(Error),
    /// It is over, and nothing more will come.
    LoggedOut(Error),
}

pub struct Client {
    settings: ClientSettings,
    rng: StdRng,
    id_prefix: u64,
    next_id: u64,
    link: Link,
    /// After the first welcome: who is logged in.
    user: Option<User>,
    ping_interval: Duration,
    /// The server's clock at the latest welcome.
    server_time: Option<(UnixMillis, Instant)>,
    /// When the connection is given up, unless something comes in before.
    doubtful_until: Option<Instant>,
    attempts: u32,
    /// Unanswered requests, in the order they were made.
    pending: VecDeque<Pending>,
    /// The calls that are not over and concern this device.
    calls: BTreeMap<SessionId, Call>,
    /// Calls that this user dialled on another device: what becomes of them is told here as well, and once.
    watched: VecDeque<Call>,
    /// Calls that this device is done with, each with the revision up to which what is heard of it is old.
    over: VecDeque<(SessionId, u64)>,
    outputs: VecDeque<ClientOutput>,
}

enum Link {
    Idle,
    Waiting {
        retry_at: Instant,
    },
    Connecting,
    Greeting {
        until: Instant,
    },
    Up {
        heard_at: Instant,
    },
    /// Logged out.
    Stopped,
}

struct Pending {
    id: RequestId,
    request: Request,
    until: Instant,
    /// Made by this machine: the app knows nothing of it.
    internal: bool,
}

impl Client {
    pub fn new(settings: ClientSettings) -> Self {
        let mut rng = StdRng::seed_from_u64(settings.seed);
        let id_prefix = rng.random();
        Self {
            settings,
            rng,
            id_prefix,
            next_id: 0,
            link: Link::Idle,
            user: None,
            ping_interval: WELCOME_TIMEOUT,
            server_time: None,
            doubtful_until: None,
            attempts: 0,
            pending: VecDeque::new(),
            calls: BTreeMap::new(),
            watched: VecDeque::new(),
            over: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Begins to log in. When the first attempt fails the machine is logged out; later ones are repeated.
    pub fn start(&mut self) {
        self.link = Link::Connecting;
        self.outputs.push_back(ClientOutput::Connect);
    }

    /// The connection is there.
    pub fn connected(&mut self, now: Instant) {
        self.link = Link::Greeting { until: now + WELCOME_TIMEOUT };
        self.outputs.push_back(ClientOutput::Send(ClientMessage::Hello(Hello {
            version: wire::VERSION,
            token: self.settings.token.clone(),
            device_id: self.settings.device_id.clone(),
            call_waiting: self.settings.call_waiting,
        })));
    }

    /// The connection could not be made, or broke.
    pub fn disconnected(&mut self, now: Instant, error: Error) {
        self.doubtful_until = None;
        if matches!(self.link, Link::Stopped) {
            return;
        }
        if self.user.is_none() {
            return self.log_out(error);
        }
        if matches!(self.link, Link::Up { .. }) {
            self.outputs.push_back(ClientOutput::Login(LoginState::Reconnecting(error)));
        }
        let (first, longest) = BACKOFF;
        let wait = first.saturating_mul(1 << self.attempts.min(8)).min(longest);
        self.attempts = self.attempts.saturating_add(1);
        // Half of it is jitter: many devices come back at different times after a server's restart.
        let wait = wait.mul_f64(self.rng.random_range(0.5..=1.0));
        self.link = Link::Waiting { retry_at: now + wait };
    }

    /// Something came in, if only a ping.
    pub fn heard(&mut self, now: Instant) {
        if let Link::Up { heard_at } = &mut self.link {
            *heard_at = now;
            self.doubtful_until = None;
        }
    }

    /// A text message came in.
    pub fn received(&mut self, now: Instant, text: &str) {
        self.heard(now);
        match ServerMessage::parse(text) {
            Ok(ServerMessage::Welcome(welcome)) => self.welcome(now, welcome),
            Ok(ServerMessage::Response(response)) => self.response(now, response),
            Ok(ServerMessage::Event(event)) => self.observe(now, event.call, event.by),
            Ok(ServerMessage::Bye { error }) => self.bye(now, error.into()),
            Ok(ServerMessage::Unknown) => tracing::debug!("a message of an unknown type was passed over"),
            Err(error) => self.give_up_connection(now, error),
        }
    }

    /// Asks the server for something. The answer is an output with this id.
    pub fn request(&mut self, now: Instant, request: Request) -> RequestId {
        let id = self.new_id();
        let size = ClientMessage::Request(RequestMessage::new(id.clone(), &request)).to_json().len();
        let refused = match self.link {
            Link::Idle | Link::Stopped => Some(Error::from(ErrorCode::NotLoggedIn)),
            _ if size > wire::MAX_MESSAGE => {
                Some(Error::new(ErrorCode::TooLarge, format!("the request has {size} bytes; 65536 are the most")))
            }
            _ => None,
        };
        match refused {
            Some(error) => self.outputs.push_back(ClientOutput::Answer { id: id.clone(), result: Err(error) }),
            None => self.enqueue(now, id.clone(), request, false),
        }
        id
    }

    /// A push came in: asks what became of the call that it announces. A call that rings here is told as an event, once,
    /// however often pushes and connections tell of it. The answer is an output with this id: the call as it is.
    ///
    /// Errors, in the answer: `malformed`, `too_large`, `not_logged_in`, `not_a_party` (it is for another user),
    /// `token_expired` (the call rings no more), and what the server refuses with.
    pub fn call_from_push(&mut self, now: Instant, payload: &[u8]) -> RequestId {
        let id = self.new_id();
        let push = match self.check_push(now, payload) {
            Ok(push) => push,
            Err(error) => {
                self.outputs.push_back(ClientOutput::Answer { id: id.clone(), result: Err(error) });
                return id;
            }
        };
        match &mut self.link {
            // The server sends a push when it has no connection of this user: what is held for one here may have died
            // in the device's sleep.
            Link::Up { .. } => self.doubtful_until = Some(now + PROBE),
            Link::Waiting { retry_at } => *retry_at = now,
            _ => {}
        }
        self.enqueue(now, id.clone(), Request::Query(Query::Wake(push)), false);
        id
    }

    /// The call that this device dials or is in.
    pub fn active_call(&self) -> Option<&Call> {
        let user = self.user.as_ref()?;
        self.calls.values().find(|call| call.has_device(&user.uid, &self.settings.device_id))
    }

    /// The calls that ring here.
    pub fn incoming_calls(&self) -> impl Iterator<Item = &Call> {
        let uid = self.user.as_ref().map(|user| &user.uid);
        self.calls.values().filter(move |call| uid.is_some_and(|uid| call.rings_for(uid)))
    }

    /// Forgets the active call on this device; the server and the other party are not told.
    pub fn clear_active_call(&mut self) -> Option<Call> {
        let session = self.active_call()?.session_id.clone();
        let call = self.calls.remove(&session)?;
        self.remember_over(session, u64::MAX);
        Some(call)
    }

    /// Logs out: unanswered requests fail with `cancelled`.
    pub fn stop(&mut self) {
        if !matches!(self.link, Link::Stopped) {
            self.log_out(Error::new(ErrorCode::Cancelled, "logged out"));
        }
    }

    /// When [`Self::tick`] is to be called next. May change with every input.
    pub fn next_wake(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Waiting { retry_at } => Some(retry_at),
            Link::Greeting { until } => Some(until),
            Link::Up { heard_at } => {
                let silent = heard_at + self.ping_interval * MISSED_PINGS;
                Some(self.doubtful_until.map_or(silent, |until| until.min(silent)))
            }
            Link::Idle | Link::Connecting | Link::Stopped => None,
        };
        self.pending.iter().map(|pending| pending.until).chain(link).min()
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Instant) {
        match self.link {
            Link::Waiting { retry_at } if retry_at <= now => self.start(),
            Link::Greeting { until } if until <= now => {
                self.give_up_connection(now, Error::new(ErrorCode::TimedOut, "the server did not answer the login"));
            }
            Link::Up { heard_at } if heard_at + self.ping_interval * MISSED_PINGS <= now => {
                self.give_up_connection(now, Error::new(ErrorCode::ConnectionLost, "the server fell silent"));
            }
            Link::Up { .. } if self.doubtful_until.is_some_and(|until| until <= now) => {
                let text = "the connection did not outlive the device's sleep";
                self.give_up_connection(now, Error::new(ErrorCode::ConnectionLost, text));
            }
            _ => {}
        }
        while let Some(index) = self.pending.iter().position(|pending| pending.until <= now) {
            let Some(pending) = self.pending.remove(index) else { break };
            let text = format!("the server did not answer {} in time", pending.request.method());
            self.answer(pending, Err(Error::new(ErrorCode::TimedOut, text)));
        }
    }

    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    fn check_push(&self, now: Instant, payload: &[u8]) -> Result<PushRef> {
        let (push, expires) = WakePayload::read(payload)?;
        let user = self.user.as_ref().filter(|_| !matches!(self.link, Link::Stopped)).ok_or(ErrorCode::NotLoggedIn)?;
        if push.uid != user.uid {
            let text = format!("the push is for {}, and {} is logged in here", push.uid, user.uid);
            return Err(Error::new(ErrorCode::NotAParty, text));
        }
        // By the server's clock, which set the time: the device's may be wrong.
        let server_now = self.server_time.map(|(time, at)| time + now.saturating_duration_since(at));
        if server_now.is_some_and(|now| now >= expires) {
            return Err(Error::new(ErrorCode::TokenExpired, "the push came too late: that call rings no more"));
        }
        Ok(PushRef { payload: String::from_utf8_lossy(payload).trim().to_owned() })
    }

    fn welcome(&mut self, now: Instant, welcome: Welcome) {
        if !matches!(self.link, Link::Greeting { .. }) {
            return;
        }
        self.link = Link::Up { heard_at: now };
        self.attempts = 0;
        self.ping_interval = Duration::from_millis(welcome.ping_interval_ms.clamp(100, 600_000));
        self.user = Some(welcome.user.clone());
        self.server_time = Some((welcome.time, now));
        self.outputs.push_back(ClientOutput::Login(LoginState::LoggedIn(welcome.user)));
        for pending in &self.pending {
            let message = RequestMessage::new(pending.id.clone(), &pending.request);
            self.outputs.push_back(ClientOutput::Send(ClientMessage::Request(message)));
        }
        // What is no longer in the list went on while this device was away: ask how.
        let gone: Vec<SessionId> =
            self.calls.keys().filter(|id| welcome.calls.iter().all(|call| call.session_id != **id)).cloned().collect();
        for session in gone {
            self.look_after(now, session);
        }
        for call in welcome.calls {
            self.observe(now, call, None);
        }
    }

    fn response(&mut self, now: Instant, response: Response) {
        let pending = self.pending.iter().position(|pending| pending.id == response.id);
        let result = response.into_result();
        let Some(pending) = pending.and_then(|index| self.pending.remove(index)) else {
            // It timed out here, and yet it had its effect.
            if let Ok(Answer::Call(call)) = result
                && (self.calls.contains_key(&call.session_id) || !call.status.is_over())
            {
                self.observe(now, *call, None);
            }
            return;
        };
        let about_call = pending.internal || matches!(pending.request, Request::Command(_));
        if let (true, Ok(Answer::Call(call))) = (about_call, &result) {
            // The answer first, what follows from it after.
            let call = Call::clone(call);
            self.answer(pending, result);
            return self.observe(now, call, None);
        }
        if let (Err(error), Some(session)) = (&result, pending.request.session()) {
            let session = session.clone();
            match (error.code(), &pending.request) {
                (ErrorCode::CallNotFound, _) => self.lose(now, &session),
                // The server sees the call in another state than this device does.
                (ErrorCode::AlreadyEnded | ErrorCode::NotAllowedInState, Request::Command(_)) => {
                    self.look_after(now, session);
                }
                _ => {}
            }
        }
        self.answer(pending, result);
    }

    /// Asks how a call stands that concerns this device.
    fn look_after(&mut self, now: Instant, session_id: SessionId) {
        if self.calls.contains_key(&session_id) {
            let id = self.new_id();
            self.enqueue(now, id, Request::Query(Query::Call(SessionRef { session_id })), true);
        }
    }

    /// The server no longer knows a call that was going on.
    fn lose(&mut self, now: Instant, session: &SessionId) {
        let Some(mut call) = self.calls.get(session).cloned() else { return };
        call.status = if call.status == CallStatus::Ongoing { CallStatus::Ended } else { CallStatus::Failed };
        call.end_reason = Some(EndReason::Failed);
        call.revision += 1;
        self.observe(now, call, None);
    }

    /// Takes note of a call as it is now, and tells the app if that is news to this device.
    fn observe(&mut self, now: Instant, call: Call, by: Option<Actor>) {
        let Some(uid) = self.user.as_ref().map(|user| user.uid.clone()) else { return };
        let device = self.settings.device_id.clone();
        let session = call.session_id.clone();
        let watched = self.watched.iter().position(|watched| watched.session_id == session);
        let before = self.calls.get(&session).or_else(|| self.watched.get(watched?));
        let known = before.map(|before| before.revision);
        let done = self.over.iter().find(|(over, _)| *over == session).map(|(_, revision)| *revision);
        if known.max(done).is_some_and(|known| call.revision <= known) {
            return;
        }
        let mine = call.has_device(&uid, &device);
        let stays = !call.status.is_over() && (mine || call.rings_for(&uid));
        // A group's call that this device has left, and comes back to, is no news but by its own doing.
        if done.is_some() && !(stays && mine) {
            return;
        }
        let news = CallEventKind::news(&uid, &device, before, &call);
        watched.map(|index| self.watched.remove(index));
        let dialled = call.is_initiator(&uid);
        if stays {
            self.over.retain(|(over, _)| *over != session);
            self.calls.insert(session.clone(), call.clone());
        } else if self.calls.remove(&session).is_some() || mine || (dialled && call.status.is_over()) {
            self.remember_over(session.clone(), call.revision);
        } else if dialled {
            self.watch(call.clone());
        }
        // Who cancels knows it.
        let own_cancel = mine && call.end_reason == Some(EndReason::Cancelled) && call.ended_by.as_ref() == Some(&uid);
        for (kind, by_itself) in news.into_iter().filter(|_| !own_cancel) {
            if kind == CallEventKind::IncomingReceived {
                let id = self.new_id();
                let ringing = Command::Ringing(SessionRef { session_id: session.clone() });
                self.enqueue(now, id, Request::Command(ringing), true);
            }
            let by = by_itself.or_else(|| by.clone()).or_else(|| actor(&call, &uid));
            self.outputs.push_back(ClientOutput::Event(CallEvent { kind, call: call.clone(), by }));
        }
    }

    /// The server ends the connection and says why.
    fn bye(&mut self, now: Instant, error: Error) {
        use ErrorCode::*;
        match error.code() {
            TokenMissing | TokenMalformed | TokenAlgorithm | TokenWrongKey | TokenExpired | TokenNotYetValid
            | TokenMissingGrant | DeviceReplaced | UserRemoved | NotSupported => self.log_out(error),
            _ => self.give_up_connection(now, error),
        }
    }

    fn give_up_connection(&mut self, now: Instant, error: Error) {
        self.outputs.push_back(ClientOutput::Disconnect);
        self.disconnected(now, error);
    }

    fn log_out(&mut self, error: Error) {
        if !matches!(self.link, Link::Idle) {
            self.outputs.push_back(ClientOutput::Disconnect);
        }
        self.link = Link::Stopped;
        // What becomes of them is not heard any more.
        self.calls.clear();
        while let Some(pending) = self.pending.pop_front() {
            self.answer(pending, Err(error.clone()));
        }
        self.outputs.push_back(ClientOutput::Login(LoginState::LoggedOut(error)));
    }

    fn enqueue(&mut self, now: Instant, id: RequestId, request: Request, internal: bool) {
        if matches!(self.link, Link::Up { .. }) {
            let message = RequestMessage::new(id.clone(), &request);
            self.outputs.push_back(ClientOutput::Send(ClientMessage::Request(message)));
        }
        self.pending.push_back(Pending { id, request, until: now + self.settings.request_timeout, internal });
    }

    fn answer(&mut self, pending: Pending, result: Result<Answer>) {
        if !pending.internal {
            self.outputs.push_back(ClientOutput::Answer { id: pending.id, result });
        }
    }

    fn watch(&mut self, call: Call) {
        if self.watched.len() == REMEMBERED {
            self.watched.pop_front();
        }
        self.watched.push_back(call);
    }

    fn remember_over(&mut self, session: SessionId, revision: u64) {
        if self.over.len() == REMEMBERED {
            self.over.pop_front();
        }
        self.over.push_back((session, revision));
    }

    fn new_id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId::new(format!("{:016x}-{}", self.id_prefix, self.next_id)).expect("a short id of plain characters")
    }
}

/// Who brought the call to where it is, read from the call itself.
fn actor(call: &Call, me: &Uid) -> Option<Actor> {
    if call.status.is_over() {
        return call.ended_by.clone().map(|uid| Actor { uid, device_id: None });
    }
    let other = call.participants.iter().find(|participant| participant.uid != *me)?;
    Some(Actor { uid: other.uid.clone(), device_id: other.device_id.clone() })
}
