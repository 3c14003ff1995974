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
    let (tap, reference) = playback_reference();
    let processor = VoiceProcessor::new(control, reference);
    (Box::new(ProcessedSource { source, processor }), Box::new(TappedSink { sink, tap }))
}

struct ProcessedSource {
    source: Box<dyn AudioSource>,
    processor: VoiceProcessor,
}

impl AudioSource for ProcessedSource {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        let next = self.source.next_frame(frame)?;
        if next == Next::Frame {
            self.processor.process(frame, Instant::now());
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

struct TappedSink {
    sink: Box<dyn AudioSink>,
    tap: PlaybackTap,
}

impl AudioSink for TappedSink {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        self.tap.play(frame, Instant::now());
        self.sink.play(frame)
    }

    fn queued(&self) -> Option<Duration> {
        self.sink.queued()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processing::VoiceProcessing;
    use crate::testkit::speech::Speech;

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
    }

    #[test]
    fn what_the_sink_plays_is_taken_out_of_what_the_source_hears() {
        let (air, ear) = crossbeam_channel::unbounded();
        for _ in 0..4 {
            air.send(AudioFrame::SILENCE).unwrap();
        }
        let control = Arc::new(VoiceControl::new(VoiceProcessing::ALL));
        let (mut source, mut sink) = process_voice(Box::new(Echo(ear)), Box::new(Loudspeaker(air)), control);
        assert_eq!(sink.queued(), Some(Duration::from_millis(80)));

        let mut speech = Speech::new(3, 150.0);
        let (mut played, mut heard) = (AudioFrame::SILENCE, AudioFrame::SILENCE);
        let energy = |frame: &AudioFrame| frame.samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let (mut before, mut after) = (0.0, 1.0);
        for n in 0..400 {
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
