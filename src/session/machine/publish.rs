//! Our own tracks and data: announced, negotiated on the publisher connection one offer at a time, muted, withdrawn.

use super::{Output, Peer, PeerCommand, Phase, Request, SessionMachine, Side};
use crate::base::{Error, ErrorCode, Result, TrackId};
use crate::session::{LocalLayer, LocalTrack, SessionEvent, Track, TrackKind, TrackSource};
use bytes::Bytes;
use livekit_protocol as proto;
use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Publisher {
    pub(super) peer: Peer,
    pub(super) may_publish: bool,
    pub(super) may_publish_data: bool,
    /// The server takes an offer before it has confirmed the tracks in it.
    fast: bool,
    tracks: Vec<Own>,
    negotiation: Negotiation,
    /// Something changed while an offer was out: another one is due.
    again: bool,
    ice_restart: bool,
    offer_id: u32,
    offer: Option<String>,
    channels: Channels,
}

#[derive(Debug)]
struct Own {
    track: LocalTrack,
    state: OwnState,
}

#[derive(Debug, PartialEq)]
enum OwnState {
    Waiting,
    Announced { deadline: Instant },
    Published(TrackId),
}

#[derive(Debug, Default, PartialEq)]
enum Negotiation {
    #[default]
    Idle,
    /// The peer connection is making the offer.
    Making {
        deadline: Instant,
    },
    Offered {
        deadline: Instant,
    },
}

#[derive(Debug, Default)]
struct Channels {
    reliable_open: bool,
    lossy_open: bool,
    /// Reliable messages sent before the channel was open.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
}

impl SessionMachine {
    /// Publishes a track, now or as soon as we are let in. Errors: `invalid_argument` when its cid or source is in
    /// use, `session_not_found` after the end. A refusal of the server comes as an event.
    pub fn publish(&mut self, now: Instant, track: LocalTrack) -> Result<()> {
        self.check_open()?;
        if self.publisher.tracks.iter().any(|own| own.track.cid == track.cid || own.track.source == track.source) {
            return Err(Error::new(ErrorCode::InvalidArgument, "a track of that source is published already"));
        }
        self.publisher.tracks.push(Own { track, state: OwnState::Waiting });
        if matches!(self.phase, Phase::Active { .. }) {
            self.announce_waiting(now);
            self.negotiate_when_ready(now);
        }
        Ok(())
    }

    /// Takes our track of that source back. Errors: `track_not_found`, `session_not_found` after the end.
    pub fn unpublish(&mut self, now: Instant, source: TrackSource) -> Result<()> {
        self.check_open()?;
        let own = self.publisher.tracks.iter().find(|own| own.track.source == source);
        let cid = own.map(|own| own.track.cid.clone()).ok_or_else(no_such_source)?;
        self.withdraw(now, &cid);
        Ok(())
    }

    pub(super) fn publish_all(&mut self, now: Instant) {
        self.announce_waiting(now);
        if self.publisher.tracks.is_empty() {
            // For the data channels alone: the first message should not have to wait for a connection.
            self.negotiate(now);
        } else {
            self.negotiate_when_ready(now);
        }
    }

    fn announce_waiting(&mut self, now: Instant) {
        let waiting = self.publisher.tracks.iter().filter(|own| own.state == OwnState::Waiting);
        let tracks: Vec<LocalTrack> = waiting.map(|own| own.track.clone()).collect();
        for track in tracks {
            if self.publisher.may_publish {
                self.announce(now, &track);
                let (cid, kind) = (track.cid, track.kind);
                // A server that does not say wants all of it.
                self.outputs.push_back(Output::SetWanted { cid: cid.clone(), wanted: [true; 3] });
                self.outputs.push_back(Output::Peer(PeerCommand::AddTrack { cid, kind }));
            } else {
                let message = format!("the token does not grant publishing {:?}", track.source);
                self.event(SessionEvent::Error { error: Error::new(ErrorCode::TokenMissingGrant, message) });
                self.withdraw(now, &track.cid);
            }
        }
    }

