//! Calls.
//!
//! One initiates; the receiver's devices ring and accept or reject; once it is ongoing both start its session; one ends
//! it. A call is named by its session id. All of these return at once; what becomes of the call is told by events and
//! call listeners.

use super::arena::{Arena, Owned};
use super::boundary::{
    Out, StructIn, choice, free, invalid, optional_string_in, optional_struct_in, session_in, string_in, with_engine,
};
use super::engine::trill_engine;
use super::handle::UserData;
use super::library::{trill_done, trill_error};
use super::login::{answer, answer_nothing, trill_user};
use crate::base::{ErrorCode, Result, SessionId};
use crate::engine::{Completion, Engine};
use crate::ringing::wire::{Initiate, RejectReason, SessionAccess};
use crate::ringing::{Call, CallStatus, CallType, Category, EndReason, Participant, ParticipantState, ReceiverType};
use std::ffi::{c_char, c_void};
use std::ptr;

/// Voice alone.
pub const TRILL_CALL_TYPE_AUDIO: i32 = 1;
/// Voice and picture.
pub const TRILL_CALL_TYPE_VIDEO: i32 = 2;

/// The receiver is a uid.
pub const TRILL_RECEIVER_TYPE_USER: i32 = 1;
/// The receiver is a group's guid.
pub const TRILL_RECEIVER_TYPE_GROUP: i32 = 2;

/// Somebody is rung.
pub const TRILL_CATEGORY_CALL: i32 = 1;
/// A meeting that was agreed on beforehand.
pub const TRILL_CATEGORY_MEET: i32 = 2;

/// It rings, or will once a device of the receiver is there.
pub const TRILL_CALL_STATUS_INITIATED: i32 = 1;
/// Accepted: the parties may start the session.
pub const TRILL_CALL_STATUS_ONGOING: i32 = 2;
/// It was ongoing and is over.
pub const TRILL_CALL_STATUS_ENDED: i32 = 3;
/// The receiver did not want it.
pub const TRILL_CALL_STATUS_REJECTED: i32 = 4;
/// The receiver is in another call.
pub const TRILL_CALL_STATUS_BUSY: i32 = 5;
/// The initiator gave up before an answer.
pub const TRILL_CALL_STATUS_CANCELLED: i32 = 6;
/// Nobody answered in time.
pub const TRILL_CALL_STATUS_UNANSWERED: i32 = 7;
/// The server could not carry it.
pub const TRILL_CALL_STATUS_FAILED: i32 = 8;

/// A party ended the ongoing call.
pub const TRILL_END_REASON_HUNG_UP: i32 = 1;
/// The receiver did not want it.
pub const TRILL_END_REASON_REJECTED: i32 = 2;
/// The receiver is in another call.
pub const TRILL_END_REASON_BUSY: i32 = 3;
/// The initiator gave up before an answer.
pub const TRILL_END_REASON_CANCELLED: i32 = 4;
/// Nobody answered in time.
pub const TRILL_END_REASON_UNANSWERED: i32 = 5;
/// The initiator's device lost its connection while it rang and did not come back.
pub const TRILL_END_REASON_CALLER_GONE: i32 = 6;
/// A party's device lost its connection in the call and did not come back.
pub const TRILL_END_REASON_CONNECTION_LOST: i32 = 7;
/// One party was alone in the session for too long.
pub const TRILL_END_REASON_LEFT_ALONE: i32 = 8;
/// The last party left the session.
pub const TRILL_END_REASON_EVERYONE_LEFT: i32 = 9;
/// The server could not carry the call.
pub const TRILL_END_REASON_FAILED: i32 = 10;
/// The owner removed the user or the group.
pub const TRILL_END_REASON_REMOVED: i32 = 11;

