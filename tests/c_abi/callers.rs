//! The telephones of examples/native_caller and bindings/cpp, built against the installed library, call each other.

use super::{Host, ROOT, build, declared, install, run, user_token};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const BOUND: Duration = Duration::from_secs(60);

/// A program in a terminal: what it prints is waited for, what it is told is typed.
pub struct Terminal {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Terminal {
    fn start(name: &'static str, program: &Path, arguments: &[&str]) -> Self {
        Self::run(name, Command::new(program).args(arguments))
    }

    pub fn run(name: &'static str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { name, child, lines, seen: Vec::new() }
    }

    /// Waits for a line that holds `text`.
    pub fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(BOUND.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    self.seen.push(line);
                    if self.seen.last().unwrap().contains(text) {
                        return;
                    }
                }
                Err(_) => panic!("{} did not say {text:?}, but:\n{}", self.name, self.seen.join("\n")),
            }
        }
    }

    /// Waits for lines that hold these texts, in any order.
    pub fn expect_each(&mut self, texts: &[&str]) {
        let before = self.seen.len();
        for text in texts {
            if !self.seen[before..].iter().any(|line| line.contains(text)) {
                self.expect(text);
            }
        }
    }

    pub fn type_in(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Waits for its end, which is to be a success.
    pub fn end(mut self) {
        let start = Instant::now();
        while start.elapsed() < BOUND {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.seen.extend(self.lines.try_iter());
                assert!(status.success(), "{}: {status}\n{}", self.name, self.seen.join("\n"));
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{} does not end", self.name);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn native_and_cpp_callers_call_reject_mute_hang_up_and_list_their_calls() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let prefix = install(folder.path());
    let native = build(folder.path(), &prefix, "examples/native_caller", "native_caller", &[]);
    let cpp = build(folder.path(), &prefix, "bindings/cpp", "cpp_caller", &["-DCMAKE_CXX_COMPILER=clang++"]);
    let (alice, bob) = (user_token("alice"), user_token("bob"));

    let mut phone = Terminal::start("native", &native, &[&host.url, &alice]);
    phone.expect("logged in as alice");

    // The C++ caller calls, and the native one answers. It hangs up 5 s after it has heard and seen: by then the other
    // is to have heard it.
    let caller = Terminal::start("cpp", &cpp, &[&host.url, &bob, "call", "alice", "5"]);
    phone.expect("bob calls");
    phone.type_in("accept");
    phone.expect("bob can be heard");
    phone.expect("the call is over");
    caller.end();

    // The other way round; it mutes, looks at the statistics and hangs up.
    let mut answerer = Terminal::start("cpp", &cpp, &[&host.url, &bob, "answer"]);
    answerer.expect("logged in as bob");
    phone.type_in("video bob");
    phone.expect("bob accepted");
    phone.expect("bob can be heard");
    answerer.expect_each(&["alice is heard", "alice is seen"]);
    phone.type_in("mute");
    phone.expect("alice is muted");
    phone.type_in("unmute");
    phone.expect("alice is not muted any more");
    phone.type_in("s");
    phone.expect("< bob");
    phone.type_in("h");
    phone.expect("the call is over");
    answerer.expect("over after");
    answerer.end();

    // Rejected.
    let mut other = Terminal::start("native of bob", &native, &[&host.url, &bob]);
    other.expect("logged in as bob");
    phone.type_in("call bob");
    other.expect("alice calls");
    other.type_in("reject");
    phone.expect("the call is over: status 4, reason 2");
    phone.type_in("log");
    phone.expect("alice -> bob  audio");
    phone.expect("alice -> bob  video");
    phone.expect("bob -> alice  video");
    for mut terminal in [phone, other] {
        terminal.type_in("quit");
        terminal.end();
    }
}

/// A second of a tone.
fn write_tone(path: &Path, hz: f32) {
    write_wav(
        path,
        (0..48_000).map(|at| ((at as f32 / 48_000.0 * hz * std::f32::consts::TAU).sin() * 12_000.0) as i16),
    );
}

/// 48 kHz, mono.
pub fn write_wav(path: &Path, samples: impl Iterator<Item = i16>) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        file.write_sample(sample).unwrap();
    }
    file.finalize().unwrap();
}

