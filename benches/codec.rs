//! What a frame costs in the codecs, through our wrappers. One thread, the settings of a call.

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::Duration;
use trill::codec::opus::{DEFAULT_BITRATE_BPS, OpusDecoder, OpusEncoder};
use trill::codec::vp8::{Vp8Decoder, Vp8Encoder};
use trill::codec::{AudioDecoder, AudioEncoder, VideoDecoder, VideoEncoder};
use trill::device::TestPicture;
use trill::media::frame::{AudioFrame, FRAME_SAMPLES, VideoFrame};
use trill::media::opus::MAX_PACKET_SAMPLES;
use trill::media::scale::Scaler;

/// Harmonics of a gliding pitch: speech to the codec.
fn speech() -> Vec<AudioFrame> {
    let sample = |at: usize| {
        let t = at as f64 / 48_000.0;
        let phase = std::f64::consts::TAU * (120.0 * t + 4.0 * (t * 2.0).sin());
        let voice: f64 = (1..20).map(|h| (phase * f64::from(h)).sin() / f64::from(h)).sum();
        (voice * 5000.0 * (0.6 + 0.4 * (t * 18.0).sin())) as i16
    };
    (0..50).map(|n| AudioFrame { samples: std::array::from_fn(|i| sample(n * FRAME_SAMPLES + i)) }).collect()
}

fn opus(c: &mut Criterion) {
    let frames = speech();
    let mut encoder = OpusEncoder::new(DEFAULT_BITRATE_BPS).unwrap();
    encoder.set_loss_percent(5).unwrap();
    let packets: Vec<Vec<u8>> = frames.iter().map(|frame| encoder.encode(frame).unwrap().to_vec()).collect();
    let mut n = 0;
    c.bench_function("opus encode 20 ms", |b| {
        b.iter(|| {
            n += 1;
            encoder.encode(&frames[n % frames.len()]).unwrap().len()
        })
    });
    let mut decoder = OpusDecoder::new().unwrap();
    let mut out = [0; MAX_PACKET_SAMPLES];
    c.bench_function("opus decode 20 ms", |b| {
        b.iter(|| {
            n += 1;
            decoder.decode(&packets[n % packets.len()], &mut out).unwrap()
        })
    });
    c.bench_function("opus conceal 20 ms", |b| b.iter(|| decoder.conceal(&mut out[..FRAME_SAMPLES]).unwrap()));
}

fn pictures(width: u32, height: u32) -> Vec<VideoFrame> {
    let source = TestPicture::new(width, height, 30).unwrap();
    (0..60)
        .map(|n| {
            let mut frame = VideoFrame::black(2, 2).unwrap();
            source.draw(n, &mut frame).unwrap();
            frame
        })
        .collect()
}

fn vp8(c: &mut Criterion) {
    for (name, width, height, bps) in
        [("360p", 640, 360, 600_000), ("720p", 1280, 720, 1_500_000), ("1080p", 1920, 1080, 3_000_000)]
    {
        let frames = pictures(width, height);
        let mut encoder = Vp8Encoder::new(bps, 30);
        let mut n = 0u32;
        c.bench_function(&format!("vp8 encode {name}"), |b| {
            b.iter(|| {
                n += 1;
                let time = Duration::from_micros(33_333) * n;
                encoder.encode(&frames[n as usize % frames.len()], time, false).unwrap().map(|e| e.data.len())
            })
        });
        // A stream that begins with a key frame, decoded over and over.
        let mut encoder = Vp8Encoder::new(bps, 30);
        let stream: Vec<Vec<u8>> = frames
            .iter()
            .filter_map(|frame| encoder.encode(frame, frame.timestamp, false).unwrap().map(|e| e.data.to_vec()))
            .collect();
        let mut decoder = Vp8Decoder::new().unwrap();
        let mut n = 0;
        c.bench_function(&format!("vp8 decode {name}"), |b| {
            b.iter(|| {
                n += 1;
                decoder.decode(&stream[(n - 1) % stream.len()], Duration::ZERO).unwrap().map(VideoFrame::width)
            })
        });
    }
}

/// What a camera delivers, made what the encoder takes.
#[cfg(feature = "devices")]
fn convert(c: &mut Criterion) {
    use trill::device::camera::{PixelFormat, bench::Converter};
    let (mut converter, mut to) = (Converter::default(), VideoFrame::black(1280, 720).unwrap());
    // Bytes of no pattern; each format takes as many as it has.
    let from: Vec<u8> = (0..1280 * 720 * 3u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Rgb, PixelFormat::I420] {
        c.bench_function(&format!("720p from {format:?} to I420"), |b| {
            b.iter(|| converter.convert(format, (1280, 720), &from, &mut to).unwrap())
        });
    }
}

#[cfg(not(feature = "devices"))]
fn convert(_: &mut Criterion) {}

fn scale(c: &mut Criterion) {
    let from = &pictures(1280, 720)[0];
    let mut to = VideoFrame::black(640, 360).unwrap();
    let mut scaler = Scaler::default();
    c.bench_function("scale 720p to 360p", |b| b.iter(|| scaler.scale(from, &mut to).unwrap()));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = opus, vp8, convert, scale
}
criterion_main!(benches);
