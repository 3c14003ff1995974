//! Hands-free in a room, in virtual time: what the far end says comes back from the speaker into the microphone.

#![allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]

use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trill::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE};
use trill::processing::{PlaybackTap, VoiceControl, VoiceProcessing, VoiceProcessor, playback_reference};
use trill::testkit::speech::Speech;

const FRAMES_A_SECOND: usize = 50;
/// The way from the speaker to the microphone: what comes how many milliseconds after the direct sound, and its share.
const ROOM: [(f32, f32); 6] = [(0.0, 0.46), (3.1, 0.13), (7.7, -0.12), (13.4, 0.08), (21.9, -0.06), (33.3, 0.04)];

#[test]
fn an_echo_is_down_by_35_db_after_5_seconds_whatever_its_delay() {
    for delay_ms in [60, 90, 120] {
        let mut room = Room::new(delay_ms, VoiceProcessing::ALL);
        room.run(5, Talks::Far);
        let loss = room.run(3, Talks::Far).loss_db();
        println!("figure: echo of {delay_ms} ms at -6 dB: {loss:.1} dB return loss after 5 s");
        assert!(loss >= 35.0, "{loss} dB at {delay_ms} ms");
    }
}

#[test]
fn a_delay_that_jumps_by_100_ms_is_found_again_within_5_seconds() {
    let mut room = Room::new(60, VoiceProcessing::ALL);
    room.run(8, Talks::Far);
    room.delay_ms += 100;
    let losses: Vec<f64> = (0..5).map(|_| room.run(1, Talks::Far).loss_db()).collect();
    println!("figure: echo return loss in each second after a step of 100 ms: {losses:.1?} dB");
    assert!(losses[4] >= 35.0, "{losses:?}");
}

#[test]
fn a_voice_is_kept_while_the_far_end_talks_too() {
    let processing = VoiceProcessing { gain_control: false, ..VoiceProcessing::ALL };
    let mut room = Room::new(90, processing);
    room.run(5, Talks::Far);
    let double = room.run(10, Talks::Both);
    // What the same voice is like after processing when nobody else talks.
    let mut quiet = Room::new(90, processing);
    quiet.run(5, Talks::Nobody);
    let alone = quiet.run(10, Talks::Near);

    keep([("voice", &double.near), ("microphone", &double.microphone), ("sent", &double.out), ("alone", &alone.out)]);

    let level = decibels(energy(&double.out) / energy(&alone.out));
    let same = correlation(&alone.out, &double.out);
    println!("figure: double talk: voice {level:.1} dB against alone, correlation {same:.2}");
    assert!((-6.0..3.0).contains(&level), "{level} dB");
    assert!(same >= 0.9, "{same}");
    // And what is left is that voice, not the echo.
    let echo = correlation(&double.echo, &double.out);
    assert!(echo < 0.2, "{echo}");
}

#[test]
fn clocks_of_microphone_and_speaker_that_drift_apart_do_not_bring_the_echo_back() {
    for drift_ppm in [-300.0, 300.0] {
        let mut room = Room::new(90, VoiceProcessing::ALL);
        room.drift_ppm = drift_ppm;
        // In the first seconds the difference is looked for.
        room.run(15, Talks::Far);
        let mut losses: Vec<f64> = (0..45).map(|_| room.run(1, Talks::Far).loss_db()).collect();
        losses.sort_by(f64::total_cmp);
        let (worst, tenth, median) = (losses[0], losses[losses.len() / 10], losses[losses.len() / 2]);
        println!(
            "figure: clocks {drift_ppm} ppm apart: {median:.1} dB return loss, {tenth:.1} in the tenth second, worst {worst:.1}"
        );
        assert!(tenth >= 30.0 && median >= 40.0, "{losses:.1?}");
    }
}

#[test]
fn playback_that_comes_in_bursts_is_cancelled_as_well() {
    let mut room = Room::new(90, VoiceProcessing::ALL);
    room.burst = 3;
    room.run(5, Talks::Far);
    let loss = room.run(3, Talks::Far).loss_db();
    assert!(loss >= 35.0, "{loss} dB");
}

#[test]
fn while_the_wait_gets_short_again_after_a_hiccup_the_echo_stays_down() {
    let mut room = Room::new(120, VoiceProcessing::ALL);
    room.run(5, Talks::Far);
    // The speaker's thread is late for a second.
    room.burst = 4;
    room.run(1, Talks::Far);
    room.burst = 1;
    let losses: Vec<f64> = (0..70).map(|_| room.run(1, Talks::Far).loss_db()).collect();
    println!("figure: echo return loss in each second after a hiccup: {losses:.0?} dB");
    // It gets shorter after ten seconds.
    assert!(losses[5..].iter().all(|loss| *loss >= 35.0), "{losses:.0?}");
}

