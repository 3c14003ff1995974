//! The smallest program that makes a call: logs in, rings, joins, talks for ten seconds, hangs up.
//!
//!     trill serve --dev
//!     trill answer --dev --as bob --auto --mic tone --speaker none
//!     TRILL_TOKEN=$(trill token user alice --dev) cargo run --example minimal_call

#![allow(clippy::disallowed_methods, reason = "an app may read the clock")]

use std::time::{Duration, Instant};
use trill::base::{Result, Uid};
use trill::device::{AudioInput, AudioOutput};
use trill::engine::{Engine, EngineConfig, Event, SessionSettings};
use trill::ringing::wire::Initiate;
use trill::ringing::{CallEventKind, CallType};

fn main() -> Result<()> {
    let token = std::env::var("TRILL_TOKEN").expect("TRILL_TOKEN holds a user token");
    let (engine, events) = Engine::with_queue(EngineConfig::default())?;
    let me = engine.log_in("http://127.0.0.1:7880", token).wait()?;
    println!("logged in as {}", me.uid);

    let bob = Uid::new("bob")?;
    let call = engine.initiate_call(Initiate::user(&bob, CallType::Audio)).wait()?;
    let mut hang_up_at = None;
    loop {
        match events.next(Duration::from_millis(100)) {
            Ok(Event::Call(event)) if event.kind == CallEventKind::OutgoingAccepted => {
                let access = engine.session_token(&call.session_id).wait()?;
                let settings = SessionSettings {
                    microphone: AudioInput::Tone { hz: 440.0 },
                    speaker: AudioOutput::Wav { path: "heard.wav".into() },
                    ..SessionSettings::default()
                };
                engine.start_session(&call.session_id, access.url, access.token, settings).wait()?;
                hang_up_at = Some(Instant::now() + Duration::from_secs(10));
            }
            Ok(Event::Call(event)) => {
                println!("{}: {}", event.kind, event.call.status);
                if event.call.status.is_over() {
                    return Ok(());
                }
            }
            _ => {}
        }
        if hang_up_at.is_some_and(|at| Instant::now() >= at) {
            hang_up_at = None;
            engine.end_call(&call.session_id).wait()?;
        }
    }
}
