//! `trill doctor`: what stands in the way of a call from this machine, and what to do about it.

mod devices;
mod media;
mod server;

use crate::client::ClientOptions;
use crate::output;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use trill::base::{Error, ErrorCode, Result};

/// Check devices, server, network, clock and token
///
/// Ends with status 0 when nothing stands in the way of a call, and 1 when something does.
#[derive(Args)]
pub struct DoctorCommand {
    #[command(flatten)]
    client: ClientOptions,
    /// A TURN server to check over UDP, as turn:HOST or turn:HOST:PORT
    #[arg(long, value_name = "URL")]
    turn: Option<String>,
    /// Leave the microphone, speaker and camera out: for servers
    #[arg(long)]
    no_devices: bool,
    /// Print one JSON object for each check, and one for the result
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    /// A call works, with less than it could have.
    Warning,
    /// It stands in the way of a call.
    Fault,
    /// It could not be checked; the cause says why.
    Skipped,
}

/// One check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was seen.
    cause: String,
    /// What to do about it.
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, cause: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, cause: cause.into(), remedy: None }
    }

    fn new(check: &'static str, verdict: Verdict, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict, cause: cause.into(), remedy: Some(remedy.into()) }
    }

    fn fault(check: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fault, cause, remedy)
    }

    fn skipped(check: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, cause, remedy)
    }
}

impl DoctorCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "off");
        let mut found = Vec::new();
        let mut tell = |finding: Finding| {
            if self.json {
                let mut line = json!(finding);
                line["event"] = json!("check");
                output::line(line);
            } else {
                print(&finding);
            }
            found.push(finding.verdict);
        };
        if !self.no_devices {
            devices::check(&mut tell);
        }
        let reached = server::check_http(&self.client.server, &mut tell);
        if let Some(reached) = &reached {
            server::check_token(&self.client, reached, &mut tell);
            media::check_udp(&self.client, &mut tell);
        } else {
            for check in ["token", "websocket", "udp"] {
                tell(Finding::skipped(check, "the server was not reached", "see above"));
            }
        }
        match &self.turn {
            Some(turn) => tell(media::check_turn(turn)),
            None => tell(Finding::skipped("turn", "no TURN server was named", "name one with --turn turn:HOST:PORT")),
        }
        let count = |verdict| found.iter().filter(|found| **found == verdict).count();
        let (faults, warnings) = (count(Verdict::Fault), count(Verdict::Warning));
        if self.json {
            output::line(json!({"event": "result", "faults": faults, "warnings": warnings}));
        } else {
            println!("{faults} faults, {warnings} warnings");
        }
        match faults {
            0 => Ok(()),
            _ => Err(Error::new(ErrorCode::Configuration, "a call from this machine would fail: see the faults above")),
        }
    }
}

fn print(finding: &Finding) {
    let mark = match finding.verdict {
        Verdict::Ok => "ok  ",
        Verdict::Warning => "warn",
        Verdict::Fault => "FAIL",
        Verdict::Skipped => "-   ",
    };
    println!("{mark}  {:<10}  {}", finding.check, finding.cause);
    if let Some(remedy) = &finding.remedy {
        println!("                  {remedy}");
    }
}
