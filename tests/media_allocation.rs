//! The audio paths in steady state ask for no memory: a call's sound does not depend on the allocator.

#![allow(clippy::disallowed_methods, reason = "pipelines run in real time")]

use bytes::{Bytes, BytesMut};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trill::base::Result;
use trill::codec::AudioEncoder;
use trill::codec::opus::OpusEncoder;
use trill::device::{AudioSink, AudioSource, Next};
use trill::engine::pipeline::{AudioSender, PACKET_QUEUE, Playout};
use trill::media::control::SendControl;
use trill::media::frame::{AudioFrame, FRAME_SAMPLES};
use trill::media::red::RedWriter;
use trill::media::rtp::{ReceivedPacket, RtpPacket};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is counted is what all threads ask for: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// It is measured so often at most, until nothing was asked for: where this machine held a thread up for a while, a
/// queue grows or a block is still held, and that is no steady state. What each frame asks for shows every time.
const REGIONS: usize = 5;

/// Counts what it is given, and how much of it is not silent.
#[derive(Clone, Default)]
struct Counter(Arc<(AtomicU64, AtomicU64)>);

impl AudioSink for Counter {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        self.0.0.fetch_add(1, Relaxed);
        self.0.1.fetch_add(u64::from(frame.samples.iter().any(|s| s.abs() > 1000)), Relaxed);
        Ok(())
    }
}

#[test]
fn receiving_decoding_and_mixing_audio_does_not_allocate() {
    /// Frames before it is measured, and in each region: 1 s and 3 s.
    const BEFORE: usize = 50;
    const EACH: usize = 150;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut encoder = OpusEncoder::new(32_000).unwrap();
    let mut red = RedWriter::default();
    // As it is, and in RED.
    let packets: Vec<[Bytes; 2]> = (0..=BEFORE + REGIONS * EACH)
        .map(|n| {
            let sample = |i| (8000.0 * ((n * FRAME_SAMPLES + i) as f64 * 0.05).sin()) as i16;
            let packet = encoder.encode(&AudioFrame { samples: std::array::from_fn(sample) }).unwrap();
            let mut in_red = BytesMut::new();
            red.write(111, 1, (n * FRAME_SAMPLES) as u32, packet, &mut in_red);
            let packets = [Bytes::copy_from_slice(packet), in_red.freeze()];
            // The first clone makes it shared, which allocates: here, not while it is measured.
            drop(packets.clone());
            packets
        })
        .collect();
    let counter = Counter::default();
    let playout = Playout::start(Box::new(counter.clone())).unwrap();
    let talkers = [(), ()].map(|()| playout.add(None, Box::new(|| ()), None).unwrap());
    let inputs = talkers.each_ref().map(|talker| talker.input());

    let start = Instant::now();
    let mut begun: Option<(Region<'_, System>, u64)> = None;
    let (mut allocates, mut others) = (true, Vec::new());
    for (n, payloads) in packets.iter().enumerate() {
        while start.elapsed() < Duration::from_millis(20) * n as u32 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Every twentieth is lost: concealment and recovery are measured too.
        if n % 20 != 19 {
            for ((input, payload), red) in inputs.iter().zip(payloads).zip([false, true]) {
                let packet = RtpPacket {
                    sequence: n as u16,
                    timestamp: (n * FRAME_SAMPLES) as u32,
                    marker: n == 0,
                    payload: payload.clone(),
                    red,
                    audio_level: None,
                };
                assert!(input.push(ReceivedPacket { packet, arrival: Instant::now() }));
            }
        }
        if n < BEFORE || !(n - BEFORE).is_multiple_of(EACH) {
            continue;
        }
        let loud = counter.0.1.load(Relaxed);
        if let Some((region, loud_before)) = begun.take() {
            let (change, loud) = (region.change(), loud - loud_before);
            // Fewer were heard where this thread was held up.
            if (change.allocations, change.reallocations) == (0, 0) && loud > 100 {
                allocates = false;
                break;
            }
            others.push((loud, change));
        }
        begun = Some((Region::new(ALLOCATOR), loud));
    }
    println!("frames that were heard, and what was allocated meanwhile, where it was not clean: {others:?}");
    assert!(!allocates, "in each region: {others:?}");
    let [plain, in_red] = talkers.map(|talker| talker.stats().report());
    assert!(plain.fec_recovered + plain.concealed > 0, "{plain:?}");
    assert!(in_red.red_recovered > 0, "{in_red:?}");
}

/// A tone, faster than it is played.
struct Hurried(u64);

impl AudioSource for Hurried {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        std::thread::sleep(Duration::from_millis(1));
        let begin = self.0 * FRAME_SAMPLES as u64;
        for (sample, n) in frame.samples.iter_mut().zip(begin..) {
            *sample = (8000.0 * (n as f64 * 0.05).sin()) as i16;
        }
        self.0 += 1;
        Ok(Next::Frame)
    }
}

#[test]
fn encoding_and_sending_audio_does_not_allocate_in_red_or_as_it_is() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for red in [false, true] {
        let control = Arc::new(SendControl::new(32_000));
        control.set_takes_red(red);
        // Each packet repeats two.
        control.set_loss_percent(10);
        let (out, mut packets) = tokio::sync::mpsc::channel(PACKET_QUEUE);
        let _sender = AudioSender::start(Box::new(Hurried(0)), control, out).unwrap();
        let (mut count, mut bytes) = (0u32, 0);
        let mut begun: Option<Region<'_, System>> = None;
        let (mut allocates, mut others) = (true, Vec::new());
        let start = Instant::now();
        while allocates && others.len() < REGIONS {
            assert!(start.elapsed() < Duration::from_secs(120), "{count} packets in two minutes");
            let Ok(packet) = packets.try_recv() else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            assert_eq!(packet.red, red);
            count += 1;
            bytes += packet.payload.len();
            // The first 500 come before it is steady; then 700 each time.
            if count < 500 || !(count - 500).is_multiple_of(700) {
                continue;
            }
            if let Some(region) = begun.take() {
                let change = region.change();
                // More than both blocks that the payloads are cut from.
                assert!(bytes > 32 * 1024, "{bytes}");
                if (change.allocations, change.reallocations) == (0, 0) {
                    allocates = false;
                } else {
                    others.push(change);
                }
            }
            (begun, bytes) = (Some(Region::new(ALLOCATOR)), 0);
        }
        println!("red {red}: what was allocated in 700 packets, where it was not clean: {others:?}");
        assert!(!allocates, "red {red}, in 700 packets each time: {others:?}");
    }
}
