//! What an owner sets about sessions: addresses, keys, timeouts, limits.

use crate::identity::KeyRing;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How to run the SFU. [`SfuConfig::new`] fills in what most owners keep.
#[derive(Clone, Debug)]
pub struct SfuConfig {
    /// Where the one UDP socket for all media is bound. Port 0 takes a free one; see [`super::Sfu::udp_addr`].
    pub udp_bind: SocketAddr,
    /// The addresses that clients are told to send media to. Empty: the interfaces that `udp_bind` covers.
    /// Behind a one-to-one NAT this is the public address.
    pub advertised_ips: Vec<IpAddr>,
    /// Session tokens are accepted from these keys; the first one refreshes them.
    pub keys: KeyRing,
    /// STUN and TURN servers that clients are told of.
    pub ice_servers: Vec<IceServer>,
    /// How long one participant may be alone before [`super::RoomEvent::LeftAlone`].
    pub left_alone_timeout: Duration,
    /// How long a room lives with nobody in it.
    pub empty_timeout: Duration,
    /// How often clients are told to ping, in whole seconds.
    pub ping_interval: Duration,
    /// After how long without a word a signalling connection counts as broken, in whole seconds.
    pub ping_timeout: Duration,
    /// How often a client is given a new token, with which it may come back after the first has expired. 5 minutes; a
    /// new one lasts for twice as long.
    pub token_refresh: Duration,
    /// How long a participant's media connection may take to come up, or to come back.
    pub connect_timeout: Duration,
    /// How long a participant whose signalling broke may take to resume.
    pub resume_timeout: Duration,
    pub limits: Limits,
}

/// A STUN or TURN server, as in `RTCIceServer`.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// Such as `stun:stun.example.org:3478` or `turn:turn.example.org:3478`.
    pub urls: Vec<String>,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub credential: String,
}

impl std::fmt::Debug for IceServer {
    /// Leaves the credential out: configurations end up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// What one peer may make the server do or hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms at one time.
    pub rooms: usize,
    /// Participants in one room.
    pub participants: usize,
    /// Tracks that one participant may publish.
    pub tracks: usize,
    /// The longest signalling message, in bytes.
    pub signal_bytes: usize,
    /// Signalling messages a second of one connection, on average; five seconds' worth may come at once.
    pub signals_per_second: u32,
    /// The longest data message, in bytes.
    pub data_bytes: usize,
    /// A participant's name, metadata and attributes together, in bytes.
    pub metadata_bytes: usize,
}

impl SfuConfig {
    pub fn new(udp_bind: SocketAddr, keys: KeyRing) -> Self {
        Self {
            udp_bind,
            advertised_ips: Vec::new(),
            keys,
            ice_servers: Vec::new(),
            left_alone_timeout: Duration::from_secs(180),
            empty_timeout: Duration::from_secs(20),
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(15),
            token_refresh: Duration::from_secs(5 * 60),
            connect_timeout: Duration::from_secs(15),
            resume_timeout: Duration::from_secs(20),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms: 10_000,
            participants: 100,
            tracks: 32,
            signal_bytes: 512 * 1024,
            signals_per_second: 100,
            data_bytes: 64 * 1024,
            metadata_bytes: 64 * 1024,
        }
    }
}
