//! The machine's microphones and speakers, through cpal.
//!
//! cpal calls us on real-time threads of the system: there we only convert samples and move them through a lock-free
//! ring. Mixing down, resampling and waiting happen on the pipelines' threads.

mod formats;
mod microphone;
pub mod realtime;
mod speaker;

pub use formats::{SoundFormat, SoundFormats, microphone_formats, speaker_formats};
pub use microphone::Microphone;
pub use speaker::Speaker;

use super::resample::RATES;
use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::SAMPLE_RATE;
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, StreamConfig, SupportedBufferSize, SupportedStreamConfig};
use crossbeam_channel::RecvTimeoutError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What the system is asked to move at a time: 10 ms is short beside a frame, and long enough for a busy machine.
const PERIOD_MS: u32 = 10;
/// How long closing a device is waited for; it usually takes some 10 ms.
const CLOSE_WITHIN: Duration = Duration::from_millis(150);
/// A device that has not moved a sample for so long is taken for gone.
const DEAD_AFTER: Duration = Duration::from_secs(3);

/// What still moves sound so long after it was opened, in milliseconds, works.
const BEGUN_MS: u64 = 300;

/// What ALSA's own configuration names and is no device.
const ALSA_PLUGINS: [&str; 10] =
    ["null", "lavrate", "samplerate", "speexrate", "speex", "jack", "oss", "upmix", "vdownmix", "usbstream"];

/// A microphone or a speaker. What it can, [`microphone_formats`] and [`speaker_formats`] ask it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundDevice {
    /// For people, and for `name` of [`AudioInput`](super::AudioInput) and [`AudioOutput`](super::AudioOutput).
    pub name: String,
    /// Names it for good, where names are not unique; it can be given instead of the name.
    pub id: String,
    /// The one that is used when none is named.
    pub is_default: bool,
}

/// The microphones of this machine. No card is opened by its own name for that; ALSA's ways to one, such as its default device, are.
/// Fails with `device_unavailable` when there is no sound system.
pub fn microphones() -> Result<Vec<SoundDevice>> {
    let host = cpal::default_host();
    let default = host.default_input_device().and_then(|device| device.id().ok());
    let devices = host.input_devices().map_err(|e| unavailable("the microphones", &e))?;
    Ok(describe(devices.filter(|device| is_one(device, |device| device.default_input_config().is_ok())), default))
}

/// The speakers of this machine. No card is opened by its own name for that; ALSA's ways to one, such as its default device, are.
/// Fails with `device_unavailable` when there is no sound system.
pub fn speakers() -> Result<Vec<SoundDevice>> {
    let host = cpal::default_host();
    let default = host.default_output_device().and_then(|device| device.id().ok());
    let devices = host.output_devices().map_err(|e| unavailable("the speakers", &e))?;
    Ok(describe(devices.filter(|device| is_one(device, |device| device.default_output_config().is_ok())), default))
}

pub(super) fn default_microphone_id() -> Option<String> {
    cpal::default_host().default_input_device()?.id().ok().map(|id| id.to_string())
}

pub(super) fn default_speaker_id() -> Option<String> {
    cpal::default_host().default_output_device()?.id().ok().map(|id| id.to_string())
}

/// ALSA lists its plugins beside its devices. Those that only convert are none, and a way to a card or to a sound server
/// is one when there is something at its end.
fn is_one(device: &cpal::Device, opens: impl Fn(&cpal::Device) -> bool) -> bool {
    let id = device.id().map(|id| id.to_string()).unwrap_or_default();
    match id.strip_prefix("alsa:") {
        None => true,
        Some(name) if name.contains("CARD=") => true,
        Some(name) => !ALSA_PLUGINS.contains(&name) && opens(device),
    }
}

fn about(device: &cpal::Device, is_default: bool) -> SoundDevice {
    let id = device.id().map(|id| id.to_string()).unwrap_or_default();
    let name = device.description().map_or_else(|_| id.clone(), |about| about.name().to_owned());
    SoundDevice { name, id, is_default }
}

fn describe(devices: impl Iterator<Item = cpal::Device>, default: Option<cpal::DeviceId>) -> Vec<SoundDevice> {
    devices
        .filter_map(|device| {
            let id = device.id().ok()?;
            let name = device.description().map_or_else(|_| id.to_string(), |about| about.name().to_owned());
            Some(SoundDevice { name, is_default: Some(&id) == default.as_ref(), id: id.to_string() })
        })
        .collect()
}

