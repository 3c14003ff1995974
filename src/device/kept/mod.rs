//! Devices that a call keeps: a microphone, speaker or camera that may be unplugged, taken away, refused or replaced
//! while the call goes on.
//!
//! Nothing here blocks a media thread: devices are opened and closed on threads of their own, and until one works there
//! is silence, or no picture, in its place. What happens is told as a [`DeviceChange`].

mod control;
#[cfg(feature = "devices")]
mod keeper;
#[cfg(feature = "devices")]
mod media;

pub use control::{DeviceControl, DevicePolicy};
#[cfg(feature = "devices")]
pub use media::{KeptCamera, KeptMicrophone, KeptSpeaker};

use crate::base::Error;
use std::sync::Arc;

/// What became of a device.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceChange {
    /// The device of that name works: for the first time, again, or in another's place.
    Using { name: String },
    /// None works; one is looked for, and [`Self::Using`] tells when it is found.
    Lost { error: Error },
    /// None works, and none is looked for, until the app chooses one.
    Failed { error: Error },
}

/// Called on the media thread whose device it is; it must not block.
pub type DeviceTell = Arc<dyn Fn(DeviceChange) + Send + Sync>;
