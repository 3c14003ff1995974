//! A thread that ends when its owner does.

use crate::base::{Error, ErrorCode, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long dropping waits for the thread. One that hangs in an app's callback is left behind, and says so in the log.
const JOIN_WITHIN: Duration = Duration::from_millis(200);

/// Told to the thread's body, which looks at it at least every 50 ms.
#[derive(Clone)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

pub(super) struct Worker {
    name: &'static str,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    done: Receiver<()>,
}

impl Worker {
    pub(super) fn spawn(name: &'static str, body: impl FnOnce(Stop) + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Stop(stop.clone());
        let (alive, done) = bounded(0);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                // Dropped at the end, however that comes.
                let _alive = alive;
                body(told);
            })
            .map_err(|e| Error::new(ErrorCode::Internal, format!("the thread {name} cannot be started: {e}")))?;
        Ok(Self { name, stop, thread: Some(thread), done })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let Some(thread) = self.thread.take() else { return };
        if thread.thread().id() == std::thread::current().id() {
            // Dropped by a callback on the thread itself: it ends after that.
            return;
        }
        if self.done.recv_timeout(JOIN_WITHIN) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(thread = self.name, "a media thread hangs in a source or sink; it is left behind");
            return;
        }
        if thread.join().is_err() {
            tracing::error!(thread = self.name, "a media thread panicked");
        }
    }
}
