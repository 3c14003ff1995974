//! RTP, frame assembly, VP8, sink.

use super::stats::{VideoReceiverStats, add, set, smooth};
use super::worker::{Stop, Worker};
use super::{Feedback, FeedbackSink, FirstMedia, PacketInput, Timing};
use crate::base::Result;
use crate::codec::VideoDecoder;
use crate::codec::vp8::Vp8Decoder;
use crate::device::VideoSink;
use crate::media::assembly::FrameAssembler;
use crate::media::clock::RtpClock;
use crate::media::rtp::ReceivedPacket;
use crate::media::sync::CaptureClock;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Packets that wait for the decoder: half a second of a fast stream.
const QUEUE: usize = 1024;
/// The longest that it sleeps, so that it can be stopped promptly.
const MAX_WAIT: Duration = Duration::from_millis(50);
/// Pictures that wait for their sound at most: half a second of 60 in a second.
const HELD: usize = 30;

/// Shows one received video track until it is dropped.
pub struct VideoReceiver {
    worker: Worker,
    input: PacketInput,
    stats: Arc<VideoReceiverStats>,
}

impl VideoReceiver {
    /// Pictures go to `sink`, requests for key frames to `feedback`; `first` is told of the first picture. All of
    /// them are called on the pipeline's thread. With `timing`, pictures wait for the sound that was made with them. Fails
    /// with `codec`.
    pub fn start(
        sink: Box<dyn VideoSink>,
        feedback: FeedbackSink,
        first: FirstMedia,
        timing: Option<Timing>,
    ) -> Result<Self> {
        let pipeline = Pipeline::new(sink, feedback, first, timing)?;
        let (input, stats) = (pipeline.input.clone(), pipeline.stats.clone());
        let worker = Worker::spawn("trill-video-in", move |stop| pipeline.run(stop))?;
        Ok(Self { worker, input, stats })
    }

    /// `told` is called when its thread panics: what it did is not done any more.
    pub fn on_fault(&self, told: impl FnOnce() + Send + 'static) {
        self.worker.on_fault(told);
    }

    /// Where the transport puts the track's packets.
    pub fn input(&self) -> PacketInput {
        self.input.clone()
    }

    pub fn stats(&self) -> Arc<VideoReceiverStats> {
        self.stats.clone()
    }
}

pub(super) struct Pipeline {
    packets: Receiver<ReceivedPacket>,
    assembler: FrameAssembler,
    held: VecDeque<Held>,
    /// Memory of pictures that were shown, for the next ones.
    spare: Vec<Vec<u8>>,
    timing: Option<(Timing, CaptureClock)>,
    decoder: Vp8Decoder,
    /// `None` after it failed.
    sink: Option<Box<dyn VideoSink>>,
    feedback: FeedbackSink,
    first: Option<FirstMedia>,
    /// When the present second of counting began, and the pictures in it.
    second: (Instant, u64),
    stats: Arc<VideoReceiverStats>,
    pub(super) input: PacketInput,
}

/// A whole picture that is not due yet.
struct Held {
    due: Instant,
    data: Vec<u8>,
    key: bool,
    timestamp: Duration,
}

impl Pipeline {
    pub(super) fn new(
        sink: Box<dyn VideoSink>,
        feedback: FeedbackSink,
        first: FirstMedia,
        timing: Option<Timing>,
    ) -> Result<Self> {
        let (input, packets) = PacketInput::bounded(QUEUE);
        Ok(Self {
            packets,
            assembler: FrameAssembler::default(),
            held: VecDeque::with_capacity(HELD),
            spare: Vec::new(),
            timing: timing.map(|timing| (timing, CaptureClock::new(RtpClock::VIDEO))),
            decoder: Vp8Decoder::new()?,
            sink: Some(sink),
            feedback,
            first: Some(first),
            second: (Instant::now(), 0),
            stats: Arc::default(),
            input,
        })
    }

    fn run(mut self, stop: Stop) {
        while !stop.is_set() {
            let now = Instant::now();
            let next = self.assembler.next_timeout().into_iter().chain(self.held.front().map(|held| held.due)).min();
            let wait = next.map_or(MAX_WAIT, |at| at.saturating_duration_since(now));
            match self.packets.recv_timeout(wait.clamp(Duration::from_millis(1), MAX_WAIT)) {
                Ok(packet) => self.insert(packet),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.step(Instant::now());
        }
    }

    /// Takes what has come, shows what is due, and asks for a key frame if one is needed.
    pub(super) fn step(&mut self, now: Instant) {
        while let Ok(packet) = self.packets.try_recv() {
            self.insert(packet);
        }
        while self.hold_next(now) {}
        while self.show_next(now) {}
        if self.assembler.take_key_frame_request(now) {
            add(&self.stats.plis, 1);
            (self.feedback)(Feedback::KeyFrameNeeded);
        }
        self.report(now);
    }

    fn insert(&mut self, received: ReceivedPacket) {
        add(&self.stats.bytes, received.packet.payload.len());
        self.assembler.insert(received);
    }

    /// Takes a frame, if one is whole, until its sound is heard.
    fn hold_next(&mut self, now: Instant) -> bool {
        let Some(encoded) = self.assembler.poll(now) else { return false };
        let due = self.timing.as_mut().and_then(|(timing, clock)| {
            let made = clock.made(&timing.reports, encoded.rtp_timestamp)?;
            timing.sync.due(made, now)
        });
        let mut data = self.spare.pop().unwrap_or_default();
        data.clear();
        data.extend_from_slice(encoded.data);
        self.held.push_back(Held { due: due.unwrap_or(now), data, key: encoded.key, timestamp: encoded.timestamp });
        true
    }

    /// Decodes and shows the next picture, if it is due.
    fn show_next(&mut self, now: Instant) -> bool {
        if self.held.len() <= HELD && self.held.front().is_none_or(|held| held.due > now) {
            return false;
        }
        let Some(Held { data, key, timestamp, .. }) = self.held.pop_front() else { return false };
        let begun = Instant::now();
        match self.decoder.decode(&data, timestamp) {
            Ok(Some(frame)) => {
                smooth(&self.stats.decode_us, begun.elapsed().as_micros() as u64);
                add(&self.stats.key_frames, key.into());
                add(&self.stats.frames, 1);
                set(&self.stats.width, frame.width().into());
                set(&self.stats.height, frame.height().into());
                if let Some(sink) = &mut self.sink
                    && let Err(error) = sink.show(frame)
                {
                    tracing::warn!(%error, "received pictures are no longer shown");
                    self.sink = None;
                }
                if let Some(first) = self.first.take() {
                    first();
                }
                self.second.1 += 1;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a received picture is damaged");
                add(&self.stats.undecodable, 1);
                self.assembler.reset();
                self.held.clear();
            }
        }
        self.spare.push(data);
        true
    }

    fn report(&mut self, now: Instant) {
        let counts = self.assembler.stats();
        set(&self.stats.packets, counts.packets);
        set(&self.stats.lost, counts.lost);
        set(&self.stats.freezes, counts.freezes);
        set(&self.stats.dropped, self.input.dropped.load(Relaxed));
        let passed = now.saturating_duration_since(self.second.0);
        if passed >= Duration::from_secs(1) {
            set(&self.stats.millifps, self.second.1 * 1_000_000 / passed.as_millis().max(1) as u64);
            self.second = (now, 0);
        }
    }
}
