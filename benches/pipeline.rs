//! A frame on its whole way: from a source to RTP packets, and from packets to a sink, through the pipelines of a call.
//!
//! Pictures come 30 a second, as they do in a call; the time is from when a picture is there until its last packet, or
//! from its first packet until it is shown, the hand-over between threads included.

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use trill::base::Result;
use trill::codec::opus::{DEFAULT_BITRATE_BPS, OpusDecoder, OpusEncoder};
use trill::codec::vp8::Vp8Encoder;
use trill::codec::{AudioDecoder, AudioEncoder, VideoEncoder};
use trill::device::{AudioSource, Next, TestPicture, VideoSink, VideoSource};
use trill::engine::pipeline::{AudioSender, PACKET_QUEUE, VideoReceiver, VideoSender, VideoSenderSettings};
use trill::media::control::SendControl;
use trill::media::frame::{AudioFrame, FRAME_SAMPLES, VideoFrame};
use trill::media::jitter::{JitterBuffer, Pull};
use trill::media::mixer::Mixer;
use trill::media::opus::MAX_PACKET_SAMPLES;
use trill::media::rtp::{ReceivedPacket, RtpPacket};
use trill::media::vp8::Packetizer;

const BITRATE_BPS: u32 = 1_500_000;
const PICTURE: Duration = Duration::from_micros(33_333);
const AUDIO: Duration = Duration::from_millis(20);
const BOUND: Duration = Duration::from_secs(5);

/// Gives what it is given, at once.
struct Given<T>(Receiver<T>);

impl VideoSource for Given<VideoFrame> {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        let Ok(given) = self.0.recv_timeout(trill::device::MAX_WAIT) else { return Ok(Next::Nothing) };
        *frame = given;
        Ok(Next::Frame)
    }
}

impl AudioSource for Given<AudioFrame> {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        let Ok(given) = self.0.recv_timeout(trill::device::MAX_WAIT) else { return Ok(Next::Nothing) };
        *frame = given;
        Ok(Next::Frame)
    }
}

/// Tells that a picture came.
struct Shown(Sender<()>);

impl VideoSink for Shown {
    fn show(&mut self, _: &VideoFrame) -> Result<()> {
        let _ = self.0.try_send(());
        Ok(())
    }
}

fn pictures() -> Vec<VideoFrame> {
    let source = TestPicture::new(1280, 720, 30).unwrap();
    let picture = |n| {
        let mut frame = VideoFrame::black(2, 2).unwrap();
        source.draw(n, &mut frame).unwrap();
        frame
    };
    (0..60).map(picture).collect()
}

/// Waits until `next` is due, and says when the one after it is.
fn pace(next: &mut Instant, every: Duration) {
    std::thread::sleep(next.saturating_duration_since(Instant::now()));
    *next = (*next + every).max(Instant::now());
}

fn video_out(c: &mut Criterion) {
    let pictures = pictures();
    let (give, given) = bounded(1);
    let (out, mut packets) = mpsc::channel(PACKET_QUEUE);
    let control = Arc::new(SendControl::new(BITRATE_BPS));
    let _sender = VideoSender::start(Box::new(Given(given)), VideoSenderSettings::default(), control, out).unwrap();
    let (began, mut next, mut n) = (Instant::now(), Instant::now(), 0);
    c.bench_function("a 720p picture from source to packets", |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                pace(&mut next, PICTURE);
                n += 1;
                let mut picture = pictures[n % pictures.len()].clone();
                picture.timestamp = began.elapsed();
                let start = Instant::now();
                give.send(picture).unwrap();
                while !packets.blocking_recv().expect("it goes on").marker {}
                took += start.elapsed();
            }
            took
        })
    });
}

