//! The processor: the parts of `sonora`, one after the other, fed with the engine's frames.

use super::echo::EchoCanceller;
use super::{PlaybackReference, VoiceControl, VoiceProcessing};
use crate::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE};
use sonora::config::{AdaptiveDigital, GainController2, MaxProcessingRate, NoiseSuppression, Pipeline};
use sonora::high_pass_filter::HighPassFilter;
use sonora::{AudioProcessing, Config, StreamConfig};
use std::sync::Arc;
use std::time::Instant;

/// Noise suppression and gain control work on 10 ms at a time.
const PART: usize = FRAME_SAMPLES / 2;

/// Processes one captured voice, frame by frame.
///
/// It is called on the thread that captures. It waits for nothing and takes no lock. With everything off, frames pass bit for
/// bit and without delay.
pub struct VoiceProcessor {
    control: Arc<VoiceControl>,
    reference: PlaybackReference,
    applied: VoiceProcessing,
    high_pass: HighPass,
    echo: Option<Box<EchoCanceller>>,
    /// Noise suppression and gain control.
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
        Self {
            control,
            reference,
            applied,
            high_pass: HighPass::default(),
            echo: canceller(applied),
            audio: Box::new(audio),
            fresh: true,
        }
    }

    /// Processes the next captured frame, which the microphone brought at `now`, in place.
    pub fn process(&mut self, frame: &mut AudioFrame, now: Instant) {
        if self.control.take_relearn() {
            self.resume();
        }
        self.apply(self.control.processing());
        if std::mem::take(&mut self.fresh) || self.echo.is_none() {
            self.reference.clear();
        }
        if self.applied.high_pass {
            self.high_pass.process(frame);
        }
        if let Some(echo) = &mut self.echo {
            if let Some(played) = self.reference.take(now, echo.cancels()) {
                echo.play(&played);
            }
            echo.cancel(frame);
        }
        if self.applied.noise_suppression || self.applied.gain_control {
            let mut processed = [0; PART];
            for part in frame.samples.chunks_exact_mut(PART) {
                match self.audio.process_capture_i16(part, &mut processed) {
                    Ok(()) => part.copy_from_slice(&processed),
                    // It refuses only formats, and ours is one that it takes.
                    Err(error) => debug_assert!(false, "{error}"),
                }
            }
        }
    }

    /// Capturing goes on after a pause, or with another device. The echo is learnt anew: it is some milliseconds earlier
    /// or later than it was, and a canceller that is sure of the old delay lets all of it through at first.
    pub fn resume(&mut self) {
        self.echo = canceller(self.applied);
        self.fresh = true;
    }

    fn apply(&mut self, wanted: VoiceProcessing) {
        let applied = std::mem::replace(&mut self.applied, wanted);
        if wanted.echo_cancellation != applied.echo_cancellation {
            self.resume();
        }
        if wanted.high_pass && !applied.high_pass {
            self.high_pass = HighPass::default();
        }
        let rest = |of: VoiceProcessing| (of.noise_suppression, of.gain_control);
        if rest(wanted) != rest(applied) {
            self.audio.apply_config(config(wanted));
        }
    }
}

fn canceller(processing: VoiceProcessing) -> Option<Box<EchoCanceller>> {
    processing.echo_cancellation.then(|| Box::new(EchoCanceller::new()))
}

/// First of all: what lies below a voice would only mislead the others.
struct HighPass {
    filter: HighPassFilter,
    samples: [Vec<f32>; 1],
}

impl Default for HighPass {
    fn default() -> Self {
        Self { filter: HighPassFilter::new(SAMPLE_RATE as i32, 1), samples: [vec![0.0; FRAME_SAMPLES]] }
    }
}

impl HighPass {
    fn process(&mut self, frame: &mut AudioFrame) {
        self.samples[0].iter_mut().zip(&frame.samples).for_each(|(to, from)| *to = f32::from(*from));
        self.filter.process_channels(&mut self.samples);
        // A cast of a float clips.
        frame.samples.iter_mut().zip(&self.samples[0]).for_each(|(to, from)| *to = from.round() as i16);
    }
}

fn config(processing: VoiceProcessing) -> Config {
    Config {
        // Full band: a voice has sound above the 16 kHz that would be left otherwise.
        pipeline: Pipeline { maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz, ..Pipeline::default() },
        noise_suppression: processing.noise_suppression.then(NoiseSuppression::default),
        gain_controller2: processing.gain_control.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}
