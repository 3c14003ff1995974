//! The engine.
//!
//! An engine is made once, and freed last. It tells what happens in one of two ways, chosen when it is made:
//! by callbacks, which run one at a time on one thread of the engine's, or as events that the app takes from a queue with
//! trill_engine_next_event; then all callbacks and completions run on the thread that takes them. Both show the same
//! events. Callbacks may call any function of the library; to free the engine inside one is refused.

use super::arena::Owned;
use super::boundary::{Out, StructIn, guard, logged, optional_id_in, optional_struct_in, struct_in};
use super::event::trill_event;
use super::handle::{self, UserData, inside, lock, notify};
use super::library::trill_error;
use crate::base::{Error, ErrorCode};
use crate::engine::{EngineConfig, NoEvent};
use std::ffi::{c_char, c_void};
use std::sync::Mutex;
use std::time::Duration;

/// One device of one user: it logs in, makes and takes calls, and carries their media. Functions that take one may be
/// called from any thread, also inside its callbacks, unless they say otherwise. A handle that was freed, or never was an
/// engine, is refused with TRILL_STATUS_INVALID_ARGUMENT.
pub struct trill_engine {
    _private: [u8; 0],
}

/// How to make an engine. Start from TRILL_ENGINE_CONFIG_INIT; zero means default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_engine_config {
    pub struct_size: usize,
    /// Which of its user's devices this is, up to 128 bytes. An app keeps it, so that a restart is the same device and
    /// comes back to its call. NULL: a new device each time.
    pub device_id: *const c_char,
    /// Not 0: a call that comes while the user is in another one rings here, and the app decides. 0: the server answers
    /// it with busy.
    pub call_waiting: i32,
    /// Threads for signalling and packets, 1 to 16; 0 for 2. Media has threads of its own.
    pub worker_threads: u32,
}

// SAFETY: integers and a pointer.
unsafe impl StructIn for trill_engine_config {}

/// Releases what a user_data points to: called once, after the last use of the user_data.
pub type trill_drop_user_data = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Gets every event of an engine. `event` and all in it are lent until the function returns.
pub type trill_event_function = Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const trill_event)>;

/// Where an engine's events go. Start from TRILL_ENGINE_CALLBACKS_INIT; members that are NULL are skipped. An app that
/// uses trill_call_listener_add and the callbacks of sessions needs none of these, but gives the struct all the same.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_engine_callbacks {
    pub struct_size: usize,
    /// Handed to each of these functions.
    pub user_data: *mut c_void,
    /// Every event, before it goes to call listeners and to the callbacks of its session. On the engine's thread.
    pub event: trill_event_function,
    /// Last of all, on the thread that frees the engine.
    pub drop_user_data: trill_drop_user_data,
}

// SAFETY: an integer, a pointer and optional functions.
unsafe impl StructIn for trill_engine_callbacks {}

/// Makes an engine. It is not logged in and uses no network yet.
///
/// config: read during the call; NULL for the defaults.
/// callbacks: read during the call. NULL: the app takes events with trill_engine_next_event.
/// out: set to the engine, which trill_engine_free frees. On an error it is left as it is, and drop_user_data is not
/// called.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (a setting is out of range).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_engine_new(
    config: *const trill_engine_config,
    callbacks: *const trill_engine_callbacks,
    out: *mut *mut trill_engine,
    error: *mut *mut trill_error,
) -> i32 {
    guard(error, || {
        let out = Out::new(out, "out")?;
        let given = optional_struct_in(config, "config")?;
        let mut config = EngineConfig { call_waiting: given.call_waiting != 0, ..EngineConfig::default() };
        if let Some(id) = optional_id_in(given.device_id, "config.device_id")? {
            config.device_id = id;
        }
        if given.worker_threads != 0 {
            config.worker_threads = given.worker_threads as usize;
        }
        let callbacks = if callbacks.is_null() { None } else { Some(struct_in(callbacks, "callbacks")?) };
        out.set(handle::register(config, callbacks.map(EngineCallbacks::new))?);
        Ok(())
    })
}

/// Leaves all sessions, logs out, and frees the engine; NULL is fine. Takes 2 s at most, also with the network dead, and
/// as long as a callback that is running. Completions that have not been called are called with TRILL_STATUS_SHUT_DOWN
/// before it returns; after it has returned, no callback runs. Do not hold a lock that a callback waits for.
///
/// Status: TRILL_STATUS_IN_CALLBACK inside a callback of this engine, media callbacks included: nothing was done;
/// TRILL_STATUS_INVALID_ARGUMENT when it was freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_engine_free(engine: *mut trill_engine) -> i32 {
    guard(std::ptr::null_mut(), || handle::free(engine).inspect_err(logged))
}

/// Takes the next event of an engine that was made without callbacks, and waits for it. Meanwhile, and on this thread, run
/// completions, and for the event that is taken the call listeners and the callbacks of its session.
///
/// timeout_ms: how long to wait for an event; 0 for not at all.
/// out: set to the event, which trill_event_free frees.
///
/// Status: TRILL_STATUS_TIMED_OUT (there was none; go on), TRILL_STATUS_SHUT_DOWN (the engine is being freed),
/// TRILL_STATUS_IN_CALLBACK, TRILL_STATUS_NOT_SUPPORTED (this engine has callbacks). Any thread, one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_engine_next_event(
    engine: *mut trill_engine,
    timeout_ms: u32,
    out: *mut *mut trill_event,
    error: *mut *mut trill_error,
) -> i32 {
    guard(error, || {
        let handle = handle::find(engine)?;
        handle.check()?;
        let out = Out::new(out, "out")?;
        let queue = handle.queue.get().ok_or_else(|| {
            Error::new(ErrorCode::NotSupported, "this engine was made with callbacks; its events go there")
        })?;
        if handle.is_inside() {
            return Err(ErrorCode::InCallback.into());
        }
        let event = queue.next(Duration::from_millis(timeout_ms.into())).map_err(|none| match none {
            NoEvent::TimedOut => Error::from(ErrorCode::TimedOut),
            NoEvent::ShutDown => ErrorCode::ShutDown.into(),
        })?;
        let told = Owned::new(|arena| trill_event::new(&event, arena));
        handle.dispatch(&told, &event);
        out.set(told.into_raw());
        Ok(())
    })
}

/// The app's functions for events. `None` once they may not be called any more.
#[derive(Default)]
pub(super) struct EngineCallbacks(Mutex<Option<Given>>);

#[derive(Clone, Copy)]
struct Given {
    user_data: UserData,
    event: trill_event_function,
    drop_user_data: trill_drop_user_data,
}

impl EngineCallbacks {
    pub fn new(given: trill_engine_callbacks) -> Self {
        Self(Mutex::new(Some(Given {
            user_data: UserData(given.user_data),
            event: given.event,
            drop_user_data: given.drop_user_data,
        })))
    }

    pub fn event(&self, event: *const trill_event) {
        let given = *lock(&self.0);
        if let Some(given) = given {
            notify!(given.event => (given.user_data.0, event));
        }
    }

    pub fn close(&self, engine: usize) {
        let given = lock(&self.0).take();
        if let Some(given) = given {
            inside(engine, || notify!(given.drop_user_data => (given.user_data.0)));
        }
    }
}
