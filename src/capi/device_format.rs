//! What devices can.
//!
//! The channels and rates of a microphone or speaker, the pictures of a camera. A session chooses by itself, so this is for apps
//! that show it or have to know.

use super::arena::{Arena, Owned};
use super::boundary::{Out, choice, free, guard, optional_string_in};
use super::device::{Kind, known_kinds};
use super::library::trill_error;
use crate::base::Result;
use std::ffi::c_char;

/// One thing that a device can. Of a microphone or speaker, channels and sample rates are set; of a camera all the others.
#[repr(C)]
pub struct trill_device_format {
    pub channels: u32,
    /// In Hz: all from the lowest to the highest, which may be the same.
    pub sample_rate_min: u32,
    pub sample_rate_max: u32,
    /// "nv12", "i420", "yuyv", "rgb", "bgr", "gray" or "mjpeg"; more may come. NULL for sound.
    pub pixels: *const c_char,
    pub width: u32,
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
}

/// All that a device can.
#[repr(C)]
pub struct trill_device_formats {
    /// NULL when nothing of it is supported.
    pub formats: *const trill_device_format,
    /// At most 256 of a microphone or speaker.
    pub format_count: usize,
    /// With what a microphone or speaker is opened in a session, the rate in Hz; 0 for a camera, which is opened in the format that
    /// comes nearest to the size and rate of the settings.
    pub channels: u32,
    pub sample_rate: u32,
}

/// Asks a device what it can. It is opened for that, without sound or a picture being taken, which can take a second: not for the
/// thread that draws, nor inside callbacks. A call that it is in is not disturbed.
///
/// kind: TRILL_DEVICE_KIND_MICROPHONE, TRILL_DEVICE_KIND_SPEAKER or TRILL_DEVICE_KIND_CAMERA. name: its name or id, read during
/// the call; NULL for the default one. out: set to what it can, which trill_device_formats_free frees.
///
/// Status: TRILL_STATUS_DEVICE_UNAVAILABLE (it is not there, taken by another program, or access is refused: the error says
/// which), TRILL_STATUS_NOT_SUPPORTED (a library built without devices). Any thread; needs no engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_device_formats_read(
    kind: i32,
    name: *const c_char,
    out: *mut *mut trill_device_formats,
    error: *mut *mut trill_error,
) -> i32 {
    guard(error, || {
        let out = Out::new(out, "out")?;
        let kind = choice(kind, "kind", &known_kinds())?;
        let name = optional_string_in(name, "name")?;
        let can = formats(kind, name.as_deref())?;
        let formats = Owned::new(|arena| {
            let formats: Vec<_> = can.formats.iter().map(|format| format.told(arena)).collect();
            trill_device_formats {
                format_count: formats.len(),
                formats: arena.array(formats),
                channels: can.channels,
                sample_rate: can.sample_rate,
            }
        });
        out.set(formats.into_raw());
        Ok(())
    })
}

/// Frees what trill_device_formats_read gave; NULL is fine. Any thread.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_device_formats_free(formats: *mut trill_device_formats) -> i32 {
    free(formats)
}

#[cfg_attr(not(feature = "devices"), allow(dead_code, reason = "then there is nothing to ask"))]
struct Can {
    formats: Vec<Format>,
    channels: u32,
    sample_rate: u32,
}

#[cfg_attr(not(feature = "devices"), allow(dead_code, reason = "then there is nothing to ask"))]
enum Format {
    Sound { channels: u32, rates: (u32, u32) },
    Picture { pixels: &'static str, size: (u32, u32), fps: u32 },
}

impl Format {
    fn told(&self, arena: &mut Arena) -> trill_device_format {
        let (mut channels, mut rates, mut pixels, mut size, mut rate) = (0, (0, 0), None, (0, 0), 0);
        match *self {
            Self::Sound { channels: n, rates: of } => (channels, rates) = (n, of),
            Self::Picture { pixels: layout, size: of, fps } => (pixels, size, rate) = (Some(layout), of, fps),
        }
        let (sample_rate_min, sample_rate_max) = rates;
        let (pixels, (width, height)) = (arena.optional(pixels), size);
        trill_device_format { channels, sample_rate_min, sample_rate_max, pixels, width, height, fps: rate }
    }
}

#[cfg(feature = "devices")]
fn formats(kind: Kind, name: Option<&str>) -> Result<Can> {
    use crate::device::{camera, sound};
    let sound = |can: sound::SoundFormats| {
        let told = |format: sound::SoundFormat| Format::Sound {
            channels: format.channels.into(),
            rates: (*format.rates.start(), *format.rates.end()),
        };
        let formats = can.all.into_iter().map(told).collect();
        Can { formats, channels: can.channels.into(), sample_rate: can.rate }
    };
    Ok(match kind {
        Kind::Microphone => sound(sound::microphone_formats(name)?),
        Kind::Speaker => sound(sound::speaker_formats(name)?),
        Kind::Camera => {
            let told = |format: camera::CameraFormat| Format::Picture {
                pixels: format.pixels.name(),
                size: (format.width, format.height),
                fps: format.fps,
            };
            let formats = camera::formats(&camera::camera(name)?)?.into_iter().map(told).collect();
            Can { formats, channels: 0, sample_rate: 0 }
        }
    })
}

#[cfg(not(feature = "devices"))]
fn formats(_: Kind, _: Option<&str>) -> Result<Can> {
    Err(super::session_settings::without_devices())
}
