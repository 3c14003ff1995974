//! When which publisher sends: evenly, in a thread of its own, as timers of the runtime are too coarse for that.

use super::participant::Participant;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Later than this is late.
const LATE: Duration = Duration::from_millis(1);
/// So far behind, what was due is given up.
const HOPELESS: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pace {
    /// They send, and it does not count.
    Unmeasured,
    Measured,
    Stopped,
}

pub struct Pacer {
    pace: Arc<AtomicU8>,
    thread: JoinHandle<u64>,
}

impl Pacer {
    /// `rate`: packets a second of each publisher.
    pub fn start(publishers: Vec<Arc<Participant>>, rate: u32, bytes: usize) -> Self {
        let pace = Arc::new(AtomicU8::new(Pace::Unmeasured as u8));
        let of_thread = pace.clone();
        let thread = std::thread::spawn(move || send(&publishers, rate, bytes, &of_thread));
        Self { pace, thread }
    }

    pub fn pace(&self, pace: Pace) {
        self.pace.store(pace as u8, Relaxed);
    }

    /// Ends it; how many packets that count went out late.
    pub fn stop(self) -> u64 {
        self.pace(Pace::Stopped);
        self.thread.join().unwrap_or_default()
    }
}

fn send(publishers: &[Arc<Participant>], rate: u32, bytes: usize, pace: &AtomicU8) -> u64 {
    let gap = Duration::from_secs_f64(1.0 / (f64::from(rate) * publishers.len().max(1) as f64));
    let mut due = Instant::now();
    let mut late = 0;
    for publisher in publishers.iter().cycle() {
        due += gap;
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        let pace = pace.load(Relaxed);
        if pace == Pace::Stopped as u8 {
            break;
        }
        let (measured, behind) = (pace == Pace::Measured as u8, due.elapsed());
        late += u64::from(measured && behind > LATE);
        if behind > HOPELESS {
            due = Instant::now();
        }
        // One that has failed stands on the board: its own task saw it too.
        let _ = publisher.send(bytes, measured);
    }
    late
}
