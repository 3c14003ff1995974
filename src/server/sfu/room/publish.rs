//! What a participant publishes: announced by `add_track`, found in its offer, muted, taken back with a later offer.

use super::adapt::Dynacast;
use super::{ParticipantKey, Room, TrackKey, info, new_id};
use crate::base::{Result, TrackId};
use crate::server::sfu::layers::Layers;
use crate::server::sfu::metrics::shift;
use crate::server::sfu::red::Seen;
use crate::server::sfu::sdp::{self, Section};
use livekit_protocol::request_response::{Reason, Request};
use livekit_protocol::{
    AddTrackRequest, MuteTrackRequest, RequestResponse, SessionDescription, SignalTarget, TrackInfo,
    TrackPublishedResponse, TrackType, UpdateLocalAudioTrack, UpdateLocalVideoTrack, signal_response,
};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use str0m::media::{MediaKind, Mid};
use str0m::rtp::Ssrc;

/// A publisher is asked for a key frame of one stream at most this often, however many subscribers want one.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// The longest cid and track name, in bytes.
const MAX_NAME: usize = 256;

/// Announced, and not yet in an offer.
pub(super) struct PendingTrack {
    pub cid: String,
    pub info: TrackInfo,
}

/// A track whose media comes in.
pub(super) struct PublishedTrack {
    pub publisher: ParticipantKey,
    pub id: TrackId,
    pub cid: String,
    pub mid: Mid,
    pub kind: MediaKind,
    pub info: TrackInfo,
    pub layers: Layers,
    pub key_frames: KeyFrames,
    /// Sound: which packets came.
    pub seen: Seen,
    pub subscribers: Vec<ParticipantKey>,
    pub wanted: Dynacast,
    /// The publisher has been told that somebody receives it.
    pub told_subscribed: bool,
}

/// The key frames that are wanted of a publisher. Many requests within an interval become one.
#[derive(Debug, Default)]
pub(super) struct KeyFrames {
    streams: HashMap<Ssrc, Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    asked: Option<Instant>,
    waiting: bool,
}

impl KeyFrames {
    pub fn want(&mut self, ssrc: Ssrc) {
        self.streams.entry(ssrc).or_default().waiting = true;
    }

    /// Somebody waits for one.
    pub fn is_wanted(&self) -> bool {
        self.streams.values().any(|wanted| wanted.waiting)
    }

    /// One came: whoever waited has it.
    pub fn arrived(&mut self, ssrc: Ssrc) {
        if let Some(wanted) = self.streams.get_mut(&ssrc) {
            wanted.waiting = false;
        }
    }

    /// The streams to ask now.
    pub fn due(&mut self, now: Instant) -> Vec<Ssrc> {
        let ready = |wanted: &Wanted| {
            wanted.waiting && wanted.asked.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_INTERVAL)
        };
        let mut due = Vec::new();
        for (ssrc, wanted) in self.streams.iter_mut().filter(|(_, wanted)| ready(wanted)) {
            *wanted = Wanted { asked: Some(now), waiting: false };
            due.push(*ssrc);
        }
        due
    }
}

