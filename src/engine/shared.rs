//! What the engine's tasks share: the login, the running sessions, and where their events go.

use super::delivery::EventSender;
use super::listeners::CallListeners;
use super::ringing::{RingClient, RingEvent, RingSettings};
use super::session::{self, SessionHandle, SessionSettings, Told};
use super::{EngineConfig, Event, LoginEvent};
use crate::base::{Error, ErrorCode, Result, SessionId};
use crate::ringing::client::LoginState;
use crate::ringing::{CallEventKind, User};
use crate::session::SessionEvent;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::runtime::Handle;
use tokio::sync::Notify;

pub(super) struct Shared {
    pub config: EngineConfig,
    pub runtime: Handle,
    pub events: EventSender,
    pub call_listeners: Arc<CallListeners>,
    login: Mutex<Login>,
    /// That of the next login.
    next_attempt: AtomicU64,
    /// Told when a login that was under way has succeeded or failed, or was called off.
    login_decided: Notify,
    /// Told when a session that was starting is running, or is none.
    session_opened: Notify,
    sessions: Mutex<HashMap<SessionId, Slot>>,
    /// That of the next session.
    next_place: AtomicU64,
}

enum Login {
    Out,
    /// A login is under way. `told`: the app has heard that it has come about, in the moment before it is [`Login::In`].
    Pending {
        attempt: Attempt,
        told: bool,
    },
    In(Attempt, RingClient),
}

/// Tells a login from an earlier one, whose end may still be on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt(u64);

/// A session takes its place before it is joined, so that two starts of the same one cannot both succeed.
struct Slot {
    place: Place,
    /// Nothing while it is starting.
    running: Option<SessionHandle>,
}

/// Tells a session from an earlier one of the same id, whose end may still be on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Shared {
    pub fn new(config: EngineConfig, runtime: Handle, events: EventSender, call_listeners: Arc<CallListeners>) -> Self {
        Self {
            config,
            runtime,
            events,
            call_listeners,
            login: Mutex::new(Login::Out),
            next_attempt: AtomicU64::new(0),
            login_decided: Notify::new(),
            session_opened: Notify::new(),
            sessions: Mutex::default(),
            next_place: AtomicU64::new(0),
        }
    }

    /// Takes the place of a session that [`Self::start_session`] is to start. Errors: `already_joined`.
    pub fn reserve(&self, session: &SessionId) -> Result<Place> {
        let mut sessions = self.sessions();
        if sessions.contains_key(session) {
            return Err(ErrorCode::AlreadyJoined.into());
        }
        let place = Place(self.next_place.fetch_add(1, Relaxed));
        sessions.insert(session.clone(), Slot { place, running: None });
        Ok(place)
    }

    /// The one of that id at this moment. Errors: `session_not_found`.
    pub fn place(&self, session: &SessionId) -> Result<Place> {
        self.sessions().get(session).map(|slot| slot.place).ok_or_else(|| ErrorCode::SessionNotFound.into())
    }

    /// Its place is reserved.
    pub async fn start_session(
        self: Arc<Self>,
        session: SessionId,
        place: Place,
        url: String,
        token: String,
        settings: SessionSettings,
    ) -> Result<()> {
        let (engine, id, runtime) = (Arc::downgrade(&self), session.clone(), self.runtime.clone());
        let told = move |told| on_session_told(&engine, &id, place, told);
        // Files and devices are opened in there: that may block.
        let started = tokio::task::spawn_blocking(move || session::start(&url, &token, settings, told, &runtime));
        let result = match started.await {
            Ok(Ok(handle)) => {
                // Its end may have been told already; then there is no place to take.
                if let Some(slot) = self.sessions().get_mut(&session).filter(|slot| slot.place == place) {
                    slot.running = Some(handle.clone());
                }
                self.session_opened.notify_waiters();
                handle.joined().await
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ErrorCode::ShutDown.into()),
        };
        if result.is_err() {
            self.forget(&session, place);
        }
        result
    }

    /// Takes the place of the login that [`Self::log_in`] is to bring about. Errors: `already_logged_in`.
    pub fn begin_login(&self) -> Result<Attempt> {
        let mut login = self.login();
        if !matches!(*login, Login::Out) {
            return Err(ErrorCode::AlreadyLoggedIn.into());
        }
        let attempt = Attempt(self.next_attempt.fetch_add(1, Relaxed));
        *login = Login::Pending { attempt, told: false };
        Ok(attempt)
    }

    /// Its place is taken.
    pub async fn log_in(self: Arc<Self>, attempt: Attempt, settings: RingSettings) -> Result<User> {
        let engine = Arc::downgrade(&self);
        let connected = tokio::select! {
            biased;
            connected = RingClient::connect(settings, move |event| on_ring_event(&engine, attempt, event)) => connected,
            () = self.called_off(attempt) => Err(logged_out()),
        };
        let result = {
            let mut login = self.login();
            let pending = login.attempt() == Some(attempt);
            match connected {
                Ok(client) if pending => {
                    let user = client.user().clone();
                    *login = Login::In(attempt, client);
                    Ok(user)
                }
                // The server or the app may have ended the login already.
                Ok(_) => Err(ErrorCode::NotLoggedIn.into()),
                Err(error) => {
                    if pending {
                        *login = Login::Out;
                    }
                    Err(error)
                }
            }
        };
        self.login_decided.notify_waiters();
        result
    }

    /// Calls a login off that is under way; gives the one that there is, for [`Self::logged_out`].
    pub fn call_off_login(&self) -> Option<(Attempt, RingClient)> {
        let mut login = self.login();
        match &*login {
            Login::Out => return None,
            Login::In(attempt, client) => return Some((*attempt, client.clone())),
            Login::Pending { told: true, .. } => {
                self.events.send(Event::Login(LoginEvent::LoggedOut { error: logged_out() }));
            }
            Login::Pending { told: false, .. } => {}
        }
        *login = Login::Out;
        drop(login);
        self.login_decided.notify_waiters();
        None
    }

    /// That login is over. One that has begun since is not touched.
    pub fn logged_out(&self, attempt: Attempt) {
        let mut login = self.login();
        if login.attempt() == Some(attempt) {
            *login = Login::Out;
        }
    }

    async fn called_off(&self, attempt: Attempt) {
        loop {
            let mut decided = std::pin::pin!(self.login_decided.notified());
            // From here on no word is missed.
            decided.as_mut().enable();
            if self.login().attempt() != Some(attempt) {
                return;
            }
            decided.await;
        }
    }

    pub fn ring_client(&self) -> Result<RingClient> {
        match &*self.login() {
            Login::In(_, client) => Ok(client.clone()),
            Login::Out | Login::Pending { .. } => Err(ErrorCode::NotLoggedIn.into()),
        }
    }

    /// [`Self::ring_client`], after a login that is under way.
    pub async fn ring_client_soon(&self) -> Result<RingClient> {
        loop {
            let mut decided = std::pin::pin!(self.login_decided.notified());
            // From here on no word is missed.
            decided.as_mut().enable();
            match &*self.login() {
                Login::In(_, client) => return Ok(client.clone()),
                Login::Out => return Err(ErrorCode::NotLoggedIn.into()),
                Login::Pending { .. } => {}
            }
            decided.await;
        }
    }

    pub fn running(&self, session: &SessionId) -> Result<SessionHandle> {
        let running = self.sessions().get(session).and_then(|slot| slot.running.clone());
        running.ok_or_else(|| ErrorCode::SessionNotFound.into())
    }

    /// [`Self::running`], after a start that is opening its files and devices.
    pub async fn running_soon(&self, session: &SessionId, place: Place) -> Result<SessionHandle> {
        loop {
            let mut opened = std::pin::pin!(self.session_opened.notified());
            // From here on no word is missed.
            opened.as_mut().enable();
            match self.sessions().get(session).filter(|slot| slot.place == place) {
                Some(Slot { running: Some(handle), .. }) => return Ok(handle.clone()),
                Some(Slot { running: None, .. }) => {}
                None => return Err(ErrorCode::SessionNotFound.into()),
            }
            opened.await;
        }
    }

    pub fn forget(&self, session: &SessionId, place: Place) {
        let mut sessions = self.sessions();
        if sessions.get(session).is_some_and(|slot| slot.place == place) {
            sessions.remove(session);
        }
        drop(sessions);
        self.session_opened.notify_waiters();
    }

    pub async fn leave_all(&self) {
        let sessions = std::mem::take(&mut *self.sessions());
        let running = sessions.into_values().filter_map(|slot| slot.running);
        let leaving = running.map(|handle| async move { handle.leave().await.ok() });
        let client = {
            let mut login = self.login();
            match &*login {
                Login::In(_, client) => Some(client.clone()),
                Login::Out | Login::Pending { .. } => {
                    *login = Login::Out;
                    None
                }
            }
        };
        let log_out = async {
            if let Some(client) = client {
                client.log_out().await;
            }
        };
        futures_util::future::join(futures_util::future::join_all(leaving), log_out).await;
    }

    fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Slot>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    /// Which one it is, under way or there.
    fn attempt(&self) -> Option<Attempt> {
        match self {
            Self::Out => None,
            Self::Pending { attempt, .. } | Self::In(attempt, _) => Some(*attempt),
        }
    }
}

