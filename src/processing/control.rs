//! What is done to a voice, and how that is changed while it speaks.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

const ECHO_CANCELLATION: u8 = 1;
const NOISE_SUPPRESSION: u8 = 2;
const GAIN_CONTROL: u8 = 4;
const HIGH_PASS: u8 = 8;

/// What is done to a captured voice. The default is everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VoiceProcessing {
    /// Takes what the speaker plays out of what the microphone hears.
    pub echo_cancellation: bool,
    /// Takes steady noise down by some 12 dB: fans, hiss, traffic.
    pub noise_suppression: bool,
    /// Brings a soft or distant voice to a level that is easy to hear, by 50 dB and 6 dB a second at most, and never
    /// lets it clip.
    pub gain_control: bool,
    /// Takes out what lies below the voice: rumble, wind and hum, and a constant offset.
    pub high_pass: bool,
}

impl VoiceProcessing {
    pub const ALL: Self =
        Self { echo_cancellation: true, noise_suppression: true, gain_control: true, high_pass: true };

    /// The sound passes bit for bit.
    pub const NONE: Self =
        Self { echo_cancellation: false, noise_suppression: false, gain_control: false, high_pass: false };
}

impl Default for VoiceProcessing {
    fn default() -> Self {
        Self::ALL
    }
}

/// [`VoiceProcessing`] that can be changed from any thread at any time; the next frame is processed so.
#[derive(Debug)]
pub struct VoiceControl {
    parts: AtomicU8,
    relearn: AtomicBool,
}

impl VoiceControl {
    pub fn new(processing: VoiceProcessing) -> Self {
        Self { parts: AtomicU8::new(bits(processing)), relearn: AtomicBool::new(false) }
    }

    pub fn set(&self, processing: VoiceProcessing) {
        self.parts.store(bits(processing), Relaxed);
    }

    /// Another microphone or speaker is used: the echo is learnt anew, from the next frame on.
    pub fn relearn_echo(&self) {
        self.relearn.store(true, Relaxed);
    }

    pub(super) fn take_relearn(&self) -> bool {
        self.relearn.swap(false, Relaxed)
    }

    pub fn processing(&self) -> VoiceProcessing {
        let bits = self.parts.load(Relaxed);
        VoiceProcessing {
            echo_cancellation: bits & ECHO_CANCELLATION != 0,
            noise_suppression: bits & NOISE_SUPPRESSION != 0,
            gain_control: bits & GAIN_CONTROL != 0,
            high_pass: bits & HIGH_PASS != 0,
        }
    }
}

fn bits(processing: VoiceProcessing) -> u8 {
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    bit(processing.echo_cancellation, ECHO_CANCELLATION)
        | bit(processing.noise_suppression, NOISE_SUPPRESSION)
        | bit(processing.gain_control, GAIN_CONTROL)
        | bit(processing.high_pass, HIGH_PASS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_switched_alone() {
        let control = VoiceControl::new(VoiceProcessing::NONE);
        for processing in [
            VoiceProcessing { echo_cancellation: true, ..VoiceProcessing::NONE },
            VoiceProcessing { noise_suppression: true, ..VoiceProcessing::NONE },
            VoiceProcessing { gain_control: true, ..VoiceProcessing::NONE },
            VoiceProcessing { high_pass: true, ..VoiceProcessing::NONE },
            VoiceProcessing::ALL,
            VoiceProcessing::NONE,
        ] {
            control.set(processing);
            assert_eq!(control.processing(), processing);
        }
    }
}
