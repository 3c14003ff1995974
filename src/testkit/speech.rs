//! Something like speech, from a seed: for tests that need a voice and must not depend on a recording.
//!
//! Words of a few syllables with pauses between them; a syllable is a glottal pulse train of gliding pitch through three
//! formants, often led by a hiss. It has what voice processing lives on: harmonics, gaps, consonants, and a level that
//! changes all the time.

use crate::media::frame::{AudioFrame, SAMPLE_RATE};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::f32::consts::TAU;

/// First, second and third formant of some vowels, in Hz.
const VOWELS: [[f32; 3]; 6] = [
    [730.0, 1090.0, 2440.0],
    [270.0, 2290.0, 3010.0],
    [300.0, 870.0, 2240.0],
    [530.0, 1840.0, 2480.0],
    [570.0, 840.0, 2410.0],
    [660.0, 1720.0, 2410.0],
];
const BANDWIDTHS: [f32; 3] = [80.0, 100.0, 140.0];
const GAINS: [f32; 3] = [1.0, 0.6, 0.3];
/// Makes a voice whose vowels are some 20 dB below overload.
const LEVEL: f32 = 0.06;

/// An endless voice. The same seed and pitch say the same.
pub struct Speech {
    random: StdRng,
    pitch_hz: f32,
    sound: Sound,
    /// Samples of the sound made and to be made.
    at: u32,
    length: u32,
    syllables_left: u32,
    phase: f32,
    formants: [Resonator; 3],
    last_noise: f32,
}

#[derive(Clone, Copy)]
enum Sound {
    Pause,
    Hiss,
    Vowel { from_hz: f32, to_hz: f32, stress: f32 },
}

impl Speech {
    /// A man's `pitch_hz` is some 110, a woman's 210.
    pub fn new(seed: u64, pitch_hz: f32) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            pitch_hz,
            sound: Sound::Pause,
            at: 0,
            length: 0,
            syllables_left: 0,
            phase: 0.0,
            formants: Default::default(),
            last_noise: 0.0,
        }
    }

    /// The next 20 ms.
    pub fn next_frame(&mut self, frame: &mut AudioFrame) {
        for sample in &mut frame.samples {
            *sample = (self.next_sample() * 32_767.0).clamp(-32_768.0, 32_767.0) as i16;
        }
    }

    fn next_sample(&mut self) -> f32 {
        if self.at == self.length {
            self.next_sound();
        }
        let progress = self.at as f32 / self.length as f32;
        // Rises within a tenth, falls within a third.
        let envelope = (progress * 10.0).min((1.0 - progress) * 3.0).min(1.0);
        self.at += 1;
        let noise: f32 = self.random.random_range(-1.0..1.0);
        match self.sound {
            Sound::Pause => 0.0,
            Sound::Hiss => {
                let bright = noise - self.last_noise;
                self.last_noise = noise;
                bright * envelope * LEVEL * 0.35
            }
            Sound::Vowel { from_hz, to_hz, stress } => {
                self.phase += (from_hz + (to_hz - from_hz) * progress) / SAMPLE_RATE as f32;
                let pulse = if self.phase >= 1.0 { 12.0 } else { 0.0 };
                self.phase = self.phase.fract();
                let excitation = (pulse + noise * 0.05) * envelope * stress;
                let voice: f32 = self.formants.iter_mut().zip(GAINS).map(|(f, gain)| f.filter(excitation) * gain).sum();
                voice * LEVEL
            }
        }
    }

    fn next_sound(&mut self) {
        self.at = 0;
        let milliseconds = match self.sound {
            Sound::Hiss => self.vowel(),
            _ if self.syllables_left == 0 => {
                self.syllables_left = self.random.random_range(2..=5);
                self.sound = Sound::Pause;
                self.random.random_range(60..350)
            }
            _ if self.random.random_bool(0.5) => {
                self.sound = Sound::Hiss;
                self.random.random_range(40..110)
            }
            _ => self.vowel(),
        };
        self.length = milliseconds * SAMPLE_RATE / 1000;
    }

    /// Begins a vowel; how many milliseconds it lasts.
    fn vowel(&mut self) -> u32 {
        self.syllables_left = self.syllables_left.saturating_sub(1);
        let vowel = VOWELS[self.random.random_range(0..VOWELS.len())];
        for ((formant, hz), width) in self.formants.iter_mut().zip(vowel).zip(BANDWIDTHS) {
            formant.tune(hz, width);
        }
        self.sound = Sound::Vowel {
            from_hz: self.pitch_hz * self.random.random_range(0.9..1.3),
            to_hz: self.pitch_hz * self.random.random_range(0.75..1.1),
            stress: self.random.random_range(0.5..1.2),
        };
        self.random.random_range(80..240)
    }
}

/// Two poles: rings at one frequency.
#[derive(Default)]
struct Resonator {
    gain: f32,
    feedback: [f32; 2],
    past: [f32; 2],
}

impl Resonator {
    fn tune(&mut self, hz: f32, bandwidth_hz: f32) {
        let radius = (-std::f32::consts::PI * bandwidth_hz / SAMPLE_RATE as f32).exp();
        let angle = TAU * hz / SAMPLE_RATE as f32;
        self.feedback = [2.0 * radius * angle.cos(), -radius * radius];
        self.gain = angle.sin();
    }

    fn filter(&mut self, input: f32) -> f32 {
        let out = input * self.gain + self.feedback[0] * self.past[0] + self.feedback[1] * self.past[1];
        self.past = [out, self.past[0]];
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::level::minus_dbov;

    #[test]
    fn it_says_the_same_from_the_same_seed_at_the_level_of_a_voice_with_pauses() {
        let (mut one, mut other) = (Speech::new(1, 110.0), Speech::new(1, 110.0));
        let (mut a, mut b) = (AudioFrame::SILENCE, AudioFrame::SILENCE);
        let levels: Vec<u8> = (0..500)
            .map(|_| {
                one.next_frame(&mut a);
                other.next_frame(&mut b);
                assert_eq!(a, b);
                minus_dbov(&a.samples)
            })
            .collect();
        let pauses = levels.iter().filter(|level| **level > 60).count();
        let loud = levels.iter().filter(|level| (8..34).contains(*level)).count();
        assert!((25..200).contains(&pauses) && loud > 200, "{pauses} pauses, {loud} loud: {levels:?}");
        assert!(levels.iter().all(|level| *level > 6));
    }
}
