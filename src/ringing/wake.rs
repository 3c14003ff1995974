//! The wake payload: what a push service carries to a device that is not connected, so that it rings.
//!
//! A JWT signed by the server. A device has no key to check the signature with: it reads what is in it, and asks the
//! server, which does check it, what became of the call. So a forged payload rings nowhere.

use super::call::{Call, CallType, ReceiverType, User, named};
use super::event::CallEventKind;
use crate::base::{DeviceId, Error, ErrorCode, Result, SessionId, Uid, UnixMillis};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The largest payload that is looked at, in bytes. Push services carry 4 KiB.
pub const MAX_WAKE_PAYLOAD: usize = 4 * 1024;

/// The longest name of a caller that travels in a payload, in characters.
const MAX_NAME: usize = 48;

/// What is in a wake payload: enough to show who calls before the server was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WakePayload {
    /// Whose devices are to ring.
    #[serde(rename = "sub")]
    pub uid: Uid,
    pub session_id: SessionId,
    /// Who calls. Its avatar and metadata do not travel here, and of a long name only the beginning.
    pub from: User,
    /// The group that is called; absent when it is the user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(rename = "type")]
    pub call_type: CallType,
}

named! {
    /// What became of a call that a push announced.
    PushOutcome {
        /// It rings here. The event that says so came, or comes, by itself, and once.
        Ringing = "ringing",
        /// This device is in it.
        InCall = "in_call",
        /// Another device of this user accepted it.
        AnsweredElsewhere = "answered_elsewhere",
        /// Another device of this user rejected it.
        RejectedElsewhere = "rejected_elsewhere",
        /// It is over: the caller gave up, nobody answered, or it was talked and ended.
        Over = "over",
    }
}

/// The answer to a push: the outcome, and the call as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushedCall {
    pub outcome: PushOutcome,
    pub call: Call,
}

impl WakePayload {
    pub fn new(uid: Uid, call: &Call) -> Self {
        let name = call.initiator.name.as_ref().map(|name| name.chars().take(MAX_NAME).collect());
        let from = User { uid: call.initiator.uid.clone(), name, avatar: None, metadata: None };
        let group = (call.receiver_type == ReceiverType::Group).then(|| call.receiver.id.clone());
        Self { uid, session_id: call.session_id.clone(), from, group, call_type: call.call_type }
    }

    /// What stands in a payload, and when it expires, without a look at its signature or at the clock: for showing
    /// who calls at once, as some systems ask for. White space around it does no harm.
    ///
    /// Errors: `malformed`, `too_large`.
    pub fn read(payload: &[u8]) -> Result<(Self, UnixMillis)> {
        #[derive(Deserialize)]
        struct Claims {
            #[serde(rename = "use", default)]
            kind: String,
            exp: u64,
            #[serde(flatten)]
            payload: WakePayload,
        }
        let bad = |what: &str| Error::new(ErrorCode::Malformed, format!("this is not a wake payload: {what}"));
        if payload.len() > MAX_WAKE_PAYLOAD {
            return Err(Error::new(ErrorCode::TooLarge, "a wake payload has 4 KiB at most"));
        }
        let text = std::str::from_utf8(payload).map_err(|_| bad("it is not text"))?.trim();
        let parts: Vec<&str> = text.split('.').collect();
        let [_, claims, _] = parts[..] else { return Err(bad("it does not have the three parts of a JWT")) };
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| bad("its claims are not base64url"))?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|e| bad(&e.to_string()))?;
        if claims.kind != WAKE_USE {
            return Err(bad("it is a token of another use"));
        }
        Ok((claims.payload, UnixMillis::from_secs(claims.exp)))
    }
}

/// What the `use` claim of a wake payload says.
const WAKE_USE: &str = "wake";

impl PushOutcome {
    /// What the state of `call` is to this device of this user, who is called.
    pub(crate) fn of(uid: &Uid, device: &DeviceId, call: &Call) -> Self {
        match CallEventKind::seen_by(uid, device, call) {
            Some(CallEventKind::IncomingReceived) => Self::Ringing,
            Some(CallEventKind::AnsweredElsewhere) if call.status.is_over() => Self::Over,
            Some(CallEventKind::AnsweredElsewhere) => Self::AnsweredElsewhere,
            Some(CallEventKind::RejectedElsewhere) => Self::RejectedElsewhere,
            None if !call.status.is_over() => Self::InCall,
            _ => Self::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(claims: &str) -> String {
        format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn what_is_in_a_payload_can_be_read_without_a_key() {
        let text = payload(
            r#"{"iss":"k","use":"wake","nbf":1,"exp":1790000045,"sub":"bob","sessionId":"s","from":{"uid":"alice"},"type":"VIDEO"}"#,
        );
        let (read, expires) = WakePayload::read(format!(" {text}\n").as_bytes()).unwrap();
        assert_eq!((read.uid.as_str(), read.from.uid.as_str(), read.call_type), ("bob", "alice", CallType::Video));
        assert_eq!(expires, UnixMillis(1_790_000_045_000));
    }

    #[test]
    fn what_is_no_payload_is_malformed_and_never_a_panic() {
        let user =
            payload(r#"{"use":"user","exp":1,"sub":"bob","sessionId":"s","from":{"uid":"alice"},"type":"VIDEO"}"#);
        for bad in ["", "a.b", "a.b.c", "a.é.c", "....", "{}", &user, &payload("{}"), &payload("[1]")] {
            assert_eq!(WakePayload::read(bad.as_bytes()).unwrap_err().code(), ErrorCode::Malformed, "{bad:?}");
        }
        assert_eq!(WakePayload::read(&[0xff, 0xfe]).unwrap_err().code(), ErrorCode::Malformed);
        assert_eq!(WakePayload::read(&[b'a'; 5000]).unwrap_err().code(), ErrorCode::TooLarge);
    }
}
