//! `trill doctor` against a server that is whole, and against what is broken: each is named, with its cause.
#![cfg(feature = "cli")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use trill::base::{Uid, UnixMillis};
use trill::identity::{ApiKey, UserToken};

const KEY: (&str, &str) = ("devkey", "trill-development-secret-do-not-deploy");

/// A server, ended with the test.
struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("trill.db");
        let mut child = trill()
            .args(["serve", "--dev", "--http", "127.0.0.1:0", "--json", "--database"])
            .arg(database)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        Self { child, url: format!("http://{}", listening["http"].as_str().unwrap()), _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trill"));
    command.stdin(Stdio::null());
    for name in ["TRILL_TOKEN", "TRILL_SERVER", "TRILL_API_KEY", "TRILL_API_SECRET", "TRILL_CONFIG"] {
        command.env_remove(name);
    }
    command
}

/// Whether all is well, and each check's verdict and what was said.
fn doctor(server: &str, more: &[&str]) -> (bool, BTreeMap<String, (String, String)>) {
    let output = trill().args(["doctor", "--json", "--no-devices", "--server", server]).args(more).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let checks = lines.filter(|line| line["event"] == "check").map(|line| {
        let said = format!("{} {}", line["cause"].as_str().unwrap(), line["remedy"].as_str().unwrap_or_default());
        (line["check"].as_str().unwrap().into(), (line["verdict"].as_str().unwrap().into(), said))
    });
    (output.status.success(), checks.collect())
}

fn verdict<'a>(checks: &'a BTreeMap<String, (String, String)>, check: &str) -> (&'a str, &'a str) {
    let (verdict, said) = checks.get(check).unwrap_or_else(|| panic!("no {check}: {checks:?}"));
    (verdict, said)
}

#[test]
fn a_whole_server_is_found_whole() {
    let server = Server::start(&["--udp", "127.0.0.1:0"]);
    let (well, checks) = doctor(&server.url, &["--dev", "--as", "alice"]);
    assert!(well, "{checks:?}");
    for check in ["server", "clock", "token", "websocket", "udp"] {
        assert_eq!(verdict(&checks, check).0, "ok", "{checks:?}");
    }
    assert_eq!(verdict(&checks, "turn").0, "skipped");
}

#[test]
fn a_port_at_which_nothing_listens_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (well, checks) = doctor(&format!("http://{free}"), &["--dev", "--as", "alice"]);
    assert!(!well);
    let (verdict_, said) = verdict(&checks, "server");
    assert!(verdict_ == "fault" && said.contains(&format!("nothing listens at port {}", free.port())), "{said}");
    assert_eq!(verdict(&checks, "udp").0, "skipped");
}

#[test]
fn a_token_that_expired_or_is_of_another_key_is_named() {
    let server = Server::start(&["--udp", "127.0.0.1:0"]);
    let mint = |key: (&str, &str), at: u64| {
        let key = ApiKey::new(key.0, key.1).unwrap();
        UserToken::new(Uid::new("alice").unwrap()).mint(&key, UnixMillis(at), Duration::from_secs(60))
    };
    let now = UnixMillis::now().0;
    let (well, checks) = doctor(&server.url, &["--token", &mint(KEY, now - 3_630_000)]);
    let (verdict_, said) = verdict(&checks, "token");
    assert!(!well && verdict_ == "fault" && said.contains("expired 59m "), "{said}");

    let other = (KEY.0, "another-secret-of-at-least-32-bytes-it-is");
    let (well, checks) = doctor(&server.url, &["--token", &mint(other, now)]);
    let (verdict_, said) = verdict(&checks, "token");
    assert!(!well && verdict_ == "fault" && said.contains("API key and secret"), "{said}");
}

#[test]
fn a_clock_that_is_ten_minutes_off_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 2000];
        let _ = stream.read(&mut request).unwrap();
        let at = UnixMillis::now() + Duration::from_secs(600);
        let body = "{\"status\":\"ok\",\"version\":\"0\"}";
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ndate: {}\r\ncontent-length: {length}\r\n\r\n{body}", http_date(at)).unwrap();
    });
    let (well, checks) = doctor(&url, &[]);
    server.join().unwrap();
    let (verdict_, said) = verdict(&checks, "clock");
    assert!(!well && verdict_ == "fault" && said.contains("s behind the server's") && said.contains("NTP"), "{said}");
    assert_eq!(verdict(&checks, "token").0, "skipped", "there was none");
}

#[test]
fn media_that_no_packet_comes_through_for_is_named() {
    // The server says that media is where nobody is: RFC 5737's address for examples.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("trill.toml");
    std::fs::write(&config, "advertised_ips = [\"192.0.2.1\"]\n").unwrap();
    let server = Server::start(&["--udp", "127.0.0.1:0", "--config", config.to_str().unwrap()]);
    let (well, checks) = doctor(&server.url, &["--dev", "--as", "alice"]);
    let (verdict_, said) = verdict(&checks, "udp");
    assert!(!well && verdict_ == "fault" && said.contains("firewall"), "{said}");
    assert_eq!(verdict(&checks, "websocket").0, "ok");
}

fn http_date(at: UnixMillis) -> String {
    let text = Command::new("date")
        .args(["-u", "-d", &format!("@{}", at.as_secs()), "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(text.stdout).unwrap().trim().to_owned()
}
