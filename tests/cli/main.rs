//! The `trill` command as a person or a script uses it, with the wrong input too.
#![cfg(feature = "cli")]

#[cfg(target_os = "linux")]
mod silence;
mod telephones;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long any one step may take before the test fails.
const BOUND: Duration = Duration::from_secs(30);

/// A trill process that prints JSON lines. It ends with the test.
struct Trill {
    child: Child,
    lines: mpsc::Receiver<Value>,
}

impl Trill {
    fn start(arguments: &[&str]) -> Self {
        Self::spawn(&mut trill(arguments))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("every line is JSON"));
            }
        });
        Self { child, lines }
    }

    /// The next line with that event; the ones before it are passed over.
    fn wait_for(&self, event: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(BOUND).unwrap_or_else(|e| panic!("no {event:?}: {e}"));
            if line["event"] == event {
                return line;
            }
        }
    }

    /// The packets so far of each track that comes in, as the next statistics tell them.
    fn received(&self) -> Vec<u64> {
        let statistics = self.wait_for("statistics");
        let tracks = statistics["statistics"]["received"].as_array().cloned().unwrap_or_default();
        tracks.iter().filter_map(|track| track["network"]["packets"].as_u64()).collect()
    }

    fn interrupt(&self) {
        self.signal("-INT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn ended_well(&mut self) -> bool {
        // Its output ends with it.
        while self.lines.recv_timeout(BOUND).is_ok() {}
        self.child.wait().unwrap().success()
    }
}

impl Drop for Trill {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trill"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["TRILL_TOKEN", "TRILL_SERVER", "TRILL_API_KEY", "TRILL_API_SECRET", "TRILL_CONFIG"] {
        command.env_remove(name);
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    trill(arguments).output().unwrap()
}

/// What a command that fails says.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

struct Server {
    process: Trill,
    http: String,
    udp: String,
    url: String,
    folder: tempfile::TempDir,
}

fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let (process, http, udp) = serve(&folder, "127.0.0.1:0", "127.0.0.1:0");
    Server { process, url: format!("http://{http}"), http, udp, folder }
}

/// The process, and where it listens.
fn serve(folder: &tempfile::TempDir, http: &str, udp: &str) -> (Trill, String, String) {
    let database = folder.path().join("calls.db");
    let arguments = ["serve", "--dev", "--json", "--http", http, "--udp", udp, "--database"];
    let process = Trill::start(&[&arguments[..], &[database.to_str().unwrap()]].concat());
    let listening = process.wait_for("listening");
    let address = |name: &str| listening[name].as_str().unwrap().to_owned();
    (process, address("http"), address("udp"))
}

