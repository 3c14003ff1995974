//! Engines as C holds them, and everything of an engine's that calls back into the app.

use super::arena::Owned;
use super::boundary::invalid;
use super::call_listener::Listener;
use super::engine::{EngineCallbacks, trill_engine};
use super::event::trill_event;
use super::session_callbacks::Session;
use crate::base::{Error, ErrorCode, Result, SessionId};
use crate::engine::{Completion, Engine, EngineConfig, Event, EventQueue, Listeners};
use crate::session::{SessionEvent, TrackKind};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

static ENGINES: RwLock<BTreeMap<usize, Arc<Handle>>> = RwLock::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The engines in whose callbacks this thread is.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// An engine and what the app hung on it.
pub(super) struct Handle {
    id: usize,
    /// Nothing once it is being freed.
    engine: RwLock<Option<Engine>>,
    /// Where the app takes its events; nothing when they go to callbacks.
    pub queue: OnceLock<EventQueue>,
    pub callbacks: EngineCallbacks,
    pub listeners: Listeners<Listener>,
    pub sessions: Mutex<HashMap<SessionId, Arc<Session>>>,
    /// Completions that have not been called: each can be called with `shut_down`.
    pending: Mutex<HashMap<u64, Box<dyn FnOnce() + Send>>>,
    /// Held while a callback runs (media callbacks have a gate of their own); true when none may run any more.
    closed: Mutex<bool>,
    /// Set before `pending` is emptied for the last time.
    closing: AtomicBool,
    broken: AtomicBool,
}

/// The app's pointer, which comes with every callback.
#[derive(Clone, Copy)]
pub(super) struct UserData(pub *mut c_void);

// SAFETY: it is never followed here, and by trill.h the app's callbacks run on threads of the engine's.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

/// Calls a function of the app's that may be NULL: `notify!(function(arguments))`.
macro_rules! notify {
    ($function:expr => ($($argument:expr),* $(,)?)) => {
        if let Some(function) = $function {
            // SAFETY: the app gave it with this type; what it is handed stays valid until it returns.
            unsafe { function($($argument),*) }
        }
    };
}
pub(super) use notify;

/// Makes an engine and its handle. Without callbacks the app takes its events itself.
pub(super) fn register(config: EngineConfig, callbacks: Option<EngineCallbacks>) -> Result<*mut trill_engine> {
    let id = NEXT.fetch_add(1, Relaxed) as usize;
    let polled = callbacks.is_none();
    let handle = Arc::new(Handle {
        id,
        engine: RwLock::default(),
        queue: OnceLock::new(),
        callbacks: callbacks.unwrap_or_default(),
        listeners: Listeners::default(),
        sessions: Mutex::default(),
        pending: Mutex::default(),
        closed: Mutex::new(false),
        closing: AtomicBool::new(false),
        broken: AtomicBool::new(false),
    });
    let engine = if polled {
        let (engine, queue) = Engine::with_queue(config)?;
        handle.queue.get_or_init(|| queue);
        engine
    } else {
        let weak = Arc::downgrade(&handle);
        Engine::new(config, move |event| {
            if let Some(handle) = weak.upgrade() {
                handle.dispatch(&Owned::new(|arena| trill_event::new(&event, arena)), &event);
            }
        })?
    };
    *handle.engine.write().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    ENGINES.write().unwrap_or_else(PoisonError::into_inner).insert(id, handle);
    Ok(std::ptr::without_provenance_mut(id))
}

/// Errors: `invalid_argument`.
pub(super) fn find(engine: *mut trill_engine) -> Result<Arc<Handle>> {
    if engine.is_null() {
        return Err(invalid("engine is NULL"));
    }
    let engines = ENGINES.read().unwrap_or_else(PoisonError::into_inner);
    engines.get(&engine.addr()).cloned().ok_or_else(|| invalid("engine was freed, or never was one"))
}

/// Stops an engine for good: every completion is called, and after it no callback runs.
///
/// Errors: `in_callback`, `invalid_argument`.
pub(super) fn free(engine: *mut trill_engine) -> Result<()> {
    if engine.is_null() {
        return Ok(());
    }
    let handle = find(engine)?;
    if handle.is_inside() {
        return Err(ErrorCode::InCallback.into());
    }
    let removed = ENGINES.write().unwrap_or_else(PoisonError::into_inner).remove(&handle.id);
    if removed.is_none() {
        return Err(invalid("engine is being freed already"));
    }
    handle.close();
    Ok(())
}

impl Handle {
    /// Errors: `internal` after a fault.
    pub fn check(&self) -> Result<()> {
        if self.broken.load(Relaxed) {
            return Err(Error::new(
                ErrorCode::Internal,
                "this engine had a fault and can only be freed; please report it with the log",
            ));
        }
        Ok(())
    }

    pub fn mark_broken(&self) {
        self.broken.store(true, Relaxed);
    }

