//! The engine: the one place where clocks, threads, sockets, the machines, codecs and devices meet.
//!
//! An [`Engine`] is one device of one user. It logs in to a ringing server, makes and takes calls, and carries the media
//! of sessions. Operations that take time return a [`Completion`]; what happens is told as [`Event`]s.
#![allow(clippy::disallowed_methods, reason = "a driver: this is where time enters")]

mod completion;
mod config;
mod connect;
mod delivery;
mod event;
#[cfg(test)]
mod listener_tests;
mod listeners;
pub mod pipeline;
#[cfg(feature = "planted-faults")]
pub(crate) mod planted;
mod ringing;
pub mod session;
mod shared;
#[cfg(test)]
mod tests;
pub mod timecode;

pub use crate::media::simulcast::Simulcast;
pub use completion::Completion;
pub use config::EngineConfig;
pub use delivery::{EventQueue, NoEvent};
pub use event::{Event, LoginEvent};
pub(crate) use listeners::Listeners;
pub use ringing::{RingClient, RingEvent, RingSettings};
pub use session::{
    AudioTaps, ReceivedTrack, SentLayer, SentTrack, SessionSettings, SessionStats, SessionTimings, VideoOutputs,
};

use self::delivery::EventThread;
use self::session::{LEAVE_TIMEOUT, SessionHandle};
use self::shared::Shared;
use crate::base::{Error, ErrorCode, Result, SessionId, TrackId};
use crate::device::kept::DevicePolicy;
use crate::processing::VoiceProcessing;
use crate::ringing::wire::{Initiate, RejectReason, SessionAccess};
use crate::ringing::{Call, CallEvent, LogFilter, LogPage, PushedCall, User};
use crate::session::{MediaDevice, OutgoingData, Participant, TrackSource};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How long [`Engine::shut_down`] takes at most, also with the network dead.
pub const SHUT_DOWN_LIMIT: Duration = Duration::from_secs(2);

/// One device of one user: ringing and sessions.
///
/// All methods may be called from any thread, also from inside an event callback. Dropping an engine shuts it down.
pub struct Engine {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    event_thread: Option<EventThread>,
}

impl Engine {
    /// An engine whose events go to `on_event`: one at a time, on one thread, which is the engine's own. The callback
    /// may call any method; while it runs, no other event is delivered.
    ///
    /// Errors: `invalid_argument`, `internal` (no thread could be started).
    pub fn new(config: EngineConfig, on_event: impl FnMut(Event) + Send + 'static) -> Result<Self> {
        let (mut engine, queue) = Self::with_queue(config)?;
        let thread = EventThread::start(queue, on_event)
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start the event thread: {e}")))?;
        engine.event_thread = Some(thread);
        Ok(engine)
    }

    /// An engine whose events the app takes from a queue by itself. Errors: as [`Engine::new`].
    pub fn with_queue(config: EngineConfig) -> Result<(Self, EventQueue)> {
        if !(1..=16).contains(&config.worker_threads) {
            return Err(Error::new(ErrorCode::InvalidArgument, "worker_threads must be from 1 to 16"));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.worker_threads)
            .thread_name("trill-network")
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start the engine's threads: {e}")))?;
        let (events, queue) = delivery::queue();
        let call_listeners = queue.call_listeners();
        let shared = Arc::new(Shared::new(config, runtime.handle().clone(), events, call_listeners));
        Ok((Self { shared, runtime: Some(runtime), event_thread: None }, queue))
    }

    /// Adds a listener to what becomes of calls, beside the function or the queue that gets every event. One of the same id
    /// is removed first. It runs where events are delivered, before the event itself is: on the event thread, or on the
    /// thread that waits in [`EventQueue::next`]. It may call any method, and add and remove listeners, itself included.
    ///
    /// Errors: `too_many_requests` (over 256 listeners).
    pub fn add_call_listener(
        &self,
        id: impl Into<String>,
        listener: impl Fn(&CallEvent) + Send + Sync + 'static,
    ) -> Result<()> {
        self.shared.call_listeners.add(id.into(), listener)
    }

    /// Removes a listener. After it returns the listener does not begin, and does not run, save when this was called from
    /// inside it. One that is running is waited for: do not hold a lock that it needs.
    ///
    /// Errors: `invalid_argument` (there is none of that id).
    pub fn remove_call_listener(&self, id: &str) -> Result<()> {
        self.shared.call_listeners.remove(id)
    }

