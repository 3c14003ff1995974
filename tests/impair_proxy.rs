//! `trill impair` between real sockets on loopback.

#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "sockets run in real time")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Lines};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes, on a busy machine as well.
const PATIENCE: Duration = Duration::from_secs(20);
/// The answers of the packets on the way are waited for before more are sent.
const WINDOW: usize = 32;

/// A running `trill impair`, which ends with the test.
struct Proxy {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    listen: SocketAddr,
}

impl Proxy {
    fn start(upstream: SocketAddr, options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_trill"))
            .args(["impair", "--json", "--upstream", &upstream.to_string(), "--seed", "7"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = object(&lines.next().unwrap().unwrap());
        assert_eq!((listening["event"].as_str(), listening["seed"].as_u64()), (Some("listening"), Some(7)));
        let listen = listening["listen"].as_str().unwrap().parse().unwrap();
        Self { process, lines, listen }
    }

    /// Ends it as a service manager does, and gives its statistics.
    fn stop(mut self) -> Value {
        let pid = self.process.id().to_string();
        assert!(Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().unwrap().success());
        let stopped = self.lines.by_ref().map(|line| object(&line.unwrap())).find(|line| line["event"] == "stopped");
        assert!(self.process.wait().unwrap().success());
        stopped.unwrap()["statistics"].clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn object(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Sends everything back, until the test ends and its socket with it.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    address
}

fn client(proxy: &Proxy) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(proxy.listen).unwrap();
    client
}

/// Sends `count` numbered packets, a window at a time, and gives `(number, round trip)` of what came back.
fn round_trips(client: &UdpSocket, count: u32, quiet: Duration) -> Vec<(u32, Duration)> {
    client.set_read_timeout(Some(quiet)).unwrap();
    let mut came_back = Vec::new();
    let mut answer = [0; 4];
    let numbers: Vec<u32> = (0..count).collect();
    for window in numbers.chunks(WINDOW) {
        let sent = Instant::now();
        for number in window {
            client.send(&number.to_be_bytes()).unwrap();
        }
        let mut left = window.len();
        while left > 0 && client.recv(&mut answer).is_ok() {
            let number = u32::from_be_bytes(answer);
            // One of an earlier window was given up, since this machine was busy: it is late, not fast.
            let in_time = window.contains(&number);
            came_back.push((number, if in_time { sent.elapsed() } else { quiet }));
            left -= usize::from(in_time);
        }
    }
    // Nor are those of the last windows lost that are late.
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    while came_back.len() < numbers.len() && client.recv(&mut answer).is_ok() {
        came_back.push((u32::from_be_bytes(answer), quiet));
    }
    came_back
}

#[test]
fn a_clean_proxy_passes_everything_and_keeps_clients_apart() {
    let proxy = Proxy::start(echo(), &[]);
    let (one, other) = (client(&proxy), client(&proxy));
    let came_back = round_trips(&one, 200, PATIENCE);
    assert_eq!(came_back.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
    assert_eq!(round_trips(&other, 50, PATIENCE).len(), 50);
    let statistics = proxy.stop();
    assert_eq!(statistics["clients"], 2);
    assert_eq!((&statistics["up"]["sent"], &statistics["down"]["delivered"]), (&250.into(), &250.into()));
}

#[test]
fn packets_are_lost_and_delayed_as_asked_for() {
    let proxy = Proxy::start(echo(), &["--direction", "up", "--loss", "10", "--delay", "15ms"]);
    let came_back = round_trips(&client(&proxy), 960, Duration::from_millis(150));
    let lost = 100.0 - came_back.len() as f64 / 9.6;
    assert!((6.5..13.5).contains(&lost), "{lost} % lost where 10 % was asked for");
    assert!(came_back.iter().all(|(_, time)| *time >= Duration::from_millis(15)));
    let statistics = proxy.stop();
    assert_eq!(statistics["up"]["sent"], 960);
    // What came later than this test waited was not lost.
    assert!(statistics["up"]["lost"].as_u64().unwrap() <= 960 - came_back.len() as u64);
    assert_eq!(statistics["down"]["lost"], 0);
}

#[test]
fn a_file_gives_each_direction_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("network.toml");
    let text = "[[up.steps]]\nat_ms = 0\ndelay_ms = 1\n[[down.steps]]\nat_ms = 0\nduplicate_percent = 100\n";
    std::fs::write(&file, text).unwrap();
    let proxy = Proxy::start(echo(), &["--file", file.to_str().unwrap()]);
    let client = client(&proxy);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(b"once").unwrap();
    for _ in 0..2 {
        let mut answer = [0; 8];
        assert_eq!(client.recv(&mut answer).unwrap(), 4);
    }
    assert_eq!(proxy.stop()["down"]["duplicated"], 1);
}

#[test]
fn a_mistake_is_told_with_its_name() {
    let refused = |options: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_trill")).arg("impair").args(options).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&["--upstream", "127.0.0.1:9", "--loss", "101"]);
    assert!(told.contains("loss_percent is 101") && told.contains("configuration"), "{told}");
    let told = refused(&["--upstream", "127.0.0.1:9", "--file", "/nonexistent"]);
    assert!(told.contains("no such file"), "{told}");
    let told = refused(&["--upstream", "nowhere"]);
    assert!(told.contains("--upstream nowhere"), "{told}");
}
