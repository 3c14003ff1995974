//! How loud audio is, as RFC 6464 says it: in dB below overload.

use super::rtp::AudioLevel;

/// Quieter than this many dB below overload is no voice, whatever the background.
const QUIETEST_VOICE: u8 = 60;
/// A voice stands out of the background by at least this many dB.
const VOICE_ABOVE_NOISE: f32 = 9.0;
/// Frames for which a voice is held after it was last heard: syllables have gaps. 20 ms each.
const HANGOVER_FRAMES: u8 = 10;

/// The root mean square of `samples` in dB below overload (RFC 6464, section 3): 0 the loudest, 127 silence.
pub fn minus_dbov(samples: &[i16]) -> u8 {
    let energy: f64 = samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
    if energy <= 0.0 {
        return 127;
    }
    let rms = (energy / samples.len() as f64).sqrt();
    (-20.0 * (rms / 32_768.0).log10()).round().clamp(0.0, 127.0) as u8
}

/// Measures frame after frame of one talker, and tells voice from background by how far it stands out of it.
#[derive(Clone, Debug)]
pub struct LevelMeter {
    /// The background, in dB below overload.
    noise: f32,
    hangover: u8,
}

impl Default for LevelMeter {
    fn default() -> Self {
        Self { noise: 70.0, hangover: 0 }
    }
}

impl LevelMeter {
    pub fn measure(&mut self, samples: &[i16]) -> AudioLevel {
        let minus_dbov = minus_dbov(samples);
        let level = f32::from(minus_dbov).min(96.0);
        // The background follows a fall at once, and a rise slowly (1.5 dB a second), so that a voice is not taken
        // for it.
        self.noise = if level > self.noise { level } else { (self.noise - 0.03).max(level) };
        if minus_dbov <= QUIETEST_VOICE && level <= self.noise - VOICE_ABOVE_NOISE {
            self.hangover = HANGOVER_FRAMES;
        } else {
            self.hangover = self.hangover.saturating_sub(1);
        }
        AudioLevel { voice: self.hangover > 0, minus_dbov }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_square_is_0_and_silence_127() {
        assert_eq!(minus_dbov(&[i16::MIN; 960]), 0);
        assert_eq!(minus_dbov(&[0; 960]), 127);
        assert_eq!(minus_dbov(&[]), 127);
        assert_eq!(minus_dbov(&[328; 960]), 40);
    }

    #[test]
    fn a_voice_over_a_hum_is_voice_and_the_hum_alone_is_not() {
        let mut meter = LevelMeter::default();
        assert!((0..50).all(|_| !meter.measure(&[20; 960]).voice), "64 dB below overload");
        assert!(meter.measure(&[2000; 960]).voice);
        assert!(meter.measure(&[20; 960]).voice, "held over the gap of a syllable");
        let voiced = (0..50).filter(|_| meter.measure(&[20; 960]).voice).count();
        assert!(voiced < 10, "but not for a second: {voiced} frames");
    }
}
