//! How much waits for a speaker: as little as the machine's own lateness allows.

use std::time::Duration;

/// With so much of what a device takes at a time waiting, at least, a frame is added: with one period waiting, and half of one before
/// the device takes it. With whole periods here it would be now one, now two.
const LEAST: f32 = 1.5;
/// With less than this part of it waiting the device is about to run dry.
const NEARLY_DRY: f32 = 0.5;
/// What is asked of devices; those that are known to differ take more or less, within the bounds (of less nobody has tried how late a
/// machine may be).
const PERIOD: Duration = Duration::from_millis(10);
const PERIODS: std::ops::RangeInclusive<Duration> = Duration::from_micros(6_600)..=Duration::from_millis(40);
/// So much is waiting at most: a machine that is later than that has gaps.
const MOST: Duration = Duration::from_millis(60);
const STEP: Duration = Duration::from_millis(10);
/// After so many frames, 20 s, in which that did not happen, less is enough.
const CALM: u32 = 1000;

/// Decides when a sink that plays at its own pace is given its next frame.
pub(super) struct Ahead {
    /// What is wanted beyond the least.
    more: Duration,
    /// There was enough since it last ran nearly dry: at the beginning it is empty, which says nothing.
    filled: bool,
    calm: u32,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { more: Duration::ZERO, filled: false, calm: 0 }
    }
}

impl Ahead {
    /// So much waits in the sink, which takes `period` at a time. For how long, at most, to wait before looking again; `None`: give
    /// it a frame now.
    pub(super) fn wait(&mut self, queued: Duration, period: Option<Duration>) -> Option<Duration> {
        let period = period.unwrap_or(PERIOD).clamp(*PERIODS.start(), *PERIODS.end());
        let least = period.mul_f32(LEAST);
        let wanted = (least + self.more).min(MOST);
        if queued > wanted {
            self.filled = true;
            return Some((queued - wanted).min(Duration::from_millis(20)));
        }
        if queued < period.mul_f32(NEARLY_DRY) {
            if std::mem::take(&mut self.filled) {
                self.more = (self.more + STEP).min(MOST.saturating_sub(least));
            }
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm == CALM {
                self.calm = 0;
                self.more = self.more.saturating_sub(STEP);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that plays what it is given, and a thread that wakes up `late` after it wanted to; what waits in the device each
    /// time that the thread looks, and how often there was nothing.
    fn play(ahead: &mut Ahead, frames: u32, late: impl Fn(u32) -> Duration) -> (Duration, u32) {
        let (mut queued, mut most, mut dry, mut given) = (Duration::ZERO, Duration::ZERO, 0, 0);
        while given < frames {
            match ahead.wait(queued, None) {
                Some(wait) => {
                    let passed = wait + late(given);
                    dry += u32::from(passed > queued);
                    queued = queued.saturating_sub(passed);
                }
                None => {
                    queued += Duration::from_millis(20);
                    given += 1;
                    if given > frames / 2 {
                        most = most.max(queued);
                    }
                }
            }
        }
        (most, dry)
    }

    #[test]
    fn on_a_machine_that_is_in_time_35_ms_wait_at_most() {
        let (most, dry) = play(&mut Ahead::default(), 3000, |_| Duration::from_millis(1));
        assert!(most <= Duration::from_millis(35) && dry == 0, "{most:?}, {dry} times dry");
    }

    /// As [`play`], by a device that takes so much at a time; how much waits on average when a frame is added, in the last half.
    fn play_by_periods(period: Duration, frames: u32, late: impl Fn(u32) -> Duration) -> (Duration, u32) {
        let (mut ahead, mut queued, mut waited, mut dry, mut given) =
            (Ahead::default(), Duration::ZERO, Duration::ZERO, 0, 0);
        let (mut now, mut takes) = (Duration::ZERO, Duration::from_millis(3));
        while given < frames {
            let Some(wait) = ahead.wait(queued, Some(period)) else {
                waited += if given < frames / 2 { Duration::ZERO } else { queued };
                queued += Duration::from_millis(20);
                given += 1;
                continue;
            };
            now += wait + late(given);
            while takes <= now {
                dry += u32::from(queued < period);
                queued = queued.saturating_sub(period);
                takes += period;
            }
        }
        (waited / (frames / 2), dry)
    }

    #[test]
    fn with_a_device_that_takes_some_at_a_time_little_more_waits_and_it_runs_dry_once_at_most() {
        // 320 samples are what PulseAudio's plugin for ALSA makes of 480.
        for period_us in [6_667, 10_000, 20_000] {
            for late_us in [100, 1000, 4000] {
                let late = |n: u32| Duration::from_micros(u64::from(n * 7919 % 13) * late_us / 12);
                let (waited, dry) = play_by_periods(Duration::from_micros(period_us), 6000, late);
                println!("{period_us} us at a time, {late_us} us late: {waited:?} wait, {dry} times dry");
                // One that runs dry once is given more from then on.
                let learns = period_us < 10_000;
                let most_us = if learns { period_us * 3 / 2 + late_us * 5 / 2 } else { period_us * 11 / 10 };
                let at_most = Duration::from_micros(most_us);
                assert!(waited <= at_most, "{period_us} us at a time, {late_us} us late: {waited:?}");
                assert!(dry <= u32::from(learns), "{period_us} us at a time, {late_us} us late: {dry} times dry");
            }
        }
    }

    #[test]
    fn on_one_that_is_late_more_waits_until_that_is_over() {
        let mut ahead = Ahead::default();
        // Every tenth time 45 ms late.
        let busy = |n: u32| Duration::from_millis(if n % 10 == 9 { 45 } else { 1 });
        let (most, dry) = play(&mut ahead, 1000, busy);
        assert!(dry <= 3, "{dry} times dry");
        assert!(most > Duration::from_millis(50), "{most:?}");
        let (most, _) = play(&mut ahead, 12_000, |_| Duration::from_millis(1));
        assert!(most <= Duration::from_millis(35), "{most:?}");
    }

    #[test]
    fn however_late_it_is_what_waits_is_bounded() {
        let (most, _) = play(&mut Ahead::default(), 3000, |n| Duration::from_millis(u64::from(n % 7) * 30));
        assert!(most <= MOST + Duration::from_millis(20), "{most:?}");
    }
}
