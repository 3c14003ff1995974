//! Frames.
//!
//! Decoded media for the app, and media that the app pushes instead of a device. Handing a frame over copies it at most
//! once; a callback is lent the engine's own memory.

use super::boundary::{StructIn, invalid, session_in, slice_in, struct_in, with_engine};
use super::engine::trill_engine;
use super::handle::lock;
use super::library::trill_error;
use super::session_callbacks::Session;
use crate::base::{Error, ErrorCode, Result, SessionId};
use crate::media::frame::{AudioFrame, MAX_VIDEO_SIDE, Rotation, SAMPLE_RATE, VideoFrame};
use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

/// Samples taken in one push at most, channels included: ten times 200 ms of the largest rate.
const MAX_PUSH: usize = 1 << 20;

/// Audio: interleaved signed 16-bit samples. Made by the library: new members are added at the end.
#[repr(C)]
pub struct trill_audio_frame {
    /// samples_per_channel * channels of them.
    pub samples: *const i16,
    pub samples_per_channel: usize,
    /// In Hz; 48,000 at present.
    pub sample_rate: u32,
    /// 1 at present: calls are mono.
    pub channels: u32,
    /// Since the first frame, in microseconds.
    pub timestamp_us: u64,
}

/// One I420 picture: 8-bit planes Y, U, V; U and V have half the width and height, rounded up. Start from
/// TRILL_VIDEO_FRAME_INIT to push one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trill_video_frame {
    pub struct_size: usize,
    pub y: *const u8,
    pub u: *const u8,
    pub v: *const u8,
    /// Bytes from one row of y to the next, at least width.
    pub stride_y: usize,
    /// Bytes from one row of u to the next, at least half the width, rounded up.
    pub stride_u: usize,
    /// As stride_u, for v.
    pub stride_v: usize,
    /// In pixels, 1 to 8192.
    pub width: u32,
    /// In pixels, 1 to 8192.
    pub height: u32,
    /// How to turn it before it is shown, clockwise: 0, 90, 180 or 270.
    pub rotation: u32,
    /// On the track's own clock, in microseconds; grows from one picture to the next.
    pub timestamp_us: u64,
}

// SAFETY: numbers and pointers.
unsafe impl StructIn for trill_video_frame {}

/// Pushes audio into a session that was started with TRILL_AUDIO_SOURCE_PUSHED: interleaved signed 16-bit samples of the
/// rate and channels in its settings, any number of them. Never blocks; copies what it takes. Silence is sent while nothing
/// is pushed; up to 200 ms may wait.
///
/// session_id: read during the call. samples: samples_per_channel * channels of them, read during the call.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_NOT_ALLOWED_IN_STATE (another source), TRILL_STATUS_TOO_MANY_REQUESTS
/// (faster than real time: what does not fit is dropped), TRILL_STATUS_SHUT_DOWN (nothing is sent any more). Any thread, one
/// at a time for one session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_push_audio(
    engine: *mut trill_engine,
    session_id: *const c_char,
    samples: *const i16,
    samples_per_channel: usize,
    error: *mut *mut trill_error,
) -> i32 {
    push_audio(engine, session_id, samples, samples_per_channel, error, |sample| f32::from(sample) / 32_768.0)
}

/// As trill_session_push_audio, with samples from -1 to 1.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_NOT_ALLOWED_IN_STATE, TRILL_STATUS_TOO_MANY_REQUESTS,
/// TRILL_STATUS_SHUT_DOWN. Any thread, one at a time for one session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_push_audio_float(
    engine: *mut trill_engine,
    session_id: *const c_char,
    samples: *const f32,
    samples_per_channel: usize,
    error: *mut *mut trill_error,
) -> i32 {
    // What is not a number would be heard as a crack for good: the resampler remembers it.
    push_audio(engine, session_id, samples, samples_per_channel, error, |sample: f32| {
        if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
    })
}

/// Pushes a picture into a session that was started with TRILL_VIDEO_SOURCE_PUSHED. Never blocks; copies it once.
///
/// session_id: read during the call. frame: read during the call, its planes as well.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_NOT_ALLOWED_IN_STATE (another source), TRILL_STATUS_TOO_MANY_REQUESTS
/// (faster than they are encoded: this one was dropped), TRILL_STATUS_SHUT_DOWN (nothing is sent any more). Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_push_video(
    engine: *mut trill_engine,
    session_id: *const c_char,
    frame: *const trill_video_frame,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let (id, frame) = (session_in(session_id)?, struct_in(frame, "frame")?);
        let session = session(&lock(&handle.sessions), &id)?;
        let pushes = lock(&session.pushes);
        let push = pushes.video.as_ref().ok_or_else(|| not_pushed("video"))?;
        push.push(picture(&frame)?)
    })
}

