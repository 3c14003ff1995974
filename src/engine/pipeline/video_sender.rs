//! Source, scaling, VP8, RTP.

use super::PacketSender;
use super::stats::{VideoSenderStats, add, set, smooth};
use super::worker::{Stop, Worker};
use crate::base::{Error, ErrorCode, Result};
use crate::codec::VideoEncoder;
use crate::codec::vp8::Vp8Encoder;
use crate::device::{Next, VideoSource};
use crate::media::clock::RtpClock;
use crate::media::control::SendControl;
use crate::media::frame::{MAX_VIDEO_SIDE, Rotation, VideoFrame};
use crate::media::ladder::SizeLadder;
use crate::media::rtp::RtpPacket;
use crate::media::scale::{Scaler, fit_within};
use crate::media::turn::turn;
use crate::media::vp8::Packetizer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// How often a muted pipeline looks whether it still is.
const MUTED_POLL: Duration = Duration::from_millis(10);
/// Key frames on request are at least so far apart: many receivers ask at once, and each costs several frames' bits. And so many
/// times as far as the last one took of the bitrate, up to a bound: on a narrow link they would be all that is sent, and
/// what they displace would be asked for as the next one.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(300);
const KEY_FRAME_SHARE: u32 = 4;
const MAX_KEY_FRAME_INTERVAL: Duration = Duration::from_secs(3);
/// A frame of more than so many times the mean is sent at so many times the bitrate, within this time.
const LARGE_FRAME: u64 = 3;
const PACE: f64 = 2.5;
const MAX_PACING: Duration = Duration::from_millis(100);
/// A source whose timestamps run so far from real time is taken to have begun anew.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(200);

/// What is sent at most; the source's pictures are brought within it, and are smaller where the bitrate is too low for
/// their size ([`SizeLadder`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSenderSettings {
    /// In pixels; the proportions stay.
    pub max_width: u32,
    pub max_height: u32,
    /// 1 to 120.
    pub max_fps: u32,
}

impl VideoSenderSettings {
    /// Errors: `invalid_argument`.
    pub fn check(&self) -> Result<()> {
        let (sides, Self { max_width, max_height, max_fps }) = (16..=MAX_VIDEO_SIDE, self);
        if sides.contains(max_width) && sides.contains(max_height) && (1..=120).contains(max_fps) {
            return Ok(());
        }
        let problem = format!(
            "video of {max_width}x{max_height} at {max_fps} fps: each side goes from 16 to {MAX_VIDEO_SIDE} pixels, the rate \
             from 1 to 120"
        );
        Err(Error::new(ErrorCode::InvalidArgument, problem))
    }
}

impl Default for VideoSenderSettings {
    /// 720p30.
    fn default() -> Self {
        Self { max_width: 1280, max_height: 720, max_fps: 30 }
    }
}

/// Sends one video track until it is dropped or its source is over.
pub struct VideoSender {
    worker: Worker,
    stats: Arc<VideoSenderStats>,
}

impl VideoSender {
    /// Starts capturing and sending, unless `control` says muted. The bitrate and key frames follow `control`. Fails
    /// with `invalid_argument` when a setting is out of range.
    pub fn start(
        source: Box<dyn VideoSource>,
        settings: VideoSenderSettings,
        control: Arc<SendControl>,
        out: PacketSender,
    ) -> Result<Self> {
        settings.check()?;
        let stats = Arc::new(VideoSenderStats::default());
        let bitrate_bps = control.bitrate_bps();
        let now = Instant::now();
        let pipeline = Pipeline {
            source,
            settings,
            encoder: Vp8Encoder::new(bitrate_bps, settings.max_fps),
            bitrate_bps,
            control,
            out,
            ladder: SizeLadder::default(),
            upright: VideoFrame::black(2, 2)?,
            scaler: Scaler::default(),
            scaled: VideoFrame::black(2, 2)?,
            packetizer: Packetizer::new(rand::random()),
            started: now,
            clock: None,
            last_time: None,
            last_key: None,
            key_wanted: true,
            sequence: rand::random(),
            first_timestamp: rand::random(),
            second: (now, 0),
            stats: stats.clone(),
        };
        let worker = Worker::spawn("trill-video-out", move |stop| {
            let stats = pipeline.stats.clone();
            if let Err(error) = pipeline.run(stop) {
                tracing::warn!(%error, "a video track is no longer sent");
            }
            set(&stats.ended, 1);
        })?;
        Ok(Self { worker, stats })
    }