#[test]
fn after_hiccups_a_short_echo_is_cancelled_again_within_a_minute() {
    let mut room = Room::new(40, VoiceProcessing::ALL);
    room.run(5, Talks::Far);
    // As long as the speaker's thread is late, what was played is waited for, longer than the echo takes.
    room.burst = 5;
    room.run(2, Talks::Far);
    room.burst = 1;
    let losses: Vec<f64> = (0..60).map(|_| room.run(1, Talks::Far).loss_db()).collect();
    println!("figure: echo return loss in each second after hiccups: {losses:.0?} dB");
    assert!(losses[55..].iter().all(|loss| *loss >= 35.0), "{losses:.0?}");
}

#[test]
fn after_a_pause_of_the_microphone_the_echo_is_gone_within_3_seconds() {
    let processing = VoiceProcessing { gain_control: false, ..VoiceProcessing::ALL };
    let mut room = Room::new(90, processing);
    room.run(8, Talks::Far);
    room.pause(4);
    // A device that starts again is a little earlier or later than it was.
    room.delay_ms += 6;
    let losses: Vec<f64> = (0..4).map(|_| room.run(1, Talks::Far).loss_db()).collect();
    println!("figure: echo return loss in each second after the microphone was muted: {losses:.1?} dB");
    assert!(losses[0] >= 12.0 && losses[3] >= 35.0, "{losses:?}");
}

#[test]
fn echo_cancellation_is_switched_while_it_runs() {
    let mut room = Room::new(60, VoiceProcessing { echo_cancellation: true, ..VoiceProcessing::NONE });
    room.run(5, Talks::Far);
    room.control.set(VoiceProcessing::NONE);
    let off = room.run(1, Talks::Far).loss_db();
    assert!(off.abs() < 0.1, "{off} dB when off");
    room.control.set(VoiceProcessing::ALL);
    room.run(5, Talks::Far);
    let on = room.run(1, Talks::Far).loss_db();
    assert!(on >= 35.0, "{on} dB when on again");
}

#[test]
fn a_voice_is_not_held_up_for_long() {
    let parts = [
        ("high-pass", VoiceProcessing { high_pass: true, ..VoiceProcessing::NONE }, 1.0),
        ("echo cancellation", VoiceProcessing { echo_cancellation: true, ..VoiceProcessing::NONE }, 6.0),
        ("noise suppression", VoiceProcessing { noise_suppression: true, ..VoiceProcessing::NONE }, 8.0),
        ("gain control", VoiceProcessing { gain_control: true, ..VoiceProcessing::NONE }, 1.0),
        ("all", VoiceProcessing::ALL, 13.0),
    ];
    for (name, processing, most) in parts {
        let mut room = Room::new(60, processing);
        room.run(1, Talks::Near);
        let heard = room.run(1, Talks::Near);
        let late = lag(&heard.near, &heard.out) as f64 / 48.0;
        println!("figure: {name}: a voice comes out {late:.1} ms later");
        assert!(late <= most, "{name}: {late} ms");
    }
}

#[test]
fn each_other_part_is_switched_while_it_runs_and_takes_nothing_with_it() {
    /// By how many dB a part changes what the microphone hears, once it is switched on.
    fn switched(name: &str, on: VoiceProcessing, ambience: Option<Ambience>, talks: Talks) -> f64 {
        let mut room = Room::new(60, VoiceProcessing::NONE);
        (room.ambience, room.near_gain) = (ambience, 0.05);
        let off = room.run(1, talks);
        assert_eq!(off.microphone, off.out, "{name} is off");
        room.control.set(on);
        room.run(14, talks);
        let heard = room.run(3, talks);
        room.control.set(VoiceProcessing::NONE);
        let off = room.run(1, talks);
        assert_eq!(off.microphone, off.out, "{name} is off again");
        decibels(energy(&heard.out) / energy(&heard.microphone))
    }
    let high_pass = VoiceProcessing { high_pass: true, ..VoiceProcessing::NONE };
    let rumble = |at: usize| 3000.0 * (at as f32 * 20.0 * TAU / SAMPLE_RATE as f32).sin();
    let rumble = switched("the high-pass", high_pass, Some(Box::new(rumble)), Talks::Nobody);
    assert!(rumble < -20.0, "{rumble} dB");
    let suppression = VoiceProcessing { noise_suppression: true, ..VoiceProcessing::NONE };
    let noise = switched("the noise suppression", suppression, Some(Box::new(hiss)), Talks::Nobody);
    assert!(noise < -9.0, "{noise} dB");
    let gain_control = VoiceProcessing { gain_control: true, ..VoiceProcessing::NONE };
    let soft = switched("the gain control", gain_control, None, Talks::Near);
    assert!((6.0..30.0).contains(&soft), "{soft} dB");
}

