//! Listeners, each under an id of the app's choosing: as many as parts of the app want to know.

use crate::base::{Error, ErrorCode, Result};
use crate::ringing::CallEvent;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Listeners that an engine has at most: more are those of an app that forgets to remove them.
const MAX_LISTENERS: usize = 256;

/// Gets what becomes of calls.
type CallListener = dyn Fn(&CallEvent) + Send + Sync;

/// Listeners by their ids, in the order in which they were added.
pub(crate) struct Listeners<L: ?Sized>(Mutex<Vec<(String, Arc<L>)>>);

impl<L: ?Sized> Default for Listeners<L> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<L: ?Sized> Listeners<L> {
    /// Adds a listener, in the place of one of the same id: then true. It is made only when there is room for it.
    ///
    /// Errors: `too_many_requests`.
    pub fn add(&self, id: String, listener: impl FnOnce() -> Arc<L>) -> Result<bool> {
        let mut all = self.lock();
        let known = all.iter().position(|(known, _)| *known == id);
        if known.is_none() && all.len() >= MAX_LISTENERS {
            let text = format!("there are {MAX_LISTENERS} call listeners; remove those that are not needed any more");
            return Err(Error::new(ErrorCode::TooManyRequests, text));
        }
        let replaced = match known {
            Some(index) => Some(std::mem::replace(&mut all[index].1, listener())),
            None => {
                all.push((id, listener()));
                None
            }
        };
        // Before the listener is dropped: what the app does then may come back here.
        drop(all);
        Ok(replaced.is_some())
    }

    /// Errors: `invalid_argument` when there is none of that id.
    pub fn remove(&self, id: &str) -> Result<()> {
        let mut all = self.lock();
        let index = all.iter().position(|(known, _)| known == id);
        let removed = index.map(|index| all.remove(index));
        drop(all);
        match removed {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorCode::InvalidArgument, format!("there is no call listener {id:?}"))),
        }
    }

    /// Calls `tell` with each listener that is still there when its turn comes: one before it may have removed it.
    pub fn each(&self, mut tell: impl FnMut(&L)) {
        let listeners: Vec<Arc<L>> = self.lock().iter().map(|(_, listener)| listener.clone()).collect();
        for listener in listeners {
            let is_there = self.lock().iter().any(|(_, now)| Arc::ptr_eq(now, &listener));
            if is_there {
                tell(&listener);
            }
        }
    }

    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Arc<L>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The call listeners of an engine, and the order between telling and removing them.
#[derive(Default)]
pub(super) struct CallListeners {
    listeners: Listeners<CallListener>,
    /// Held while one of them runs.
    gate: Mutex<()>,
    /// On which thread; 0 when none does.
    teller: AtomicUsize,
}

impl CallListeners {
    pub fn add(&self, id: String, listener: impl Fn(&CallEvent) + Send + Sync + 'static) -> Result<()> {
        if self.listeners.add(id, || Arc::new(listener))? {
            self.wait();
        }
        Ok(())
    }

    pub fn remove(&self, id: &str) -> Result<()> {
        self.listeners.remove(id)?;
        self.wait();
        Ok(())
    }

    pub fn tell(&self, event: &CallEvent) {
        // A listener that takes events itself is in there already.
        let entered = (!self.is_inside()).then(|| {
            let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.teller.store(this_thread(), Relaxed);
            gate
        });
        self.listeners.each(|listener| {
            // A listener that panics has harmed itself, not the others.
            if catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
                tracing::error!("a call listener of the app's panicked");
            }
        });
        if entered.is_some() {
            self.teller.store(0, Relaxed);
        }
    }

    /// After this none of them begins.
    pub fn close(&self) {
        self.listeners.clear();
        self.wait();
    }

    /// Waits until the one that runs has returned; not inside one.
    fn wait(&self) {
        if !self.is_inside() {
            drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Whether this thread is in one of them.
    fn is_inside(&self) -> bool {
        self.teller.load(Relaxed) == this_thread()
    }
}

/// A number that no other running thread has.
fn this_thread() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}
