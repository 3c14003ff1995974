//! `trill devices`.

use crate::server::with_server;
use std::process::Command;

/// What `trill devices` prints, and how it ends.
fn devices(args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trill")).arg("devices").args(args).output().unwrap();
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
