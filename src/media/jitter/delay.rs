//! How long packets must wait: measured from when they come against when they were made.

use crate::media::clock::RtpClock;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const BUCKET: Duration = Duration::from_micros(2500);
const BUCKETS: usize = 200;
/// How much of the past one packet leaves: half of it is forgotten after some 45 packets, and all of a jitter that is over after
/// 230 (4.6 s), but for its swings.
const FORGET: f32 = 0.985;
/// The share of packets that shall be in time.
const IN_TIME: f32 = 0.97;
/// On top comes as much again, within these: a network that is even today needs little, one that jitters may do worse tomorrow.
const LEAST_MARGIN: Duration = Duration::from_millis(5);
const MOST_MARGIN: Duration = Duration::from_micros(17_500);
/// Until so many packets, a second, were measured, they wait for so long at least.
const LEARNED: u32 = 50;
const UNKNOWN: Duration = Duration::from_millis(20);
/// By how much the delay of packets that came in order went up and down within each of the last 30 seconds is kept, and the second
/// most counts: what comes again and again is waited for, however seldom; and that of the last 10 alone, as what comes once may come
/// again, but for the first two: a sender who tries what the path carries fills its queue when it begins. A queue that stands does not
/// count: it is no jitter.
const SWINGS: usize = 30;
const SWINGS_OF_LATE: usize = 10;
const BEGINNING: u32 = 100;
const SWING: Duration = Duration::from_secs(1);
/// The fastest packet of the last 5 to 10 s is the baseline: over that time clocks do not drift apart noticeably.
const WINDOW: Duration = Duration::from_secs(5);
/// After such a pause, or with such a delay, the sender's clock may have been set anew.
const REBASE: Duration = Duration::from_secs(1);

/// A histogram of how much later than the fastest packet the others come.
pub(super) struct DelayEstimator {
    origin: Option<Origin>,
    histogram: [f32; BUCKETS],
    /// Packets measured.
    seen: u32,
    /// The latest last.
    swings: VecDeque<Swing>,
    /// There is another origin since: the latest of them cannot go on.
    broken: bool,
    /// How much later than the fastest nearly all come.
    lateness: Duration,
    jitter_ns: f64,
}

/// The least and the greatest delay of packets of a time, in nanoseconds relative to an origin.
struct Swing {
    began: Instant,
    least: i64,
    most: i64,
    /// It is one of the first.
    early: bool,
}

struct Origin {
    arrival: Instant,
    time: i64,
    /// The lowest delay in this window and in the one before, in nanoseconds relative to the origin.
    lowest: i64,
    lowest_before: i64,
    window_began: Instant,
    last_arrival: Instant,
    last_delay: i64,
}

impl Default for DelayEstimator {
    fn default() -> Self {
        let (swings, lateness) = (VecDeque::with_capacity(SWINGS), Duration::ZERO);
        Self { origin: None, histogram: [0.0; BUCKETS], seen: 0, swings, broken: false, lateness, jitter_ns: 0.0 }
    }
}

impl DelayEstimator {
    /// A packet made at `time` on the sender's clock came. `in_order`: after all those made before it, and by itself; others were
    /// repeated, overtaken, or recovered by a server.
    pub(super) fn update(&mut self, time: i64, arrival: Instant, in_order: bool) {
        if self.origin.as_ref().is_some_and(|o| arrival.saturating_duration_since(o.last_arrival) > REBASE) {
            self.rebase();
        }
        let origin = self.origin.get_or_insert_with(|| Origin::new(time, arrival));
        let delay = origin.delay(time, arrival);
        if (delay - origin.baseline()).unsigned_abs() > REBASE.as_nanos() as u64 {
            self.origin = Some(Origin::new(time, arrival));
            self.broken = true;
            return;
        }
        self.jitter_ns += ((delay - origin.last_delay).abs() as f64 - self.jitter_ns) / 16.0;
        if arrival.saturating_duration_since(origin.window_began) > WINDOW {
            origin.lowest_before = origin.lowest;
            origin.lowest = delay;
            origin.window_began = arrival;
        }
        origin.lowest = origin.lowest.min(delay);
        origin.last_arrival = origin.last_arrival.max(arrival);
        origin.last_delay = delay;

        let over = (delay - origin.baseline()).max(0) as u128;
        let bucket = (over / BUCKET.as_nanos()).min(BUCKETS as u128 - 1) as usize;
        // At the beginning each counts as much as the others: what is measured is what there was.
        self.seen = self.seen.saturating_add(1);
        let forget = FORGET.min(1.0 - 1.0 / self.seen as f32);
        self.histogram.iter_mut().for_each(|share| *share *= forget);
        self.histogram[bucket] += 1.0 - forget;
        if in_order {
            self.swing(delay, arrival);
        }
        self.lateness = self.quantile().max(self.swing_to_come().min(BUCKET * BUCKETS as u32));
    }

