//! RTP, jitter buffers, Opus, mixer, sink: one thread for all that a session hears.

use super::ahead::Ahead;
use super::stats::{AudioReceiverStats, add, set};
use super::worker::{Stop, Worker};
use super::{FirstMedia, PacketInput, Timing};
use crate::base::{ErrorCode, Result};
use crate::codec::AudioDecoder;
use crate::codec::opus::OpusDecoder;
use crate::device::{AudioSink, Pacer};
use crate::media::clock::RtpClock;
use crate::media::frame::{AudioFrame, FRAME_SAMPLES};
use crate::media::jitter::{JitterBuffer, Pace, Pull};
use crate::media::level::minus_dbov;
use crate::media::mixer::Mixer;
use crate::media::opus::MAX_PACKET_SAMPLES;
use crate::media::rtp::ReceivedPacket;
use crate::media::stretch;
use crate::media::sync::CaptureClock;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Packets of one track that wait for the playout thread: over a second.
const QUEUE: usize = 64;

/// Plays all the audio tracks of a session, mixed, until it is dropped.
pub struct Playout {
    worker: Worker,
    commands: Sender<Command>,
    next_id: AtomicU64,
}

enum Command {
    Add(Box<Track>),
    Remove(u64),
}

impl Playout {
    /// Mixed audio goes to `sink` every 20 ms: silence when nobody talks. It is called on the playout thread.
    pub fn start(sink: Box<dyn AudioSink>) -> Result<Self> {
        // Nobody adds tracks faster than the thread looks; unbounded, so that adding never blocks.
        let (commands, received) = crossbeam_channel::unbounded();
        let worker = Worker::spawn("trill-playout", move |stop| Mix::new(sink, received).run(stop))?;
        Ok(Self { worker, commands, next_id: AtomicU64::new(0) })
    }

    /// `told` is called when its thread panics: what it did is not done any more.
    pub fn on_fault(&self, told: impl FnOnce() + Send + 'static) {
        self.worker.on_fault(told);
    }

    /// Adds a remote track. `tap` gets what is heard of it alone, every 20 ms; `first` is told when its first packet
    /// was played. Both are called on the playout thread. With `timing`, pictures can wait for it. Fails with `codec`, or
    /// `shut_down`.
    pub fn add(
        &self,
        tap: Option<Box<dyn AudioSink>>,
        first: FirstMedia,
        timing: Option<Timing>,
    ) -> Result<AudioReceiver> {
        let id = self.next_id.fetch_add(1, Relaxed);
        let track = Track {
            id,
            tap,
            first: Some(first),
            timing: timing.map(|timing| (timing, CaptureClock::new(RtpClock::OPUS))),
            ..Track::new()?
        };
        let (input, stats) = (track.input.clone(), track.stats.clone());
        self.commands.send(Command::Add(Box::new(track))).map_err(|_| crate::base::Error::from(ErrorCode::ShutDown))?;
        Ok(AudioReceiver { id, commands: self.commands.clone(), input, stats })
    }
}

/// One remote audio track in a [`Playout`], until it is dropped.
pub struct AudioReceiver {
    id: u64,
    commands: Sender<Command>,
    input: PacketInput,
    stats: Arc<AudioReceiverStats>,
}

impl AudioReceiver {
    /// Where the transport puts the track's packets.
    pub fn input(&self) -> PacketInput {
        self.input.clone()
    }

    pub fn stats(&self) -> Arc<AudioReceiverStats> {
        self.stats.clone()
    }
}

impl Drop for AudioReceiver {
    fn drop(&mut self) {
        // No playout, no track.
        let _ = self.commands.send(Command::Remove(self.id));
    }
}

struct Mix {
    /// `None` after it failed.
    sink: Option<Box<dyn AudioSink>>,
    commands: Receiver<Command>,
    tracks: Vec<Track>,
    mixer: Mixer,
    ahead: Ahead,
    pacer: Pacer,
}