/// The call is for this user; no device has said yet that it rings.
pub const TRILL_PARTY_STATE_INVITED: i32 = 1;
/// A device of this user rings.
pub const TRILL_PARTY_STATE_RINGING: i32 = 2;
/// In the call, not yet in its session. The initiator is this from the start.
pub const TRILL_PARTY_STATE_ACCEPTED: i32 = 3;
/// In the session.
pub const TRILL_PARTY_STATE_JOINED: i32 = 4;
/// Was in the session, and left it or lost it.
pub const TRILL_PARTY_STATE_LEFT: i32 = 5;
/// Did not want the call.
pub const TRILL_PARTY_STATE_REJECTED: i32 = 6;
/// Was in another call.
pub const TRILL_PARTY_STATE_BUSY: i32 = 7;
/// The ringing ended without an answer.
pub const TRILL_PARTY_STATE_MISSED: i32 = 8;

/// One party of a call.
#[repr(C)]
pub struct trill_call_party {
    pub uid: *const c_char,
    /// The one device of this user that is in the call, or that answered it; NULL when there is none.
    pub device_id: *const c_char,
    /// TRILL_PARTY_STATE_*.
    pub state: i32,
    /// Not 0: was in the session at some time.
    pub joined: i32,
    /// When it first joined the session, in ms since 1970; 0 if never.
    pub joined_at_ms: u64,
    /// When it last left the session, in ms since 1970; 0 if never.
    pub left_at_ms: u64,
}

/// One call, as it was at one moment. Times are in ms since 1970 UTC, by the server's clock; 0 for what has not happened.
#[repr(C)]
pub struct trill_call {
    /// Names the call and its session. Never NULL.
    pub session_id: *const c_char,
    /// Never NULL.
    pub initiator: *const trill_user,
    /// A uid or a guid.
    pub receiver: *const c_char,
    /// For people; NULL when there is none.
    pub receiver_name: *const c_char,
    /// TRILL_RECEIVER_TYPE_*.
    pub receiver_type: i32,
    /// TRILL_CALL_TYPE_*.
    pub call_type: i32,
    /// TRILL_CATEGORY_*.
    pub category: i32,
    /// TRILL_CALL_STATUS_*.
    pub status: i32,
    pub initiated_at_ms: u64,
    /// When it was accepted.
    pub started_at_ms: u64,
    pub ended_at_ms: u64,
    /// From accepted to ended; 0 until it ended, and when it was never accepted.
    pub duration_ms: u64,
    /// The uid of who ended it; NULL when nobody did, as with a time-out.
    pub ended_by: *const c_char,
    /// TRILL_END_REASON_*; 0 until it is over.
    pub end_reason: i32,
    /// The initiator first.
    pub parties: *const trill_call_party,
    pub party_count: usize,
    /// The app's own, as JSON; NULL when none was given.
    pub metadata: *const c_char,
    /// An https URL of a picture of the receiver; NULL when there is none.
    pub receiver_avatar: *const c_char,
    /// Grows with each change: of two states of one call the one with the greater is the later.
    pub revision: u64,
}

/// What can be chosen for a call. Start from TRILL_CALL_OPTIONS_INIT; zero means default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_call_options {
    pub struct_size: usize,
    /// TRILL_RECEIVER_TYPE_*; 0 for a user.
    pub receiver_type: i32,
    /// TRILL_CATEGORY_*; 0 for a call.
    pub category: i32,
    /// How long it rings, in seconds, 5 to 180; 0 for what the server's owner set, by default 45.
    pub timeout_s: u32,
    /// The app's own, as JSON of up to 4 KiB; the receiver gets it with the call. NULL for none.
    pub metadata: *const c_char,
}

// SAFETY: integers and a pointer.
unsafe impl StructIn for trill_call_options {}

/// Told of a call as an operation left it. `call` is NULL on failure, `error` otherwise; both are lent until the function
/// returns.
pub type trill_call_done = Option<
    unsafe extern "C" fn(user_data: *mut c_void, status: i32, call: *const trill_call, error: *const trill_error),
>;