    /// The sender began anew: old delays say nothing about its clock.
    pub(super) fn rebase(&mut self) {
        self.origin = None;
        self.broken = true;
    }

    pub(super) fn target(&self) -> Duration {
        let wait = self.lateness + self.lateness.clamp(LEAST_MARGIN, MOST_MARGIN);
        if self.seen < LEARNED { wait.max(UNKNOWN) } else { wait }
    }

    fn swing(&mut self, delay: i64, arrival: Instant) {
        let broken = std::mem::take(&mut self.broken);
        match self.swings.back_mut() {
            Some(swing) if !broken && arrival.saturating_duration_since(swing.began) < SWING => {
                swing.least = swing.least.min(delay);
                swing.most = swing.most.max(delay);
            }
            _ => {
                if self.swings.len() == SWINGS {
                    self.swings.pop_front();
                }
                self.swings.push_back(Swing {
                    began: arrival,
                    least: delay,
                    most: delay,
                    early: self.seen < BEGINNING,
                });
            }
        }
    }

    /// How much the delay went up and down in the second worst of the last seconds, or in the worst of the very last.
    fn swing_to_come(&self) -> Duration {
        let swings = || self.swings.iter().enumerate();
        let width = |swing: &Swing| swing.most.abs_diff(swing.least);
        let Some((worst, _)) = swings().max_by_key(|(_, swing)| width(swing)) else { return Duration::ZERO };
        let late = self.swings.len().saturating_sub(SWINGS_OF_LATE);
        // One peak may lie in two that are neighbours.
        let counts = swings().filter(|(n, swing)| n.abs_diff(worst) > 1 || *n >= late && !swing.early);
        Duration::from_nanos(counts.map(|(_, swing)| width(swing)).max().unwrap_or_default())
    }

    fn quantile(&self) -> Duration {
        let total: f32 = self.histogram.iter().sum();
        let mut seen = 0.0;
        let bucket = self.histogram.iter().position(|share| {
            seen += share;
            seen >= total * IN_TIME
        });
        BUCKET * (bucket.unwrap_or(BUCKETS - 1) as u32 + 1)
    }

    /// When a packet made at `time` is to be played, so that those that wait for `target` at most are in time.
    /// `None` before any came.
    pub(super) fn due(&self, time: i64, target: Duration) -> Option<Instant> {
        let origin = self.origin.as_ref()?;
        let nanos = ticks_to_nanos(time - origin.time) + origin.baseline() + target.as_nanos() as i64;
        match u64::try_from(nanos) {
            Ok(nanos) => origin.arrival.checked_add(Duration::from_nanos(nanos)),
            Err(_) => origin.arrival.checked_sub(Duration::from_nanos(nanos.unsigned_abs())),
        }
    }

    pub(super) fn jitter(&self) -> Duration {
        Duration::from_nanos(self.jitter_ns as u64)
    }
}

impl Origin {
    fn new(time: i64, arrival: Instant) -> Self {
        let (lowest, lowest_before) = (0, 0);
        Self { arrival, time, lowest, lowest_before, window_began: arrival, last_arrival: arrival, last_delay: 0 }
    }

    fn delay(&self, time: i64, arrival: Instant) -> i64 {
        let since = match arrival.checked_duration_since(self.arrival) {
            Some(after) => after.as_nanos() as i64,
            None => -(self.arrival.duration_since(arrival).as_nanos() as i64),
        };
        since - ticks_to_nanos(time - self.time)
    }

    fn baseline(&self) -> i64 {
        self.lowest.min(self.lowest_before)
    }
}

/// Within a day of the origin, far from overflow: larger jumps begin the stream anew.
fn ticks_to_nanos(ticks: i64) -> i64 {
    let magnitude = RtpClock::OPUS.duration(ticks.abs()).as_nanos() as i64;
    magnitude * ticks.signum()
}