impl Mix {
    fn new(sink: Box<dyn AudioSink>, commands: Receiver<Command>) -> Self {
        let (mixer, ahead, pacer) = (Mixer::default(), Ahead::default(), Pacer::new(50, 1));
        Self { sink: Some(sink), commands, tracks: Vec::new(), mixer, ahead, pacer }
    }

    fn run(mut self, stop: Stop) {
        let mut frame = AudioFrame::SILENCE;
        while !stop.is_set() {
            if !self.wait() {
                continue;
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Add(track) => self.tracks.push(*track),
                    Command::Remove(id) => self.tracks.retain(|track| track.id != id),
                }
            }
            let now = Instant::now();
            let heard = now + self.sink.as_ref().and_then(|sink| sink.queued()).unwrap_or_default();
            for track in &mut self.tracks {
                track.next_frame(now, &mut frame);
                track.tell_heard(heard);
                self.mixer.add(&frame);
            }
            self.mixer.finish(&mut frame);
            if let Some(sink) = &mut self.sink
                && let Err(error) = sink.play(&frame)
            {
                tracing::warn!(%error, "received audio is no longer played");
                self.sink = None;
            }
            self.tracks.iter_mut().for_each(|track| track.tell_first());
        }
    }

    /// Until the next frame is wanted: by the sink's clock if it has one, so that nothing piles up or runs dry.
    fn wait(&mut self) -> bool {
        let Some(queued) = self.sink.as_ref().and_then(|sink| sink.queued()) else { return self.pacer.wait() };
        if let Some(wait) = self.ahead.wait(queued, self.sink.as_ref().and_then(|sink| sink.period())) {
            std::thread::sleep(wait);
            return false;
        }
        true
    }
}

pub(super) struct Track {
    id: u64,
    packets: Receiver<ReceivedPacket>,
    pub(super) input: PacketInput,
    jitter: JitterBuffer,
    decoder: OpusDecoder,
    samples: Samples,
    /// A packet was played.
    started: bool,
    tap: Option<Box<dyn AudioSink>>,
    first: Option<FirstMedia>,
    timing: Option<(Timing, CaptureClock)>,
    pub(super) stats: Arc<AudioReceiverStats>,
}

impl Track {
    pub(super) fn new() -> Result<Self> {
        let (input, packets) = PacketInput::bounded(QUEUE);
        Ok(Self {
            id: 0,
            packets,
            input,
            jitter: JitterBuffer::default(),
            decoder: OpusDecoder::new()?,
            samples: Samples::default(),
            started: false,
            tap: None,
            first: None,
            timing: None,
            stats: Arc::default(),
        })
    }

    /// What is heard of it in the 20 ms from `now` on.
    pub(super) fn next_frame(&mut self, now: Instant, frame: &mut AudioFrame) {
        while let Ok(received) = self.packets.try_recv() {
            add(&self.stats.bytes, received.packet.payload.len());
            self.jitter.insert(received);
        }
        while self.samples.len() < FRAME_SAMPLES {
            let pull = self.jitter.pull(now, self.samples.len());
            self.decode(pull);
        }
        self.samples.take(frame);
        set(&self.stats.minus_dbov, minus_dbov(&frame.samples).into());
        self.report();
        if let Some(tap) = &mut self.tap
            && let Err(error) = tap.play(frame)
        {
            tracing::warn!(%error, "a participant is no longer recorded");
            self.tap = None;
        }
    }

    fn decode(&mut self, pull: Pull) {
        let decoder = &mut self.decoder;
        let done = match pull {
            Pull::Packet(packet, pace) => {
                self.started = true;
                add(&self.stats.played, 1);
                let begin = self.samples.len();
                self.samples
                    .append(|out| decoder.decode(&packet, out))
                    .map(|()| self.jitter.paced(self.samples.stretch(begin, pace)))
            }
            Pull::Fec(successor, samples) => self.samples.append(|out| {
                let out = out.get_mut(..samples).ok_or(ErrorCode::Codec)?;
                decoder.recover(&successor, out).map(|()| samples)
            }),
            Pull::Conceal(samples) => self.samples.append(|out| {
                let out = out.get_mut(..samples).ok_or(ErrorCode::Codec)?;
                decoder.conceal(out).map(|()| samples)
            }),
            Pull::Silence => self.samples.append(|out| {
                out[..FRAME_SAMPLES].fill(0);
                Ok(FRAME_SAMPLES)
            }),
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a received audio packet is damaged");
            add(&self.stats.undecodable, 1);
            let concealed =
                self.samples.append(|out| decoder.conceal(&mut out[..FRAME_SAMPLES]).map(|()| FRAME_SAMPLES));
            if concealed.is_err() {
                self.samples.silence();
            }
        }
    }

