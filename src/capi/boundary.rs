//! What every entry passes on its way in and out.
//!
//! The one place where pointers from C are believed. The functions are safe to call in the sense of this module only:
//! each says in its safety comment what trill.h asks of the caller.

use super::arena::Owned;
use super::engine::trill_engine;
use super::handle::{self, Handle};
use super::library::trill_error;
use crate::base::{Error, ErrorCode, Result, SessionId};
use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

/// The longest string taken from C, in bytes.
const MAX_STRING: usize = 64 * 1024;

/// No struct of ours is larger, in any version: more is not a size.
const MAX_STRUCT: usize = 4096;

/// Runs the body of an entry: its error becomes the status, and the out-error if one is wanted; a panic becomes
/// `internal`.
pub(super) fn guard(error_out: *mut *mut trill_error, body: impl FnOnce() -> Result<()>) -> i32 {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(ErrorCode::Internal.into()));
    let Err(error) = result else { return 0 };
    let status = error.code().number();
    if !error_out.is_null() {
        // SAFETY: not NULL, so by trill.h a pointer that may be written to.
        unsafe { error_out.write(trill_error::owned(&error)) };
    }
    status
}

/// As [`guard`], for an entry that works on an engine. A panic marks the engine as broken.
pub(super) fn with_engine(
    engine: *mut trill_engine,
    error_out: *mut *mut trill_error,
    body: impl FnOnce(&Arc<Handle>) -> Result<()>,
) -> i32 {
    guard(error_out, || {
        let handle = handle::find(engine)?;
        handle.check()?;
        catch_unwind(AssertUnwindSafe(|| body(&handle))).unwrap_or_else(|_| {
            handle.mark_broken();
            Err(ErrorCode::Internal.into())
        })
    })
}

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

fn is_null(name: &str) -> Error {
    invalid(format!("{name} is NULL"))
}

/// A string that must be there.
pub(super) fn string_in(pointer: *const c_char, name: &str) -> Result<String> {
    optional_string_in(pointer, name)?.ok_or_else(|| is_null(name))
}

/// A string that may be NULL.
pub(super) fn optional_string_in(pointer: *const c_char, name: &str) -> Result<Option<String>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so by trill.h a NUL-terminated string that stays as it is during the call.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    if bytes.count_bytes() > MAX_STRING {
        return Err(Error::new(ErrorCode::TooLarge, format!("{name} is over {MAX_STRING} bytes")));
    }
    match bytes.to_str() {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(fault) => Err(invalid(format!("{name} is not UTF-8 from byte {} on", fault.valid_up_to()))),
    }
}

pub(super) fn session_in(pointer: *const c_char) -> Result<SessionId> {
    id_in(pointer, "session_id")
}

/// An identifier that must be there.
pub(super) fn id_in<T: TryFrom<String, Error = Error>>(pointer: *const c_char, name: &str) -> Result<T> {
    T::try_from(string_in(pointer, name)?).map_err(|error| error.context(name))
}

/// An identifier that may be NULL.
pub(super) fn optional_id_in<T: TryFrom<String, Error = Error>>(
    pointer: *const c_char,
    name: &str,
) -> Result<Option<T>> {
    if pointer.is_null() { Ok(None) } else { id_in(pointer, name).map(Some) }
}

/// `count` items at `pointer`, borrowed for the call. NULL is fine for none.
pub(super) fn slice_in<'a, T>(pointer: *const T, count: usize, most: usize, name: &str) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if count > most {
        return Err(Error::new(ErrorCode::TooLarge, format!("{name}: {count} items; at most {most} are taken")));
    }
    if pointer.is_null() {
        return Err(is_null(name));
    }
    if !pointer.is_aligned() {
        return Err(invalid(format!("{name} is not aligned for its type")));
    }
    // SAFETY: aligned and not NULL, so by trill.h `count` items that stay as they are during the call.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// A struct that C fills in, with `size_t struct_size` as its first field.
///
/// # Safety
/// Any bytes must be a value of it, zeros too: integers, floats, raw pointers and optional function pointers alone.
pub(super) unsafe trait StructIn: Copy {}

