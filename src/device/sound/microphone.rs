//! A microphone as an audio source.

use super::realtime::Capturing;
use super::{Pulse, SoundDevice, Stream, about, choose, find, microphones, unavailable, with_sample_type};
use crate::base::{Error, ErrorCode, Result};
use crate::device::resample::to_i16;
use crate::device::{AudioSource, MAX_WAIT, Next, Resampler};
use crate::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE};
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{FromSample, SizedSample, StreamConfig};
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked whether the device has brought enough, once it may have: a fraction of a frame.
const POLL: Duration = Duration::from_millis(1);
/// A device's call comes so much earlier now and then.
const EARLY: Duration = Duration::from_millis(1);
/// What waits longer than this, in frames, is left out: its reader stood still, and old sound is delay for good.
const MAX_BEHIND: usize = 6;

/// Captures from when it is opened, except while it is paused.
pub struct Microphone {
    stream: Stream,
    samples: Consumer<f32>,
    pulse: Arc<Pulse>,
    about: SoundDevice,
    rate: u32,
    resampler: Resampler,
    raw: Vec<f32>,
    ready: Vec<f32>,
}

impl Microphone {
    /// The one of that name or id, or the default one. Fails with `device_unavailable`, saying why.
    pub fn open(name: Option<&str>) -> Result<Self> {
        let device = device(name)?;
        let default = device.default_input_config().map_err(|e| unavailable("the microphone", &e))?;
        let supported = device.supported_input_configs().map_err(|e| unavailable("the microphone", &e))?;
        let (chosen, config) = choose(default, supported)?;
        let (producer, samples) = RingBuffer::new(config.sample_rate as usize / 2);
        let (pulse, report) = Pulse::new();
        let stream = with_sample_type!(chosen.sample_format(), Sample => {
            capture::<Sample>(&device, config, producer, pulse.clone(), report)
        })?;
        stream.play().map_err(|e| unavailable("the microphone", &e))?;
        let resampler = Resampler::new(config.sample_rate, SAMPLE_RATE)?;
        let (rate, about) = (config.sample_rate, about(&device, name.is_none()));
        Ok(Self { stream, samples, pulse, about, rate, resampler, raw: Vec::new(), ready: Vec::new() })
    }

    /// What it is. `is_default` says that none was named.
    pub fn device(&self) -> &SoundDevice {
        &self.about
    }

    /// When a frame may be whole, at the earliest: sound comes in real time.
    fn missing(&self) -> Duration {
        let samples = FRAME_SAMPLES.saturating_sub(self.ready.len()) as u32;
        (Duration::from_secs(1) * samples / SAMPLE_RATE).saturating_sub(self.pulse.silent_for() + EARLY)
    }

    fn read(&mut self) -> Result<()> {
        self.raw.clear();
        while let Ok(sample) = self.samples.pop() {
            self.raw.push(sample);
        }
        let most = self.rate as usize / 50 * MAX_BEHIND;
        let old = self.raw.len().saturating_sub(most);
        self.resampler.push(&self.raw[old..], &mut self.ready)
    }
}

/// The one of that name or id, or the default one.
pub(super) fn device(name: Option<&str>) -> Result<cpal::Device> {
    let host = cpal::default_host();
    match name {
        Some(name) => {
            let devices = host.input_devices().map_err(|e| unavailable("the microphones", &e))?;
            find("microphone", name, devices, microphones)
        }
        None => host.default_input_device().ok_or_else(|| {
            Error::new(ErrorCode::DeviceUnavailable, "there is no microphone; plug one in, or choose a file")
        }),
    }
}

fn capture<T>(
    device: &cpal::Device,
    config: StreamConfig,
    out: Producer<f32>,
    pulse: Arc<Pulse>,
    report: impl FnMut(cpal::Error) + Send + 'static,
) -> Result<Stream>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let mut capturing = Capturing::new(out, config.channels.into());
    let callback = move |data: &[T], _: &cpal::InputCallbackInfo| {
        pulse.beat();
        capturing.take(data);
    };
    device
        .build_input_stream(config, callback, report, Some(Duration::from_secs(3)))
        .map(|stream| Stream(Some(stream)))
        .map_err(|e| unavailable("the microphone", &e))
}

impl AudioSource for Microphone {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        let start = Instant::now();
        loop {
            self.read()?;
            if let Some(samples) = self.ready.get(..FRAME_SAMPLES) {
                frame.samples.iter_mut().zip(samples).for_each(|(to, from)| *to = to_i16(*from));
                self.ready.drain(..FRAME_SAMPLES);
                return Ok(Next::Frame);
            }
            self.pulse.check("the microphone")?;
            if start.elapsed() + POLL > MAX_WAIT {
                return Ok(Next::Nothing);
            }
            std::thread::sleep(self.missing().min(MAX_WAIT.saturating_sub(start.elapsed())).max(POLL));
        }
    }

    fn pause(&mut self) {
        if let Err(error) = self.stream.pause() {
            // What it captures nevertheless is thrown away on resume.
            tracing::debug!(%error, "the microphone cannot be paused");
        }
    }

    fn resume(&mut self) {
        while self.samples.pop().is_ok() {}
        self.ready.clear();
        self.pulse.beat();
        if let Err(error) = self.stream.play() {
            tracing::warn!(%error, "the microphone cannot be resumed");
        }
    }
}
