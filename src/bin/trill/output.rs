//! How the commands speak: JSON lines for scripts, sentences for people, logs on the standard error.

use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use trill::base::UnixMillis;

/// Logs go to the standard error. `TRILL_LOG` sets what is logged, in the form of `RUST_LOG`.
pub fn start_log(json: bool, default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRILL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json { log.json().init() } else { log.init() }
}

/// One JSON object on a line of its own, with the time at which it was printed.
pub fn line(mut object: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("at_ms".into(), json!(UnixMillis::now()));
    }
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: what the command does goes on.
    let _ = writeln!(out, "{object}").and_then(|()| out.flush());
}
