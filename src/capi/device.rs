//! Devices.
//!
//! The machine's microphones, speakers and cameras. The settings of a session choose one by its name or id.

use super::arena::{Arena, Owned};
use super::boundary::{Out, choice, guard};
use super::library::trill_error;
use crate::base::Result;
use std::ffi::c_char;

pub const TRILL_DEVICE_KIND_MICROPHONE: i32 = 1;
pub const TRILL_DEVICE_KIND_SPEAKER: i32 = 2;
pub const TRILL_DEVICE_KIND_CAMERA: i32 = 3;
/// Where a participant's picture goes to. In events only: there is nothing to list.
pub const TRILL_DEVICE_KIND_VIDEO_OUTPUT: i32 = 4;

/// One device of the machine's.
#[repr(C)]
pub struct trill_device {
    /// For people. Never NULL.
    pub name: *const c_char,
    /// Names it where names are not unique. Never NULL.
    pub id: *const c_char,
    /// Not 0: the one that is used when none is named.
    pub is_default: i32,
}

/// The devices of one kind.
#[repr(C)]
pub struct trill_devices {
    /// NULL when there are none.
    pub devices: *const trill_device,
    pub device_count: usize,
}

/// Lists the devices of a kind, as they are now. It asks the system, which can take a second: not for the thread that draws,
/// nor inside callbacks.
///
/// kind: TRILL_DEVICE_KIND_MICROPHONE, TRILL_DEVICE_KIND_SPEAKER or TRILL_DEVICE_KIND_CAMERA.
/// out: set to the list, which trill_devices_free frees. It is empty when there are none.
///
/// Status: TRILL_STATUS_DEVICE_UNAVAILABLE (the system does not tell), TRILL_STATUS_NOT_SUPPORTED (a library built without
/// devices). Any thread; needs no engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_devices_list(
    kind: i32,
    out: *mut *mut trill_devices,
    error: *mut *mut trill_error,
) -> i32 {
    guard(error, || {
        let out = Out::new(out, "out")?;
        let known = [
            (TRILL_DEVICE_KIND_MICROPHONE, Kind::Microphone),
            (TRILL_DEVICE_KIND_SPEAKER, Kind::Speaker),
            (TRILL_DEVICE_KIND_CAMERA, Kind::Camera),
        ];
        let found = list(choice(kind, "kind", &known)?)?;
        let devices = Owned::new(|arena| {
            let devices: Vec<_> = found.iter().map(|device| device.told(arena)).collect();
            trill_devices { device_count: devices.len(), devices: arena.array(devices) }
        });
        out.set(devices.into_raw());
        Ok(())
    })
}

/// Frees a list that trill_devices_list gave; NULL is fine. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_devices_free(devices: *mut trill_devices) {
    Owned::free(devices);
}

#[derive(Clone, Copy)]
enum Kind {
    Microphone,
    Speaker,
    Camera,
}

#[cfg_attr(not(feature = "devices"), allow(dead_code, reason = "then nothing is found"))]
struct Found {
    name: String,
    id: String,
    is_default: bool,
}

impl Found {
    fn told(&self, arena: &mut Arena) -> trill_device {
        trill_device { name: arena.string(&self.name), id: arena.string(&self.id), is_default: self.is_default.into() }
    }
}

#[cfg(feature = "devices")]
fn list(kind: Kind) -> Result<Vec<Found>> {
    use crate::device::{camera, sound};
    let sound = |devices: Vec<sound::SoundDevice>| {
        devices.into_iter().map(|d| Found { name: d.name, id: d.id, is_default: d.is_default }).collect()
    };
    Ok(match kind {
        Kind::Microphone => sound(sound::microphones()?),
        Kind::Speaker => sound(sound::speakers()?),
        Kind::Camera => {
            let cameras = camera::cameras()?.into_iter().enumerate();
            cameras.map(|(at, camera)| Found { name: camera.name, id: camera.id, is_default: at == 0 }).collect()
        }
    })
}

#[cfg(not(feature = "devices"))]
fn list(_: Kind) -> Result<Vec<Found>> {
    Err(super::session_settings::without_devices())
}