    /// `told` is called when its thread panics: what it did is not done any more.
    pub fn on_fault(&self, told: impl FnOnce() + Send + 'static) {
        self.worker.on_fault(told);
    }

    pub fn stats(&self) -> Arc<VideoSenderStats> {
        self.stats.clone()
    }
}

struct Pipeline {
    source: Box<dyn VideoSource>,
    settings: VideoSenderSettings,
    encoder: Vp8Encoder,
    bitrate_bps: u32,
    control: Arc<SendControl>,
    out: PacketSender,
    ladder: SizeLadder,
    /// A picture that its camera holds askew, upright: not every receiver turns one.
    upright: VideoFrame,
    scaler: Scaler,
    scaled: VideoFrame,
    packetizer: Packetizer,
    started: Instant,
    /// What the source's clock showed, and when that was since the start.
    clock: Option<(Duration, Duration)>,
    last_time: Option<Duration>,
    /// When it was sent, and how many bytes it had.
    last_key: Option<(Instant, usize)>,
    key_wanted: bool,
    sequence: u16,
    first_timestamp: u32,
    /// When the present second of counting began, and the pictures in it.
    second: (Instant, u64),
    stats: Arc<VideoSenderStats>,
}

impl Pipeline {
    fn run(mut self, stop: Stop) -> Result<()> {
        let mut frame = VideoFrame::black(2, 2)?;
        let mut paused = false;
        while !stop.is_set() {
            if self.control.is_muted() {
                if !paused {
                    self.source.pause();
                    set(&self.stats.millifps, 0);
                    paused = true;
                }
                std::thread::sleep(MUTED_POLL);
                continue;
            }
            if paused {
                paused = false;
                self.source.resume();
                self.clock = None;
                self.key_wanted = true;
                self.second = (Instant::now(), 0);
            }
            match self.source.next_frame(&mut frame)? {
                Next::Frame if self.control.is_muted() => {}
                Next::Frame if !self.send(&frame)? => break,
                Next::Frame | Next::Nothing => {}
                Next::Ended => break,
            }
        }
        Ok(())
    }

    /// False when nobody takes packets any more.
    fn send(&mut self, frame: &VideoFrame) -> Result<bool> {
        let now = Instant::now();
        let time = self.media_time(frame.timestamp, now);
        // A quarter of a frame's time is left for sources that are not quite even.
        let apart = Duration::from_secs(3) / (4 * self.settings.max_fps);
        if self.last_time.is_some_and(|last| time < last + apart) {
            return Ok(true);
        }
        self.last_time = Some(time);
        self.follow_bitrate()?;
        self.key_wanted |= self.control.take_key_frame_request();
        let key = self.key_wanted
            && self.last_key.is_none_or(|(last, bytes)| {
                now.saturating_duration_since(last) >= key_frame_interval(bytes, self.bitrate_bps)
            });

        let frame = if frame.rotation == Rotation::None {
            frame
        } else {
            turn(frame, &mut self.upright)?;
            &self.upright
        };
        let size = (frame.width(), frame.height());
        let full = fit_within(size, (self.settings.max_width, self.settings.max_height));
        let sent_size = fit_within(full, self.ladder.size(now, self.bitrate_bps, self.settings.max_fps, full));
        let picture = if sent_size == size {
            frame
        } else {
            self.scaled.resize(sent_size.0, sent_size.1)?;
            self.scaler.scale(frame, &mut self.scaled)?;
            &self.scaled
        };
        let encoded = self.encoder.encode(picture, time, key)?;
        smooth(&self.stats.encode_us, now.elapsed().as_micros() as u64);
        let Some(encoded) = encoded else {
            add(&self.stats.left_out, 1);
            return Ok(true);
        };
        if encoded.key {
            self.key_wanted = false;
            self.last_key = Some((now, encoded.data.len()));
            add(&self.stats.key_frames, 1);
        }
        add(&self.stats.frames, 1);
        set(&self.stats.width, sent_size.0.into());
        set(&self.stats.height, sent_size.1.into());

        let timestamp = self.first_timestamp.wrapping_add(RtpClock::VIDEO.ticks(time) as u32);
        let (sequence, out, stats, control) = (&mut self.sequence, &self.out, &self.stats, &self.control);
        let (mut complete, mut open) = (true, true);
        let pace_bps = pace_bps(encoded.data.len(), self.bitrate_bps, self.settings.max_fps);
        self.packetizer.packetize(encoded.data, |payload, marker| {
            let bytes = payload.len();
            let packet = RtpPacket { sequence: *sequence, timestamp, marker, payload, audio_level: None };
            *sequence = sequence.wrapping_add(1);
            match out.try_send(packet) {
                Ok(()) => {
                    add(&stats.packets, 1);
                    add(&stats.bytes, bytes);
                }
                Err(TrySendError::Full(_)) => {
                    add(&stats.dropped, 1);
                    complete = false;
                }
                Err(TrySendError::Closed(_)) => open = false,
            }
            if let Some(pace_bps) = pace_bps.filter(|_| !marker && open && !control.is_muted()) {
                std::thread::sleep(Duration::from_secs(8) * bytes as u32 / pace_bps);
            }
        });
        // Nobody can decode what comes after a frame with a hole.
        self.key_wanted |= !complete;
        self.count(now);
        Ok(open)
    }

