//! A sender and a receiver in virtual time, with a path between them that a test bends.

use super::*;
use crate::media::frame::{AudioFrame, FRAME_DURATION, VideoFrame};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;

const START: Duration = Duration::new(1_795_000_000, 3_000_000);
const MS: Duration = Duration::from_millis(1);

/// What reaches the receiver of each frame, and when: the frame's number and capture time in, arrival out.
type Path<'a> = &'a mut dyn FnMut(u32, Duration) -> Option<Duration>;

fn watch(seconds: u32, analyser: &mut Analyser, path: Path) {
    let picture = Picture::new(128, 72, 3).unwrap();
    let mut frame = VideoFrame::black(2, 2).unwrap();
    for number in 0..seconds * 30 {
        let captured = START + Duration::from_nanos(33_333_333) * number;
        picture.draw(number, captured, &mut frame).unwrap();
        if let Some(arrival) = path(number, captured) {
            analyser.video(&frame, arrival);
        }
    }
}

fn listen(
    seconds: u32,
    analyser: &mut Analyser,
    path: &mut dyn FnMut(u32, Duration, &mut AudioFrame) -> Option<Duration>,
) {
    let mut track = ToneTrack::new(START);
    let mut frame = AudioFrame::SILENCE;
    for number in 0..seconds * 50 {
        let captured = track.position();
        track.next_frame(&mut frame);
        if let Some(arrival) = path(number, captured, &mut frame) {
            analyser.audio(&frame, arrival);
        }
    }
}

fn end(seconds: u32) -> Duration {
    START + Duration::from_secs(seconds.into())
}

fn near(spread: Option<Spread>, expected: f64, within: f64) -> bool {
    spread.is_some_and(|s| (s.min - expected).abs() <= within && (s.max - expected).abs() <= within)
}

#[test]
fn a_good_path_is_reported_as_it_is() {
    let mut analyser = Analyser::new(3);
    watch(10, &mut analyser, &mut |_, captured| Some(captured + 80 * MS));
    listen(10, &mut analyser, &mut |_, captured, _| Some(captured + 60 * MS));
    let report = analyser.report(end(10));
    let (video, audio) = (report.video.unwrap(), report.audio.unwrap());
    assert_eq!((video.shown, video.missing, video.freezes, video.unreadable), (300, 0, 0, 0));
    assert!((video.fps - 30.0).abs() < 0.1 && near(video.latency_ms, 80.0, 0.11), "{report}");
    assert!((18..=20).contains(&audio.marks) && audio.marks_missing == 0, "{report}");
    assert!(near(audio.latency_ms, 60.0, 0.5), "{report}");
    assert_eq!((audio.silences, audio.jumps), (0, 0), "{report}");
    assert!(report.sees() && report.hears());
}

#[test]
fn the_sound_is_compared_with_the_picture_of_the_same_time() {
    let mut analyser = Analyser::new(3);
    let picture = Picture::new(64, 64, 3).unwrap();
    let (mut frame, mut sound) = (VideoFrame::black(2, 2).unwrap(), AudioFrame::SILENCE);
    let mut track = ToneTrack::new(START);
    for number in 0..500 {
        let captured = track.position();
        picture.draw(number, captured, &mut frame).unwrap();
        track.next_frame(&mut sound);
        analyser.video(&frame, captured + 100 * MS);
        analyser.audio(&sound, captured + 140 * MS);
    }
    assert!(near(analyser.report(end(10)).av_offset_ms, 40.0, 1.0), "{}", analyser.report(end(10)));
}

#[test]
fn the_report_stands_in_json_and_for_people() {
    let mut analyser = Analyser::new(3);
    watch(2, &mut analyser, &mut |_, captured| Some(captured + 80 * MS));
    let report = analyser.report(end(2));
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    let told = report.to_string();
    assert!(told.contains("30.0 fps") && told.contains("audio    none"), "{told}");
}

#[test]
fn marks_are_found_to_a_millisecond_through_noise_at_other_volumes_and_a_drifting_clock() {
    let mut rng = StdRng::seed_from_u64(4);
    for volume in [1.0, 0.3, 2.0] {
        let mut analyser = Analyser::new(0);
        listen(20, &mut analyser, &mut |number, captured, frame| {
            for sample in &mut frame.samples {
                *sample = (f32::from(*sample) * volume + rng.random_range(-1000.0..1000.0)) as i16;
            }
            // 300 ppm: 6 us a frame.
            Some(captured + 50 * MS + Duration::from_micros(6) * number)
        });
        let audio = analyser.report(end(20)).audio.unwrap();
        let latency = audio.latency_ms.unwrap();
        assert!((38..=40).contains(&audio.marks) && audio.marks_missing == 0, "{audio:?}");
        assert!(latency.min >= 49.0 && latency.max <= 57.0 && (latency.p50 - 53.0).abs() < 1.0, "{latency}");
    }
}