    fn announce(&mut self, now: Instant, track: &LocalTrack) {
        let deadline = now + self.settings.publish_timeout;
        if let Some(own) = self.publisher.by_cid(&track.cid) {
            own.state = OwnState::Announced { deadline };
        }
        self.send(Request::AddTrack(add_track(track)));
    }

    /// With fast publish at once, else when the server has confirmed every track.
    fn negotiate_when_ready(&mut self, now: Instant) {
        let announced = |own: &Own| matches!(own.state, OwnState::Announced { .. });
        if self.publisher.fast || !self.publisher.tracks.iter().any(announced) {
            self.negotiate(now);
        }
    }

    fn negotiate(&mut self, now: Instant) {
        if self.publisher.negotiation != Negotiation::Idle {
            self.publisher.again = true;
            return;
        }
        self.publisher.again = false;
        let ice_restart = std::mem::take(&mut self.publisher.ice_restart);
        self.publisher.negotiation = Negotiation::Making { deadline: now + self.settings.negotiation_timeout };
        self.outputs.push_back(Output::Peer(PeerCommand::CreateOffer { ice_restart }));
    }

    pub(super) fn offer_made(&mut self, now: Instant, sdp: String) {
        if !matches!(self.publisher.negotiation, Negotiation::Making { .. }) {
            return;
        }
        self.publisher.offer_id = self.publisher.offer_id.wrapping_add(1).max(1);
        self.publisher.offer = Some(sdp.clone());
        self.publisher.negotiation = Negotiation::Offered { deadline: now + self.settings.negotiation_timeout };
        let id = self.publisher.offer_id;
        self.send(Request::Offer(description("offer", sdp, id)));
        self.local_described(Side::Publisher);
    }

    pub(super) fn publisher_answer(&mut self, now: Instant, answer: proto::SessionDescription) {
        // Servers that number their answers leave no doubt which offer is meant.
        let stale = answer.id != 0 && answer.id != self.publisher.offer_id;
        if stale || !matches!(self.publisher.negotiation, Negotiation::Offered { .. }) {
            return;
        }
        self.publisher.negotiation = Negotiation::Idle;
        self.outputs.push_back(Output::Peer(PeerCommand::ApplyAnswer { sdp: answer.sdp }));
        self.remote_described(Side::Publisher);
        if self.publisher.again {
            self.negotiate(now);
        }
        self.media_changed();
    }

    pub(super) fn track_published(&mut self, now: Instant, published: proto::TrackPublishedResponse) {
        let Some(track) = published.track.as_ref().and_then(Track::from_proto) else { return };
        let Some(own) = self.publisher.by_cid(&published.cid) else { return };
        if !matches!(own.state, OwnState::Announced { .. }) {
            return;
        }
        own.state = OwnState::Published(track.id.clone());
        let muted = own.track.muted;
        if muted != track.muted {
            let sid = track.id.to_string();
            self.send(Request::Mute(proto::MuteTrackRequest { sid, muted }));
        }
        let track = Track { muted, ..track };
        self.roster.add_local_track(track.clone());
        if let Some(local) = self.roster.local() {
            let participant = local.identity.clone();
            self.event(SessionEvent::TrackPublished { participant, track, local: true });
        }
        if !self.publisher.fast {
            self.negotiate_when_ready(now);
        }
    }

    /// The server took a track of ours away.
    pub(super) fn track_unpublished(&mut self, now: Instant, sid: &str) {
        if let Some(own) = self.publisher.by_sid(sid) {
            let cid = own.track.cid.clone();
            self.withdraw(now, &cid);
        }
    }

    /// The server's answer to a request that it did not carry out.
    pub(super) fn request_response(&mut self, response: proto::RequestResponse) {
        use proto::request_response::{Reason, Request as About};
        if matches!(response.reason(), Reason::Ok | Reason::Queued) {
            return;
        }
        let Some(About::AddTrack(request)) = &response.request else { return };
        let code = match response.reason() {
            Reason::NotAllowed => ErrorCode::TokenMissingGrant,
            Reason::LimitExceeded => ErrorCode::TooManyRequests,
            _ => ErrorCode::ServerUnavailable,
        };
        let message = format!("the server does not take our track: {:?} {}", response.reason(), response.message);
        let cid = request.cid.clone();
        self.refuse(&cid, Error::new(code, message));
    }

