//! Which size of picture a bitrate is enough for.
//!
//! Below some bits a pixel VP8 shows blocks, and fewer pixels look better. Each change of size costs a key frame, so
//! the steps are coarse, far apart in time, and up takes more than down.

use std::time::{Duration, Instant};

/// Sides as parts of the whole.
pub(super) const STEPS: [f64; 5] = [1.0, 0.75, 0.5, 0.375, 0.25];
/// Bits a pixel: under the first the next smaller size is taken, from the second on the next larger one.
const DOWN_BITS: f64 = 0.03;
const UP_BITS: f64 = 0.045;
/// No change sooner than that after the last.
const DOWN_INTERVAL: Duration = Duration::from_secs(1);
const UP_INTERVAL: Duration = Duration::from_secs(4);
/// For so long the bitrate is still on its way up from its start, and half of the bits will do.
const START: Duration = Duration::from_secs(3);
/// Both sides of a picture have so many pixels at least.
const MIN_SIDE: u32 = 90;

/// Follows the bitrate of one track.
#[derive(Debug, Default)]
pub struct SizeLadder {
    step: usize,
    began: Option<Instant>,
    changed: Option<Instant>,
}

impl SizeLadder {
    /// The size, in whole pixels of any parity, in which pictures of that full size are best sent at `bitrate_bps` and
    /// `fps`. `now` does not go backwards.
    pub fn size(&mut self, now: Instant, bitrate_bps: u32, fps: u32, full: (u32, u32)) -> (u32, u32) {
        let since = |then: Instant| now.saturating_duration_since(then);
        let began = *self.began.get_or_insert(now);
        let rested = |interval| self.changed.is_none_or(|changed| since(changed) >= interval);
        let bits = |step: usize| {
            let (width, height) = scaled(full, step);
            f64::from(bitrate_bps) / (f64::from(width) * f64::from(height) * f64::from(fps.max(1)))
        };
        let enough = if since(began) < START { DOWN_BITS / 2.0 } else { DOWN_BITS };
        let smaller = self.step + 1 < STEPS.len() && min_side(scaled(full, self.step + 1)) >= MIN_SIDE;
        if smaller && bits(self.step) < enough && rested(DOWN_INTERVAL) {
            self.step += 1;
            self.changed = Some(now);
        } else if self.step > 0 && bits(self.step - 1) >= UP_BITS && rested(UP_INTERVAL) {
            self.step -= 1;
            self.changed = Some(now);
        }
        scaled(full, self.step)
    }
}

pub(super) fn scaled((width, height): (u32, u32), step: usize) -> (u32, u32) {
    let part = |side: u32| ((f64::from(side) * STEPS[step]) as u32).max(2);
    (part(width), part(height))
}

fn min_side((width, height): (u32, u32)) -> u32 {
    width.min(height)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests {
    use super::*;

    const HD: (u32, u32) = (1280, 720);

    fn after(ladder: &mut SizeLadder, start: Instant, seconds: std::ops::Range<u64>, kbps: u32) -> (u32, u32) {
        seconds.map(|second| ladder.size(start + Duration::from_secs(second), kbps * 1000, 30, HD)).last().unwrap()
    }

    #[test]
    fn a_picture_gets_smaller_with_the_bitrate_and_larger_again() {
        let (mut ladder, start) = (SizeLadder::default(), Instant::now());
        assert_eq!(after(&mut ladder, start, 0..20, 1500), HD);
        assert_eq!(after(&mut ladder, start, 20..40, 600), (960, 540));
        assert_eq!(after(&mut ladder, start, 40..60, 100), (320, 180));
        assert_eq!(after(&mut ladder, start, 60..120, 1500), HD);
    }

    #[test]
    fn a_bitrate_between_two_steps_does_not_change_the_size_back_and_forth() {
        let (mut ladder, start) = (SizeLadder::default(), Instant::now());
        after(&mut ladder, start, 0..20, 600);
        for second in 20..60 {
            assert_eq!(after(&mut ladder, start, second..second + 1, 700 + 500 * (second as u32 % 2)), (960, 540));
        }
    }

    #[test]
    fn a_call_begins_with_the_full_size_although_its_bitrate_begins_low() {
        let (mut ladder, start) = (SizeLadder::default(), Instant::now());
        assert_eq!(ladder.size(start, 550_000, 30, HD), HD);
        assert_eq!(ladder.size(start + Duration::from_secs(2), 1_500_000, 30, HD), HD);
    }

    #[test]
    fn a_small_picture_stays_what_it_is() {
        let mut ladder = SizeLadder::default();
        assert_eq!(ladder.size(Instant::now(), 1, 30, (96, 96)), (96, 96));
        assert_eq!(ladder.size(Instant::now(), 1, 0, (2, 2)), (2, 2));
    }
}
