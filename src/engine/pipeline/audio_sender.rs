//! Source, Opus, RED where the other side takes it, RTP.

use super::PacketSender;
use super::stats::{AudioSenderStats, add, set};
use super::worker::{Stop, Worker};
use crate::base::Result;
use crate::codec::AudioEncoder;
use crate::codec::opus::OpusEncoder;
use crate::device::{AudioSource, Next};
use crate::media::clock::RtpClock;
use crate::media::control::SendControl;
use crate::media::frame::{AudioFrame, FRAME_SAMPLES};
use crate::media::level::LevelMeter;
use crate::media::opus::{MAX_PACKET_BYTES, PAYLOAD_TYPE, is_silence};
use crate::media::red::RedWriter;
use crate::media::rtp::RtpPacket;
use bytes::BytesMut;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// How often a muted pipeline looks whether it still is.
const MUTED_POLL: Duration = Duration::from_millis(10);
/// From so much loss on, in percent, Opus's own error correction helps beside RED: it reaches one packet further back. Below
/// it costs more than it brings (PESQ at 10 % loss on each of two legs 3.05 with it and 3.21 without, at 20 % 2.94 and 2.77).
const HEAVY_LOSS: u8 = 15;
/// Payloads are cut from two blocks of this size in turn. When one is used up, what was cut from the other, a hundred packets and more
/// ago, was sent: its memory is taken again, and nothing is allocated.
const POOL: usize = 16 * 1024;

/// Sends one audio track until it is dropped or its source is over.
pub struct AudioSender {
    worker: Worker,
    stats: Arc<AudioSenderStats>,
}

impl AudioSender {
    /// Starts capturing and sending, unless `control` says muted. The bitrate and the strength of the FEC follow
    /// `control`. Fails with `codec`.
    pub fn start(source: Box<dyn AudioSource>, control: Arc<SendControl>, out: PacketSender) -> Result<Self> {
        let pipeline = Pipeline::new(source, control, out)?;
        let stats = pipeline.stats.clone();
        let worker = Worker::spawn("trill-audio-out", move |stop| {
            let stats = pipeline.stats.clone();
            if let Err(error) = pipeline.run(stop) {
                tracing::warn!(%error, "an audio track is no longer sent");
            }
            set(&stats.ended, 1);
        })?;
        Ok(Self { worker, stats })
    }

    /// `told` is called when its thread panics: what it did is not done any more.
    pub fn on_fault(&self, told: impl FnOnce() + Send + 'static) {
        self.worker.on_fault(told);
    }

    pub fn stats(&self) -> Arc<AudioSenderStats> {
        self.stats.clone()
    }
}

pub(super) struct Pipeline {
    source: Box<dyn AudioSource>,
    encoder: OpusEncoder,
    bitrate_bps: u32,
    loss_percent: u8,
    dtx: bool,
    /// The last packet said that nobody talks: others that say no more than that need not be sent.
    silent: bool,
    /// The last packet was the first after a pause.
    after_pause: bool,
    control: Arc<SendControl>,
    out: PacketSender,
    meter: LevelMeter,
    red: RedWriter,
    pool: BytesMut,
    used_up: BytesMut,
    started: Instant,
    sequence: u16,
    first_timestamp: u32,
    /// Of the next frame, since the start.
    ticks: u64,
    /// The next packet is the first after silence.
    marker: bool,
    stats: Arc<AudioSenderStats>,
}

impl Pipeline {
    pub(super) fn new(source: Box<dyn AudioSource>, control: Arc<SendControl>, out: PacketSender) -> Result<Self> {
        Ok(Self {
            source,
            encoder: OpusEncoder::new(control.bitrate_bps())?,
            bitrate_bps: control.bitrate_bps(),
            loss_percent: 0,
            dtx: false,
            silent: false,
            after_pause: false,
            control,
            out,
            meter: LevelMeter::default(),
            red: RedWriter::default(),
            pool: BytesMut::new(),
            used_up: BytesMut::new(),
            started: Instant::now(),
            sequence: rand::random(),
            first_timestamp: rand::random(),
            ticks: 0,
            marker: true,
            stats: Arc::default(),
        })
    }

