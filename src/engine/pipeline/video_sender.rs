//! From a source to the layers in which its pictures are sent: how many, at which bitrates, and when.

use super::PacketSender;
use super::stats::{VideoLayerStats, VideoSenderStats, add, set, smooth};
use super::video_layer::{Picture, VideoLayer};
use super::worker::{Stop, Worker};
use crate::base::{Error, ErrorCode, Result};
use crate::device::{Next, VideoSource};
use crate::media::clock::RtpClock;
use crate::media::control::SendControl;
use crate::media::effort::EffortLadder;
use crate::media::frame::{MAX_VIDEO_SIDE, Rotation, VideoFrame};
use crate::media::scale::{Scaler, fit_within};
use crate::media::simulcast::{Conditions, Layer, LayerAllocator};
use crate::media::turn::turn;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a muted pipeline looks whether it still is.
const MUTED_POLL: Duration = Duration::from_millis(10);
/// A source whose timestamps run so far from real time is taken to have begun anew.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(200);

/// What is sent at most; the source's pictures are brought within it. They are smaller where the bitrate is too low for
/// their size ([`SizeLadder`](crate::media::ladder::SizeLadder)), and less is sent where the machine is too slow
/// ([`EffortLadder`]).
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
    layers: Vec<Arc<VideoLayerStats>>,
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
        let whole = Layer { divisor: 1, bitrate_bps: control.max_bitrate_bps() };
        Self::start_layers(source, settings, control, vec![(whole, out)])
    }

    /// The same with the layers of [`layers_of`](crate::media::simulcast::layers_of): which of them are sent follows `control` as
    /// well.
    pub fn start_layers(
        source: Box<dyn VideoSource>,
        settings: VideoSenderSettings,
        control: Arc<SendControl>,
        layers: Vec<(Layer, PacketSender)>,
    ) -> Result<Self> {
        let pipeline = Pipeline::new(source, settings, control, layers)?;
        let stats = pipeline.stats.clone();
        let layer_stats = pipeline.layers.iter().map(VideoLayer::stats).collect();
        let worker = Worker::spawn("trill-video-out", move |stop| {
            let stats = pipeline.stats.clone();
            if let Err(error) = pipeline.run(stop) {
                tracing::warn!(%error, "a video track is no longer sent");
            }
            set(&stats.ended, 1);
        })?;
        Ok(Self { worker, stats, layers: layer_stats })
    }

    /// `told` is called when its thread panics: what it did is not done any more.
    pub fn on_fault(&self, told: impl FnOnce() + Send + 'static) {
        self.worker.on_fault(told);
    }

    pub fn stats(&self) -> Arc<VideoSenderStats> {
        self.stats.clone()
    }

    /// Of each layer, lowest first.
    pub fn layer_stats(&self) -> &[Arc<VideoLayerStats>] {
        &self.layers
    }
}

pub(super) struct Pipeline {
    source: Box<dyn VideoSource>,
    settings: VideoSenderSettings,
    control: Arc<SendControl>,
    allocator: LayerAllocator,
    effort: EffortLadder,
    plan: Vec<Layer>,
    /// Lowest first.
    layers: Vec<VideoLayer>,
    /// A picture that its camera holds askew, upright: not every receiver turns one.
    upright: VideoFrame,
    scaler: Scaler,
    started: Instant,
    /// What the source's clock showed, and when that was since the start.
    clock: Option<(Duration, Duration)>,
    last_time: Option<Duration>,
    first_timestamp: u32,
    /// When the present second of counting began, and the pictures in it.
    second: (Instant, u64),
    stats: Arc<VideoSenderStats>,
}

impl Pipeline {
    pub(super) fn new(
        source: Box<dyn VideoSource>,
        settings: VideoSenderSettings,
        control: Arc<SendControl>,
        layers: Vec<(Layer, PacketSender)>,
    ) -> Result<Self> {
        settings.check()?;
        if layers.is_empty() {
            return Err(Error::new(ErrorCode::InvalidArgument, "a video track needs a layer at least"));
        }
        let (plan, outs): (Vec<Layer>, Vec<PacketSender>) = layers.into_iter().unzip();
        let layers: Vec<VideoLayer> =
            outs.into_iter().map(|out| VideoLayer::new(out, settings.max_fps)).collect::<Result<_>>()?;
        let now = Instant::now();
        Ok(Self {
            source,
            settings,
            control,
            allocator: LayerAllocator::new(plan.clone()),
            effort: EffortLadder::new(settings.max_fps),
            plan,
            layers,
            upright: VideoFrame::black(2, 2)?,
            scaler: Scaler::default(),
            started: now,
            clock: None,
            last_time: None,
            first_timestamp: rand::random(),
            second: (now, 0),
            stats: Arc::default(),
        })
    }

