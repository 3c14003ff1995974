//! VP8 (RFC 6386) through libvpx, for real time.
//!
//! The only place that calls libvpx. Its contexts are made and freed here and used by one thread at a time; nothing it
//! points to leaves a method without a lifetime that ties it to the codec.

#![allow(unsafe_code, reason = "libvpx is C; each block says why it is sound")]

use super::{EncodedVideo, VideoDecoder, VideoEncoder};
use crate::base::{Error, ErrorCode, Result};
use crate::media::clock::RtpClock;
use crate::media::frame::{MAX_VIDEO_SIDE, VideoFrame};
use crate::media::vp8;
use std::ffi::{CStr, c_int, c_uint, c_ulong};
use std::ptr;
use std::time::Duration;
use vpx_sys as vpx;

/// Enough for 720p30 of a face and a room.
pub const DEFAULT_BITRATE_BPS: u32 = 1_500_000;

/// What the rate control works with, in kbit/s.
const BITRATES_KBPS: std::ops::RangeInclusive<u32> = 30..=50_000;

/// The largest picture decoded, in pixels: 4K. Its side alone would let a few bytes ask for 400 MB.
const MAX_DECODED_PIXELS: u64 = 4096 * 2304;

/// A key frame may take so many percent of one frame's share: more, and it queues in front of audio; less, and it is
/// mush.
const MAX_KEY_FRAME_PERCENT: c_uint = 900;

/// Constant bitrate, one thread, key frames only on request (and rarely by itself).
///
/// One thread, because two stall each other on small machines. Not error resilient: that gives up prediction between
/// frames so that a decoder can go on after a loss, while our assembler never lets it see one.
pub struct Vp8Encoder {
    /// Made with the first picture, and again when the size changes: libvpx cannot grow.
    context: Option<EncoderContext>,
    bitrate_bps: u32,
    max_fps: u32,
    /// Of the frame before, in ticks of 90 kHz. libvpx wants them to grow.
    last_pts: i64,
}

struct EncoderContext {
    context: vpx::vpx_codec_ctx_t,
    config: vpx::vpx_codec_enc_cfg_t,
}

// SAFETY: libvpx keeps no thread-local state; with `&mut self` everywhere only one thread uses a context at a time.
unsafe impl Send for EncoderContext {}

impl Vp8Encoder {
    /// `max_fps`, 1 to 120, tells the rate control what to expect before it has seen frames.
    pub fn new(bitrate_bps: u32, max_fps: u32) -> Self {
        Self { context: None, bitrate_bps, max_fps: max_fps.clamp(1, 120), last_pts: -1 }
    }

    fn kbps(&self) -> c_uint {
        (self.bitrate_bps / 1000).clamp(*BITRATES_KBPS.start(), *BITRATES_KBPS.end())
    }
}

impl VideoEncoder for Vp8Encoder {
    fn encode(&mut self, frame: &VideoFrame, time: Duration, key: bool) -> Result<Option<EncodedVideo<'_>>> {
        let (width, height) = (frame.width(), frame.height());
        if self.context.as_ref().is_some_and(|c| (c.config.g_w, c.config.g_h) != (width, height)) {
            self.context = None;
        }
        let kbps = self.kbps();
        let context = match &mut self.context {
            Some(context) => context,
            none => {
                self.last_pts = -1;
                none.insert(EncoderContext::new(width, height, kbps)?)
            }
        };
        let usual = i64::from(90_000 / self.max_fps);
        let pts = (RtpClock::VIDEO.ticks(time) as i64).max(self.last_pts + 1);
        let duration = if self.last_pts < 0 { usual } else { (pts - self.last_pts).min(90_000) };
        self.last_pts = pts;
        context.encode(frame, pts, duration as c_ulong, key)
    }

    fn set_bitrate(&mut self, bps: u32) -> Result<()> {
        self.bitrate_bps = bps;
        let kbps = self.kbps();
        match &mut self.context {
            Some(context) => context.set_bitrate(kbps),
            None => Ok(()),
        }
    }
}

