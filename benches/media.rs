//! What a packet or frame costs in the pure media layer.

#![allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use trill::media::assembly::FrameAssembler;
use trill::media::frame::{AudioFrame, FRAME_SAMPLES};
use trill::media::jitter::JitterBuffer;
use trill::media::level::minus_dbov;
use trill::media::mixer::Mixer;
use trill::media::rtp::{ReceivedPacket, RtpPacket};
use trill::media::stretch::{LONGEST, lengthen, shorten};
use trill::media::vp8::{Descriptor, Packetizer};

/// A frame of 720p at 1.5 Mbit/s.
const FRAME_BYTES: usize = 6250;

fn vp8_payload(c: &mut Criterion) {
    let frame = vec![1; FRAME_BYTES];
    let mut packetizer = Packetizer::new(0);
    let mut group = c.benchmark_group("vp8 payload");
    group.throughput(Throughput::Bytes(FRAME_BYTES as u64));
    group.bench_function("frame to packets", |b| {
        b.iter(|| {
            let mut packets = 0;
            packetizer.packetize(&frame, |payload, _| packets += payload.len());
            packets
        })
    });
    group.finish();
    let payload = [0x90, 0x80, 0x81, 0x23, 1, 2, 3, 4];
    c.bench_function("vp8 descriptor", |b| {
        b.iter(|| Descriptor::parse(std::hint::black_box(&payload)).unwrap().1.len())
    });
}

fn assembly(c: &mut Criterion) {
    let start = Instant::now();
    let mut packetizer = Packetizer::new(0);
    let mut assembler = FrameAssembler::default();
    let (mut sequence, mut n) = (0u16, 0u32);
    c.bench_function("packets to frame", |b| {
        let packets = || {
            let frame = [u8::from(n > 0); FRAME_BYTES];
            let arrival = start + Duration::from_millis(33) * n;
            let mut packets = Vec::new();
            packetizer.packetize(&frame, |payload, marker| {
                let packet = RtpPacket {
                    sequence,
                    timestamp: n.wrapping_mul(3000),
                    marker,
                    payload,
                    red: false,
                    audio_level: None,
                };
                sequence = sequence.wrapping_add(1);
                packets.push(ReceivedPacket { packet, arrival });
            });
            n += 1;
            (packets, arrival)
        };
        let assemble = |(packets, arrival): (Vec<ReceivedPacket>, Instant)| {
            packets.into_iter().for_each(|packet| assembler.insert(packet));
            assembler.poll(arrival).expect("every frame is whole").data.len()
        };
        // One at a time, as the frames follow each other.
        b.iter_batched(packets, assemble, BatchSize::PerIteration)
    });
}

fn jitter(c: &mut Criterion) {
    let start = Instant::now();
    let payload = Bytes::from_static(&[31 << 3; 80]);
    let mut buffer = JitterBuffer::default();
    let mut n = 0u32;
    c.bench_function("jitter buffer insert and pull", |b| {
        b.iter(|| {
            let arrival = start + Duration::from_millis(20) * n;
            let packet = RtpPacket {
                sequence: n as u16,
                timestamp: n.wrapping_mul(960),
                marker: false,
                payload: payload.clone(),
                red: false,
                audio_level: None,
            };
            buffer.insert(ReceivedPacket { packet, arrival });
            n += 1;
            buffer.pull(arrival, 0)
        })
    });
}

fn pace(c: &mut Criterion) {
    let wave = |t: f64| (1..8).map(|h| (t * f64::from(h)).sin() / f64::from(h)).sum::<f64>();
    let mut voice = [0; FRAME_SAMPLES + LONGEST];
    voice[..FRAME_SAMPLES].iter_mut().enumerate().for_each(|(n, s)| *s = (6000.0 * wave(n as f64 * 0.0157)) as i16);
    c.bench_function("20 ms of a voice made shorter", |b| {
        b.iter_batched_ref(
            || voice,
            |voice| shorten(&mut voice[..FRAME_SAMPLES], LONGEST, false),
            BatchSize::SmallInput,
        )
    });
    c.bench_function("20 ms of a voice made longer", |b| {
        b.iter_batched_ref(|| voice, |voice| lengthen(voice, FRAME_SAMPLES), BatchSize::SmallInput)
    });
}

fn mix(c: &mut Criterion) {
    let talker = AudioFrame { samples: std::array::from_fn(|i| ((i * 37) % 20_000) as i16 - 10_000) };
    let mut mixer = Mixer::default();
    let mut out = AudioFrame::SILENCE;
    for talkers in [2, 8] {
        c.bench_function(&format!("mix {talkers} talkers"), |b| {
            b.iter(|| {
                (0..talkers).for_each(|_| mixer.add(&talker));
                mixer.finish(&mut out);
                out.samples[FRAME_SAMPLES / 2]
            })
        });
    }
    c.bench_function("audio level", |b| b.iter(|| minus_dbov(&talker.samples)));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = vp8_payload, assembly, jitter, pace, mix
}
criterion_main!(benches);
