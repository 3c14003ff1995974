//! Sessions.
//!
//! The media of a call, or of any room that a session token opens. With the url and token of trill_session_token one starts
//! it; it ends with trill_session_end, with its call, or when the server or the network ends it.

use super::boundary::{
    choice, id_in, optional_string_in, optional_struct_in, session_in, slice_in, string_in, with_engine,
};
use super::engine::trill_engine;
use super::handle::{UserData, lock};
use super::library::{trill_done, trill_error};
use super::login::answer_nothing;
use super::participant::{TRILL_SOURCE_CAMERA, TRILL_SOURCE_MICROPHONE};
use super::session_callbacks::{Session, trill_session_callbacks};
use super::session_settings::{self, trill_session_settings};
use crate::base::{ErrorCode, ParticipantIdentity, Result, SessionId, TrackId};
use crate::engine::{Completion, Engine};
use crate::session::{MAX_DATA_PAYLOAD, OutgoingData, TrackSource};
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

/// Whom a message can be sent to at most.
const MAX_DESTINATIONS: usize = 2000;

/// Joins a session, publishes what the settings say, and plays the others. Returns at once.
///
/// session_id: names it in events and in later calls; of a call, the call's. url: the session server's, with http, https, ws
/// or wss. token: a session token. All are copied.
/// settings: read during the call; NULL for the defaults. callbacks: copied; NULL for none.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. 0 when the server has let us in; media connects
/// meanwhile. Otherwise its status is TRILL_STATUS_ALREADY_JOINED, TRILL_STATUS_SERVER_UNREACHABLE, TRILL_STATUS_TLS_REFUSED,
/// one of TRILL_STATUS_TOKEN_*, TRILL_STATUS_NOT_YET_ACCEPTED, TRILL_STATUS_ROOM_CLOSED (the call is over),
/// TRILL_STATUS_NOT_A_PARTY, TRILL_STATUS_ROOM_FULL, TRILL_STATUS_TOO_MANY_REQUESTS, TRILL_STATUS_SERVER_UNAVAILABLE,
/// TRILL_STATUS_STORE_FAILED, TRILL_STATUS_MALFORMED (what answers is no session server), TRILL_STATUS_MEDIA_FILE,
/// TRILL_STATUS_INVALID_ARGUMENT, TRILL_STATUS_TIMED_OUT, TRILL_STATUS_CANCELLED (it was ended before), or why the server put us
/// out at once: TRILL_STATUS_DUPLICATE_IDENTITY, TRILL_STATUS_PARTICIPANT_REMOVED or TRILL_STATUS_MEDIA_UNREACHABLE. A
/// microphone, speaker or camera that does not work is no error: TRILL_EVENT_DEVICE_CHANGED tells of it, and it is used as soon
/// as it does.
///
/// Status: TRILL_STATUS_ALREADY_JOINED (this engine is in it), TRILL_STATUS_MEDIA_FILE (an output cannot be written),
/// TRILL_STATUS_NOT_SUPPORTED (a library built without devices).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_start(
    engine: *mut trill_engine,
    session_id: *const c_char,
    url: *const c_char,
    token: *const c_char,
    settings: *const trill_session_settings,
    callbacks: *const trill_session_callbacks,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let (url, token) = (string_in(url, "url")?, string_in(token, "token")?);
        let callbacks = optional_struct_in(callbacks, "callbacks")?;
        let audio_only = session_settings::is_audio_only(settings)?;
        let session = Arc::new(Session::new(handle.id(), callbacks, audio_only));
        // Its place first: of two starts one is refused before it opens files or takes the app's user_data.
        let taken = {
            let mut sessions = lock(&handle.sessions);
            let taken = sessions.contains_key(&id);
            if !taken {
                sessions.insert(id.clone(), session.clone());
            }
            taken
        };
        if taken {
            return Err(ErrorCode::AlreadyJoined.into());
        }
        let started = session_settings::read(settings, &session).and_then(|(settings, pushes)| {
            *lock(&session.pushes) = pushes;
            handle.engine(|engine| engine.start_session(&id, url, token, settings))
        });
        let completion = started.inspect_err(|_| {
            session.discard();
            handle.free_place(&id, &session);
        })?;
        session.begun.store(true, Release);
        let (user_data, owner) = (UserData(user_data), Arc::downgrade(handle));
        let (begun, told) = (session.clone(), user_data);
        let promised = handle.complete(completion, move |result| {
            let failed = result.is_err();
            // Its place is free by then: the app may try again under that id in there.
            if failed && let Some(handle) = owner.upgrade() {
                handle.free_place(&id, &session);
            }
            answer_nothing(result, user_data, done);
            if failed {
                session.close();
            }
        });
        promised.or_else(|gone| {
            // Freed meanwhile. If that released the user_data already, the start is one that failed, not one refused.
            if begun.discard() {
                return Err(gone);
            }
            answer_nothing(Err(gone), told, done);
            Ok(())
        })
    })
}