impl EncoderContext {
    fn new(width: u32, height: u32, kbps: c_uint) -> Result<Self> {
        let mut config = vpx::vpx_codec_enc_cfg_t::default();
        // SAFETY: the interface is a static of libvpx; `config` is of the size its headers say (checked on init by the
        // ABI version).
        let status = unsafe { vpx::vpx_codec_enc_config_default(vpx::vpx_codec_vp8_cx(), &mut config, 0) };
        check(status, "VP8 defaults")?;
        config.g_w = width;
        config.g_h = height;
        config.g_threads = 1;
        config.g_timebase = vpx::vpx_rational { num: 1, den: 90_000 };
        config.g_pass = vpx::vpx_enc_pass::VPX_RC_ONE_PASS;
        config.g_lag_in_frames = 0;
        config.g_error_resilient = 0;
        config.rc_end_usage = vpx::vpx_rc_mode::VPX_CBR;
        config.rc_target_bitrate = kbps;
        config.rc_min_quantizer = 2;
        config.rc_max_quantizer = 56;
        config.rc_undershoot_pct = 100;
        config.rc_overshoot_pct = 15;
        // In milliseconds of the bitrate: how far it may run ahead. A frame is dropped before the network queues it.
        config.rc_buf_sz = 1000;
        config.rc_buf_initial_sz = 500;
        config.rc_buf_optimal_sz = 600;
        config.rc_dropframe_thresh = 30;
        config.rc_resize_allowed = 0;
        config.kf_mode = vpx::vpx_kf_mode::VPX_KF_AUTO;
        config.kf_min_dist = 0;
        config.kf_max_dist = 3000;

        let mut this = Self { context: vpx::vpx_codec_ctx_t::default(), config };
        // SAFETY: as above; libvpx copies the configuration.
        let status = unsafe {
            vpx::vpx_codec_enc_init_ver(
                &mut this.context,
                vpx::vpx_codec_vp8_cx(),
                &this.config,
                0,
                vpx::VPX_ENCODER_ABI_VERSION as c_int,
            )
        };
        check(status, "the VP8 encoder")?;
        use vpx::vp8e_enc_control_id as control;
        this.control(control::VP8E_SET_CPUUSED as c_int, speed(width, height))?;
        this.control(control::VP8E_SET_STATIC_THRESHOLD as c_int, 1)?;
        this.control(control::VP8E_SET_NOISE_SENSITIVITY as c_int, 0)?;
        this.control(control::VP8E_SET_TOKEN_PARTITIONS as c_int, 0)?;
        this.control(control::VP8E_SET_MAX_INTRA_BITRATE_PCT as c_int, MAX_KEY_FRAME_PERCENT as c_int)?;
        Ok(this)
    }

    fn control(&mut self, id: c_int, value: c_int) -> Result<()> {
        // SAFETY: the context is initialised, and each control used takes one int.
        check(unsafe { vpx::vpx_codec_control_(&mut self.context, id, value) }, "a setting of the VP8 encoder")
    }

    fn set_bitrate(&mut self, kbps: c_uint) -> Result<()> {
        if self.config.rc_target_bitrate == kbps {
            return Ok(());
        }
        self.config.rc_target_bitrate = kbps;
        // SAFETY: the context is initialised; libvpx copies the configuration.
        check(unsafe { vpx::vpx_codec_enc_config_set(&mut self.context, &self.config) }, "the VP8 bitrate")
    }

    fn encode(
        &mut self,
        frame: &VideoFrame,
        pts: i64,
        duration: c_ulong,
        key: bool,
    ) -> Result<Option<EncodedVideo<'_>>> {
        let [y, u, v] = frame.planes();
        let mut image = vpx::vpx_image_t::default();
        // SAFETY: fills in `image` for planes of our own at a dummy address, which is replaced below; it does not read
        // there and allocates nothing.
        let wrapped = unsafe {
            vpx::vpx_img_wrap(
                &mut image,
                vpx::vpx_img_fmt::VPX_IMG_FMT_I420,
                frame.width(),
                frame.height(),
                1,
                y.as_ptr().cast_mut(),
            )
        };
        if wrapped.is_null() {
            return Err(Error::new(ErrorCode::Codec, "libvpx does not take a picture of this size"));
        }
        for (at, (plane, stride)) in
            [(y, frame.stride()), (u, frame.chroma_stride()), (v, frame.chroma_stride())].into_iter().enumerate()
        {
            image.planes[at] = plane.as_ptr().cast_mut();
            image.stride[at] = stride as c_int;
        }
        let flags = if key { i64::from(vpx::VPX_EFLAG_FORCE_KF) } else { 0 };
        // SAFETY: the planes are as large as the sizes and strides in `image` say (`VideoFrame` holds to that), live
        // through the call, and libvpx only reads and copies them.
        let status = unsafe {
            vpx::vpx_codec_encode(
                &mut self.context,
                &image,
                pts,
                duration,
                flags as vpx::vpx_enc_frame_flags_t,
                vpx::VPX_DL_REALTIME.into(),
            )
        };
        check(status, "a picture for the VP8 encoder")?;
        let mut iter = ptr::null();
        loop {
            // SAFETY: the context is initialised; a packet stays valid until the next call that takes the context,
            // which the lifetime of the answer, tied to `self`, rules out.
            let Some(packet) = (unsafe { vpx::vpx_codec_get_cx_data(&mut self.context, &mut iter).as_ref() }) else {
                return Ok(None);
            };
            if packet.kind != vpx::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: `kind` says that the union holds a frame, whose buffer is of that size.
            let (data, flags) = unsafe {
                let frame = packet.data.frame;
                if frame.buf.is_null() || frame.sz == 0 {
                    continue;
                }
                (std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize), frame.flags)
            };
            return Ok(Some(EncodedVideo { data, key: flags & vpx::VPX_FRAME_IS_KEY != 0 }));
        }
    }
}

impl Drop for EncoderContext {
    fn drop(&mut self) {
        // SAFETY: initialised (or zeroed when that failed, which libvpx refuses), and not used afterwards.
        unsafe { vpx::vpx_codec_destroy(&mut self.context) };
    }
}

