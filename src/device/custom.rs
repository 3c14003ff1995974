//! An app's own media: frames that it pushes, callbacks that it is given them in, and nowhere.

use super::pace::Pacer;
use super::resample::{mix_down, to_i16};
use super::{AudioSink, AudioSource, MAX_WAIT, Next, Resampler, VideoSink, VideoSource};
use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE, VideoFrame};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::time::Duration;

/// Audio that waits to be sent: 200 ms. An app that pushes in bursts may fill it at once.
const AUDIO_QUEUE: usize = 10;
/// Pictures that wait to be sent: more would be late.
const VIDEO_QUEUE: usize = 2;

/// Discards everything.
pub(super) struct Nowhere;

impl AudioSink for Nowhere {
    fn play(&mut self, _: &AudioFrame) -> Result<()> {
        Ok(())
    }
}

impl VideoSink for Nowhere {
    fn show(&mut self, _: &VideoFrame) -> Result<()> {
        Ok(())
    }
}

pub(super) struct AudioCallback(pub(super) Box<dyn FnMut(&AudioFrame) + Send>);

impl AudioSink for AudioCallback {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        (self.0)(frame);
        Ok(())
    }
}

/// Two sinks at once, as long as one of them works.
pub(crate) struct Both<S: ?Sized> {
    first: Option<Box<S>>,
    second: Option<Box<S>>,
}

impl<S: ?Sized> Both<S> {
    pub(crate) fn new(first: Box<S>, second: Box<S>) -> Self {
        Self { first: Some(first), second: Some(second) }
    }

    fn each(&mut self, give: impl Fn(&mut S) -> Result<()>) -> Result<()> {
        let mut failure = Ok(());
        for part in [&mut self.first, &mut self.second] {
            if let Some(sink) = part
                && let Err(error) = give(sink)
            {
                tracing::warn!(%error, "one of two outputs is left out from now on");
                *part = None;
                failure = Err(error);
            }
        }
        if self.first.is_none() && self.second.is_none() { failure } else { Ok(()) }
    }
}

impl AudioSink for Both<dyn AudioSink> {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        self.each(|sink| sink.play(frame))
    }

    fn queued(&self) -> Option<Duration> {
        self.second.as_ref()?.queued()
    }

    fn period(&self) -> Option<Duration> {
        self.second.as_ref()?.period()
    }
}

impl VideoSink for Both<dyn VideoSink> {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        self.each(|sink| sink.show(frame))
    }
}

pub(super) struct VideoCallback(pub(super) Box<dyn FnMut(&VideoFrame) + Send>);

impl VideoSink for VideoCallback {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        (self.0)(frame);
        Ok(())
    }
}

/// An app's end of an audio source: see [`audio_push`].
pub struct AudioPush {
    queue: Sender<AudioFrame>,
    resampler: Resampler,
    channels: usize,
    mono: Vec<f32>,
    ready: Vec<f32>,
}

/// A source that an app pushes samples into, of `rate` Hz (4,000 to 384,000) and `channels` (1 to 32). It is silent
/// while nothing was pushed, and over when the [`AudioPush`] is dropped. Fails with `invalid_argument`.
pub fn audio_push(rate: u32, channels: u16) -> Result<(AudioPush, Box<dyn AudioSource>)> {
    if !(1..=32).contains(&channels) {
        return Err(Error::new(ErrorCode::InvalidArgument, format!("{channels} channels: 1 to 32 are taken")));
    }
    let (queue, frames) = bounded(AUDIO_QUEUE);
    let resampler = Resampler::new(rate, SAMPLE_RATE)?;
    let push = AudioPush { queue, resampler, channels: channels.into(), mono: Vec::new(), ready: Vec::new() };
    Ok((push, Box::new(PushedAudio { frames, pacer: Pacer::new(50, 1), ended: false })))
}

impl AudioPush {
    /// Takes interleaved samples, -1 to 1, as many as there are: of a sample that not all channels have, nothing is taken.
    /// What is louder is clipped, what is no number is silence. Never blocks. Fails with `too_many_requests` when
    /// they come faster than they are sent (what does not fit is dropped), with `shut_down` when nobody sends any more.
    pub fn push(&mut self, interleaved: &[f32]) -> Result<()> {
        self.mono.clear();
        mix_down(interleaved, self.channels, &mut self.mono);
        self.resampler.push(&self.mono, &mut self.ready)?;
        let mut outcome = Ok(());
        let mut used = 0;
        while let Some(samples) = self.ready.get(used..used + FRAME_SAMPLES) {
            let mut frame = AudioFrame::SILENCE;
            frame.samples.iter_mut().zip(samples).for_each(|(to, from)| *to = to_i16(*from));
            used += FRAME_SAMPLES;
            match self.queue.try_send(frame) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => outcome = Err(too_fast()),
                Err(TrySendError::Disconnected(_)) => outcome = Err(ErrorCode::ShutDown.into()),
            }
        }
        self.ready.drain(..used);
        outcome
    }
}

struct PushedAudio {
    frames: Receiver<AudioFrame>,
    pacer: Pacer,
    ended: bool,
}

impl AudioSource for PushedAudio {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        if self.ended {
            return Ok(Next::Ended);
        }
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        match self.frames.try_recv() {
            Ok(pushed) => *frame = pushed,
            Err(crossbeam_channel::TryRecvError::Empty) => *frame = AudioFrame::SILENCE,
            Err(crossbeam_channel::TryRecvError::Disconnected) => {
                self.ended = true;
                return Ok(Next::Ended);
            }
        }
        Ok(Next::Frame)
    }

    fn resume(&mut self) {
        // What was pushed while nothing was wanted is old.
        self.frames.try_iter().for_each(drop);
        self.pacer.restart();
    }
}

