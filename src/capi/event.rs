//! Events.
//!
//! Everything that an engine tells, in one struct: `kind` says what happened, and which members are set. Each event is told
//! once; those of one call, and those of one session, in the order in which they happened.

use super::arena::Arena;
use super::boundary::free;
use super::call::trill_call;
use super::device::{
    TRILL_DEVICE_KIND_CAMERA, TRILL_DEVICE_KIND_MICROPHONE, TRILL_DEVICE_KIND_SPEAKER, TRILL_DEVICE_KIND_VIDEO_OUTPUT,
};
use super::library::trill_error;
use super::login::trill_user;
use super::participant::{quality_number, trill_participant, trill_speaker, trill_track};
use super::statistics::trill_statistics;
use crate::base::{Error, TrackId};
use crate::engine::{Event, LoginEvent};
use crate::ringing::{CallEvent, CallEventKind};
use crate::session::{DataMessage, DeviceState, MediaDevice, SessionEndReason, SessionEvent};
use std::ffi::c_char;
use std::ptr;

/// Logged in, for the first time or again after a broken connection. Sets user.
pub const TRILL_EVENT_LOGGED_IN: i32 = 1;
/// The connection of the login broke; it is being restored. Calls go on. Sets error.
pub const TRILL_EVENT_LOGIN_RECONNECTING: i32 = 2;
/// The login is over and is not restored: log in again to be reachable. Sets error.
pub const TRILL_EVENT_LOGGED_OUT: i32 = 3;

/// Somebody calls this user: ring. This and all events of calls set session_id, call, and by when somebody did it.
pub const TRILL_EVENT_INCOMING_RECEIVED: i32 = 100;
/// A first device of the callee rings.
pub const TRILL_EVENT_OUTGOING_RINGING: i32 = 101;
/// The callee accepted: start the session.
pub const TRILL_EVENT_OUTGOING_ACCEPTED: i32 = 102;
/// The callee rejected.
pub const TRILL_EVENT_OUTGOING_REJECTED: i32 = 103;
/// The callee is in another call.
pub const TRILL_EVENT_OUTGOING_BUSY: i32 = 104;
/// Nobody answered in time.
pub const TRILL_EVENT_OUTGOING_UNANSWERED: i32 = 105;
/// The initiator gave up, or nobody answered in time: stop ringing.
pub const TRILL_EVENT_INCOMING_CANCELLED: i32 = 106;
/// Another device of this user accepted: stop ringing.
pub const TRILL_EVENT_ANSWERED_ELSEWHERE: i32 = 107;
/// Another device of this user rejected: stop ringing.
pub const TRILL_EVENT_REJECTED_ELSEWHERE: i32 = 108;
/// The call that this device was in, or dialled, is over.
pub const TRILL_EVENT_CALL_ENDED: i32 = 109;