/// How much quality is given up for speed, -16 (fastest) to 0. A fixed speed instead of one that libvpx adapts: on
/// shared cores it would measure the neighbours. Small pictures can afford a better search.
fn speed(width: u32, height: u32) -> c_int {
    if width * height <= 640 * 480 { -6 } else { -8 }
}

/// Robust against damaged data: that is an error, and the next key frame puts it right.
pub struct Vp8Decoder {
    context: DecoderContext,
    picture: VideoFrame,
}

struct DecoderContext(vpx::vpx_codec_ctx_t);

// SAFETY: as for the encoder.
unsafe impl Send for DecoderContext {}

impl Vp8Decoder {
    pub fn new() -> Result<Self> {
        let config = vpx::vpx_codec_dec_cfg { threads: 1, w: 0, h: 0 };
        let mut context = DecoderContext(vpx::vpx_codec_ctx_t::default());
        // SAFETY: the interface is a static of libvpx, which checks the ABI version and copies the configuration.
        let status = unsafe {
            vpx::vpx_codec_dec_init_ver(
                &mut context.0,
                vpx::vpx_codec_vp8_dx(),
                &config,
                0,
                vpx::VPX_DECODER_ABI_VERSION as c_int,
            )
        };
        check(status, "the VP8 decoder")?;
        Ok(Self { context, picture: VideoFrame::black(2, 2)? })
    }
}

impl VideoDecoder for Vp8Decoder {
    fn decode(&mut self, data: &[u8], timestamp: Duration) -> Result<Option<&VideoFrame>> {
        if data.is_empty() {
            // To libvpx that means a lost frame, which it would make up.
            return Err(Error::new(ErrorCode::Codec, "a VP8 frame is empty"));
        }
        if vp8::is_key_frame(data) {
            let Some((width, height)) = vp8::key_frame_size(data) else {
                return Err(Error::new(ErrorCode::Codec, "a VP8 key frame has a damaged header"));
            };
            let pixels = u64::from(width) * u64::from(height);
            if pixels == 0 || pixels > MAX_DECODED_PIXELS || width.max(height) > MAX_VIDEO_SIDE {
                return Err(Error::new(ErrorCode::Codec, format!("a VP8 picture of {width}x{height} is not decoded")));
            }
        }
        let len = c_uint::try_from(data.len()).map_err(|_| Error::from(ErrorCode::TooLarge))?;
        // SAFETY: the context is initialised; `data` is of that length and only read during the call.
        let status = unsafe { vpx::vpx_codec_decode(&mut self.context.0, data.as_ptr(), len, ptr::null_mut(), 0) };
        check(status, "a VP8 frame")?;
        let mut iter = ptr::null();
        // SAFETY: the context is initialised; the image is libvpx's until the next call that takes the context, and is
        // copied before that.
        let Some(image) = (unsafe { vpx::vpx_codec_get_frame(&mut self.context.0, &mut iter).as_ref() }) else {
            return Ok(None);
        };
        copy(image, &mut self.picture)?;
        self.picture.timestamp = timestamp;
        Ok(Some(&self.picture))
    }
}

/// Copies libvpx's picture, row by row because its rows are padded.
fn copy(image: &vpx::vpx_image_t, picture: &mut VideoFrame) -> Result<()> {
    if image.fmt != vpx::vpx_img_fmt::VPX_IMG_FMT_I420 {
        return Err(Error::new(ErrorCode::Codec, "a VP8 picture is not in I420"));
    }
    picture.resize(image.d_w, image.d_h)?;
    let widths = [picture.stride(), picture.chroma_stride(), picture.chroma_stride()];
    for (at, (plane, width)) in picture.planes_mut().into_iter().zip(widths).enumerate() {
        let stride = image.stride[at];
        if image.planes[at].is_null() || (stride as isize) < width as isize {
            return Err(Error::new(ErrorCode::Codec, "libvpx gave a picture without its planes"));
        }
        for (n, row) in plane.chunks_exact_mut(width).enumerate() {
            // SAFETY: a plane of libvpx has as many rows as its height (halved and rounded up for colour, as
            // `VideoFrame` does) of `stride` bytes, at least `width` long as checked above.
            let from = unsafe { std::slice::from_raw_parts(image.planes[at].add(n * stride as usize), width) };
            row.copy_from_slice(from);
        }
    }
    Ok(())
}

impl Drop for DecoderContext {
    fn drop(&mut self) {
        // SAFETY: initialised (or zeroed when that failed, which libvpx refuses), and not used afterwards.
        unsafe { vpx::vpx_codec_destroy(&mut self.0) };
    }
}

fn check(status: vpx::vpx_codec_err_t, what: &str) -> Result<()> {
    if status == vpx::vpx_codec_err_t::VPX_CODEC_OK {
        return Ok(());
    }
    // SAFETY: a static text of libvpx for each status.
    let text = unsafe {
        let text = vpx::vpx_codec_err_to_string(status);
        if text.is_null() { c"unknown error" } else { CStr::from_ptr(text) }
    };
    Err(Error::new(ErrorCode::Codec, format!("{what}: {}", text.to_string_lossy())))
}

#[cfg(test)]
mod tests;