    /// What was just taken is heard at `at`.
    fn tell_heard(&mut self, at: Instant) {
        if let (Some((timing, clock)), Some(position)) = (&mut self.timing, self.jitter.position()) {
            let began = position.wrapping_sub((self.samples.len() + FRAME_SAMPLES) as u32);
            if let Some(made) = clock.made(&timing.reports, began) {
                timing.sync.heard(made, at);
            }
        }
    }

    fn tell_first(&mut self) {
        if self.started
            && let Some(first) = self.first.take()
        {
            first();
        }
    }

    fn report(&self) {
        let counts = self.jitter.stats();
        set(&self.stats.packets, counts.received);
        set(&self.stats.lost, counts.lost);
        set(&self.stats.late, counts.late);
        set(&self.stats.concealed, counts.concealed);
        set(&self.stats.fec_recovered, counts.fec_recovered);
        set(&self.stats.red_recovered, counts.red_recovered);
        set(&self.stats.invalid, counts.invalid);
        set(&self.stats.dropped, self.input.dropped.load(Relaxed));
        set(&self.stats.jitter_us, self.jitter.jitter().as_micros() as u64);
        set(&self.stats.buffer_us, self.jitter.buffered().as_micros() as u64);
        set(&self.stats.target_us, self.jitter.target().as_micros() as u64);
    }
}

/// Decoded samples between packets of any length and frames of 20 ms. At most a frame waits when it is appended to.
struct Samples {
    buffer: Box<[i16]>,
    begin: usize,
    end: usize,
}

impl Default for Samples {
    fn default() -> Self {
        Self { buffer: vec![0; FRAME_SAMPLES + 2 * MAX_PACKET_SAMPLES].into_boxed_slice(), begin: 0, end: 0 }
    }
}

impl Samples {
    fn len(&self) -> usize {
        self.end - self.begin
    }

    /// Has `fill` write after what is there, and say how much that was.
    fn append(&mut self, fill: impl FnOnce(&mut [i16]) -> Result<usize>) -> Result<()> {
        self.buffer.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.len());
        let room = &mut self.buffer[self.end..self.end + MAX_PACKET_SAMPLES];
        self.end += fill(room)?.min(MAX_PACKET_SAMPLES);
        Ok(())
    }

    fn silence(&mut self) {
        let silent = self.append(|out| {
            out[..FRAME_SAMPLES].fill(0);
            Ok(FRAME_SAMPLES)
        });
        debug_assert!(silent.is_ok());
    }

    /// Plays what comes after `begin` at another pace. Answers by how many samples it is longer now.
    fn stretch(&mut self, begin: usize, pace: Pace) -> i64 {
        let len = self.end - begin;
        let changed = match pace {
            Pace::Even => len,
            Pace::Faster(most) => stretch::shorten(&mut self.buffer[begin..self.end], most, false),
            Pace::Fastest(most) => stretch::shorten(&mut self.buffer[begin..self.end], most, true),
            Pace::Slower => stretch::lengthen(&mut self.buffer[begin..], len),
        };
        self.end = begin + changed;
        changed as i64 - len as i64
    }

    fn take(&mut self, frame: &mut AudioFrame) {
        frame.samples.copy_from_slice(&self.buffer[self.begin..self.begin + FRAME_SAMPLES]);
        self.begin += FRAME_SAMPLES;
    }
}
