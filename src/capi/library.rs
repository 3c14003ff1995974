//! The library.
//!
//! Which version this is, and what its errors say.

use super::arena::{Arena, Owned};
use super::boundary::free;
use super::status::TRILL_STATUS_OK;
use crate::base::{Error, ErrorCode};
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::LazyLock;

/// The version of this interface. It grows when a program that was compiled before would not run any more, and so does
/// the library's SONAME; new functions, and new fields at the end of a struct, leave it as it is.
pub const TRILL_ABI_VERSION: u32 = 0;

/// The version of the interface that the library has. A program that loads the library at run time compares it with
/// TRILL_ABI_VERSION before anything else. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn trill_abi_version() -> u32 {
    TRILL_ABI_VERSION
}

/// The version of the library, such as "0.1.0". Static; any thread.
#[unsafe(no_mangle)]
pub extern "C" fn trill_version() -> *const c_char {
    static VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// What a status means in general, and what to do about it, in English. Never NULL; static; any thread.
#[unsafe(no_mangle)]
pub extern "C" fn trill_status_text(status: i32) -> *const c_char {
    match text_of(status, |texts| &texts.meaning) {
        Some(text) => text.as_ptr(),
        None if status == TRILL_STATUS_OK => c"It worked.".as_ptr(),
        None => c"There is no such status in this version of the library.".as_ptr(),
    }
}

/// The name of a status as logs and JSON have it, such as "calling_self". Never NULL; static; any thread.
#[unsafe(no_mangle)]
pub extern "C" fn trill_status_name(status: i32) -> *const c_char {
    match text_of(status, |texts| &texts.name) {
        Some(name) => name.as_ptr(),
        None if status == TRILL_STATUS_OK => c"ok".as_ptr(),
        None => c"unknown".as_ptr(),
    }
}

/// Why something did not work: a status, and a text about this very case. A function that can fail gives one through its
/// last parameter, when that is not NULL; free it with trill_error_free. A completion or an event lends one.
#[repr(C)]
pub struct trill_error {
    /// TRILL_STATUS_*, never 0.
    pub status: i32,
    /// What was wrong and what to do, in English. Never NULL.
    pub message: *const c_char,
}

/// Frees an error that a function gave; NULL is fine. Any thread. Not for errors that a callback was lent.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_error_free(error: *mut trill_error) -> i32 {
    free(error)
}

/// A completion without a result: called exactly once, when the operation is over. `status` is 0, or says why it failed;
/// `error` is NULL when it did not, and else lent until the function returns. Runs where the engine's callbacks run.
pub type trill_done = Option<unsafe extern "C" fn(user_data: *mut c_void, status: i32, error: *const trill_error)>;

impl trill_error {
    pub(super) fn new(error: &Error, arena: &mut Arena) -> Self {
        Self { status: error.code().number(), message: arena.string(error.message()) }
    }

    pub(super) fn owned(error: &Error) -> *mut Self {
        Owned::new(|arena| Self::new(error, arena)).into_raw()
    }
}

struct Texts {
    number: i32,
    name: CString,
    meaning: CString,
}

fn text_of(status: i32, part: impl Fn(&'static Texts) -> &'static CString) -> Option<&'static CStr> {
    static TEXTS: LazyLock<Vec<Texts>> = LazyLock::new(|| {
        let c = |text: &str| CString::new(text).unwrap_or_default();
        let texts =
            |code: &ErrorCode| Texts { number: code.number(), name: c(code.name()), meaning: c(code.meaning()) };
        ErrorCode::ALL.iter().map(texts).collect()
    });
    TEXTS.iter().find(|texts| texts.number == status).map(|texts| part(texts).as_c_str())
}
