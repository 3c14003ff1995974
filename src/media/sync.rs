//! Lip sync: pictures wait for the sound that was made with them.
//!
//! Sender reports relate each stream's timestamps to one wall clock (RFC 3550 section 6.4.1). The playout of a
//! participant's sound tells when a moment of that clock was heard; its pictures of that moment are shown then, or
//! rather a little before: the earlier picture is not noticed, and its delay is.
//!
//! Moments of wall clocks are the middle 32 bits of NTP timestamps here: 1/65536 s, and around once in 18 hours.

use super::clock::RtpClock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How much later than the picture the sound may be for the sake of the picture's delay. From 45 ms on it begins to be
/// noticed (ITU-R BT.1359).
const PICTURE_LEAD: Duration = Duration::from_millis(15);
/// A picture waits at most that long.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// The sound that was last heard so long ago says nothing any more: it was muted, or is lost.
const FORGET: Duration = Duration::from_secs(5);
/// Lags further apart than this are a new beginning.
const JUMP: i32 = 65_536 / 5;

/// The latest sender report of one stream: written by the transport, read by the stream's pipeline.
#[derive(Debug, Default)]
pub struct SenderReports(AtomicU64);

impl SenderReports {
    /// `ntp` is the 64-bit NTP timestamp of a report, `rtp` the RTP timestamp of the same moment.
    pub fn note(&self, ntp: u64, rtp: u32) {
        let middle = (ntp >> 16) as u32;
        self.0.store(u64::from(middle) << 32 | u64::from(rtp), Relaxed);
    }

    /// Nothing before the first.
    fn latest(&self) -> Option<(u32, u32)> {
        let both = self.0.load(Relaxed);
        (both != 0).then_some(((both >> 32) as u32, both as u32))
    }
}

/// When a stream's media were made, by the sender's wall clock.
#[derive(Debug)]
pub struct CaptureClock {
    clock: RtpClock,
    last: Option<(u32, u32)>,
    /// The report that the others are measured against.
    base: Option<(u32, u32)>,
}

impl CaptureClock {
    pub fn new(clock: RtpClock) -> Self {
        Self { clock, last: None, base: None }
    }

    /// When the media with that timestamp were made; nothing before the first report.
    pub fn made(&mut self, reports: &SenderReports, timestamp: u32) -> Option<u32> {
        let latest = reports.latest()?;
        if self.last != Some(latest) {
            self.last = Some(latest);
            // A relay reports when packets came to it. Its fastest packets are nearest to the truth: what is earlier is
            // believed at once, what is later by and by.
            let kept = self.base.map(|base| (latest.0, self.at(base, latest.1)));
            self.base = Some(match kept {
                Some((ntp, earlier)) => {
                    let later = ntp.wrapping_sub(earlier) as i32;
                    let later = if later <= 0 || later > JUMP { 0 } else { later - later / 8 };
                    (ntp.wrapping_sub(later as u32), latest.1)
                }
                None => latest,
            });
        }
        self.base.map(|base| self.at(base, timestamp))
    }

    fn at(&self, (ntp, rtp): (u32, u32), timestamp: u32) -> u32 {
        let ticks = i64::from(timestamp.wrapping_sub(rtp) as i32);
        let passed = self.clock.duration(ticks.abs()).as_micros() as i64 * 65_536 / 1_000_000;
        ntp.wrapping_add((passed * ticks.signum()) as u32)
    }
}

/// Between the sound and the pictures of one participant. One audio pipeline writes, any video pipeline reads.
#[derive(Debug)]
pub struct LipSync {
    epoch: Instant,
    /// How far what is heard lags behind the sender's wall clock, relative to the epoch, and when that was noted; in
    /// 1/65536 s. 0 before the first.
    heard: AtomicU64,
}

