//! A client's signalling messages.

use super::{ConnectionId, ParticipantKey, Room};
use crate::base::Result;
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::signal_request::Message;
use livekit_protocol::{
    DisconnectReason, RequestResponse, SyncState, TrickleRequest, UpdateParticipantMetadata, leave_request,
    signal_response,
};
use serde::Deserialize;
use std::time::Instant;

/// The most attributes that one participant may have.
const MAX_ATTRIBUTES: usize = 256;

impl Room {
    /// A message of a client. Pings are the connection's own business and do not come here.
    pub fn signal_received(&mut self, now: Instant, connection: ConnectionId, message: Message) {
        let Some(key) = self.by_connection(connection) else { return };
        if let Err(error) = self.act(now, key, message) {
            tracing::info!(room = %self.name, %error, "a participant's request cannot be met; it has to join anew");
            self.expel(now, key, DisconnectReason::MediaFailure, leave_request::Action::Reconnect);
        }
        self.settle(now);
    }

    fn act(&mut self, now: Instant, key: ParticipantKey, message: Message) -> Result<()> {
        match message {
            Message::Offer(offer) => self.publisher_offer(now, key, offer)?,
            Message::Answer(answer) => self.subscriber_answer(now, key, &answer)?,
            Message::Trickle(trickle) => self.trickle(key, &trickle),
            Message::AddTrack(request) => self.add_track(key, request),
            Message::Mute(request) => self.mute(key, &request),
            Message::Subscription(update) => self.update_subscription(now, key, &update),
            Message::TrackSetting(settings) => self.update_settings(now, key, &settings),
            Message::Leave(_) => self.depart(now, key, DisconnectReason::ClientInitiated),
            Message::SubscriptionPermission(permission) => self.permit(now, key, permission),
            Message::SyncState(state) => self.sync(now, key, &state),
            Message::UpdateMetadata(update) => self.update_metadata(key, update),
            Message::UpdateAudioTrack(update) => self.update_audio(key, &update),
            Message::UpdateVideoTrack(update) => self.update_video(key, &update),
            Message::PublishDataTrackRequest(request) => {
                let request = Request::PublishDataTrack(request);
                self.refuse(key, Reason::UnsupportedType, "this server has no data tracks", request);
            }
            other => tracing::debug!(room = %self.name, ?other, "a signalling message of no use here"),
        }
        Ok(())
    }

    fn trickle(&mut self, key: ParticipantKey, trickle: &TrickleRequest) {
        #[derive(Deserialize)]
        struct CandidateInit {
            #[serde(default)]
            candidate: String,
        }
        let target = trickle.target();
        if let Ok(init) = serde_json::from_str::<CandidateInit>(&trickle.candidate_init) {
            self.change_peer(key, target, |participant, _| participant.peer(target).add_candidate(&init.candidate));
        }
    }

    /// What a resuming client still has. The server has kept its state: only choices made while away are new.
    fn sync(&mut self, now: Instant, key: ParticipantKey, state: &SyncState) {
        if let Some(subscription) = &state.subscription {
            self.update_subscription(now, key, subscription);
        }
        self.disable(key, &state.track_sids_disabled);
    }

    fn update_metadata(&mut self, key: ParticipantKey, update: UpdateParticipantMetadata) {
        let limit = self.settings.config.limits.metadata_bytes;
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let attributes = update.attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let kept = participant.attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        let size = update.metadata.len() + update.name.len() + attributes + kept;
        let (reason, message) = if !participant.grants.update_own_metadata {
            (Reason::NotAllowed, "the token does not grant canUpdateOwnMetadata")
        } else if size > limit || participant.attributes.len() + update.attributes.len() > MAX_ATTRIBUTES {
            (Reason::LimitExceeded, "name, metadata and attributes are over the server's limit")
        } else {
            (Reason::Ok, "")
        };
        if reason == Reason::Ok {
            // Empty fields are ones that the client did not mean to change; an empty attribute is one to delete.
            if !update.metadata.is_empty() {
                participant.metadata = update.metadata;
            }
            if !update.name.is_empty() {
                participant.name = update.name;
            }
            participant.attributes.extend(update.attributes);
            participant.attributes.retain(|_, value| !value.is_empty());
            participant.version += 1;
            self.tell_of(key, true);
        }
        let response = RequestResponse {
            request_id: update.request_id,
            reason: reason as i32,
            message: message.into(),
            ..Default::default()
        };
        self.signal(key, signal_response::Message::RequestResponse(response));
    }
}