/// Takes a struct of this or another version of the header: what an older one lacks is zero, that is, default; what a
/// newer one has must be zero, since this library would not do it.
pub(super) fn struct_in<T: StructIn>(pointer: *const T, name: &str) -> Result<T> {
    if pointer.is_null() {
        return Err(is_null(name));
    }
    if !pointer.is_aligned() {
        return Err(invalid(format!("{name} is not aligned for its type")));
    }
    // SAFETY: aligned and not NULL, so by trill.h a struct that begins with its size.
    let size = unsafe { pointer.cast::<usize>().read() };
    if !(size_of::<usize>()..=MAX_STRUCT).contains(&size) {
        return Err(invalid(format!("{name}.struct_size is {size}; set it with the INIT macro of the struct")));
    }
    // SAFETY: by trill.h `size` bytes are there.
    let given = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    let (ours, newer) = given.split_at(known);
    if newer.iter().any(|byte| *byte != 0) {
        return Err(invalid(format!("{name} uses fields that this version of the library does not know")));
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` is at most the size of both, and they do not overlap. Any bytes are a value (StructIn).
    Ok(unsafe {
        std::ptr::copy_nonoverlapping(ours.as_ptr(), value.as_mut_ptr().cast::<u8>(), known);
        value.assume_init()
    })
}

/// As [`struct_in`]; NULL is all zeros, that is, the defaults.
pub(super) fn optional_struct_in<T: StructIn>(pointer: *const T, name: &str) -> Result<T> {
    if pointer.is_null() {
        // SAFETY: zeros are a value (StructIn).
        return Ok(unsafe { MaybeUninit::zeroed().assume_init() });
    }
    struct_in(pointer, name)
}

/// A place that C wants a result in.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Checked before anything is done, so that no work goes astray.
    pub fn new(pointer: *mut T, name: &str) -> Result<Self> {
        if pointer.is_null() { Err(is_null(name)) } else { Ok(Self(pointer)) }
    }

    pub fn set(self, value: T) {
        // SAFETY: not NULL, so by trill.h a pointer that may be written to.
        unsafe { self.0.write(value) };
    }
}

/// Frees what the app was given.
pub(super) fn free<T: 'static>(pointer: *mut T) -> i32 {
    guard(ptr::null_mut(), || Owned::free(pointer).inspect_err(logged))
}

/// For what few look at, and has no out-error: the log says it as well.
pub(super) fn logged(error: &Error) {
    tracing::error!("{}", error.message());
}

/// One of the constants `names` in an integer from C.
pub(super) fn choice<T: Copy>(value: i32, name: &str, known: &[(i32, T)]) -> Result<T> {
    known.iter().find(|(number, _)| *number == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let numbers: Vec<String> = known.iter().map(|(number, _)| number.to_string()).collect();
        invalid(format!("{name} is {value}; it must be one of {}", numbers.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Sample {
        struct_size: usize,
        first: u32,
        second: u32,
    }
    // SAFETY: integers alone.
    unsafe impl StructIn for Sample {}

    #[repr(C)]
    struct Newer {
        sample: Sample,
        third: u64,
    }

    fn sample(struct_size: usize) -> Sample {
        Sample { struct_size, first: 1, second: 2 }
    }

    #[test]
    fn a_struct_of_an_older_header_has_defaults_for_what_it_lacks() {
        let old = sample(size_of::<usize>() + 4);
        let taken = struct_in(&old, "settings").unwrap();
        assert_eq!((taken.first, taken.second), (1, 0));
    }

    #[test]
    fn a_struct_of_a_newer_header_is_taken_unless_it_uses_what_is_new() {
        let mut newer = Newer { sample: sample(size_of::<Newer>()), third: 0 };
        assert_eq!(struct_in((&raw const newer).cast::<Sample>(), "settings").unwrap().second, 2);
        newer.third = 7;
        let refused = struct_in((&raw const newer).cast::<Sample>(), "settings").unwrap_err();
        assert!(refused.message().contains("does not know"), "{refused}");
    }

    #[test]
    fn a_size_that_nobody_set_is_refused() {
        for size in [0, 1, MAX_STRUCT + 1, usize::MAX] {
            assert_eq!(struct_in(&sample(size), "settings").unwrap_err().code(), ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_and_the_place_is_told() {
        let error = string_in(c"ab\xff".as_ptr(), "uid").unwrap_err();
        assert_eq!(error.message(), "uid is not UTF-8 from byte 2 on");
        assert_eq!(string_in(ptr::null(), "uid").unwrap_err().message(), "uid is NULL");
    }

    #[test]
    fn a_panic_in_an_engine_breaks_that_engine_and_it_can_still_be_freed() {
        let engine = handle::register(crate::engine::EngineConfig::default(), None).unwrap();
        let other = handle::register(crate::engine::EngineConfig::default(), None).unwrap();
        let internal = ErrorCode::Internal.number();
        assert_eq!(with_engine(engine, ptr::null_mut(), |_| panic!("planted")), internal);
        let mut told = ptr::null_mut();
        assert_eq!(with_engine(engine, &raw mut told, |_| Ok(())), internal);
        // SAFETY: set, since it failed; freed once.
        let message = unsafe { CStr::from_ptr((*told).message).to_str().unwrap().to_owned() };
        assert_eq!(unsafe { super::super::library::trill_error_free(told) }, 0);
        assert!(message.contains("can only be freed"), "{message}");
        assert_eq!(with_engine(other, ptr::null_mut(), |_| Ok(())), 0, "another engine goes on");
        assert_eq!((handle::free(engine), handle::free(other)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_panic_stops_at_the_boundary() {
        assert_eq!(guard(ptr::null_mut(), || panic!("planted")), ErrorCode::Internal.number());
    }
}
