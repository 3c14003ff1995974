//! Memory of what goes out to C: structs with pointers, and the strings and arrays that they point to.

use std::any::Any;
use std::ffi::{CString, c_char};
use std::ptr;

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

    /// Given to C, which gives it back to [`Self::free`].
    pub fn into_raw(self) -> *mut T {
        Box::into_raw(Box::new(self)).cast()
    }

    /// Takes back what [`Self::into_raw`] gave; NULL is nothing.
    pub fn free(pointer: *mut T) {
        if !pointer.is_null() {
            // SAFETY: the functions that call this are documented to take only what `into_raw` gave, once. `value` is
            // the first field of a repr(C) struct, so the addresses are the same.
            drop(unsafe { Box::from_raw(pointer.cast::<Self>()) });
        }
    }
}
