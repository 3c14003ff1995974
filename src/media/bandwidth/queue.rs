//! How long packets wait in the bottleneck's queue.
//!
//! The clocks of both ends differ by an unknown amount, so only differences of one-way delays count: the lowest of late
//! against the lowest of the last ten seconds. The lowest of late, because jitter delays single packets and a queue all
//! of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// "Of late".
const RECENT: Duration = Duration::from_millis(60);
/// The lowest delay is that of so many seconds.
const BASE_SECONDS: usize = 10;
/// A queue shorter than this is none, on a path without jitter.
const THRESHOLD_MS: f64 = 20.0;
const THRESHOLD_MAX_MS: f64 = 250.0;
/// Measurements, of which a fifth are below the usual; and what the usual is at most.
const USUAL_OF: usize = 100;
const USUAL_MAX_MS: f64 = 250.0;
/// A queue that gets shorter by so much from one feedback to the next is on its way out.
const FALLING_MS: f64 = 3.0;
/// A queue grows fast when it gets longer by so much in a time, seen over so long and so many packets.
const FAST_GROWTH: f64 = 0.35;
const FAST_SPAN_MS: f64 = 25.0;
const FAST_PACKETS: usize = 4;
/// Packets looked at at most: more than 600 Mbit/s of full ones.
const MAX_PACKETS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The zero of send times.
    epoch: Option<Instant>,
    /// Arrival, and the delay in ms against the unknown difference of the clocks.
    recent: VecDeque<(Duration, f64)>,
    /// The lowest delay of each second that packets arrived in, the newest last.
    seconds: VecDeque<(u64, f64)>,
    delay_ms: f64,
    before_ms: f64,
    /// The latest [`USUAL_OF`] measurements before the latest.
    past: VecDeque<f64>,
    /// Room to sort them.
    sorted: Vec<f64>,
    /// What is measured without a queue: with jitter, the lowest of a few packets is above the lowest of many.
    usual_ms: f64,
    /// How much the lowest of late goes up and down by itself.
    noise_ms: f64,
}

impl Queue {
    /// How long it waited, as far as is known by now.
    pub(super) fn packet(&mut self, sent: Instant, arrived: Duration) -> Duration {
        let epoch = *self.epoch.get_or_insert(sent);
        let sent_ms = match sent.checked_duration_since(epoch) {
            Some(after) => after.as_secs_f64() * 1e3,
            None => -(epoch.duration_since(sent).as_secs_f64() * 1e3),
        };
        let delay = arrived.as_secs_f64() * 1e3 - sent_ms;
        self.recent.push_back((arrived, delay));
        let from = arrived.saturating_sub(RECENT);
        while self.recent.front().is_some_and(|(at, _)| *at < from) || self.recent.len() > MAX_PACKETS {
            self.recent.pop_front();
        }
        let second = arrived.as_secs();
        match self.seconds.back_mut() {
            // What comes late belongs to a second that is counted already.
            Some((last, lowest)) if *last >= second => *lowest = lowest.min(delay),
            _ => self.seconds.push_back((second, delay)),
        }
        while self.seconds.len() > BASE_SECONDS {
            self.seconds.pop_front();
        }
        Duration::from_secs_f64((delay - self.base_ms() - self.usual_ms).max(0.0) / 1e3)
    }

    /// After the packets of a feedback.
    pub(super) fn judge(&mut self) {
        let of_late = lowest(self.recent.iter().map(|(_, delay)| *delay));
        let base = self.base_ms();
        if !of_late.is_finite() {
            return;
        }
        self.before_ms = self.delay_ms;
        self.delay_ms = of_late - base;
        self.learn_usual();
        // Slowly, so that a queue that builds up is not taken for noise.
        self.noise_ms += ((self.delay_ms - self.before_ms).abs() - self.noise_ms) * 0.03;
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_secs_f64((self.delay_ms - self.usual_ms).max(0.0) / 1e3)
    }

    /// There is one that does not get shorter; and it was there before, or grows fast. (A computer that was busy for a
    /// moment delays packets too, but once, and lets them go all together.)
    pub(super) fn is_building(&self) -> bool {
        let threshold = self.usual_ms + self.threshold_ms();
        self.delay_ms > threshold
            && self.delay_ms > self.before_ms - FALLING_MS
            && (self.before_ms > threshold / 2.0 || self.grows_fast())
    }

    /// Packets come much further apart than they were sent.
    fn grows_fast(&self) -> bool {
        let (Some((first, before)), Some((last, after))) = (self.recent.front(), self.recent.back()) else {
            return false;
        };
        let span = (last.saturating_sub(*first)).as_secs_f64() * 1e3;
        self.recent.len() >= FAST_PACKETS && span > FAST_SPAN_MS && after - before > FAST_GROWTH * span
    }

    pub(super) fn is_empty(&self) -> bool {
        self.delay_ms - self.usual_ms < self.threshold_ms() / 2.0
    }

    pub(super) fn forget_recent(&mut self) {
        self.recent.clear();
        self.delay_ms = 0.0;
        self.before_ms = 0.0;
    }

    fn base_ms(&self) -> f64 {
        lowest(self.seconds.iter().map(|(_, delay)| *delay))
    }

    fn threshold_ms(&self) -> f64 {
        (THRESHOLD_MS + 4.0 * self.noise_ms).min(THRESHOLD_MAX_MS)
    }

    fn learn_usual(&mut self) {
        if self.past.len() == USUAL_OF {
            self.past.pop_front();
        }
        self.past.push_back(self.delay_ms);
        self.sorted.clear();
        self.sorted.extend(&self.past);
        let (_, fifth, _) = self.sorted.select_nth_unstable_by(self.past.len() / 5, f64::total_cmp);
        self.usual_ms = fifth.min(USUAL_MAX_MS);
    }
}

fn lowest(delays: impl Iterator<Item = f64>) -> f64 {
    delays.fold(f64::INFINITY, f64::min)
}