impl LipSync {
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, heard: AtomicU64::new(0) }
    }

    /// Sound that was made at `made` is heard at `at`.
    pub fn heard(&self, made: u32, at: Instant) {
        let at = self.local(at);
        let now = at.wrapping_sub(made);
        let before = self.heard.load(Relaxed);
        let apart = now.wrapping_sub((before >> 32) as u32) as i32;
        // Delay changes by whole frames; the picture follows in half a second.
        let lag = if before == 0 || apart.abs() > JUMP { now } else { now.wrapping_sub((apart - apart / 16) as u32) };
        self.heard.store(u64::from(lag) << 32 | u64::from(at.max(1)), Relaxed);
    }

    /// When a picture made at `made` is to be shown; nothing when that does not matter.
    pub fn due(&self, made: u32, now: Instant) -> Option<Instant> {
        let heard = self.heard.load(Relaxed);
        let since = self.local(now).wrapping_sub(heard as u32) as i32;
        if heard == 0 || since > units(FORGET) {
            return None;
        }
        let lag = (heard >> 32) as u32;
        let wait = made.wrapping_add(lag).wrapping_sub(self.local(now)) as i32 - units(PICTURE_LEAD);
        (0..=units(LONGEST_WAIT)).contains(&wait).then(|| now + Duration::from_secs(wait as u64) / 65_536)
    }

    fn local(&self, at: Instant) -> u32 {
        (at.saturating_duration_since(self.epoch).as_micros() * 65_536 / 1_000_000) as u32
    }
}

fn units(time: Duration) -> i32 {
    (time.as_micros() * 65_536 / 1_000_000) as i32
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]
mod tests {
    use super::*;

    const MS: u32 = 65_536 / 1000;

    fn ntp(middle: u32) -> u64 {
        u64::from(middle) << 16
    }

    fn near(a: u32, b: u32) -> bool {
        (a.wrapping_sub(b) as i32).unsigned_abs() <= MS
    }

    #[test]
    fn timestamps_are_placed_on_the_senders_clock_over_all_wraps() {
        let reports = SenderReports::default();
        let mut clock = CaptureClock::new(RtpClock::VIDEO);
        assert_eq!(clock.made(&reports, 0), None);
        reports.note(ntp(u32::MAX), u32::MAX - 10);
        let second_later = (u32::MAX - 10).wrapping_add(90_000);
        assert!(near(clock.made(&reports, second_later).unwrap(), 65_535));
        let second_before = (u32::MAX - 10) - 90_000;
        assert!(near(clock.made(&reports, second_before).unwrap(), u32::MAX - 65_536));
    }

    #[test]
    fn an_early_report_is_believed_and_a_late_one_hardly() {
        let reports = SenderReports::default();
        let mut clock = CaptureClock::new(RtpClock::OPUS);
        let base = 1_000_000;
        reports.note(ntp(base), 0);
        clock.made(&reports, 0);
        // This one's packet was 80 ms under way longer.
        reports.note(ntp(base + 65_536 + 80 * MS), 48_000);
        assert!(near(clock.made(&reports, 48_000).unwrap(), base + 65_536 + 10 * MS));
        reports.note(ntp(base + 2 * 65_536 - 20 * MS), 96_000);
        assert!(near(clock.made(&reports, 96_000).unwrap(), base + 2 * 65_536 - 20 * MS));
    }

    #[test]
    fn a_picture_waits_for_its_sound_and_follows_it_when_the_delay_changes() {
        let start = Instant::now();
        let sync = LipSync::new(start);
        assert_eq!(sync.due(0, start), None);
        let made = u32::MAX - 5;
        let now = start + Duration::from_secs(100);
        sync.heard(made, now + Duration::from_millis(70));
        let wait = |at: Instant, made| sync.due(made, at).map(|due| (due - at).as_millis());
        assert!(wait(now, made).is_some_and(|ms| (54..=56).contains(&ms)), "{:?}", wait(now, made));
        assert_eq!(sync.due(made, now + Duration::from_millis(60)), None, "it is late already");
        // The jitter buffer grows by 40 ms.
        for frame in 1..100u32 {
            sync.heard(
                made.wrapping_add(frame * 20 * 65_536 / 1000),
                now + Duration::from_millis(110 + u64::from(frame) * 20),
            );
        }
        assert!(wait(now, made).is_some_and(|ms| (85..=100).contains(&ms)), "{:?}", wait(now, made));
    }

    #[test]
    fn sound_that_ended_and_nonsense_hold_no_picture_back() {
        let start = Instant::now();
        let sync = LipSync::new(start);
        sync.heard(0, start + Duration::from_millis(100));
        assert_eq!(sync.due(65_536, start), None, "more than half a second");
        assert_eq!(sync.due(6 * 65_536, start + Duration::from_secs(6)), None, "heard too long ago");
    }
}
