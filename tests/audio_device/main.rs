//! Our microphone and speaker on a real sound server: PulseAudio with a null sink, whose monitor is the microphone.
//!
//! Where sound goes is set by environment variables, so each test starts a server in a folder of its own and then runs
//! itself again, as a process with that environment.

#![cfg(all(feature = "devices", target_os = "linux"))]
#![allow(clippy::disallowed_methods, reason = "sound is played in real time")]

#[cfg(feature = "cli")]
mod command;
mod kept;
mod server;
#[cfg(feature = "cli")]
mod telephones;

use server::{BOUND, with_server};
use std::process::Command;
use std::time::{Duration, Instant};
use trill::base::ErrorCode;
use trill::device::sound::{Microphone, Speaker, microphone_formats, microphones, speaker_formats, speakers};
use trill::device::{AudioSink, AudioSource, Next};
use trill::media::frame::{AudioFrame, FRAME_SAMPLES};

/// Plays a tone of 700 Hz as the playout thread would, until it is told to stop.
fn play_tone(mut speaker: Speaker, stop: crossbeam_channel::Receiver<()>) {
    let mut frame = AudioFrame::SILENCE;
    let mut n = 0u64;
    while stop.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
        if speaker.queued().is_some_and(|queued| queued > Duration::from_millis(40)) {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        for sample in &mut frame.samples {
            *sample = (8000.0 * (n as f64 * 700.0 * std::f64::consts::TAU / 48_000.0).sin()) as i16;
            n += 1;
        }
        speaker.play(&frame).unwrap();
    }
}

/// The share of the energy of `samples` that is a tone of `hz`, and its amplitude.
fn tone_in(samples: &[i16], hz: f64) -> (f64, f64) {
    let (mut sine, mut cosine, mut energy) = (0.0, 0.0, 1.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = n as f64 * hz * std::f64::consts::TAU / 48_000.0;
        sine += f64::from(*sample) * phase.sin();
        cosine += f64::from(*sample) * phase.cos();
        energy += f64::from(*sample).powi(2);
    }
    let amplitude = 2.0 * f64::hypot(sine, cosine) / samples.len() as f64;
    (amplitude.powi(2) / 2.0 * samples.len() as f64 / energy, amplitude)
}

/// So many frames from a microphone, as they come.
fn listen(microphone: &mut Microphone, frames: usize) -> Vec<i16> {
    let mut frame = AudioFrame::SILENCE;
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < frames * FRAME_SAMPLES {
        assert!(start.elapsed() < BOUND, "{} samples came", samples.len());
        if microphone.next_frame(&mut frame).unwrap() == Next::Frame {
            samples.extend_from_slice(&frame.samples);
        }
    }
    samples
}

fn tone_comes_back() {
    let mut microphone = Microphone::open(None).unwrap();
    let speaker = Speaker::open(None).unwrap();
    let (stop, stopped) = crossbeam_channel::bounded(1);
    let player = std::thread::spawn(move || play_tone(speaker, stopped));
    let start = Instant::now();
    // The first seconds after opening may be missing: then 400 ms without a gap.
    let (mut share, mut amplitude) = (0.0, 0.0);
    while share < 0.95 || !(7_000.0..9_000.0).contains(&amplitude) {
        assert!(start.elapsed() < BOUND, "heard {share} of the tone at {amplitude}");
        (share, amplitude) = tone_in(&listen(&mut microphone, 20), 700.0);
    }
    // Real time: neither faster nor slower.
    // (A busy machine hands a second over late, but then the next one early.)
    let second = |microphone: &mut Microphone| {
        let start = Instant::now();
        listen(microphone, 50);
        start.elapsed()
    };
    let took: Vec<Duration> = (0..4).map(|_| second(&mut microphone)).collect();
    let right = Duration::from_millis(850)..Duration::from_millis(1200);
    assert!(took.iter().any(|took| right.contains(took)), "seconds took {took:?}");
    // While it is paused nothing is captured; afterwards it is again.
    microphone.pause();
    microphone.resume();
    let start = Instant::now();
    while tone_in(&listen(&mut microphone, 20), 700.0).0 < 0.95 {
        assert!(start.elapsed() < BOUND, "nothing is heard after a pause");
    }
    stop.send(()).unwrap();
    player.join().unwrap();
}