    pub(super) fn mute_own(&mut self, source: TrackSource, muted: bool) -> Result<()> {
        let own = self.publisher.tracks.iter_mut().find(|own| own.track.source == source).ok_or_else(no_such_source)?;
        if own.track.muted == muted {
            return Ok(());
        }
        own.track.muted = muted;
        let cid = own.track.cid.clone();
        let published = own.sid().cloned();
        self.outputs.push_back(Output::SetSending { cid, sending: !muted });
        if let Some(id) = published {
            self.send(Request::Mute(proto::MuteTrackRequest { sid: id.to_string(), muted }));
            self.own_mute_event(&id, muted);
        }
        Ok(())
    }

    /// The server mutes us, or takes its mute back.
    pub(super) fn server_mute(&mut self, mute: &proto::MuteTrackRequest) {
        let Some(own) = self.publisher.by_sid(&mute.sid) else { return };
        if own.track.muted == mute.muted {
            return;
        }
        own.track.muted = mute.muted;
        let (cid, id) = (own.track.cid.clone(), own.sid().cloned());
        self.outputs.push_back(Output::SetSending { cid, sending: !mute.muted });
        if let Some(id) = id {
            self.own_mute_event(&id, mute.muted);
        }
    }

    /// What nobody wants of a track of ours need not be sent.
    pub(super) fn layers_wanted(&mut self, update: &proto::SubscribedQualityUpdate) {
        let Some(own) = self.publisher.by_sid(&update.track_sid) else { return };
        let ours = update.subscribed_codecs.iter().find(|codec| is_vp8(&codec.codec));
        #[allow(deprecated, reason = "what servers say that know of one codec alone")]
        let qualities = ours.map_or(&update.subscribed_qualities, |codec| &codec.qualities);
        let mut wanted = [false; 3];
        for quality in qualities {
            if let Some(layer) = usize::try_from(quality.quality).ok().and_then(|layer| wanted.get_mut(layer)) {
                *layer = quality.enabled;
            }
        }
        // An update about other codecs alone says nothing of ours.
        if !qualities.is_empty() {
            let cid = own.track.cid.clone();
            self.outputs.push_back(Output::SetWanted { cid, wanted });
        }
    }

    fn own_mute_event(&mut self, id: &TrackId, muted: bool) {
        let Some((participant, track)) = self.roster.track_mut(id) else { return };
        track.muted = muted;
        let track = track.clone();
        self.event(if muted {
            SessionEvent::TrackMuted { participant, track }
        } else {
            SessionEvent::TrackUnmuted { participant, track }
        });
    }

    pub(super) fn data_channel_open(&mut self, reliable: bool) {
        let channels = &mut self.publisher.channels;
        if !reliable {
            channels.lossy_open = true;
            return;
        }
        channels.reliable_open = true;
        channels.waiting_bytes = 0;
        for payload in std::mem::take(&mut channels.waiting) {
            self.outputs.push_back(Output::Peer(PeerCommand::SendData { reliable: true, payload }));
        }
    }

    pub(super) fn publish_timeouts(&mut self, now: Instant) {
        let late = |own: &&Own| matches!(own.state, OwnState::Announced { deadline } if deadline <= now);
        let late: Vec<String> = self.publisher.tracks.iter().filter(late).map(|own| own.track.cid.clone()).collect();
        for cid in late {
            self.refuse(&cid, Error::new(ErrorCode::TimedOut, "the server did not confirm our track in time"));
        }
        match self.publisher.negotiation {
            Negotiation::Making { deadline } | Negotiation::Offered { deadline } if deadline <= now => {
                self.publisher.negotiation = Negotiation::Idle;
                tracing::warn!("an offer got no answer in time");
                self.peer_lost(now);
            }
            _ => {}
        }
    }

