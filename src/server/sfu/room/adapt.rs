//! What each subscriber gets of each video track, by what it wants and what its connection carries; and what publishers
//! need not send, as nobody wants it (LiveKit: adaptive stream, stream states, dynacast).

use super::subscribe::{Allowed, State};
use super::{ParticipantKey, Room, TrackKey};
use crate::server::sfu::allocation::{Demand, allocate};
use crate::server::sfu::layers::Rung;
use crate::server::sfu::path::Report;
use livekit_protocol::{
    StreamState, StreamStateInfo, StreamStateUpdate, SubscribedCodec, SubscribedQuality, SubscribedQualityUpdate,
    VideoQuality, signal_response,
};
use std::time::{Duration, Instant};
use str0m::media::MediaKind;

/// The share of the estimate that is given to media, in percent: retransmissions and feedback need some.
const USABLE: u64 = 95;

/// How long after its start a track is not paused: by then probes have found what the connection carries.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Layers that nobody wants any more are turned off after this long: windows are resized, people change pages.
const TURN_OFF_AFTER: Duration = Duration::from_secs(5);

/// What a publisher was told of a track's layers.
#[derive(Debug)]
pub(super) struct Dynacast {
    /// The best rank that anybody wants; `None` when nobody wants anything.
    told: Option<usize>,
    /// Since when less would do.
    less_since: Option<Instant>,
}

impl Default for Dynacast {
    /// A publisher begins with all it has.
    fn default() -> Self {
        Self { told: Some(usize::MAX), less_since: None }
    }
}

impl Dynacast {
    /// What to tell the publisher now, if anything. More is told at once, less when that has lasted.
    fn update(&mut self, now: Instant, wanted: Option<usize>) -> Option<Option<usize>> {
        if wanted >= self.told {
            self.less_since = None;
            let is_more = wanted > self.told;
            self.told = wanted;
            return is_more.then_some(wanted);
        }
        let since = *self.less_since.get_or_insert(now);
        if now.saturating_duration_since(since) < TURN_OFF_AFTER {
            return None;
        }
        self.less_since = None;
        self.told = wanted;
        Some(wanted)
    }
}

/// A video track that a subscriber receives.
struct Wanted {
    track: TrackKey,
    rungs: Vec<Rung>,
    /// It comes in one size.
    is_single: bool,
    demand: Demand,
}

impl Wanted {
    /// The rate of the layer that is sent now.
    fn now(&self) -> Option<u64> {
        self.demand.rates.get(self.demand.current?).copied()
    }

    fn lowest(&self) -> u64 {
        self.rungs.first().map_or(0, |rung| rung.rate)
    }
}

