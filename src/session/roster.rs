//! Who is in the session, and what they publish.

use super::{SessionEvent, Speaker};
use crate::base::{ParticipantId, ParticipantIdentity, TrackId};
use livekit_protocol as proto;
use std::collections::BTreeMap;

/// More participants or tracks than that are not taken in: the memory that a server can make us use is bounded.
const MAX_PARTICIPANTS: usize = 2000;
const MAX_TRACKS_EACH: usize = 64;

/// One presence of someone in the session.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Participant {
    pub id: ParticipantId,
    pub identity: ParticipantIdentity,
    /// For people; may be empty.
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    pub tracks: Vec<Track>,
    pub speaking: bool,
    /// While speaking, 0 to 1, linear.
    pub level: f32,
    pub quality: ConnectionQuality,
    #[serde(skip)]
    version: u32,
}

/// One published track.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Track {
    pub id: TrackId,
    pub kind: TrackKind,
    pub source: TrackSource,
    /// For people; may be empty.
    pub name: String,
    pub muted: bool,
    /// The server sends it to us.
    pub subscribed: bool,
    /// Pixels, as its publisher announced them; 0 for audio.
    pub width: u32,
    pub height: u32,
    /// Its publisher sends it in several sizes at a time.
    pub simulcast: bool,
    /// Such as `video/VP8`; empty until the server knows it.
    pub mime_type: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    Audio,
    Video,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    Microphone,
    Camera,
    ScreenShare,
    ScreenShareAudio,
    Unknown,
}

/// What the server thinks of a participant's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionQuality {
    #[default]
    Unknown,
    Lost,
    Poor,
    Good,
    Excellent,
}

/// Ourselves and the others.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    local: Option<Participant>,
    others: BTreeMap<ParticipantIdentity, Participant>,
}

impl Roster {
    /// Ourselves; nothing before the server let us in.
    pub fn local(&self) -> Option<&Participant> {
        self.local.as_ref()
    }

    /// The others, by identity.
    pub fn others(&self) -> impl Iterator<Item = &Participant> {
        self.others.values()
    }

    pub fn participant(&self, identity: &ParticipantIdentity) -> Option<&Participant> {
        self.local.iter().chain(self.others.values()).find(|p| p.identity == *identity)
    }

    /// A track of anyone, with its publisher.
    pub fn track(&self, id: &TrackId) -> Option<(&Participant, &Track)> {
        self.local
            .iter()
            .chain(self.others.values())
            .find_map(|p| p.tracks.iter().find(|t| t.id == *id).map(|track| (p, track)))
    }

    pub(super) fn by_sid(&self, sid: &str) -> Option<&Participant> {
        self.local.iter().chain(self.others.values()).find(|p| p.id.as_str() == sid)
    }

    /// Takes in a server's full list: at a join, the first or a later one.
    pub(super) fn replace(
        &mut self,
        local: proto::ParticipantInfo,
        others: Vec<proto::ParticipantInfo>,
        events: &mut Vec<SessionEvent>,
    ) {
        self.local = Participant::from_proto(local);
        let present: Vec<&str> = others.iter().map(|info| info.sid.as_str()).collect();
        let gone: Vec<ParticipantIdentity> =
            self.others.values().filter(|p| !present.contains(&p.id.as_str())).map(|p| p.identity.clone()).collect();
        for identity in gone {
            self.remove(&identity, events);
        }
        for info in others {
            self.apply(info, events);
        }
    }

    /// Takes in what the server says of one participant.
    pub(super) fn apply(&mut self, info: proto::ParticipantInfo, events: &mut Vec<SessionEvent>) {
        let left = info.state() == proto::participant_info::State::Disconnected;
        let Some(new) = Participant::from_proto(info) else { return };
        if let Some(local) = self.local.as_mut().filter(|local| local.id == new.id) {
            // Our own tracks are told of by `track_published`; the rest is as the server says.
            let changed = !local.same_details(&new);
            let tracks = std::mem::take(&mut local.tracks);
            *local =
                Participant { tracks, speaking: local.speaking, level: local.level, quality: local.quality, ..new };
            if changed {
                events.push(SessionEvent::ParticipantUpdated { participant: local.clone() });
            }
            return;
        }
        match self.others.get_mut(&new.identity) {
            Some(old) if old.id == new.id => {
                if left {
                    self.remove(&new.identity, events);
                } else if new.version >= old.version {
                    old.update(new, events);
                }
            }
            // A farewell to an earlier presence of the same identity.
            _ if left => {}
            Some(_) => {
                self.remove(&new.identity, events);
                self.add(new, events);
            }
            None => self.add(new, events),
        }
    }