fn push_audio<T: Copy>(
    engine: *mut trill_engine,
    session_id: *const c_char,
    samples: *const T,
    samples_per_channel: usize,
    error: *mut *mut trill_error,
    convert: impl Fn(T) -> f32,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        // Before the session is looked for, so that the mistake is told whether or not there is one.
        slice_in(samples, samples_per_channel.min(1), MAX_PUSH, "samples")?;
        let session = session(&lock(&handle.sessions), &id)?;
        let mut pushes = lock(&session.pushes);
        let (push, channels) = pushes.audio.as_mut().ok_or_else(|| not_pushed("audio"))?;
        let count = samples_per_channel.saturating_mul(*channels);
        let samples = slice_in(samples, count, MAX_PUSH, "samples")?;
        let converted: Vec<f32> = samples.iter().map(|sample| convert(*sample)).collect();
        push.push(&converted)
    })
}

fn session(sessions: &std::collections::HashMap<SessionId, Arc<Session>>, id: &SessionId) -> Result<Arc<Session>> {
    sessions.get(id).cloned().ok_or_else(|| ErrorCode::SessionNotFound.into())
}

fn not_pushed(what: &str) -> Error {
    Error::new(
        ErrorCode::NotAllowedInState,
        format!("the {what} of this session comes from elsewhere; start it with the source PUSHED"),
    )
}

/// One copy, row by row, without the padding.
fn picture(frame: &trill_video_frame) -> Result<VideoFrame> {
    let sides = 1..=MAX_VIDEO_SIDE;
    if !sides.contains(&frame.width) || !sides.contains(&frame.height) {
        let size = format!("frame is {}x{}; each side must be from 1 to {MAX_VIDEO_SIDE}", frame.width, frame.height);
        return Err(invalid(size));
    }
    let (width, height) = (frame.width as usize, frame.height as usize);
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut data = Vec::with_capacity(width * height + 2 * half_width * half_height);
    let planes = [
        (frame.y, frame.stride_y, width, height, "y"),
        (frame.u, frame.stride_u, half_width, half_height, "u"),
        (frame.v, frame.stride_v, half_width, half_height, "v"),
    ];
    for (plane, stride, width, height, name) in planes {
        if !(width..=4 * 8192).contains(&stride) {
            return Err(invalid(format!("frame.stride_{name} is {stride}; a row has {width} bytes")));
        }
        let bytes = slice_in(plane, stride * (height - 1) + width, usize::MAX, &format!("frame.{name}"))?;
        bytes.chunks(stride).for_each(|row| data.extend_from_slice(row.get(..width).unwrap_or(row)));
    }
    let mut picture =
        VideoFrame::from_i420(frame.width, frame.height, data, Duration::from_micros(frame.timestamp_us))?;
    picture.rotation = match frame.rotation {
        0 => Rotation::None,
        90 => Rotation::Clockwise90,
        180 => Rotation::Clockwise180,
        270 => Rotation::Clockwise270,
        other => return Err(invalid(format!("frame.rotation is {other}; it must be 0, 90, 180 or 270"))),
    };
    Ok(picture)
}

impl trill_audio_frame {
    /// Lent for as long as `frame`.
    pub(super) fn new(frame: &AudioFrame, number: u64) -> Self {
        Self {
            samples: frame.samples.as_ptr(),
            samples_per_channel: frame.samples.len(),
            sample_rate: SAMPLE_RATE,
            channels: 1,
            timestamp_us: number.saturating_mul(20_000),
        }
    }
}

impl trill_video_frame {
    /// Lent for as long as `frame`.
    pub(super) fn new(frame: &VideoFrame) -> Self {
        let [y, u, v] = frame.planes().map(<[u8]>::as_ptr);
        Self {
            struct_size: size_of::<Self>(),
            y,
            u,
            v,
            stride_y: frame.stride(),
            stride_u: frame.chroma_stride(),
            stride_v: frame.chroma_stride(),
            width: frame.width(),
            height: frame.height(),
            rotation: match frame.rotation {
                Rotation::None => 0,
                Rotation::Clockwise90 => 90,
                Rotation::Clockwise180 => 180,
                Rotation::Clockwise270 => 270,
            },
            timestamp_us: frame.timestamp.as_micros() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(plane: &[u8], width: u32, height: u32, stride: usize) -> trill_video_frame {
        trill_video_frame {
            struct_size: size_of::<trill_video_frame>(),
            y: plane.as_ptr(),
            u: plane.as_ptr(),
            v: plane.as_ptr(),
            stride_y: stride,
            stride_u: stride,
            stride_v: stride,
            width,
            height,
            rotation: 90,
            timestamp_us: 7,
        }
    }

    #[test]
    fn a_pushed_picture_loses_its_padding_and_nothing_else() {
        let rows = [1, 2, 3, 0, 4, 5, 6];
        let picture = picture(&frame(&rows, 3, 2, 4)).unwrap();
        assert_eq!(picture.planes()[0], [1, 2, 3, 4, 5, 6]);
        assert_eq!(picture.planes()[1], [1, 2]);
        assert_eq!((picture.rotation, picture.timestamp), (Rotation::Clockwise90, Duration::from_micros(7)));
    }

    #[test]
    fn pictures_of_impossible_sizes_are_refused() {
        let plane = [0; 64];
        for (width, height, stride) in [(0, 2, 4), (2, 9000, 4), (8, 2, 7), (8, 2, usize::MAX)] {
            assert_eq!(picture(&frame(&plane, width, height, stride)).unwrap_err().code(), ErrorCode::InvalidArgument);
        }
    }
}
