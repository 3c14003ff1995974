//! RTP's wrapping counters and clocks (RFC 3550, section 5.1), made into ones that do not wrap.

use std::time::Duration;

/// The rate of an RTP clock: how its timestamps relate to media time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpClock {
    hz: u32,
}

impl RtpClock {
    /// Opus always has 48 kHz, whatever it carries (RFC 7587, section 4.1).
    pub const OPUS: Self = Self { hz: 48_000 };
    /// VP8, like all video, has 90 kHz (RFC 7741, section 4.1).
    pub const VIDEO: Self = Self { hz: 90_000 };

    /// Media time as RTP ticks, rounded down. The packet's timestamp is the low 32 bits of it.
    pub fn ticks(self, time: Duration) -> u64 {
        (time.as_nanos() * u128::from(self.hz) / 1_000_000_000) as u64
    }

    /// RTP ticks as media time, rounded down to a nanosecond; negative ticks are zero.
    pub fn duration(self, ticks: i64) -> Duration {
        let ticks = ticks.max(0) as u64;
        let hz = u64::from(self.hz);
        Duration::new(ticks / hz, ((ticks % hz) * 1_000_000_000 / hz) as u32)
    }
}

/// Makes 16-bit sequence numbers into ones that do not wrap: each is taken as the nearest to the one before.
#[derive(Clone, Debug, Default)]
pub struct SequenceUnwrapper {
    last: Option<i64>,
}

impl SequenceUnwrapper {
    pub fn unwrap(&mut self, sequence: u16) -> i64 {
        let full = match self.last {
            Some(last) => last + i64::from(sequence.wrapping_sub(last as u16) as i16),
            None => i64::from(sequence),
        };
        self.last = Some(full);
        full
    }
}

/// Makes 32-bit timestamps into ones that do not wrap: each is taken as the nearest to the one before.
#[derive(Clone, Debug, Default)]
pub struct TimestampUnwrapper {
    last: Option<i64>,
}

impl TimestampUnwrapper {
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let full = match self.last {
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
            None => i64::from(timestamp),
        };
        self.last = Some(full);
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_goes_on_over_its_wrap_and_back_for_a_reordered_packet() {
        let mut unwrapper = SequenceUnwrapper::default();
        let full: Vec<i64> = [65_534, 0, 65_535, 1].map(|s| unwrapper.unwrap(s)).into();
        assert_eq!(full, [65_534, 65_536, 65_535, 65_537]);
    }

    #[test]
    fn a_timestamp_goes_on_over_its_wrap() {
        let mut unwrapper = TimestampUnwrapper::default();
        assert_eq!(unwrapper.unwrap(u32::MAX - 10), i64::from(u32::MAX) - 10);
        assert_eq!(unwrapper.unwrap(949), i64::from(u32::MAX) + 950);
    }

    #[test]
    fn ticks_and_media_time_agree_after_a_day() {
        let day = Duration::from_secs(86_400) + Duration::from_millis(20);
        assert_eq!(RtpClock::OPUS.ticks(day), 86_400 * 48_000 + 960);
        assert_eq!(RtpClock::OPUS.duration(RtpClock::OPUS.ticks(day) as i64), day);
        assert_eq!(RtpClock::VIDEO.duration(-5), Duration::ZERO);
    }
}