/// Calls somebody. The call that `done` gets rings, or is busy already, or is ongoing: then the receiver was calling this
/// user at the same time, and the two are in that one call.
///
/// receiver: a uid, or a guid with the option receiver_type. call_type: TRILL_CALL_TYPE_*. options: NULL for the defaults.
/// All are read during the call.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_CALLING_SELF, TRILL_STATUS_USER_UNKNOWN, TRILL_STATUS_GROUP_UNKNOWN, TRILL_STATUS_NOT_A_MEMBER,
/// TRILL_STATUS_EMPTY_GROUP, TRILL_STATUS_BUSY_SELF, TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TOO_LARGE (metadata); and,
/// as for every request to the server, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or
/// TRILL_STATUS_CANCELLED (logged out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_initiate(
    engine: *mut trill_engine,
    receiver: *const c_char,
    call_type: i32,
    options: *const trill_call_options,
    done: trill_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let receiver = string_in(receiver, "receiver")?;
        let call_type = choice(call_type, "call_type", CALL_TYPES)?;
        let options = optional_struct_in(options, "options")?;
        let metadata = optional_string_in(options.metadata, "options.metadata")?;
        let initiate = Initiate {
            receiver,
            call_type,
            receiver_type: choice(options.receiver_type, "options.receiver_type", RECEIVER_TYPES)?,
            category: choice(options.category, "options.category", CATEGORIES)?,
            timeout: (options.timeout_s != 0).then_some(options.timeout_s),
            metadata: metadata
                .map(|json| serde_json::from_str(&json))
                .transpose()
                .map_err(|fault| invalid(format!("options.metadata is not JSON: {fault}")))?,
        };
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.initiate_call(initiate))?);
        handle.complete(completion, move |result| answer(result, user_data, trill_call::new, done))
    })
}

/// Accepts a call that rings here; then start its session.
///
/// session_id: the call's; copied.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_JOINED, TRILL_STATUS_ALREADY_ENDED,
/// TRILL_STATUS_NOT_ALLOWED_IN_STATE (another device was first), TRILL_STATUS_BUSY_SELF, TRILL_STATUS_NOT_A_MEMBER (any more, of
/// the group that is called), or, as for every request to the server, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS,
/// TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_accept(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    on_call(engine, session_id, done, user_data, error, |engine, id| engine.accept_call(id))
}

/// The callee does not want the call.
pub const TRILL_REJECT_REJECTED: i32 = 1;
/// The callee is in another call.
pub const TRILL_REJECT_BUSY: i32 = 2;

/// Rejects a call that rings here.
///
/// session_id: the call's; copied. reason: TRILL_REJECT_*.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED, TRILL_STATUS_INVALID_ARGUMENT (this user
/// dials it: cancel it), TRILL_STATUS_NOT_ALLOWED_IN_STATE, or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
/// TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_reject(
    engine: *mut trill_engine,
    session_id: *const c_char,
    reason: i32,
    done: trill_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    let reasons = [(TRILL_REJECT_REJECTED, RejectReason::Rejected), (TRILL_REJECT_BUSY, RejectReason::Busy)];
    match choice(reason, "reason", &reasons) {
        Ok(reason) => on_call(engine, session_id, done, user_data, error, |engine, id| engine.reject_call(id, reason)),
        Err(fault) => super::boundary::guard(error, || Err(fault)),
    }
}

/// Gives up a call that this user dials.
///
/// session_id: the call's; copied.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED, TRILL_STATUS_NOT_ALLOWED_IN_STATE
/// (it was answered: end it), TRILL_STATUS_INVALID_ARGUMENT (this user is called: reject it), or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
/// TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_cancel(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    on_call(engine, session_id, done, user_data, error, |engine, id| engine.cancel_call(id))
}

/// Ends an ongoing call for everyone; this engine's part in its session ends with it.
///
/// session_id: the call's; copied.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED,
/// TRILL_STATUS_NOT_ALLOWED_IN_STATE, or, as for every request to the server, TRILL_STATUS_TIMED_OUT,
/// TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_end(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    on_call(engine, session_id, done, user_data, error, |engine, id| engine.end_call(id))
}

/// Asks for one call, as it is now or as it ended.
///
/// session_id: the call's; copied.
/// done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_CALL_NOT_FOUND, TRILL_STATUS_NOT_A_PARTY, or, as for every request to the server,
/// TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged
/// out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_details(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    on_call(engine, session_id, done, user_data, error, |engine, id| engine.call(id))
}