impl Room {
    pub(super) fn add_track(&mut self, key: ParticipantKey, request: AddTrackRequest) {
        let limit = self.settings.config.limits.tracks;
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let published = participant.sections.values().filter_map(|track| self.tracks.get(track));
        let known = participant.pending_tracks.iter().map(|track| (&track.cid, &track.info));
        let mut known = known.chain(published.map(|track| (&track.cid, &track.info)));
        if let Some((cid, info)) = known.find(|(cid, _)| **cid == request.cid) {
            let again = TrackPublishedResponse { cid: cid.clone(), track: Some(info.clone()) };
            return self.signal(key, signal_response::Message::TrackPublished(again));
        }
        let refusal = if !participant.grants.may_publish(info::source_name(request.source())) {
            Some((Reason::NotAllowed, "the token does not allow to publish that source"))
        } else if participant.sections.len() + participant.pending_tracks.len() >= limit {
            Some((Reason::LimitExceeded, "this participant has as many tracks as the server allows"))
        } else if request.cid.is_empty() || request.cid.len() > MAX_NAME || request.name.len() > MAX_NAME {
            Some((Reason::InvalidRequest, "a track needs a cid, and cid and name of at most 256 bytes"))
        } else if !request.sid.is_empty() || request.r#type() == TrackType::Data {
            Some((Reason::UnsupportedType, "only audio and video with one codec each can be published"))
        } else {
            None
        };
        if let Some((reason, message)) = refusal {
            return self.refuse(key, reason, message, Request::AddTrack(request));
        }
        let prefix = if request.r#type() == TrackType::Audio { "TR_AM" } else { "TR_VC" };
        let info = info::track(new_id(prefix), &request);
        let pending = PendingTrack { cid: request.cid.clone(), info: info.clone() };
        participant.pending_tracks.push(pending);
        let published = TrackPublishedResponse { cid: request.cid, track: Some(info) };
        self.signal(key, signal_response::Message::TrackPublished(published));
    }

    /// Answers `request` with why it was not done.
    pub(super) fn refuse(&mut self, key: ParticipantKey, reason: Reason, message: &str, request: Request) {
        let response = RequestResponse {
            reason: reason as i32,
            message: message.into(),
            request: Some(request),
            ..Default::default()
        };
        self.signal(key, signal_response::Message::RequestResponse(response));
    }

    /// The publisher's offer: answers it, and reads from it which tracks came and went.
    pub(super) fn publisher_offer(
        &mut self,
        now: Instant,
        key: ParticipantKey,
        offer: SessionDescription,
    ) -> Result<()> {
        let mut answer = Ok(String::new());
        self.change_peer(key, SignalTarget::Publisher, |participant, outputs| {
            participant.publisher.expect(now);
            answer = participant.publisher.answer(&offer.sdp, outputs);
        });
        let sections = sdp::sections(&offer.sdp);
        let sdp = sdp::without_red(&answer?, &self.without_red(key, &sections));
        let answer = SessionDescription { r#type: "answer".into(), sdp, id: offer.id, ..Default::default() };
        self.signal(key, signal_response::Message::Answer(answer));

        let mut changed = false;
        for gone in self.no_longer_sent(key, &sections) {
            changed |= self.unpublish(now, key, gone);
        }
        for section in sections.iter().filter(|section| section.sends) {
            changed |= self.publish(key, section);
        }
        if changed {
            self.publication_changed(now, key);
        }
        Ok(())
    }

    /// The sections of tracks that are not to be sent in RED. Left to choose, a browser sends all its sound in it.
    fn without_red(&self, key: ParticipantKey, sections: &[Section]) -> Vec<Mid> {
        let Some(participant) = self.participants.get(&key) else { return Vec::new() };
        let without = |section: &&Section| {
            let published = participant.sections.get(&section.mid).and_then(|track| self.tracks.get(track));
            let announced = || participant.announced(section).and_then(|index| participant.pending_tracks.get(index));
            let info = published.map(|track| &track.info).or_else(|| announced().map(|pending| &pending.info));
            info.is_some_and(|info| info.disable_red)
        };
        sections.iter().filter(without).map(|section| section.mid).collect()
    }

    /// The tracks whose section does not send any more, or carries another announced track now.
    fn no_longer_sent(&self, key: ParticipantKey, sections: &[Section]) -> Vec<TrackKey> {
        let Some(participant) = self.participants.get(&key) else { return Vec::new() };
        let replaced = |section: &Section, track: &TrackKey| {
            let cid = self.tracks.get(track).map(|track| &track.cid);
            let pending = participant.pending_tracks.iter().any(|pending| Some(&pending.cid) == section.track.as_ref());
            pending && cid != section.track.as_ref()
        };
        let gone = participant.sections.iter().filter(|(mid, track)| {
            let section = sections.iter().find(|section| section.mid == **mid);
            section.is_none_or(|section| !section.sends || replaced(section, track))
        });
        gone.map(|(_, track)| *track).collect()
    }

    /// Ties a section to what was announced for it. A section that nothing was announced for carries nothing.
    fn publish(&mut self, key: ParticipantKey, section: &Section) -> bool {
        let Some(participant) = self.participants.get_mut(&key) else { return false };
        if participant.sections.contains_key(&section.mid) {
            return false;
        }
        let Some(index) = participant.announced(section) else { return false };
        let PendingTrack { cid, mut info } = participant.pending_tracks.remove(index);
        let Ok(id) = TrackId::new(info.sid.clone()) else { return false };
        info.mid = section.mid.to_string();
        self.last_key += 1;
        let track = TrackKey(self.last_key);
        participant.sections.insert(section.mid, track);
        let layers = Layers::new(info.codecs.first().map(|codec| codec.layers.as_slice()).unwrap_or_default());
        let published = PublishedTrack {
            publisher: key,
            id,
            cid,
            mid: section.mid,
            kind: section.kind,
            info,
            layers,
            key_frames: KeyFrames::default(),
            seen: Seen::default(),
            subscribers: Vec::new(),
            wanted: Dynacast::default(),
            told_subscribed: false,
        };
        self.tracks.insert(track, published);
        shift(&self.settings.metrics.tracks, 1);
        true
    }

    /// Takes a track from everybody who receives it. Tell the others afterwards.
    pub(super) fn unpublish(&mut self, now: Instant, key: ParticipantKey, track: TrackKey) -> bool {
        let Some(published) = self.tracks.remove(&track) else { return false };
        shift(&self.settings.metrics.tracks, -1);
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.sections.remove(&published.mid);
            participant.streams.retain(|_, (mid, _)| *mid != published.mid);
        }
        for participant in self.participants.values_mut() {
            participant.choices.remove(&track);
        }
        for subscriber in published.subscribers {
            self.unsubscribe(subscriber, track);
            self.negotiate(now, subscriber);
        }
        true
    }

    /// Tells everybody what a participant publishes now, then offers it to those who want it.
    fn publication_changed(&mut self, now: Instant, key: ParticipantKey) {
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.version += 1;
        }
        self.tell_of(key, true);
        self.tell_room();
        let others: Vec<_> = self.participants.keys().copied().filter(|other| *other != key).collect();
        for other in others {
            self.reconcile(now, other);
        }
    }

    pub(super) fn mute(&mut self, key: ParticipantKey, request: &MuteTrackRequest) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if let Some(pending) = participant.pending_tracks.iter_mut().find(|p| p.info.sid == request.sid) {
            pending.info.muted = request.muted;
            return;
        }
        self.change_info(key, &request.sid, |info| info.muted = request.muted);
        // What comes after the mute does not follow what went before it.
        let of_it = |(_, track): &(&TrackKey, &mut PublishedTrack)| {
            track.publisher == key && track.info.sid == request.sid && track.info.muted
        };
        let Some((track_key, track)) = self.tracks.iter_mut().find(of_it) else { return };
        track.seen = Seen::default();
        for subscriber in &track.subscribers {
            let subscriber = self.participants.get_mut(subscriber);
            if let Some(subscription) = subscriber.and_then(|s| s.subscriptions.get_mut(track_key)) {
                subscription.forwarder.interrupt();
            }
        }
    }

    pub(super) fn update_audio(&mut self, key: ParticipantKey, update: &UpdateLocalAudioTrack) {
        let features: Vec<i32> = update.features.iter().take(16).copied().collect();
        self.change_info(key, &update.track_sid, |info| info.audio_features = features);
    }

    pub(super) fn update_video(&mut self, key: ParticipantKey, update: &UpdateLocalVideoTrack) {
        self.change_info(key, &update.track_sid, |info| (info.width, info.height) = (update.width, update.height));
    }

    /// Changes what is said of one of a participant's tracks, and tells the others if it is something new.
    fn change_info(&mut self, key: ParticipantKey, sid: &str, change: impl FnOnce(&mut TrackInfo)) {
        let own = self.tracks.values_mut().find(|track| track.publisher == key && track.info.sid == sid);
        let Some(track) = own else { return };
        let before = track.info.clone();
        change(&mut track.info);
        if track.info == before {
            return;
        }
        if let Some(participant) = self.participants.get_mut(&key) {
            participant.version += 1;
        }
        self.tell_of(key, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_for_a_key_frame_are_one_and_a_late_one_is_kept_for_the_next_interval() {
        let (mut frames, start) = (KeyFrames::default(), Instant::now());
        let ssrc = Ssrc::from(7);
        frames.want(ssrc);
        frames.want(ssrc);
        assert_eq!(frames.due(start), [ssrc]);
        frames.want(ssrc);
        assert!(frames.due(start + KEY_FRAME_INTERVAL / 2).is_empty());
        assert_eq!(frames.due(start + KEY_FRAME_INTERVAL), [ssrc]);
        frames.want(ssrc);
        frames.arrived(ssrc);
        assert!(frames.due(start + KEY_FRAME_INTERVAL * 3).is_empty(), "it came meanwhile");
    }
}
