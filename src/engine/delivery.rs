//! How events reach the app: one at a time, on one thread, or from a queue that the app empties itself.

use super::event::Event;
use super::listeners::CallListeners;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// An app that does not keep up loses what it can do without (see [`Event::is_expendable`]) from this many events on.
const QUEUE_SOFT_LIMIT: usize = 1024;

/// Where the engine's parts put their events. Cheap to clone; never blocks.
#[derive(Clone)]
pub(super) struct EventSender {
    queue: Sender<Item>,
    dropped: Arc<AtomicU64>,
}

#[allow(clippy::large_enum_variant, reason = "nearly all of them are the large one")]
enum Item {
    Event(Event),
    /// What the app wants done where its events are delivered, in order with them.
    Run(Box<dyn FnOnce() + Send>),
    /// The engine is shut down; what comes after this is not delivered.
    End,
}

impl EventSender {
    pub fn send(&self, event: Event) {
        if self.queue.len() >= QUEUE_SOFT_LIMIT && event.is_expendable() {
            if self.dropped.fetch_add(1, Relaxed).is_power_of_two() {
                tracing::warn!(
                    limit = QUEUE_SOFT_LIMIT,
                    "the app does not take its events; expendable ones are dropped"
                );
            }
            return;
        }
        // Without a receiver the app has no interest.
        let _ = self.queue.send(Item::Event(event));
    }

    pub fn run(&self, work: Box<dyn FnOnce() + Send>) {
        // As above; the work is then dropped.
        let _ = self.queue.send(Item::Run(work));
    }

    pub fn close(&self) {
        let _ = self.queue.send(Item::End);
    }
}

/// The app's end when it takes events by itself. Shows the same events that a callback would.
#[derive(Clone)]
pub struct EventQueue {
    queue: Receiver<Item>,
    ended: Arc<AtomicBool>,
    call_listeners: Arc<CallListeners>,
}

/// Why there is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEvent {
    /// None came within the time.
    TimedOut,
    /// The engine is shut down, and the queue is empty.
    ShutDown,
}

impl EventQueue {
    /// The next event; waits for it up to `timeout`, zero for not at all. What is due before it runs here: call listeners,
    /// and what was handed to [`Engine::run_with_events`](super::Engine::run_with_events).
    pub fn next(&self, timeout: Duration) -> Result<Event, NoEvent> {
        // One that is longer than time lasts is none.
        let event = self.take(Instant::now().checked_add(timeout))?;
        self.tell_listeners(&event);
        Ok(event)
    }

    pub(super) fn call_listeners(&self) -> Arc<CallListeners> {
        self.call_listeners.clone()
    }

    fn tell_listeners(&self, event: &Event) {
        if let Event::Call(event) = event {
            self.call_listeners.tell(event);
        }
    }

    /// Waits without limit when there is no deadline.
    fn take(&self, deadline: Option<Instant>) -> Result<Event, NoEvent> {
        while !self.ended.load(Relaxed) {
            let item = match deadline {
                Some(deadline) => self.queue.recv_deadline(deadline).map_err(|e| match e {
                    RecvTimeoutError::Timeout => NoEvent::TimedOut,
                    RecvTimeoutError::Disconnected => NoEvent::ShutDown,
                })?,
                None => self.queue.recv().map_err(|_| NoEvent::ShutDown)?,
            };
            match item {
                Item::Event(event) => return Ok(event),
                Item::Run(work) => {
                    // Work that panics has harmed itself, not the queue.
                    if catch_unwind(AssertUnwindSafe(work)).is_err() {
                        tracing::error!("what the app wanted done between events panicked");
                    }
                }
                Item::End => self.ended.store(true, Relaxed),
            }
        }
        Err(NoEvent::ShutDown)
    }
}

pub(super) fn queue() -> (EventSender, EventQueue) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    (
        EventSender { queue: sender, dropped: Arc::default() },
        EventQueue { queue: receiver, ended: Arc::default(), call_listeners: Arc::default() },
    )
}

/// The event thread: calls the app's callback for each event until the engine is shut down.
pub(super) struct EventThread {
    thread: JoinHandle<()>,
    silenced: Arc<AtomicBool>,
    /// Ends with the thread.
    running: Receiver<()>,
}

