//! A call's microphone and speaker while the sound server changes under them.

use crate::server::{BOUND, environment, pactl, start_daemon, with_server};
use crate::tone_in;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use trill::device::kept::{DeviceChange, DeviceControl, DevicePolicy, DeviceTell, KeptMicrophone, KeptSpeaker};
use trill::device::{AudioSink, AudioSource, Next};
use trill::media::frame::{AudioFrame, FRAME_SAMPLES};

/// A microphone and a speaker of a call, with a tone played all the time, and what is told of them.
struct Kept {
    microphone: KeptMicrophone,
    told: crossbeam_channel::Receiver<(&'static str, DeviceChange)>,
    stop: Arc<AtomicBool>,
    player: Option<std::thread::JoinHandle<()>>,
}

impl Kept {
    fn start(policy: DevicePolicy) -> Self {
        let (sender, told) = crossbeam_channel::unbounded();
        let tell = |which: &'static str| {
            let sender = sender.clone();
            Arc::new(move |change| drop(sender.send((which, change)))) as DeviceTell
        };
        let control = || Arc::new(DeviceControl::new(None, policy));
        let mut speaker = KeptSpeaker::new(control(), tell("speaker"));
        let microphone = KeptMicrophone::new(control(), tell("microphone"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let player = std::thread::spawn(move || {
            let mut n = 0u64;
            let mut frame = AudioFrame::SILENCE;
            let mut next = Instant::now();
            while !stopped.load(Relaxed) {
                // As the playout thread does: by the speaker's clock, or, while there is none, by its own.
                match speaker.queued() {
                    Some(queued) if queued > Duration::from_millis(40) => {
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    Some(_) => next = Instant::now(),
                    None => {
                        next += Duration::from_millis(20);
                        std::thread::sleep(next.saturating_duration_since(Instant::now()));
                    }
                }
                for sample in &mut frame.samples {
                    *sample = (8000.0 * (n as f64 * 700.0 * std::f64::consts::TAU / 48_000.0).sin()) as i16;
                    n += 1;
                }
                speaker.play(&frame).unwrap();
            }
        });
        Self { microphone, told, stop, player: Some(player) }
    }

    /// Keeps capturing, as a call does, until both were told to be in that state.
    fn wait_for_both(&mut self, what: &str, is_it: impl Fn(&DeviceChange) -> bool) {
        let (mut microphone, mut speaker) = (false, false);
        let start = Instant::now();
        let mut frame = AudioFrame::SILENCE;
        while !(microphone && speaker) {
            assert!(start.elapsed() < BOUND, "not {what}: microphone {microphone}, speaker {speaker}");
            self.microphone.next_frame(&mut frame).unwrap();
            for (which, change) in self.told.try_iter() {
                println!("{:?} {which}: {change:?}", start.elapsed());
                if is_it(&change) {
                    *(if which == "speaker" { &mut speaker } else { &mut microphone }) = true;
                }
            }
        }
    }

    fn wait_for_tone(&mut self) {
        let start = Instant::now();
        let mut frame = AudioFrame::SILENCE;
        let mut samples = Vec::new();
        while tone_in(&samples, 700.0).0 < 0.95 || samples.len() < 20 * FRAME_SAMPLES {
            assert!(start.elapsed() < BOUND, "the tone is not heard");
            if samples.len() >= 20 * FRAME_SAMPLES {
                samples.clear();
            }
            if self.microphone.next_frame(&mut frame).unwrap() == Next::Frame {
                samples.extend_from_slice(&frame.samples);
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(player) = self.player.take() {
            let _ = player.join();
        }
    }
}

fn is_using(change: &DeviceChange) -> bool {
    matches!(change, DeviceChange::Using { .. })
}

fn is_lost(change: &DeviceChange) -> bool {
    matches!(change, DeviceChange::Lost { .. })
}

#[test]
fn devices_of_a_call_come_back_when_the_sound_server_is_killed_and_started_again() {
    with_server(
        "kept::devices_of_a_call_come_back_when_the_sound_server_is_killed_and_started_again",
        Some("rate=48000 channels=1"),
        |server| {
            let folder = PathBuf::from(std::env::var("HOME").unwrap());
            let mut kept = Kept::start(DevicePolicy::FallBack);
            kept.wait_for_both("in use", is_using);
            kept.wait_for_tone();
            assert!(Command::new("kill").args(["-KILL", &server.to_string()]).status().unwrap().success());
            kept.wait_for_both("lost", is_lost);
            let mut daemon = start_daemon(&folder, "rate=48000 channels=1");
            kept.wait_for_both("in use again", is_using);
            kept.wait_for_tone();
            drop(kept);
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        },
    );
}

#[test]
fn a_call_is_heard_again_when_its_sink_was_removed_and_added() {
    with_server(
        "kept::a_call_is_heard_again_when_its_sink_was_removed_and_added",
        Some("rate=48000 channels=1"),
        |_| {
            let folder = PathBuf::from(std::env::var("HOME").unwrap());
            let mut kept = Kept::start(DevicePolicy::FallBack);
            kept.wait_for_both("in use", is_using);
            kept.wait_for_tone();
            assert!(pactl(&folder, &["unload-module", "module-null-sink"]));
            // Capturing goes on meanwhile: in silence, or from what the server puts in its place.
            let start = Instant::now();
            let mut frame = AudioFrame::SILENCE;
            while start.elapsed() < Duration::from_secs(2) {
                kept.microphone.next_frame(&mut frame).unwrap();
            }
            assert!(pactl(&folder, &["load-module", "module-null-sink", "sink_name=vspk", "rate=48000", "channels=1"]));
            assert!(pactl(&folder, &["set-default-sink", "vspk"]));
            assert!(pactl(&folder, &["set-default-source", "vspk.monitor"]));
            kept.wait_for_tone();
        },
    );
}

#[test]
fn when_the_default_devices_are_changed_a_call_is_on_the_new_ones() {
    with_server(
        "kept::when_the_default_devices_are_changed_a_call_is_on_the_new_ones",
        Some("rate=48000 channels=1"),
        |_| {
            let folder = PathBuf::from(std::env::var("HOME").unwrap());
            let mut kept = Kept::start(DevicePolicy::FollowDefault);
            kept.wait_for_both("in use", is_using);
            kept.wait_for_tone();
            assert!(pactl(
                &folder,
                &["load-module", "module-null-sink", "sink_name=other", "rate=48000", "channels=1"]
            ));
            assert!(pactl(&folder, &["set-default-sink", "other"]));
            assert!(pactl(&folder, &["set-default-source", "other.monitor"]));
            // The old ones go away: whoever is still on them hears nothing.
            assert!(pactl(&folder, &["set-sink-mute", "vspk", "1"]));
            let start = Instant::now();
            while !on(&folder, "sinks", "other", "sink-inputs")
                || !on(&folder, "sources", "other.monitor", "source-outputs")
            {
                assert!(start.elapsed() < BOUND, "the call is still on the old ones");
                let mut frame = AudioFrame::SILENCE;
                kept.microphone.next_frame(&mut frame).unwrap();
            }
            kept.wait_for_tone();
        },
    );
}

/// Whether a stream of that kind is on the sink or source of that name.
fn on(folder: &std::path::Path, kind: &str, name: &str, streams: &str) -> bool {
    let list = |what: &str| {
        let mut list = Command::new("pactl");
        list.args(["list", "short", what]);
        environment(&mut list, folder);
        String::from_utf8_lossy(&list.output().unwrap().stdout).into_owned()
    };
    let devices = list(kind);
    let number =
        devices.lines().find(|line| line.split('\t').nth(1) == Some(name)).and_then(|line| line.split('\t').next());
    list(streams).lines().any(|line| line.split('\t').nth(1) == number)
}

#[test]
fn a_muted_microphone_is_closed() {
    with_server("kept::a_muted_microphone_is_closed", Some("rate=48000 channels=1"), |_| {
        let folder = PathBuf::from(std::env::var("HOME").unwrap());
        let captured = || {
            let mut list = Command::new("pactl");
            list.args(["list", "short", "source-outputs"]);
            environment(&mut list, &folder);
            String::from_utf8_lossy(&list.output().unwrap().stdout).lines().count()
        };
        let mut kept = Kept::start(DevicePolicy::FallBack);
        kept.wait_for_both("in use", is_using);
        assert_eq!(captured(), 1);
        kept.microphone.pause();
        let start = Instant::now();
        while captured() > 0 {
            assert!(start.elapsed() < BOUND, "the server still sees somebody who hears");
            std::thread::yield_now();
        }
        kept.microphone.resume();
        kept.wait_for_tone();
        assert_eq!(captured(), 1);
    });
}
