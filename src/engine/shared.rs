//! What the engine's tasks share: the login, the running sessions, and where their events go.

use super::delivery::EventSender;
use super::listeners::CallListeners;
use super::ringing::{RingClient, RingEvent};
use super::session::{self, SessionHandle, SessionSettings, Told};
use super::{EngineConfig, Event, LoginEvent};
use crate::base::{ErrorCode, Result, SessionId};
use crate::ringing::CallEventKind;
use crate::ringing::client::LoginState;
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
    /// Told when a login that was under way has succeeded or failed.
    pub login_decided: Notify,
    /// Told when a session that was starting is running, or is none.
    session_opened: Notify,
    sessions: Mutex<HashMap<SessionId, Slot>>,
    /// That of the next session.
    next_place: AtomicU64,
}

pub(super) enum Login {
    Out,
    /// A login is under way.
    Pending,
    In(RingClient),
}

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

    pub fn ring_client(&self) -> Result<RingClient> {
        match &*self.login() {
            Login::In(client) => Ok(client.clone()),
            Login::Out | Login::Pending => Err(ErrorCode::NotLoggedIn.into()),
        }
    }

    /// [`Self::ring_client`], after a login that is under way.
    pub async fn ring_client_soon(&self) -> Result<RingClient> {
        loop {
            let mut decided = std::pin::pin!(self.login_decided.notified());
            // From here on no word is missed.
            decided.as_mut().enable();
            match &*self.login() {
                Login::In(client) => return Ok(client.clone()),
                Login::Out => return Err(ErrorCode::NotLoggedIn.into()),
                Login::Pending => {}
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
        let client = std::mem::replace(&mut *self.login(), Login::Out);
        let log_out = async {
            if let Login::In(client) = client {
                client.log_out().await;
            }
        };
        futures_util::future::join(futures_util::future::join_all(leaving), log_out).await;
    }

    pub fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Slot>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn on_ring_event(engine: &Weak<Shared>, event: RingEvent) {
    let Some(shared) = engine.upgrade() else { return };
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
            LoginState::LoggedIn(user) => LoginEvent::LoggedIn { user },
            LoginState::Reconnecting(error) => LoginEvent::Reconnecting { error },
            LoginState::LoggedOut(error) => {
                *shared.login() = Login::Out;
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
