//! Data messages: LiveKit's `DataPacket` with a user payload, over the channels `_reliable` and `_lossy`.

use super::Roster;
use crate::base::{Error, ErrorCode, ParticipantIdentity, Result};
use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message;

/// The largest payload sent, in bytes: larger ones do not pass every SFU.
pub const MAX_DATA_PAYLOAD: usize = 15 * 1024;

/// The longest topic, in bytes.
const MAX_TOPIC: usize = 256;

/// A message to others in the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingData {
    /// At most [`MAX_DATA_PAYLOAD`].
    pub payload: Bytes,
    /// Lets receivers tell their messages apart.
    pub topic: Option<String>,
    /// Ordered and resent until it arrives; otherwise sent once.
    pub reliable: bool,
    /// Empty: everyone.
    pub destinations: Vec<ParticipantIdentity>,
}

/// A message from another participant, or from the server's own API.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DataMessage {
    /// Nothing when the server itself sent it.
    pub from: Option<ParticipantIdentity>,
    /// In JSON a text, or an array of bytes when it is none.
    #[serde(serialize_with = "text_or_bytes")]
    pub payload: Bytes,
    pub topic: Option<String>,
    pub reliable: bool,
}

/// Errors: `too_large`.
pub(super) fn encode(data: &OutgoingData, local: Option<&ParticipantIdentity>) -> Result<Bytes> {
    if data.payload.len() > MAX_DATA_PAYLOAD {
        let message = format!("a data message of {} bytes: at most {MAX_DATA_PAYLOAD} fit", data.payload.len());
        return Err(Error::new(ErrorCode::TooLarge, message));
    }
    if data.topic.as_ref().is_some_and(|topic| topic.len() > MAX_TOPIC) {
        return Err(Error::new(ErrorCode::TooLarge, format!("a data topic has at most {MAX_TOPIC} bytes")));
    }
    let identity = local.map(ToString::to_string).unwrap_or_default();
    let destinations: Vec<String> = data.destinations.iter().map(ToString::to_string).collect();
    // Older servers and clients read the deprecated fields, so both places are filled in.
    #[allow(deprecated)]
    let packet = proto::DataPacket {
        kind: if data.reliable { proto::data_packet::Kind::Reliable } else { proto::data_packet::Kind::Lossy } as i32,
        participant_identity: identity.clone(),
        destination_identities: destinations.clone(),
        value: Some(proto::data_packet::Value::User(proto::UserPacket {
            participant_identity: identity,
            payload: data.payload.to_vec(),
            destination_identities: destinations,
            topic: data.topic.clone(),
            ..Default::default()
        })),
        ..Default::default()
    };
    Ok(packet.encode_to_vec().into())
}

/// Nothing for packets of other kinds (chat, RPC, streams), which apps of ours do not use. Errors: `malformed`.
pub(super) fn decode(bytes: &[u8], reliable: bool, roster: &Roster) -> Result<Option<DataMessage>> {
    let packet = proto::DataPacket::decode(bytes)
        .map_err(|e| Error::new(ErrorCode::Malformed, format!("a data message is not a DataPacket: {e}")))?;
    let Some(proto::data_packet::Value::User(user)) = packet.value else { return Ok(None) };
    #[allow(deprecated)]
    let (identity, sid) = (user.participant_identity, user.participant_sid);
    let from = [packet.participant_identity, identity]
        .into_iter()
        .find_map(|identity| ParticipantIdentity::new(identity).ok())
        .or_else(|| roster.by_sid(&sid).map(|participant| participant.identity.clone()));
    Ok(Some(DataMessage { from, payload: user.payload.into(), topic: user.topic, reliable }))
}

fn text_or_bytes<S: serde::Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(payload) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.collect_seq(payload.iter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_with_its_sender_topic_and_payload() {
        let me = ParticipantIdentity::new("ann").unwrap();
        let data = OutgoingData {
            payload: Bytes::from_static(b"hello"),
            topic: Some("chat".into()),
            reliable: true,
            destinations: vec![],
        };
        let bytes = encode(&data, Some(&me)).unwrap();
        let message = decode(&bytes, true, &Roster::default()).unwrap().unwrap();
        assert_eq!(message.from, Some(me));
        assert_eq!(message.payload, data.payload);
        assert_eq!(message.topic.as_deref(), Some("chat"));
    }

    #[test]
    fn an_oversized_payload_is_refused_before_it_is_sent() {
        let data = OutgoingData { payload: vec![0; MAX_DATA_PAYLOAD + 1].into(), ..Default::default() };
        assert_eq!(encode(&data, None).unwrap_err().code(), ErrorCode::TooLarge);
    }

    #[test]
    fn garbage_on_a_data_channel_is_malformed() {
        let error = decode(&[0xff, 0xff, 0xff], true, &Roster::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Malformed);
    }
}
