//! One participant: who it is, its two connections, what it wants to receive.

use super::limit::Told;
use super::publish::PendingTrack;
use super::subscribe::Subscription;
use super::{ConnectionId, TrackKey};
use crate::base::{ParticipantId, ParticipantIdentity, UnixMillis};
use crate::identity::{SessionGrants, SessionToken};
use crate::server::sfu::path::Path;
use crate::server::sfu::peer::{Peer, PeerSettings};
use crate::server::sfu::quality::Quality;
use crate::server::sfu::sdp::Section;
use livekit_protocol::participant_info::State;
use livekit_protocol::{SignalTarget, SubscriptionPermission, TrackType};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;
use str0m::media::{MediaKind, Mid, Rid};
use str0m::rtp::Ssrc;

/// Who joins, and how.
pub(in crate::server::sfu) struct Admission {
    pub token: SessionToken,
    pub connection: ConnectionId,
    pub auto_subscribe: bool,
    /// What the client says of itself: others' SDKs choose data formats by it.
    pub client_protocol: i32,
    /// Firefox does not keep track ids of the SDP; it finds them in the stream id.
    pub track_in_stream_id: bool,
}

pub(super) struct Participant {
    pub id: ParticipantId,
    pub identity: ParticipantIdentity,
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    pub grants: SessionGrants,
    pub joined_at: UnixMillis,
    pub state: State,
    /// Counts changes: others keep the newest.
    pub version: u32,
    pub client_protocol: i32,
    pub track_in_stream_id: bool,

    pub connection: Option<ConnectionId>,
    /// Since when there is no signalling.
    pub lost_at: Option<Instant>,

    pub publisher: Peer,
    pub pending_tracks: Vec<PendingTrack>,
    /// The published tracks, by the section that carries them.
    pub sections: BTreeMap<Mid, TrackKey>,
    pub streams: HashMap<Ssrc, (Mid, Option<Rid>)>,
    /// Who may subscribe to its tracks; nothing said means everybody.
    pub permission: Option<SubscriptionPermission>,
    /// The newest reliable data message taken, so that a resuming client sends only what was lost.
    pub last_data_sequence: u32,

    pub subscriber: Peer,
    pub auto_subscribe: bool,
    /// What was asked for track by track, over `auto_subscribe`.
    pub choices: HashMap<TrackKey, bool>,
    pub subscriptions: BTreeMap<TrackKey, Subscription>,
    /// Sections that carry nothing any more, for the next offer.
    pub to_stop: Vec<Mid>,
    pub channels_offered: bool,
    /// An answer has come to the offer that opened the data channels.
    pub channels_agreed: bool,
    pub restart_ice: bool,
    pub offer_id: u32,
    pub offer_sent: Option<Instant>,

    /// What the subscriber connection carries, in bits a second, if that is known.
    pub estimate: Option<u64>,
    /// What is seen of that from what arrives.
    pub path: Path,
    /// What has been given of it.
    pub allocated: u64,
    /// Pictures are held back, as there is no room for them.
    pub holds_back: bool,
    /// How much it is asked to send at most.
    pub told_limit: Told,
    pub quality: Quality,
    /// NACKs that were counted already, of each stream in each direction.
    pub nacks: HashMap<(Direction, Mid, Option<Rid>), u64>,
}

/// Seen from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    In,
    Out,
}

impl Participant {
    pub fn new(
        now: Instant,
        id: ParticipantId,
        joined_at: UnixMillis,
        admission: Admission,
        settings: &PeerSettings,
    ) -> Self {
        let grants = admission.token.grants();
        let mut publisher = Peer::publisher(now, settings);
        let mut subscriber = Peer::subscriber(now, settings);
        if grants.subscribe {
            subscriber.expect(now)
        } else {
            publisher.expect(now)
        };
        Self {
            id,
            identity: admission.token.identity,
            name: admission.token.name,
            metadata: admission.token.metadata,
            attributes: admission.token.attributes,
            joined_at,
            state: State::Joined,
            version: 1,
            client_protocol: admission.client_protocol,
            track_in_stream_id: admission.track_in_stream_id,
            connection: Some(admission.connection),
            lost_at: None,
            publisher,
            pending_tracks: Vec::new(),
            sections: BTreeMap::new(),
            streams: HashMap::new(),
            permission: None,
            last_data_sequence: 0,
            subscriber,
            auto_subscribe: admission.auto_subscribe,
            choices: HashMap::new(),
            subscriptions: BTreeMap::new(),
            to_stop: Vec::new(),
            channels_offered: false,
            channels_agreed: false,
            restart_ice: false,
            offer_id: 0,
            offer_sent: None,
            grants,
            estimate: None,
            path: Path::default(),
            allocated: 0,
            holds_back: false,
            told_limit: Told::default(),
            quality: Quality::default(),
            nacks: HashMap::new(),
        }
    }

    pub fn peer(&mut self, target: SignalTarget) -> &mut Peer {
        match target {
            SignalTarget::Publisher => &mut self.publisher,
            SignalTarget::Subscriber => &mut self.subscriber,
        }
    }

    pub fn peers(&mut self) -> [&mut Peer; 2] {
        [&mut self.publisher, &mut self.subscriber]
    }

    /// What was announced for a section of its offer, by its place in `pending_tracks`.
    pub fn announced(&self, section: &Section) -> Option<usize> {
        let of_kind =
            |pending: &PendingTrack| (pending.info.r#type() == TrackType::Audio) == (section.kind == MediaKind::Audio);
        // Some clients rename their tracks in the SDP: then the order of announcement decides.
        let pending = &self.pending_tracks;
        let by_cid = pending.iter().position(|p| Some(&p.cid) == section.track.as_ref() && of_kind(p));
        by_cid.or_else(|| pending.iter().position(of_kind))
    }

    /// The connection whose coming up makes the participant active (LiveKit: `subscriber_primary`).
    pub fn primary(&self) -> SignalTarget {
        if self.grants.subscribe { SignalTarget::Subscriber } else { SignalTarget::Publisher }
    }

    /// Where an incoming stream belongs: str0m knows, by MID, RID or the SDP's SSRC lines.
    pub fn stream(&mut self, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        /// More SSRCs than any publisher has: forget, and learn again.
        const MAX_STREAMS: usize = 512;
        if let Some(known) = self.streams.get(&ssrc) {
            return Some(*known);
        }
        let mut api = self.publisher.rtc().direct_api();
        let found = api.stream_rx(&ssrc).map(|stream| (stream.mid(), stream.rid()))?;
        if self.streams.len() >= MAX_STREAMS {
            self.streams.clear();
        }
        self.streams.insert(ssrc, found);
        Some(found)
    }
}
