//! The processor: `sonora` fed with the engine's frames.

use super::{PlaybackReference, VoiceControl, VoiceProcessing};
use crate::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE};
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};
use std::sync::Arc;

/// It works on 10 ms at a time.
const PART: usize = FRAME_SAMPLES / 2;

/// Processes one captured voice, frame by frame.
///
/// It is called on the thread that captures. It waits for nothing and takes no lock; memory is allocated when it is
/// made and when what is done changes. With everything off, frames pass bit for bit and without delay.
pub struct VoiceProcessor {
    control: Arc<VoiceControl>,
    reference: PlaybackReference,
    applied: VoiceProcessing,
    audio: Box<AudioProcessing>,
    /// What waits in the reference is from before.
    fresh: bool,
}

impl VoiceProcessor {
    pub fn new(control: Arc<VoiceControl>, reference: PlaybackReference) -> Self {
        let applied = control.processing();
        let stream = StreamConfig::new(SAMPLE_RATE, 1);
        let audio =
            AudioProcessing::builder().config(config(applied)).capture_config(stream).render_config(stream).build();
        Self { control, reference, applied, audio: Box::new(audio), fresh: true }
    }

    /// Processes the next captured frame in place.
    pub fn process(&mut self, frame: &mut AudioFrame) {
        if self.control.take_relearn() {
            self.resume();
        }
        let wanted = self.control.processing();
        if wanted != self.applied {
            self.fresh |= !self.applied.echo_cancellation;
            self.audio.apply_config(config(wanted));
            self.applied = wanted;
        }
        if std::mem::take(&mut self.fresh) || !wanted.echo_cancellation {
            self.reference.clear();
        }
        if wanted == VoiceProcessing::NONE {
            return;
        }
        while let Some(played) = self.reference.next() {
            self.play(&played);
        }
        let mut processed = [0; PART];
        for part in frame.samples.chunks_exact_mut(PART) {
            match self.audio.process_capture_i16(part, &mut processed) {
                Ok(()) => part.copy_from_slice(&processed),
                // It refuses only formats, and ours is one that it takes.
                Err(error) => debug_assert!(false, "{error}"),
            }
        }
    }

    /// Capturing goes on after a pause, or with another device. The echo is learnt anew: it is some milliseconds earlier
    /// or later than it was, and a canceller that is sure of the old delay lets all of it through at first.
    pub fn resume(&mut self) {
        if self.applied.echo_cancellation {
            let without = VoiceProcessing { echo_cancellation: false, ..self.applied };
            self.audio.apply_config(config(without));
            self.audio.apply_config(config(self.applied));
        }
        self.fresh = true;
    }

    fn play(&mut self, played: &AudioFrame) {
        let mut unchanged = [0; PART];
        for part in played.samples.chunks_exact(PART) {
            if let Err(error) = self.audio.process_render_i16(part, &mut unchanged) {
                debug_assert!(false, "{error}");
            }
        }
    }
}

fn config(processing: VoiceProcessing) -> Config {
    Config {
        // Full band: a voice has sound above the 16 kHz that would be left otherwise.
        pipeline: Pipeline { maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz, ..Pipeline::default() },
        high_pass_filter: processing.high_pass.then(HighPassFilter::default),
        echo_canceller: processing.echo_cancellation.then(|| EchoCanceller {
            // Each part is switched alone.
            enforce_high_pass_filtering: false,
            ..EchoCanceller::default()
        }),
        noise_suppression: processing.noise_suppression.then(NoiseSuppression::default),
        gain_controller2: processing.gain_control.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}