/// The server let us in; media is still connecting. This and all events of sessions set session_id. Sets participant
/// (ourselves), and participants (who was there before; they get no event of their own, nor do their tracks).
pub const TRILL_EVENT_SESSION_JOINED: i32 = 200;
/// Media can flow.
pub const TRILL_EVENT_SESSION_CONNECTED: i32 = 201;
/// Sets participant.
pub const TRILL_EVENT_PARTICIPANT_JOINED: i32 = 202;
/// Sets participant.
pub const TRILL_EVENT_PARTICIPANT_LEFT: i32 = 203;
/// Name, metadata or attributes changed. Sets participant.
pub const TRILL_EVENT_PARTICIPANT_UPDATED: i32 = 204;
/// A participant, or (local) we, published a track. This and all events of tracks set identity and track.
pub const TRILL_EVENT_TRACK_PUBLISHED: i32 = 205;
/// A participant, or (local) we, took a track back.
pub const TRILL_EVENT_TRACK_UNPUBLISHED: i32 = 206;
/// The server sends us that track from now on.
pub const TRILL_EVENT_TRACK_SUBSCRIBED: i32 = 207;
/// The server sends us that track no more.
pub const TRILL_EVENT_TRACK_UNSUBSCRIBED: i32 = 208;
/// By its publisher or by the server.
pub const TRILL_EVENT_TRACK_MUTED: i32 = 209;
/// It can be heard or seen again.
pub const TRILL_EVENT_TRACK_UNMUTED: i32 = 210;
/// The first audio of a track was played. Sets identity and track_id.
pub const TRILL_EVENT_FIRST_AUDIO: i32 = 211;
/// The first picture of a track was shown. Sets identity, track_id, width and height.
pub const TRILL_EVENT_FIRST_VIDEO: i32 = 212;
/// Who speaks at the moment. Sets speakers, the loudest first; there are none when all are silent.
pub const TRILL_EVENT_ACTIVE_SPEAKERS: i32 = 213;
/// What the server measures of a participant's connection. Sets identity and quality.
pub const TRILL_EVENT_QUALITY_CHANGED: i32 = 214;
/// A message from a participant. Sets data.
pub const TRILL_EVENT_DATA: i32 = 215;
/// The connection broke; it is being restored, and media may stop meanwhile.
pub const TRILL_EVENT_SESSION_RECONNECTING: i32 = 216;
/// It is restored.
pub const TRILL_EVENT_SESSION_RECONNECTED: i32 = 217;
/// Something failed, and the session goes on without it. Sets error.
pub const TRILL_EVENT_SESSION_ERROR: i32 = 218;
/// The last event of a session. Sets session_end, and error when there is more to say.
pub const TRILL_EVENT_SESSION_ENDED: i32 = 219;
/// One of our own devices, or what the app put in its place, works, is lost or has failed; the session goes on. Sets device
/// and device_state; device_name of the one that works, or error, that says why none does.
pub const TRILL_EVENT_DEVICE_CHANGED: i32 = 220;
/// As often as the settings' statistics_interval_ms asks for. Sets statistics.
pub const TRILL_EVENT_STATISTICS: i32 = 221;

/// It works: for the first time, again, or in the place of another.
pub const TRILL_DEVICE_STATE_IN_USE: i32 = 1;
/// None works: there is silence, or no picture, until one is found.
pub const TRILL_DEVICE_STATE_LOST: i32 = 2;
/// None works, and none is looked for.
pub const TRILL_DEVICE_STATE_FAILED: i32 = 3;

/// We left.
pub const TRILL_SESSION_END_LEFT: i32 = 1;
/// The same identity joined from elsewhere.
pub const TRILL_SESSION_END_DUPLICATE_IDENTITY: i32 = 2;
/// The server put us out.
pub const TRILL_SESSION_END_PARTICIPANT_REMOVED: i32 = 3;
/// The session was closed for everyone.
pub const TRILL_SESSION_END_ROOM_CLOSED: i32 = 4;
/// The server is going down.
pub const TRILL_SESSION_END_SERVER_SHUTDOWN: i32 = 5;
/// The connection broke and could not be restored in time.
pub const TRILL_SESSION_END_CONNECTION_LOST: i32 = 6;
/// The server answered, but no media path to it was found: UDP is probably blocked.
pub const TRILL_SESSION_END_MEDIA_UNREACHABLE: i32 = 7;
/// The session never came about; the error says why.
pub const TRILL_SESSION_END_JOIN_FAILED: i32 = 8;
/// A fault inside Trill: that session was closed, and the engine goes on. Please report it with the log.
pub const TRILL_SESSION_END_INTERNAL: i32 = 9;
/// Nobody else was in the session for as long as the settings' left_alone_timeout_ms allows.
pub const TRILL_SESSION_END_LEFT_ALONE: i32 = 10;

/// A message from another participant, or from the server's own API.
#[repr(C)]
pub struct trill_data {
    /// The sender's identity; NULL when the server itself sent it.
    pub from: *const c_char,
    /// NULL when empty.
    pub payload: *const u8,
    pub payload_size: usize,
    /// NULL when there is none.
    pub topic: *const c_char,
    /// Not 0: it was sent as a reliable one.
    pub reliable: i32,
}

