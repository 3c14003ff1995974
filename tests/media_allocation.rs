//! The audio receive path in steady state asks for no memory: a call's sound does not depend on the allocator.

#![allow(clippy::disallowed_methods, reason = "pipelines run in real time")]

use bytes::{Bytes, BytesMut};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use trill::base::Result;
use trill::codec::AudioEncoder;
use trill::codec::opus::OpusEncoder;
use trill::device::AudioSink;
use trill::engine::pipeline::Playout;
use trill::media::frame::{AudioFrame, FRAME_SAMPLES};
use trill::media::red::RedWriter;
use trill::media::rtp::{ReceivedPacket, RtpPacket};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

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
    let mut encoder = OpusEncoder::new(32_000).unwrap();
    let mut red = RedWriter::default();
    // As it is, and in RED.
    let packets: Vec<[Bytes; 2]> = (0..200)
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
    let mut region = None;
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
        if n == 50 {
            region = Some((Region::new(ALLOCATOR), counter.0.1.load(Relaxed)));
        }
    }
    let (region, loud_before) = region.unwrap();
    let change = region.change();
    let loud = counter.0.1.load(Relaxed) - loud_before;
    assert!(loud > 100, "only {loud} frames were heard");
    assert_eq!((change.allocations, change.reallocations), (0, 0), "in {loud} frames: {change:?}");
    let [plain, in_red] = talkers.map(|talker| talker.stats().report());
    assert!(plain.fec_recovered + plain.concealed > 0, "{plain:?}");
    assert!(in_red.red_recovered > 0, "{in_red:?}");
}