#[test]
fn with_everything_off_a_voice_passes_bit_for_bit() {
    let mut room = Room::new(60, VoiceProcessing::NONE);
    let heard = room.run(1, Talks::Near);
    assert_eq!(heard.near, heard.out);
}

#[test]
fn steady_noise_is_taken_down_and_the_voice_is_not() {
    let only = VoiceProcessing { noise_suppression: true, ..VoiceProcessing::NONE };
    let mut room = Room::new(60, only);
    room.ambience = Some(Box::new(hiss));
    room.run(3, Talks::Nobody);
    let heard = room.run(2, Talks::Nobody);
    let down = decibels(energy(&heard.microphone) / energy(&heard.out));
    let voice = room.run(5, Talks::Near);
    let kept = decibels(energy(&voice.out) / energy(&voice.near));
    println!("figure: noise suppression: noise {down:.1} dB down, voice at {kept:.1} dB");
    assert!(down >= 9.0, "{down} dB");
    assert!(kept > -3.0, "{kept} dB");
}

#[test]
fn rumble_and_an_offset_are_taken_out() {
    let only = VoiceProcessing { high_pass: true, ..VoiceProcessing::NONE };
    let mut room = Room::new(60, only);
    room.ambience = Some(Box::new(|at| 3000.0 + 3000.0 * (at as f32 * 20.0 * TAU / SAMPLE_RATE as f32).sin()));
    room.run(1, Talks::Nobody);
    let heard = room.run(2, Talks::Nobody);
    let down = decibels(energy(&heard.microphone) / energy(&heard.out));
    assert!(down >= 20.0, "{down} dB");
}

#[test]
fn a_soft_voice_is_lifted_and_a_loud_one_does_not_clip() {
    let only = VoiceProcessing { gain_control: true, ..VoiceProcessing::NONE };
    for (gain, lifted) in [(0.05, 6.0..30.0), (2.0, -12.0..3.0)] {
        let mut room = Room::new(60, only);
        room.near_gain = gain;
        room.run(15, Talks::Near);
        let heard = room.run(5, Talks::Near);
        let gained = decibels(energy(&heard.out) / energy(&heard.microphone));
        println!("figure: gain control: a voice at {gain} of its level is changed by {gained:.1} dB");
        assert!(lifted.contains(&gained), "{gained} dB");
        assert!(!heard.out.windows(3).any(|w| w.iter().all(|s| *s == i16::MAX)), "clipped");
    }
}

/// A hash of the sample's number: white, and the same each time.
fn hiss(at: usize) -> f32 {
    let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 54) as f32 - 512.0
}

#[derive(Clone, Copy, PartialEq)]
enum Talks {
    Nobody,
    Far,
    Near,
    Both,
}

/// Other sound at the microphone, by the sample's number.
type Ambience = Box<dyn Fn(usize) -> f32>;

struct Room {
    start: Instant,
    tap: PlaybackTap,
    processor: VoiceProcessor,
    control: Arc<VoiceControl>,
    far: Speech,
    near: Speech,
    near_gain: f32,
    delay_ms: usize,
    /// By so many parts of a million the speaker's clock is faster than the microphone's.
    drift_ppm: f64,
    /// Samples that the microphone has brought, by its own clock.
    captured: usize,
    /// So many frames are handed to the speaker at once.
    burst: usize,
    waiting: Vec<AudioFrame>,
    played: Vec<f32>,
    ambience: Option<Ambience>,
}

/// All samples of some time.
#[derive(Default)]
struct Heard {
    echo: Vec<i16>,
    near: Vec<i16>,
    microphone: Vec<i16>,
    out: Vec<i16>,
}

impl Room {
    /// The echo comes `delay_ms` after the speaker was given the sound, at some -6 dB.
    fn new(delay_ms: usize, processing: VoiceProcessing) -> Self {
        let (tap, reference) = playback_reference();
        let control = Arc::new(VoiceControl::new(processing));
        Self {
            start: Instant::now(),
            tap,
            processor: VoiceProcessor::new(control.clone(), reference),
            control,
            far: Speech::new(7, 120.0),
            near: Speech::new(8, 205.0),
            near_gain: 1.0,
            delay_ms,
            drift_ppm: 0.0,
            captured: 0,
            burst: 1,
            waiting: Vec::new(),
            played: Vec::new(),
            ambience: None,
        }
    }

