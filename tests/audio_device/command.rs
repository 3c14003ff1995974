//! `trill devices`.

use crate::server::{pactl, with_server};
use std::process::Command;

/// What `trill devices` prints, and how it ends.
fn devices(args: &[&str]) -> (bool, String, String) {
    devices_on(args, &[])
}

/// As [`devices`], on other devices of the sound server's than the default ones.
fn devices_on(args: &[&str], others: &[(&str, &str)]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trill"));
    let output = command.arg("devices").args(args).envs(others.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[test]
fn trill_devices_lists_and_tries_out_what_there_is() {
    with_server("command::trill_devices_lists_and_tries_out_what_there_is", Some("rate=48000 channels=1"), |_| {
        let (ok, listed, _) = devices(&["--json"]);
        assert!(ok);
        let listed = json_lines(&listed).remove(0);
        for kind in ["microphones", "speakers"] {
            let known = listed[kind].as_array().unwrap();
            assert_eq!(known.iter().filter(|device| device["default"] == true).count(), 1, "{listed}");
            assert!(known.iter().all(|device| device["id"] != "alsa:null"), "{listed}");
            let one = known.iter().find(|device| device["default"] == true).unwrap();
            assert_eq!(one["opened_with"]["rate"], 48_000, "{listed}");
            let format =
                |format: &serde_json::Value| format["channels"] == 1 && format["min_rate"].as_u64() < Some(8_001);
            assert!(one["formats"].as_array().unwrap().iter().any(format), "{listed}");
        }
        let (ok, text, _) = devices(&[]);
        assert!(ok && text.contains("Microphones:\n  * ") && text.contains("Speakers:\n  * "), "{text}");
        assert_eq!(text.matches("at 48 kHz").count(), 4, "{text}");

        // What the speaker plays, the microphone hears: the sink's monitor.
        let tone = std::thread::spawn(|| devices(&["--test-speaker", "--time", "8s", "--json"]));
        let (ok, levels, error) = devices(&["--test-microphone", "--time", "6s", "--json"]);
        assert!(ok, "{error}");
        let result = json_lines(&levels).pop().unwrap();
        assert_eq!(result["heard"], true, "{levels}");
        // A sine of 12 dB below overload.
        let loudest = result["loudest_dbov"].as_i64().unwrap();
        assert!((-17..=-12).contains(&loudest), "{levels}");
        assert!(tone.join().unwrap().0);
    });
}

/// What `trill doctor` says of the devices: verdict, cause and remedy of each.
fn diagnosis() -> std::collections::BTreeMap<String, (String, String, String)> {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_trill"));
    // No server: that is not what is asked.
    doctor.args(["doctor", "--json", "--dev", "--as", "alice", "--server", "http://127.0.0.1:1"]);
    let checks = json_lines(&String::from_utf8(doctor.output().unwrap().stdout).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let checks = checks.iter().filter(|line| line["event"] == "check");
    checks
        .map(|line| (text(&line["check"]), (text(&line["verdict"]), text(&line["cause"]), text(&line["remedy"]))))
        .collect()
}

#[test]
fn trill_doctor_tries_microphone_speaker_and_camera() {
    with_server("command::trill_doctor_tries_microphone_speaker_and_camera", Some("rate=48000 channels=1"), |_| {
        let found = diagnosis();
        for check in ["microphone", "speaker"] {
            let (verdict, cause, _) = &found[check];
            assert!(verdict == "ok" && cause.contains("the default one opens: "), "{found:?}");
        }
        assert_eq!(found["server"].0, "fault");
    });
}

#[test]
fn trill_doctor_says_what_is_missing_and_what_to_do() {
    with_server("command::trill_doctor_says_what_is_missing_and_what_to_do", None, |_| {
        let found = diagnosis();
        for (check, remedy_names) in [("microphone", "--mic"), ("speaker", "--speaker")] {
            let (verdict, cause, remedy) = &found[check];
            assert!(verdict == "warning" && cause.len() > 20 && remedy.contains(remedy_names), "{found:?}");
        }
    });
}

#[test]
fn in_the_loopback_test_what_the_microphone_hears_comes_out_of_the_speaker() {
    with_server(
        "command::in_the_loopback_test_what_the_microphone_hears_comes_out_of_the_speaker",
        Some("rate=48000 channels=1"),
        |_| {
            let folder = std::path::PathBuf::from(std::env::var("HOME").unwrap());
            assert!(pactl(
                &folder,
                &["load-module", "module-null-sink", "sink_name=mouth", "rate=48000", "channels=1"]
            ));
            assert!(pactl(&folder, &["set-default-source", "mouth.monitor"]));
            let run = |args: &'static [&str], others: &'static [(&str, &str)]| {
                std::thread::spawn(move || devices_on(args, others))
            };
            let voice = run(&["--test-speaker", "--time", "10s", "--json"], &[("PULSE_SINK", "mouth")]);
            let loopback = run(&["--test-loopback", "--time", "8s", "--json"], &[]);
            let ear = run(&["--test-microphone", "--time", "6s", "--json"], &[("PULSE_SOURCE", "vspk.monitor")]);
            for (what, run) in [("ear", ear), ("loopback", loopback)] {
                let (ok, lines, error) = run.join().unwrap();
                assert!(ok, "{what}: {error}");
                assert_eq!(json_lines(&lines).pop().unwrap()["heard"], true, "{what}: {lines}");
            }
            assert!(voice.join().unwrap().0);
        },
    );
}

#[test]
fn trill_devices_says_plainly_that_there_is_nothing() {
    with_server("command::trill_devices_says_plainly_that_there_is_nothing", None, |_| {
        let (ok, text, _) = devices(&[]);
        assert!(ok && text.contains("This machine has no microphone."), "{text}");
        assert!(text.contains("This machine has no speaker."), "{text}");
        let (ok, _, error) = devices(&["--test-microphone"]);
        assert!(!ok && error.contains("device_unavailable"), "{error}");
    });
}