    /// Logs in to a ringing server (`http`, `https`, `ws` or `wss` URL) with a user token. The engine keeps the login up
    /// until [`log_out`](Self::log_out); [`LoginEvent`]s tell how it stands.
    ///
    /// Errors: `already_logged_in`, `invalid_argument` (the URL), `server_unreachable`, `tls_refused`, `token_*`, `cancelled` and
    /// `not_logged_in` (it was ended meanwhile).
    pub fn log_in(&self, server: impl Into<String>, token: impl Into<String>) -> Completion<User> {
        let settings = RingSettings {
            call_waiting: self.shared.config.call_waiting,
            ..RingSettings::new(server, token, self.shared.config.device_id.clone())
        };
        let shared = self.shared.clone();
        // At once, not when the task runs: a push that is handed over next finds a login under way.
        let begun = shared.begin_login();
        self.spawn(async move { shared.log_in(begun?, settings).await })
    }

    /// Who is logged in.
    pub fn logged_in_user(&self) -> Option<User> {
        self.shared.ring_client().ok().map(|client| client.user().clone())
    }

    /// Logs out: this device rings no more. An ongoing call waits for the device to come back for as long as the server
    /// allows. Running sessions go on. Never fails: what is not logged in is logged out, and a login that is under way is called off.
    pub fn log_out(&self) -> Completion<()> {
        let shared = self.shared.clone();
        // As above: a login that is begun next is another one.
        let login = shared.call_off_login();
        self.spawn(async move {
            if let Some((attempt, client)) = login {
                client.log_out().await;
                shared.logged_out(attempt);
            }
            Ok(())
        })
    }

    /// Calls somebody. The call that comes back rings, or is busy already; what becomes of it is told as events.
    ///
    /// Errors: `not_logged_in`, `calling_self`, `user_unknown`, `group_unknown`, `busy_self`, `invalid_argument`,
    /// `too_large`; and, as every request to the server, `timed_out`, `store_failed`, `too_many_requests`.
    pub fn initiate_call(&self, initiate: Initiate) -> Completion<Call> {
        self.request(async move |client| client.initiate(initiate).await)
    }

    /// Accepts a call that rings here. Errors: `not_logged_in`, `call_not_found`, `not_a_party`, `already_ended`,
    /// `not_allowed_in_state` (another device was first), `busy_self`, `not_a_member` (any more, of the called group).
    pub fn accept_call(&self, session: &SessionId) -> Completion<Call> {
        let session = session.clone();
        self.request(async move |client| client.accept(&session).await)
    }

    /// A push with a wake payload came in: says what became of the call that it announces, by the server's word.
    ///
    /// When the call rings, this device rings: [`CallEventKind::IncomingReceived`](crate::ringing::CallEventKind) comes
    /// as an event, once, whether the push or the connection told of it first, and however often the push came.
    ///
    /// Log in first, then call this; it waits for a login that is under way. It works on a connection that died while
    /// the device slept as well: that is found out within 2 s, and restored. To show who calls before the server has
    /// answered, read the payload with [`WakePayload::read`](crate::ringing::WakePayload::read).
    ///
    /// Errors: `not_logged_in`, `malformed`, `too_large`, `token_expired` (too late: the call rings no more),
    /// `not_a_party` (it is for another user), `token_wrong_key` (the server did not sign it), `call_not_found`,
    /// `timed_out`.
    pub fn call_from_push(&self, payload: impl Into<Vec<u8>>) -> Completion<PushedCall> {
        let (shared, payload) = (self.shared.clone(), payload.into());
        self.spawn(async move { shared.ring_client_soon().await?.call_from_push(payload).await })
    }

    /// Rejects a call that rings here. Errors: as [`accept_call`](Self::accept_call), and `invalid_argument` when this user
    /// dials it.
    pub fn reject_call(&self, session: &SessionId, reason: RejectReason) -> Completion<Call> {
        let session = session.clone();
        self.request(async move |client| client.reject(&session, reason).await)
    }

    /// Gives up a call that this user dials. Errors: `not_logged_in`, `call_not_found`, `not_a_party`,
    /// `already_ended`, `not_allowed_in_state` (it was answered), `invalid_argument` (this user is called).
    pub fn cancel_call(&self, session: &SessionId) -> Completion<Call> {
        self.reject_call(session, RejectReason::Cancelled)
    }

    /// Ends an ongoing call, and this engine's part in its session. Errors: `not_logged_in`, `call_not_found`,
    /// `not_a_party`, `already_ended`, `not_allowed_in_state`.
    pub fn end_call(&self, session: &SessionId) -> Completion<Call> {
        let session = session.clone();
        self.request(async move |client| client.end(&session).await)
    }

    /// The call that this device dials or is in.
    pub fn active_call(&self) -> Option<Call> {
        self.shared.ring_client().ok()?.active_call()
    }

    /// Forgets the active call on this device; the server and the other party are not told.
    pub fn clear_active_call(&self) -> Completion<Option<Call>> {
        self.request(async move |client| Ok(client.clear_active_call().await))
    }