/// Something happened. Members that `kind` does not set are 0 or NULL. The library makes these structs: new members are
/// added at the end, and an app reads those that its header has.
#[repr(C)]
pub struct trill_event {
    /// TRILL_EVENT_*.
    pub kind: i32,
    /// Not 0: the track is one of ours.
    pub local: i32,
    /// The call's or the session's.
    pub session_id: *const c_char,
    /// Why.
    pub error: *const trill_error,
    /// Who is logged in.
    pub user: *const trill_user,
    /// The call, as it is after what happened.
    pub call: *const trill_call,
    /// The uid of who did it to the call; NULL when nobody did, as with a time-out.
    pub by: *const c_char,
    pub participant: *const trill_participant,
    pub participants: *const trill_participant,
    pub participant_count: usize,
    /// Whose track or quality it is.
    pub identity: *const c_char,
    pub track: *const trill_track,
    pub track_id: *const c_char,
    pub speakers: *const trill_speaker,
    pub speaker_count: usize,
    pub data: *const trill_data,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// TRILL_QUALITY_*.
    pub quality: i32,
    /// TRILL_SESSION_END_*.
    pub session_end: i32,
    /// TRILL_DEVICE_KIND_*.
    pub device: i32,
    /// TRILL_DEVICE_STATE_*.
    pub device_state: i32,
    /// NULL when none works.
    pub device_name: *const c_char,
    /// What the session sends and receives.
    pub statistics: *const trill_statistics,
}

/// Frees an event that trill_engine_next_event gave; NULL is fine. Any thread. Not for events that a callback was lent.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_event_free(event: *mut trill_event) -> i32 {
    free(event)
}

impl trill_event {
    pub(super) fn new(event: &Event, arena: &mut Arena) -> Self {
        match event {
            Event::Login(event) => Self::login(event, arena),
            Event::Call(event) => Self::call(event, arena),
            Event::Session { session, event } => {
                Self { session_id: arena.string(session.as_str()), ..Self::session(event, arena) }
            }
            Event::Statistics { session, statistics } => {
                let statistics = trill_statistics::new(statistics, arena);
                Self {
                    session_id: arena.string(session.as_str()),
                    statistics: arena.one(statistics),
                    ..Self::of(TRILL_EVENT_STATISTICS)
                }
            }
        }
    }

    fn of(kind: i32) -> Self {
        Self {
            kind,
            local: 0,
            session_id: ptr::null(),
            error: ptr::null(),
            user: ptr::null(),
            call: ptr::null(),
            by: ptr::null(),
            participant: ptr::null(),
            participants: ptr::null(),
            participant_count: 0,
            identity: ptr::null(),
            track: ptr::null(),
            track_id: ptr::null(),
            speakers: ptr::null(),
            speaker_count: 0,
            data: ptr::null(),
            width: 0,
            height: 0,
            quality: 0,
            session_end: 0,
            device: 0,
            device_state: 0,
            device_name: ptr::null(),
            statistics: ptr::null(),
        }
    }

    fn login(event: &LoginEvent, arena: &mut Arena) -> Self {
        match event {
            LoginEvent::LoggedIn { user } => {
                let user = trill_user::new(user, arena);
                Self { user: arena.one(user), ..Self::of(TRILL_EVENT_LOGGED_IN) }
            }
            LoginEvent::Reconnecting { error } => Self::error(TRILL_EVENT_LOGIN_RECONNECTING, Some(error), arena),
            LoginEvent::LoggedOut { error } => Self::error(TRILL_EVENT_LOGGED_OUT, Some(error), arena),
        }
    }

    fn error(kind: i32, error: Option<&Error>, arena: &mut Arena) -> Self {
        let Some(error) = error else { return Self::of(kind) };
        let error = trill_error::new(error, arena);
        Self { error: arena.one(error), ..Self::of(kind) }
    }