/// The call that this device dials or is in.
///
/// out: set to the call, which trill_call_free frees.
///
/// Status: TRILL_STATUS_CALL_NOT_FOUND (there is none).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_active(
    engine: *mut trill_engine,
    out: *mut *mut trill_call,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let out = Out::new(out, "out")?;
        let call = handle.engine(|engine| engine.active_call())?.ok_or(ErrorCode::CallNotFound)?;
        out.set(Owned::new(|arena| trill_call::new(&call, arena)).into_raw());
        Ok(())
    })
}

/// Forgets the active call on this device; nobody else is told.
///
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_NOT_LOGGED_IN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_clear_active(
    engine: *mut trill_engine,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.clear_active_call())?);
        handle.complete(completion, move |result| answer_nothing(result.map(drop), user_data, done))
    })
}

/// Frees a call that trill_call_active gave; NULL is fine. Any thread.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_free(call: *mut trill_call) -> i32 {
    free(call)
}

/// What a party to an ongoing call starts its session with.
#[repr(C)]
pub struct trill_session_access {
    /// The session server.
    pub url: *const c_char,
    /// A LiveKit access token for this one session. A secret.
    pub token: *const c_char,
    /// In ms since 1970.
    pub expires_at_ms: u64,
}

/// Told the way into a session. `access` is NULL on failure, `error` otherwise; both are lent until the function returns.
pub type trill_session_access_done = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: i32,
        access: *const trill_session_access,
        error: *const trill_error,
    ),
>;

/// Asks for a session token. Only a party to an ongoing call gets one.
///
/// session_id: the call's; copied.
/// done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_NOT_YET_ACCEPTED, TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ALREADY_ENDED, TRILL_STATUS_CALL_NOT_FOUND,
/// TRILL_STATUS_CONFIGURATION (the server does not know its own URL), or, as for every request to the server, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS,
/// TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_token(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_session_access_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.session_token(&id))?);
        handle.complete(completion, move |result| answer(result, user_data, trill_session_access::new, done))
    })
}

fn on_call(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_call_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
    ask: impl FnOnce(&Engine, &SessionId) -> Completion<Call>,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| ask(engine, &id))?);
        handle.complete(completion, move |result: Result<Call>| answer(result, user_data, trill_call::new, done))
    })
}

pub(super) const CALL_TYPES: &[(i32, CallType)] =
    &[(TRILL_CALL_TYPE_AUDIO, CallType::Audio), (TRILL_CALL_TYPE_VIDEO, CallType::Video)];

const RECEIVER_TYPES: &[(i32, ReceiverType)] = &[
    (0, ReceiverType::User),
    (TRILL_RECEIVER_TYPE_USER, ReceiverType::User),
    (TRILL_RECEIVER_TYPE_GROUP, ReceiverType::Group),
];

pub(super) const CATEGORIES: &[(i32, Category)] =
    &[(0, Category::Call), (TRILL_CATEGORY_CALL, Category::Call), (TRILL_CATEGORY_MEET, Category::Meet)];

pub(super) const STATUSES: &[(i32, CallStatus)] = &[
    (TRILL_CALL_STATUS_INITIATED, CallStatus::Initiated),
    (TRILL_CALL_STATUS_ONGOING, CallStatus::Ongoing),
    (TRILL_CALL_STATUS_ENDED, CallStatus::Ended),
    (TRILL_CALL_STATUS_REJECTED, CallStatus::Rejected),
    (TRILL_CALL_STATUS_BUSY, CallStatus::Busy),
    (TRILL_CALL_STATUS_CANCELLED, CallStatus::Cancelled),
    (TRILL_CALL_STATUS_UNANSWERED, CallStatus::Unanswered),
    (TRILL_CALL_STATUS_FAILED, CallStatus::Failed),
];