    pub(super) fn track_mut(&mut self, id: &TrackId) -> Option<(ParticipantIdentity, &mut Track)> {
        self.local
            .iter_mut()
            .chain(self.others.values_mut())
            .find_map(|p| p.tracks.iter_mut().find(|t| t.id == *id).map(|track| (p.identity.clone(), track)))
    }

    pub(super) fn subscribed(&self) -> Vec<TrackId> {
        self.others().flat_map(|p| &p.tracks).filter(|t| t.subscribed).map(|t| t.id.clone()).collect()
    }

    /// One of our own tracks was taken by the server.
    pub(super) fn add_local_track(&mut self, track: Track) {
        if let Some(local) = &mut self.local {
            local.tracks.retain(|t| t.id != track.id);
            local.tracks.push(track);
        }
    }

    pub(super) fn remove_local_track(&mut self, id: &TrackId) -> Option<Track> {
        let tracks = &mut self.local.as_mut()?.tracks;
        let index = tracks.iter().position(|t| t.id == *id)?;
        Some(tracks.remove(index))
    }

    /// The server tells only of those whose speaking changed.
    pub(super) fn apply_speakers(&mut self, changed: &[proto::SpeakerInfo]) -> SessionEvent {
        for info in changed {
            let speaker = self.local.iter_mut().chain(self.others.values_mut()).find(|p| p.id.as_str() == info.sid);
            if let Some(participant) = speaker {
                participant.speaking = info.active;
                participant.level = if info.active { info.level.clamp(0.0, 1.0) } else { 0.0 };
            }
        }
        let mut speakers: Vec<Speaker> = self
            .local
            .iter()
            .chain(self.others.values())
            .filter(|p| p.speaking)
            .map(|p| Speaker { identity: p.identity.clone(), level: p.level })
            .collect();
        speakers.sort_by(|a, b| b.level.total_cmp(&a.level));
        SessionEvent::ActiveSpeakers { speakers }
    }

    pub(super) fn apply_quality(&mut self, info: &proto::ConnectionQualityInfo) -> Option<SessionEvent> {
        let all = self.local.iter_mut().chain(self.others.values_mut());
        let participant = all.into_iter().find(|p| p.id.as_str() == info.participant_sid)?;
        let quality = info.quality().into();
        if participant.quality == quality {
            return None;
        }
        participant.quality = quality;
        Some(SessionEvent::QualityChanged { participant: participant.identity.clone(), quality })
    }

    fn add(&mut self, participant: Participant, events: &mut Vec<SessionEvent>) {
        if self.others.len() >= MAX_PARTICIPANTS {
            tracing::warn!(limit = MAX_PARTICIPANTS, "a participant over the limit is not taken in");
            return;
        }
        let identity = participant.identity.clone();
        let tracks = participant.tracks.clone();
        self.others.insert(identity.clone(), participant.clone());
        events.push(SessionEvent::ParticipantJoined { participant });
        for track in tracks {
            events.push(SessionEvent::TrackPublished { participant: identity.clone(), track, local: false });
        }
    }

    fn remove(&mut self, identity: &ParticipantIdentity, events: &mut Vec<SessionEvent>) {
        let Some(mut participant) = self.others.remove(identity) else { return };
        for track in &mut participant.tracks {
            track.tell_end(identity, events);
            track.subscribed = false;
        }
        events.push(SessionEvent::ParticipantLeft { participant });
    }
}

