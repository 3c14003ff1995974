//! The others' tracks: the server's offers on the subscriber connection, and what we ask to be in them.

use super::publish::description;
use super::{Output, Peer, PeerCommand, Request, SessionMachine, Side};
use crate::base::{Error, ErrorCode, Result, TrackId};
use crate::session::{SessionEvent, sdp};
use livekit_protocol as proto;
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) peer: Peer,
    /// Offers handed to the peer connection, with the tracks in them; a good server has one out at a time.
    answering: VecDeque<(u32, Vec<TrackId>)>,
    /// The tracks in the latest offer that was answered.
    offered: Vec<TrackId>,
    answer: Option<(u32, String)>,
    /// With auto-subscribe what we gave up, without it what we asked for.
    exceptions: Vec<TrackId>,
}

/// More unanswered offers than a server that plays by the rules ever has.
const MAX_ANSWERING: usize = 16;

impl Default for Subscriber {
    fn default() -> Self {
        Self {
            peer: Peer::fresh(),
            answering: VecDeque::new(),
            offered: Vec::new(),
            answer: None,
            exceptions: Vec::new(),
        }
    }
}

impl SessionMachine {
    pub(super) fn subscriber_offer(&mut self, offer: proto::SessionDescription) {
        if self.subscriber.answering.len() >= MAX_ANSWERING {
            tracing::warn!("the server offers again and again without waiting for our answers; offer dropped");
            return;
        }
        self.subscriber.answering.push_back((offer.id, sdp::offered_tracks(&offer.sdp)));
        self.outputs.push_back(Output::Peer(PeerCommand::Answer { id: offer.id, sdp: offer.sdp }));
        self.remote_described(Side::Subscriber);
    }

    pub(super) fn answer_made(&mut self, id: u32, sdp: String) {
        let Some(index) = self.subscriber.answering.iter().position(|(offer, _)| *offer == id) else { return };
        if let Some((_, tracks)) = self.subscriber.answering.drain(..=index).next_back() {
            self.subscriber.offered = tracks;
        }
        self.subscriber.answer = Some((id, sdp.clone()));
        self.send(Request::Answer(description("answer", sdp, id)));
        self.local_described(Side::Subscriber);
        self.subscriptions_changed();
    }

    /// Offers and participant updates come in either order; a subscription is there when both name the track.
    pub(super) fn subscriptions_changed(&mut self) {
        let tracks: Vec<TrackId> = self.roster.others().flat_map(|p| &p.tracks).map(|t| t.id.clone()).collect();
        for id in tracks {
            let subscribed = self.subscriber.offered.contains(&id);
            self.set_subscribed(&id, subscribed);
        }
    }

    /// Before a new presence replaces this one: its subscriptions and the ids of our own tracks are over.
    pub(super) fn forget_presence(&mut self) {
        for id in self.roster.subscribed() {
            self.set_subscribed(&id, false);
        }
        let Some(local) = self.roster.local().cloned() else { return };
        for track in local.tracks {
            self.roster.remove_local_track(&track.id);
            let participant = local.identity.clone();
            self.event(SessionEvent::TrackUnpublished { participant, track, local: true });
        }
    }

    pub(super) fn update_subscription(&mut self, id: &TrackId, subscribe: bool) -> Result<()> {
        let others = self.roster.others();
        let publisher = others.into_iter().find(|p| p.tracks.iter().any(|t| t.id == *id));
        let publisher = publisher.ok_or_else(|| Error::from(ErrorCode::TrackNotFound))?;
        let participant_tracks = vec![proto::ParticipantTracks {
            participant_sid: publisher.id.to_string(),
            track_sids: vec![id.to_string()],
        }];
        let exceptions = &mut self.subscriber.exceptions;
        exceptions.retain(|other| other != id);
        if subscribe != self.settings.auto_subscribe {
            exceptions.push(id.clone());
        }
        let track_sids = vec![id.to_string()];
        self.send(Request::Subscription(proto::UpdateSubscription { track_sids, subscribe, participant_tracks }));
        Ok(())
    }

    pub(super) fn subscription_failed(&mut self, response: &proto::SubscriptionResponse) {
        let message = format!("the server cannot send us the track {}: {:?}", response.track_sid, response.err());
        self.event(SessionEvent::Error { error: Error::new(ErrorCode::TrackNotFound, message) });
    }

    /// What we last answered, and which tracks we want otherwise than by default: for `sync_state`.
    pub(super) fn subscribed(&self) -> (Option<proto::SessionDescription>, proto::UpdateSubscription) {
        let answer = self.subscriber.answer.clone().map(|(id, sdp)| description("answer", sdp, id));
        let subscription = proto::UpdateSubscription {
            track_sids: self.subscriber.exceptions.iter().map(ToString::to_string).collect(),
            subscribe: !self.settings.auto_subscribe,
            participant_tracks: Vec::new(),
        };
        (answer, subscription)
    }

    fn set_subscribed(&mut self, id: &TrackId, subscribed: bool) {
        let Some((participant, track)) = self.roster.track_mut(id) else { return };
        if track.subscribed == subscribed {
            return;
        }
        track.subscribed = subscribed;
        let track = track.clone();
        self.event(if subscribed {
            SessionEvent::TrackSubscribed { participant, track }
        } else {
            SessionEvent::TrackUnsubscribed { participant, track }
        });
    }
}