fn end_reason_number(reason: EndReason) -> i32 {
    match reason {
        EndReason::HungUp => TRILL_END_REASON_HUNG_UP,
        EndReason::Rejected => TRILL_END_REASON_REJECTED,
        EndReason::Busy => TRILL_END_REASON_BUSY,
        EndReason::Cancelled => TRILL_END_REASON_CANCELLED,
        EndReason::Unanswered => TRILL_END_REASON_UNANSWERED,
        EndReason::CallerGone => TRILL_END_REASON_CALLER_GONE,
        EndReason::ConnectionLost => TRILL_END_REASON_CONNECTION_LOST,
        EndReason::LeftAlone => TRILL_END_REASON_LEFT_ALONE,
        EndReason::EveryoneLeft => TRILL_END_REASON_EVERYONE_LEFT,
        EndReason::Failed => TRILL_END_REASON_FAILED,
        EndReason::Removed => TRILL_END_REASON_REMOVED,
    }
}

pub(super) fn call_type_number(call_type: CallType) -> i32 {
    number_of(call_type, CALL_TYPES)
}

fn party_state_number(state: ParticipantState) -> i32 {
    match state {
        ParticipantState::Invited => TRILL_PARTY_STATE_INVITED,
        ParticipantState::Ringing => TRILL_PARTY_STATE_RINGING,
        ParticipantState::Accepted => TRILL_PARTY_STATE_ACCEPTED,
        ParticipantState::Joined => TRILL_PARTY_STATE_JOINED,
        ParticipantState::Left => TRILL_PARTY_STATE_LEFT,
        ParticipantState::Rejected => TRILL_PARTY_STATE_REJECTED,
        ParticipantState::Busy => TRILL_PARTY_STATE_BUSY,
        ParticipantState::Missed => TRILL_PARTY_STATE_MISSED,
    }
}

/// The number of a value that a table of `choice` holds; the last one where there are two.
fn number_of<T: PartialEq>(value: T, known: &[(i32, T)]) -> i32 {
    known.iter().rfind(|(_, choice)| *choice == value).map_or(0, |(number, _)| *number)
}

impl trill_call {
    pub(super) fn new(call: &Call, arena: &mut Arena) -> Self {
        let initiator = trill_user::new(&call.initiator, arena);
        let parties: Vec<_> = call.participants.iter().map(|party| trill_call_party::new(party, arena)).collect();
        Self {
            session_id: arena.string(call.session_id.as_str()),
            initiator: arena.one(initiator),
            receiver: arena.string(&call.receiver.id),
            receiver_name: arena.optional(call.receiver.name.as_deref()),
            receiver_type: number_of(call.receiver_type, RECEIVER_TYPES),
            call_type: number_of(call.call_type, CALL_TYPES),
            category: number_of(call.category, CATEGORIES),
            status: number_of(call.status, STATUSES),
            initiated_at_ms: call.initiated_at.0,
            started_at_ms: call.started_at.map_or(0, |at| at.0),
            ended_at_ms: call.ended_at.map_or(0, |at| at.0),
            duration_ms: call.duration_ms,
            ended_by: call.ended_by.as_ref().map_or(ptr::null(), |uid| arena.string(uid.as_str())),
            end_reason: call.end_reason.map_or(0, end_reason_number),
            party_count: parties.len(),
            parties: arena.array(parties),
            metadata: call.metadata.as_ref().map_or(ptr::null(), |json| arena.string(&json.to_string())),
            receiver_avatar: arena.optional(call.receiver.avatar.as_deref()),
            revision: call.revision,
        }
    }
}

impl trill_call_party {
    fn new(party: &Participant, arena: &mut Arena) -> Self {
        Self {
            uid: arena.string(party.uid.as_str()),
            device_id: party.device_id.as_ref().map_or(ptr::null(), |id| arena.string(id.as_str())),
            state: party_state_number(party.state),
            joined: party.joined.into(),
            joined_at_ms: party.joined_at.map_or(0, |at| at.0),
            left_at_ms: party.left_at.map_or(0, |at| at.0),
        }
    }
}

impl trill_session_access {
    fn new(access: &SessionAccess, arena: &mut Arena) -> Self {
        Self { url: arena.string(&access.url), token: arena.string(&access.token), expires_at_ms: access.expires_at.0 }
    }
}
