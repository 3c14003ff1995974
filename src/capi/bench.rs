//! The boundary without a network, for benches/ffi.rs and tests/ffi_copies.rs: frames and events pass it as they do in a
//! call, to functions of the C kind that count them.

use super::arena::Owned;
use super::engine::{EngineCallbacks, trill_engine, trill_engine_callbacks, trill_engine_next_event};
use super::event::{trill_event, trill_event_free};
use super::frame::{trill_session_push_video, trill_video_frame};
use super::handle::{self, Handle, lock};
use super::session_callbacks::{Session, trill_session_callbacks};
use crate::base::{Result, SessionId};
use crate::device::{VideoSource, video_push};
use crate::engine::{EngineConfig, Event};
use crate::media::frame::VideoFrame;
use std::ffi::{c_char, c_void};
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What the functions saw.
#[derive(Default)]
struct Seen {
    events: AtomicUsize,
    /// The address of the last picture's first plane.
    picture: AtomicUsize,
}

/// An engine as C holds it, with one session.
pub struct Boundary {
    engine: *mut trill_engine,
    handle: Arc<Handle>,
    session: Arc<Session>,
    pushed: Box<dyn VideoSource>,
    picture: VideoFrame,
    seen: Box<Seen>,
}

impl Boundary {
    /// `polled`: events are taken from a queue, instead of told to a function.
    pub fn new(polled: bool) -> Result<Self> {
        let seen = Box::new(Seen::default());
        let user_data = (&raw const *seen).cast_mut().cast::<c_void>();
        // SAFETY: integers, a pointer and optional functions: all zeros are a value of it.
        let mut callbacks: trill_engine_callbacks = unsafe { zeroed() };
        callbacks.user_data = user_data;
        callbacks.event = Some(on_event);
        let callbacks = (!polled).then(|| EngineCallbacks::new(callbacks));
        let engine = handle::register(EngineConfig::default(), callbacks)?;
        let handle = handle::find(engine)?;
        // SAFETY: as above.
        let mut given: trill_session_callbacks = unsafe { zeroed() };
        given.user_data = user_data;
        given.video_frame = Some(on_picture);
        let session = Arc::new(Session::new(handle.id(), given, false));
        let (push, pushed) = video_push();
        lock(&session.pushes).video = Some(push);
        lock(&handle.sessions).insert(SessionId::new("bench")?, session.clone());
        Ok(Self { engine, handle, session, pushed, picture: VideoFrame::black(2, 2)?, seen })
    }

    /// Tells the app of an event, as the engine's thread does.
    pub fn tell(&self, event: &Event) {
        self.handle.dispatch(&Owned::new(|arena| trill_event::new(event, arena)), event);
    }

    /// Puts an event where the engine's own wait.
    pub fn queue(&self, event: Event) -> Result<()> {
        self.handle.engine(|engine| engine.tell(event))
    }

    /// Takes one through the C function; false when there is none.
    pub fn take(&self) -> bool {
        let mut event = null_mut();
        // SAFETY: the pointers are those of locals; the event is freed once.
        unsafe {
            let status = trill_engine_next_event(self.engine, 0, &raw mut event, null_mut());
            trill_event_free(event);
            status == 0
        }
    }

    /// Pushes a picture through the C function, and takes it where the encoder does. Gives its first plane's address there.
    pub fn push(&mut self, picture: &VideoFrame) -> Result<*const u8> {
        let frame = trill_video_frame::new(picture);
        // SAFETY: strings and planes outlive the call.
        let status = unsafe { trill_session_push_video(self.engine, c"bench".as_ptr(), &raw const frame, null_mut()) };
        assert_eq!(status, 0, "pushed");
        self.pushed.next_frame(&mut self.picture)?;
        Ok(self.picture.planes()[0].as_ptr())
    }

    /// Hands a decoded picture to the app. Gives its first plane's address there.
    pub fn receive(&self, picture: &VideoFrame) -> *const u8 {
        self.session.video_frame("bob", "TR_camera", picture);
        self.seen.picture.load(Relaxed) as *const u8
    }

    /// How many events the function for all of them got.
    pub fn told(&self) -> usize {
        self.seen.events.load(Relaxed)
    }
}

impl Drop for Boundary {
    fn drop(&mut self) {
        handle::free(self.engine).ok();
    }
}

unsafe extern "C" fn on_event(user_data: *mut c_void, event: *const trill_event) {
    // SAFETY: what `Boundary` keeps longer than its engine; the event is lent.
    let (seen, event) = unsafe { (&*user_data.cast::<Seen>(), &*event) };
    seen.events.fetch_add(usize::from(event.kind != 0), Relaxed);
}

unsafe extern "C" fn on_picture(
    user_data: *mut c_void,
    _: *const c_char,
    _: *const c_char,
    frame: *const trill_video_frame,
) {
    // SAFETY: as above.
    let (seen, frame) = unsafe { (&*user_data.cast::<Seen>(), &*frame) };
    seen.picture.store(frame.y.addr(), Relaxed);
}
