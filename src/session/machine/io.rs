//! What goes into the machine and what comes out of it, beside the protocol's own messages.

use crate::base::{Error, ParticipantId};
use crate::session::{SessionEvent, TrackKind};
use bytes::Bytes;
use livekit_protocol as proto;

/// The two peer connections of protocol v0, each named by what we do on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// We offer; our tracks and outgoing data.
    Publisher,
    /// The server offers; the others' tracks and incoming data.
    Subscriber,
}

impl Side {
    pub(super) fn target(self) -> proto::SignalTarget {
        match self {
            Self::Publisher => proto::SignalTarget::Publisher,
            Self::Subscriber => proto::SignalTarget::Subscriber,
        }
    }
}

/// What a peer connection is at (W3C `RTCPeerConnectionState`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionState {
    #[default]
    New,
    Connecting,
    Connected,
    /// No answers from the other side for seconds; may come back by itself.
    Disconnected,
    Failed,
    Closed,
}

/// What a peer connection did. One that was closed by [`PeerCommand::Open`] or [`Output::Ended`] is not heard of again.
#[derive(Clone, Debug)]
pub enum PeerEvent {
    State(ConnectionState),
    /// Connectivity checks are answered (ICE, RFC 8445): datagrams go both ways. Media comes after the handshake (DTLS).
    Reachable,
    /// To [`PeerCommand::CreateOffer`]: the offer, already set as the local description.
    OfferMade {
        sdp: String,
    },
    /// To [`PeerCommand::Answer`]: the answer to the offer `id`, already set as the local description.
    AnswerMade {
        id: u32,
        sdp: String,
    },
    /// A candidate of ours, as the JSON of `RTCIceCandidateInit`.
    Candidate {
        init: String,
    },
    /// A data channel is open for sending (publisher only).
    DataChannelOpen {
        reliable: bool,
    },
    Data {
        reliable: bool,
        payload: Bytes,
    },
    /// A command to that peer connection failed, or it has ended by itself: it is of no more use.
    Failed(Error),
}

/// What the machine wants of the peer connections. Those of one side are to be carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerCommand {
    /// Close what there is and open both afresh.
    Open {
        ice_servers: Vec<IceServer>,
    },
    /// Servers to use from the next ICE restart on.
    SetIceServers {
        ice_servers: Vec<IceServer>,
    },
    /// Send a track on the publisher, from the next offer on.
    AddTrack {
        cid: String,
        kind: TrackKind,
    },
    RemoveTrack {
        cid: String,
    },
    CreateOffer {
        ice_restart: bool,
    },
    /// The server's answer to our offer on the publisher.
    ApplyAnswer {
        sdp: String,
    },
    /// The server's offer on the subscriber; answer it.
    Answer {
        id: u32,
        sdp: String,
    },
    AddCandidate {
        side: Side,
        init: String,
    },
    SendData {
        reliable: bool,
        payload: Bytes,
    },
}

/// A STUN or TURN server.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub credential: String,
}

impl std::fmt::Debug for IceServer {
    /// Leaves the credential out: this ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl From<proto::IceServer> for IceServer {
    fn from(server: proto::IceServer) -> Self {
        Self { urls: server.urls, username: server.username, credential: server.credential }
    }
}

/// Open a signalling connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    pub auto_subscribe: bool,
    /// A new token that the server gave us, to be used instead of the first one.
    pub token: Option<RefreshedToken>,
    pub resume: Option<ResumeRequest>,
}

/// Takes up the presence that we have, instead of joining anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeRequest {
    pub participant: ParticipantId,
}

/// A token, kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshedToken(pub String);

impl std::fmt::Debug for RefreshedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshedToken(..)")
    }
}

/// What the driver is to do.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful a second, moved once")]
pub enum Output {
    /// Open a signalling connection. Its outcome is the next `handle_signal` or `handle_signal_failed`.
    Connect(ConnectRequest),
    /// Drop the signalling connection there is, or the attempt at one. It is not heard of again.
    CloseSignal,
    Send(proto::signal_request::Message),
    Peer(PeerCommand),
    /// Stop or resume sending that track of ours.
    SetSending {
        cid: String,
        sending: bool,
    },
    /// The server says which layers of that track of ours anybody wants, lowest first (LiveKit: dynacast). All, when it is
    /// published, until then.
    SetWanted {
        cid: String,
        wanted: [bool; 3],
    },
    /// A track of ours is over: refused by the server, or unpublished.
    Withdrawn {
        cid: String,
    },
    Event(SessionEvent),
    /// Nothing more comes: what was sent is to be flushed, then everything closed.
    Ended,
}
