//! When the packets of a picture leave, on a path that is narrow: one after the other, as the path carries them. All at once they
//! would wait in the bottleneck's queue instead, and voices behind them. Time comes in as arguments.

use std::time::{Duration, Instant};

/// So much faster than the bitrate: pictures are uneven.
const FACTOR: f64 = 1.3;
/// What waits is gone within this: a key frame too.
const MOST: Duration = Duration::from_millis(100);
/// A packet with its headers, in bits.
const PACKET_BITS: f64 = 9_600.0;
/// Timers are no finer.
const LEAST: Duration = Duration::from_millis(1);

/// Of one stream.
#[derive(Debug, Default)]
pub struct Pacer {
    free_at: Option<Instant>,
    /// At least, until all that waited is gone, in bit/s.
    rate: f64,
}

impl Pacer {
    /// A packet of so many bytes leaves at `now`, and `waiting` others are to follow: when the next one may leave, if that is not
    /// at once. `bitrate_bps` is what the path carries of the stream; 0: it is wide.
    pub fn sent(&mut self, now: Instant, bytes: usize, waiting: usize, bitrate_bps: u32) -> Option<Instant> {
        if bitrate_bps == 0 {
            self.free_at = None;
            return None;
        }
        let least = waiting as f64 * PACKET_BITS / MOST.as_secs_f64();
        self.rate = if waiting == 0 { 0.0 } else { self.rate.max(least) };
        let rate = (f64::from(bitrate_bps) * FACTOR).max(self.rate);
        let free_at = self.free_at.map_or(now, |at| at.max(now)) + Duration::from_secs_f64(bytes as f64 * 8.0 / rate);
        self.free_at = Some(free_at);
        (free_at >= now + LEAST).then_some(free_at)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]
mod tests {
    use super::*;

    /// So many packets of 1000 bytes; how long the last one waits.
    fn takes(packets: usize, bitrate_bps: u32) -> Duration {
        let (mut pacer, start) = (Pacer::default(), Instant::now());
        let mut now = start;
        for waiting in (0..packets).rev() {
            let next = pacer.sent(now, 1000, waiting, bitrate_bps);
            if waiting > 0 {
                now = next.unwrap_or(now);
            }
        }
        now - start
    }

    #[test]
    fn a_picture_takes_most_of_its_time_on_a_narrow_path_and_none_on_a_wide_one() {
        // 800 kbit/s are 3.3 kB for each of 30 pictures a second.
        let took = takes(4, 800_000);
        assert!((Duration::from_millis(20)..Duration::from_millis(30)).contains(&took), "{took:?}");
        assert_eq!(takes(4, 0), Duration::ZERO);
    }

    #[test]
    fn a_key_frame_takes_no_longer_than_a_tenth_of_a_second_by_much() {
        let took = takes(40, 200_000);
        assert!((Duration::from_millis(60)..Duration::from_millis(110)).contains(&took), "{took:?}");
    }
}
