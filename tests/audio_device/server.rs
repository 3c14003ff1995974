//! A sound server for a test, and the test again as a process that hears and plays through it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tells a test that it is the inner one, and which process the sound server is.
pub const INNER: &str = "TRILL_TEST_SOUND_SERVER";
pub const BOUND: Duration = Duration::from_secs(20);

/// How long two telephones talk: 20 s, or as many as TRILL_TEST_PHONES_SECONDS says.
pub fn call_time() -> Duration {
    let seconds = std::env::var("TRILL_TEST_PHONES_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// A sound server, ended with everything it wrote when it is dropped.
struct SoundServer {
    folder: tempfile::TempDir,
    daemon: Child,
}

impl SoundServer {
    fn start(sink: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".asoundrc"), "pcm.!default { type pulse }\nctl.!default { type pulse }\n")
            .unwrap();
        let daemon = start_daemon(folder.path(), sink);
        Self { folder, daemon }
    }
}

/// A daemon that answers, with a null sink that is the default to play and to hear.
pub fn start_daemon(folder: &Path, sink: &str) -> Child {
    let mut pulseaudio = Command::new("pulseaudio");
    pulseaudio
        .args(["--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "-n"])
        .args(["-L", "module-native-protocol-unix auth-anonymous=1"])
        .args(["-L", &format!("module-null-sink sink_name=vspk {sink}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    environment(&mut pulseaudio, folder);
    let daemon = pulseaudio.spawn().unwrap_or_else(|e| {
        panic!("PulseAudio cannot be started ({e}): install pulseaudio, pulseaudio-utils and libasound2-plugins")
    });
    let start = Instant::now();
    while !pactl(folder, &["set-default-sink", "vspk"]) {
        assert!(start.elapsed() < BOUND, "PulseAudio does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(pactl(folder, &["set-default-source", "vspk.monitor"]));
    daemon
}

pub fn pactl(folder: &Path, args: &[&str]) -> bool {
    let mut pactl = Command::new("pactl");
    pactl.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    environment(&mut pactl, folder);
    pactl.status().unwrap_or_else(|e| panic!("pactl cannot be started ({e}): install pulseaudio-utils")).success()
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

pub fn environment(command: &mut Command, folder: &Path) {
    command
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("PULSE_SERVER", format!("unix:{}", folder.join("pulse/native").display()))
        .env_remove("PULSE_RUNTIME_PATH")
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
}

/// Runs `body` in a process that hears and plays through a server with that sink; without one when it is `None`.
pub fn with_server(test: &str, sink: Option<&str>, body: impl FnOnce(u32)) {
    if let Ok(server) = std::env::var(INNER) {
        // A sound library that hangs must not hang the test.
        std::thread::spawn(|| {
            let limit = 4 * BOUND + 2 * call_time();
            std::thread::sleep(limit);
            eprintln!("still running after {limit:?}");
            std::process::exit(101);
        });
        return body(server.parse().unwrap());
    }
    let server = sink.map(SoundServer::start);
    let nowhere = tempfile::tempdir().unwrap();
    let folder: PathBuf = server.as_ref().map_or(nowhere.path(), |server| server.folder.path()).into();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]);
    again.env(INNER, server.as_ref().map_or(0, |server| server.daemon.id()).to_string());
    environment(&mut again, &folder);
    let output = again.output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