/// The device of that name or id, or else an error that lists what there is.
fn find(
    kind: &str,
    name: &str,
    devices: impl Iterator<Item = cpal::Device>,
    known: impl FnOnce() -> Result<Vec<SoundDevice>>,
) -> Result<cpal::Device> {
    let is_it = |device: &cpal::Device| {
        device.description().is_ok_and(|about| about.name() == name)
            || device.id().is_ok_and(|id| id.to_string() == name)
    };
    let mut devices = devices;
    devices.find(is_it).ok_or_else(|| {
        let names: Vec<String> = known().unwrap_or_default().into_iter().map(|device| device.name).collect();
        let there =
            if names.is_empty() { "there is none at all".into() } else { format!("there are: {}", names.join(", ")) };
        Error::new(ErrorCode::DeviceUnavailable, format!("there is no {kind} named {name:?}; {there}"))
    })
}

/// The engine's own rate where the device has it, in its default format, with short buffers.
fn choose(
    default: SupportedStreamConfig,
    supported: impl Iterator<Item = cpal::SupportedStreamConfigRange>,
) -> Result<(SupportedStreamConfig, StreamConfig)> {
    let ours = supported
        .filter(|range| range.sample_format() == default.sample_format() && range.channels() == default.channels())
        .find_map(|range| range.try_with_sample_rate(SAMPLE_RATE));
    let chosen = ours.unwrap_or(default);
    let mut config = chosen.config();
    if !RATES.contains(&config.sample_rate) || config.channels == 0 {
        let (rate, channels) = (config.sample_rate, config.channels);
        let problem = format!("the device works at {rate} Hz with {channels} channels, which is not supported");
        return Err(Error::new(ErrorCode::DeviceUnavailable, problem));
    }
    let wanted = config.sample_rate * PERIOD_MS / 1000;
    config.buffer_size = BufferSize::Fixed(match chosen.buffer_size() {
        SupportedBufferSize::Range { min, max } => wanted.clamp(*min, (*max).max(*min)),
        SupportedBufferSize::Unknown => wanted,
    });
    Ok((chosen, config))
}

/// A stream that is closed within a bound: in the system's sound libraries closing can hang for ever, for instance when
/// the sound server was killed.
struct Stream(Option<cpal::Stream>);

impl Stream {
    fn play(&self) -> Result<(), cpal::Error> {
        self.0.as_ref().map_or(Ok(()), StreamTrait::play)
    }

    fn pause(&self) -> Result<(), cpal::Error> {
        self.0.as_ref().map_or(Ok(()), StreamTrait::pause)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(stream) = self.0.take() else { return };
        let (closed, told) = crossbeam_channel::bounded::<()>(0);
        let close = std::thread::Builder::new().name("trill-sound-close".into()).spawn(move || {
            drop(stream);
            drop(closed);
        });
        if close.is_ok() && told.recv_timeout(CLOSE_WITHIN) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a sound device hangs while it is closed; it is left behind");
        }
    }
}

/// When the device last called us; what became of it.
struct Pulse {
    opened: Instant,
    /// In milliseconds after `opened`.
    last_ms: AtomicU64,
    failed: crossbeam_channel::Receiver<cpal::Error>,
}

impl Pulse {
    /// Also what to give to cpal for its errors.
    fn new() -> (Arc<Self>, impl FnMut(cpal::Error) + Send + 'static) {
        let (failures, failed) = crossbeam_channel::bounded(1);
        let pulse = Arc::new(Self { opened: Instant::now(), last_ms: AtomicU64::new(0), failed });
        let report = move |error: cpal::Error| match error.kind() {
            cpal::ErrorKind::DeviceNotAvailable
            | cpal::ErrorKind::StreamInvalidated
            | cpal::ErrorKind::HostUnavailable
            | cpal::ErrorKind::PermissionDenied => {
                let _ = failures.try_send(error);
            }
            // The stream goes on: an underrun, another route, a question that the sound server could not answer yet.
            // Should it not go on, it is seen from its silence. Nothing is logged: this may be the real-time thread.
            _ => {}
        };
        (pulse, report)
    }

    /// In the device's callback.
    fn beat(&self) {
        self.last_ms.store(self.opened.elapsed().as_millis().max(1) as u64, Relaxed);
    }

    /// It goes on asking: ALSA asks once for a buffer that it then cannot bring to a sound server.
    fn has_begun(&self) -> bool {
        self.last_ms.load(Relaxed) >= BEGUN_MS
    }

    fn silent_for(&self) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Relaxed)))
    }

    /// Fails with `device_unavailable` when the device was unplugged, taken away or never works.
    fn check(&self, what: &str) -> Result<()> {
        if let Ok(error) = self.failed.try_recv() {
            return Err(unavailable(what, &error));
        }
        if self.silent_for() > DEAD_AFTER {
            let problem = format!("{what} does not move any sound; is it unplugged, or its sound server gone?");
            return Err(Error::new(ErrorCode::DeviceUnavailable, problem));
        }
        Ok(())
    }
}

