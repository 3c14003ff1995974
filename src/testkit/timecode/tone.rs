//! The time-coded tone: a quiet pilot tone all the time, and every half second a louder mark whose pitch says which.
//!
//! A mark is 40 ms long with a soft beginning and end (a Hann window), so that its middle is found to a fraction of a
//! millisecond whatever the codec did to its phase. Sixteen pitches follow each other: after eight seconds they begin
//! anew. The pilot fills the time between, so that holes in the sound are noticed; a frame of 20 ms is 8.2 periods of
//! it, so that a frame which was left out or repeated shows as a jump of its phase.

use crate::media::frame::{AudioFrame, SAMPLE_RATE};
use std::f64::consts::TAU;
use std::time::Duration;

/// From the beginning of one mark to the next, in samples.
pub(super) const MARK_PERIOD: u64 = SAMPLE_RATE as u64 / 2;
/// How long a mark is, in samples.
pub(super) const MARK_SAMPLES: u64 = SAMPLE_RATE as u64 / 25;
/// Pitches of the marks.
pub(super) const PITCHES: usize = 16;
/// The pilot tone, in Hz.
pub(super) const PILOT_HZ: u64 = 410;
const MARK_AMPLITUDE: f64 = 0.3 * 32_768.0;
pub(super) const PILOT_AMPLITUDE: f64 = 0.04 * 32_768.0;

/// In Hz. Far enough apart that none is heard in another's place, and within what every telephone carries.
pub(super) fn pitch(index: usize) -> u64 {
    700 + 150 * index as u64
}

/// The tone of one sender.
#[derive(Clone, Copy, Debug)]
pub struct ToneTrack {
    /// The next sample, counted from the epoch.
    next: u64,
}

impl ToneTrack {
    /// The first sample is captured at `start`.
    pub fn new(start: Duration) -> Self {
        Self { next: samples(start) }
    }

    /// When the first sample of the next frame is captured.
    pub fn position(&self) -> Duration {
        time(self.next)
    }

    /// The next 20 ms.
    pub fn next_frame(&mut self, frame: &mut AudioFrame) {
        for sample in &mut frame.samples {
            *sample = sample_at(self.next) as i16;
            self.next += 1;
        }
    }
}

pub(super) fn samples(time: Duration) -> u64 {
    (time.as_nanos() * u128::from(SAMPLE_RATE) / 1_000_000_000) as u64
}

pub(super) fn time(samples: u64) -> Duration {
    let rate = u64::from(SAMPLE_RATE);
    Duration::new(samples / rate, (samples % rate * 1_000_000_000 / rate) as u32)
}

fn sample_at(n: u64) -> f64 {
    let pilot = PILOT_AMPLITUDE * sine(n, PILOT_HZ);
    let within = n % MARK_PERIOD;
    if within >= MARK_SAMPLES {
        return pilot;
    }
    let window = 0.5 - 0.5 * (TAU * (within as f64 + 0.5) / MARK_SAMPLES as f64).cos();
    pilot + MARK_AMPLITUDE * window * sine(within, pitch((n / MARK_PERIOD) as usize % PITCHES))
}

fn sine(n: u64, hz: u64) -> f64 {
    let rate = u64::from(SAMPLE_RATE);
    (TAU * (n % rate * hz % rate) as f64 / rate as f64).sin()
}
