//! The time codes through the real codecs: they must be read where a user would still call the picture and the sound
//! usable.

use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;
use trill::codec::opus::{OpusDecoder, OpusEncoder};
use trill::codec::vp8::{Vp8Decoder, Vp8Encoder};
use trill::codec::{AudioDecoder, AudioEncoder, VideoDecoder, VideoEncoder};
use trill::media::frame::{AudioFrame, FRAME_SAMPLES, VideoFrame};
use trill::media::opus::MAX_PACKET_SAMPLES;
use trill::testkit::timecode::{Analyser, AudioReport, Picture, ToneTrack, VideoReport};

const START: Duration = Duration::new(1_795_000_000, 0);
const PATH: Duration = Duration::from_millis(50);

#[test]
fn pictures_are_read_after_vp8_at_a_low_bitrate() {
    for (width, height, bps) in [(320, 180, 100_000), (640, 360, 300_000), (1280, 720, 800_000)] {
        let (video, bits_a_second) = through_vp8(width, height, bps, 5, |_| {});
        assert!(bits_a_second < 1.4 * f64::from(bps), "{bits_a_second} bit/s where {bps} was asked for");
        assert_eq!(video.unreadable, 0, "{width}x{height} at {bps} bit/s: {video:?}");
        assert!(video.shown > 50, "{width}x{height} at {bps} bit/s: {video:?}");
        assert!((video.latency_ms.unwrap().max - 50.0).abs() < 0.2);
    }
}

#[test]
fn pictures_are_read_after_vp8_and_scaling_to_a_half() {
    let (video, _) = through_vp8(640, 360, 500_000, 3, halve);
    assert_eq!((video.unreadable, video.width), (0, 320));
    assert!(video.shown > 60, "{video:?}");
}

#[test]
fn marks_are_heard_after_opus_at_any_bitrate() {
    for bps in [12_000, 24_000, 64_000] {
        let audio = through_opus(bps, 0.0);
        let latency = audio.latency_ms.unwrap();
        assert!(audio.marks >= 18 && audio.marks_missing == 0, "{bps} bit/s: {audio:?}");
        // The codec's look-ahead is 6.5 ms.
        assert!(latency.min > 54.0 && latency.max < 60.0, "{bps} bit/s: {latency}");
        assert_eq!((audio.silences, audio.jumps), (0, 0), "{bps} bit/s: {audio:?}");
    }
}

#[test]
fn marks_are_heard_through_concealed_loss() {
    let audio = through_opus(32_000, 0.1);
    let latency = audio.latency_ms.unwrap();
    assert!(audio.marks >= 14, "{audio:?}");
    assert!((latency.p50 - 56.5).abs() < 1.5 && latency.p95 < 70.0, "{latency}");
}

/// What an analyser says of `seconds` of pictures, and the bits a second that they took.
fn through_vp8(width: u32, height: u32, bps: u32, seconds: u32, shown: impl Fn(&mut VideoFrame)) -> (VideoReport, f64) {
    let picture = Picture::new(width, height, 1).unwrap();
    let mut encoder = Vp8Encoder::new(bps, 30);
    let mut decoder = Vp8Decoder::new().unwrap();
    let mut analyser = Analyser::new(1);
    let mut frame = VideoFrame::black(2, 2).unwrap();
    let mut bytes = 0;
    for number in 0..seconds * 30 {
        let since = Duration::from_micros(33_333) * number;
        picture.draw(number, START + since, &mut frame).unwrap();
        let Some(encoded) = encoder.encode(&frame, since, false).unwrap() else { continue };
        bytes += encoded.data.len();
        let mut decoded = decoder.decode(encoded.data, since).unwrap().unwrap().clone();
        shown(&mut decoded);
        analyser.video(&decoded, START + since + PATH);
    }
    let report = analyser.report(START + Duration::from_secs(seconds.into()));
    (report.video.unwrap(), bytes as f64 * 8.0 / f64::from(seconds))
}

/// What an analyser says of 10 s of tone, of whose packets this share was lost and concealed.
fn through_opus(bps: u32, loss: f64) -> AudioReport {
    let mut rng = StdRng::seed_from_u64(1);
    let mut track = ToneTrack::new(START);
    let mut encoder = OpusEncoder::new(bps).unwrap();
    let mut decoder = OpusDecoder::new().unwrap();
    let mut analyser = Analyser::new(0);
    let (mut frame, mut heard) = (AudioFrame::SILENCE, AudioFrame::SILENCE);
    let mut out = [0; MAX_PACKET_SAMPLES];
    for _ in 0..500 {
        let captured = track.position();
        track.next_frame(&mut frame);
        let packet = encoder.encode(&frame).unwrap();
        if rng.random_bool(loss) {
            decoder.conceal(&mut heard.samples).unwrap();
        } else {
            assert_eq!(decoder.decode(packet, &mut out).unwrap(), FRAME_SAMPLES);
            heard.samples.copy_from_slice(&out[..FRAME_SAMPLES]);
        }
        analyser.audio(&heard, captured + PATH);
    }
    analyser.report(START + Duration::from_secs(10)).audio.unwrap()
}

/// Every second pixel of every second row.
fn halve(frame: &mut VideoFrame) {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut small = VideoFrame::black(frame.width() / 2, frame.height() / 2).unwrap();
    for (y, row) in small.planes_mut()[0].chunks_exact_mut(width / 2).enumerate().take(height / 2) {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = frame.planes()[0][2 * y * width + 2 * x];
        }
    }
    *frame = small;
}