#[test]
fn noise_and_speech_like_sound_hold_no_marks() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut reader = ToneReader::default();
    let mut frame = AudioFrame::SILENCE;
    for number in 0..300u32 {
        let harmonics = 100.0 + 50.0 * (number as f32 / 40.0).sin();
        for (at, sample) in frame.samples.iter_mut().enumerate() {
            let t = (number as f32 * 960.0 + at as f32) / 48_000.0;
            let voice: f32 = (1..20).map(|n| (std::f32::consts::TAU * harmonics * n as f32 * t).sin() / n as f32).sum();
            *sample = (3000.0 * voice + rng.random_range(-500.0..500.0)) as i16;
        }
        assert_eq!(reader.push(&frame, FRAME_DURATION * number), None);
    }
}

#[test]
fn pictures_that_never_come_are_missing_and_a_long_gap_is_a_freeze() {
    let mut analyser = Analyser::new(3);
    watch(10, &mut analyser, &mut |number, captured| {
        let lost = number % 50 == 10 || (100..130).contains(&number);
        (!lost).then_some(captured + 80 * MS)
    });
    let video = analyser.report(end(10)).video.unwrap();
    assert_eq!((video.shown, video.missing), (300 - 35, 35));
    assert_eq!(video.freezes, 1, "one second; a single picture less is none");
    assert!((video.frozen_ms - 1033.0).abs() < 3.0 && video.longest_gap_ms == video.frozen_ms, "{video:?}");
}

#[test]
fn a_freeze_that_lasts_to_the_end_counts_and_the_picture_is_gone() {
    let mut analyser = Analyser::new(3);
    watch(10, &mut analyser, &mut |number, captured| (number < 150).then_some(captured));
    let report = analyser.report(end(10));
    let video = report.video.unwrap();
    assert_eq!(video.freezes, 1);
    assert!((video.frozen_ms - 5033.0).abs() < 5.0, "{video:?}");
    assert!(!report.sees());
}

#[test]
fn repeated_old_foreign_and_unreadable_pictures_are_told_apart() {
    let picture = |stream, number| {
        let mut frame = VideoFrame::black(2, 2).unwrap();
        Picture::new(64, 64, stream).unwrap().draw(number, START, &mut frame).unwrap();
        frame
    };
    let mut analyser = Analyser::new(1);
    for frame in [picture(1, 7), picture(1, 7), picture(1, 6), picture(2, 9), VideoFrame::black(64, 64).unwrap()] {
        analyser.video(&frame, START);
    }
    // The number begins anew after 2^24.
    analyser.video(&picture(1, 8), START);
    let video = analyser.report(START).video.unwrap();
    assert_eq!((video.shown, video.repeated, video.out_of_order), (2, 1, 1));
    assert_eq!((video.foreign, video.unreadable, video.missing), (1, 1, 0));
}

#[test]
fn the_pictures_number_goes_on_over_its_wrap() {
    let mut analyser = Analyser::new(0);
    let picture = Picture::new(64, 64, 0).unwrap();
    let mut frame = VideoFrame::black(2, 2).unwrap();
    for number in 0xff_fff0..0x100_0010u32 {
        picture.draw(number & 0xff_ffff, START, &mut frame).unwrap();
        analyser.video(&frame, START);
    }
    let video = analyser.report(START).video.unwrap();
    assert_eq!((video.shown, video.missing, video.out_of_order), (32, 0, 0));
}

#[test]
fn a_hole_in_the_sound_is_a_silence_of_its_length() {
    let mut analyser = Analyser::new(0);
    listen(10, &mut analyser, &mut |number, captured, frame| {
        if (110..120).contains(&number) {
            *frame = AudioFrame::SILENCE;
        }
        Some(captured)
    });
    let audio = analyser.report(end(10)).audio.unwrap();
    assert_eq!(audio.silences, 1);
    assert!((180.0..=220.0).contains(&audio.silent_ms), "{audio:?}");
}

#[test]
fn a_frame_left_out_is_a_jump_and_a_mark_left_out_is_missing() {
    let mut analyser = Analyser::new(0);
    // Number 210 lies between two marks, 323 to 327 hold one.
    listen(10, &mut analyser, &mut |number, captured, _| {
        (number != 210 && !(323..=327).contains(&number)).then_some(captured)
    });
    let audio = analyser.report(end(10)).audio.unwrap();
    assert!(audio.jumps >= 1, "{audio:?}");
    assert_eq!((audio.marks_missing, audio.silences), (1, 0), "{audio:?}");
}

#[test]
fn a_medium_that_only_one_side_gets_goes_one_way() {
    let mut both = Analyser::new(3);
    watch(3, &mut both, &mut |_, captured| Some(captured));
    listen(3, &mut both, &mut |_, captured, _| Some(captured));
    let mut deaf = Analyser::new(3);
    watch(3, &mut deaf, &mut |_, captured| Some(captured));
    let (both, deaf) = (both.report(end(3)), deaf.report(end(3)));
    assert_eq!(one_way(&both, &deaf), OneWay { audio: true, video: false });
    assert_eq!(one_way(&both, &both), OneWay::default());
}