    fn run(mut self, stop: Stop) -> Result<()> {
        let mut frame = VideoFrame::black(2, 2)?;
        let mut paused = false;
        while !stop.is_set() {
            if self.control.is_muted() {
                if !paused {
                    self.source.pause();
                    set(&self.stats.millifps, 0);
                    set(&self.stats.cpu_limited, 0);
                    paused = true;
                }
                std::thread::sleep(MUTED_POLL);
                continue;
            }
            if paused {
                paused = false;
                self.source.resume();
                self.clock = None;
                self.layers.iter_mut().for_each(VideoLayer::request_key_frame);
                self.second = (Instant::now(), 0);
            }
            match self.source.next_frame(&mut frame)? {
                Next::Frame if self.control.is_muted() => {}
                Next::Frame if !self.send(&frame, Instant::now())? => break,
                Next::Frame | Next::Nothing => {}
                Next::Ended => break,
            }
        }
        Ok(())
    }

    /// False when nobody takes packets any more.
    pub(super) fn send(&mut self, frame: &VideoFrame, now: Instant) -> Result<bool> {
        let time = self.media_time(frame.timestamp, now);
        // A quarter of a frame's time is left for sources that are not quite even.
        let apart = Duration::from_secs(3) / (4 * self.settings.max_fps);
        let apart = self.effort.apart().map_or(apart, |fewer| fewer.max(apart));
        if self.last_time.is_some_and(|last| time < last + apart) {
            return Ok(true);
        }
        self.last_time = Some(time);
        let requests = self.control.take_key_frame_requests();
        for (_, layer) in self.layers.iter_mut().enumerate().filter(|(index, _)| requests >> index & 1 == 1) {
            layer.request_key_frame();
        }
        let begun = Instant::now();
        let source = if frame.rotation == Rotation::None {
            frame
        } else {
            turn(frame, &mut self.upright)?;
            &self.upright
        };
        let most = (self.settings.max_width, self.settings.max_height);
        let full = fit_within((source.width(), source.height()), most);
        let effort = self.effort.begin(now, frame.timestamp);
        let shares = self.allocator.allocate(
            now,
            &Conditions {
                full,
                bitrate_bps: self.control.bitrate_bps(),
                wanted: self.control.wanted(),
                is_group: self.control.is_group(),
                fewer_layers: effort.fewer_layers,
            },
        );
        set(&self.stats.cpu_limited, effort.is_limited(shares.left_out).into());
        if shares.demand_bps > 0 {
            self.control.set_max_bitrate(shares.demand_bps);
        }
        let picture = Picture {
            source,
            now,
            time,
            timestamp: self.first_timestamp.wrapping_add(RtpClock::VIDEO.ticks(time) as u32),
            total_bps: shares.total_bps(),
            control: &self.control,
            stats: &self.stats,
        };
        // Each from the next larger one.
        for index in (0..self.layers.len()).rev() {
            let (layers, larger) = self.layers.split_at_mut(index + 1);
            let (Some(layer), plan) = (layers.last_mut(), &self.plan[index]) else { continue };
            layer.follow_bitrate(shares.bps[index], plan.bitrate_bps)?;
            if layer.is_sent() {
                let larger = larger.first().filter(|larger| larger.is_sent());
                layer.scale(&picture, effort.size(plan.size(full)), larger, &mut self.scaler)?;
            }
        }
        let mut took = begun.elapsed();
        let (mut best, mut tried) = (None, false);
        // The lowest first, as it is the one that every receiver can take.
        for layer in self.layers.iter_mut().filter(|layer| layer.is_sent()) {
            let sent = layer.send(&picture)?;
            if sent.closed {
                return Ok(false);
            }
            took += sent.took;
            best = sent.encoded.or(best);
            tried = true;
        }
        if !tried {
            // Nobody wants it.
            return Ok(true);
        }
        let sent = self.plan.iter().zip(shares.bps).filter(|(_, bps)| *bps > 0);
        self.effort.encoded(took, shares.unsent, sent.map(|(layer, _)| layer.size(full)));
        smooth(&self.stats.encode_us, took.as_micros() as u64);
        let Some((width, height)) = best else {
            add(&self.stats.left_out, 1);
            return Ok(true);
        };
        add(&self.stats.frames, 1);
        set(&self.stats.width, width.into());
        set(&self.stats.height, height.into());
        self.count(now);
        Ok(true)
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