    fn run(mut self, stop: Stop) -> Result<()> {
        let mut frame = AudioFrame::SILENCE;
        let mut paused = false;
        while !stop.is_set() {
            #[cfg(feature = "planted-faults")]
            crate::engine::planted::media_fault(&self.control);
            if self.control.is_muted() {
                if !paused {
                    self.source.pause();
                    set(&self.stats.minus_dbov, 127);
                    set(&self.stats.voice, 0);
                    paused = true;
                }
                std::thread::sleep(MUTED_POLL);
                continue;
            }
            if paused {
                paused = false;
                self.source.resume();
                self.skip_pause();
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

    /// Time went on while nothing was sent, and the timestamps show it, in whole frames.
    fn skip_pause(&mut self) {
        let frame = FRAME_SAMPLES as u64;
        let elapsed = RtpClock::OPUS.ticks(self.started.elapsed()) / frame * frame;
        self.ticks = self.ticks.max(elapsed);
        self.marker = true;
    }

    /// False when nobody takes packets any more.
    pub(super) fn send(&mut self, frame: &AudioFrame) -> Result<bool> {
        self.follow_control()?;
        let level = self.meter.measure(&frame.samples);
        set(&self.stats.minus_dbov, level.minus_dbov.into());
        set(&self.stats.voice, level.voice.into());

        let encoded = self.encoder.encode(frame)?;
        let timestamp = self.first_timestamp.wrapping_add(self.ticks as u32);
        let was_silent = std::mem::replace(&mut self.silent, self.dtx && is_silence(encoded));
        if was_silent && self.silent {
            // Timestamps go on, sequence numbers do not: a pause is no loss.
            self.ticks += FRAME_SAMPLES as u64;
            self.marker = true;
            return Ok(true);
        }
        let red = self.control.takes_red();
        // Noise between two pauses is not worth a copy.
        let is_noise = std::mem::replace(&mut self.after_pause, self.marker) && self.silent;
        if self.pool.capacity() < MAX_PACKET_BYTES {
            std::mem::swap(&mut self.pool, &mut self.used_up);
            self.pool.reserve(POOL);
        }
        if red {
            let redundant = if is_noise { 0 } else { self.control.redundancy() };
            self.red.write(PAYLOAD_TYPE, redundant, timestamp, encoded, &mut self.pool);
        } else {
            self.red.forget();
            self.pool.extend_from_slice(encoded);
        }
        let packet = RtpPacket {
            sequence: self.sequence,
            timestamp,
            marker: self.marker,
            payload: self.pool.split().freeze(),
            red,
            audio_level: Some(level),
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.ticks += FRAME_SAMPLES as u64;
        self.marker = false;
        let bytes = packet.payload.len();
        match self.out.try_send(packet) {
            Ok(()) => {
                add(&self.stats.packets, 1);
                add(&self.stats.bytes, bytes);
            }
            Err(TrySendError::Full(_)) => add(&self.stats.dropped, 1),
            Err(TrySendError::Closed(_)) => return Ok(false),
        }
        Ok(true)
    }

    fn follow_control(&mut self) -> Result<()> {
        let (bitrate_bps, mut loss_percent) = (self.control.bitrate_bps(), self.control.loss_percent());
        if self.control.redundancy() > 0 && loss_percent < HEAVY_LOSS {
            // What comes again as it was needs no coarser copy besides: its bits make the first one better.
            loss_percent = 0;
        }
        if self.control.dtx() != self.dtx {
            self.dtx = self.control.dtx();
            self.encoder.set_dtx(self.dtx)?;
        }
        if bitrate_bps != self.bitrate_bps {
            self.encoder.set_bitrate(bitrate_bps)?;
            self.bitrate_bps = bitrate_bps;
        }
        if loss_percent != self.loss_percent {
            self.encoder.set_loss_percent(loss_percent)?;
            self.loss_percent = loss_percent;
        }
        Ok(())
    }
}
