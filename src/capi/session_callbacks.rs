//! What a session tells.
//!
//! A function for each kind of event, and functions for media. All may be NULL.

use super::boundary::StructIn;
use super::engine::{trill_drop_user_data, trill_event_function};
use super::event::*;
use super::frame::{trill_audio_frame, trill_video_frame};
use super::handle::{UserData, inside, lock, notify};
use crate::device::{AudioPush, VideoPush};
use crate::media::frame::{AudioFrame, VideoFrame};
use std::ffi::{CString, c_char, c_void};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError, RwLock};

/// Gets each decoded picture of a participant's track. `frame` is lent until the function returns.
pub type trill_video_frame_function = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        identity: *const c_char,
        track_id: *const c_char,
        frame: *const trill_video_frame,
    ),
>;

/// Gets the mix of all the others, 20 ms at a time. `frame` is lent until the function returns.
pub type trill_audio_frame_function =
    Option<unsafe extern "C" fn(user_data: *mut c_void, frame: *const trill_audio_frame)>;

/// Gets what one participant says, alone, 20 ms at a time. `frame` is lent until the function returns.
pub type trill_participant_audio_function =
    Option<unsafe extern "C" fn(user_data: *mut c_void, identity: *const c_char, frame: *const trill_audio_frame)>;

/// Start from TRILL_SESSION_CALLBACKS_INIT; members that are NULL are skipped. Those for events get the event as
/// trill_event describes it, and run where the engine's callbacks run; they may call any function, also the one that ends
/// the session. Those for frames run on media threads, at the same time as others, and must not block: copy the frame and
/// return.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_session_callbacks {
    pub struct_size: usize,
    /// Handed to each of these functions.
    pub user_data: *mut c_void,
    /// The server let us in.
    pub joined: trill_event_function,
    /// Media can flow.
    pub connected: trill_event_function,
    pub participant_joined: trill_event_function,
    pub participant_left: trill_event_function,
    pub participant_updated: trill_event_function,
    pub track_published: trill_event_function,
    pub track_unpublished: trill_event_function,
    pub track_subscribed: trill_event_function,
    pub track_unsubscribed: trill_event_function,
    pub track_muted: trill_event_function,
    pub track_unmuted: trill_event_function,
    /// The first audio of a track was played.
    pub first_audio: trill_event_function,
    /// The first picture of a track was shown.
    pub first_video: trill_event_function,
    pub active_speakers: trill_event_function,
    pub quality_changed: trill_event_function,
    /// A message from a participant.
    pub data: trill_event_function,
    pub reconnecting: trill_event_function,
    pub reconnected: trill_event_function,
    /// Something failed, and the session goes on without it.
    pub error: trill_event_function,
    /// The last one. A session that never came about is told by the completion of trill_session_start as well.
    pub ended: trill_event_function,
    /// On the media thread of the track.
    pub video_frame: trill_video_frame_function,
    /// On the playout thread of the session.
    pub audio_frame: trill_audio_frame_function,
    /// On the playout thread of the session.
    pub participant_audio_frame: trill_participant_audio_function,
    /// Once, after the last of these functions has returned. Not called when trill_session_start returns an error.
    pub drop_user_data: trill_drop_user_data,
    /// One of our own devices works, is lost or has failed; the session goes on.
    pub device_changed: trill_event_function,
    /// As often as the settings' statistics_interval_ms asks for.
    pub statistics: trill_event_function,
}

// SAFETY: an integer, a pointer and optional functions.
unsafe impl StructIn for trill_session_callbacks {}

/// The app's side of one session.
pub(super) struct Session {
    engine: usize,
    user_data: UserData,
    given: trill_session_callbacks,
    audio_only: bool,
    pub pushes: Mutex<Pushes>,
    /// The engine has it.
    pub begun: AtomicBool,
    /// Media callbacks hold it to read; false when none may run any more.
    open: RwLock<bool>,
}

/// The app's ends of what it sends by itself.
#[derive(Default)]
pub(super) struct Pushes {
    /// With the channels of the samples.
    pub audio: Option<(AudioPush, usize)>,
    pub video: Option<VideoPush>,
}

// SAFETY: beside the user_data, which is never followed here, it is functions that run on the engine's threads.
unsafe impl Send for Session {}
// SAFETY: as above.
unsafe impl Sync for Session {}