impl Room {
    /// What a subscriber's connection carries, in bits a second, has been estimated anew.
    pub(super) fn estimated(&mut self, now: Instant, key: ParticipantKey, estimate: Option<u64>) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.estimate = estimate;
        // More can wait for the next tick, less cannot.
        if estimate.is_some_and(|estimate| estimate < participant.allocated) {
            self.adapt(now, key);
        }
    }

    /// What became of what was sent to a subscriber.
    pub(super) fn path_reported(&mut self, now: Instant, key: ParticipantKey, report: Report) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.path.reported(now, report, participant.holds_back);
    }

    /// Gives a subscriber of each video track what its connection carries.
    pub(super) fn adapt(&mut self, now: Instant, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let (limit, arrives) = (participant.path.limit_bps(), participant.path.arrives_bps());
        let mut audio = 0;
        let mut video: Vec<Wanted> = Vec::new();
        for (track_key, subscription) in &participant.subscriptions {
            let Some(track) = self.tracks.get(track_key) else { continue };
            let active = matches!(subscription.state, State::Active { .. });
            if !active || subscription.disabled || track.info.muted {
                continue;
            }
            let rungs = track.layers.rungs(now, subscription.wish, subscription.wanted_fps);
            if track.kind == MediaKind::Audio {
                audio += rungs.iter().map(|rung| rung.rate).max().unwrap_or(0);
            } else if !rungs.is_empty() {
                let source = subscription.forwarder.source();
                let current = rungs.iter().position(|rung| Some(rung.ssrc) == source);
                let rates = rungs.iter().map(|rung| rung.rate).collect();
                let paused = subscription.allowed == Allowed::Nothing;
                let is_single = track.layers.is_single();
                // What arrives is not taken away, and a picture of one layer is made smaller by its publisher first.
                let exceeds = rungs.first().is_some_and(|rung| limit.is_some_and(|limit| rung.rate > limit));
                let fails = if is_single { exceeds && participant.path.is_overrun(now) } else { arrives.is_none() };
                let settled = now.saturating_duration_since(subscription.since) >= SETTLED_AFTER;
                let pausable = settled && (paused || fails);
                video.push(Wanted {
                    track: *track_key,
                    rungs,
                    is_single,
                    demand: Demand { rates, current, paused, pausable },
                });
            }
        }
        // The larger a picture is wanted the earlier it comes; subscriptions of one size keep their order.
        video.sort_by_key(|wanted| std::cmp::Reverse(wanted.rungs.len()));
        let usable = |carried: u64| (carried.saturating_mul(USABLE) / 100).saturating_sub(audio);
        // Layers to choose from: the estimate says which fits, but those that arrive do. A picture of one layer is sent until
        // it proves too much.
        let sent: u64 = video.iter().filter(|wanted| !wanted.demand.paused).filter_map(Wanted::now).sum();
        let floor = if arrives.is_some() { sent } else { 0 };
        let estimate = participant.estimate.filter(|_| video.iter().any(|wanted| !wanted.is_single));
        let budget = estimate.map(|estimate| usable(estimate).max(floor)).into_iter().chain(limit.map(usable)).min();
        self.note_carried(key, limit.map(usable), &video);
        let demands: Vec<Demand> = video.iter().map(|wanted| wanted.demand.clone()).collect();
        let given = allocate(budget, &demands);
        self.apply(key, audio, &video, &given);
    }

    /// What a subscriber's connection carries of each picture of one layer: what others leave, and at least its part.
    fn note_carried(&mut self, key: ParticipantKey, limit: Option<u64>, video: &[Wanted]) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        participant.subscriptions.values_mut().for_each(|subscription| subscription.carried = None);
        let Some(limit) = limit else { return };
        let all: u64 = video.iter().map(Wanted::lowest).sum();
        for wanted in video.iter().filter(|wanted| wanted.is_single) {
            if let Some(subscription) = participant.subscriptions.get_mut(&wanted.track) {
                let left = limit.saturating_sub(all - wanted.lowest());
                subscription.carried = Some(left.max(limit / video.len() as u64));
            }
        }
    }

    fn apply(&mut self, key: ParticipantKey, audio: u64, video: &[Wanted], given: &[Option<usize>]) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let (mut allocated, mut next, mut desired) = (audio, audio, audio);
        let mut states = Vec::new();
        for (wanted, given) in video.iter().zip(given) {
            let (track_key, rungs) = (&wanted.track, &wanted.rungs);
            let Some(subscription) = participant.subscriptions.get_mut(track_key) else { continue };
            let rate = |index: usize| rungs.get(index).map(|rung| rung.rate);
            allocated += given.and_then(rate).unwrap_or(0);
            let step = given.map_or(0, |index| index + 1);
            next += rate(step).or_else(|| given.and_then(rate)).unwrap_or(0);
            desired += rungs.last().map_or(0, |rung| rung.rate);
            let allowed = match given.and_then(|index| rungs.get(index)) {
                Some(rung) => Allowed::UpTo { rank: rung.rank, temporal: rung.temporal },
                None => Allowed::Nothing,
            };
            let before = std::mem::replace(&mut subscription.allowed, allowed);
            if (before == Allowed::Nothing) != (allowed == Allowed::Nothing) {
                let state = if allowed == Allowed::Nothing { StreamState::Paused } else { StreamState::Active };
                if state == StreamState::Paused {
                    subscription.forwarder.interrupt();
                }
                states.push((*track_key, state));
            }
        }
        participant.allocated = allocated;
        participant.holds_back = given.contains(&None);
        participant.subscriber.want_bitrate(next, desired);
        let info = |(track, state): &(TrackKey, StreamState)| {
            let track = self.tracks.get(track)?;
            let publisher = self.participants.get(&track.publisher)?;
            Some(StreamStateInfo {
                participant_sid: publisher.id.to_string(),
                track_sid: track.id.to_string(),
                state: *state as i32,
            })
        };
        let stream_states: Vec<_> = states.iter().filter_map(info).collect();
        if !stream_states.is_empty() {
            self.signal(key, signal_response::Message::StreamStateUpdate(StreamStateUpdate { stream_states }));
        }
    }

    /// Looks after all subscribers and publishers.
    pub(super) fn adapt_all(&mut self, now: Instant) {
        let keys: Vec<_> = self.participants.keys().copied().collect();
        keys.into_iter().for_each(|key| self.adapt(now, key));
        self.limit_publishers(now);
        self.tell_wanted(now);
    }

    /// Tells publishers which layers are wanted, where that has changed.
    fn tell_wanted(&mut self, now: Instant) {
        let mut told = Vec::new();
        for (track_key, track) in self.tracks.iter_mut().filter(|(_, track)| track.kind == MediaKind::Video) {
            let wish = |subscriber: &ParticipantKey| {
                let subscription = self.participants.get(subscriber)?.subscriptions.get(track_key)?;
                let receives = !subscription.disabled && !matches!(subscription.state, State::Refused(_));
                receives.then(|| track.layers.ceiling(subscription.wish))
            };
            let wanted = track.subscribers.iter().filter_map(wish).max();
            if let Some(wanted) = track.wanted.update(now, wanted) {
                told.push((track.publisher, track.id.to_string(), wanted));
            }
        }
        for (publisher, track_sid, wanted) in told {
            let update = quality_update(track_sid, wanted);
            self.signal(publisher, signal_response::Message::SubscribedQualityUpdate(update));
        }
    }
}

#[allow(deprecated, reason = "older clients read the deprecated field")]
fn quality_update(track_sid: String, wanted: Option<usize>) -> SubscribedQualityUpdate {
    let enabled = |quality: VideoQuality| wanted.is_some_and(|rank| rank >= quality as usize);
    let qualities: Vec<_> = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High]
        .map(|quality| SubscribedQuality { quality: quality as i32, enabled: enabled(quality) })
        .into();
    let codec = SubscribedCodec { codec: "vp8".into(), qualities: qualities.clone() };
    SubscribedQualityUpdate { track_sid, subscribed_qualities: qualities, subscribed_codecs: vec![codec] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_told_at_once_and_less_when_it_has_lasted() {
        let (mut wanted, start) = (Dynacast::default(), Instant::now());
        assert_eq!(wanted.update(start, Some(usize::MAX)), None, "nothing new");
        assert_eq!(wanted.update(start, Some(0)), None);
        assert_eq!(wanted.update(start + TURN_OFF_AFTER / 2, Some(usize::MAX)), None, "wanted again");
        assert_eq!(wanted.update(start + TURN_OFF_AFTER, None), None);
        assert_eq!(wanted.update(start + TURN_OFF_AFTER * 2, None), Some(None));
        assert_eq!(wanted.update(start + TURN_OFF_AFTER * 2, Some(1)), Some(Some(1)));
    }
}
