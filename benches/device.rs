//! What a frame costs between a device and the codec, one thread: from the microphone's callback to the encoder, voice
//! processing, and from the decoder to the speaker's callback.

#![allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]

use criterion::{Criterion, criterion_group, criterion_main};
use rtrb::RingBuffer;
use std::sync::Arc;
use std::time::Instant;
use trill::device::Resampler;
use trill::device::sound::realtime::{Capturing, Rendering};
use trill::media::frame::{AudioFrame, FRAME_DURATION, FRAME_SAMPLES, SAMPLE_RATE};
use trill::processing::{VoiceControl, VoiceProcessing, VoiceProcessor, playback_reference};
use trill::testkit::speech::Speech;

const CHANNELS: usize = 2;

/// Two periods of 10 ms through the callback and the ring, resampled, and one frame of it.
fn capture(c: &mut Criterion) {
    let mut group = c.benchmark_group("capture to encoder, 20 ms");
    for rate in [48_000u32, 44_100] {
        let period = vec![1000i16; rate as usize / 100 * CHANNELS];
        let (out, mut ring) = RingBuffer::new(rate as usize / 2);
        let mut capturing = Capturing::new(out, CHANNELS);
        let mut resampler = Resampler::new(rate, SAMPLE_RATE).unwrap();
        let (mut raw, mut ready, mut frame) = (Vec::new(), Vec::new(), AudioFrame::SILENCE);
        group.bench_function(format!("{rate} Hz"), |b| {
            b.iter(|| {
                capturing.take(&period);
                capturing.take(&period);
                raw.clear();
                while let Ok(sample) = ring.pop() {
                    raw.push(sample);
                }
                resampler.push(&raw, &mut ready).unwrap();
                if let Some(samples) = ready.get(..FRAME_SAMPLES) {
                    frame.samples.iter_mut().zip(samples).for_each(|(to, from)| *to = (from * 32_768.0) as i16);
                    ready.drain(..FRAME_SAMPLES);
                }
                frame.samples[0]
            })
        });
    }
    group.finish();
}

fn speech(seed: u64, pitch_hz: f32) -> Vec<AudioFrame> {
    let mut voice = Speech::new(seed, pitch_hz);
    let next = |_| {
        let mut frame = AudioFrame::SILENCE;
        voice.next_frame(&mut frame);
        frame
    };
    (0..500).map(next).collect()
}

/// Half of the time that is told: the library works on 10 ms, and a frame is two of them.
fn processing(c: &mut Criterion) {
    let mut group = c.benchmark_group("voice processing, 20 ms");
    for (name, parts) in [
        ("all", VoiceProcessing::ALL),
        ("all, nobody talks", VoiceProcessing::ALL),
        ("echo cancellation", VoiceProcessing { echo_cancellation: true, ..VoiceProcessing::NONE }),
        ("noise suppression", VoiceProcessing { noise_suppression: true, ..VoiceProcessing::NONE }),
        ("gain control", VoiceProcessing { gain_control: true, ..VoiceProcessing::NONE }),
        ("high-pass", VoiceProcessing { high_pass: true, ..VoiceProcessing::NONE }),
    ] {
        let (tap, reference) = playback_reference();
        let mut processor = VoiceProcessor::new(Arc::new(VoiceControl::new(parts)), reference);
        let (mut played, mut heard) = (speech(1, 120.0), speech(2, 210.0));
        let (start, mut n) = (Instant::now(), 0usize);
        let mut step = |played: &[AudioFrame], heard: &[AudioFrame]| {
            let now = start + FRAME_DURATION * n as u32;
            tap.play(&played[n % played.len()], now);
            let mut frame = heard[n % heard.len()].clone();
            processor.process(&mut frame, now);
            n += 1;
            frame.samples[0]
        };
        if name.ends_with("nobody talks") {
            // Digital silence, as a mixer and a muted microphone make it, after somebody did for a second.
            for _ in 0..50 {
                step(&played, &heard);
            }
            [&mut played, &mut heard].into_iter().for_each(|frames| frames.fill(AudioFrame::SILENCE));
        }
        group.bench_function(name, |b| b.iter(|| step(&played, &heard)));
    }
    group.finish();
}

/// One frame resampled and through the ring, and two periods of 10 ms of the callback.
fn playback(c: &mut Criterion) {
    let mut group = c.benchmark_group("decoder to speaker, 20 ms");
    for rate in [48_000u32, 44_100] {
        let mut period = vec![0i16; rate as usize / 100 * CHANNELS];
        let (mut ring, from) = RingBuffer::new(rate as usize / 4);
        let mut rendering = Rendering::new(from, CHANNELS, Arc::default(), Arc::default());
        let mut resampler = Resampler::new(SAMPLE_RATE, rate).unwrap();
        let frame = AudioFrame { samples: [1000; FRAME_SAMPLES] };
        let (mut mono, mut ready) = (Vec::new(), Vec::new());
        group.bench_function(format!("{rate} Hz"), |b| {
            b.iter(|| {
                mono.clear();
                mono.extend(frame.samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
                ready.clear();
                resampler.push(&mono, &mut ready).unwrap();
                for sample in &ready {
                    let _ = ring.push(*sample);
                }
                rendering.fill(&mut period);
                rendering.fill(&mut period);
                period[0]
            })
        });
    }
    group.finish();
}

criterion_group!(benches, capture, processing, playback);
criterion_main!(benches);
