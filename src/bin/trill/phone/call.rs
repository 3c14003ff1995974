//! `trill call`: rings a user or a group, talks, hangs up.

use super::{Phone, PhoneOptions};
use crate::output;
use clap::Args;
use serde_json::json;
use trill::base::{Error, ErrorCode, Result, Uid};
use trill::ringing::wire::Initiate;
use trill::ringing::{CallStatus, CallType, ReceiverType};

/// Call a user, or a group
///
/// Ends with status 0 when the call took place, and 1 when it did not: rejected, busy, unanswered, or an error.
#[derive(Args)]
pub struct CallCommand {
    /// Whom to call
    user: Uid,
    /// USER is the id of a group: all its members ring
    #[arg(long)]
    group: bool,
    /// With pictures, not only voice
    #[arg(long)]
    video: bool,
    /// How long it may ring, in seconds, 5-180
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    #[command(flatten)]
    phone: PhoneOptions,
}

impl CallCommand {
    pub fn run(self) -> Result<()> {
        let call_type = if self.video { CallType::Video } else { CallType::Audio };
        let receiver_type = if self.group { ReceiverType::Group } else { ReceiverType::User };
        let initiate = Initiate { receiver_type, timeout: self.timeout, ..Initiate::user(&self.user, call_type) };
        let mut phone = Phone::start(self.phone, self.video)?;
        phone.note("calling", &format!("calling {}; Enter gives up", self.user), json!({"receiver": self.user}));
        let mut call = phone.engine.initiate_call(initiate).wait()?;
        if phone.json {
            output::line(json!({"event": "initiated", "call": call}));
        }
        if call.status == CallStatus::Ongoing {
            phone.join(&mut call)?;
        }
        let over = phone.talk(&mut call);
        phone.summarise(&call);
        over?;
        phone.engine.shut_down();
        match call.status {
            // A group's call goes on when we have left it.
            CallStatus::Ended | CallStatus::Ongoing => Ok(()),
            status => Err(Error::new(ErrorCode::Cancelled, format!("the call did not take place: {status}"))),
        }
    }
}