/// An app's end of a video source: see [`video_push`].
pub struct VideoPush {
    queue: Sender<VideoFrame>,
}

/// A source that an app pushes pictures into, of any size and at any rate. It is over when the [`VideoPush`] is
/// dropped.
pub fn video_push() -> (VideoPush, Box<dyn VideoSource>) {
    let (queue, frames) = bounded(VIDEO_QUEUE);
    (VideoPush { queue }, Box::new(PushedVideo { frames }))
}

impl VideoPush {
    /// Takes a picture, whose timestamp should grow from one to the next. Never blocks. Fails with
    /// `too_many_requests` when they come faster than they are encoded (it is dropped), with `shut_down` when nobody
    /// sends any more.
    pub fn push(&self, frame: VideoFrame) -> Result<()> {
        self.queue.try_send(frame).map_err(|error| match error {
            TrySendError::Full(_) => too_fast(),
            TrySendError::Disconnected(_) => ErrorCode::ShutDown.into(),
        })
    }
}

struct PushedVideo {
    frames: Receiver<VideoFrame>,
}

impl VideoSource for PushedVideo {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        match self.frames.recv_timeout(MAX_WAIT) {
            Ok(pushed) => {
                *frame = pushed;
                Ok(Next::Frame)
            }
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::Ended),
        }
    }

    fn resume(&mut self) {
        self.frames.try_iter().for_each(drop);
    }
}

fn too_fast() -> Error {
    Error::new(ErrorCode::TooManyRequests, "frames are pushed faster than they are sent; this one was dropped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    /// Counts frames, and fails after so many.
    struct Limited(Arc<AtomicU32>, u32);

    impl AudioSink for Limited {
        fn play(&mut self, _: &AudioFrame) -> Result<()> {
            if self.0.fetch_add(1, Relaxed) == self.1 { Err(ErrorCode::MediaFile.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn of_two_outputs_one_that_fails_is_left_out_and_the_other_goes_on() {
        let counts: [Arc<AtomicU32>; 2] = Default::default();
        let limited = |at: usize, most| Box::new(Limited(counts[at].clone(), most)) as Box<dyn AudioSink>;
        let mut both = Both::<dyn AudioSink>::new(limited(0, 2), limited(1, 5));
        for _ in 0..5 {
            both.play(&AudioFrame::SILENCE).unwrap();
        }
        assert!(both.play(&AudioFrame::SILENCE).is_err(), "none is left");
        assert_eq!(counts.each_ref().map(|count| count.load(Relaxed)), [3, 6]);
    }

    #[test]
    fn pushed_samples_come_out_in_frames_and_then_silence_and_then_the_end() {
        let (mut push, mut source) = audio_push(48_000, 2).unwrap();
        push.push(&[0.5; 2 * 1500]).unwrap();
        let mut frame = AudioFrame::SILENCE;
        let mut next = || {
            while source.next_frame(&mut frame).unwrap() == Next::Nothing {}
            frame.samples[0]
        };
        assert_eq!(next(), 16_384);
        assert_eq!(next(), 0, "half a frame waits for its rest");
        push.push(&[0.5; 2 * 500]).unwrap();
        assert_eq!(next(), 16_384);
        drop(push);
        assert_eq!(source.next_frame(&mut frame).unwrap(), Next::Ended);
    }

    #[test]
    fn pushing_faster_than_real_time_is_told() {
        let (mut push, source) = audio_push(48_000, 1).unwrap();
        assert_eq!(push.push(&[0.0; 48_000]).unwrap_err().code(), ErrorCode::TooManyRequests);
        drop(source);
        assert_eq!(push.push(&[0.0; 48_000]).unwrap_err().code(), ErrorCode::ShutDown);
        assert!(audio_push(48_000, 0).is_err());
    }

    #[test]
    fn samples_that_cannot_be_and_pieces_of_any_length_do_no_harm() {
        let (mut push, mut source) = audio_push(44_100, 2).unwrap();
        // 882 pairs are a frame; none of these pieces is a whole number of anything.
        for piece in [1, 3, 883, 7, 2, 1763] {
            push.push(&vec![f32::NAN; piece]).unwrap();
            push.push(&vec![2.0; piece]).unwrap();
        }
        push.push(&[]).unwrap();
        let mut frame = AudioFrame::SILENCE;
        while source.next_frame(&mut frame).unwrap() == Next::Nothing {}
        assert!(frame.samples.contains(&i16::MAX) && frame.samples.contains(&0), "clipped, and silent");
    }

    #[test]
    fn pushed_pictures_come_out_as_they_are() {
        let (push, mut source) = video_push();
        let mut frame = VideoFrame::black(2, 2).unwrap();
        assert_eq!(source.next_frame(&mut frame).unwrap(), Next::Nothing);
        push.push(VideoFrame::black(6, 4).unwrap()).unwrap();
        assert_eq!(source.next_frame(&mut frame).unwrap(), Next::Frame);
        assert_eq!((frame.width(), frame.height()), (6, 4));
        drop(push);
        assert_eq!(source.next_frame(&mut frame).unwrap(), Next::Ended);
    }
}