fn unavailable(what: &str, error: &cpal::Error) -> Error {
    let advice = match error.kind() {
        cpal::ErrorKind::DeviceBusy => "; another program has taken it: close that one",
        cpal::ErrorKind::PermissionDenied => "; allow this program to use it (on Linux: the group `audio`)",
        cpal::ErrorKind::DeviceNotAvailable => "; is it plugged in?",
        cpal::ErrorKind::HostUnavailable => "; is the sound server running?",
        cpal::ErrorKind::UnsupportedConfig => "; choose another device, or set its rate and channels in the system",
        _ => "",
    };
    Error::new(ErrorCode::DeviceUnavailable, format!("{what} cannot be used: {error}{advice}"))
}

/// Runs `$body` with `$sample` being the type of the device's samples.
macro_rules! with_sample_type {
    ($format:expr, $sample:ident => $body:expr) => {
        match $format {
            cpal::SampleFormat::I8 => {
                type $sample = i8;
                $body
            }
            cpal::SampleFormat::I16 => {
                type $sample = i16;
                $body
            }
            cpal::SampleFormat::I24 => {
                type $sample = cpal::I24;
                $body
            }
            cpal::SampleFormat::I32 => {
                type $sample = i32;
                $body
            }
            cpal::SampleFormat::U8 => {
                type $sample = u8;
                $body
            }
            cpal::SampleFormat::U16 => {
                type $sample = u16;
                $body
            }
            cpal::SampleFormat::U32 => {
                type $sample = u32;
                $body
            }
            cpal::SampleFormat::F32 => {
                type $sample = f32;
                $body
            }
            cpal::SampleFormat::F64 => {
                type $sample = f64;
                $body
            }
            other => Err($crate::base::Error::new(
                $crate::base::ErrorCode::DeviceUnavailable,
                format!("the device's samples are of the kind {other}, which is not supported"),
            )),
        }
    };
}
use with_sample_type;

#[cfg(test)]
mod tests {
    use super::*;
    use cpal::{SampleFormat, SupportedStreamConfigRange};

    const ANY: SupportedBufferSize = SupportedBufferSize::Unknown;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, ANY, format)
    }

    fn chosen(default: (u16, u32), supported: &[SupportedStreamConfigRange]) -> Result<StreamConfig> {
        let default = SupportedStreamConfig::new(default.0, default.1, ANY, SampleFormat::I16);
        choose(default, supported.iter().copied()).map(|(_, config)| config)
    }

    #[test]
    fn our_own_rate_is_taken_where_the_device_has_it_and_its_own_where_not() {
        let wide = [range(2, (44_100, 96_000), SampleFormat::I16)];
        assert_eq!(chosen((2, 44_100), &wide).unwrap().sample_rate, 48_000);
        let narrow = [range(1, (8_000, 16_000), SampleFormat::I16), range(2, (48_000, 48_000), SampleFormat::F32)];
        let config = chosen((1, 16_000), &narrow).unwrap();
        assert_eq!((config.sample_rate, config.channels), (16_000, 1), "in its default format");
        assert_eq!(config.buffer_size, BufferSize::Fixed(160), "10 ms");
        assert_eq!(chosen((32, 11_025), &[]).unwrap().sample_rate, 11_025);
    }

    #[test]
    fn a_device_of_an_unlikely_rate_or_without_channels_is_refused_with_what_it_has() {
        for (channels, rate) in [(2, 2_000), (2, 768_000), (0, 48_000), (1, 0)] {
            let error = chosen((channels, rate), &[]).unwrap_err();
            assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
            let named = format!("{rate} Hz with {channels} channels");
            assert!(error.message().contains(&named), "{error}");
        }
    }

    #[test]
    fn samples_of_a_kind_that_is_not_understood_are_refused_by_name() {
        let size = |format: SampleFormat| with_sample_type!(format, Sample => Ok(size_of::<Sample>()));
        assert_eq!(size(SampleFormat::I16), Ok(2));
        let error = size(SampleFormat::DsdU8).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
        assert!(error.message().contains("not supported"), "{error}");
    }

    #[test]
    fn what_the_system_says_becomes_advice() {
        for (kind, advice) in [
            (cpal::ErrorKind::DeviceBusy, "another program has taken it"),
            (cpal::ErrorKind::PermissionDenied, "group `audio`"),
            (cpal::ErrorKind::DeviceNotAvailable, "plugged in"),
            (cpal::ErrorKind::HostUnavailable, "sound server"),
            (cpal::ErrorKind::UnsupportedConfig, "another device"),
        ] {
            let error = unavailable("the microphone", &kind.into());
            assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
            assert!(error.message().starts_with("the microphone cannot be used: "), "{error}");
            assert!(error.message().contains(advice), "{error}");
        }
    }
}