impl Participant {
    /// Nothing when an id is not one that we can hold.
    fn from_proto(info: proto::ParticipantInfo) -> Option<Self> {
        let (Ok(id), Ok(identity)) = (ParticipantId::new(info.sid), ParticipantIdentity::new(info.identity)) else {
            tracing::warn!(
                "the server named a participant with an id that is empty, too long or has control characters"
            );
            return None;
        };
        let tracks = info.tracks.iter().filter_map(Track::from_proto).take(MAX_TRACKS_EACH).collect();
        Some(Self {
            id,
            identity,
            name: info.name,
            metadata: info.metadata,
            attributes: info.attributes.into_iter().collect(),
            tracks,
            speaking: false,
            level: 0.0,
            quality: ConnectionQuality::Unknown,
            version: info.version,
        })
    }

    fn same_details(&self, other: &Self) -> bool {
        self.name == other.name && self.metadata == other.metadata && self.attributes == other.attributes
    }

    fn update(&mut self, new: Participant, events: &mut Vec<SessionEvent>) {
        let identity = self.identity.clone();
        for track in self.tracks.iter().filter(|old| new.tracks.iter().all(|t| t.id != old.id)) {
            track.tell_end(&identity, events);
        }
        let changed = !self.same_details(&new);
        let old_tracks = std::mem::take(&mut self.tracks);
        let (speaking, level, quality) = (self.speaking, self.level, self.quality);
        *self = Self { speaking, level, quality, ..new };
        for track in &mut self.tracks {
            let participant = identity.clone();
            let Some(old) = old_tracks.iter().find(|t| t.id == track.id) else {
                events.push(SessionEvent::TrackPublished { participant, track: track.clone(), local: false });
                continue;
            };
            track.subscribed = old.subscribed;
            match (old.muted, track.muted) {
                (false, true) => events.push(SessionEvent::TrackMuted { participant, track: track.clone() }),
                (true, false) => events.push(SessionEvent::TrackUnmuted { participant, track: track.clone() }),
                _ => {}
            }
        }
        if changed {
            events.push(SessionEvent::ParticipantUpdated { participant: self.clone() });
        }
    }
}

impl Track {
    /// Nothing for a data track, or an id that we cannot hold.
    #[allow(deprecated, reason = "what all servers fill")]
    pub(super) fn from_proto(info: &proto::TrackInfo) -> Option<Self> {
        let kind = match info.r#type() {
            proto::TrackType::Audio => TrackKind::Audio,
            proto::TrackType::Video => TrackKind::Video,
            proto::TrackType::Data => return None,
        };
        Some(Self {
            id: TrackId::new(info.sid.clone()).ok()?,
            kind,
            source: info.source().into(),
            name: info.name.clone(),
            muted: info.muted,
            subscribed: false,
            width: info.width,
            height: info.height,
            simulcast: info.simulcast,
            mime_type: info.mime_type.clone(),
        })
    }

    fn tell_end(&self, participant: &ParticipantIdentity, events: &mut Vec<SessionEvent>) {
        if self.subscribed {
            let track = Self { subscribed: false, ..self.clone() };
            events.push(SessionEvent::TrackUnsubscribed { participant: participant.clone(), track });
        }
        let track = Self { subscribed: false, ..self.clone() };
        events.push(SessionEvent::TrackUnpublished { participant: participant.clone(), track, local: false });
    }
}

impl From<TrackKind> for proto::TrackType {
    fn from(kind: TrackKind) -> Self {
        match kind {
            TrackKind::Audio => Self::Audio,
            TrackKind::Video => Self::Video,
        }
    }
}

impl From<TrackSource> for proto::TrackSource {
    fn from(source: TrackSource) -> Self {
        match source {
            TrackSource::Microphone => Self::Microphone,
            TrackSource::Camera => Self::Camera,
            TrackSource::ScreenShare => Self::ScreenShare,
            TrackSource::ScreenShareAudio => Self::ScreenShareAudio,
            TrackSource::Unknown => Self::Unknown,
        }
    }
}

impl From<proto::TrackSource> for TrackSource {
    fn from(source: proto::TrackSource) -> Self {
        match source {
            proto::TrackSource::Microphone => Self::Microphone,
            proto::TrackSource::Camera => Self::Camera,
            proto::TrackSource::ScreenShare => Self::ScreenShare,
            proto::TrackSource::ScreenShareAudio => Self::ScreenShareAudio,
            proto::TrackSource::Unknown => Self::Unknown,
        }
    }
}

