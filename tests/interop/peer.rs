//! A client in a process of its own, told what to do and asked what it saw, in JSON lines.

use crate::server::TestServer;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a test waits for something to be seen. Generous: encoders in software share the machine.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PyPI `livekit`.
    Python,
    /// livekit-client in headless Chromium.
    Chromium,
}

pub struct Peer {
    pub identity: String,
    pub tone: f64,
    child: Mutex<Child>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    events: Mutex<Vec<Value>>,
    changed: Condvar,
    complaints: Mutex<String>,
}

impl Peer {
    pub fn start(kind: Kind, server: &TestServer, identity: &str, tone: f64) -> Self {
        let mut command = command(kind);
        command.args([&server.url, &server.token(identity), "--tone", &tone.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{kind:?} peer does not start: {e}"));
        let seen = Arc::new(Seen::default());
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn({
            let seen = seen.clone();
            move || seen.read_events(BufReader::new(out))
        });
        std::thread::spawn({
            let seen = seen.clone();
            move || seen.read_complaints(BufReader::new(err))
        });
        Self { identity: identity.into(), tone, child: Mutex::new(child), seen }
    }

    /// Where the events that are still to come begin.
    pub fn mark(&self) -> usize {
        lock(&self.seen.events).len()
    }

    /// What it has seen since then.
    pub fn events(&self, mark: usize) -> Vec<Value> {
        lock(&self.seen.events)[mark..].to_vec()
    }

    /// The first such event since `mark`; waits for it, and fails the test when it does not come.
    pub fn expect(&self, mark: usize, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut events = lock(&self.seen.events);
        let mut next = mark;
        loop {
            if let Some(found) = events[next..].iter().find(|event| matches(event)) {
                return found.clone();
            }
            next = events.len();
            let failed = events.iter().find(|event| event["event"] == "failed").cloned();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || failed.is_some() {
                let told: Vec<_> = events.iter().map(Value::to_string).collect();
                panic!(
                    "{} did not tell of {what}\nfailure: {failed:?}\nits events:\n{}\nits standard error:\n{}",
                    self.identity,
                    told.join("\n"),
                    lock(&self.seen.complaints)
                );
            }
            events = wait(&self.seen.changed, events, left);
        }
    }

    pub fn act(&self, command: Value) {
        let mut child = lock(&self.child);
        let input = child.stdin.as_mut().expect("its standard input is a pipe");
        writeln!(input, "{command}").and_then(|()| input.flush()).expect("the peer reads its commands");
    }

    /// Ends the process as a crash would.
    pub fn kill(&self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Its input's end makes it leave and clean up; Chromium has processes of its own.
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut events = lock(&self.seen.events);
        while !events.last().is_some_and(|event| event["event"] == "end") && Instant::now() < deadline {
            events = wait(&self.seen.changed, events, Duration::from_millis(200));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Seen {
    fn read_events(&self, out: impl BufRead) {
        for line in out.lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(event) => self.add(event),
                Err(_) => lock(&self.complaints).push_str(&format!("(standard output) {line}\n")),
            }
        }
        self.add(serde_json::json!({ "event": "end" }));
    }

    fn add(&self, event: Value) {
        lock(&self.events).push(event);
        self.changed.notify_all();
    }

    fn read_complaints(&self, mut err: impl Read) {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = err.read(&mut chunk) {
            lock(&self.complaints).push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    }
}

fn command(kind: Kind) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    // Cargo's own folder for tests lies in its target folder, wherever that is.
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop");
    let needed = |path: PathBuf| {
        assert!(path.exists(), "{} is missing: run scripts/lib/peers", path.display());
        path
    };
    match kind {
        Kind::Python => {
            let mut command = Command::new(needed(installed.join("venv/bin/python")));
            command.arg("-u").arg(here.join("peer.py"));
            command
        }
        Kind::Chromium => {
            let modules = needed(installed.join("node/node_modules"));
            let mut command = Command::new("node");
            command.arg(here.join("peer.mjs")).env("MODULES", modules);
            command
        }
    }
}

/// A test that fails while it looks leaves the rest whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>, at_most: Duration) -> MutexGuard<'a, T> {
    changed.wait_timeout(guard, at_most).unwrap_or_else(PoisonError::into_inner).0
}