    /// Less at once; more when it is worth setting up the encoder anew.
    fn follow_bitrate(&mut self) -> Result<()> {
        let bitrate_bps = self.control.bitrate_bps();
        let is_news = bitrate_bps < self.bitrate_bps
            || bitrate_bps > self.bitrate_bps / 100 * 103
            || bitrate_bps == self.control.max_bitrate_bps();
        if is_news && bitrate_bps != self.bitrate_bps {
            self.bitrate_bps = bitrate_bps;
            self.encoder.set_bitrate(bitrate_bps)?;
        }
        Ok(())
    }

    /// The picture's time since the start: the source's own clock, which is even, held to real time.
    fn media_time(&mut self, timestamp: Duration, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.started);
        if let Some((source, then)) = self.clock
            && let Some(passed) = timestamp.checked_sub(source)
            && (then + passed).abs_diff(elapsed) < CLOCK_TOLERANCE
        {
            return then + passed;
        }
        self.clock = Some((timestamp, elapsed));
        elapsed
    }

    fn count(&mut self, now: Instant) {
        self.second.1 += 1;
        let passed = now.saturating_duration_since(self.second.0);
        if passed >= Duration::from_secs(1) {
            set(&self.stats.millifps, self.second.1 * 1_000_000 / passed.as_millis().max(1) as u64);
            self.second = (now, 0);
        }
    }
}

/// How far apart key frames of that size are to be.
fn key_frame_interval(bytes: usize, bitrate_bps: u32) -> Duration {
    let took = Duration::from_secs_f64(bytes as f64 * 8.0 / f64::from(bitrate_bps.max(1)));
    (took * KEY_FRAME_SHARE).clamp(KEY_FRAME_INTERVAL, MAX_KEY_FRAME_INTERVAL)
}

/// How fast a frame of that size leaves, in bit/s: at once (`None`), or, when it is far larger than others, more slowly, so that the
/// queue of a narrow link does not overflow. Meanwhile the source waits.
fn pace_bps(bytes: usize, bitrate_bps: u32, fps: u32) -> Option<u32> {
    let bits = bytes as u64 * 8;
    let is_large = bits > LARGE_FRAME * u64::from(bitrate_bps) / u64::from(fps.max(1));
    let slow = (f64::from(bitrate_bps) * PACE).max(bits as f64 / MAX_PACING.as_secs_f64());
    is_large.then_some(slow as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_key_frames_are_seldom_and_leave_slowly() {
        assert_eq!(key_frame_interval(2_000, 1_500_000), KEY_FRAME_INTERVAL);
        assert_eq!(key_frame_interval(9_000, 240_000), Duration::from_millis(1200));
        assert_eq!(key_frame_interval(90_000, 240_000), MAX_KEY_FRAME_INTERVAL);
        assert_eq!(pace_bps(6_000, 1_500_000, 30), None, "an ordinary frame");
        assert_eq!(pace_bps(6_000, 240_000, 30), Some(600_000), "80 ms");
        assert_eq!(pace_bps(40_000, 240_000, 30), Some(3_200_000), "at most 100 ms");
    }
}