impl Session {
    pub fn new(engine: usize, given: trill_session_callbacks, audio_only: bool) -> Self {
        let user_data = UserData(given.user_data);
        Self {
            engine,
            user_data,
            given,
            audio_only,
            pushes: Mutex::default(),
            begun: AtomicBool::new(false),
            open: RwLock::new(true),
        }
    }

    /// Pictures of the others are not wanted.
    pub fn gives_up_video(&self) -> bool {
        self.audio_only
    }

    pub fn wants_audio(&self) -> bool {
        self.given.audio_frame.is_some()
    }

    pub fn wants_participant_audio(&self) -> bool {
        self.given.participant_audio_frame.is_some()
    }

    pub fn wants_video(&self) -> bool {
        self.given.video_frame.is_some()
    }

    pub fn tell(&self, event: &trill_event) {
        let function = match event.kind {
            TRILL_EVENT_SESSION_JOINED => self.given.joined,
            TRILL_EVENT_SESSION_CONNECTED => self.given.connected,
            TRILL_EVENT_PARTICIPANT_JOINED => self.given.participant_joined,
            TRILL_EVENT_PARTICIPANT_LEFT => self.given.participant_left,
            TRILL_EVENT_PARTICIPANT_UPDATED => self.given.participant_updated,
            TRILL_EVENT_TRACK_PUBLISHED => self.given.track_published,
            TRILL_EVENT_TRACK_UNPUBLISHED => self.given.track_unpublished,
            TRILL_EVENT_TRACK_SUBSCRIBED => self.given.track_subscribed,
            TRILL_EVENT_TRACK_UNSUBSCRIBED => self.given.track_unsubscribed,
            TRILL_EVENT_TRACK_MUTED => self.given.track_muted,
            TRILL_EVENT_TRACK_UNMUTED => self.given.track_unmuted,
            TRILL_EVENT_FIRST_AUDIO => self.given.first_audio,
            TRILL_EVENT_FIRST_VIDEO => self.given.first_video,
            TRILL_EVENT_ACTIVE_SPEAKERS => self.given.active_speakers,
            TRILL_EVENT_QUALITY_CHANGED => self.given.quality_changed,
            TRILL_EVENT_DATA => self.given.data,
            TRILL_EVENT_SESSION_RECONNECTING => self.given.reconnecting,
            TRILL_EVENT_SESSION_RECONNECTED => self.given.reconnected,
            TRILL_EVENT_SESSION_ERROR => self.given.error,
            TRILL_EVENT_SESSION_ENDED => self.given.ended,
            TRILL_EVENT_DEVICE_CHANGED => self.given.device_changed,
            TRILL_EVENT_STATISTICS => self.given.statistics,
            _ => None,
        };
        notify!(function => (self.user_data.0, event));
    }

    pub fn video_frame(&self, identity: &str, track: &str, frame: &VideoFrame) {
        // Identifiers hold no control characters, so no NUL.
        let (identity, track) = (CString::new(identity).unwrap_or_default(), CString::new(track).unwrap_or_default());
        let frame = trill_video_frame::new(frame);
        self.media(|| {
            notify!(self.given.video_frame => (self.user_data.0, identity.as_ptr(), track.as_ptr(), &raw const frame))
        });
    }

    /// The mix, or what one participant says; the `number`th frame.
    pub fn audio_frame(&self, identity: Option<&str>, frame: &AudioFrame, number: u64) {
        let frame = trill_audio_frame::new(frame, number);
        let Some(identity) = identity else {
            return self.media(|| notify!(self.given.audio_frame => (self.user_data.0, &raw const frame)));
        };
        let identity = CString::new(identity).unwrap_or_default();
        self.media(
            || notify!(self.given.participant_audio_frame => (self.user_data.0, identity.as_ptr(), &raw const frame)),
        );
    }

    fn media(&self, call: impl FnOnce()) {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if *open {
            inside(self.engine, call);
        }
    }

    /// After it no callback of this session begins, and no media callback runs.
    pub fn close(&self) {
        let was_open = std::mem::replace(&mut *self.open.write().unwrap_or_else(PoisonError::into_inner), false);
        *lock(&self.pushes) = Pushes::default();
        if was_open {
            inside(self.engine, || notify!(self.given.drop_user_data => (self.user_data.0)));
        }
    }

    /// Not a session after all: nothing is told, the user_data stays the app's. False when it was closed before.
    pub fn discard(&self) -> bool {
        std::mem::replace(&mut *self.open.write().unwrap_or_else(PoisonError::into_inner), false)
    }
}