    /// A page of this user's call log. Errors: `not_logged_in`, `invalid_argument`.
    pub fn call_log(&self, filter: LogFilter) -> Completion<LogPage> {
        self.request(async move |client| client.log(filter).await)
    }

    /// One call, as it is now or as it ended. Errors: `not_logged_in`, `call_not_found`, `not_a_party`.
    pub fn call(&self, session: &SessionId) -> Completion<Call> {
        let session = session.clone();
        self.request(async move |client| client.call(&session).await)
    }

    /// What a party to an ongoing call joins its session with. Errors: `not_logged_in`, `not_yet_accepted`,
    /// `not_a_party`, `already_ended`, `call_not_found`, `configuration` (the server does not know its own URL).
    pub fn session_token(&self, session: &SessionId) -> Completion<SessionAccess> {
        let session = session.clone();
        self.request(async move |client| client.session_token(&session).await)
    }

    /// Joins a session: at the server `url` with the LiveKit access token `token`. Completes when the server has let us
    /// in; media connects meanwhile. `session` names it in events and in later calls; for a call it is the call's
    /// session id, and when that call ends so does the session.
    ///
    /// Errors: `already_joined`, `server_unreachable`, `tls_refused`, `token_*`, `media_file`, `invalid_argument`,
    /// `not_yet_accepted`, `room_closed`, and whatever else the server refuses with. A
    /// microphone, speaker or camera that does not work is no error: [`SessionEvent::DeviceChanged`](crate::session::SessionEvent) tells of it, and it
    /// is used as soon as it does.
    pub fn start_session(
        &self,
        session: &SessionId,
        url: impl Into<String>,
        token: impl Into<String>,
        settings: SessionSettings,
    ) -> Completion<()> {
        let (shared, session, url, token) = (self.shared.clone(), session.clone(), url.into(), token.into());
        // At once, not when the task runs: what is asked of the session next finds one that is starting.
        let reserved = shared.reserve(&session);
        self.spawn(async move { shared.start_session(session, reserved?, url, token, settings).await })
    }

    /// Leaves a session, also one that is still starting: its start fails with `cancelled`. Takes 2 s at most, also with
    /// the network dead. Errors: `session_not_found`, `timed_out` when what is left of it goes on in the background.
    pub fn end_session(&self, session: &SessionId) -> Completion<()> {
        let (shared, session) = (self.shared.clone(), session.clone());
        // As above: one of the same id that is started next is another one.
        let place = shared.place(&session);
        let leaving = self.spawn(async move {
            let place = place?;
            let handle = shared.running_soon(&session, place).await?;
            let result = handle.leave().await;
            shared.forget(&session, place);
            result
        });
        self.spawn(async move {
            let late = || Err(Error::new(ErrorCode::TimedOut, "leaving the session took over 2 s"));
            tokio::time::timeout(LEAVE_TIMEOUT, leaving).await.unwrap_or_else(|_| late())
        })
    }

    /// Mutes or unmutes our track of that source: while muted nothing is captured or sent, and the others are told.
    /// Errors: `session_not_found`, `track_not_found` when there is none of that source.
    pub fn set_muted(&self, session: &SessionId, source: TrackSource, muted: bool) -> Completion<()> {
        self.in_session(session, async move |handle| handle.set_muted(source, muted).await)
    }

    /// What is done to our voice in a session from the next 20 ms on. Errors: `session_not_found`.
    pub fn set_voice_processing(&self, session: &SessionId, processing: VoiceProcessing) -> Result<()> {
        self.shared.running(session)?.set_voice_processing(processing);
        Ok(())
    }

    /// What is done to our voice in a session. Errors: `session_not_found`.
    pub fn voice_processing(&self, session: &SessionId) -> Result<VoiceProcessing> {
        Ok(self.shared.running(session)?.voice_processing())
    }

    /// Takes another of the machine's microphones, speakers or cameras from now on: that of a name or id (see
    /// [`crate::device`]), or the default one. What comes of it is told as [`SessionEvent::DeviceChanged`](crate::session::SessionEvent).
    /// Errors: `session_not_found`, `device_unavailable` when the session was started with something else in its place.
    pub fn choose_device(
        &self,
        session: &SessionId,
        device: MediaDevice,
        name: Option<String>,
        policy: DevicePolicy,
    ) -> Result<()> {
        self.shared.running(session)?.choose_device(device, name, policy)
    }

    /// How loud one of the machine's microphones or speakers is in a session: 0 to 4, 1 is unchanged.
    /// Errors: `invalid_argument`, and as [`choose_device`](Self::choose_device).
    pub fn set_volume(&self, session: &SessionId, device: MediaDevice, volume: f32) -> Result<()> {
        self.shared.running(session)?.set_volume(device, volume)
    }

