//! Calls from a push.
//!
//! A callee without a connected device is woken by a push of its platform's, which carries a small payload from the server.
//! An app that is woken logs in and hands the payload over: then the call rings here, or is known to be over.

use super::arena::{Arena, Owned};
use super::boundary::{Out, free, guard, slice_in, with_engine};
use super::call::{call_type_number, trill_call};
use super::engine::trill_engine;
use super::handle::UserData;
use super::library::trill_error;
use super::login::{answer, trill_user};
use crate::base::UnixMillis;
use crate::ringing::{PushOutcome, PushedCall, WakePayload};
use std::ffi::{c_char, c_void};

/// What of a payload is looked at: the engine refuses one of over 4 KiB in its own words.
const MAX_PAYLOAD: usize = 64 * 1024;

/// It rings here; TRILL_EVENT_INCOMING_RECEIVED tells of it, once.
pub const TRILL_PUSH_OUTCOME_RINGING: i32 = 1;
/// This device is in the call.
pub const TRILL_PUSH_OUTCOME_IN_CALL: i32 = 2;
/// Another device of this user accepted.
pub const TRILL_PUSH_OUTCOME_ANSWERED_ELSEWHERE: i32 = 3;
/// Another device of this user rejected.
pub const TRILL_PUSH_OUTCOME_REJECTED_ELSEWHERE: i32 = 4;
/// It is over: the caller gave up, nobody answered, or it was talked and ended.
pub const TRILL_PUSH_OUTCOME_OVER: i32 = 5;

/// What became of a call that a push announced. Made by the library: new members are added at the end.
#[repr(C)]
pub struct trill_pushed_call {
    /// TRILL_PUSH_OUTCOME_*.
    pub outcome: i32,
    /// As it is now. Never NULL.
    pub call: *const trill_call,
}

/// Told what became of a call. `pushed` is NULL on failure, `error` otherwise; both are lent until the function returns.
pub type trill_pushed_call_done = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: i32,
        pushed: *const trill_pushed_call,
        error: *const trill_error,
    ),
>;

/// What stands in a wake payload. Made by the library: new members are added at the end.
#[repr(C)]
pub struct trill_wake {
    /// Whose devices are to ring. Never NULL.
    pub uid: *const c_char,
    /// The call's. Never NULL.
    pub session_id: *const c_char,
    /// Who calls; without an avatar. Never NULL.
    pub from: *const trill_user,
    /// The guid of the group that is called; NULL when it is the user alone.
    pub group: *const c_char,
    /// TRILL_CALL_TYPE_*.
    pub call_type: i32,
    /// When it is of no use any more, in ms since 1970.
    pub expires_at_ms: u64,
}

/// Hands over a push's payload, and asks what became of its call. Log in first, or at once before it: it waits for a login
/// that is under way, and finds out within 2 s whether the connection died while the device slept.
///
/// payload: payload_size bytes as the server gave them to the push service; copied.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_MALFORMED, TRILL_STATUS_TOO_LARGE, TRILL_STATUS_TOKEN_EXPIRED (too late: the call rings no more),
/// TRILL_STATUS_NOT_A_PARTY (it is for another user), TRILL_STATUS_TOKEN_WRONG_KEY (the server did not sign it),
/// TRILL_STATUS_CALL_NOT_FOUND, or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
/// TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_from_push(
    engine: *mut trill_engine,
    payload: *const u8,
    payload_size: usize,
    done: trill_pushed_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let payload = slice_in(payload, payload_size, MAX_PAYLOAD, "payload")?;
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.call_from_push(payload))?);
        handle.complete(completion, move |result| answer(result, user_data, trill_pushed_call::new, done))
    })
}

/// Reads who calls out of a push's payload, without a network: for systems that want it shown at once. Nothing of it is
/// proven until trill_call_from_push has asked the server.
///
/// payload: payload_size bytes, read during the call.
/// out: set to what stands in it, which trill_wake_free frees.
///
/// Status: TRILL_STATUS_MALFORMED, TRILL_STATUS_TOO_LARGE. Any thread; needs no engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_wake_read(
    payload: *const u8,
    payload_size: usize,
    out: *mut *mut trill_wake,
    error: *mut *mut trill_error,
) -> i32 {
    guard(error, || {
        let (payload, out) = (slice_in(payload, payload_size, MAX_PAYLOAD, "payload")?, Out::new(out, "out")?);
        let (wake, expires_at) = WakePayload::read(payload)?;
        out.set(Owned::new(|arena| trill_wake::new(&wake, expires_at, arena)).into_raw());
        Ok(())
    })
}

/// Frees what trill_wake_read gave; NULL is fine. Any thread.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_wake_free(wake: *mut trill_wake) -> i32 {
    free(wake)
}

impl trill_pushed_call {
    fn new(pushed: &PushedCall, arena: &mut Arena) -> Self {
        let call = trill_call::new(&pushed.call, arena);
        Self {
            outcome: match pushed.outcome {
                PushOutcome::Ringing => TRILL_PUSH_OUTCOME_RINGING,
                PushOutcome::InCall => TRILL_PUSH_OUTCOME_IN_CALL,
                PushOutcome::AnsweredElsewhere => TRILL_PUSH_OUTCOME_ANSWERED_ELSEWHERE,
                PushOutcome::RejectedElsewhere => TRILL_PUSH_OUTCOME_REJECTED_ELSEWHERE,
                PushOutcome::Over => TRILL_PUSH_OUTCOME_OVER,
            },
            call: arena.one(call),
        }
    }
}

impl trill_wake {
    fn new(wake: &WakePayload, expires_at: UnixMillis, arena: &mut Arena) -> Self {
        let from = trill_user::new(&wake.from, arena);
        Self {
            uid: arena.string(wake.uid.as_str()),
            session_id: arena.string(wake.session_id.as_str()),
            from: arena.one(from),
            group: arena.optional(wake.group.as_deref()),
            call_type: call_type_number(wake.call_type),
            expires_at_ms: expires_at.0,
        }
    }
}
