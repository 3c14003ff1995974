//! What apps see of a session.

use super::{ConnectionQuality, DataMessage, Participant, Track};
use crate::base::{Error, ErrorCode, ParticipantIdentity, TrackId};

/// What happened in a session. Each is told once, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionEvent {
    /// The server let us in. Media is still connecting. Those who were there before are in `participants`; they get no
    /// `ParticipantJoined`, and their tracks no `TrackPublished`.
    Joined {
        room: String,
        local: Participant,
        participants: Vec<Participant>,
    },
    /// Media can flow: the peer connections are up. Once after `Joined`.
    Connected,
    ParticipantJoined {
        participant: Participant,
    },
    ParticipantLeft {
        participant: Participant,
    },
    /// Name, metadata or attributes changed.
    ParticipantUpdated {
        participant: Participant,
    },
    /// A track of another participant, or (`local`) one of ours that the server has taken.
    TrackPublished {
        participant: ParticipantIdentity,
        track: Track,
        local: bool,
    },
    TrackUnpublished {
        participant: ParticipantIdentity,
        track: Track,
        local: bool,
    },
    /// The server sends us that track from now on.
    TrackSubscribed {
        participant: ParticipantIdentity,
        track: Track,
    },
    TrackUnsubscribed {
        participant: ParticipantIdentity,
        track: Track,
    },
    /// By its publisher or by the server. `participant` is ourselves when it is one of our tracks.
    TrackMuted {
        participant: ParticipantIdentity,
        track: Track,
    },
    TrackUnmuted {
        participant: ParticipantIdentity,
        track: Track,
    },
    /// The first audio of a remote track was handed to the output.
    FirstAudio {
        participant: ParticipantIdentity,
        track: TrackId,
    },
    /// The first picture of a remote track was handed to the output; its size in pixels.
    FirstVideo {
        participant: ParticipantIdentity,
        track: TrackId,
        width: u32,
        height: u32,
    },
    /// Everyone who speaks at the moment, the loudest first. Empty when all are silent.
    ActiveSpeakers {
        speakers: Vec<Speaker>,
    },
    /// What the server measures of a participant's connection, ourselves included.
    QualityChanged {
        participant: ParticipantIdentity,
        quality: ConnectionQuality,
    },
    Data {
        message: DataMessage,
    },
    /// The connection broke; it is being restored. Sending and receiving may stop meanwhile.
    Reconnecting,
    Reconnected,
    /// One of our own devices, or what the app put in its place, works, is lost, or has failed; the session goes on.
    DeviceChanged {
        device: MediaDevice,
        state: DeviceState,
        /// Of the one that works.
        name: Option<String>,
        /// Why it does not work, and what to do.
        error: Option<Error>,
    },
    /// Something failed, and the session goes on without it; the message says what.
    Error {
        error: Error,
    },
    /// The last event. `error` says more when the end was not asked for.
    Ended {
        reason: SessionEndReason,
        error: Option<Error>,
    },
}

/// What an end of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaDevice {
    Microphone,
    Speaker,
    Camera,
    /// Where a participant's picture goes to.
    VideoOutput,
}

/// What became of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeviceState {
    /// It works: for the first time, again, or in the place of another.
    InUse,
    /// None works: there is silence, or no picture, until one is found.
    Lost,
    /// None works, and none is looked for. A device can be chosen anew; a file is over.
    Failed,
}

/// One who speaks.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Speaker {
    pub identity: ParticipantIdentity,
    /// 0 to 1, linear; 1 is the loudest.
    pub level: f32,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionEndReason {
    /// We left.
    Left,
    /// The same identity joined from elsewhere.
    DuplicateIdentity,
    /// The server put us out.
    ParticipantRemoved,
    /// The session was closed for everyone.
    RoomClosed,
    /// The server is going down.
    ServerShutdown,
    /// The connection broke and could not be restored in time.
    ConnectionLost,
    /// The server answered, but no media path to it was found: UDP is probably blocked.
    MediaUnreachable,
    /// The session never came about: server unreachable, TLS or token refused; the error says which.
    JoinFailed,
    /// A fault inside Trill; the session was closed, and the engine goes on.
    Internal,
    /// Nobody else was there for as long as the settings allow.
    LeftAlone,
}

impl SessionEndReason {
    /// The name in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::DuplicateIdentity => "duplicate_identity",
            Self::ParticipantRemoved => "participant_removed",
            Self::RoomClosed => "room_closed",
            Self::ServerShutdown => "server_shutdown",
            Self::ConnectionLost => "connection_lost",
            Self::MediaUnreachable => "media_unreachable",
            Self::JoinFailed => "join_failed",
            Self::Internal => "internal",
            Self::LeftAlone => "left_alone",
        }
    }

    /// The error that tells of an end with that reason; nothing for one that was asked for.
    pub fn error(self) -> Option<Error> {
        let code = match self {
            Self::Left | Self::LeftAlone => return None,
            Self::DuplicateIdentity => ErrorCode::DuplicateIdentity,
            Self::ParticipantRemoved => ErrorCode::ParticipantRemoved,
            Self::RoomClosed => ErrorCode::RoomClosed,
            Self::ServerShutdown => ErrorCode::ServerUnavailable,
            Self::ConnectionLost => ErrorCode::ConnectionLost,
            Self::MediaUnreachable => ErrorCode::MediaUnreachable,
            Self::JoinFailed => ErrorCode::ServerUnreachable,
            Self::Internal => ErrorCode::Internal,
        };
        Some(code.into())
    }
}
