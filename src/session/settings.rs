//! What a session is told at its start.

use super::{TrackKind, TrackSource};
use std::time::Duration;

/// Limits and choices of one session.
#[derive(Clone, Debug)]
pub struct MachineSettings {
    /// Subscribe to every track as it is published. Otherwise only to those asked for.
    pub auto_subscribe: bool,
    /// From dialling to the server's join answer.
    pub join_timeout: Duration,
    /// From the join answer to connected peer connections; then the session ends with `media_unreachable`.
    pub media_timeout: Duration,
    /// From `add_track` to `track_published`.
    pub publish_timeout: Duration,
    /// From an offer to its answer.
    pub negotiation_timeout: Duration,
    /// How long a broken connection is tried to be restored; then the session ends with `connection_lost`.
    pub reconnect_timeout: Duration,
}

impl Default for MachineSettings {
    fn default() -> Self {
        Self {
            auto_subscribe: true,
            join_timeout: Duration::from_secs(10),
            media_timeout: Duration::from_secs(9),
            publish_timeout: Duration::from_secs(10),
            negotiation_timeout: Duration::from_secs(10),
            reconnect_timeout: Duration::from_secs(20),
        }
    }
}

/// A track of ours, as it is announced to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTrack {
    /// Our name for it until the server gives it an id; unique in the session, and the track id of its SDP msid.
    pub cid: String,
    pub kind: TrackKind,
    pub source: TrackSource,
    /// For people; may be empty.
    pub name: String,
    pub muted: bool,
    /// Pixels; 0 for audio.
    pub width: u32,
    pub height: u32,
    /// Bits per second that it is encoded at; told to the server for video.
    pub bitrate_bps: u32,
}
