//! The call log.
//!
//! Every call leaves a record for each party. The log comes in pages, newest first, that stay what they are while calls
//! are added.

use super::arena::Arena;
use super::boundary::{StructIn, choice, optional_id_in, optional_string_in, optional_struct_in, with_engine};
use super::call::{CALL_TYPES, CATEGORIES, STATUSES, trill_call};
use super::engine::trill_engine;
use super::handle::UserData;
use super::library::trill_error;
use super::login::answer;
use crate::base::{Result, UnixMillis};
use crate::ringing::{Direction, LogFilter, LogPage};
use std::ffi::{c_char, c_void};

/// This user made the call.
pub const TRILL_DIRECTION_OUTGOING: i32 = 1;
/// This user was called.
pub const TRILL_DIRECTION_INCOMING: i32 = 2;

/// Which calls a page holds. Start from TRILL_CALL_LOG_FILTER_INIT; what is 0 or NULL does not filter.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_call_log_filter {
    pub struct_size: usize,
    /// Calls on one page, 1 to 100; 0 for 30.
    pub limit: u32,
    /// TRILL_CALL_TYPE_*.
    pub call_type: i32,
    /// TRILL_CALL_STATUS_*.
    pub status: i32,
    /// TRILL_DIRECTION_*.
    pub direction: i32,
    /// Calls with this other user.
    pub uid: *const c_char,
    /// Initiated at or after this time, in ms since 1970.
    pub since_ms: u64,
    /// Initiated before this time, in ms since 1970.
    pub until_ms: u64,
    /// `next` or `previous` of an earlier page with the same filter.
    pub cursor: *const c_char,
    /// TRILL_CATEGORY_*.
    pub category: i32,
    /// Calls of this group.
    pub guid: *const c_char,
    /// 1 for calls with a recording (this version makes none), -1 for those without.
    pub recording: i32,
}

// SAFETY: numbers and pointers.
unsafe impl StructIn for trill_call_log_filter {}

/// One page of the log. Made by the library: new members are added at the end.
#[repr(C)]
pub struct trill_call_log_page {
    /// Newest first.
    pub calls: *const trill_call,
    pub call_count: usize,
    /// The cursor of the page with older calls; NULL when there are none.
    pub next: *const c_char,
    /// The cursor of the page with newer calls; NULL on the first page.
    pub previous: *const c_char,
}

/// Told a page of the log. `page` is NULL on failure, `error` otherwise; both are lent until the function returns.
pub type trill_call_log_done = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: i32,
        page: *const trill_call_log_page,
        error: *const trill_error,
    ),
>;

/// Asks for a page of this user's call log.
///
/// filter: read during the call; NULL for the newest 30.
/// done: called exactly once if 0 is returned, else not at all. Its status is TRILL_STATUS_NOT_LOGGED_IN,
/// TRILL_STATUS_INVALID_ARGUMENT (the limit or the cursor), TRILL_STATUS_TOO_LARGE (the cursor), or, as for every request to the server,
/// TRILL_STATUS_TIMED_OUT, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_STORE_FAILED or TRILL_STATUS_CANCELLED (logged
/// out meanwhile).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_call_log_fetch(
    engine: *mut trill_engine,
    filter: *const trill_call_log_filter,
    done: trill_call_log_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let given = optional_struct_in(filter, "filter")?;
        let directions =
            [(TRILL_DIRECTION_OUTGOING, Direction::Outgoing), (TRILL_DIRECTION_INCOMING, Direction::Incoming)];
        let filter = LogFilter {
            limit: (given.limit != 0).then_some(given.limit),
            call_type: unless_zero(given.call_type, "filter.call_type", CALL_TYPES)?,
            status: unless_zero(given.status, "filter.status", STATUSES)?,
            direction: unless_zero(given.direction, "filter.direction", &directions)?,
            uid: optional_id_in(given.uid, "filter.uid")?,
            since: (given.since_ms != 0).then_some(UnixMillis(given.since_ms)),
            until: (given.until_ms != 0).then_some(UnixMillis(given.until_ms)),
            cursor: optional_string_in(given.cursor, "filter.cursor")?,
            category: unless_zero(given.category, "filter.category", CATEGORIES)?,
            guid: optional_id_in(given.guid, "filter.guid")?,
            recording: unless_zero(given.recording, "filter.recording", &[(1, true), (-1, false)])?,
        };
        filter.checked_limit()?;
        let (user_data, completion) = (UserData(user_data), handle.engine(|engine| engine.call_log(filter))?);
        handle.complete(completion, move |result| answer(result, user_data, trill_call_log_page::new, done))
    })
}

fn unless_zero<T: Copy>(value: i32, name: &str, known: &[(i32, T)]) -> Result<Option<T>> {
    if value == 0 { Ok(None) } else { choice(value, name, known).map(Some) }
}

impl trill_call_log_page {
    fn new(page: &LogPage, arena: &mut Arena) -> Self {
        let calls: Vec<_> = page.calls.iter().map(|call| trill_call::new(call, arena)).collect();
        Self {
            call_count: calls.len(),
            calls: arena.array(calls),
            next: arena.optional(page.next.as_deref()),
            previous: arena.optional(page.previous.as_deref()),
        }
    }
}