impl From<proto::ConnectionQuality> for ConnectionQuality {
    fn from(quality: proto::ConnectionQuality) -> Self {
        match quality {
            proto::ConnectionQuality::Lost => Self::Lost,
            proto::ConnectionQuality::Poor => Self::Poor,
            proto::ConnectionQuality::Good => Self::Good,
            proto::ConnectionQuality::Excellent => Self::Excellent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(sid: &str, identity: &str, tracks: &[(&str, bool)]) -> proto::ParticipantInfo {
        let tracks = tracks
            .iter()
            .map(|(sid, muted)| proto::TrackInfo { sid: sid.to_string(), muted: *muted, ..Default::default() })
            .collect();
        proto::ParticipantInfo { sid: sid.into(), identity: identity.into(), tracks, ..Default::default() }
    }

    fn names(events: &[SessionEvent]) -> Vec<&'static str> {
        events
            .iter()
            .map(|event| match event {
                SessionEvent::ParticipantJoined { .. } => "joined",
                SessionEvent::ParticipantLeft { .. } => "left",
                SessionEvent::TrackPublished { .. } => "published",
                SessionEvent::TrackUnpublished { .. } => "unpublished",
                SessionEvent::TrackUnsubscribed { .. } => "unsubscribed",
                SessionEvent::TrackMuted { .. } => "muted",
                SessionEvent::TrackUnmuted { .. } => "unmuted",
                _ => "other",
            })
            .collect()
    }

    #[test]
    fn a_participant_who_comes_mutes_and_goes_is_told_of_in_order() {
        let mut roster = Roster::default();
        let mut events = Vec::new();
        roster.apply(info("PA_1", "bob", &[("TR_1", false)]), &mut events);
        roster.apply(info("PA_1", "bob", &[("TR_1", true)]), &mut events);
        roster.track_mut(&TrackId::new("TR_1").unwrap()).unwrap().1.subscribed = true;
        roster.apply(info("PA_1", "bob", &[("TR_1", false)]), &mut events);
        let gone = proto::participant_info::State::Disconnected as i32;
        roster.apply(proto::ParticipantInfo { state: gone, ..info("PA_1", "bob", &[]) }, &mut events);
        assert_eq!(names(&events), ["joined", "published", "muted", "unmuted", "unsubscribed", "unpublished", "left"]);
        assert_eq!(roster.others().count(), 0);
    }

    #[test]
    fn the_same_identity_with_a_new_presence_left_and_joined() {
        let mut roster = Roster::default();
        let mut events = Vec::new();
        roster.apply(info("PA_1", "bob", &[]), &mut events);
        roster.apply(info("PA_2", "bob", &[]), &mut events);
        assert_eq!(names(&events), ["joined", "left", "joined"]);
        let gone = proto::participant_info::State::Disconnected as i32;
        roster.apply(proto::ParticipantInfo { state: gone, ..info("PA_1", "bob", &[]) }, &mut events);
        assert_eq!(roster.others().count(), 1, "a late farewell to the first presence leaves the second alone");
    }

    #[test]
    fn speakers_are_told_loudest_first_and_silence_clears_them() {
        let mut roster = Roster::default();
        roster.apply(info("PA_1", "ann", &[]), &mut Vec::new());
        roster.apply(info("PA_2", "bob", &[]), &mut Vec::new());
        let speaker = |sid: &str, level, active| proto::SpeakerInfo { sid: sid.into(), level, active };
        let event = roster.apply_speakers(&[speaker("PA_1", 0.2, true), speaker("PA_2", 0.9, true)]);
        let SessionEvent::ActiveSpeakers { speakers } = event else { panic!() };
        assert_eq!(speakers.iter().map(|s| s.identity.as_str()).collect::<Vec<_>>(), ["bob", "ann"]);
        let event = roster.apply_speakers(&[speaker("PA_2", 0.0, false)]);
        let SessionEvent::ActiveSpeakers { speakers } = event else { panic!() };
        assert_eq!(speakers.len(), 1);
    }

    #[test]
    fn ids_that_cannot_be_held_are_left_out() {
        let mut roster = Roster::default();
        let mut events = Vec::new();
        roster.apply(info("PA_1", "", &[]), &mut events);
        roster.apply(info("PA_2", &"x".repeat(200), &[]), &mut events);
        assert!(events.is_empty());
    }
}
