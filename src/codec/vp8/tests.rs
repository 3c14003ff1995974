use super::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Encodes a picture at the time that it states.
fn encode<'a>(encoder: &'a mut Vp8Encoder, picture: &VideoFrame, key: bool) -> Option<EncodedVideo<'a>> {
    encoder.encode(picture, picture.timestamp, key).unwrap()
}

/// A picture with edges, texture and smooth shades that moves by two pixels a frame.
fn picture(width: u32, height: u32, n: u32) -> VideoFrame {
    let mut frame = VideoFrame::black(width, height).unwrap();
    frame.timestamp = Duration::from_millis(33) * n;
    let stride = frame.stride();
    let [y, u, v] = frame.planes_mut();
    for (at, value) in y.iter_mut().enumerate() {
        let (px, py) = ((at % stride) as u32 + 2 * n, (at / stride) as u32);
        let shade = (px + 2 * py) / 4 % 120 + 60;
        let texture = ((px / 3 * 7) ^ (py / 3 * 13)) % 16;
        let disc = (px % 160).abs_diff(80).pow(2) + py.abs_diff(height / 2).pow(2) < 1600;
        *value = (shade + texture + if disc { 50 } else { 0 }).min(235) as u8;
    }
    u.iter_mut().enumerate().for_each(|(at, value)| *value = 100 + (at / 64 % 50) as u8);
    v.iter_mut().enumerate().for_each(|(at, value)| *value = 150 - (at / 96 % 40) as u8);
    frame
}

fn psnr(a: &VideoFrame, b: &VideoFrame) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let [a, b] = [a.planes()[0], b.planes()[0]];
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 / (squares / a.len() as f64).max(1e-9)).log10()
}

#[test]
fn a_moving_picture_comes_out_as_it_went_in() {
    let mut encoder = Vp8Encoder::new(1_000_000, 30);
    let mut decoder = Vp8Decoder::new().unwrap();
    let mut worst = f64::MAX;
    let mut bytes = 0;
    for n in 0..30 {
        let sent = picture(320, 240, n);
        let encoded = encode(&mut encoder, &sent, false).expect("no frame is left out at this rate");
        assert_eq!(encoded.key, n == 0);
        bytes += encoded.data.len();
        let shown = decoder.decode(encoded.data, sent.timestamp).unwrap().unwrap();
        assert_eq!(shown.timestamp, sent.timestamp);
        worst = worst.min(psnr(&sent, shown));
    }
    assert!(worst > 30.0, "{worst:.1} dB");
    assert!(bytes < 250_000, "{bytes} bytes in a second at 1 Mbit/s");
}

#[test]
fn odd_sizes_and_a_change_of_size_pass() {
    let mut encoder = Vp8Encoder::new(500_000, 30);
    let mut decoder = Vp8Decoder::new().unwrap();
    for (n, (width, height)) in [(161, 121), (161, 121), (321, 241), (64, 48), (1, 1)].into_iter().enumerate() {
        let sent = picture(width, height, n as u32);
        let encoded = encode(&mut encoder, &sent, false).unwrap();
        assert_eq!(encoded.key, n != 1);
        let shown = decoder.decode(encoded.data, Duration::ZERO).unwrap().unwrap();
        let psnr = psnr(&sent, shown);
        assert!(psnr > 25.0, "{width}x{height}: {psnr:.1} dB");
    }
}

#[test]
fn a_key_frame_comes_when_asked_for() {
    let mut encoder = Vp8Encoder::new(500_000, 30);
    let keys: Vec<bool> = (0..10).map(|n| encode(&mut encoder, &picture(160, 120, n), n == 6).unwrap().key).collect();
    assert_eq!(keys.iter().enumerate().filter(|(_, key)| **key).map(|(n, _)| n).collect::<Vec<_>>(), [0, 6]);
}

#[test]
fn the_bitrate_follows_at_run_time() {
    let mut encoder = Vp8Encoder::new(2_000_000, 30);
    // Two seconds of pictures that jump so far that each has to be coded anew.
    let two_seconds = |encoder: &mut Vp8Encoder, from: u32| -> usize {
        let size = |n: u32| {
            let encoded = encoder.encode(&picture(320, 240, n * 41), Duration::from_millis(33) * n, false).unwrap();
            encoded.map_or(0, |encoded| encoded.data.len())
        };
        (from..from + 60).map(size).sum()
    };
    let before = two_seconds(&mut encoder, 0);
    encoder.set_bitrate(150_000).unwrap();
    two_seconds(&mut encoder, 60);
    let after = two_seconds(&mut encoder, 120);
    assert!(before > 3 * after, "{before} bytes, then {after}");
    assert!(after * 8 / 2 < 220_000, "{} bit/s", after * 8 / 2);
}

#[test]
fn damaged_data_is_an_error_and_a_key_frame_puts_it_right() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut encoder = Vp8Encoder::new(500_000, 30);
    let mut decoder = Vp8Decoder::new().unwrap();
    for n in 0..200 {
        let mut data = encode(&mut encoder, &picture(160, 120, n), false).unwrap().data.to_vec();
        match n % 4 {
            0 => data.truncate(rng.random_range(0..data.len())),
            1 => (0..20).for_each(|_| {
                let at = rng.random_range(0..data.len());
                data[at] = rng.random();
            }),
            2 => data = (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
            _ => {}
        }
        if let Err(error) = decoder.decode(&data, Duration::ZERO) {
            assert_eq!(error.code(), ErrorCode::Codec);
        }
    }
    let sent = picture(160, 120, 200);
    let data = encode(&mut encoder, &sent, true).unwrap().data.to_vec();
    assert!(psnr(&sent, decoder.decode(&data, Duration::ZERO).unwrap().unwrap()) > 25.0);
}

#[test]
fn a_key_frame_that_claims_a_huge_picture_is_refused() {
    for side in [16_383u16, 8_000] {
        let [low, high] = side.to_le_bytes();
        let mut data = vec![0x10, 0x00, 0x00, 0x9d, 0x01, 0x2a, low, high, low, high];
        data.resize(500, 0);
        let error = Vp8Decoder::new().unwrap().decode(&data, Duration::ZERO).unwrap_err();
        assert!(error.message().contains(&format!("{side}x{side}")), "{error}");
    }
}
