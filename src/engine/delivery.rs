//! How events reach the app: one at a time, on one thread, or from a queue that the app empties itself.

use super::event::Event;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// An app that does not keep up loses what it can do without (see [`Event::is_expendable`]) from this many events on.
const QUEUE_SOFT_LIMIT: usize = 1024;

/// Where the engine's parts put their events. Cheap to clone; never blocks.
#[derive(Clone)]
pub(super) struct EventSender {
    queue: Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl EventSender {
    pub fn send(&self, event: Event) {
        if self.queue.len() >= QUEUE_SOFT_LIMIT && event.is_expendable() {
            if self.dropped.fetch_add(1, Relaxed).is_power_of_two() {
                tracing::warn!(limit = QUEUE_SOFT_LIMIT, "the app does not take its events; expendable ones are dropped");
            }
            return;
        }
        // Without a receiver the engine is going away.
        let _ = self.queue.send(event);
    }
}

/// The app's end when it takes events by itself. Shows the same events that a callback would.
#[derive(Clone)]
pub struct EventQueue {
    queue: Receiver<Event>,
}

impl EventQueue {
    /// The next event, or nothing when none came within `timeout` or the engine is shut down and the queue is empty.
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        self.queue.recv_timeout(timeout).ok()
    }

    /// The next event if one is there. `Err` once the engine is shut down and the queue is empty.
    pub fn try_next(&self) -> Result<Option<Event>, ShutDown> {
        match self.queue.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ShutDown),
        }
    }
}

/// No more events will come: the engine is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutDown;

pub(super) fn queue() -> (EventSender, EventQueue) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    (EventSender { queue: sender, dropped: Arc::default() }, EventQueue { queue: receiver })
}

/// The event thread: calls the app's callback for each event until every sender is gone.
pub(super) struct EventThread {
    thread: Option<JoinHandle<()>>,
}

impl EventThread {
    pub fn start(events: EventQueue, mut on_event: impl FnMut(Event) + Send + 'static) -> std::io::Result<Self> {
        let thread = thread::Builder::new().name("trill-events".into()).spawn(move || {
            for event in events.queue {
                // A callback that panics has harmed itself, not the engine.
                if catch_unwind(AssertUnwindSafe(|| on_event(event))).is_err() {
                    tracing::error!("the app's event callback panicked");
                }
            }
        })?;
        Ok(Self { thread: Some(thread) })
    }

    /// Waits until the last callback has returned; at once when called from inside one.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
