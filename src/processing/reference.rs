//! What the speaker plays, brought to where the echo of it is cancelled.

use super::align::Aligner;
use crate::media::frame::AudioFrame;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::time::Instant;

/// Frames on their way: the capturing thread may stand still for some 300 ms before any is lost.
const CAPACITY: usize = 16;

/// The playing thread's end.
#[derive(Debug)]
pub struct PlaybackTap {
    frames: Sender<(AudioFrame, Instant)>,
}

/// The capturing thread's end.
pub struct PlaybackReference {
    frames: Receiver<(AudioFrame, Instant)>,
    aligner: Aligner,
}

/// Two ends of a bounded, lock-free ring of frames.
pub fn playback_reference() -> (PlaybackTap, PlaybackReference) {
    let (sender, receiver) = bounded(CAPACITY);
    (PlaybackTap { frames: sender }, PlaybackReference { frames: receiver, aligner: Aligner::new() })
}

impl PlaybackTap {
    /// Takes the frame that the speaker is given at `now`. Never blocks: nobody captures when the ring is full,
    /// and the frame is left out.
    pub fn play(&self, frame: &AudioFrame, now: Instant) {
        if !self.frames.is_full() {
            let _ = self.frames.try_send((frame.clone(), now));
        }
    }
}

impl PlaybackReference {
    /// What was played, for a frame that was captured at `now`. `None`: nothing, or not for long enough. `cancelled`: its echo is,
    /// by now.
    pub(super) fn take(&mut self, now: Instant, cancelled: bool) -> Option<AudioFrame> {
        while let Ok((played, at)) = self.frames.try_recv() {
            self.aligner.put(&played, at);
        }
        self.aligner.take(now, cancelled)
    }

    /// Leaves out what waits.
    pub(super) fn clear(&mut self) {
        while self.frames.try_recv().is_ok() {}
        self.aligner.clear();
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]
mod tests {
    use super::*;
    use crate::media::frame::FRAME_SAMPLES;
    use std::time::Duration;

    #[test]
    fn a_tap_that_nobody_reads_does_not_block_and_what_is_old_is_left_out() {
        let (tap, mut reference) = playback_reference();
        let now = Instant::now();
        for _ in 0..100 {
            tap.play(&AudioFrame { samples: [1; FRAME_SAMPLES] }, now);
        }
        assert!(reference.take(now + Duration::from_secs(1), true).is_none(), "it was played long before");
        (0..4).for_each(|_| tap.play(&AudioFrame { samples: [1; FRAME_SAMPLES] }, now));
        assert!(reference.take(now, true).is_some());
        reference.clear();
        assert!(reference.take(now, true).is_none());
        for _ in 0..4 {
            tap.play(&AudioFrame { samples: [2; FRAME_SAMPLES] }, now);
        }
        // The first samples are those of the filter that begins.
        assert_eq!(reference.take(now, true).unwrap().samples[100], 2);
    }
}
