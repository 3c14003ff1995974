//! Many talkers into one frame, without clipping.

use super::frame::{AudioFrame, FRAME_SAMPLES};

/// Where limiting starts: 1 dB below overload.
const CEILING: f32 = 29_200.0;
/// An attack is spread over 2.5 ms where there is time, so that it is not heard as a click.
const ATTACK_SAMPLES: usize = 120;
/// How much of the way back to full gain one frame goes.
const RELEASE: f32 = 0.1;

/// Adds frames, and turns the sum down while it is too loud for 16 bits. A single talker passes bit for bit.
#[derive(Clone, Debug)]
pub struct Mixer {
    sum: [i32; FRAME_SAMPLES],
    added: usize,
    gain: f32,
}

impl Default for Mixer {
    fn default() -> Self {
        Self { sum: [0; FRAME_SAMPLES], added: 0, gain: 1.0 }
    }
}

impl Mixer {
    /// Adds one talker's frame to the one in the making.
    pub fn add(&mut self, frame: &AudioFrame) {
        for (sum, &sample) in self.sum.iter_mut().zip(&frame.samples) {
            *sum = sum.saturating_add(i32::from(sample));
        }
        self.added += 1;
    }

    /// Writes the mixed frame, silence when nobody was added, and begins the next.
    pub fn finish(&mut self, out: &mut AudioFrame) {
        let peak = self.sum.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0) as f32;
        let wanted = if self.added > 1 && peak > CEILING { CEILING / peak } else { 1.0 };
        if wanted >= 1.0 && self.gain >= 1.0 {
            for (out, &sum) in out.samples.iter_mut().zip(&self.sum) {
                *out = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            }
        } else {
            self.limit(wanted, out);
        }
        self.sum.fill(0);
        self.added = 0;
    }

    fn limit(&mut self, wanted: f32, out: &mut AudioFrame) {
        let attack = wanted < self.gain;
        let (end, ramp) = if attack {
            // Down before the first sample that would be too loud, and otherwise slowly enough not to click.
            let first = self.sum.iter().position(|s| s.unsigned_abs() as f32 * self.gain > CEILING);
            (wanted, first.unwrap_or(ATTACK_SAMPLES).min(ATTACK_SAMPLES))
        } else {
            (self.gain + (wanted - self.gain) * RELEASE, FRAME_SAMPLES)
        };
        let step = (end - self.gain) / ramp.max(1) as f32;
        for (n, (out, &sum)) in out.samples.iter_mut().zip(&self.sum).enumerate() {
            let gain = if n < ramp { self.gain + step * n as f32 } else { end };
            *out = (sum as f32 * gain) as i16;
        }
        self.gain = if end > 0.999 { 1.0 } else { end };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, amplitude: f32, frame: usize) -> AudioFrame {
        let mut out = AudioFrame::SILENCE;
        for (i, sample) in out.samples.iter_mut().enumerate() {
            let t = (frame * FRAME_SAMPLES + i) as f32 / 48_000.0;
            *sample = (amplitude * (t * hz * std::f32::consts::TAU).sin()) as i16;
        }
        out
    }

    #[test]
    fn one_talker_passes_bit_for_bit_even_when_loud() {
        let mut mixer = Mixer::default();
        let mut out = AudioFrame::SILENCE;
        for n in 0..20 {
            mixer.add(&tone(440.0, 32_700.0, n));
            mixer.finish(&mut out);
            assert_eq!(out, tone(440.0, 32_700.0, n));
        }
    }

    #[test]
    fn nobody_is_silence() {
        let mut out = tone(440.0, 1000.0, 0);
        Mixer::default().finish(&mut out);
        assert_eq!(out, AudioFrame::SILENCE);
    }

    #[test]
    fn four_loud_talkers_do_not_clip_and_keep_their_proportions() {
        let mut mixer = Mixer::default();
        let mut out = AudioFrame::SILENCE;
        let mut peak = 0;
        for n in 0..100 {
            for hz in [300.0, 437.0, 611.0, 823.0] {
                mixer.add(&tone(hz, 25_000.0, n));
            }
            mixer.finish(&mut out);
            peak = out.samples.iter().map(|s| s.unsigned_abs()).max().unwrap().max(peak);
            let flat = out.samples.windows(4).any(|w| w[0].abs() > 28_000 && w.iter().all(|s| *s == w[0]));
            assert!(!flat, "frame {n} has a clipped top");
        }
        assert!((20_000..=29_200).contains(&peak), "{peak}");
    }

    #[test]
    fn full_gain_comes_back_after_a_loud_moment() {
        let mut mixer = Mixer::default();
        let mut out = AudioFrame::SILENCE;
        for _ in 0..3 {
            mixer.add(&tone(300.0, 30_000.0, 0));
        }
        mixer.finish(&mut out);
        for n in 0..100 {
            mixer.add(&tone(300.0, 8000.0, n));
            mixer.finish(&mut out);
        }
        assert_eq!(out, tone(300.0, 8000.0, 99));
    }
}
