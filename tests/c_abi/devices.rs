//! The machine's microphone and speaker from C, through a PulseAudio with null sinks.

#[path = "../audio_device/server.rs"]
mod sound_server;

use super::callers::{Terminal, write_wav};
use super::{Host, build, compile, inside, install, run, user_token};
use sound_server::{pactl, with_server};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use trill::base::SessionId;
use trill::media::frame::AudioFrame;
use trill::testkit::speech::Speech;

const BOUND: Duration = Duration::from_secs(30);

#[test]
fn an_app_in_c_lists_devices_talks_through_them_changes_them_and_turns_them_down() {
    with_server(
        "devices::an_app_in_c_lists_devices_talks_through_them_changes_them_and_turns_them_down",
        Some("rate=48000 channels=1"),
        |_| {
            let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
            let room = SessionId::new("room").unwrap();
            let token = |identity| inside::token(&room, identity, |_| {});
            let program = compile(folder.path(), "devices.c", &[]);
            let output = run(Command::new(program).args([&host.url, &token("alice"), &token("bob")]));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "heard\n");
        },
    );
}

/// Ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody who speaks into a microphone (what its sink plays), for two minutes.
fn speak(folder: &Path, name: &str, pitch_hz: f32) -> Process {
    let file = folder.join(format!("{name}.wav"));
    let (mut speech, mut frame) = (Speech::new(7, pitch_hz), AudioFrame::SILENCE);
    write_wav(
        &file,
        (0..120 * 50).flat_map(|_| {
            speech.next_frame(&mut frame);
            frame.samples
        }),
    );
    let mut paplay = Command::new("paplay");
    paplay.arg(format!("--device={name}_mouth")).arg(file);
    Process(paplay.spawn().unwrap_or_else(|e| panic!("paplay cannot be started ({e}): install pulseaudio-utils")))
}

/// Waits until what a speaker plays is loud, or is silent, for a second; speech has its pauses.
fn listen(name: &str, loud: bool) {
    let mut parec = Command::new("parec");
    parec.args(["--raw", "--format=s16le", "--rate=48000", "--channels=1"]);
    parec.arg(format!("--device={name}_ear.monitor")).stdout(Stdio::piped());
    let mut parec = Process(parec.spawn().unwrap());
    let mut sound = parec.0.stdout.take().unwrap();
    let (start, mut second) = (Instant::now(), vec![0; 96_000]);
    loop {
        sound.read_exact(&mut second).unwrap();
        let samples = second.chunks_exact(2).map(|two| f64::from(i16::from_le_bytes([two[0], two[1]])));
        let level = (samples.map(|sample| sample * sample).sum::<f64>() / 48_000.0).sqrt();
        if if loud { level > 200.0 } else { level < 5.0 } {
            return;
        }
        assert!(start.elapsed() < BOUND, "{name} hears {level}; it should be {}", if loud { "loud" } else { "silent" });
    }
}

#[test]
fn two_native_callers_talk_through_their_microphones_and_speakers() {
    with_server(
        "devices::two_native_callers_talk_through_their_microphones_and_speakers",
        Some("rate=48000 channels=1"),
        |_| {
            let home = PathBuf::from(std::env::var("HOME").unwrap());
            let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
            let prefix = install(folder.path());
            let native = build(folder.path(), &prefix, "examples/native_caller", "native_caller", &[]);
            let phone = |name: &'static str| {
                for part in ["mouth", "ear"] {
                    let sink = format!("sink_name={name}_{part}");
                    assert!(pactl(&home, &["load-module", "module-null-sink", &sink, "rate=48000", "channels=1"]));
                }
                let mut command = Command::new(&native);
                command
                    .args([&host.url, &user_token(name), "--devices"])
                    .env("PULSE_SOURCE", format!("{name}_mouth.monitor"))
                    .env("PULSE_SINK", format!("{name}_ear"));
                let mut phone = Terminal::run(name, &mut command);
                phone.expect(&format!("logged in as {name}"));
                phone
            };
            let (mut alice, mut bob) = (phone("alice"), phone("bob"));
            let (alices_voice, _bobs_voice) = (speak(&home, "alice", 210.0), speak(&home, "bob", 110.0));
            alice.type_in("video bob");
            bob.expect("alice calls");
            bob.type_in("accept");
            for (phone, other) in [(&mut alice, "bob"), (&mut bob, "alice")] {
                // There is no camera, and the call goes on.
                phone.expect_each(&["microphone: ", "speaker: ", "! camera: ", &format!("{other} can be heard")]);
            }
            listen("alice", true);
            listen("bob", true);
            // It is her whom he hears: she falls silent, and so does his speaker alone.
            drop(alices_voice);
            listen("bob", false);
            listen("alice", true);
            alice.type_in("volume 0");
            listen("alice", false);
            alice.type_in("volume 1");
            listen("alice", true);
            bob.type_in("h");
            for mut phone in [alice, bob] {
                phone.expect("the call is over");
                phone.type_in("quit");
                phone.end();
            }
        },
    );
}
