//! Time-coded media in real time: sources for one side of a call, and a [`Watch`] for the other.
//!
//! The epoch is 1970-01-01 UTC, so that two machines share it. Each clock follows the system's at its start and then runs
//! on its own: a correction of the system's clock in the middle of a call is not taken for delay.

use crate::base::{Error, ErrorCode, Result};
use crate::device::{AudioSink, AudioSource, Next, Pacer, VideoSink, VideoSource};
use crate::media::frame::{AudioFrame, FRAME_DURATION, VideoFrame};
use crate::testkit::timecode::{Analyser, Picture, Report, ToneTrack};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Further from real time than this, the tone begins anew at the right place: what was to be heard meanwhile is late.
const MAX_LATE: Duration = Duration::from_millis(100);

/// A camera that films the clock.
pub struct TimecodedVideo {
    picture: Picture,
    clock: Clock,
    started: Instant,
    pacer: Pacer,
    number: u32,
}

impl TimecodedVideo {
    /// Pictures of `stream`, 0 to 15, with sides of 64 to 4096 pixels, 1 to 120 a second. Fails with
    /// `invalid_argument`.
    pub fn new(width: u32, height: u32, fps: u32, stream: u8) -> Result<Self> {
        if !(1..=120).contains(&fps) {
            return Err(Error::new(ErrorCode::InvalidArgument, format!("{fps} pictures a second: 1 to 120 are made")));
        }
        Ok(Self {
            picture: Picture::new(width, height, stream)?,
            clock: Clock::new(),
            started: Instant::now(),
            pacer: Pacer::new(fps, 1),
            number: 0,
        })
    }
}

impl VideoSource for TimecodedVideo {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        let (captured, timestamp) = (self.clock.now(), self.started.elapsed());
        self.picture.draw(self.number, captured, frame)?;
        frame.timestamp = timestamp;
        self.number = self.number.wrapping_add(1);
        Ok(Next::Frame)
    }

    fn resume(&mut self) {
        self.pacer.restart();
    }
}

/// A microphone that hears the clock. As with a real one, a frame is there when its last sample was captured.
pub struct TimecodedAudio {
    clock: Clock,
    track: Option<ToneTrack>,
    pacer: Pacer,
}

impl Default for TimecodedAudio {
    fn default() -> Self {
        Self { clock: Clock::new(), track: None, pacer: Pacer::new(50, 1) }
    }
}

impl AudioSource for TimecodedAudio {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        let begun = self.clock.now().saturating_sub(FRAME_DURATION);
        let late = |track: &ToneTrack| track.position().abs_diff(begun) > MAX_LATE;
        if self.track.as_ref().is_none_or(late) {
            self.track = Some(ToneTrack::new(begun));
        }
        if let Some(track) = &mut self.track {
            track.next_frame(frame);
        }
        Ok(Next::Frame)
    }

    fn resume(&mut self) {
        self.pacer.restart();
        self.track = None;
    }
}

/// Eyes and ears for the time-coded media of one sender. Clones watch the same.
#[derive(Clone)]
pub struct Watch {
    analyser: Arc<Mutex<Analyser>>,
    clock: Clock,
}

impl Watch {
    /// Watches pictures of `stream`, and the tone.
    pub fn new(stream: u8) -> Self {
        Self { analyser: Arc::new(Mutex::new(Analyser::new(stream))), clock: Clock::new() }
    }

    pub fn video_sink(&self) -> Box<dyn VideoSink> {
        Box::new(self.clone())
    }

    pub fn audio_sink(&self) -> Box<dyn AudioSink> {
        Box::new(self.clone())
    }

    /// What was noticed so far.
    pub fn report(&self) -> Report {
        self.analyser().report(self.clock.now())
    }

    fn analyser(&self) -> MutexGuard<'_, Analyser> {
        self.analyser.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VideoSink for Watch {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        let now = self.clock.now();
        self.analyser().video(frame, now);
        Ok(())
    }
}

impl AudioSink for Watch {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        let now = self.clock.now();
        self.analyser().audio(frame, now);
        Ok(())
    }
}

/// Time since 1970-01-01 UTC, that does not jump.
#[derive(Clone, Copy)]
struct Clock {
    started: Instant,
    unix: Duration,
}

impl Clock {
    fn new() -> Self {
        Self { started: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    fn now(&self) -> Duration {
        self.unix + self.started.elapsed()
    }
}
