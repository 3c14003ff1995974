//! What happens because time passes.

use super::{ParticipantKey, Room, RoomEvent};
use crate::server::sfu::speakers::Speaker;
use crate::server::sfu::{CloseReason, room::Output};
use livekit_protocol::{
    ConnectionQualityUpdate, DisconnectReason, SpeakerInfo, SpeakersChanged, leave_request, signal_response,
};
use std::time::{Duration, Instant};

/// How often a room that is not empty looks after its participants.
const TICK: Duration = Duration::from_millis(200);

/// How often connection quality is judged.
const QUALITY_INTERVAL: Duration = Duration::from_secs(5);

/// How long an offer may go unanswered. Browsers answer within a second, also with many sections.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) struct Timers {
    /// When to look after participants.
    tick: Instant,
    quality: Instant,
    empty_since: Option<Instant>,
    alone_since: Option<Instant>,
}

impl Timers {
    pub fn new(now: Instant) -> Self {
        Self { tick: now, quality: now + QUALITY_INTERVAL, empty_since: Some(now), alone_since: None }
    }

    /// So many are in the room now.
    pub fn occupied(&mut self, now: Instant, participants: usize) {
        self.empty_since = (participants == 0).then_some(now);
        self.alone_since = (participants == 1).then_some(now);
    }
}

impl Room {
    /// When [`Room::timeout`] is to be called next.
    pub fn wake(&self) -> Instant {
        if let Some(since) = self.timers.empty_since {
            return since + self.settings.config.empty_timeout;
        }
        self.wakes.next().map_or(self.timers.tick, |wake| wake.min(self.timers.tick))
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        let config = &self.settings.config;
        if self.timers.empty_since.is_some_and(|since| now >= since + config.empty_timeout) {
            return self.close(now, CloseReason::Empty);
        }
        self.timeout_peers(now);
        if now >= self.timers.tick {
            self.timers.tick = now + TICK;
            self.tick(now);
        }
        self.settle(now);
    }

    fn timeout_peers(&mut self, now: Instant) {
        while let Some((key, target)) = self.wakes.take(now) {
            let Some(participant) = self.participants.get_mut(&key) else { continue };
            let peer = participant.peer(target);
            peer.booked = None;
            if peer.wake() > now {
                self.wakes.book(key, target, peer);
                continue;
            }
            match peer.timeout(now) {
                // Booked anew when it is drained.
                Ok(()) => self.touched(key, target),
                Err(error) => {
                    tracing::info!(room = %self.name, %error, "a media connection failed");
                    self.expel(now, key, DisconnectReason::MediaFailure, leave_request::Action::Reconnect);
                }
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.drop_the_lost(now);
        self.adapt_all(now);
        let publishers: Vec<_> = self.participants.keys().copied().collect();
        for key in publishers {
            self.ask_key_frames(now, key);
        }
        let changed = self.speakers.poll(now);
        if !changed.is_empty() {
            let keys: Vec<_> = self.participants.keys().copied().collect();
            keys.into_iter().for_each(|key| self.tell_speakers(key, &changed));
        }
        if now >= self.timers.quality {
            self.timers.quality = now + QUALITY_INTERVAL;
            self.tell_quality();
        }
        let left_alone = self.settings.config.left_alone_timeout;
        if self.timers.alone_since.is_some_and(|since| now.saturating_duration_since(since) >= left_alone) {
            self.timers.alone_since = None;
            if let Some(alone) = self.participants.values().next() {
                let event = RoomEvent::LeftAlone { room: self.name.clone(), identity: alone.identity.clone() };
                self.outputs.push_back(Output::Event(event));
            }
        }
    }

    /// Puts out whoever cannot be reached any more.
    fn drop_the_lost(&mut self, now: Instant) {
        let (connect, resume) = (self.settings.config.connect_timeout, self.settings.config.resume_timeout);
        let mut lost = Vec::new();
        for (key, participant) in &mut self.participants {
            let unanswered =
                participant.offer_sent.is_some_and(|at| now.saturating_duration_since(at) >= ANSWER_TIMEOUT);
            let peers = [&participant.publisher, &participant.subscriber];
            let connected_before = peers.iter().any(|peer| peer.was_connected());
            let closed = connected_before && peers.iter().any(|peer| !peer.is_alive());
            let overdue = peers.iter().any(|peer| peer.is_overdue(now, connect));
            let verdict = match participant.lost_at {
                Some(since) if now.saturating_duration_since(since) >= resume => {
                    Some(DisconnectReason::ConnectionTimeout)
                }
                // Its connections were closed in an orderly way: it does not mean to come back.
                Some(_) if closed => Some(DisconnectReason::SignalClose),
                Some(_) => None,
                None if overdue && connected_before => Some(DisconnectReason::ConnectionTimeout),
                None if overdue || unanswered => Some(DisconnectReason::JoinFailure),
                None => None,
            };
            lost.extend(verdict.map(|reason| (*key, reason)));
        }
        for (key, reason) in lost {
            tracing::info!(room = %self.name, ?reason, "a participant cannot be reached");
            self.expel(now, key, reason, leave_request::Action::Disconnect);
        }
    }

    pub(super) fn tell_speakers(&mut self, to: ParticipantKey, speakers: &[Speaker]) {
        let info = |speaker: &Speaker| {
            let participant = self.participants.get(&speaker.participant).filter(|p| !p.grants.hidden)?;
            Some(SpeakerInfo { sid: participant.id.to_string(), level: speaker.level, active: speaker.active })
        };
        let speakers: Vec<_> = speakers.iter().filter_map(info).collect();
        if !speakers.is_empty() {
            self.signal(to, signal_response::Message::SpeakersChanged(SpeakersChanged { speakers }));
        }
    }

    fn tell_quality(&mut self) {
        let mut updates = Vec::new();
        let mut any_new = false;
        for participant in self.participants.values_mut() {
            let connected = participant.peer(participant.primary()).is_connected();
            let (info, is_new) = participant.quality.judge(participant.id.as_str(), connected);
            any_new |= is_new;
            if !participant.grants.hidden {
                updates.push(info);
            }
        }
        if !any_new {
            return;
        }
        let connections: Vec<_> = self.participants.values().filter_map(|p| p.connection).collect();
        for connection in connections {
            let update = ConnectionQualityUpdate { updates: updates.clone() };
            let message = signal_response::Message::ConnectionQuality(update);
            self.outputs.push_back(Output::Signal { connection, message: Box::new(message) });
        }
    }
}
