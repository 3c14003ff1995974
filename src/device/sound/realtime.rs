//! What runs in the system's real-time callbacks: no lock, no allocation, no log, no waiting (tests/device_allocation.rs).
//!
//! Each end owns its side of a lock-free ring; mixing down, resampling and waiting happen at the other.

use cpal::{FromSample, Sample};
use rtrb::{Consumer, Producer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// In a microphone's callback.
pub struct Capturing {
    out: Producer<f32>,
    channels: usize,
}

impl Capturing {
    pub fn new(out: Producer<f32>, channels: usize) -> Self {
        Self { out, channels }
    }

    /// Takes interleaved samples of all channels, and passes on their mean. Samples that are no numbers are silence.
    pub fn take<T: Copy>(&mut self, data: &[T])
    where
        f32: FromSample<T>,
    {
        for all in data.chunks_exact(self.channels) {
            let sum: f32 = all.iter().map(|sample| f32::from_sample_(*sample)).sum();
            let mean = sum / self.channels as f32;
            // Full: nobody reads, and it does not matter which samples are lost.
            let _ = self.out.push(if mean.is_finite() { mean } else { 0.0 });
        }
    }
}

/// In a speaker's callback.
pub struct Rendering {
    from: Consumer<f32>,
    channels: usize,
    /// There was nothing last time; before the first sound there is nothing to run out of.
    dry: bool,
    underruns: Arc<AtomicU64>,
    period: Arc<AtomicUsize>,
}

impl Rendering {
    /// `underruns` counts how often there was nothing to play, once for each run of silence. `period` is told how many samples of
    /// each channel were asked for last.
    pub fn new(from: Consumer<f32>, channels: usize, underruns: Arc<AtomicU64>, period: Arc<AtomicUsize>) -> Self {
        Self { from, channels, dry: true, underruns, period }
    }

    /// Fills all channels; with silence when there is nothing to play.
    pub fn fill<T: Copy + Sample + FromSample<f32>>(&mut self, data: &mut [T]) {
        self.period.store(data.len() / self.channels, Relaxed);
        for all in data.chunks_exact_mut(self.channels) {
            let sample = self.from.pop();
            if sample.is_err() && !self.dry {
                self.underruns.fetch_add(1, Relaxed);
            }
            self.dry = sample.is_err();
            all.fill(T::from_sample_(sample.unwrap_or(0.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtrb::RingBuffer;

    #[test]
    fn channels_are_mixed_down_and_what_is_no_number_is_silence() {
        let (out, mut from) = RingBuffer::new(8);
        Capturing::new(out, 2).take(&[0.5f32, 0.1, f32::NAN, 0.2, f32::INFINITY, 0.0, 3.0, 3.0]);
        let taken: Vec<f32> = std::iter::from_fn(|| from.pop().ok()).collect();
        assert_eq!(taken, [0.3, 0.0, 0.0, 3.0], "louder than full is clipped when it becomes 16 bits");
    }

    #[test]
    fn running_dry_counts_once_and_not_before_the_first_sound() {
        let (mut out, from) = RingBuffer::new(8);
        let underruns = Arc::new(AtomicU64::new(0));
        let period = Arc::new(AtomicUsize::new(0));
        let mut rendering = Rendering::new(from, 2, underruns.clone(), period.clone());
        let mut data = [7i16; 4];
        rendering.fill(&mut data);
        assert_eq!((data, underruns.load(Relaxed), period.load(Relaxed)), ([0; 4], 0, 2));
        out.push(0.5).unwrap();
        rendering.fill(&mut data);
        rendering.fill(&mut data);
        assert_eq!(underruns.load(Relaxed), 1);
        assert_eq!(data, [0; 4]);
    }
}
