//! A speaker as an audio sink.

use super::realtime::Rendering;
use super::{Pulse, SoundDevice, Stream, about, choose, find, speakers, unavailable, with_sample_type};
use crate::base::{Error, ErrorCode, Result};
use crate::device::{AudioSink, Resampler};
use crate::media::frame::{AudioFrame, SAMPLE_RATE};
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{FromSample, SizedSample, StreamConfig};
use rtrb::{Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// A device that has not asked for so long does not set the pace any more.
const STALLED: Duration = Duration::from_millis(200);

/// Plays from when it is opened; silence when it is given nothing.
pub struct Speaker {
    /// Plays as long as it lives.
    _stream: Stream,
    samples: Producer<f32>,
    /// In samples; 0 before it has asked for any.
    period: Arc<AtomicUsize>,
    pulse: Arc<Pulse>,
    about: SoundDevice,
    rate: u32,
    resampler: Resampler,
    mono: Vec<f32>,
    ready: Vec<f32>,
}

impl Speaker {
    /// The one of that name or id, or the default one. Fails with `device_unavailable`, saying why.
    pub fn open(name: Option<&str>) -> Result<Self> {
        Self::open_counting(name, Arc::default())
    }

    /// [`Self::open`]; `underruns` counts how often there was nothing to play, once for each run of silence.
    pub fn open_counting(name: Option<&str>, underruns: Arc<AtomicU64>) -> Result<Self> {
        let device = device(name)?;
        let default = device.default_output_config().map_err(|e| unavailable("the speaker", &e))?;
        let supported = device.supported_output_configs().map_err(|e| unavailable("the speaker", &e))?;
        let (chosen, config) = choose(default, supported)?;
        let (samples, consumer) = RingBuffer::new(config.sample_rate as usize / 4);
        let (pulse, report) = Pulse::new();
        let period = Arc::default();
        let rendering = Rendering::new(consumer, config.channels.into(), underruns, Arc::clone(&period));
        let stream = with_sample_type!(chosen.sample_format(), Sample => {
            render::<Sample>(&device, config, rendering, pulse.clone(), report)
        })?;
        stream.play().map_err(|e| unavailable("the speaker", &e))?;
        let resampler = Resampler::new(SAMPLE_RATE, config.sample_rate)?;
        let (rate, about) = (config.sample_rate, about(&device, name.is_none()));
        let (mono, ready) = (Vec::new(), Vec::new());
        Ok(Self { _stream: stream, samples, period, pulse, about, rate, resampler, mono, ready })
    }

    /// What it is. `is_default` says that none was named.
    pub fn device(&self) -> &SoundDevice {
        &self.about
    }

    /// It has been asking for sound for a while.
    pub fn is_running(&self) -> bool {
        self.pulse.has_begun()
    }
}

/// The one of that name or id, or the default one.
pub(super) fn device(name: Option<&str>) -> Result<cpal::Device> {
    let host = cpal::default_host();
    match name {
        Some(name) => {
            let devices = host.output_devices().map_err(|e| unavailable("the speakers", &e))?;
            find("speaker", name, devices, speakers)
        }
        None => host.default_output_device().ok_or_else(|| {
            Error::new(ErrorCode::DeviceUnavailable, "there is no speaker; plug one in, or choose a file")
        }),
    }
}

fn render<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut rendering: Rendering,
    pulse: Arc<Pulse>,
    report: impl FnMut(cpal::Error) + Send + 'static,
) -> Result<Stream>
where
    T: SizedSample + FromSample<f32>,
{
    let callback = move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
        pulse.beat();
        rendering.fill(data);
    };
    device
        .build_output_stream(config, callback, report, Some(Duration::from_secs(3)))
        .map(|stream| Stream(Some(stream)))
        .map_err(|e| unavailable("the speaker", &e))
}

impl AudioSink for Speaker {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        self.pulse.check("the speaker")?;
        self.mono.clear();
        self.mono.extend(frame.samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
        self.ready.clear();
        self.resampler.push(&self.mono, &mut self.ready)?;
        for sample in &self.ready {
            // Full: the device does not ask for any.
            let _ = self.samples.push(*sample);
        }
        Ok(())
    }

    fn queued(&self) -> Option<Duration> {
        if self.pulse.silent_for() > STALLED {
            return None;
        }
        let waiting = self.samples.buffer().capacity() - self.samples.slots();
        Some(Duration::from_secs_f64(waiting as f64 / f64::from(self.rate)))
    }

    fn period(&self) -> Option<Duration> {
        let samples = self.period.load(Relaxed);
        (samples > 0).then(|| Duration::from_secs_f64(samples as f64 / f64::from(self.rate)))
    }
}