    fn call(event: &CallEvent, arena: &mut Arena) -> Self {
        let kind = match event.kind {
            CallEventKind::IncomingReceived => TRILL_EVENT_INCOMING_RECEIVED,
            CallEventKind::OutgoingRinging => TRILL_EVENT_OUTGOING_RINGING,
            CallEventKind::OutgoingAccepted => TRILL_EVENT_OUTGOING_ACCEPTED,
            CallEventKind::OutgoingRejected => TRILL_EVENT_OUTGOING_REJECTED,
            CallEventKind::OutgoingBusy => TRILL_EVENT_OUTGOING_BUSY,
            CallEventKind::OutgoingUnanswered => TRILL_EVENT_OUTGOING_UNANSWERED,
            CallEventKind::IncomingCancelled => TRILL_EVENT_INCOMING_CANCELLED,
            CallEventKind::AnsweredElsewhere => TRILL_EVENT_ANSWERED_ELSEWHERE,
            CallEventKind::RejectedElsewhere => TRILL_EVENT_REJECTED_ELSEWHERE,
            CallEventKind::Ended => TRILL_EVENT_CALL_ENDED,
        };
        let call = trill_call::new(&event.call, arena);
        Self {
            session_id: call.session_id,
            call: arena.one(call),
            by: event.by.as_ref().map_or(ptr::null(), |by| arena.string(by.uid.as_str())),
            ..Self::of(kind)
        }
    }

    fn session(event: &SessionEvent, arena: &mut Arena) -> Self {
        let of_participant = |kind, participant, arena: &mut Arena| {
            let participant = trill_participant::new(participant, arena);
            Self { participant: arena.one(participant), ..Self::of(kind) }
        };
        let of_track = |kind, identity: &crate::base::ParticipantIdentity, track, local: bool, arena: &mut Arena| {
            let track = trill_track::new(track, arena);
            Self {
                identity: arena.string(identity.as_str()),
                track_id: track.id,
                track: arena.one(track),
                local: local.into(),
                ..Self::of(kind)
            }
        };
        match event {
            SessionEvent::Joined { local, participants, .. } => {
                let others: Vec<_> = participants.iter().map(|other| trill_participant::new(other, arena)).collect();
                Self {
                    participant_count: others.len(),
                    participants: arena.array(others),
                    ..of_participant(TRILL_EVENT_SESSION_JOINED, local, arena)
                }
            }
            SessionEvent::Connected => Self::of(TRILL_EVENT_SESSION_CONNECTED),
            SessionEvent::ParticipantJoined { participant } => {
                of_participant(TRILL_EVENT_PARTICIPANT_JOINED, participant, arena)
            }
            SessionEvent::ParticipantLeft { participant } => {
                of_participant(TRILL_EVENT_PARTICIPANT_LEFT, participant, arena)
            }
            SessionEvent::ParticipantUpdated { participant } => {
                of_participant(TRILL_EVENT_PARTICIPANT_UPDATED, participant, arena)
            }
            SessionEvent::TrackPublished { participant, track, local } => {
                of_track(TRILL_EVENT_TRACK_PUBLISHED, participant, track, *local, arena)
            }
            SessionEvent::TrackUnpublished { participant, track, local } => {
                of_track(TRILL_EVENT_TRACK_UNPUBLISHED, participant, track, *local, arena)
            }
            SessionEvent::TrackSubscribed { participant, track } => {
                of_track(TRILL_EVENT_TRACK_SUBSCRIBED, participant, track, false, arena)
            }
            SessionEvent::TrackUnsubscribed { participant, track } => {
                of_track(TRILL_EVENT_TRACK_UNSUBSCRIBED, participant, track, false, arena)
            }
            SessionEvent::TrackMuted { participant, track } => {
                of_track(TRILL_EVENT_TRACK_MUTED, participant, track, false, arena)
            }
            SessionEvent::TrackUnmuted { participant, track } => {
                of_track(TRILL_EVENT_TRACK_UNMUTED, participant, track, false, arena)
            }
            SessionEvent::FirstAudio { participant, track } => {
                Self::first_media(TRILL_EVENT_FIRST_AUDIO, participant.as_str(), track, arena)
            }
            SessionEvent::FirstVideo { participant, track, width, height } => Self {
                width: *width,
                height: *height,
                ..Self::first_media(TRILL_EVENT_FIRST_VIDEO, participant.as_str(), track, arena)
            },
            SessionEvent::ActiveSpeakers { speakers } => {
                let speakers: Vec<_> = speakers.iter().map(|speaker| trill_speaker::new(speaker, arena)).collect();
                Self {
                    speaker_count: speakers.len(),
                    speakers: arena.array(speakers),
                    ..Self::of(TRILL_EVENT_ACTIVE_SPEAKERS)
                }
            }
            SessionEvent::QualityChanged { participant, quality } => Self {
                identity: arena.string(participant.as_str()),
                quality: quality_number(*quality),
                ..Self::of(TRILL_EVENT_QUALITY_CHANGED)
            },
            SessionEvent::Data { message } => {
                let data = trill_data::new(message, arena);
                Self { data: arena.one(data), ..Self::of(TRILL_EVENT_DATA) }
            }
            SessionEvent::Reconnecting => Self::of(TRILL_EVENT_SESSION_RECONNECTING),
            SessionEvent::Reconnected => Self::of(TRILL_EVENT_SESSION_RECONNECTED),
            SessionEvent::DeviceChanged { device, state, name, error } => Self {
                device: match device {
                    MediaDevice::Microphone => TRILL_DEVICE_KIND_MICROPHONE,
                    MediaDevice::Speaker => TRILL_DEVICE_KIND_SPEAKER,
                    MediaDevice::Camera => TRILL_DEVICE_KIND_CAMERA,
                    MediaDevice::VideoOutput => TRILL_DEVICE_KIND_VIDEO_OUTPUT,
                },
                device_state: match state {
                    DeviceState::InUse => TRILL_DEVICE_STATE_IN_USE,
                    DeviceState::Lost => TRILL_DEVICE_STATE_LOST,
                    DeviceState::Failed => TRILL_DEVICE_STATE_FAILED,
                },
                device_name: arena.optional(name.as_deref()),
                ..Self::error(TRILL_EVENT_DEVICE_CHANGED, error.as_ref(), arena)
            },
            SessionEvent::Error { error } => Self::error(TRILL_EVENT_SESSION_ERROR, Some(error), arena),
            SessionEvent::Ended { reason, error } => Self {
                session_end: session_end_number(*reason),
                ..Self::error(TRILL_EVENT_SESSION_ENDED, error.as_ref(), arena)
            },
        }
    }

