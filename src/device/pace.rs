//! Pacing against deadlines that are absolute, so that nothing drifts.

use super::MAX_WAIT;
use std::time::{Duration, Instant};

/// Further behind than this (a machine that slept, a debugger), it goes on from now instead of catching up.
const TOO_LATE: Duration = Duration::from_millis(500);

/// Says when the next of so many a second is due.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// `events` in `seconds`.
    events: u64,
    seconds: u64,
    start: Option<Instant>,
    count: u64,
}

impl Pacer {
    /// `events` in `seconds`, both at least 1: 30000 in 1001 is NTSC.
    pub(crate) fn new(events: u32, seconds: u32) -> Self {
        Self { events: events.max(1).into(), seconds: seconds.max(1).into(), start: None, count: 0 }
    }

    /// Waits until the next is due, [`MAX_WAIT`] at most: false when it is not due by then. The first is due at once.
    pub(crate) fn wait(&mut self) -> bool {
        let now = Instant::now();
        let start = *self.start.get_or_insert(now);
        let due = start + self.offset();
        if let Some(late) = now.checked_duration_since(due)
            && late > TOO_LATE
        {
            self.start = Some(now);
            self.count = 1;
            return true;
        }
        let wait = due.saturating_duration_since(now);
        std::thread::sleep(wait.min(MAX_WAIT));
        if wait > MAX_WAIT {
            return false;
        }
        self.count += 1;
        true
    }

    /// After a pause: the next is due at once.
    pub(crate) fn restart(&mut self) {
        self.start = None;
        self.count = 0;
    }

    fn offset(&self) -> Duration {
        Duration::from_nanos(
            (u128::from(self.count) * 1_000_000_000 * u128::from(self.seconds) / u128::from(self.events)) as u64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_in_a_second_take_a_second_however_long_each_takes() {
        let mut pacer = Pacer::new(100, 1);
        let start = Instant::now();
        for n in 0..=50 {
            while !pacer.wait() {}
            if n % 10 == 0 {
                std::thread::sleep(Duration::from_millis(7));
            }
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(500)..Duration::from_millis(600)).contains(&took), "{took:?}");
    }

    #[test]
    fn one_that_is_due_in_a_second_does_not_hold_its_caller_for_long() {
        let mut pacer = Pacer::new(1, 1);
        assert!(pacer.wait());
        let start = Instant::now();
        assert!(!pacer.wait());
        assert!(start.elapsed() < Duration::from_millis(150));
    }
}