impl Server {
    /// The owner's backend asks for something, without looking at the answer's body.
    fn put(&self, path: &str, body: &str) {
        let token = String::from_utf8(run(&["token", "admin", "backend", "--dev"]).stdout).unwrap();
        let mut connection = TcpStream::connect(&self.http).unwrap();
        write!(
            connection,
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.http,
            token.trim(),
            body.len(),
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
    }

    /// As a crash does it, and a supervisor after it.
    fn kill_and_restart(&mut self) {
        self.process.signal("-KILL");
        self.process.child.wait().unwrap();
        let (http, udp) = (self.http.clone(), self.udp.clone());
        self.process = serve(&self.folder, &http, &udp).0;
    }
}

const SILENT: [&str; 4] = ["--mic", "tone", "--speaker", "none"];

#[test]
fn a_call_from_one_terminal_to_another_is_in_both_logs() {
    let mut server = server();
    let me = |uid| ["--dev", "--as", uid, "--server", &server.url].map(str::to_owned);
    let start = |uid, first: &[&str], rest: &[&str]| {
        let me = me(uid);
        let me: Vec<&str> = me.iter().map(String::as_str).collect();
        Trill::start(&[first, &me, &SILENT, rest, &["--json"]].concat())
    };
    let mut bob = start("bob", &["answer"], &["--once"]);
    bob.wait_for("logged_in");
    let mut alice = start("alice", &["call", "bob", "--video"], &[]);
    for telephone in [&bob, &alice] {
        telephone.wait_for("first_video");
    }
    assert!((0..30).any(|_| alice.received().len() == 2), "sound and picture");
    alice.interrupt();
    for telephone in [&bob, &alice] {
        assert_eq!(telephone.wait_for("ended")["call"]["endReason"], "hung_up");
    }
    let summary = alice.wait_for("summary");
    assert_eq!(summary["call"]["status"], "ended");
    assert_eq!(summary["call"]["endReason"], "hung_up");
    assert!(alice.ended_well() && bob.ended_well());

    for uid in ["alice", "bob"] {
        let me = me(uid);
        let me: Vec<&str> = me.iter().map(String::as_str).collect();
        let log: Value = serde_json::from_slice(&run(&[&["logs", "--json"], &me[..]].concat()).stdout).unwrap();
        assert_eq!(log["calls"].as_array().map(Vec::len), Some(1), "{log}");
        assert_eq!(log["calls"][0]["status"], "ended");
    }
    server.process.interrupt();
    server.process.wait_for("stopped");
    assert!(server.process.ended_well());
    assert!(server.folder.path().join("calls.db").exists());
}

#[test]
fn a_call_is_hung_up_after_the_time_that_was_given() {
    let server = server();
    let me = |uid: &'static str| ["--dev", "--as", uid, "--server", server.url.as_str(), "--json"];
    let bob = Trill::start(&[&["answer"], &me("bob")[..], &SILENT].concat());
    bob.wait_for("logged_in");
    // Nothing else has to happen in this second: on a slow machine bob is not even in the session when it is over.
    let mut alice = Trill::start(&[&["call", "bob", "--duration", "1s"], &me("alice")[..], &SILENT].concat());
    let call = alice.wait_for("summary")["call"].clone();
    assert_eq!(call["endReason"], "hung_up", "{call}");
    assert!(call["durationMs"].as_u64() >= Some(1000), "{call}");
    assert!(alice.ended_well());
}

#[test]
fn a_disk_that_fills_up_is_told_and_the_call_goes_on() {
    let server = server();
    let recordings = tempfile::tempdir().unwrap();
    let (heard, seen) = (recordings.path().join("heard.wav"), recordings.path().join("seen.y4m"));
    let client = |uid| ["--dev", "--as", uid, "--server", &server.url, "--json"].map(str::to_owned);
    let bob: Vec<String> = client("bob").into();
    let bob: Vec<&str> = bob.iter().map(String::as_str).collect();
    let mut bob = Trill::start(&[&["answer", "--once"], &SILENT[..], &bob].concat());
    bob.wait_for("logged_in");

    // Files of at most 256 blocks of 512 bytes: sound for 1.3 s, and no picture. Writing more is an error, not a signal.
    let mut alice = Command::new("sh");
    alice.args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_trill")]);
    alice.args(["call", "bob", "--video", "--mic", "tone", "--speaker"]).arg(&heard).arg("--video-out").arg(&seen);
    alice.args(client("alice"));
    let mut alice = Trill::spawn(alice.stdin(Stdio::null()));
    let mut failed = Vec::new();
    while failed.len() < 2 {
        let change = alice.wait_for("device_changed");
        assert_eq!(change["state"], "failed", "{change}");
        assert!(change["error"]["message"].as_str().unwrap().contains("cannot be written"), "{change}");
        failed.push(change["device"].as_str().unwrap().to_owned());
    }
    failed.sort();
    assert_eq!(failed, ["speaker", "video_output"]);

    // What comes is still received, and what is sent still arrives.
    for telephone in [&alice, &bob] {
        // What was told before the disk was full does not count.
        while telephone.lines.try_recv().is_ok() {}
        // On a slow machine a track may come late, or stand still for a second.
        let mut both = (0..30).map(|_| telephone.received()).filter(|packets| packets.len() == 2);
        let before = both.next().expect("sound and picture");
        let go_on = |after: Vec<u64>| before.iter().zip(&after).all(|(before, after)| before < after);
        assert!(both.any(go_on), "it stands still at {before:?}");
    }
    alice.interrupt();
    assert_eq!(alice.wait_for("summary")["call"]["endReason"], "hung_up");
    assert!(alice.ended_well() && bob.ended_well());
    // The second that was written is there.
    let recording = hound::WavReader::open(&heard).unwrap();
    assert!(recording.duration() >= 48_000, "{} samples", recording.duration());
}

#[test]
fn a_group_rings_and_who_hangs_up_leaves_the_others_talking() {
    let server = server();
    server.put("/v1/groups/team", r#"{"name": "Team"}"#);
    for uid in ["alice", "bob", "carol"] {
        server.put(&format!("/v1/users/{uid}"), "{}");
        server.put(&format!("/v1/groups/team/members/{uid}"), "");
    }
    let start = |uid, first: &[&str], rest: &[&str]| {
        let me = ["--dev", "--as", uid, "--server", &server.url];
        Trill::start(&[first, &me, &SILENT, rest, &["--json"]].concat())
    };
    let mut members = ["bob", "carol"].map(|uid| start(uid, &["answer"], &["--once"]));
    members.iter().for_each(|member| drop(member.wait_for("logged_in")));
    let mut alice = start("alice", &["call", "team", "--group"], &[]);
    for telephone in members.iter().chain([&alice]) {
        // Each hears both others.
        telephone.wait_for("first_audio");
        telephone.wait_for("first_audio");
    }
    alice.interrupt();
    let summary = alice.wait_for("summary");
    assert_eq!(summary["call"]["status"], "ongoing", "{summary}");
    assert!(alice.ended_well());
    for member in &members {
        assert_eq!(member.wait_for("participant_left")["participant"]["identity"], "alice");
    }
    let [bob, carol] = &mut members;
    bob.interrupt();
    assert!(bob.ended_well());
    // It is over when the last one leaves.
    carol.interrupt();
    let summary = carol.wait_for("summary");
    assert_eq!((&summary["call"]["status"], &summary["call"]["endReason"]), (&"ended".into(), &"everyone_left".into()));
    assert!(carol.ended_well());
}

#[test]
fn a_server_killed_in_the_middle_of_a_call_comes_back_with_it() {
    let mut server = server();
    let account = |uid: &'static str, url: &str| ["--dev", "--as", uid, "--server", url].map(str::to_owned);
    let start = |uid, first: &[&str], rest: &[&str]| {
        let account = account(uid, &server.url);
        let account: Vec<&str> = account.iter().map(String::as_str).collect();
        Trill::start(&[first, &account, &SILENT, rest, &["--json"]].concat())
    };
    let mut bob = start("bob", &["answer"], &["--once"]);
    bob.wait_for("logged_in");
    let mut alice = start("alice", &["call", "bob", "--video"], &[]);
    for telephone in [&bob, &alice] {
        telephone.wait_for("first_video");
    }
    server.kill_and_restart();

    for telephone in [&bob, &alice] {
        telephone.wait_for("reconnected");
        // The rejoined session counts from its own start.
        let plays = |statistics: &Value| {
            let tracks = statistics["statistics"]["received"].as_array().cloned().unwrap_or_default();
            let frames = tracks.iter().filter_map(|track| track["video"]["frames"].as_u64()).max();
            let sound = tracks.iter().filter_map(|track| track["audio"]["played"].as_u64()).max();
            frames > Some(30) && sound > Some(50)
        };
        while !plays(&telephone.wait_for("statistics")) {}
    }
    alice.interrupt();
    assert_eq!(alice.wait_for("summary")["call"]["endReason"], "hung_up");
    assert!(alice.ended_well() && bob.ended_well());
    for uid in ["alice", "bob"] {
        let account = account(uid, &server.url);
        let account: Vec<&str> = account.iter().map(String::as_str).collect();
        let log: Value = serde_json::from_slice(&run(&[&["logs", "--json"], &account[..]].concat()).stdout).unwrap();
        assert_eq!(log["calls"].as_array().map(Vec::len), Some(1), "{log}");
        assert_eq!(log["calls"][0]["status"], "ended");
    }
}

#[test]
fn a_rejected_call_and_an_interrupted_one_end_with_status_1_and_their_reason() {
    let server = server();
    let account = |uid: &'static str| ["--dev", "--as", uid, "--server", server.url.as_str()];
    let bob = Trill::start(&[&["answer", "--reject", "--json"], &account("bob")[..], &SILENT].concat());
    bob.wait_for("logged_in");
    let said = refusal(&[&["call", "bob"], &account("alice")[..], &SILENT].concat());
    assert!(said.contains("rejected"), "{said}");

    // Carol was here once; nobody answers for her now.
    let mut carol = Trill::start(&[&["answer", "--json"], &account("carol")[..], &SILENT].concat());
    carol.wait_for("waiting");
    carol.interrupt();
    assert!(carol.ended_well());
    let mut alice = Trill::start(&[&["call", "carol", "--json"], &account("alice")[..], &SILENT].concat());
    alice.wait_for("calling");
    alice.interrupt();
    assert!(!alice.ended_well());
    let log = run(&[&["logs", "--status", "cancelled"], &account("alice")[..]].concat());
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("alice -> carol") && log.contains("cancelled"), "{log}");
}

#[test]
fn a_push_in_a_file_is_answered_by_hand() {
    use trill::base::{SessionId, Uid, UnixMillis};
    use trill::identity::{ApiKey, WakeToken};
    let server = server();
    let account = |uid: &'static str| ["--dev", "--as", uid, "--server", server.url.as_str()];
    // Bob is known, and not there.
    let mut bob = Trill::start(&[&["answer", "--json"], &account("bob")[..], &SILENT].concat());
    bob.wait_for("waiting");
    bob.interrupt();
    assert!(bob.ended_well());
    let mut alice = Trill::start(&[&["call", "bob", "--json"], &account("alice")[..], &SILENT].concat());
    let call = alice.wait_for("initiated")["call"].clone();
    let payload = trill::ringing::WakePayload {
        uid: Uid::new("bob").unwrap(),
        session_id: SessionId::new(call["sessionId"].as_str().unwrap()).unwrap(),
        from: trill::ringing::User::new(Uid::new("alice").unwrap()),
        group: None,
        call_type: trill::ringing::CallType::Audio,
    };
    let key = ApiKey::new("devkey", "trill-development-secret-do-not-deploy").unwrap();
    let file = server.folder.path().join("push");
    let file_name = file.to_str().unwrap();
    std::fs::write(&file, WakeToken(payload).mint(&key, UnixMillis::now(), Duration::from_secs(45))).unwrap();

    let push = ["answer", "--push", file_name, "--reject", "--json"];
    let mut bob = Trill::start(&[&push, &account("bob")[..], &SILENT].concat());
    assert_eq!(bob.wait_for("push")["outcome"], "ringing");
    bob.wait_for("refusing");
    assert!(bob.ended_well());
    assert!(!alice.ended_well());
    let mut late = Trill::start(&[&push, &account("bob")[..], &SILENT].concat());
    assert_eq!(late.wait_for("push")["call"]["status"], "rejected");
    assert!(late.ended_well());

    std::fs::write(&file, "no payload").unwrap();
    let said = refusal(&[&["answer", "--push", file_name], &account("bob")[..], &SILENT].concat());
    assert!(said.contains("malformed"), "{said}");
    let said = refusal(&[&["answer", "--push", "/no/such/file"], &account("bob")[..], &SILENT].concat());
    assert!(said.contains("/no/such/file"), "{said}");
}

#[test]
fn a_load_of_calls_is_made_and_measured() {
    let server = server();
    let load = ["load", "ring", "--dev", "--server", &server.url, "--talk", "50ms", "--json"];
    // As many pairs as calls: none has to be free again in time.
    let output = run(&[&load[..], &["--devices", "80", "--rate", "20", "--duration", "2s"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let figure = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"));
    assert_eq!((figure("calls_due"), figure("calls_held_back"), figure("lost_connections")), (40, 0, 0), "{report}");
    assert_eq!((figure("calls_rung"), figure("calls_ended")), (40, 40), "{report}");
    assert_eq!(report["failures"], serde_json::json!({}));
    let latency = &report["initiate_to_incoming_ms"];
    assert!(latency["p50"].as_f64() > Some(0.0) && latency["p99"].as_f64() >= latency["p50"].as_f64(), "{report}");
    assert!(report["server"]["memory_idle"].as_u64() > Some(1_000_000), "{report}");
    // They were real calls.
    let log = run(&["logs", "--json", "--dev", "--as", "load-0", "--server", &server.url]);
    let log: Value = serde_json::from_slice(&log.stdout).unwrap();
    assert_eq!(log["calls"][0]["endReason"], "hung_up", "{log}");

    let by_pid = run(&[&load[..], &["--devices", "2", "--rate", "1", "--duration", "1s", "--pid"]].concat());
    assert!(!by_pid.status.success(), "--pid needs a number");
    let pid = server.process.child.id().to_string();
    // One pair for all calls: it makes another one whenever it is free, and the rest is held back.
    let by_pid = run(&[&load[..], &["--devices", "2", "--rate", "20", "--duration", "3s", "--pid", &pid]].concat());
    let report: Value = serde_json::from_slice(&by_pid.stdout).unwrap_or_else(|e| panic!("{e}: {by_pid:?}"));
    assert!(report["server"]["memory_idle"].as_u64() > Some(1_000_000), "{report}");
    let [rung, ended, held_back] =
        ["calls_rung", "calls_ended", "calls_held_back"].map(|name| report[name].as_u64().unwrap());
    assert!(rung > 1 && ended == rung && rung + held_back == 60, "{report}");
}

#[test]
fn a_load_of_sessions_is_forwarded_and_measured() {
    let server = server();
    let load = ["load", "session", "--dev", "--server", &server.url, "--json"];
    let people = ["--rooms", "2", "--publishers", "2", "--subscribers", "3", "--rate", "60", "--duration", "2s"];
    let pid = server.process.child.id().to_string();
    let output = run(&[&load[..], &people, &["--pid", &pid]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let figure = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"));
    assert_eq!((figure("rooms"), figure("publishers"), figure("subscribers")), (2, 4, 6), "{report}");
    // 2 rooms with 2 publishers of 60 packets a second each; each packet goes to 3 subscribers. A machine that stands
    // still measures for longer than 2 s, and sends what was due late, up to a second, or not at all.
    let (published, measured) = (figure("packets_published"), report["measured_s"].as_f64().unwrap());
    assert!(measured >= 2.0 && published > 100 && (published as f64) < 250.0 * (measured + 1.0), "{report}");
    assert_eq!(figure("packets_due"), published * 3, "{report}");
    // On a busy machine a packet may be lost where the kernel's buffers are small; retransmission repairs most of it.
    assert!(figure("packets_forwarded") * 100 >= figure("packets_due") * 98, "{report}");
    let delay = &report["added_delay_ms"];
    assert!(delay["p50"].as_f64() > Some(0.0) && delay["p99"].as_f64() >= delay["p50"].as_f64(), "{report}");
    assert!(report["server"]["cpu_us_per_packet"].as_f64() > Some(0.0), "{report}");
    assert!(report["server"]["memory_end"].as_u64() > Some(1_000_000), "{report}");
    assert_eq!(report["failures"], serde_json::json!({}), "{report}");

    let full = refusal(&[&load[..], &["--subscribers", "120", "--pid", &pid]].concat());
    assert!(full.contains("room_full") || full.contains("too_many_requests"), "{full}");
    assert!(full.contains("TRILL_LIMITS__"), "it says what to do: {full}");
}

#[test]
fn a_load_of_sessions_that_cannot_be_made_is_refused_with_the_reason() {
    let said = |more: &[&str]| refusal(&[&["load", "session", "--server", "http://127.0.0.1:1"], more].concat());
    assert!(said(&["--dev"]).contains("server_unreachable"), "nobody is there");
    assert!(said(&[]).contains("--api-key"), "a key is needed");
    assert!(said(&["--dev", "--bytes", "37"]).contains("38"));
    assert!(said(&["--dev", "--duration", "999ms"]).contains("--duration"));
    let too_much = said(&["--dev", "--rooms", "100", "--subscribers", "1000", "--rate", "5000"]);
    assert!(too_much.contains("--rate") && too_much.contains("500000000"), "{too_much}");
    let elsewhere = refusal(&["load", "session", "--dev", "--server", "http://192.0.2.1:7880"]);
    assert!(elsewhere.contains("--not-loopback"), "{elsewhere}");
}

#[test]
fn a_load_that_would_go_elsewhere_or_has_too_few_files_is_refused() {
    let elsewhere = refusal(&["load", "ring", "--dev", "--server", "http://192.0.2.1:7880"]);
    assert!(elsewhere.contains("--not-loopback"), "{elsewhere}");
    let nobody = refusal(&["load", "ring", "--dev", "--server", "http://127.0.0.1:1"]);
    assert!(nobody.contains("server_unreachable"), "{nobody}");
    let many = refusal(&["load", "ring", "--dev", "--devices", "1000000"]);
    assert!(many.contains("20000"), "{many}");
    let few_files = Command::new("sh")
        .args(["-c", r#"ulimit -n 100; exec "$0" load ring --dev --devices 1000"#, env!("CARGO_BIN_EXE_trill")])
        .output()
        .unwrap();
    let said = String::from_utf8(few_files.stderr).unwrap();
    assert!(!few_files.status.success() && said.contains("--devices") && said.contains("ulimit"), "{said}");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let running = server();
    let address = running.url.trim_start_matches("http://");
    let second = refusal(&["serve", "--dev", "--http", address, "--database", "/dev/null/none.db"]);
    assert!(second.contains("port_in_use"), "{second}");
    let store =
        refusal(&["serve", "--dev", "--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--database", "/dev/null/x.db"]);
    assert!(store.contains("store_failed"), "{store}");
    let no_key = refusal(&["serve", "--http", "127.0.0.1:0"]);
    assert!(no_key.contains("--dev") && no_key.contains("configuration"), "{no_key}");
    let no_file = refusal(&["serve", "--config", "there-is-no-such-file.toml"]);
    assert!(no_file.contains("there-is-no-such-file.toml"), "{no_file}");
}

#[test]
fn a_configuration_file_is_read_and_its_faults_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trill.toml");
    let file_name = file.to_str().unwrap();
    std::fs::write(&file, "htpp = '127.0.0.1:0'\n").unwrap();
    let unknown = refusal(&["serve", "--config", file_name]);
    assert!(unknown.contains("htpp"), "{unknown}");

    let database = folder.path().join("calls.db");
    let secret = "s".repeat(32);
    let text = format!(
        "http = '127.0.0.1:0'\nudp = '127.0.0.1:0'\ndatabase = '{}'\n[[api_keys]]\nid = 'k'\nsecret = '{secret}'\n[calls]\n\
         ring_timeout = 20\n",
        database.display()
    );
    std::fs::write(&file, text).unwrap();
    let server = Trill::start(&["serve", "--config", file_name, "--json"]);
    server.wait_for("listening");
    server.interrupt();
    server.wait_for("stopped");
}

#[test]
fn media_that_cannot_be_used_is_told_before_anybody_is_rung() {
    let me = ["--dev", "--as", "alice", "--server", "http://127.0.0.1:1", "--speaker", "none"];
    for (arguments, expected) in [
        (["call", "bob", "--mic", "no-such-file.wav"].as_slice(), "media_file"),
        (&["call", "bob", "--mic", "Cargo.toml.wav"], "media_file"),
        (&["call", "bob", "--mic", "tone:loud"], "tone:HZ"),
        (&["call", "bob", "--mic", "none", "--video", "--camera", "Cargo.toml"], "not a Y4M file"),
        (&["call", "bob", "--mic", "none", "--video-out", "film.mp4"], ".y4m"),
        (&["call", "bob", "--mic", "none"], "server_unreachable"),
    ] {
        let said = refusal(&[arguments, &me].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_call_that_cannot_be_made_leaves_earlier_recordings_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (sound, film, new) = (file("sound.wav"), file("film.y4m"), file("new.wav"));
    std::fs::write(&sound, "of yesterday").unwrap();
    std::fs::write(&film, "of yesterday").unwrap();
    let me = ["call", "bob", "--dev", "--as", "alice", "--server", "http://127.0.0.1:1", "--mic", "tone"];
    for speaker in [&sound, &new] {
        let said = refusal(&[&me[..], &["--speaker", speaker, "--video-out", &film]].concat());
        assert!(said.contains("server_unreachable"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&sound).unwrap(), "of yesterday");
    assert_eq!(std::fs::read_to_string(&film).unwrap(), "of yesterday");
    assert!(!std::path::Path::new(&new).exists());
    let nowhere = file("no/such/folder.wav");
    assert!(refusal(&[&me[..], &["--speaker", &nowhere]].concat()).contains("media_file"));
    let pipe = file("pipe.wav");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(refusal(&[&me[..], &["--speaker", &pipe]].concat()).contains("is a pipe"));
}

#[test]
fn without_a_token_or_with_a_bad_one_the_way_to_a_good_one_is_told() {
    let said = refusal(&["logs"]);
    assert!(said.contains("--as") && said.contains("token_missing"), "{said}");
    let server = server();
    let said = refusal(&["logs", "--server", &server.url, "--token", "not-a-jwt"]);
    assert!(said.contains("token_malformed"), "{said}");
}

#[test]
fn a_token_is_minted_only_with_a_key() {
    let minted = run(&["token", "user", "alice", "--dev"]);
    assert_eq!(String::from_utf8(minted.stdout).unwrap().trim().split('.').count(), 3);
    let said = refusal(&["token", "user", "alice"]);
    assert!(said.contains("configuration"), "{said}");
    let said = refusal(&["token", "user", "alice", "--api-key", "k", "--api-secret", "short"]);
    assert!(said.contains("32 bytes") && !said.contains("\"short\""), "{said}");
}

#[test]
fn the_documented_configuration_is_one() {
    use figment::providers::{Format, Toml};
    let page = include_str!("../../docs/operations.md");
    let block =
        page.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has a TOML block");
    let config: trill::server::ServerConfig = figment::Figment::from(Toml::string(block)).extract().unwrap();
    let defaults = trill::server::ServerConfig::default();
    assert_eq!((config.http, config.udp), (defaults.http, defaults.udp));
    assert_eq!(format!("{:?}{:?}", config.calls, config.limits), format!("{:?}{:?}", defaults.calls, defaults.limits));
    assert_eq!(config.ice_servers.len(), 1);
    let times = |config: &trill::server::ServerConfig| {
        let webhooks = &config.webhooks;
        (webhooks.timeout, webhooks.give_up_after, webhooks.concurrency)
    };
    assert_eq!(times(&config), times(&defaults));
}
