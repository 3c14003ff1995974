//! What the speaker plays, brought to where the echo of it is cancelled.

use crate::media::frame::AudioFrame;
use crossbeam_channel::{Receiver, Sender, bounded};

/// Frames on their way: the capturing thread may stand still for some 300 ms before any is lost.
const CAPACITY: usize = 16;

/// The playing thread's end.
#[derive(Debug)]
pub struct PlaybackTap {
    frames: Sender<AudioFrame>,
}

/// The capturing thread's end.
#[derive(Debug)]
pub struct PlaybackReference {
    frames: Receiver<AudioFrame>,
}

/// Two ends of a bounded, lock-free ring of frames.
pub fn playback_reference() -> (PlaybackTap, PlaybackReference) {
    let (sender, receiver) = bounded(CAPACITY);
    (PlaybackTap { frames: sender }, PlaybackReference { frames: receiver })
}

impl PlaybackTap {
    /// Takes the frame that the speaker is given at this moment. Never blocks: nobody captures when the ring is full,
    /// and the frame is left out.
    pub fn play(&self, frame: &AudioFrame) {
        if !self.frames.is_full() {
            let _ = self.frames.try_send(frame.clone());
        }
    }
}

impl PlaybackReference {
    /// The oldest frame that was not taken yet.
    pub(super) fn next(&self) -> Option<AudioFrame> {
        self.frames.try_recv().ok()
    }

    /// Leaves out what waits.
    pub(super) fn clear(&self) {
        while self.next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_that_nobody_reads_does_not_block_and_keeps_the_oldest() {
        let (tap, reference) = playback_reference();
        for n in 0..100 {
            let mut frame = AudioFrame::SILENCE;
            frame.samples[0] = n;
            tap.play(&frame);
        }
        assert_eq!(reference.next().unwrap().samples[0], 0);
        reference.clear();
        assert!(reference.next().is_none());
        tap.play(&AudioFrame::SILENCE);
        assert!(reference.next().is_some());
    }
}
