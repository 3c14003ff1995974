//! A thread that ends when its owner does.

use crate::base::{Error, ErrorCode, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long dropping waits for the thread. One that hangs in an app's callback is left behind, and says so in the log.
const JOIN_WITHIN: Duration = Duration::from_millis(200);

/// Told to the thread's body, which looks at it at least every 100 ms.
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
    fault: Arc<Mutex<Fault>>,
}

/// Whether the body panicked, and who wants to know.
enum Fault {
    None,
    Awaited(Box<dyn FnOnce() + Send>),
    Happened,
}

impl Worker {
    pub(super) fn spawn(name: &'static str, body: impl FnOnce(Stop) + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Stop(stop.clone());
        let fault = Arc::new(Mutex::new(Fault::None));
        let happens = fault.clone();
        let (alive, done) = bounded(0);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                // Dropped at the end, however that comes.
                let _alive = alive;
                if catch_unwind(AssertUnwindSafe(|| body(told))).is_err() {
                    tracing::error!(thread = name, "a media thread panicked; please report this log");
                    if let Fault::Awaited(told) = exchange(&happens, Fault::Happened) {
                        told();
                    }
                }
            })
            .map_err(|e| Error::new(ErrorCode::Internal, format!("the thread {name} cannot be started: {e}")))?;
        Ok(Self { name, stop, thread: Some(thread), done, fault })
    }

    /// `told` is called when the body panics, on its thread, or at once when it has.
    pub(super) fn on_fault(&self, told: impl FnOnce() + Send + 'static) {
        let told = Box::new(told);
        // It had happened: then who asks is told now.
        if let Fault::Happened = exchange(&self.fault, Fault::Awaited(told))
            && let Fault::Awaited(told) = exchange(&self.fault, Fault::Happened)
        {
            told();
        }
    }
}

fn exchange(fault: &Mutex<Fault>, with: Fault) -> Fault {
    std::mem::replace(&mut *fault.lock().unwrap_or_else(PoisonError::into_inner), with)
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
        // A panic was caught inside.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_panic_is_told_whether_it_comes_before_or_after_somebody_listens() {
        let (go, gone) = mpsc::channel::<()>();
        let worker = Worker::spawn("test", move |_| {
            let _ = gone.recv();
            panic!("planted");
        })
        .unwrap();
        for _ in 0..2 {
            let (told, heard) = mpsc::channel();
            worker.on_fault(move || told.send(()).unwrap());
            // Only once; afterwards nobody is there.
            go.send(()).ok();
            heard.recv_timeout(Duration::from_secs(10)).expect("told of the panic");
        }
    }

    #[test]
    fn an_end_is_no_fault() {
        let (told, heard) = mpsc::channel::<()>();
        let worker = Worker::spawn("test", |stop| while !stop.is_set() {}).unwrap();
        worker.on_fault(move || told.send(()).unwrap());
        drop(worker);
        assert!(heard.recv().is_err());
    }
}