#[test]
fn a_tone_through_the_speaker_comes_back_through_the_microphone() {
    with_server("a_tone_through_the_speaker_comes_back_through_the_microphone", Some("rate=48000 channels=1"), |_| {
        tone_comes_back()
    });
}

#[test]
fn a_tone_comes_back_from_a_device_of_another_rate_with_two_channels() {
    with_server(
        "a_tone_comes_back_from_a_device_of_another_rate_with_two_channels",
        Some("rate=44100 channels=2"),
        |_| tone_comes_back(),
    );
}

#[test]
fn devices_are_listed_and_opened_by_name_and_an_unknown_name_is_told_with_what_there_is() {
    with_server(
        "devices_are_listed_and_opened_by_name_and_an_unknown_name_is_told_with_what_there_is",
        Some("rate=48000 channels=1"),
        |_| {
            let (microphones, speakers) = (microphones().unwrap(), speakers().unwrap());
            let microphone = microphones.iter().find(|device| device.is_default).unwrap();
            let speaker = speakers.iter().find(|device| device.is_default).unwrap();
            Microphone::open(Some(&microphone.name)).unwrap();
            Speaker::open(Some(&speaker.id)).unwrap();
            // What PulseAudio has: any of up to 32 channels, at 1 to 384 kHz.
            for told in [microphone_formats(Some(&microphone.id)), speaker_formats(Some(&speaker.name))] {
                let can = told.unwrap();
                assert_eq!(can.rate, 48_000, "{can:?}");
                let opened = can.all.iter().find(|format| format.channels == can.channels).unwrap();
                assert!(opened.rates.contains(&can.rate) && opened.rates.contains(&44_100), "{can:?}");
                assert!(can.all.windows(2).all(|two| two[0].channels < two[1].channels), "{can:?}");
            }
            let error = microphone_formats(Some("no such thing")).unwrap_err();
            assert!(error.message().contains("no such thing") && error.message().contains(&microphone.name), "{error}");
            let error = Microphone::open(Some("no such thing")).err().unwrap();
            assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
            assert!(error.message().contains("no such thing") && error.message().contains(&microphone.name), "{error}");
        },
    );
}

#[test]
fn a_sound_server_that_goes_away_is_an_error_and_not_silence() {
    with_server("a_sound_server_that_goes_away_is_an_error_and_not_silence", Some("rate=48000 channels=1"), |server| {
        let mut microphone = Microphone::open(None).unwrap();
        let mut speaker = Speaker::open(None).unwrap();
        listen(&mut microphone, 10);
        assert!(Command::new("kill").args(["-KILL", &server.to_string()]).status().unwrap().success());
        let start = Instant::now();
        let mut frame = AudioFrame::SILENCE;
        let error = loop {
            assert!(start.elapsed() < BOUND, "still silent");
            if let Err(error) = microphone.next_frame(&mut frame) {
                break error;
            }
        };
        assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
        while speaker.play(&frame).is_ok() {
            assert!(start.elapsed() < BOUND, "still playing");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn without_a_sound_system_opening_fails_with_a_reason() {
    with_server("without_a_sound_system_opening_fails_with_a_reason", None, |_| {
        for error in [Microphone::open(None).err().unwrap(), Speaker::open(None).err().unwrap()] {
            assert_eq!(error.code(), ErrorCode::DeviceUnavailable, "{error}");
            assert!(error.message().len() > 20, "{error}");
        }
        assert_eq!((microphones().unwrap(), speakers().unwrap()), (Vec::new(), Vec::new()));
        for error in [microphone_formats(None).unwrap_err(), speaker_formats(None).unwrap_err()] {
            assert_eq!(error.code(), ErrorCode::DeviceUnavailable, "{error}");
        }
    });
}
