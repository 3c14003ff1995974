//! Two telephones, each with a microphone and a speaker of its own on one sound server: what is said into the one comes out of
//! the other.

use crate::server::{BOUND, INNER, call_time, pactl, with_server};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use trill::media::frame::AudioFrame;

/// A process that prints JSON lines, ended with the test.
struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<serde_json::Value>,
}

impl Running {
    /// `side` names the sinks that are its microphone and its speaker.
    fn start(args: &[&str], side: &str) -> Self {
        use std::io::BufRead;
        let mut child = Command::new(env!("CARGO_BIN_EXE_trill"))
            .args(args)
            .arg("--json")
            .env("PULSE_SINK", format!("{side}_speaker"))
            .env("PULSE_SOURCE", format!("{side}_voice.monitor"))
            // The server takes what begins with TRILL_ for its configuration.
            .env_remove(INNER)
            .env_remove("TRILL_TEST_PHONES_SECONDS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines }
    }

    fn wait_for(&self, what: &str, is_it: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let start = Instant::now();
        loop {
            let left = (2 * BOUND).saturating_sub(start.elapsed());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("{what} did not come"));
            if is_it(&line) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_event(name: &str) -> impl Fn(&serde_json::Value) -> bool + '_ {
    move |line| line["event"] == name
}

/// What that side's speaker plays for so long, at 48 kHz.
fn record(side: &str, time: Duration) -> Vec<i16> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heard.raw");
    let mut recorder = Command::new("parec")
        .arg(format!("--device={side}_speaker.monitor"))
        .args(["--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=20"])
        .stdout(std::fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let wanted = (time.as_secs_f64() * 96_000.0) as u64;
    let start = Instant::now();
    while std::fs::metadata(&path).unwrap().len() < wanted && start.elapsed() < time + BOUND {
        std::thread::sleep(Duration::from_millis(50));
    }
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Speech of that seed played into a side's microphone, over and over, until it is killed.
fn speak(folder: &Path, side: &str, seed: u64, pitch: f64) -> (Child, Vec<i16>) {
    let mut speech = trill::testkit::speech::Speech::new(seed, pitch as f32);
    let mut samples = Vec::new();
    let mut frame = AudioFrame::SILENCE;
    for _ in 0..50 * call_time().as_secs() + 15_000 {
        speech.next_frame(&mut frame);
        samples.extend_from_slice(&frame.samples);
    }
    let path = folder.join(format!("{side}.raw"));
    std::fs::write(&path, samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let player = Command::new("pacat")
        .arg(format!("--device={side}_voice"))
        .args(["--playback", "--format=s16le", "--rate=48000", "--channels=1"])
        .stdin(std::fs::File::open(&path).unwrap())
        .spawn()
        .unwrap();
    (player, samples)
}

/// A third of the rate is enough to compare voices, and nine times as fast.
fn thirds(samples: &[i16]) -> Vec<f64> {
    samples.chunks_exact(3).map(|three| three.iter().map(|s| f64::from(*s)).sum::<f64>() / 3.0).collect()
}

/// So much of what was heard is compared, at 48 kHz: 20 s.
const JUDGED: usize = 20 * 48_000;

/// How alike what was heard is to what was said: the median over its last seconds, each at the delay that suits it best, of the
/// correlation from -1 to 1.
fn likeness(said: &[i16], heard: &[i16]) -> f64 {
    const SECOND: usize = 16_000;
    const STEP: usize = 160;
    let energies = |samples: &[f64]| -> Vec<f64> {
        samples.chunks_exact(STEP).map(|part| part.iter().map(|s| s * s).sum::<f64>().sqrt()).collect()
    };
    let correlate = |a: &[f64], b: &[f64]| {
        let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (x, y) in a.iter().zip(b) {
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
        ab / (aa * bb).sqrt().max(1.0)
    };
    // The end of it, where whatever has built up shows, and what was said around then.
    let from = heard.len().saturating_sub(JUDGED);
    let around = from.saturating_sub(JUDGED)..(from + 2 * JUDGED).min(said.len());
    let (said, heard) = (thirds(&said[around]), thirds(&heard[from..]));
    let (said_loud, heard_loud) = (energies(&said), energies(&heard));
    let mut found: Vec<f64> = Vec::new();
    for second in 0..heard.len() / SECOND {
        let heard_at = second * SECOND;
        let part = &heard[heard_at..heard_at + SECOND];
        let loud = &heard_loud[heard_at / STEP..(heard_at + SECOND) / STEP];
        // Where in what was said it is, first by loudness alone.
        let coarse = (0..said_loud.len().saturating_sub(loud.len()))
            .max_by(|a, b| correlate(&said_loud[*a..], loud).total_cmp(&correlate(&said_loud[*b..], loud)))
            .unwrap_or(0)
            * STEP;
        let best = (coarse.saturating_sub(2 * STEP)..coarse + 2 * STEP)
            .filter_map(|at| said.get(at..at + SECOND))
            .map(|said| correlate(said, part))
            .fold(0.0, f64::max);
        found.push(best);
    }
    found.sort_by(f64::total_cmp);
    found.get(found.len() / 2).copied().unwrap_or(0.0)
}

/// Counts how often this machine wakes a thread late: each time a speaker may run dry, and no telephone is to blame.
struct Metronome {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Metronome {
    const BEAT: Duration = Duration::from_millis(10);
    /// With so much waiting ahead of it, at least, a speaker is given its next frame.
    const LATE: Duration = Duration::from_millis(15);
    /// Sound goes through as many on its way to a speaker: the telephone's, the sound library's and the sound server's.
    const THREADS: usize = 3;

    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..Self::THREADS).map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || Self::beat(&stop))
        });
        Self { threads: threads.collect(), stop }
    }

    fn beat(stop: &AtomicBool) -> u64 {
        let mut late = 0;
        while !stop.load(Relaxed) {
            let start = Instant::now();
            std::thread::sleep(Self::BEAT);
            late += u64::from(start.elapsed() > Self::BEAT + Self::LATE);
        }
        late
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

#[test]
fn two_telephones_with_devices_of_their_own_hear_each_other() {
    with_server(
        "telephones::two_telephones_with_devices_of_their_own_hear_each_other",
        Some("rate=48000 channels=1"),
        |_| {
            let folder = PathBuf::from(std::env::var("HOME").unwrap());
            let sink = |name: &str| format!("sink_name={name}");
            for name in ["alice_voice", "alice_speaker", "bob_voice", "bob_speaker"] {
                assert!(pactl(&folder, &["load-module", "module-null-sink", &sink(name), "rate=48000", "channels=1"]));
            }
            let database = folder.join("trill.db");
            let listen = ["serve", "--dev", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--database"];
            let server = Running::start(&[&listen[..], &[database.to_str().unwrap()]].concat(), "none");
            let listening = server.wait_for("the server", is_event("listening"));
            let url = format!("http://{}", listening["http"].as_str().unwrap());
            let bob = Running::start(&["answer", "--dev", "--as", "bob", "--raw-mic", "--server", &url], "bob");
            bob.wait_for("bob's login", is_event("logged_in"));
            let time = format!("{}s", call_time().as_secs() + 60);
            let call = ["call", "bob", "--dev", "--as", "alice", "--raw-mic", "--server", &url, "--duration", &time];
            // For as long as her speaker's under-runs are counted.
            let metronome = Metronome::start();
            let mut alice = Running::start(&call, "alice");
            for side in [&alice, &bob] {
                side.wait_for("the other's voice", is_event("first_audio"));
            }
            let (mut alice_speaks, said_by_alice) = speak(&folder, "alice", 3, 130.0);
            let (mut bob_speaks, said_by_bob) = speak(&folder, "bob", 4, 210.0);

            let at_bob = std::thread::spawn(|| record("bob", call_time()));
            let heard_by_alice = record("alice", call_time());
            let heard_by_bob = at_bob.join().unwrap();
            let (there, back) = (likeness(&said_by_alice, &heard_by_bob), likeness(&said_by_bob, &heard_by_alice));
            println!("figure: two telephones: what is heard is {there:.2} and {back:.2} like what was said");
            assert!(there > 0.85 && back > 0.85, "{there} and {back}");
            // The measure tells voices apart.
            let another = likeness(&said_by_bob, &heard_by_bob);
            assert!(another < 0.6, "{another}");

            // Bob's speaker is unplugged and plugged in again: the call goes on.
            let modules = Command::new("pactl").args(["list", "short", "modules"]).output().unwrap();
            let modules = String::from_utf8_lossy(&modules.stdout).into_owned();
            let line = modules.lines().find(|line| line.contains("bob_speaker")).unwrap();
            assert!(pactl(&folder, &["unload-module", line.split_whitespace().next().unwrap()]));
            // Where the server puts his stream meanwhile is its own affair.
            let bobs = ["load-module", "module-null-sink", &sink("bob_speaker"), "rate=48000", "channels=1"];
            assert!(pactl(&folder, &bobs));
            assert!(pactl(&folder, &["set-default-sink", "bob_speaker"]));
            let start = Instant::now();
            loop {
                let again = record("bob", Duration::from_secs(2));
                let loud = again.iter().filter(|sample| sample.unsigned_abs() > 500).count();
                if loud > again.len() / 20 {
                    break;
                }
                assert!(start.elapsed() < BOUND, "bob hears nothing: {loud} of {} samples are loud", again.len());
            }

            alice_speaks.kill().unwrap();
            bob_speaks.kill().unwrap();
            let (_, _) = (alice_speaks.wait(), bob_speaks.wait());
            let end = Command::new("kill").args(["-INT", &alice.child.id().to_string()]).status().unwrap();
            assert!(end.success());
            let summary = alice.wait_for("the summary", is_event("summary"));
            let late = metronome.stop();
            assert!(alice.child.wait().unwrap().success());
            let underruns = summary["statistics"]["playback_underruns"].as_u64().unwrap();
            let time = call_time();
            println!("figure: two telephones: {underruns} under-runs of alice's speaker in {time:?}");
            println!("figure: two telephones: threads were woken late {late} times meanwhile");
            // One in two seconds, on a machine that does other work besides; and what that work explains.
            assert!(underruns <= time.as_secs() / 2 + late, "{underruns} under-runs, {late} times late");
        },
    );
}