/// Leaves a session, also one that is still starting. After `done` none of its callbacks runs any more. Returns at once.
///
/// session_id: copied.
/// done: called exactly once if 0 is returned, else not at all; may be NULL; within 2 s, also with the network dead. Its
/// status is TRILL_STATUS_SESSION_NOT_FOUND, or TRILL_STATUS_TIMED_OUT when what is left goes on in the background.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_end(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let (user_data, owner) = (UserData(user_data), Arc::downgrade(handle));
        // Both at one moment, so that they are the same; one that the engine does not have yet is not ended.
        let (completion, session) = {
            let sessions = lock(&handle.sessions);
            let session = sessions.get(&id).filter(|session| session.begun.load(Acquire)).cloned();
            (handle.engine(|engine| engine.end_session(&id))?, session)
        };
        handle.complete(completion, move |result| {
            if let (Some(session), Some(handle)) = (session, owner.upgrade()) {
                handle.forget_session(&id, &session);
            }
            answer_nothing(result, user_data, done);
        })
    })
}

/// Mutes or unmutes what we send: while muted nothing is captured or sent, and the others are told. Video is paused in the
/// same way.
///
/// session_id: copied. source: TRILL_SOURCE_MICROPHONE or TRILL_SOURCE_CAMERA. muted: not 0 for muted.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND, or
/// TRILL_STATUS_TRACK_NOT_FOUND (we send nothing of that source).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_set_muted(
    engine: *mut trill_engine,
    session_id: *const c_char,
    source: i32,
    muted: i32,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    on_source(engine, session_id, source, done, user_data, error, |engine, id, source| {
        engine.set_muted(id, source, muted != 0)
    })
}

/// Takes what we send of one source back, for good.
///
/// session_id: copied. source: TRILL_SOURCE_MICROPHONE or TRILL_SOURCE_CAMERA.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND or
/// TRILL_STATUS_TRACK_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_unpublish(
    engine: *mut trill_engine,
    session_id: *const c_char,
    source: i32,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    on_source(engine, session_id, source, done, user_data, error, |engine, id, source| engine.unpublish(id, source))
}

/// Asks for a track of another participant, or gives it up.
///
/// session_id, track_id: copied. subscribe: not 0 to ask for it.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND or
/// TRILL_STATUS_TRACK_NOT_FOUND.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_subscribe(
    engine: *mut trill_engine,
    session_id: *const c_char,
    track_id: *const c_char,
    subscribe: i32,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    in_session(engine, session_id, done, user_data, error, |engine, id| {
        let track: TrackId = id_in(track_id, "track_id")?;
        engine(&|engine| engine.subscribe(id, track.clone(), subscribe != 0))
    })
}

/// Sends a message to others in a session.
///
/// session_id, payload, topic, destinations: copied. payload: up to 15 KiB; NULL when payload_size is 0. topic: lets
/// receivers tell messages apart, up to 256 bytes; may be NULL. reliable: not 0 for ordered, and resent until it arrives.
/// destinations: identities; NULL and 0 for everyone.
/// done: called exactly once if 0 is returned, else not at all; may be NULL. Its status is TRILL_STATUS_SESSION_NOT_FOUND,
/// TRILL_STATUS_TOO_LARGE, TRILL_STATUS_TOKEN_MISSING_GRANT or TRILL_STATUS_TOO_MANY_REQUESTS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_send_data(
    engine: *mut trill_engine,
    session_id: *const c_char,
    payload: *const u8,
    payload_size: usize,
    topic: *const c_char,
    reliable: i32,
    destinations: *const *const c_char,
    destination_count: usize,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
) -> i32 {
    in_session(engine, session_id, done, user_data, error, |engine, id| {
        let payload = slice_in(payload, payload_size, MAX_DATA_PAYLOAD, "payload")?;
        let topic = optional_string_in(topic, "topic")?;
        let names = slice_in(destinations, destination_count, MAX_DESTINATIONS, "destinations")?;
        let destinations = names
            .iter()
            .map(|name| id_in::<ParticipantIdentity>(*name, "a destination"))
            .collect::<Result<Vec<_>>>()?;
        let data = OutgoingData { payload: payload.to_vec().into(), topic, reliable: reliable != 0, destinations };
        #[cfg(feature = "planted-faults")]
        crate::engine::planted::fault("entry", &data);
        engine(&|engine| engine.send_data(id, data.clone()))
    })
}

/// Asks the engine for an operation.
type Ask<'a> = &'a dyn Fn(&dyn Fn(&Engine) -> Completion<()>) -> Result<Completion<()>>;

fn in_session(
    engine: *mut trill_engine,
    session_id: *const c_char,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
    begin: impl FnOnce(Ask<'_>, &SessionId) -> Result<Completion<()>>,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let completion = begin(&|call| handle.engine(call), &id)?;
        let user_data = UserData(user_data);
        handle.complete(completion, move |result| answer_nothing(result, user_data, done))
    })
}

fn on_source(
    engine: *mut trill_engine,
    session_id: *const c_char,
    source: i32,
    done: trill_done,
    user_data: *mut c_void,
    error: *mut *mut trill_error,
    ask: impl Fn(&Engine, &SessionId, TrackSource) -> Completion<()>,
) -> i32 {
    let ours = [(TRILL_SOURCE_MICROPHONE, TrackSource::Microphone), (TRILL_SOURCE_CAMERA, TrackSource::Camera)];
    in_session(engine, session_id, done, user_data, error, |engine, id| {
        let source = choice(source, "source", &ours)?;
        engine(&|engine| ask(engine, id, source))
    })
}