/// How loud a tone is in the last half second of a file (Goertzel's algorithm, as an amplitude).
fn loudness(path: &Path, hz: f32) -> f32 {
    let mut file = hound::WavReader::open(path).unwrap();
    let samples: Vec<i16> = file.samples().map(Result::unwrap).collect();
    let heard: Vec<i16> = samples.into_iter().filter(|sample| *sample != 0).collect();
    let part = &heard[heard.len().saturating_sub(24_000)..];
    let turn = 2.0 * (hz / 48_000.0 * std::f32::consts::TAU).cos();
    let (a, b) = part.iter().fold((0.0, 0.0), |(a, b), x| (turn * a - b + f32::from(*x), a));
    (a * a + b * b - turn * a * b).max(0.0).sqrt() * 2.0 / part.len().max(1) as f32
}

/// Pictures of one grey, at ten a second.
fn write_grey(path: &Path, grey: u8) {
    let (width, height) = (160, 90);
    let mut file = format!("YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420\n").into_bytes();
    for _ in 0..10 {
        file.extend_from_slice(b"FRAME\n");
        file.resize(file.len() + width * height, grey);
        file.resize(file.len() + width * height / 2, 128);
    }
    std::fs::write(path, file).unwrap();
}

/// The middle of the first picture in a folder's one file.
fn seen(folder: &Path) -> u8 {
    let file = std::fs::read_dir(folder).unwrap().next().expect("a picture was seen").unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    let start = bytes.windows(6).position(|part| part == b"FRAME\n").expect("a picture was seen") + 6;
    bytes[start + 45 * 160 + 80]
}

#[test]
fn two_native_callers_hear_and_see_each_others_files() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let prefix = install(folder.path());
    let native = build(folder.path(), &prefix, "examples/native_caller", "native_caller", &[]);
    let start = |name: &'static str, hz: f32, grey: u8| {
        let file = |kind: &str| folder.path().join(format!("{name}.{kind}"));
        write_tone(&file("wav"), hz);
        write_grey(&file("y4m"), grey);
        std::fs::create_dir(file("seen")).unwrap();
        let path = |kind: &str| file(kind).display().to_string();
        let options =
            ["--wav", &path("wav"), "--y4m", &path("y4m"), "--heard", &path("heard"), "--seen", &path("seen")];
        let mut phone =
            Terminal::start(name, &native, &[&[host.url.as_str(), &user_token(name)], &options[..]].concat());
        phone.expect(&format!("logged in as {name}"));
        phone
    };
    let (mut alice, mut bob) = (start("alice", 500.0, 80), start("bob", 900.0, 200));
    alice.type_in("video bob");
    bob.expect("alice calls");
    bob.type_in("accept");
    for (phone, other) in [(&mut alice, "bob"), (&mut bob, "alice")] {
        phone.expect_each(&[&format!("{other} can be heard"), &format!("{other} can be seen")]);
    }
    // From here on, a second more is written of what each hears.
    let start = Instant::now();
    for name in ["alice", "bob"] {
        let heard = || std::fs::metadata(folder.path().join(format!("{name}.heard"))).unwrap().len();
        let before = heard();
        while heard() < before + 96_000 {
            assert!(start.elapsed() < BOUND, "{name} hears nothing");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    bob.type_in("h");
    for mut phone in [alice, bob] {
        phone.expect("the call is over");
        phone.type_in("quit");
        phone.end();
    }
    for (name, other, own, grey) in [("alice", 900.0, 500.0, 200), ("bob", 500.0, 900.0, 80)] {
        let heard = folder.path().join(format!("{name}.heard"));
        let (other, own) = (loudness(&heard, other), loudness(&heard, own));
        assert!(other > 4_000.0 && own < 400.0, "{name} heard the other's tone at {other}, its own at {own}");
        let seen = seen(&folder.path().join(format!("{name}.seen")));
        assert!(seen.abs_diff(grey) < 10, "{name} saw {seen}, not {grey}");
    }
}

#[test]
fn the_minimal_call_of_the_examples_rings_is_heard_and_hangs_up() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let prefix = install(folder.path());
    let minimal = build(folder.path(), &prefix, "examples/minimal_call", "minimal_call", &[]);
    let native = build(folder.path(), &prefix, "examples/native_caller", "native_caller", &[]);
    let (hello, heard) = (folder.path().join("hello.wav"), folder.path().join("heard.wav"));
    write_tone(&hello, 500.0);
    let path = |file: &Path| file.display().to_string();
    let mut bob = Terminal::start("bob", &native, &[&host.url, &user_token("bob")]);
    bob.expect("logged in as bob");
    let mut alice =
        Terminal::start("alice", &minimal, &[&host.url, &user_token("alice"), "bob", &path(&hello), &path(&heard)]);
    bob.expect("alice calls");
    bob.type_in("accept");
    bob.expect("alice can be heard");
    // Enter hangs up.
    alice.type_in("");
    alice.end();
    bob.expect("the call is over: status 3, reason 1");
    bob.type_in("quit");
    bob.end();
    assert!(std::fs::metadata(heard).unwrap().len() > 44, "what bob said is in the file");
}