    /// Errors: `shut_down`.
    pub fn engine<T>(&self, call: impl FnOnce(&Engine) -> T) -> Result<T> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        engine.as_ref().map(call).ok_or_else(|| ErrorCode::ShutDown.into())
    }

    /// Whether this thread is in one of this engine's callbacks.
    pub fn is_inside(&self) -> bool {
        INSIDE.with_borrow(|inside| inside.contains(&self.id))
    }

    /// Which engine this is, for [`inside`].
    pub fn id(&self) -> usize {
        self.id
    }

    /// Runs what calls the app, one at a time; not any more once the engine is freed.
    fn callback(&self, call: impl FnOnce()) {
        let closed = lock(&self.closed);
        if !*closed {
            inside(self.id, call);
        }
    }

    /// Waits until the callback that runs has returned; not when this thread is in it.
    pub fn wait_for_callback(&self) {
        if !self.is_inside() {
            drop(lock(&self.closed));
        }
    }

    /// Tells the app of an event: the one function for all, then what is for this kind.
    pub fn dispatch(&self, told: &Owned<trill_event>, event: &Event) {
        self.callback(|| {
            // Its place is free before anybody is told of its end: in each of these functions the app may start the next one of that id.
            let ended = match event {
                Event::Session { session, event: SessionEvent::Ended { .. } } => lock(&self.sessions).remove(session),
                _ => None,
            };
            self.callbacks.event(told.as_ptr());
            match event {
                Event::Call(_) => self.listeners.each(|listener| listener.tell(told.get())),
                Event::Session { event: SessionEvent::Ended { .. }, .. } => {
                    if let Some(session) = ended {
                        session.tell(told.get());
                        session.close();
                    }
                }
                Event::Session { session, event } => self.tell_session(session, event, told.get()),
                Event::Statistics { session, .. } => {
                    let session = lock(&self.sessions).get(session).cloned();
                    session.into_iter().for_each(|session| session.tell(told.get()));
                }
                _ => {}
            }
        });
    }

    fn tell_session(&self, id: &SessionId, event: &SessionEvent, told: &trill_event) {
        let Some(session) = lock(&self.sessions).get(id).cloned() else { return };
        if session.gives_up_video()
            && let SessionEvent::TrackSubscribed { track, .. } = event
            && track.kind == TrackKind::Video
        {
            // Its outcome is another event; without an engine it is being freed.
            if let Ok(completion) = self.engine(|engine| engine.subscribe(id, track.id.clone(), false)) {
                completion.then(drop);
            }
        }
        session.tell(told);
    }

    /// No callback of that session begins after this.
    pub fn forget_session(&self, id: &SessionId, session: &Arc<Session>) {
        self.free_place(id, session);
        session.close();
    }

    /// Another session may begin under that id; of this one nothing is closed yet.
    pub fn free_place(&self, id: &SessionId, session: &Arc<Session>) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(id).is_some_and(|now| Arc::ptr_eq(now, session)) {
            sessions.remove(id);
        }
    }

    /// Calls `done` with the operation's result where events are delivered, or with `shut_down` when the engine is
    /// freed before: exactly once. Errors: `shut_down` when it was freed meanwhile; then `done` is not called.
    pub fn complete<T: Send + 'static>(
        self: &Arc<Self>,
        completion: Completion<T>,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Relaxed);
        let slot = Arc::new(Mutex::new(Some(done)));
        let at_end = slot.clone();
        let call_off = move || {
            let done = lock(&at_end).take();
            if let Some(done) = done {
                done(Err(ErrorCode::ShutDown.into()));
            }
        };
        lock(&self.pending).insert(id, Box::new(call_off));
        // Another thread may have freed the engine since it was asked: what came after the last look at `pending` is ours.
        if self.closing.load(SeqCst) && lock(&self.pending).remove(&id).is_some() {
            return Err(ErrorCode::ShutDown.into());
        }
        let weak = Arc::downgrade(self);
        completion.then(move |result| {
            let Some(handle) = weak.upgrade() else { return };
            let here = handle.clone();
            let call = move || {
                here.callback(|| {
                    lock(&here.pending).remove(&id);
                    let done = lock(&slot).take();
                    if let Some(done) = done {
                        done(result);
                    }
                });
            };
            // Without an engine it is being freed, which calls what is pending.
            handle.engine(|engine| engine.run_with_events(call)).ok();
        });
        Ok(())
    }

    fn close(&self) {
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(engine) = engine {
            engine.shut_down();
        }
        *lock(&self.closed) = true;
        self.closing.store(true, SeqCst);
        let pending = std::mem::take(&mut *lock(&self.pending));
        inside(self.id, || pending.into_values().for_each(|call_off| call_off()));
        let sessions = std::mem::take(&mut *lock(&self.sessions));
        sessions.values().for_each(|session| session.close());
        self.listeners.clear();
        self.callbacks.close(self.id);
    }
}

/// Runs what calls the app, so that [`Handle::is_inside`] knows.
pub(super) fn inside(engine: usize, call: impl FnOnce()) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.with_borrow_mut(Vec::pop);
        }
    }
    INSIDE.with_borrow_mut(|inside| inside.push(engine));
    let _leave = Leave;
    call();
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