fn logged_out() -> Error {
    Error::new(ErrorCode::Cancelled, "logged out")
}

fn on_ring_event(engine: &Weak<Shared>, attempt: Attempt, event: RingEvent) {
    let Some(shared) = engine.upgrade() else { return };
    // Held while it is told: nothing of a login comes after its end.
    let mut login = shared.login();
    if login.attempt() != Some(attempt) {
        return;
    }
    match event {
        RingEvent::Call(event) => {
            // A call that is over takes its session along: no microphone stays open after the other has hung up. So
            // does a group's call that this device is out of.
            if (event.call.status.is_over() || event.kind == CallEventKind::Ended)
                && let Ok(session) = shared.running(&event.call.session_id)
            {
                shared.runtime.spawn(async move { session.leave().await });
            }
            shared.events.send(Event::Call(event));
        }
        RingEvent::Login(state) => shared.events.send(Event::Login(match state {
            LoginState::LoggedIn(user) => {
                if let Login::Pending { told, .. } = &mut *login {
                    *told = true;
                }
                LoginEvent::LoggedIn { user }
            }
            LoginState::Reconnecting(error) => LoginEvent::Reconnecting { error },
            LoginState::LoggedOut(error) => {
                *login = Login::Out;
                LoginEvent::LoggedOut { error }
            }
        })),
    }
}

fn on_session_told(engine: &Weak<Shared>, session: &SessionId, place: Place, told: Told) {
    let Some(shared) = engine.upgrade() else { return };
    // What is left of one that took too long to leave is nothing to the next one of the same id.
    if shared.place(session).is_ok_and(|now| now != place) {
        return;
    }
    if matches!(told, Told::Event(SessionEvent::Ended { .. })) {
        shared.forget(session, place);
    }
    let session = session.clone();
    shared.events.send(match told {
        Told::Event(event) => Event::Session { session, event },
        Told::Statistics(statistics) => Event::Statistics { session, statistics },
    });
}
