//! One size of a picture that is sent: scaled, encoded, cut into packets. A track has one of it, or one for each simulcast layer.

use super::PacketSender;
use super::stats::{VideoLayerStats, VideoSenderStats, add, set};
use crate::base::Result;
use crate::codec::VideoEncoder;
use crate::codec::vp8::Vp8Encoder;
use crate::media::control::SendControl;
use crate::media::frame::VideoFrame;
use crate::media::ladder::SizeLadder;
use crate::media::rtp::RtpPacket;
use crate::media::scale::{Scaler, fit_within};
use crate::media::vp8::Packetizer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

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

pub(super) struct VideoLayer {
    out: PacketSender,
    encoder: Vp8Encoder,
    max_fps: u32,
    /// 0: it is not sent.
    bitrate_bps: u32,
    ladder: SizeLadder,
    /// The present picture in this layer's size; `None`: it is the source's own.
    size: Option<(u32, u32)>,
    scaled: VideoFrame,
    packetizer: Packetizer,
    /// When it was sent, and how many bytes it had.
    last_key: Option<(Instant, usize)>,
    key_wanted: bool,
    sequence: u16,
    stats: Arc<VideoLayerStats>,
}

/// What became of a picture in a layer.
#[derive(Default)]
pub(super) struct Sent {
    /// Nothing when it was left out to hold the bitrate.
    pub(super) encoded: Option<(u32, u32)>,
    pub(super) took: Duration,
    /// Nobody takes packets any more.
    pub(super) closed: bool,
}

/// What is common to all layers of a picture.
pub(super) struct Picture<'a> {
    pub(super) source: &'a VideoFrame,
    pub(super) now: Instant,
    /// Since the track's start.
    pub(super) time: Duration,
    pub(super) timestamp: u32,
    /// What all layers take together: a frame is large or small beside it.
    pub(super) total_bps: u32,
    pub(super) control: &'a SendControl,
    pub(super) stats: &'a VideoSenderStats,
}

impl VideoLayer {
    pub(super) fn new(out: PacketSender, max_fps: u32) -> Result<Self> {
        Ok(Self {
            out,
            encoder: Vp8Encoder::new(0, max_fps),
            max_fps,
            bitrate_bps: 0,
            ladder: SizeLadder::default(),
            size: None,
            scaled: VideoFrame::black(2, 2)?,
            packetizer: Packetizer::new(rand::random()),
            last_key: None,
            key_wanted: true,
            sequence: rand::random(),
            stats: Arc::default(),
        })
    }

    pub(super) fn stats(&self) -> Arc<VideoLayerStats> {
        self.stats.clone()
    }

    pub(super) fn request_key_frame(&mut self) {
        self.key_wanted = true;
    }

    pub(super) fn is_sent(&self) -> bool {
        self.bitrate_bps > 0
    }

    /// Less at once; more when it is worth setting up the encoder anew, or `max_bps`. 0: it is not sent. After that it begins
    /// with a key frame.
    pub(super) fn follow_bitrate(&mut self, bitrate_bps: u32, max_bps: u32) -> Result<()> {
        let is_news =
            bitrate_bps < self.bitrate_bps || bitrate_bps > self.bitrate_bps / 100 * 103 || bitrate_bps == max_bps;
        if !is_news || bitrate_bps == self.bitrate_bps {
            return Ok(());
        }
        self.key_wanted |= self.bitrate_bps == 0;
        self.bitrate_bps = bitrate_bps;
        set(&self.stats.bitrate_bps, bitrate_bps.into());
        if bitrate_bps == 0 { Ok(()) } else { self.encoder.set_bitrate(bitrate_bps) }
    }

    /// Brings the picture to this layer's size, which is `full` or less; from that of `larger`, a layer that was scaled before,
    /// if it is large enough: that is fewer pixels than the source's.
    pub(super) fn scale(
        &mut self,
        picture: &Picture<'_>,
        full: (u32, u32),
        larger: Option<&Self>,
        scaler: &mut Scaler,
    ) -> Result<()> {
        let fitting = self.ladder.size(picture.now, self.bitrate_bps, self.max_fps, full);
        let (width, height) = fit_within(full, fitting);
        self.size = None;
        if (width, height) == (picture.source.width(), picture.source.height()) {
            return Ok(());
        }
        let is_enough = |larger: &&Self| larger.size.is_some_and(|(w, h)| w >= width && h >= height);
        let from = larger.filter(is_enough).map_or(picture.source, |larger| &larger.scaled);
        self.scaled.resize(width, height)?;
        scaler.scale(from, &mut self.scaled)?;
        self.size = Some((width, height));
        Ok(())
    }

    /// Encodes and sends what [`Self::scale`] made.
    pub(super) fn send(&mut self, picture: &Picture<'_>) -> Result<Sent> {
        let Picture { now, time, timestamp, total_bps, control, .. } = *picture;
        let key = self.key_wanted
            && self.last_key.is_none_or(|(last, bytes)| {
                now.saturating_duration_since(last) >= key_frame_interval(bytes, self.bitrate_bps)
            });
        let frame = if self.size.is_some() { &self.scaled } else { picture.source };
        let size = (frame.width(), frame.height());
        let begun = Instant::now();
        let encoded = self.encoder.encode(frame, time, key)?;
        let mut sent = Sent { took: begun.elapsed(), ..Sent::default() };
        let Some(encoded) = encoded else { return Ok(sent) };
        sent.encoded = Some(size);
        if encoded.key {
            self.key_wanted = false;
            self.last_key = Some((now, encoded.data.len()));
            add(&self.stats.key_frames, 1);
            add(&picture.stats.key_frames, 1);
        }
        add(&self.stats.frames, 1);
        set(&self.stats.width, size.0.into());
        set(&self.stats.height, size.1.into());

        let (sequence, out, stats) = (&mut self.sequence, &self.out, &self.stats);
        let (mut complete, mut open) = (true, true);
        // What leaves slowly on a narrow path is not to be slowed down twice.
        let pace_bps = pace_bps(encoded.data.len(), total_bps, self.max_fps).filter(|_| control.pace_bps() == 0);
        self.packetizer.packetize(encoded.data, |payload, marker| {
            let bytes = payload.len();
            let packet = RtpPacket { sequence: *sequence, timestamp, marker, payload, red: false, audio_level: None };
            *sequence = sequence.wrapping_add(1);
            match out.try_send(packet) {
                Ok(()) => {
                    add(&stats.packets, 1);
                    add(&stats.bytes, bytes);
                    add(&picture.stats.packets, 1);
                    add(&picture.stats.bytes, bytes);
                }
                Err(TrySendError::Full(_)) => {
                    add(&picture.stats.dropped, 1);
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
        sent.closed = !open;
        Ok(sent)
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