    /// Takes our track of that source back, for good. Errors: `session_not_found`, `track_not_found`.
    pub fn unpublish(&self, session: &SessionId, source: TrackSource) -> Completion<()> {
        self.in_session(session, async move |handle| handle.unpublish(source).await)
    }

    /// Asks for a track of another participant, or gives it up. Errors: `session_not_found`, `track_not_found`.
    pub fn subscribe(&self, session: &SessionId, track: TrackId, subscribe: bool) -> Completion<()> {
        self.in_session(session, async move |handle| handle.subscribe(track, subscribe).await)
    }

    /// Sends a message to others in a session. Errors: `session_not_found`, `too_large`, `token_missing_grant`,
    /// `too_many_requests`.
    pub fn send_data(&self, session: &SessionId, data: OutgoingData) -> Completion<()> {
        self.in_session(session, async move |handle| {
            #[cfg(feature = "planted-faults")]
            planted::fault("operation", &data);
            handle.send_data(data).await
        })
    }

    /// Everyone in a session, ourselves first. Errors: `session_not_found`.
    pub fn participants(&self, session: &SessionId) -> Result<Vec<Participant>> {
        let roster = self.shared.running(session)?.roster();
        Ok(roster.local().into_iter().chain(roster.others()).cloned().collect())
    }

    /// What each track of a session sends or receives. Errors: `session_not_found`.
    pub fn statistics(&self, session: &SessionId) -> Completion<SessionStats> {
        self.in_session(session, async move |handle| handle.stats().await)
    }

    /// Runs `work` where events are delivered, in order with them: on the event thread, or on the thread that waits in
    /// [`EventQueue::next`]. Dropped without having run when the engine is shut down first, or nobody takes events.
    pub fn run_with_events(&self, work: impl FnOnce() + Send + 'static) {
        self.shared.events.run(Box::new(work));
    }

    /// Puts an event where the engine's own come from: what benches send through.
    pub(crate) fn tell(&self, event: Event) {
        self.shared.events.send(event);
    }

    /// Leaves all sessions, logs out, and stops. Takes [`SHUT_DOWN_LIMIT`] at most, also with the network dead, and as long as a
    /// callback that is running; events that were not taken by then are dropped. After it returns, no callback runs (save the one
    /// that it was called from). Operations that are under way fail with `shut_down`.
    pub fn shut_down(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let shared = self.shared.clone();
        let (done, stopped) = std::sync::mpsc::channel();
        let began = Instant::now();
        // Not block_on: that would panic when the app drops the engine inside a runtime of its own.
        runtime.spawn(async move {
            shared.leave_all().await;
            let _ = done.send(());
        });
        if stopped.recv_timeout(SHUT_DOWN_LIMIT).is_err() {
            tracing::warn!("the network did not let go in time; sessions are cut off");
        }
        runtime.shutdown_background();
        self.shared.events.close();
        if let Some(thread) = self.event_thread.take() {
            thread.join(SHUT_DOWN_LIMIT.saturating_sub(began.elapsed()));
        }
        self.shared.call_listeners.close();
    }

    fn spawn<T: Send + 'static>(&self, operation: impl Future<Output = Result<T>> + Send + 'static) -> Completion<T> {
        Completion::spawn(&self.shared.runtime, operation)
    }

    fn request<T: Send + 'static, F>(&self, ask: impl FnOnce(RingClient) -> F + Send + 'static) -> Completion<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let shared = self.shared.clone();
        self.begin(async move { ask(shared.ring_client()?).await })
    }

    fn in_session<T: Send + 'static, F>(
        &self,
        session: &SessionId,
        ask: impl FnOnce(SessionHandle) -> F + Send + 'static,
    ) -> Completion<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let (shared, session) = (self.shared.clone(), session.clone());
        self.begin(async move { ask(shared.running(&session)?).await })
    }

    /// The operation is on its way when this returns: what the app does next does not overtake it, and a call that was ended
    /// is over for the other side although the engine is shut down at once.
    fn begin<T: Send + 'static>(&self, operation: impl Future<Output = Result<T>> + Send + 'static) -> Completion<T> {
        // A fault of ours is the operation's result, and not a panic of who asked.
        let mut operation = Box::pin(AssertUnwindSafe(operation).catch_unwind());
        let begun = {
            let _entered = self.shared.runtime.enter();
            (&mut operation).now_or_never()
        };
        self.spawn(async move {
            let result = match begun {
                Some(result) => result,
                None => operation.await,
            };
            result.unwrap_or_else(|_| Err(ErrorCode::Internal.into()))
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}
