//! Audio of any rate and channels into the engine's 48 kHz mono, and back.

use crate::base::{Error, ErrorCode, Result};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction};

/// Rates that anything is expected to have, in Hz.
pub(super) const RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;

/// Floats may be over 1 in between; 24 dB over it they are a mistake.
const LOUDEST: f32 = 16.0;

/// Changes the rate of a mono stream.
///
/// Any ratio goes, at the cost of some 128 multiplications a sample; nothing is done when the rates are the same.
pub struct Resampler {
    /// `None`: the rates are the same.
    inner: Option<Async<f32>>,
    waiting: Vec<f32>,
    made: Vec<f32>,
    /// Samples of the filter's delay still to be left out, so that a file begins when it begins.
    skip: usize,
}

impl Resampler {
    /// Rates in Hz, 4,000 to 384,000. Fails with `invalid_argument`.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("audio at {from} Hz cannot be brought to {to} Hz: rates go from 4000 to 384000"),
            ));
        }
        let mut this = Self { inner: None, waiting: Vec::new(), made: Vec::new(), skip: 0 };
        if from != to {
            let sinc = SincInterpolationParameters::new(128, WindowFunction::BlackmanHarris2)
                .oversampling_factor(256)
                .interpolation(SincInterpolationType::Linear);
            let ratio = f64::from(to) / f64::from(from);
            // Chunks of 5 ms: small beside a frame.
            let chunk = (from / 200) as usize;
            let inner = Async::new_sinc(ratio, 1.0, &sinc, chunk, 1, FixedAsync::Input)
                .map_err(|error| Error::new(ErrorCode::InvalidArgument, format!("resampling: {error}")))?;
            this.skip = inner.output_delay();
            this.made.resize(inner.output_frames_max(), 0.0);
            this.inner = Some(inner);
        }
        Ok(this)
    }

    /// Takes samples, -1 to 1, and appends to `out` what comes of them.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let Some(inner) = &mut self.inner else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        self.waiting.extend_from_slice(samples);
        let mut used = 0;
        while let Some(chunk) = self.waiting.get(used..used + inner.input_frames_next()) {
            let frames = self.made.len();
            let input = InterleavedSlice::new(chunk, 1, chunk.len()).map_err(fault)?;
            let mut output = InterleavedSlice::new_mut(&mut self.made, 1, frames).map_err(fault)?;
            let (read, written) = inner.process_into_buffer(&input, &mut output, None).map_err(fault)?;
            let skipped = self.skip.min(written);
            self.skip -= skipped;
            out.extend_from_slice(&self.made[skipped..written]);
            used += read;
        }
        self.waiting.drain(..used);
        Ok(())
    }

    /// Brings out what the filter still holds, at the end of a file.
    pub(super) fn flush(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let Some(inner) = &self.inner else { return Ok(()) };
        let silence = vec![0.0; inner.input_frames_next() * 2];
        self.push(&silence, out)
    }
}

fn fault(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Internal, format!("resampling: {error}"))
}

/// Interleaved samples of `channels` into mono: their mean. What is no number is silence, and nothing is louder than
/// [`LOUDEST`]: a filter would smear it over its neighbours.
pub(super) fn mix_down(interleaved: &[f32], channels: usize, out: &mut Vec<f32>) {
    let channels = channels.max(1);
    out.extend(
        interleaved.chunks_exact(channels).map(|all| all.iter().copied().map(sane).sum::<f32>() / channels as f32),
    );
}

fn sane(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-LOUDEST, LOUDEST) } else { 0.0 }
}

/// -1 to 1 as 16 bits; louder is clipped.
pub(super) fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of what comes out is the tone that went in, and how loud it is.
    fn tone_through(from: u32, to: u32, hz: f64) -> (f64, f64) {
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut out = Vec::new();
        let input: Vec<f32> = (0..from)
            .map(|i| (f64::from(i) * hz * std::f64::consts::TAU / f64::from(from)).sin() as f32 * 0.5)
            .collect();
        for chunk in input.chunks(441) {
            resampler.push(chunk, &mut out).unwrap();
        }
        let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 0.0);
        for (i, sample) in out.iter().enumerate().skip(out.len() / 10) {
            let phase = i as f64 * hz * std::f64::consts::TAU / f64::from(to);
            sine += f64::from(*sample) * phase.sin();
            cosine += f64::from(*sample) * phase.cos();
            energy += f64::from(*sample).powi(2);
        }
        let samples = (out.len() - out.len() / 10) as f64;
        (2.0 * (sine.powi(2) + cosine.powi(2)) / samples / energy, (2.0 * energy / samples).sqrt())
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_level_at_every_common_rate() {
        for from in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            let (share, level) = tone_through(from, 48_000, 997.0);
            assert!(share > 0.999 && (0.49..0.51).contains(&level), "{from}: {share} at {level}");
        }
        let (share, level) = tone_through(48_000, 44_100, 997.0);
        assert!(share > 0.999 && (0.49..0.51).contains(&level), "{share} at {level}");
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_filtered_out() {
        let (_, level) = tone_through(48_000, 16_000, 11_000.0);
        assert!(level < 0.005, "{level}");
    }

    #[test]
    fn an_unlikely_rate_is_refused() {
        assert_eq!(Resampler::new(0, 48_000).err().unwrap().code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn stereo_is_mixed_down_to_the_mean() {
        let mut out = Vec::new();
        mix_down(&[0.5, 0.1, -0.5, 0.5], 2, &mut out);
        assert_eq!(out, [0.3, 0.0]);
    }

    #[test]
    fn samples_that_are_no_numbers_are_silence_and_spoil_nothing_around_them() {
        let mut out = Vec::new();
        mix_down(&[f32::NAN, 0.5, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MAX], 2, &mut out);
        assert_eq!(out, [0.25, 0.0, LOUDEST]);

        let tone = |n: usize| (n as f32 * 997.0 * std::f32::consts::TAU / 44_100.0).sin() * 0.5;
        let through = |bad: Option<f32>| {
            let mut samples: Vec<f32> = (0..44_100).map(tone).collect();
            if let Some(bad) = bad {
                samples[20_000] = bad;
            }
            let (mut resampler, mut mono, mut out) = (Resampler::new(44_100, 48_000).unwrap(), Vec::new(), Vec::new());
            mix_down(&samples, 1, &mut mono);
            resampler.push(&mono, &mut out).unwrap();
            out
        };
        let whole = through(None);
        for bad in [f32::NAN, f32::INFINITY, f32::MIN] {
            let spoilt = through(Some(bad));
            assert!(spoilt.iter().all(|sample| sample.is_finite()), "{bad}");
            let changed: Vec<usize> = (0..whole.len()).filter(|n| (whole[*n] - spoilt[*n]).abs() > 1e-4).collect();
            let (first, last) = (changed[0], changed[changed.len() - 1]);
            assert!(last - first < 200, "{bad}: {} samples", last - first);
        }
    }

    #[test]
    fn what_is_too_loud_is_clipped_and_what_is_no_number_is_silent() {
        let loud = [1.5, -1.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN].map(to_i16);
        assert_eq!(loud, [i16::MAX, i16::MIN, i16::MAX, i16::MIN, 0]);
    }
}
