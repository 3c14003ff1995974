//! What a session is told at its start.

use super::{TrackKind, TrackSource};
use crate::base::{Error, ErrorCode, Result};
use std::ops::RangeInclusive;
use std::time::Duration;

const LEFT_ALONE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Limits and choices of one session.
#[derive(Clone, Debug)]
pub struct MachineSettings {
    /// Subscribe to every track as it is published. Otherwise only to those asked for.
    pub auto_subscribe: bool,
    /// From dialling to the server's join answer.
    pub join_timeout: Duration,
    /// From the join answer to connected peer connections. Then the session ends with `media_unreachable`, unless the server did
    /// answer over UDP: where so many packets are lost that the keys could not be agreed on, it is joined anew, as after a broken
    /// connection. Each attempt to restore one has so long, too.
    pub media_timeout: Duration,
    /// From `add_track` to `track_published`.
    pub publish_timeout: Duration,
    /// From an offer to its answer.
    pub negotiation_timeout: Duration,
    /// How long a broken connection is tried to be restored; then the session ends with `connection_lost`.
    pub reconnect_timeout: Duration,
    /// How long we may be the only one in the session, from a second to a day; then it ends with `left_alone`. `None`: without
    /// limit. It counts from when the last of the others has left, or, while nobody has come yet, from our join; and anew
    /// from when a broken connection is restored, since who is there is not known before. Participants that the server
    /// hides do not count.
    ///
    /// For calls the server has a time of its own (`calls.left_alone`, 180 s), after which the call is over. This one ends
    /// the session alone.
    pub left_alone_timeout: Option<Duration>,
}

impl MachineSettings {
    /// Errors: `invalid_argument` names what is out of range.
    pub fn check(&self) -> Result<()> {
        match self.left_alone_timeout {
            Some(timeout) if !LEFT_ALONE_TIMEOUTS.contains(&timeout) => {
                let problem = format!("left_alone_timeout is {timeout:?}; it goes from a second to a day");
                Err(Error::new(ErrorCode::InvalidArgument, problem))
            }
            _ => Ok(()),
        }
    }
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
            left_alone_timeout: None,
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
    /// Silence is left out of it (discontinuous transmission).
    pub dtx: bool,
    /// The sizes in which it is sent at a time, lowest first, at most three; the last one is the whole picture. Fewer than two:
    /// it is sent in one.
    pub layers: Vec<LocalLayer>,
}

/// A simulcast layer, as it is announced to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalLayer {
    pub width: u32,
    pub height: u32,
    pub bitrate_bps: u32,
}
