//! Devices.
//!
//! The machine's microphones, speakers and cameras. The settings of a session choose one by its name or id, and so do these
//! functions while it runs.

use super::arena::{Arena, Owned};
use super::boundary::{Out, choice, free, guard, optional_string_in, session_in, with_engine};
use super::engine::trill_engine;
use super::library::trill_error;
use crate::base::Result;
use crate::device::kept::DevicePolicy;
use crate::session::MediaDevice;
use std::ffi::c_char;

pub const TRILL_DEVICE_KIND_MICROPHONE: i32 = 1;
pub const TRILL_DEVICE_KIND_SPEAKER: i32 = 2;
pub const TRILL_DEVICE_KIND_CAMERA: i32 = 3;
/// Where a participant's picture goes to. In events only: there is nothing to list.
pub const TRILL_DEVICE_KIND_VIDEO_OUTPUT: i32 = 4;

/// The chosen device, and the default one while it is not there. With no choice: TRILL_DEVICE_POLICY_FOLLOW_DEFAULT.
pub const TRILL_DEVICE_POLICY_FALL_BACK: i32 = 0;
/// The default device, also when that becomes another one; which one was chosen does not matter.
pub const TRILL_DEVICE_POLICY_FOLLOW_DEFAULT: i32 = 1;
/// The chosen device and no other: silence until it is back. With no choice: the one that was the default at first.
pub const TRILL_DEVICE_POLICY_KEEP: i32 = 2;
/// The chosen device. Once it fails, silence, until the app chooses again.
pub const TRILL_DEVICE_POLICY_SILENCE: i32 = 3;

pub(super) const POLICIES: &[(i32, DevicePolicy)] = &[
    (TRILL_DEVICE_POLICY_FALL_BACK, DevicePolicy::FallBack),
    (TRILL_DEVICE_POLICY_FOLLOW_DEFAULT, DevicePolicy::FollowDefault),
    (TRILL_DEVICE_POLICY_KEEP, DevicePolicy::Keep),
    (TRILL_DEVICE_POLICY_SILENCE, DevicePolicy::Silence),
];

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
        let found = list(choice(kind, "kind", &known_kinds())?)?;
        let devices = Owned::new(|arena| {
            let devices: Vec<_> = found.iter().map(|device| device.told(arena)).collect();
            trill_devices { device_count: devices.len(), devices: arena.array(devices) }
        });
        out.set(devices.into_raw());
        Ok(())
    })
}

/// Frees a list that trill_devices_list gave; NULL is fine. Any thread.
///
/// Status: TRILL_STATUS_INVALID_ARGUMENT (it is not the app's to free: nothing happens, and the log says so).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_devices_free(devices: *mut trill_devices) -> i32 {
    free(devices)
}

/// Takes another of the machine's devices in a session from now on. What comes of it is told as TRILL_EVENT_DEVICE_CHANGED.
///
/// session_id: read during the call. kind: TRILL_DEVICE_KIND_MICROPHONE, TRILL_DEVICE_KIND_SPEAKER or
/// TRILL_DEVICE_KIND_CAMERA. name: its name or id, copied; NULL for the default one. policy: TRILL_DEVICE_POLICY_*.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_DEVICE_UNAVAILABLE (the session was started with something else in
/// its place). Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_choose_device(
    engine: *mut trill_engine,
    session_id: *const c_char,
    kind: i32,
    name: *const c_char,
    policy: i32,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let known = [
            (TRILL_DEVICE_KIND_MICROPHONE, MediaDevice::Microphone),
            (TRILL_DEVICE_KIND_SPEAKER, MediaDevice::Speaker),
            (TRILL_DEVICE_KIND_CAMERA, MediaDevice::Camera),
        ];
        let (device, policy) = (choice(kind, "kind", &known)?, choice(policy, "policy", POLICIES)?);
        let name = optional_string_in(name, "name")?;
        handle.engine(|engine| engine.choose_device(&id, device, name, policy))?
    })
}

/// Says how loud one of the machine's microphones or speakers is in a session, for this app alone.
///
/// session_id: read during the call. kind: TRILL_DEVICE_KIND_MICROPHONE or TRILL_DEVICE_KIND_SPEAKER. volume: 0 for silence, 1
/// as it is, 4 (12 dB more) at most; what gets too loud is clipped.
///
/// Status: TRILL_STATUS_SESSION_NOT_FOUND, TRILL_STATUS_DEVICE_UNAVAILABLE (the session was started with something else in
/// its place). Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trill_session_set_volume(
    engine: *mut trill_engine,
    session_id: *const c_char,
    kind: i32,
    volume: f32,
    error: *mut *mut trill_error,
) -> i32 {
    with_engine(engine, error, |handle| {
        let id = session_in(session_id)?;
        let known = [
            (TRILL_DEVICE_KIND_MICROPHONE, MediaDevice::Microphone),
            (TRILL_DEVICE_KIND_SPEAKER, MediaDevice::Speaker),
        ];
        let device = choice(kind, "kind", &known)?;
        handle.engine(|engine| engine.set_volume(&id, device, volume))?
    })
}

/// What can be listed.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Microphone,
    Speaker,
    Camera,
}

pub(super) fn known_kinds() -> [(i32, Kind); 3] {
    [
        (TRILL_DEVICE_KIND_MICROPHONE, Kind::Microphone),
        (TRILL_DEVICE_KIND_SPEAKER, Kind::Speaker),
        (TRILL_DEVICE_KIND_CAMERA, Kind::Camera),
    ]
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
