//! `trill probe` on our own server, on a good network and through `trill impair`: the whole engine, measured from
//! outside. `-- --nocapture` prints what was measured.

#![cfg(feature = "cli")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Output, Stdio};
use tokio::runtime::Runtime;
use trill::server::{ApiKeyConfig, Server, ServerConfig};
use trill::testkit::timecode::Report;

const KEY: (&str, &str) = ("test", "a-secret-for-tests-of-thirty-two-bytes-or-more");
/// Where clients are told to send media when a proxy stands in front of the server: loopback has more than one address.
const FRONT: [u8; 4] = [127, 0, 0, 2];

/// With a lost datagram or two in the handshakes, and a machine that is busy with other tests.
const BEGIN_WITHIN_MS: f64 = 5000.0;

struct TestServer {
    /// `None` after it ended.
    server: Option<Server>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl TestServer {
    fn start(advertised: Option<IpAddr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = ServerConfig {
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            udp: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertised_ips: advertised.into_iter().collect(),
            api_keys: vec![ApiKeyConfig { id: KEY.0.into(), secret: KEY.1.into() }],
            database: folder.path().join("calls.db").to_string_lossy().into_owned(),
            ..ServerConfig::default()
        };
        let server = runtime.block_on(Server::start(config)).unwrap();
        Self { server: Some(server), runtime, _folder: folder }
    }

    /// Runs `trill probe` to its end.
    fn probe(&self, options: &[&str]) -> Output {
        let http = self.server.as_ref().unwrap().http_addr();
        Command::new(env!("CARGO_BIN_EXE_trill"))
            .args([
                "probe",
                "--json",
                "--server",
                &format!("http://{http}"),
                "--size",
                "320x180",
                "--video-kbps",
                "400",
            ])
            .args(options)
            .env("TRILL_API_KEY", KEY.0)
            .env("TRILL_API_SECRET", KEY.1)
            .output()
            .unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }
}

/// `trill impair` in front of a server, which ends with the test.
struct Impair(Child);

impl Impair {
    fn before(server: &TestServer, options: &[&str]) -> Self {
        let upstream = server.server.as_ref().unwrap().udp_addr();
        let listen = SocketAddr::from((FRONT, upstream.port()));
        let mut process = Command::new(env!("CARGO_BIN_EXE_trill"))
            .args(["impair", "--json", "--seed", "3"])
            .args(["--listen", &listen.to_string(), "--upstream", &upstream.to_string()])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "{line}");
        Self(process)
    }
}

impl Drop for Impair {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What each side noticed, with its line of JSON.
fn reports(name: &str, output: &Output) -> Vec<(Report, Value)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let reports: Vec<_> = lines
        .filter(|line| line["event"] == "report")
        .map(|line| (serde_json::from_value(line["report"].clone()).unwrap(), line))
        .collect();
    for (report, line) in &reports {
        println!("{name}, {}:\n{report}\n", line["side"]);
    }
    assert_eq!(reports.len(), 2, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    reports
}

#[test]
fn both_sides_see_and_hear_each_other_on_loopback_and_tell_each_other() {
    let server = TestServer::start(None);
    let output = server.probe(&["--duration", "4s"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (report, line) in reports("loopback", &output) {
        let (video, audio) = (report.video.unwrap(), report.audio.unwrap());
        // Far from what a quiet machine reaches: this one may be busy with other tests.
        assert!(video.shown > 4 * 15 && video.unreadable == 0 && video.foreign == 0, "{report}");
        assert!(audio.marks >= 6 && audio.marks_missing <= 1, "{report}");
        // Pictures wait for their sound, so that one bound is that of both.
        assert!(video.latency_ms.unwrap().p50 < 500.0 && audio.latency_ms.unwrap().p50 < 500.0, "{report}");
        // From here on it is noticed (EBU R 37).
        assert!(report.av_offset_ms.unwrap().p50.abs() < 60.0, "{report}");
        assert_eq!(line["one_way"], serde_json::json!({"audio": false, "video": false}));
        assert!(line["round_trip_ms"].as_f64().unwrap() > 40.0, "{line}");
        assert!(line["statistics"]["received"].as_array().is_some_and(|tracks| tracks.len() == 2), "{line}");
    }
}

#[test]
fn a_delayed_and_lossy_network_is_seen_in_what_both_sides_notice() {
    let server = TestServer::start(Some(FRONT.into()));
    let _impair = Impair::before(&server, &["--delay", "20ms", "--loss", "5"]);
    let output = server.probe(&["--duration", "8s"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (report, line) in reports("5 % loss", &output) {
        let (video, audio) = (report.video.unwrap(), report.audio.unwrap());
        // 20 ms to the server and 20 ms from it.
        assert!(audio.latency_ms.unwrap().min > 40.0 && video.latency_ms.unwrap().min > 40.0, "{report}");
        // A mark whose packets come back from in-band FEC, or not at all, is not always known for one.
        assert!(audio.marks >= 6 && report.hears(), "{report}");
        assert!(video.shown > 8 * 5 && video.unreadable == 0 && report.sees(), "{report}");
        let timings = &line["statistics"]["timings"];
        for first in ["first_audio_ms", "first_video_ms"] {
            assert!(timings[first].as_f64().is_some_and(|at| at < BEGIN_WITHIN_MS), "a call begins at once: {timings}");
        }
        let lost = line["statistics"]["received"].as_array().unwrap().iter().any(|track| track["audio"]["lost"] != 0);
        assert!(lost, "the network was as bad as it should be: {line}");
    }
}

#[test]
fn a_side_alone_is_told_that_nobody_came() {
    let server = TestServer::start(None);
    let output = server.probe(&["--side", "caller", "--session", "alone", "--wait", "1s"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no media of the other side") && told.contains("timed_out"), "{told}");
}