impl EventThread {
    pub fn start(events: EventQueue, mut on_event: impl FnMut(Event) + Send + 'static) -> std::io::Result<Self> {
        let silenced = Arc::new(AtomicBool::new(false));
        let silent = silenced.clone();
        let (runs, running) = crossbeam_channel::bounded(0);
        let thread = thread::Builder::new().name("trill-events".into()).spawn(move || {
            let _runs = runs;
            while let Ok(event) = events.take(None) {
                if silent.load(Relaxed) {
                    continue;
                }
                events.tell_listeners(&event);
                // A callback that panics has harmed itself, not the engine.
                if catch_unwind(AssertUnwindSafe(|| on_event(event))).is_err() {
                    tracing::error!("the app's event callback panicked");
                }
            }
        })?;
        Ok(Self { thread, silenced, running })
    }

    /// After this no callback begins. Waits until the last one has returned; what is not delivered within `patience` is dropped.
    /// Does not wait when called from inside a callback.
    pub fn join(self, patience: Duration) {
        if self.thread.thread().id() == thread::current().id() {
            self.silenced.store(true, Relaxed);
        } else {
            if self.running.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                self.silenced.store(true, Relaxed);
            }
            // It ends with the queue; a callback's panic was caught inside.
            let _ = self.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Error, ErrorCode, SessionId};
    use crate::engine::LoginEvent;
    use crate::session::SessionEvent;

    const LONG: Duration = Duration::from_secs(5);

    fn kept() -> Event {
        Event::Login(LoginEvent::Reconnecting { error: Error::from(ErrorCode::ConnectionLost) })
    }

    fn expendable() -> Event {
        let event = SessionEvent::ActiveSpeakers { speakers: vec![] };
        Event::Session { session: SessionId::new("s").unwrap(), event }
    }

    #[test]
    fn an_app_that_takes_nothing_loses_only_what_is_expendable() {
        let (sender, queue) = queue();
        for _ in 0..QUEUE_SOFT_LIMIT + 10 {
            sender.send(expendable());
        }
        for _ in 0..10 {
            sender.send(kept());
        }
        sender.close();
        let mut taken = 0;
        let mut logins = 0;
        while let Ok(event) = queue.next(LONG) {
            taken += 1;
            logins += usize::from(matches!(event, Event::Login(_)));
        }
        assert_eq!((taken, logins), (QUEUE_SOFT_LIMIT + 10, 10));
        assert_eq!(queue.next(LONG).unwrap_err(), NoEvent::ShutDown, "it stays shut down");
    }

    #[test]
    fn an_empty_queue_is_told_from_a_closed_one() {
        let (sender, queue) = queue();
        assert_eq!(queue.next(Duration::ZERO).unwrap_err(), NoEvent::TimedOut);
        sender.send(kept());
        assert!(queue.next(Duration::MAX).is_ok());
    }

    #[test]
    fn work_runs_in_order_with_the_events_on_the_thread_that_takes_them() {
        let (sender, queue) = queue();
        let (ran, runs) = std::sync::mpsc::channel();
        let taker = thread::current().id();
        sender.send(kept());
        sender.run(Box::new(move || ran.send(thread::current().id()).unwrap()));
        assert!(queue.next(LONG).is_ok());
        assert!(runs.try_recv().is_err(), "the event came first");
        assert_eq!(queue.next(Duration::ZERO).unwrap_err(), NoEvent::TimedOut);
        assert_eq!(runs.try_recv(), Ok(taker));
    }

    #[test]
    fn a_callback_that_panics_gets_the_next_event() {
        let (sender, queue) = queue();
        let (seen, count) = std::sync::mpsc::channel();
        let thread = EventThread::start(queue, move |_| {
            seen.send(()).unwrap();
            panic!("the app's fault");
        })
        .unwrap();
        sender.send(kept());
        sender.send(kept());
        sender.close();
        thread.join(LONG);
        assert_eq!(count.iter().count(), 2);
    }

    #[test]
    fn an_app_that_is_slow_with_each_of_many_events_is_not_waited_for_to_take_them_all() {
        let (sender, queue) = queue();
        let (seen, count) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = EventThread::start(queue, move |_| {
            seen.send(()).unwrap();
            // Until nobody is left who would send.
            let _ = wait.recv();
        })
        .unwrap();
        (0..100).for_each(|_| sender.send(kept()));
        sender.close();
        count.recv().unwrap();
        let silenced = thread.silenced.clone();
        let ended = thread::spawn(move || thread.join(Duration::ZERO));
        while !silenced.load(Relaxed) {
            thread::yield_now();
        }
        drop(go);
        ended.join().unwrap();
        assert_eq!(count.iter().count(), 0, "some were delivered after all");
    }
}
