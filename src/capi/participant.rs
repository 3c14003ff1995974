//! Participants and tracks.
//!
//! Who is in a session, and what they publish. A participant is named by its identity, which in a call is its uid; a track
//! by its id.

use super::arena::{Arena, Owned};
use super::boundary::{Out, free, session_in, with_engine};
use super::engine::trill_engine;
use super::library::trill_error;
use crate::session::{ConnectionQuality, Participant, Speaker, Track, TrackKind, TrackSource};
use std::ffi::c_char;

pub const TRILL_TRACK_KIND_AUDIO: i32 = 1;
pub const TRILL_TRACK_KIND_VIDEO: i32 = 2;

/// Where a track comes from. This engine publishes TRILL_SOURCE_MICROPHONE and TRILL_SOURCE_CAMERA.
pub const TRILL_SOURCE_MICROPHONE: i32 = 1;
pub const TRILL_SOURCE_CAMERA: i32 = 2;
pub const TRILL_SOURCE_SCREEN_SHARE: i32 = 3;
pub const TRILL_SOURCE_SCREEN_SHARE_AUDIO: i32 = 4;
/// Its publisher does not say.
pub const TRILL_SOURCE_UNKNOWN: i32 = 5;

/// Not measured yet.
pub const TRILL_QUALITY_UNKNOWN: i32 = 0;
pub const TRILL_QUALITY_LOST: i32 = 1;
pub const TRILL_QUALITY_POOR: i32 = 2;
pub const TRILL_QUALITY_GOOD: i32 = 3;
pub const TRILL_QUALITY_EXCELLENT: i32 = 4;

/// One published track.
#[repr(C)]
pub struct trill_track {
    /// Never NULL.
    pub id: *const c_char,
    /// TRILL_TRACK_KIND_*.
    pub kind: i32,
    /// TRILL_SOURCE_*.
    pub source: i32,
    /// For people; may be empty.
    pub name: *const c_char,
    /// Such as "video/VP8"; empty until the server knows it.
    pub mime_type: *const c_char,
    pub muted: i32,
    /// Not 0: the server sends it to us.
    pub subscribed: i32,
    /// In pixels, as its publisher announced it; 0 for audio.
    pub width: u32,
    /// In pixels, as its publisher announced it; 0 for audio.
    pub height: u32,
}

/// One presence of someone in a session.
#[repr(C)]
pub struct trill_participant {
    /// Who it is. Never NULL.
    pub identity: *const c_char,
    /// Names this presence: new at each join.
    pub id: *const c_char,
    /// For people; may be empty.
    pub name: *const c_char,
    /// The app's own; may be empty.
    pub metadata: *const c_char,
    pub tracks: *const trill_track,
    pub track_count: usize,
    pub speaking: i32,
    /// While speaking, 0 to 1, linear.
    pub level: f32,
    /// TRILL_QUALITY_*.
    pub quality: i32,
    /// The app's own, each of them a name and a value; ordered by name.
    pub attributes: *const trill_attribute,
    pub attribute_count: usize,
}

/// One of a participant's attributes.
#[repr(C)]
pub struct trill_attribute {
    /// Never NULL.
    pub name: *const c_char,
    /// Never NULL; may be empty.
    pub value: *const c_char,
}

/// One who speaks.
#[repr(C)]
pub struct trill_speaker {
    pub identity: *const c_char,
    /// 0 to 1, linear.
    pub level: f32,
}

/// Everyone in a session.
#[repr(C)]
pub struct trill_participants {
    /// Ourselves first, if the server has let us in.
    pub participants: *const trill_participant,
    pub participant_count: usize,
}

/// Who is in a session at the moment.
///
/// session_id: read during the call.
/// out: set to the list, which trill_participants_free frees.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_participants(
    engine: *mut trill_engine,
    session_id: *const c_char,
    out: *mut *mut trill_participants,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let (id, out) = (session_in(session_id)?, Out::new(out, "out")?);
        let all = handle.engine(|engine| engine.participants(&id))??;
        let list = Owned::new(|arena| {
            let all: Vec<_> = all.iter().map(|participant| trill_participant::new(participant, arena)).collect();
            trill_participants { participant_count: all.len(), participants: arena.array(all) }
        });
        out.set(list.into_raw());
        Ok(())
    })
}

/// Frees a list that trill_session_participants gave; NULL is fine. Any thread.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_participants_free(participants: *mut trill_participants) -> i32 {
    free(participants)
}

impl trill_participant {
    pub(super) fn new(participant: &Participant, arena: &mut Arena) -> Self {
        let tracks: Vec<_> = participant.tracks.iter().map(|track| trill_track::new(track, arena)).collect();
        let attribute = |(name, value): (&String, &String), arena: &mut Arena| trill_attribute {
            name: arena.string(name),
            value: arena.string(value),
        };
        let attributes: Vec<_> = participant.attributes.iter().map(|pair| attribute(pair, arena)).collect();
        Self {
            identity: arena.string(participant.identity.as_str()),
            id: arena.string(participant.id.as_str()),
            name: arena.string(&participant.name),
            metadata: arena.string(&participant.metadata),
            track_count: tracks.len(),
            tracks: arena.array(tracks),
            speaking: participant.speaking.into(),
            level: participant.level,
            quality: quality_number(participant.quality),
            attribute_count: attributes.len(),
            attributes: arena.array(attributes),
        }
    }
}

impl trill_track {
    pub(super) fn new(track: &Track, arena: &mut Arena) -> Self {
        Self {
            id: arena.string(track.id.as_str()),
            kind: match track.kind {
                TrackKind::Audio => TRILL_TRACK_KIND_AUDIO,
                TrackKind::Video => TRILL_TRACK_KIND_VIDEO,
            },
            source: source_number(track.source),
            name: arena.string(&track.name),
            mime_type: arena.string(&track.mime_type),
            muted: track.muted.into(),
            subscribed: track.subscribed.into(),
            width: track.width,
            height: track.height,
        }
    }
}

impl trill_speaker {
    pub(super) fn new(speaker: &Speaker, arena: &mut Arena) -> Self {
        Self { identity: arena.string(speaker.identity.as_str()), level: speaker.level }
    }
}

pub(super) fn source_number(source: TrackSource) -> i32 {
    match source {
        TrackSource::Microphone => TRILL_SOURCE_MICROPHONE,
        TrackSource::Camera => TRILL_SOURCE_CAMERA,
        TrackSource::ScreenShare => TRILL_SOURCE_SCREEN_SHARE,
        TrackSource::ScreenShareAudio => TRILL_SOURCE_SCREEN_SHARE_AUDIO,
        TrackSource::Unknown => TRILL_SOURCE_UNKNOWN,
    }
}

pub(super) fn quality_number(quality: ConnectionQuality) -> i32 {
    match quality {
        ConnectionQuality::Unknown => TRILL_QUALITY_UNKNOWN,
        ConnectionQuality::Lost => TRILL_QUALITY_LOST,
        ConnectionQuality::Poor => TRILL_QUALITY_POOR,
        ConnectionQuality::Good => TRILL_QUALITY_GOOD,
        ConnectionQuality::Excellent => TRILL_QUALITY_EXCELLENT,
    }
}
