//! Memory of what goes out to C: structs with pointers, and the strings and arrays that they point to.

use crate::base::{Error, ErrorCode, Result};
use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What C has to free: where each lies, and what it is. The addresses are kept inverted, since a search for leaks that found
/// them here would take what the app forgets for something that is in use.
static GIVEN: Mutex<BTreeMap<usize, TypeId>> = Mutex::new(BTreeMap::new());

/// Keeps strings and arrays alive at fixed places.
#[derive(Default)]
pub(super) struct Arena {
    strings: Vec<CString>,
    boxes: Vec<Box<dyn Any>>,
}

impl Arena {
    /// A copy of `text` for C. A NUL inside of it, which no peer of good faith sends, ends it there.
    pub fn string(&mut self, text: &str) -> *const c_char {
        let bytes: Vec<u8> = text.bytes().take_while(|b| *b != 0).collect();
        // There is no NUL left that it could object to.
        let string = CString::new(bytes).unwrap_or_default();
        let pointer = string.as_ptr();
        self.strings.push(string);
        pointer
    }

    /// NULL for nothing.
    pub fn optional(&mut self, text: Option<&str>) -> *const c_char {
        text.map_or(ptr::null(), |text| self.string(text))
    }

    /// NULL for an empty one.
    pub fn array<T: 'static>(&mut self, items: Vec<T>) -> *const T {
        if items.is_empty() {
            return ptr::null();
        }
        let items = Box::new(items.into_boxed_slice());
        let pointer = items.as_ptr();
        self.boxes.push(items);
        pointer
    }

    pub fn one<T: 'static>(&mut self, item: T) -> *const T {
        self.array(vec![item])
    }
}

/// A struct for C together with what it points to. The struct comes first, so that a pointer to it is one to all of it.
#[repr(C)]
pub(super) struct Owned<T> {
    value: T,
    arena: Arena,
}

impl<T> Owned<T> {
    pub fn new(make: impl FnOnce(&mut Arena) -> T) -> Self {
        let mut arena = Arena::default();
        let value = make(&mut arena);
        Self { value, arena }
    }

    /// Borrowed by C until it returns.
    pub fn as_ptr(&self) -> *const T {
        &raw const self.value
    }

    pub fn get(&self) -> &T {
        &self.value
    }
}

impl<T: 'static> Owned<T> {
    /// Given to C, which gives it back to [`Self::free`].
    pub fn into_raw(self) -> *mut T {
        let pointer = Box::into_raw(Box::new(self)).cast::<T>();
        given().insert(!pointer.addr(), TypeId::of::<T>());
        pointer
    }

    /// Takes back what [`Self::into_raw`] gave; NULL is nothing.
    ///
    /// Errors: `invalid_argument` for what it did not give, or gave and has back. One that was given back is taken for a newer
    /// one of its kind when that lies in the same place.
    pub fn free(pointer: *mut T) -> Result<()> {
        if pointer.is_null() {
            return Ok(());
        }
        let mut given = given();
        if given.get(&!pointer.addr()) != Some(&TypeId::of::<T>()) {
            let name = type_name::<T>().rsplit(':').next().unwrap_or_default();
            let problem = format!(
                "that is no {name} of the app's to free: it was freed before, lent to a callback, or is something else"
            );
            return Err(Error::new(ErrorCode::InvalidArgument, problem));
        }
        given.remove(&!pointer.addr());
        drop(given);
        // SAFETY: it stood in the list, so `into_raw` made it, of this type, and no other call takes it. `value` is the first
        // field of a repr(C) struct, so the addresses are the same.
        drop(unsafe { Box::from_raw(pointer.cast::<Self>()) });
        Ok(())
    }
}

fn given() -> MutexGuard<'static, BTreeMap<usize, TypeId>> {
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner)
}
