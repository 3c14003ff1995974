//! Echo cancellation: WebRTC's AEC3 in its Rust port, with settings of our own.
//!
//! The crate `sonora` has no way to change the canceller's settings, and its usual ones take most of a voice away while both
//! sides talk. So its parts are put together here: the three bands of 48 kHz, and blocks of 4 ms.

use crate::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE};
use sonora::three_band_filter_bank::ThreeBandFilterBank;
use sonora_aec3::block::Block;
use sonora_aec3::block_processor::BlockProcessor;
use sonora_aec3::common::BLOCK_SIZE;
use sonora_aec3::config::{EchoCanceller3Config, MaskingThresholds};

const BANDS: usize = 3;
/// What the filter bank takes at a time: 10 ms, and a band's share of it.
const PART: usize = 480;
const BAND_PART: usize = PART / BANDS;
/// Blocks of a frame: it is a whole number of them, so that nothing waits.
const BLOCKS: usize = FRAME_SAMPLES / BANDS / BLOCK_SIZE;
/// The microphone is overloaded: what it hears is no linear image of what is played.
const SATURATED: u16 = 32_700;
/// So much of an echo the linear filter takes out, measured over a second or two, when it has found it: 10 dB and more.
const CANCELS_DB: f64 = 6.0;

/// Takes what is played out of what is heard.
pub(super) struct EchoCanceller {
    processor: BlockProcessor,
    played: Split,
    heard: Split,
    block: Block,
}

impl EchoCanceller {
    pub(super) fn new() -> Self {
        let mut config = settings();
        let valid = config.validate();
        debug_assert!(valid, "the settings are within the library's ranges");
        Self {
            processor: BlockProcessor::new(&config, SAMPLE_RATE as usize, 1, 1),
            played: Split::default(),
            heard: Split::default(),
            block: Block::new(BANDS, 1),
        }
    }

    /// What the speaker was given.
    pub(super) fn play(&mut self, frame: &AudioFrame) {
        self.played.split(frame);
        for n in 0..BLOCKS {
            self.played.get(n, &mut self.block);
            self.processor.buffer_render(&self.block);
        }
    }

    /// An echo is found and taken out; not where there is none.
    pub(super) fn cancels(&self) -> bool {
        self.processor.get_metrics().echo_return_loss_enhancement > CANCELS_DB
    }

    /// What the microphone heard, in place.
    pub(super) fn cancel(&mut self, frame: &mut AudioFrame) {
        let saturated = frame.samples.iter().any(|sample| sample.unsigned_abs() >= SATURATED);
        self.heard.split(frame);
        for n in 0..BLOCKS {
            self.heard.get(n, &mut self.block);
            self.processor.process_capture(false, saturated, None, &mut self.block);
            self.heard.set(n, &self.block);
        }
        self.heard.merge(frame);
    }
}

fn settings() -> EchoCanceller3Config {
    let mut config = EchoCanceller3Config::default();
    // What the linear filter leaves of an echo is measured, and the suppressor takes the rest. The library trusts the measure up
    // to 6 dB only (2 dB for high tones), though it reaches 25: a voice at the level of the echo that is *thought* to be left is
    // taken away as well.
    config.erle.max_l = 300.0;
    config.erle.max_h = 300.0;
    config.erle.onset_detection = false;
    // While the near voice is the louder one it hides what is left: less is taken for reverberation, as much of high tones
    // is let through as of low ones, and a band opens within a block or two and not within ten.
    config.ep_strength.nearend_len = 0.5;
    config.suppressor.nearend_tuning.mask_hf =
        MaskingThresholds { enr_transparent: 1.09, enr_suppress: 1.1, emr_transparent: 0.3 };
    config.suppressor.nearend_tuning.max_inc_factor = 10.0;
    // And that is believed for 400 ms, so that a voice is not chopped between its syllables.
    config.suppressor.dominant_nearend_detection.hold_duration = 100;
    config.suppressor.dominant_nearend_detection.enr_exit_threshold = 100.0;
    config
}

/// A frame's three bands.
struct Split {
    bank: ThreeBandFilterBank,
    /// First those of its first 10 ms.
    parts: [[[f32; BAND_PART]; BANDS]; FRAME_SAMPLES / PART],
}

impl Default for Split {
    fn default() -> Self {
        Self { bank: ThreeBandFilterBank::new(), parts: [[[0.0; BAND_PART]; BANDS]; FRAME_SAMPLES / PART] }
    }
}

impl Split {
    fn split(&mut self, frame: &AudioFrame) {
        let (parts, _) = frame.samples.as_chunks::<PART>();
        for (part, bands) in parts.iter().zip(&mut self.parts) {
            self.bank.analysis(&part.map(f32::from), bands);
        }
    }

    fn merge(&mut self, frame: &mut AudioFrame) {
        let mut whole = [0.0; PART];
        for (bands, part) in self.parts.iter().zip(frame.samples.chunks_exact_mut(PART)) {
            self.bank.synthesis(bands, &mut whole);
            // A cast of a float clips.
            part.iter_mut().zip(whole).for_each(|(to, from)| *to = from.round() as i16);
        }
    }

    fn get(&self, n: usize, block: &mut Block) {
        for band in 0..BANDS {
            for (at, sample) in block.view_mut(band, 0).iter_mut().enumerate() {
                let at = n * BLOCK_SIZE + at;
                *sample = self.parts[at / BAND_PART][band][at % BAND_PART];
            }
        }
    }

    fn set(&mut self, n: usize, block: &Block) {
        for band in 0..BANDS {
            for (at, sample) in block.view(band, 0).iter().enumerate() {
                let at = n * BLOCK_SIZE + at;
                self.parts[at / BAND_PART][band][at % BAND_PART] = *sample;
            }
        }
    }
}
