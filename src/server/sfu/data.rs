//! Data messages: who sent it, whom it is for.

use super::peer::Channel;
use crate::base::{Error, ErrorCode, ParticipantId, ParticipantIdentity, Result};
use livekit_protocol::{DataPacket, data_packet};
use prost::Message as _;
use std::collections::HashSet;

/// A message on its way, and its receivers.
#[derive(Debug)]
pub(super) struct Routed {
    /// As it goes out: the sender is what the server knows, not what the message said.
    pub bytes: Vec<u8>,
    /// The sender's count of its reliable messages; 0 where it does not count.
    pub sequence: u32,
    destinations: Option<HashSet<String>>,
}

impl Routed {
    /// Reads a message of a participant. Fails with `malformed`, or `invalid_argument` for what only a server may send.
    #[allow(deprecated, reason = "older clients name destinations and sender inside the user packet")]
    pub fn read(message: &[u8], channel: Channel, id: &ParticipantId, identity: &ParticipantIdentity) -> Result<Self> {
        let mut packet = DataPacket::decode(message)
            .map_err(|e| Error::new(ErrorCode::Malformed, format!("a data message is not a DataPacket: {e}")))?;
        let mut destinations: HashSet<String> = packet.destination_identities.iter().cloned().collect();
        match &mut packet.value {
            Some(data_packet::Value::Speaker(_)) | None => {
                return Err(Error::new(ErrorCode::InvalidArgument, "a data message of that kind is not for clients"));
            }
            Some(data_packet::Value::User(user)) => {
                user.participant_sid = id.to_string();
                user.participant_identity = identity.to_string();
                destinations.extend(user.destination_identities.iter().cloned());
                destinations.extend(user.destination_sids.iter().cloned());
            }
            Some(_) => {}
        }
        packet.participant_sid = id.to_string();
        packet.participant_identity = identity.to_string();
        packet.kind = match channel {
            Channel::Reliable => data_packet::Kind::Reliable as i32,
            Channel::Lossy => data_packet::Kind::Lossy as i32,
        };
        let destinations = (!destinations.is_empty()).then_some(destinations);
        Ok(Self { bytes: packet.encode_to_vec(), sequence: packet.sequence, destinations })
    }

    /// Nobody named means everybody.
    pub fn is_for(&self, id: &ParticipantId, identity: &ParticipantIdentity) -> bool {
        match &self.destinations {
            None => true,
            Some(names) => names.contains(identity.as_str()) || names.contains(id.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::{ActiveSpeakerUpdate, UserPacket};

    fn ids(name: &str) -> (ParticipantId, ParticipantIdentity) {
        (ParticipantId::new(format!("PA_{name}")).unwrap(), ParticipantIdentity::new(name).unwrap())
    }

    fn route(packet: DataPacket) -> Result<Routed> {
        let (id, identity) = ids("alice");
        Routed::read(&packet.encode_to_vec(), Channel::Lossy, &id, &identity)
    }

    fn user(payload: &[u8]) -> Option<data_packet::Value> {
        Some(data_packet::Value::User(UserPacket { payload: payload.into(), ..Default::default() }))
    }

    #[test]
    fn a_sender_cannot_speak_in_anothers_name() {
        let forged = DataPacket { participant_identity: "bob".into(), value: user(b"hello"), ..Default::default() };
        let sent = DataPacket::decode(&route(forged).unwrap().bytes[..]).unwrap();
        assert_eq!(sent.participant_identity, "alice");
        assert_eq!(sent.participant_sid, "PA_alice");
    }

    #[test]
    fn a_message_reaches_those_it_names_or_everybody() {
        let (bob, carol) = (ids("bob"), ids("carol"));
        let to_all = route(DataPacket { value: user(b"x"), ..Default::default() }).unwrap();
        assert!(to_all.is_for(&bob.0, &bob.1) && to_all.is_for(&carol.0, &carol.1));

        let destination_identities = vec!["bob".to_string()];
        let to_bob = route(DataPacket { value: user(b"x"), destination_identities, ..Default::default() }).unwrap();
        assert!(to_bob.is_for(&bob.0, &bob.1) && !to_bob.is_for(&carol.0, &carol.1));
    }

    #[test]
    #[allow(deprecated, reason = "the deprecated kind is the one that is refused")]
    fn what_is_not_a_clients_message_is_refused() {
        let speaker = Some(data_packet::Value::Speaker(ActiveSpeakerUpdate::default()));
        let refused = route(DataPacket { value: speaker, ..Default::default() });
        assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidArgument);
        let (id, identity) = ids("alice");
        let rubbish = Routed::read(&[0xff; 40], Channel::Reliable, &id, &identity);
        assert_eq!(rubbish.unwrap_err().code(), ErrorCode::Malformed);
    }
}
