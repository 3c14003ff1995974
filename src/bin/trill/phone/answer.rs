//! `trill answer`: waits for calls, and takes or refuses them.

use super::{Happening, Key, Phone, PhoneOptions};
use clap::Args;
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use trill::base::{Error, ErrorCode, Result};
use trill::engine::Event;
use trill::ringing::wire::RejectReason;
use trill::ringing::{Call, CallEventKind, CallType, PushOutcome};

/// Wait for calls and answer them
///
/// On a terminal it rings: Enter accepts, r rejects, b says busy. Elsewhere, and with --auto, it accepts by itself.
#[derive(Args)]
pub struct AnswerCommand {
    /// Accept each call at once
    #[arg(long, conflicts_with_all = ["reject", "busy"])]
    auto: bool,
    /// Reject each call
    #[arg(long, conflicts_with = "busy")]
    reject: bool,
    /// Answer each call with busy
    #[arg(long)]
    busy: bool,
    /// End after one call
    #[arg(long)]
    once: bool,
    /// A push came in: take the call of the wake payload in this file (- for the standard input), and end after it
    #[arg(long, value_name = "FILE")]
    push: Option<PathBuf>,
    #[command(flatten)]
    phone: PhoneOptions,
}

/// What becomes of a call that rings.
enum Decision {
    Accept,
    Refuse(RejectReason),
}

impl AnswerCommand {
    pub fn run(self) -> Result<()> {
        let by_itself = self.auto || self.phone.json || !std::io::stdin().is_terminal();
        let decision = match (self.reject, self.busy) {
            (true, _) => Some(Decision::Refuse(RejectReason::Rejected)),
            (_, true) => Some(Decision::Refuse(RejectReason::Busy)),
            _ if by_itself => Some(Decision::Accept),
            _ => None,
        };
        let push = self.push.as_deref().map(read_push).transpose()?;
        let once = self.once || push.is_some();
        let mut phone = Phone::start(self.phone, true)?;
        if let Some(payload) = push {
            let pushed = phone.engine.call_from_push(payload).wait()?;
            let words = format!("the call is {} ({})", pushed.outcome.name().replace('_', " "), pushed.call.status);
            phone.note("push", &words, json!({"outcome": pushed.outcome, "call": pushed.call}));
            if pushed.outcome != PushOutcome::Ringing {
                phone.engine.shut_down();
                return Ok(());
            }
        }
        loop {
            phone.note("waiting", "waiting for a call; Ctrl-C ends", json!({}));
            let Some(mut call) = wait_for_ring(&mut phone)? else { break };
            let taken = take(&mut phone, &mut call, decision.as_ref());
            phone.summarise(&call);
            match taken {
                Ok(()) => {}
                // The caller was faster, or another device: the next call may come.
                Err(error) if matches!(error.code(), ErrorCode::AlreadyEnded | ErrorCode::NotAllowedInState) => {}
                Err(error) if once => return Err(error),
                Err(error) => phone.note("error", &format!("the call failed: {error}"), json!({"error": error})),
            }
            if once {
                break;
            }
        }
        phone.engine.shut_down();
        Ok(())
    }
}

fn read_push(file: &Path) -> Result<Vec<u8>> {
    let mut payload = Vec::new();
    let mut read = || match file.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut payload),
        _ => std::fs::File::open(file)?.read_to_end(&mut payload),
    };
    read().map_err(|e| Error::new(ErrorCode::InvalidArgument, format!("--push {}: {e}", file.display())))?;
    Ok(payload)
}

/// The call that rings; nothing when the person wants to stop.
fn wait_for_ring(phone: &mut Phone) -> Result<Option<Call>> {
    loop {
        match phone.next()? {
            Happening::Event(Event::Call(event)) if event.kind == CallEventKind::IncomingReceived => {
                return Ok(Some(event.call));
            }
            Happening::Key(Key::HangUp) => return Ok(None),
            _ => {}
        }
    }
}

fn take(phone: &mut Phone, call: &mut Call, decision: Option<&Decision>) -> Result<()> {
    let asked;
    let decision = match decision {
        Some(decision) => decision,
        None => match ask(phone, call)? {
            Some(decision) => {
                asked = decision;
                &asked
            }
            // It stopped ringing.
            None => return Ok(()),
        },
    };
    match decision {
        Decision::Accept => {
            phone.note("accepting", "accepting", json!({"session": call.session_id}));
            *call = phone.engine.accept_call(&call.session_id).wait()?;
            phone.join(call)?;
            phone.talk(call)
        }
        Decision::Refuse(reason) => {
            phone.note("refusing", "refusing", json!({"session": call.session_id, "reason": reason}));
            *call = phone.engine.reject_call(&call.session_id, *reason).wait()?;
            Ok(())
        }
    }
}

/// Asks the person at the keyboard, for as long as it rings.
fn ask(phone: &mut Phone, call: &mut Call) -> Result<Option<Decision>> {
    let kind = if call.call_type == CallType::Video { "video " } else { "" };
    phone.live.say(&format!("{}call from {}: Enter accepts, r rejects, b says busy \x07", kind, call.initiator.uid));
    loop {
        match phone.next()? {
            Happening::Event(Event::Call(event)) if event.call.session_id == call.session_id => {
                *call = event.call;
                // A group's call rings on when another member has taken it.
                if !call.rings_for(&phone.uid) {
                    return Ok(None);
                }
            }
            Happening::Key(Key::Enter) => return Ok(Some(Decision::Accept)),
            Happening::Key(Key::Reject | Key::HangUp | Key::Closed) => {
                return Ok(Some(Decision::Refuse(RejectReason::Rejected)));
            }
            Happening::Key(Key::Busy) => return Ok(Some(Decision::Refuse(RejectReason::Busy))),
            _ => {}
        }
    }
}
