//! What a participant receives: choices and permissions become subscriptions, subscriptions become offers.

use super::publish::PublishedTrack;
use super::{ParticipantKey, Room, TrackKey};
use crate::base::Result;
use crate::server::sfu::forward::{ALL_LAYERS, Forwarder};
use crate::server::sfu::layers::Wish;
use crate::server::sfu::metrics::shift;
use crate::server::sfu::peer::Changes;
use livekit_protocol::{
    SessionDescription, SignalTarget, SubscriptionPermission, SubscriptionPermissionUpdate, TrackSubscribed,
    UpdateSubscription, UpdateTrackSettings, signal_response,
};
use std::time::Instant;
use str0m::format::Codec;
use str0m::media::{MediaKind, Mid, Pt};
use str0m::rtp::Ssrc;

/// One track on its way to one participant.
pub(super) struct Subscription {
    pub state: State,
    pub forwarder: Forwarder,
    /// The subscriber wants nothing of it for now.
    pub disabled: bool,
    pub wish: Wish,
    /// Pictures a second; 0: as many as there are.
    pub wanted_fps: u32,
    /// What the connection carries of it.
    pub allowed: Allowed,
    /// How much of it the connection carries, in bits a second, when it has one layer and there is a limit.
    pub carried: Option<u64>,
    pub since: Instant,
}

/// The layers of a track that a subscriber may get now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Paused: the connection does not even carry the lowest.
    Nothing,
    UpTo {
        rank: usize,
        /// The highest temporal layer.
        temporal: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be in the next offer.
    Wanted,
    /// In the offer that waits for its answer.
    Offered(Mid),
    Active {
        mid: Mid,
        payload_type: Pt,
        /// Sound may come in RED.
        red: Option<Pt>,
        ssrc: Ssrc,
    },
    /// The subscriber cannot take its codec.
    Refused(Mid),
}

impl State {
    pub fn mid(self) -> Option<Mid> {
        match self {
            Self::Wanted => None,
            Self::Offered(mid) | Self::Active { mid, .. } | Self::Refused(mid) => Some(mid),
        }
    }
}

impl Subscription {
    fn new(now: Instant, kind: MediaKind) -> Self {
        let forwarder = if kind == MediaKind::Audio { Forwarder::audio() } else { Forwarder::video() };
        Self {
            state: State::Wanted,
            forwarder,
            disabled: false,
            wish: Wish::default(),
            wanted_fps: 0,
            allowed: Allowed::UpTo { rank: usize::MAX, temporal: ALL_LAYERS },
            carried: None,
            since: now,
        }
    }
}

impl Room {
    /// Brings a participant's subscriptions in line with what it should receive, and offers the difference.
    pub(super) fn reconcile(&mut self, now: Instant, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let should = |(track_key, track): &(&TrackKey, &PublishedTrack)| {
            let chosen = participant.choices.get(track_key).copied().unwrap_or(participant.auto_subscribe);
            chosen && track.publisher != key && participant.grants.subscribe && self.is_permitted(key, track)
        };
        let wanted: Vec<_> = self.tracks.iter().filter(should).map(|(key, track)| (*key, track.kind)).collect();
        let held = participant.subscriptions.keys().copied();
        let surplus: Vec<_> = held.filter(|held| !wanted.iter().any(|(track, _)| track == held)).collect();
        for track in surplus {
            self.unsubscribe(key, track);
        }
        for (track, kind) in wanted {
            let (Some(participant), Some(published)) = (self.participants.get_mut(&key), self.tracks.get_mut(&track))
            else {
                continue;
            };
            if let std::collections::btree_map::Entry::Vacant(vacant) = participant.subscriptions.entry(track) {
                vacant.insert(Subscription::new(now, kind));
                published.subscribers.push(key);
                shift(&self.settings.metrics.subscriptions, 1);
            }
        }
        self.negotiate(now, key);
    }

    /// Takes a track from a participant. Follow with [`Room::negotiate`].
    pub(super) fn unsubscribe(&mut self, key: ParticipantKey, track: TrackKey) {
        if let Some(published) = self.tracks.get_mut(&track) {
            published.subscribers.retain(|subscriber| *subscriber != key);
        }
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let Some(subscription) = participant.subscriptions.remove(&track) else { return };
        participant.to_stop.extend(subscription.state.mid());
        shift(&self.settings.metrics.subscriptions, -1);
    }

