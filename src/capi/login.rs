//! Login.
//!
//! A user token, minted by the app's own backend (or by `trill token`), logs a device of that user in. The engine keeps
//! the login up over broken connections, and tells how it stands with TRILL_EVENT_LOGGED_IN, TRILL_EVENT_LOGIN_RECONNECTING
//! and TRILL_EVENT_LOGGED_OUT.

use super::arena::{Arena, Owned};
use super::boundary::{Out, free, string_in, with_engine};
use super::engine::trill_engine;
use super::handle::{UserData, notify};
use super::library::{trill_done, trill_error};
use crate::base::{ErrorCode, Result};
use crate::ringing::User;
use std::ffi::{c_char, c_void};
use std::ptr;

/// A user. Made by the library: new members are added at the end.
#[repr(C)]
pub struct trill_user {
    /// Never NULL.
    pub uid: *const c_char,
    /// For people; NULL when there is none.
    pub name: *const c_char,
    /// An https URL of a picture; NULL when there is none.
    pub avatar: *const c_char,
    /// The server owner's own, as JSON, when this is the user that is logged in; else NULL.
    pub metadata: *const c_char,
}

/// Told who is logged in. `user` is NULL on failure, `error` otherwise; both are lent until the function returns.
pub type trill_user_done = Option<
    unsafe extern "C" fn(user_data: *mut c_void, status: i32, user: *const trill_user, error: *const trill_error),
>;

/// Logs in to a server. Returns at once.
///
/// server: its http, https, ws or wss URL. token: a user token. Both are copied.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_ALREADY_LOGGED_IN,
/// TRILL_STATUS_INVALID_ARGUMENT (the URL), TRILL_STATUS_SERVER_UNREACHABLE, TRILL_STATUS_TLS_REFUSED,
/// TRILL_STATUS_TIMED_OUT, one of TRILL_STATUS_TOKEN_*, TRILL_STATUS_USER_REMOVED, TRILL_STATUS_TOO_MANY_REQUESTS,
/// TRILL_STATUS_SERVER_UNAVAILABLE, TRILL_STATUS_STORE_FAILED, TRILL_STATUS_CONNECTION_LOST, TRILL_STATUS_MALFORMED (what answers
/// is no server of Trill's), TRILL_STATUS_NOT_SUPPORTED (it speaks another version), TRILL_STATUS_DEVICE_REPLACED,
/// TRILL_STATUS_NOT_LOGGED_IN or TRILL_STATUS_CANCELLED (the login ended at once).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_login(
    engine: *mut trill_engine,
    server: *const c_char,
    token: *const c_char,
    done: trill_user_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let (server, token) = (string_in(server, "server")?, string_in(token, "token")?);
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.log_in(server, token))?);
        handle.complete(completion, move |result| answer(result, user_data, trill_user::new, done))
    })
}

/// Logs out: this device rings no more. Running sessions go on. Returns at once.
///
/// done: called exactly once if 0 is returned, else not at all; may be NULL. What is not logged in is logged out,
/// and a login that is under way is called off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_logout(
    engine: *mut trill_engine,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.log_out())?);
        handle.complete(completion, move |result| answer_nothing(result, user_data, done))
    })
}

/// Who is logged in.
///
/// out: set to the user, which trill_user_free frees.
///
/// Status: TRILL_STATUS_NOT_LOGGED_IN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_logged_in_user(
    engine: *mut trill_engine,
    out: *mut *mut trill_user,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let out = Out::new(out, "out")?;
        let user = handle.engine(|engine| engine.logged_in_user())?.ok_or(ErrorCode::NotLoggedIn)?;
        out.set(Owned::new(|arena| trill_user::new(&user, arena)).into_raw());
        Ok(())
    })
}

/// Frees a user that trill_logged_in_user gave; NULL is fine. Any thread.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_user_free(user: *mut trill_user) -> i32 {
    free(user)
}

impl trill_user {
    pub(super) fn new(user: &User, arena: &mut Arena) -> Self {
        Self {
            uid: arena.string(user.uid.as_str()),
            name: arena.optional(user.name.as_deref()),
            avatar: arena.optional(user.avatar.as_deref()),
            metadata: user.metadata.as_ref().map_or(ptr::null(), |json| arena.string(&json.to_string())),
        }
    }
}

/// A completion's function for a result of type `C`.
pub(super) type Done<C> = Option<unsafe extern "C" fn(*mut c_void, i32, *const C, *const trill_error)>;

/// Calls a completion with a result as C sees it.
pub(super) fn answer<T, C>(
    result: Result<T>,
    user_data: UserData,
    convert: impl FnOnce(&T, &mut Arena) -> C,
    done: Done<C>,
) {
    match result {
        Ok(value) => {
            let value = Owned::new(|arena| convert(&value, arena));
            notify!(done => (user_data.0, 0, value.as_ptr(), ptr::null()));
        }
        Err(error) => {
            let told = Owned::new(|arena| trill_error::new(&error, arena));
            notify!(done => (user_data.0, error.code().number(), ptr::null(), told.as_ptr()));
        }
    }
}

/// As [`answer`], for an operation without a result.
pub(super) fn answer_nothing(result: Result<()>, user_data: UserData, done: trill_done) {
    match result {
        Ok(()) => notify!(done => (user_data.0, 0, ptr::null())),
        Err(error) => {
            let told = Owned::new(|arena| trill_error::new(&error, arena));
            notify!(done => (user_data.0, error.code().number(), told.as_ptr()));
        }
    }
}