/// Each function of the binding is compiled, by both compilers, also without exceptions; each constant has an enumerator.
#[test]
fn the_cpp_header_is_clean_and_knows_every_constant() {
    const FAMILIES: &[(&str, &str)] = &[
        ("STATUS", "Status"),
        ("CALL_TYPE", "CallType"),
        ("RECEIVER_TYPE", "ReceiverType"),
        ("CATEGORY", "Category"),
        ("CALL_STATUS", "CallStatus"),
        ("END_REASON", "EndReason"),
        ("PARTY_STATE", "PartyState"),
        ("REJECT", "RejectReason"),
        ("PUSH_OUTCOME", "PushOutcome"),
        ("DIRECTION", "Direction"),
        ("EVENT", "EventKind"),
        ("SESSION_END", "SessionEnd"),
        ("AUDIO_SOURCE", "AudioSource"),
        ("VIDEO_SOURCE", "VideoSource"),
        ("VOICE", "Voice"),
        ("TRACK_KIND", "TrackKind"),
        ("SOURCE", "Source"),
        ("QUALITY", "Quality"),
        ("DEVICE_KIND", "DeviceKind"),
        ("DEVICE_STATE", "DeviceState"),
        ("DEVICE_POLICY", "DevicePolicy"),
        ("SIMULCAST", "Simulcast"),
        ("LOG", "LogLevel"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("constants.cpp");
    let mut text = "#include <trill.hpp>\n".to_owned();
    for constant in declared::constants(&declared::header()) {
        let family = FAMILIES.iter().filter(|(prefix, _)| constant.starts_with(&format!("{prefix}_")));
        let (prefix, name) = family.max_by_key(|(prefix, _)| prefix.len()).unwrap_or_else(|| panic!("{constant}"));
        let enumerator = constant[prefix.len() + 1..].to_lowercase();
        text += &format!(
            "static_assert(static_cast<std::int32_t>(trill::{name}::{enumerator}) == TRILL_{constant}, \"\");\n"
        );
    }
    // A time that C cannot hold does not wrap around to one that it can.
    for wrong in ["4294967296 + 5000", "-5000"] {
        text += &format!("static_assert(trill::detail::whole(trill::Milliseconds({wrong})) == UINT32_MAX, \"\");\n");
    }
    text += "static_assert(trill::detail::whole(trill::Milliseconds(5000)) == 5000, \"\");\n";
    text += "int main() { return trill::Engine::create().has_value() ? 0 : 1; }\n";
    std::fs::write(&source, text).unwrap();
    let example = Path::new(ROOT).join("bindings/cpp/example/caller.cpp");
    for compiler in ["g++", "clang++"] {
        for (file, options) in [(&source, &["-fno-exceptions"][..]), (&source, &[]), (&example, &[])] {
            run(Command::new(compiler)
                .args(["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
                .args(options)
                .arg(format!("-I{ROOT}/include"))
                .arg(format!("-I{ROOT}/bindings/cpp/include"))
                .arg(file));
        }
    }
}