    fn run(&mut self, seconds: usize, talks: Talks) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..seconds * FRAMES_A_SECOND {
            self.play_until_captured(matches!(talks, Talks::Far | Talks::Both));
            let mut near = AudioFrame::SILENCE;
            if matches!(talks, Talks::Near | Talks::Both) {
                self.near.next_frame(&mut near);
            }
            let mut frame = AudioFrame::SILENCE;
            let start = self.captured - FRAME_SAMPLES;
            for (n, (sample, near)) in frame.samples.iter_mut().zip(&mut near.samples).enumerate() {
                let echo = self.echo(start + n);
                *near = to_i16(f32::from(*near) * self.near_gain);
                let other = self.ambience.as_ref().map_or(0.0, |ambience| ambience(start + n));
                heard.echo.push(to_i16(echo));
                *sample = to_i16(echo + f32::from(*near) + other);
            }
            heard.near.extend_from_slice(&near.samples);
            heard.microphone.extend_from_slice(&frame.samples);
            let now = self.at(self.captured as f64);
            self.processor.process(&mut frame, now);
            heard.out.extend_from_slice(&frame.samples);
        }
        heard
    }

    /// Time in which the speaker plays and nothing is captured.
    fn pause(&mut self, seconds: usize) {
        for _ in 0..seconds * FRAMES_A_SECOND {
            self.play_until_captured(true);
        }
        self.processor.resume();
    }

    /// The microphone's next frame goes by; the speaker plays meanwhile what its clock says.
    fn play_until_captured(&mut self, talks: bool) {
        self.captured += FRAME_SAMPLES;
        while (self.played.len() as f64) < self.by_the_speaker(self.captured) {
            self.play(talks);
        }
    }

    /// So many samples after the beginning, by the microphone's clock.
    fn at(&self, samples: f64) -> Instant {
        self.start + Duration::from_secs_f64(samples / f64::from(SAMPLE_RATE))
    }

    /// Which sample the speaker is at when the microphone is at `captured`.
    fn by_the_speaker(&self, captured: usize) -> f64 {
        captured as f64 * (1.0 + self.drift_ppm / 1e6)
    }

    fn play(&mut self, talks: bool) {
        let mut frame = AudioFrame::SILENCE;
        if talks {
            self.far.next_frame(&mut frame);
        }
        self.played.extend(frame.samples.iter().map(|sample| f32::from(*sample)));
        self.waiting.push(frame);
        if self.waiting.len() >= self.burst {
            // When the newest of them begins, by the speaker's clock.
            let begins = (self.played.len() - FRAME_SAMPLES) as f64 / (1.0 + self.drift_ppm / 1e6);
            let at = self.at(begins);
            self.waiting.drain(..).for_each(|frame| self.tap.play(&frame, at));
        }
    }

    fn echo(&self, at: usize) -> f32 {
        let now = self.by_the_speaker(at);
        let reflection = |(late_ms, share): &(f32, f32)| {
            let late = (self.delay_ms as f32 + late_ms) * 48.0;
            let then = now - f64::from(late.floor());
            if then < 0.0 {
                return 0.0;
            }
            let (before, part) = (self.played[then as usize], then.fract() as f32);
            let after = self.played.get(then as usize + 1).unwrap_or(&before);
            (before + (after - before) * part) * share
        };
        ROOM.iter().map(reflection).sum()
    }
}

impl Heard {
    fn loss_db(&self) -> f64 {
        decibels(energy(&self.echo) / energy(&self.out))
    }
}

/// For `scripts/lib/echo`, which judges it by PESQ.
fn keep(sounds: [(&str, &[i16]); 4]) {
    let Some(folder) = std::env::var_os("TRILL_TEST_ECHO_OUT") else { return };
    for (name, samples) in sounds {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let path = std::path::Path::new(&folder).join(name).with_extension("wav");
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
    }
}

fn to_i16(sample: f32) -> i16 {
    sample.clamp(-32_768.0, 32_767.0) as i16
}

fn decibels(ratio: f64) -> f64 {
    10.0 * ratio.log10()
}

/// At least that of one sample of 1, so that silence is not infinitely far down.
fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>().max(1.0)
}

/// By how many samples, up to 30 ms, `b` is what `a` was.
fn lag(a: &[i16], b: &[i16]) -> usize {
    let like = |lag: usize| a.iter().zip(&b[lag..]).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    (0..1440).max_by(|x, y| like(*x).total_cmp(&like(*y))).unwrap_or(0)
}

/// From -1 to 1, at the lag of up to 20 ms at which it is the highest.
fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let at = |lag: usize, samples: usize| {
        let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (x, y) in a.iter().zip(&b[lag..]).take(samples) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        ab / (aa * bb).sqrt().max(1.0)
    };
    let first = 2 * SAMPLE_RATE as usize;
    let lag = (0..FRAME_SAMPLES).max_by(|x, y| at(*x, first).total_cmp(&at(*y, first))).unwrap_or(0);
    at(lag, a.len())
}
