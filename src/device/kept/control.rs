//! What an app wants of a device, while it runs.

use crate::base::{Error, ErrorCode, Result};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The loudest that [`DeviceControl::set_volume`] takes: 12 dB more than it was.
const MAX_VOLUME: f32 = 4.0;

/// What is done when the chosen device is not there, fails, or is not the system's default any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DevicePolicy {
    /// The system's default device, also when that becomes another one; which one was chosen does not matter.
    FollowDefault,
    /// The chosen device, and the system's default one while it is not there. With no choice: [`Self::FollowDefault`].
    #[default]
    FallBack,
    /// The chosen device and no other: silence until it is back. With no choice: the one that was the default at first.
    Keep,
    /// The chosen device. Once it fails, silence, until the app chooses again.
    Silence,
}

/// Which device it should be, and how loud; changed from any thread at any time.
#[derive(Debug)]
pub struct DeviceControl {
    choice: Mutex<Choice>,
    version: AtomicU32,
    volume: AtomicU32,
    underruns: Arc<AtomicU64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Choice {
    pub(super) name: Option<String>,
    pub(super) policy: DevicePolicy,
}

impl DeviceControl {
    /// The device of that name or id, or the default one.
    pub fn new(name: Option<String>, policy: DevicePolicy) -> Self {
        Self {
            choice: Mutex::new(Choice { name, policy }),
            version: AtomicU32::new(0),
            volume: AtomicU32::new(1f32.to_bits()),
            underruns: Arc::default(),
        }
    }

    /// Another device, or another policy. The one in use is closed first, since it may be the same: some open only once.
    pub fn choose(&self, name: Option<String>, policy: DevicePolicy) {
        *self.choice.lock().unwrap_or_else(PoisonError::into_inner) = Choice { name, policy };
        self.version.fetch_add(1, Relaxed);
    }

    /// 0 is silence, 1 leaves it as it is, 4 (12 dB more) is the most; what gets too loud is clipped. Fails with
    /// `invalid_argument`.
    pub fn set_volume(&self, volume: f32) -> Result<()> {
        if !(0.0..=MAX_VOLUME).contains(&volume) {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("volume {volume}: it goes from 0 to {MAX_VOLUME}"),
            ));
        }
        self.volume.store(volume.to_bits(), Relaxed);
        Ok(())
    }

    pub fn volume(&self) -> f32 {
        f32::from_bits(self.volume.load(Relaxed))
    }

    /// How often a speaker had to be silent because nothing was ready for it: each run of silence counts once.
    pub fn underruns(&self) -> u64 {
        self.underruns.load(Relaxed)
    }

    #[cfg(feature = "devices")]
    pub(super) fn underrun_count(&self) -> Arc<AtomicU64> {
        self.underruns.clone()
    }

    #[cfg(feature = "devices")]
    pub(super) fn version(&self) -> u32 {
        self.version.load(Relaxed)
    }

    #[cfg(feature = "devices")]
    pub(super) fn choice(&self) -> Choice {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_cannot_be_is_refused_and_the_old_one_stays() {
        let control = DeviceControl::new(None, DevicePolicy::default());
        control.set_volume(0.25).unwrap();
        for wrong in [-0.1, 4.1, f32::NAN, f32::INFINITY] {
            assert_eq!(control.set_volume(wrong).unwrap_err().code(), ErrorCode::InvalidArgument);
        }
        assert_eq!(control.volume(), 0.25);
    }
}
