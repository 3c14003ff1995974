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
        let (wait, is_due) = self.next(Instant::now());
        std::thread::sleep(wait);
        is_due
    }

    /// How long to wait from `now` on, and whether the next is due then.
    fn next(&mut self, now: Instant) -> (Duration, bool) {
        let start = *self.start.get_or_insert(now);
        let due = start + self.offset();
        if let Some(late) = now.checked_duration_since(due)
            && late > TOO_LATE
        {
            self.start = Some(now);
            self.count = 1;
            return (Duration::ZERO, true);
        }
        let wait = due.saturating_duration_since(now);
        if wait > MAX_WAIT {
            return (MAX_WAIT, false);
        }
        self.count += 1;
        (wait, true)
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

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_hundred_in_a_second_take_a_second_however_long_each_takes() {
        let mut pacer = Pacer::new(100, 1);
        let start = Instant::now();
        let mut now = start;
        for n in 0..=100 {
            let (wait, is_due) = pacer.next(now);
            now += wait;
            assert!(is_due && now - start >= ms(10 * n), "{n} after {:?}", now - start);
            if n % 10 == 0 {
                // On time, although what was done with the tenth before took longer than until the next.
                assert_eq!(now - start, ms(10 * n));
                now += ms(25);
            }
        }
    }

    #[test]
    fn one_that_is_due_in_a_second_does_not_hold_its_caller_for_long() {
        let mut pacer = Pacer::new(1, 1);
        let start = Instant::now();
        assert_eq!(pacer.next(start), (Duration::ZERO, true));
        assert_eq!(pacer.next(start), (MAX_WAIT, false));
        assert_eq!(pacer.next(start + ms(949)), (MAX_WAIT, false));
        assert_eq!(pacer.next(start + ms(950)), (MAX_WAIT, true));
    }

    #[test]
    fn a_stall_is_caught_up_and_a_long_sleep_is_not() {
        let mut pacer = Pacer::new(100, 1);
        let start = Instant::now();
        assert_eq!(pacer.next(start), (Duration::ZERO, true));
        for _ in 1..=51 {
            assert_eq!(pacer.next(start + ms(510)), (Duration::ZERO, true));
        }
        assert_eq!(pacer.next(start + ms(510)), (ms(10), true));
        let awake = start + ms(10_000);
        assert_eq!(pacer.next(awake), (Duration::ZERO, true));
        assert_eq!(pacer.next(awake), (ms(10), true));
    }

    #[test]
    fn it_waits_for_as_long_as_it_says() {
        let mut pacer = Pacer::new(100, 1);
        let start = Instant::now();
        assert!(pacer.wait() && pacer.wait());
        assert!(start.elapsed() >= ms(10));
        // The next is due in more than an hour.
        let mut pacer = Pacer::new(1, 4000);
        let start = Instant::now();
        assert!(pacer.wait() && !pacer.wait());
        assert!(start.elapsed() >= MAX_WAIT);
    }
}