    /// Offers what has changed, unless an offer is out: then its answer brings us back here.
    pub(super) fn negotiate(&mut self, now: Instant, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        if participant.connection.is_none() || participant.subscriber.is_negotiating() || !participant.grants.subscribe
        {
            return;
        }
        let wanted = participant.subscriptions.iter().filter(|(_, s)| s.state == State::Wanted);
        let wanted: Vec<_> = wanted.map(|(track, _)| *track).collect();
        let described = wanted.iter().filter_map(|track| self.tracks.get(track)).filter_map(|track| {
            let publisher = self.participants.get(&track.publisher)?;
            let group = if participant.track_in_stream_id { track.id.as_str() } else { &track.info.stream };
            Some((track.kind, format!("{}|{group}", publisher.id), track.id.to_string()))
        });
        let changes = Changes {
            add: described.collect(),
            stop: participant.to_stop.clone(),
            restart_ice: participant.restart_ice,
            open_channels: !participant.channels_offered,
        };
        if changes.add.len() != wanted.len() || changes.is_empty() {
            return;
        }
        let mut offer = None;
        self.change_peer(key, SignalTarget::Subscriber, |participant, outputs| {
            participant.subscriber.expect(now);
            let Some((sdp, mids)) = participant.subscriber.offer(&changes, outputs) else { return };
            for (track, mid) in wanted.iter().zip(mids) {
                if let Some(subscription) = participant.subscriptions.get_mut(track) {
                    subscription.state = State::Offered(mid);
                }
            }
            participant.to_stop.clear();
            participant.restart_ice = false;
            participant.channels_offered = true;
            participant.offer_id += 1;
            participant.offer_sent = Some(now);
            let id = participant.offer_id;
            offer = Some(SessionDescription { r#type: "offer".into(), sdp, id, ..Default::default() });
        });
        if let Some(offer) = offer {
            self.signal(key, signal_response::Message::Offer(offer));
        }
    }

    /// The subscriber's answer to the outstanding offer.
    pub(super) fn subscriber_answer(
        &mut self,
        now: Instant,
        key: ParticipantKey,
        answer: &SessionDescription,
    ) -> Result<()> {
        let Some(participant) = self.participants.get(&key) else { return Ok(()) };
        // Clients that know of offer ids send theirs back; an older one was rolled back.
        if answer.id != 0 && answer.id != participant.offer_id {
            return Ok(());
        }
        let mut accepted = Ok(false);
        let mut active = Vec::new();
        self.change_peer(key, SignalTarget::Subscriber, |participant, _| {
            accepted = participant.subscriber.accept(&answer.sdp);
            if !matches!(accepted, Ok(true)) {
                return;
            }
            participant.offer_sent = None;
            participant.channels_agreed = participant.channels_offered;
            for (track, subscription) in &mut participant.subscriptions {
                let State::Offered(mid) = subscription.state else { continue };
                let codec = if participant.subscriber.is_audio(mid) { Codec::Opus } else { Codec::Vp8 };
                let subscriber = &mut participant.subscriber;
                subscription.state = match (subscriber.payload_type(mid, codec), subscriber.outgoing(mid)) {
                    (Some(payload_type), Some(ssrc)) => {
                        State::Active { mid, payload_type, red: subscriber.red_payload_type(), ssrc }
                    }
                    _ => State::Refused(mid),
                };
                active.push(*track);
            }
        });
        accepted?;
        for track in active {
            self.tell_subscribed(track);
        }
        self.adapt(now, key);
        self.negotiate(now, key);
        Ok(())
    }

    /// What was offered and not answered is to be offered again, with an ICE restart: signalling has come back.
    pub(super) fn roll_back_offer(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.subscriber.forget_offer();
        participant.channels_offered = participant.channels_agreed;
        participant.offer_sent = None;
        for subscription in participant.subscriptions.values_mut() {
            if matches!(subscription.state, State::Offered(_)) {
                subscription.state = State::Wanted;
            }
        }
        // Before the first connection there is nothing to restart: the credentials of the first offer still stand.
        participant.restart_ice = participant.subscriber.was_connected();
    }

    /// Tells a publisher, once, that somebody receives a track of its.
    fn tell_subscribed(&mut self, track: TrackKey) {
        let Some(track) = self.tracks.get_mut(&track) else { return };
        if std::mem::replace(&mut track.told_subscribed, true) {
            return;
        }
        let (publisher, track_sid) = (track.publisher, track.id.to_string());
        self.signal(publisher, signal_response::Message::TrackSubscribed(TrackSubscribed { track_sid }));
    }

    pub(super) fn update_subscription(&mut self, now: Instant, key: ParticipantKey, update: &UpdateSubscription) {
        let nested = update.participant_tracks.iter().flat_map(|tracks| &tracks.track_sids);
        let chosen: Vec<_> = update.track_sids.iter().chain(nested).filter_map(|sid| self.track_by_sid(sid)).collect();
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.choices.extend(chosen.into_iter().map(|track| (track, update.subscribe)));
        self.reconcile(now, key);
    }

    pub(super) fn update_settings(&mut self, now: Instant, key: ParticipantKey, settings: &UpdateTrackSettings) {
        let chosen: Vec<_> = settings.track_sids.iter().filter_map(|sid| self.track_by_sid(sid)).collect();
        let Some(participant) = self.participants.get_mut(&key) else { return };
        for track in chosen {
            let Some(subscription) = participant.subscriptions.get_mut(&track) else { continue };
            subscription.wish = Wish::of(settings);
            subscription.wanted_fps = settings.fps;
            subscription.disabled = settings.disabled;
            if settings.disabled {
                subscription.forwarder.interrupt();
            }
        }
        self.adapt(now, key);
    }

    /// The tracks that a resuming client has paused.
    pub(super) fn disable(&mut self, key: ParticipantKey, sids: &[String]) {
        let disabled: Vec<_> = sids.iter().filter_map(|sid| self.track_by_sid(sid)).collect();
        let Some(participant) = self.participants.get_mut(&key) else { return };
        for (track, subscription) in &mut participant.subscriptions {
            subscription.disabled = disabled.contains(track);
            if subscription.disabled {
                subscription.forwarder.interrupt();
            }
        }
    }

    /// Who may receive a publisher's tracks, as the publisher says.
    pub(super) fn permit(&mut self, now: Instant, key: ParticipantKey, permission: SubscriptionPermission) {
        let Some(publisher) = self.participants.get_mut(&key) else { return };
        publisher.permission = Some(permission);
        let publisher_sid = publisher.id.to_string();
        let others: Vec<_> = self.participants.keys().copied().filter(|other| *other != key).collect();
        for other in others {
            let tracks = self.tracks.values().filter(|track| track.publisher == key);
            let updates: Vec<_> = tracks
                .map(|track| SubscriptionPermissionUpdate {
                    participant_sid: publisher_sid.clone(),
                    track_sid: track.id.to_string(),
                    allowed: self.is_permitted(other, track),
                })
                .collect();
            for update in updates {
                self.signal(other, signal_response::Message::SubscriptionPermissionUpdate(update));
            }
            self.reconcile(now, other);
        }
    }

    fn is_permitted(&self, subscriber: ParticipantKey, track: &PublishedTrack) -> bool {
        let Some(publisher) = self.participants.get(&track.publisher) else { return false };
        let Some(permission) = publisher.permission.as_ref().filter(|permission| !permission.all_participants) else {
            return !publisher.grants.hidden;
        };
        let Some(subscriber) = self.participants.get(&subscriber) else { return false };
        permission.track_permissions.iter().any(|grant| {
            let named = grant.participant_sid == subscriber.id.as_str()
                || grant.participant_identity == subscriber.identity.as_str();
            named && (grant.all_tracks || grant.track_sids.iter().any(|sid| sid == track.id.as_str()))
        })
    }

    fn track_by_sid(&self, sid: &str) -> Option<TrackKey> {
        self.tracks.iter().find(|(_, track)| track.id.as_str() == sid).map(|(key, _)| *key)
    }
}