    fn first_media(kind: i32, identity: &str, track: &TrackId, arena: &mut Arena) -> Self {
        Self { identity: arena.string(identity), track_id: arena.string(track.as_str()), ..Self::of(kind) }
    }
}

fn session_end_number(reason: SessionEndReason) -> i32 {
    match reason {
        SessionEndReason::Left => TRILL_SESSION_END_LEFT,
        SessionEndReason::DuplicateIdentity => TRILL_SESSION_END_DUPLICATE_IDENTITY,
        SessionEndReason::ParticipantRemoved => TRILL_SESSION_END_PARTICIPANT_REMOVED,
        SessionEndReason::RoomClosed => TRILL_SESSION_END_ROOM_CLOSED,
        SessionEndReason::ServerShutdown => TRILL_SESSION_END_SERVER_SHUTDOWN,
        SessionEndReason::ConnectionLost => TRILL_SESSION_END_CONNECTION_LOST,
        SessionEndReason::MediaUnreachable => TRILL_SESSION_END_MEDIA_UNREACHABLE,
        SessionEndReason::JoinFailed => TRILL_SESSION_END_JOIN_FAILED,
        SessionEndReason::Internal => TRILL_SESSION_END_INTERNAL,
        SessionEndReason::LeftAlone => TRILL_SESSION_END_LEFT_ALONE,
    }
}

impl trill_data {
    fn new(message: &DataMessage, arena: &mut Arena) -> Self {
        Self {
            from: message.from.as_ref().map_or(ptr::null(), |from| arena.string(from.as_str())),
            payload: arena.array(message.payload.to_vec()),
            payload_size: message.payload.len(),
            topic: arena.optional(message.topic.as_deref()),
            reliable: message.reliable.into(),
        }
    }
}
