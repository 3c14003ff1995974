//! Call listeners.
//!
//! What happens to calls, a function for each kind. An engine has as many listeners as parts of the app want to know; each
//! has an id of the app's choosing.

use super::boundary::{StructIn, string_in, struct_in, with_engine};
use super::call::trill_call;
use super::engine::{trill_drop_user_data, trill_engine};
use super::event::{
    TRILL_EVENT_ANSWERED_ELSEWHERE, TRILL_EVENT_CALL_ENDED, TRILL_EVENT_INCOMING_CANCELLED,
    TRILL_EVENT_INCOMING_RECEIVED, TRILL_EVENT_OUTGOING_ACCEPTED, TRILL_EVENT_OUTGOING_BUSY,
    TRILL_EVENT_OUTGOING_REJECTED, TRILL_EVENT_OUTGOING_RINGING, TRILL_EVENT_OUTGOING_UNANSWERED,
    TRILL_EVENT_REJECTED_ELSEWHERE, trill_event,
};
use super::handle::{UserData, notify};
use super::library::trill_error;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Told what became of a call. `call` is as it is after that, and lent until the function returns. `by` is the uid of who
/// did it, NULL when nobody did, as with a time-out; lent as well.
pub type trill_call_function =
    Option<unsafe extern "C" fn(user_data: *mut c_void, call: *const trill_call, by: *const c_char)>;

/// Start from TRILL_CALL_LISTENER_INIT; members that are NULL are skipped. The functions run where the engine's callbacks
/// run, and may add and remove listeners, themselves included.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_call_listener {
    pub struct_size: usize,
    /// Handed to each of these functions.
    pub user_data: *mut c_void,
    /// Somebody calls this user: ring, then trill_call_accept or trill_call_reject.
    pub incoming_call_received: trill_call_function,
    /// A first device of the callee rings.
    pub outgoing_call_ringing: trill_call_function,
    /// The callee accepted: start the session.
    pub outgoing_call_accepted: trill_call_function,
    /// The callee rejected.
    pub outgoing_call_rejected: trill_call_function,
    /// The callee is in another call.
    pub outgoing_call_busy: trill_call_function,
    /// Nobody answered in time.
    pub outgoing_call_unanswered: trill_call_function,
    /// The initiator gave up, or nobody answered in time: stop ringing.
    pub incoming_call_cancelled: trill_call_function,
    /// Another device of this user accepted: stop ringing.
    pub answered_elsewhere: trill_call_function,
    /// Another device of this user rejected: stop ringing.
    pub rejected_elsewhere: trill_call_function,
    /// The call that this device was in, or dialled, is over; call->end_reason says why.
    pub call_ended: trill_call_function,
    /// Once, when the listener is gone and none of its functions runs any more.
    pub drop_user_data: trill_drop_user_data,
}

// SAFETY: an integer, a pointer and optional functions.
unsafe impl StructIn for trill_call_listener {}

/// Adds a listener; one of the same id is removed first.
///
/// listener_id: copied. listener: copied; on an error its drop_user_data is not called.
///
/// Status: TRILL_STATUS_TOO_MANY_REQUESTS (over 256 listeners).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_listener_add(
    engine: *mut trill_engine,
    listener_id: *const c_char,
    listener: *const trill_call_listener,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = string_in(listener_id, "listener_id")?;
        let given = struct_in(listener, "listener")?;
        let listener = || Arc::new(Listener { user_data: UserData(given.user_data), given });
        if handle.listeners.add(id, listener)? {
            handle.wait_for_callback();
        }
        Ok(())
    })
}

/// Removes a listener. After it returns none of its functions begins, and none runs, save the one that it was called
/// from. One that is running is waited for: do not hold a lock that it needs, nor one that any other callback of this engine needs.
///
/// listener_id: read during the call.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (there is none of that id).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_listener_remove(
    engine: *mut trill_engine,
    listener_id: *const c_char,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = string_in(listener_id, "listener_id")?;
        handle.listeners.remove(&id)?;
        handle.wait_for_callback();
        Ok(())
    })
}

/// A listener of the app's. The last one who holds it drops the user_data.
pub(super) struct Listener {
    user_data: UserData,
    given: trill_call_listener,
}

// SAFETY: beside the user_data, which is never followed here, it is functions that run on the engine's threads.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

impl Listener {
    pub fn tell(&self, event: &trill_event) {
        let function = match event.kind {
            TRILL_EVENT_INCOMING_RECEIVED => self.given.incoming_call_received,
            TRILL_EVENT_OUTGOING_RINGING => self.given.outgoing_call_ringing,
            TRILL_EVENT_OUTGOING_ACCEPTED => self.given.outgoing_call_accepted,
            TRILL_EVENT_OUTGOING_REJECTED => self.given.outgoing_call_rejected,
            TRILL_EVENT_OUTGOING_BUSY => self.given.outgoing_call_busy,
            TRILL_EVENT_OUTGOING_UNANSWERED => self.given.outgoing_call_unanswered,
            TRILL_EVENT_INCOMING_CANCELLED => self.given.incoming_call_cancelled,
            TRILL_EVENT_ANSWERED_ELSEWHERE => self.given.answered_elsewhere,
            TRILL_EVENT_REJECTED_ELSEWHERE => self.given.rejected_elsewhere,
            TRILL_EVENT_CALL_ENDED => self.given.call_ended,
            _ => None,
        };
        notify!(function => (self.user_data.0, event.call, event.by));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        notify!(self.given.drop_user_data => (self.user_data.0));
    }
}