    /// What we last offered, and what the server confirmed: for `sync_state`.
    pub(super) fn published(&self) -> (Option<proto::SessionDescription>, Vec<proto::TrackPublishedResponse>) {
        let offer = self.publisher.offer.clone().map(|sdp| description("offer", sdp, self.publisher.offer_id));
        let tracks = self.publisher.tracks.iter().filter_map(|own| {
            let sid = own.sid()?.to_string();
            let request = add_track(&own.track);
            let track = proto::TrackInfo {
                sid,
                r#type: request.r#type,
                name: request.name,
                muted: request.muted,
                width: request.width,
                height: request.height,
                source: request.source,
                ..Default::default()
            };
            Some(proto::TrackPublishedResponse { cid: request.cid, track: Some(track) })
        });
        (offer, tracks.collect())
    }

    /// After a resume: what the broken connection may have swallowed is said again, and the path is sought anew.
    pub(super) fn restart_publisher(&mut self, now: Instant) {
        let announced = |own: &&Own| matches!(own.state, OwnState::Announced { .. });
        let unconfirmed: Vec<LocalTrack> =
            self.publisher.tracks.iter().filter(announced).map(|own| own.track.clone()).collect();
        for track in unconfirmed {
            self.announce(now, &track);
        }
        self.publisher.negotiation = Negotiation::Idle;
        self.publisher.ice_restart = self.publisher.peer.remote_described;
        self.negotiate(now);
    }

    fn refuse(&mut self, cid: &str, error: Error) {
        if self.publisher.by_cid(cid).is_some() {
            self.event(SessionEvent::Error { error });
            self.remove_own(cid);
        }
    }

    fn withdraw(&mut self, now: Instant, cid: &str) {
        if self.remove_own(cid) && matches!(self.phase, Phase::Active { .. }) {
            self.negotiate(now);
        }
    }

    /// True when the peer connection has it and must offer without it.
    fn remove_own(&mut self, cid: &str) -> bool {
        let Some(index) = self.publisher.tracks.iter().position(|own| own.track.cid == cid) else { return false };
        let own = self.publisher.tracks.remove(index);
        let added = own.state != OwnState::Waiting;
        if added {
            self.outputs.push_back(Output::Peer(PeerCommand::RemoveTrack { cid: cid.to_owned() }));
        }
        self.outputs.push_back(Output::Withdrawn { cid: cid.to_owned() });
        if let Some(track) = own.sid().and_then(|id| self.roster.remove_local_track(id))
            && let Some(local) = self.roster.local()
        {
            let participant = local.identity.clone();
            self.event(SessionEvent::TrackUnpublished { participant, track, local: true });
        }
        added
    }
}

impl Publisher {
    /// A new presence: nothing is announced, nothing is negotiated. True when data had waited that may not be sent.
    pub(super) fn joined(&mut self, permission: Option<proto::ParticipantPermission>, fast: bool) -> bool {
        let mut tracks = std::mem::take(&mut self.tracks);
        tracks.iter_mut().for_each(|own| own.state = OwnState::Waiting);
        let channels = Channels { reliable_open: false, lossy_open: false, ..std::mem::take(&mut self.channels) };
        *self = Self {
            peer: Peer::fresh(),
            may_publish: true,
            may_publish_data: true,
            fast,
            tracks,
            channels,
            ..Self::default()
        };
        if let Some(permission) = permission {
            self.permitted(&permission);
        }
        let refused = !self.may_publish_data && !self.channels.waiting.is_empty();
        if refused {
            self.channels = Channels::default();
        }
        refused
    }

    pub(super) fn permitted(&mut self, permission: &proto::ParticipantPermission) {
        self.may_publish = permission.can_publish;
        self.may_publish_data = permission.can_publish_data;
    }

