//! People at terminals: what they read, and the keys that they press. Each terminal is a real one, of `script` (util-linux).

use super::{BOUND, SILENT, Server, server};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

/// A telephone in a terminal. It is hung up with the test.
struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    output: mpsc::Receiver<Vec<u8>>,
    /// All that was on the screen, and how much of it has been looked at.
    screen: String,
    looked_at: usize,
}

impl Terminal {
    fn open(server: &Server, uid: &str, command: &str) -> Self {
        let me = format!("--dev --as {uid} --server {} {}", server.url, SILENT.join(" "));
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &format!("exec \"$PROGRAM\" {command} {me}")])
            .arg(server.folder.path().join("screen"))
            .env("PROGRAM", env!("CARGO_BIN_EXE_trill"))
            .env("SHELL", "/bin/sh")
            .env_remove("TRILL_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux");
        let mut stdout = script.stdout.take().unwrap();
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut buffer) {
                let _ = sender.send(buffer[..length].to_vec());
            }
        });
        Self { keyboard: script.stdin.take().unwrap(), script, output, screen: String::new(), looked_at: 0 }
    }

    /// Reads on until these words are there.
    fn reads(&mut self, words: &str) {
        loop {
            if let Some(at) = self.screen[self.looked_at..].find(words) {
                self.looked_at += at + words.len();
                return;
            }
            match self.output.recv_timeout(BOUND) {
                Ok(more) => self.screen += &String::from_utf8_lossy(&more),
                Err(error) => panic!("{words:?} is not on the screen ({error}):\n{}", self.screen),
            }
        }
    }

    fn has_read(&self, words: &str) -> bool {
        self.screen.contains(words)
    }

    fn presses(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether the command says so: it ends by itself.
    fn ends_well(&mut self) -> bool {
        loop {
            match self.output.recv_timeout(BOUND) {
                Ok(more) => self.screen += &String::from_utf8_lossy(&more),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.script.wait().unwrap().success(),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.screen),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The program in it has the end of its terminal for the order to hang up.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

const ENTER: &str = "\n";
const CTRL_C: &str = "\x03";

/// Bob's telephones on the desk and in the hall: both wait for a call.
fn desk_and_hall(server: &Server) -> [Terminal; 2] {
    let mut telephones = [(); 2].map(|()| Terminal::open(server, "bob", "answer"));
    telephones.iter_mut().for_each(|telephone| telephone.reads("waiting for a call"));
    telephones
}

/// Alice calls Bob: both of his telephones ring.
fn ring(server: &Server, telephones: &mut [Terminal; 2]) -> Terminal {
    let mut alice = Terminal::open(server, "alice", "call bob");
    alice.reads("it rings at bob");
    telephones.iter_mut().for_each(|telephone| telephone.reads("call from alice: Enter accepts"));
    alice
}

#[test]
fn two_telephones_ring_the_one_that_is_taken_talks_and_the_other_is_still_at_once() {
    let server = server();
    let mut telephones = desk_and_hall(&server);
    let mut alice = ring(&server, &mut telephones);
    let [mut desk, mut hall] = telephones;
    desk.presses(ENTER);
    hall.reads("answered on another device");
    hall.reads("waiting for a call");
    alice.reads("bob accepted");
    alice.reads("you hear bob");
    desk.reads("you hear alice");
    alice.presses(ENTER);
    desk.reads("(hung up)");
    desk.reads("waiting for a call");
    assert!(alice.ends_well(), "{}", alice.screen);
    assert!(alice.has_read("(hung up)"), "{}", alice.screen);

    // The other way round: the call is taken in the hall, and hung up there.
    let mut telephones = [desk, hall];
    let mut alice = ring(&server, &mut telephones);
    let [mut desk, mut hall] = telephones;
    hall.presses(ENTER);
    desk.reads("answered on another device");
    hall.reads("you hear alice");
    hall.presses(ENTER);
    alice.reads("(hung up)");
    assert!(alice.ends_well(), "{}", alice.screen);
    hall.reads("waiting for a call");
    for telephone in [&mut desk, &mut hall] {
        telephone.presses(CTRL_C);
        assert!(telephone.ends_well(), "{}", telephone.screen);
    }
}

#[test]
fn a_call_that_is_refused_on_one_telephone_or_given_up_is_still_on_both() {
    let server = server();
    let mut telephones = desk_and_hall(&server);
    let mut alice = ring(&server, &mut telephones);
    let [desk, hall] = &mut telephones;
    desk.presses("r\n");
    hall.reads("rejected on another device");
    alice.reads("bob does not want to talk now");
    assert!(!alice.ends_well());
    telephones.iter_mut().for_each(|telephone| telephone.reads("waiting for a call"));

    let mut alice = ring(&server, &mut telephones);
    alice.presses(CTRL_C);
    for telephone in &mut telephones {
        telephone.reads("alice has stopped calling");
        telephone.reads("waiting for a call");
    }
    assert!(!alice.ends_well());
}

#[test]
fn who_calls_somebody_who_is_talking_hears_that_it_is_busy_and_disturbs_nobody() {
    let server = server();
    let mut telephones = desk_and_hall(&server);
    let mut alice = ring(&server, &mut telephones);
    let [mut desk, mut hall] = telephones;
    desk.presses(ENTER);
    hall.reads("waiting for a call");
    desk.reads("you hear alice");
    let mut carol = Terminal::open(&server, "carol", "call bob");
    carol.reads("busy");
    assert!(!carol.ends_well());
    alice.presses(ENTER);
    desk.reads("(hung up)");
    assert!(alice.ends_well(), "{}", alice.screen);

    // Now he can be reached again.
    let mut carol = Terminal::open(&server, "carol", "call bob");
    for telephone in [&mut desk, &mut hall] {
        assert!(!telephone.has_read("carol"), "{}", telephone.screen);
        telephone.reads("call from carol: Enter accepts");
    }
    desk.presses("b\n");
    carol.reads("bob is busy");
    assert!(!carol.ends_well());
}