fn video_in(c: &mut Criterion) {
    let mut encoder = Vp8Encoder::new(BITRATE_BPS, 30);
    let mut packetizer = Packetizer::new(0);
    let frames: Vec<Vec<(Bytes, bool)>> = pictures()
        .iter()
        .filter_map(|picture| {
            let encoded = encoder.encode(picture, picture.timestamp, false).unwrap()?;
            let mut packets = Vec::new();
            packetizer.packetize(encoded.data, |payload, marker| packets.push((payload, marker)));
            Some(packets)
        })
        .collect();
    let (shown, seen) = bounded(1);
    let receiver = VideoReceiver::start(Box::new(Shown(shown)), Arc::new(|_| ()), Box::new(|| ()), None).unwrap();
    let (input, mut next, mut n, mut sequence) = (receiver.input(), Instant::now(), 0u32, 0u16);
    c.bench_function("a 720p picture from packets to sink", |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                pace(&mut next, PICTURE);
                let start = Instant::now();
                for (payload, marker) in &frames[n as usize % frames.len()] {
                    let (timestamp, payload) = (n.wrapping_mul(3000), payload.clone());
                    let packet =
                        RtpPacket { sequence, timestamp, marker: *marker, payload, red: false, audio_level: None };
                    sequence = sequence.wrapping_add(1);
                    assert!(input.push(ReceivedPacket { packet, arrival: start }));
                }
                n += 1;
                seen.recv_timeout(BOUND).expect("every picture is shown");
                took += start.elapsed();
            }
            took
        })
    });
}

/// A voice to the codec: harmonics of a gliding pitch.
fn voice(n: usize) -> AudioFrame {
    let sample = |i: usize| {
        let t = (n * FRAME_SAMPLES + i) as f64 / 48_000.0;
        let phase = std::f64::consts::TAU * (120.0 * t + 4.0 * (t * 2.0).sin());
        ((1..20).map(|h| (phase * f64::from(h)).sin() / f64::from(h)).sum::<f64>() * 5000.0) as i16
    };
    AudioFrame { samples: std::array::from_fn(sample) }
}

fn audio_out(c: &mut Criterion) {
    let frames: Vec<_> = (0..50).map(voice).collect();
    let (give, given) = bounded(1);
    let (out, mut packets) = mpsc::channel(PACKET_QUEUE);
    let control = Arc::new(SendControl::new(DEFAULT_BITRATE_BPS));
    let _sender = AudioSender::start(Box::new(Given(given)), control, out).unwrap();
    let (mut next, mut n) = (Instant::now(), 0);
    c.bench_function("20 ms of audio from source to packet", |b| {
        b.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            for _ in 0..iterations {
                pace(&mut next, AUDIO);
                n += 1;
                let frame = frames[n % frames.len()].clone();
                let start = Instant::now();
                give.send(frame).unwrap();
                packets.blocking_recv().expect("it goes on");
                took += start.elapsed();
            }
            took
        })
    });
}

/// What the playout's thread does for one talker, without its clock: there a packet waits in the jitter buffer for as long
/// as the network asks for.
fn audio_in(c: &mut Criterion) {
    let mut encoder = OpusEncoder::new(DEFAULT_BITRATE_BPS).unwrap();
    let packets: Vec<_> = (0..50).map(|n| Bytes::copy_from_slice(encoder.encode(&voice(n)).unwrap())).collect();
    let (start, mut n) = (Instant::now(), 0u32);
    let (mut buffer, mut decoder, mut mixer) = (JitterBuffer::default(), OpusDecoder::new().unwrap(), Mixer::default());
    let (mut decoded, mut frame, mut mixed) = ([0; MAX_PACKET_SAMPLES], AudioFrame::SILENCE, AudioFrame::SILENCE);
    c.bench_function("20 ms of audio from packet to mixed", |b| {
        b.iter(|| {
            let arrival = start + AUDIO * n;
            let payload = packets[n as usize % packets.len()].clone();
            let timestamp = n.wrapping_mul(FRAME_SAMPLES as u32);
            let packet =
                RtpPacket { sequence: n as u16, timestamp, marker: false, payload, red: false, audio_level: None };
            buffer.insert(ReceivedPacket { packet, arrival });
            n += 1;
            if let Pull::Packet(payload, _) = buffer.pull(arrival, 0) {
                decoder.decode(&payload, &mut decoded).unwrap();
                frame.samples.copy_from_slice(&decoded[..FRAME_SAMPLES]);
                mixer.add(&frame);
            }
            mixer.finish(&mut mixed);
            mixed.samples[0]
        })
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    targets = video_out, video_in, audio_out, audio_in
}
criterion_main!(benches);