    pub(super) fn has_tracks(&self) -> bool {
        !self.tracks.is_empty()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.negotiation == Negotiation::Idle
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let announced = self.tracks.iter().filter_map(|own| match own.state {
            OwnState::Announced { deadline } => Some(deadline),
            _ => None,
        });
        let offer = match self.negotiation {
            Negotiation::Making { deadline } | Negotiation::Offered { deadline } => Some(deadline),
            Negotiation::Idle => None,
        };
        announced.chain(offer).min()
    }

    pub(super) fn queue_data(&mut self, reliable: bool, payload: Bytes, outputs: &mut VecDeque<Output>) -> Result<()> {
        let channels = &mut self.channels;
        if if reliable { channels.reliable_open } else { channels.lossy_open } {
            outputs.push_back(Output::Peer(PeerCommand::SendData { reliable, payload }));
        } else if reliable {
            if channels.waiting_bytes + payload.len() > super::MAX_QUEUED_DATA {
                let message = "too much data waits for the connection; wait for `connected` before sending more";
                return Err(Error::new(ErrorCode::TooManyRequests, message));
            }
            channels.waiting_bytes += payload.len();
            channels.waiting.push_back(payload);
        }
        // A lossy message without a channel is lost, as on any bad moment of the network.
        Ok(())
    }

    fn by_cid(&mut self, cid: &str) -> Option<&mut Own> {
        self.tracks.iter_mut().find(|own| own.track.cid == cid)
    }

    fn by_sid(&mut self, sid: &str) -> Option<&mut Own> {
        self.tracks.iter_mut().find(|own| own.sid().is_some_and(|id| id.as_str() == sid))
    }
}

impl Own {
    fn sid(&self) -> Option<&TrackId> {
        match &self.state {
            OwnState::Published(id) => Some(id),
            _ => None,
        }
    }
}

pub(super) fn description(r#type: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription { r#type: r#type.to_owned(), sdp, id, ..Default::default() }
}

fn add_track(track: &LocalTrack) -> proto::AddTrackRequest {
    let layers = video_layers(track);
    let simulcast_codecs = match track.layers.len() {
        0 | 1 => Vec::new(),
        _ => vec![proto::SimulcastCodec {
            codec: "vp8".into(),
            cid: track.cid.clone(),
            layers: layers.clone(),
            ..Default::default()
        }],
    };
    proto::AddTrackRequest {
        cid: track.cid.clone(),
        name: track.name.clone(),
        r#type: proto::TrackType::from(track.kind) as i32,
        width: track.width,
        height: track.height,
        muted: track.muted,
        source: proto::TrackSource::from(track.source) as i32,
        layers,
        simulcast_codecs,
        audio_features: match track.kind {
            TrackKind::Audio if !track.dtx => vec![proto::AudioTrackFeature::TfNoDtx as i32],
            _ => Vec::new(),
        },
        ..Default::default()
    }
}

/// As LiveKit's clients name them: of two layers the better one is called medium, and one alone high.
fn video_layers(track: &LocalTrack) -> Vec<proto::VideoLayer> {
    use proto::VideoQuality::{High, Low, Medium};
    let layer = |(quality, layer): (proto::VideoQuality, LocalLayer)| proto::VideoLayer {
        quality: quality as i32,
        width: layer.width,
        height: layer.height,
        bitrate: layer.bitrate_bps,
        ..Default::default()
    };
    match (track.kind, track.layers.len()) {
        (TrackKind::Audio, _) => Vec::new(),
        (TrackKind::Video, 0 | 1) => {
            let (width, height, bitrate_bps) = (track.width, track.height, track.bitrate_bps);
            vec![layer((High, LocalLayer { width, height, bitrate_bps }))]
        }
        (TrackKind::Video, _) => [Low, Medium, High].into_iter().zip(track.layers.iter().copied()).map(layer).collect(),
    }
}

/// Servers name codecs with and without their kind.
fn is_vp8(codec: &str) -> bool {
    codec.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case("vp8"))
}

fn no_such_source() -> Error {
    Error::new(ErrorCode::TrackNotFound, "no track of that source is published")
}
