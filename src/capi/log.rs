//! The library's own log.
//!
//! What the library does and meets, as lines of text for developers. It holds no tokens and no other secrets.

use super::boundary::{choice, guard};
use super::handle::{UserData, notify};
use super::library::trill_error;
use crate::base::{Error, ErrorCode};
use std::ffi::{CString, c_char, c_void};
use std::fmt::{Debug, Write};
use std::sync::{OnceLock, PoisonError, RwLock};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

pub const TRILL_LOG_OFF: i32 = 0;
pub const TRILL_LOG_ERROR: i32 = 1;
pub const TRILL_LOG_WARN: i32 = 2;
pub const TRILL_LOG_INFO: i32 = 3;
pub const TRILL_LOG_DEBUG: i32 = 4;
pub const TRILL_LOG_TRACE: i32 = 5;

/// Gets a line of the log: `level` is TRILL_LOG_*, `target` the part of the library, `message` the text, without a line
/// end; both are lent until the function returns.
pub type trill_log_function =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, target: *const c_char, message: *const c_char)>;

/// Sends the log of the whole library to a function, or nowhere: without this call nothing is logged. A later call replaces
/// the earlier one; when it returns, the earlier function does not run any more.
///
/// level: TRILL_LOG_*, the least important level that is wanted. function: NULL for none; runs on any thread, on several at
/// a time, and must neither block nor call the library.
///
/// Status: TRILL_STATUS_NOT_SUPPORTED (the program is a Rust one that has a log of its own: it gets the lines).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_log_set(
    level: i32,
    function: trill_log_function,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    guard(error, || {
        let level = choice(
            level,
            "level",
            &[
                (TRILL_LOG_OFF, LevelFilter::OFF),
                (TRILL_LOG_ERROR, LevelFilter::ERROR),
                (TRILL_LOG_WARN, LevelFilter::WARN),
                (TRILL_LOG_INFO, LevelFilter::INFO),
                (TRILL_LOG_DEBUG, LevelFilter::DEBUG),
                (TRILL_LOG_TRACE, LevelFilter::TRACE),
            ],
        )?;
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        if !INSTALLED.get_or_init(|| tracing::subscriber::set_global_default(ToCallback).is_ok()) {
            return Err(Error::new(
                ErrorCode::NotSupported,
                "this program has set up a log of its own, which gets the library's lines",
            ));
        }
        *TARGET.write().unwrap_or_else(PoisonError::into_inner) =
            Target { level, function, user_data: UserData(user_data) };
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    })
}

struct Target {
    level: LevelFilter,
    function: trill_log_function,
    user_data: UserData,
}

static TARGET: RwLock<Target> =
    RwLock::new(Target { level: LevelFilter::OFF, function: None, user_data: UserData(std::ptr::null_mut()) });

/// The subscriber of all lines of ours; spans are not shown.
struct ToCallback;

impl Subscriber for ToCallback {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().split("::").next() == Some("trill");
        ours && metadata.is_event() && *metadata.level() <= target_level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(target_level())
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => TRILL_LOG_ERROR,
            Level::WARN => TRILL_LOG_WARN,
            Level::INFO => TRILL_LOG_INFO,
            Level::DEBUG => TRILL_LOG_DEBUG,
            Level::TRACE => TRILL_LOG_TRACE,
        };
        let text = |text: &str| CString::new(text.replace(['\0', '\n', '\r'], " ")).unwrap_or_default();
        let (part, message) = (text(event.metadata().target()), text(&(line.message + &line.fields)));
        let target = TARGET.read().unwrap_or_else(PoisonError::into_inner);
        notify!(target.function => (target.user_data.0, level, part.as_ptr(), message.as_ptr()));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn target_level() -> LevelFilter {
    TARGET.read().unwrap_or_else(PoisonError::into_inner).level
}

/// The message first, then the fields as `name=value`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
