//! How long packets wait on the way, from round-trip times: what they are longer than the shortest, and than usual.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The shortest of so many round trips counts against jitter, or of so many where one is much like the one before; what is
/// usual is learnt of so many.
const OF_LATE: usize = 5;
const OF_LATE_STEADY: usize = 2;
const STEADY: f64 = 0.01;
const USUAL_OF: usize = 80;
const USUAL_MOST: Duration = Duration::from_millis(300);
/// The shortest round trip of all is that of the last minute or two.
const SHORTEST_AGE: Duration = Duration::from_secs(60);
/// Growth is seen over so many round trips.
const GROWTH_OF: usize = 5;

/// Jitter is told from the last so many round trips, of which this share is more even than it says: a queue bends where it begins
/// and ends and is even else, so that its bends are too few to count.
const JITTER_OF: usize = 40;
const JITTER_EVEN_SHARE: f64 = 0.4;
const JITTER_LEAST: usize = 4;
/// A queue so much longer than usual is one that we have made, and from so much on there may be one; with jitter, so many times
/// that more, and no more than this.
const THRESHOLD: Duration = Duration::from_millis(80);
const THRESHOLD_BY_JITTER: f64 = 3.0;
const SLIGHT: Duration = Duration::from_millis(40);
const SLIGHT_BY_JITTER: f64 = 1.0;
const SLIGHT_GROWTH: f64 = 0.05;
const BY_JITTER_MOST: f64 = 0.3;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The newest last.
    round_trips: VecDeque<(Instant, Duration)>,
    /// The shortest of this time span and of the one before, and when this one began.
    shortest: Option<(Duration, Duration, Instant)>,
    /// What was over the shortest.
    past: VecDeque<Duration>,
    usual: Duration,
    /// By how much the last ones differ from the mean of the two beside them, and what they mostly do, in seconds.
    bends: VecDeque<f64>,
    jitter: f64,
    standing: Duration,
    latest: Duration,
}

impl Queue {
    pub fn measured(&mut self, now: Instant, round_trip: Duration) {
        let of_late = if self.jitter < STEADY { OF_LATE_STEADY } else { OF_LATE };
        if let [.., (_, earlier), (_, before)] = *self.round_trips.make_contiguous() {
            // A queue that grows evenly is no jitter.
            let bend = round_trip.as_secs_f64() - 2.0 * before.as_secs_f64() + earlier.as_secs_f64();
            // Three that are alike to the nanosecond are one, told again.
            if round_trip != before || before != earlier {
                self.bent(bend.abs() / 2.0);
            }
        }
        self.round_trips.push_back((now, round_trip));
        if self.round_trips.len() > OF_LATE.max(GROWTH_OF) {
            self.round_trips.pop_front();
        }
        let (this, last, since) = self.shortest.unwrap_or((round_trip, round_trip, now));
        self.shortest = Some(match now.saturating_duration_since(since) >= SHORTEST_AGE {
            true => (round_trip, this.min(round_trip), now),
            false => (this.min(round_trip), last, since),
        });
        let shortest = this.min(last).min(round_trip);
        let of_late = self.round_trips.iter().rev().take(of_late).map(|(_, round_trip)| *round_trip);
        let standing = of_late.min().unwrap_or(round_trip).saturating_sub(shortest);
        if self.past.len() == USUAL_OF {
            self.past.pop_front();
        }
        self.past.push_back(standing);
        let mut sorted: Vec<_> = self.past.iter().copied().collect();
        let tenth = sorted.len() / 10;
        self.usual = (*sorted.select_nth_unstable(tenth).1).min(USUAL_MOST);
        self.standing = standing.saturating_sub(self.usual);
        self.latest = (round_trip - shortest).saturating_sub(self.usual);
    }

    fn bent(&mut self, bend: f64) {
        if self.bends.len() == JITTER_OF {
            self.bends.pop_front();
        }
        self.bends.push_back(bend);
        if self.bends.len() >= JITTER_LEAST {
            let mut sorted: Vec<_> = self.bends.iter().copied().collect();
            let at = (sorted.len() as f64 * JITTER_EVEN_SHARE) as usize;
            self.jitter = *sorted.select_nth_unstable_by(at, f64::total_cmp).1;
        }
    }

    /// More waits all the time than usual, and than by jitter.
    pub fn is_standing(&self) -> bool {
        self.standing > THRESHOLD + self.by_jitter(THRESHOLD_BY_JITTER)
    }

    /// More may wait than usual: all the time, or the last time and it gets more.
    pub fn is_suspected(&self) -> bool {
        let slight = SLIGHT + self.by_jitter(SLIGHT_BY_JITTER);
        self.standing > slight || self.latest > slight && self.growth() > SLIGHT_GROWTH
    }

    fn by_jitter(&self, times: f64) -> Duration {
        Duration::from_secs_f64((self.jitter * times).min(BY_JITTER_MOST))
    }

    /// What waits all the time, over what is usual.
    pub fn standing(&self) -> Duration {
        self.standing
    }

    /// By how much waiting gets longer, as a share of the time, up to 0.9; less than 0 when it gets shorter. What comes out of a
    /// queue is less than what goes in by this share.
    pub fn growth(&self) -> f64 {
        let (Some((began, before)), Some((ended, after))) = (self.round_trips.front(), self.round_trips.back()) else {
            return 0.0;
        };
        let span = ended.saturating_duration_since(*began).as_secs_f64();
        if span == 0.0 { 0.0 } else { ((after.as_secs_f64() - before.as_secs_f64()) / span).clamp(-2.0, 0.9) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands, the latest and the growth in percent, after these round trips in milliseconds, a quarter of a second apart.
    fn after(round_trips: impl IntoIterator<Item = u64>) -> (u128, u128, i64) {
        let (mut queue, start) = (Queue::default(), Instant::now());
        for (quarter, ms) in (1..).zip(round_trips) {
            queue.measured(start + Duration::from_millis(250) * quarter, Duration::from_millis(ms));
        }
        (queue.standing().as_millis(), queue.latest.as_millis(), (queue.growth() * 100.0).round() as i64)
    }

    #[test]
    fn what_waits_longer_than_usual_is_a_queue_and_one_late_packet_is_none() {
        assert_eq!(after([40; 60]), (0, 0, 0));
        assert_eq!(after([40; 60].into_iter().chain([240])), (0, 200, 20));
        assert_eq!(after([40; 60].into_iter().chain([240; 5])), (200, 200, 0));
        let jitter = (0..60).map(|n| 40 + [0, 90, 150, 60, 200][n % 5]);
        assert!(after(jitter).0 < 80, "the shortest of three goes up and down by itself");
    }

    #[test]
    fn what_stays_for_a_minute_or_two_is_the_path() {
        assert_eq!(after([40; 10].into_iter().chain([140; 600])).0, 0);
    }
}
