//! Signalling messages as bytes: protobuf, or JSON for a connection that began to speak it.

use crate::base::{Error, ErrorCode, Result};
use livekit_protocol::{SignalRequest, SignalResponse, signal_request, signal_response};
use prost::Message as _;

/// What a connection's messages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Binary,
    Json,
}

/// A client's message. `None` is one that this version of the protocol does not know: not an error, by protobuf's rules.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<signal_request::Message>> {
    SignalRequest::decode(bytes).map(|request| request.message).map_err(malformed)
}

pub(super) fn decode_json(text: &str) -> Result<Option<signal_request::Message>> {
    serde_json::from_str::<SignalRequest>(text).map(|request| request.message).map_err(malformed)
}

pub(super) fn encode(message: signal_response::Message) -> Vec<u8> {
    SignalResponse { message: Some(message) }.encode_to_vec()
}

pub(super) fn encode_json(message: signal_response::Message) -> String {
    // Enum values of ours are always known ones, the one thing that makes this fail.
    serde_json::to_string(&SignalResponse { message: Some(message) }).unwrap_or_else(|_| "{}".into())
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Malformed, format!("a signalling message cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::MuteTrackRequest;

    #[test]
    fn both_encodings_carry_the_same_message() {
        let mute = signal_request::Message::Mute(MuteTrackRequest { sid: "TR_x".into(), muted: true });
        let binary = SignalRequest { message: Some(mute.clone()) }.encode_to_vec();
        assert_eq!(decode(&binary).unwrap(), Some(mute.clone()));
        assert_eq!(decode_json(r#"{"mute":{"sid":"TR_x","muted":true}}"#).unwrap(), Some(mute));
        assert_eq!(encode_json(signal_response::Message::Pong(5)), r#"{"pong":"5"}"#);
    }

    #[test]
    fn what_cannot_be_read_is_malformed_and_what_is_unknown_is_not() {
        assert_eq!(decode(&[0xff; 9]).unwrap_err().code(), ErrorCode::Malformed);
        assert_eq!(decode_json("{").unwrap_err().code(), ErrorCode::Malformed);
        assert_eq!(decode(&[]).unwrap(), None);
    }
}
