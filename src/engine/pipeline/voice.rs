//! Voice processing between a source and its pipeline, and between a pipeline and its sink.

use crate::base::Result;
use crate::device::{AudioSink, AudioSource, Next};
use crate::media::frame::AudioFrame;
use crate::processing::{PlaybackTap, VoiceControl, VoiceProcessor, playback_reference};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Has what `source` captures processed as `control` says, with what `sink` plays as the reference for its echo. The
/// two that are returned take their places.
pub fn process_voice(
    source: Box<dyn AudioSource>,
    sink: Box<dyn AudioSink>,
    control: Arc<VoiceControl>,
) -> (Box<dyn AudioSource>, Box<dyn AudioSink>) {
    process_voice_by(Instant::now, source, sink, control)
}

/// `clock` tells when a frame was captured or given to be played: the reference follows the two devices' clocks by that.
fn process_voice_by(
    clock: impl Fn() -> Instant + Clone + Send + 'static,
    source: Box<dyn AudioSource>,
    sink: Box<dyn AudioSink>,
    control: Arc<VoiceControl>,
) -> (Box<dyn AudioSource>, Box<dyn AudioSink>) {
    let (tap, reference) = playback_reference();
    let processor = VoiceProcessor::new(control, reference);
    (Box::new(ProcessedSource { source, processor, clock: clock.clone() }), Box::new(TappedSink { sink, tap, clock }))
}

struct ProcessedSource<C> {
    source: Box<dyn AudioSource>,
    processor: VoiceProcessor,
    clock: C,
}

impl<C: Fn() -> Instant + Send> AudioSource for ProcessedSource<C> {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        let next = self.source.next_frame(frame)?;
        if next == Next::Frame {
            self.processor.process(frame, (self.clock)());
        }
        Ok(next)
    }

    fn pause(&mut self) {
        self.source.pause();
    }

    fn resume(&mut self) {
        self.source.resume();
        self.processor.resume();
    }
}

struct TappedSink<C> {
    sink: Box<dyn AudioSink>,
    tap: PlaybackTap,
    clock: C,
}

impl<C: Fn() -> Instant + Send> AudioSink for TappedSink<C> {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        self.tap.play(frame, (self.clock)());
        self.sink.play(frame)
    }

    fn queued(&self) -> Option<Duration> {
        self.sink.queued()
    }

    fn period(&self) -> Option<Duration> {
        self.sink.period()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]
mod tests {
    use super::*;
    use crate::media::frame::FRAME_DURATION;
    use crate::processing::VoiceProcessing;
    use crate::testkit::speech::Speech;
    use std::sync::Mutex;

    /// What the sink played last, after 80 ms.
    struct Echo(crossbeam_channel::Receiver<AudioFrame>);

    impl AudioSource for Echo {
        fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
            *frame = self.0.try_recv().unwrap_or_default();
            Ok(Next::Frame)
        }
    }

    struct Loudspeaker(crossbeam_channel::Sender<AudioFrame>);

    impl AudioSink for Loudspeaker {
        fn play(&mut self, frame: &AudioFrame) -> Result<()> {
            self.0.send(frame.clone()).unwrap();
            Ok(())
        }

        fn queued(&self) -> Option<Duration> {
            Some(Duration::from_millis(80))
        }

        fn period(&self) -> Option<Duration> {
            Some(Duration::from_millis(7))
        }
    }

    #[test]
    fn what_the_sink_plays_is_taken_out_of_what_the_source_hears() {
        let (air, ear) = crossbeam_channel::unbounded();
        for _ in 0..4 {
            air.send(AudioFrame::SILENCE).unwrap();
        }
        let control = Arc::new(VoiceControl::new(VoiceProcessing::ALL));
        let now = Arc::new(Mutex::new(Instant::now()));
        let clock = {
            let now = now.clone();
            move || *now.lock().unwrap()
        };
        let (mut source, mut sink) = process_voice_by(clock, Box::new(Echo(ear)), Box::new(Loudspeaker(air)), control);
        assert_eq!((sink.queued(), sink.period()), (Some(Duration::from_millis(80)), Some(Duration::from_millis(7))));

        let mut speech = Speech::new(3, 150.0);
        let (mut played, mut heard) = (AudioFrame::SILENCE, AudioFrame::SILENCE);
        let energy = |frame: &AudioFrame| frame.samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let (mut before, mut after) = (0.0, 1.0);
        for n in 0..400 {
            *now.lock().unwrap() += FRAME_DURATION;
            speech.next_frame(&mut played);
            sink.play(&played).unwrap();
            assert_eq!(source.next_frame(&mut heard).unwrap(), Next::Frame);
            if n >= 250 {
                before += energy(&played);
                after += energy(&heard);
            }
        }
        assert!(before / after > 3000.0, "only {} dB", 10.0 * (before / after).log10());
    }
}
