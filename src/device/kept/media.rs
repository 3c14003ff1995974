//! Kept devices as sources and sinks.

use super::keeper::{Keeper, Opened, Shop};
use super::{DeviceControl, DeviceTell};
use crate::base::Result;
use crate::device::camera::{self, CameraSource};
use crate::device::sound::{self, Microphone, Speaker};
use crate::device::{AudioSink, AudioSource, MAX_WAIT, Next, Pacer, VideoSource};
use crate::media::frame::{AudioFrame, VideoFrame};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// A microphone that may come and go. While there is none it is silent; while it is paused the device is closed.
pub struct KeptMicrophone {
    keeper: Keeper<Microphone>,
    control: Arc<DeviceControl>,
    pacer: Pacer,
}

impl KeptMicrophone {
    /// Opens it in the background.
    pub fn new(control: Arc<DeviceControl>, tell: DeviceTell) -> Self {
        let keeper = Keeper::new(Arc::new(Microphones), control.clone(), tell);
        Self { keeper, control, pacer: Pacer::new(50, 1) }
    }
}

impl AudioSource for KeptMicrophone {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        if let Some(microphone) = self.keeper.poll(Instant::now()) {
            match microphone.next_frame(frame) {
                Ok(next) => {
                    if next == Next::Frame {
                        self.keeper.works();
                        self.pacer.restart();
                        amplify(frame, self.control.volume());
                    }
                    return Ok(next);
                }
                Err(error) => self.keeper.fail(error, Instant::now()),
            }
        }
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        *frame = AudioFrame::SILENCE;
        Ok(Next::Frame)
    }

    fn pause(&mut self) {
        self.keeper.close();
    }

    fn resume(&mut self) {
        self.keeper.reopen(Instant::now());
        self.pacer.restart();
    }
}

/// A speaker that may come and go. While there is none, what it is given is lost.
pub struct KeptSpeaker {
    keeper: Keeper<Speaker>,
    control: Arc<DeviceControl>,
}

impl KeptSpeaker {
    /// Opens it in the background.
    pub fn new(control: Arc<DeviceControl>, tell: DeviceTell) -> Self {
        let shop = Arc::new(Speakers { underruns: control.underrun_count() });
        Self { keeper: Keeper::new(shop, control.clone(), tell), control }
    }
}

impl AudioSink for KeptSpeaker {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        let now = Instant::now();
        let Some(speaker) = self.keeper.poll(now) else { return Ok(()) };
        let mut louder = frame.clone();
        amplify(&mut louder, self.control.volume());
        match speaker.play(&louder) {
            Ok(()) if speaker.is_running() => self.keeper.works(),
            Ok(()) => {}
            Err(error) => self.keeper.fail(error, now),
        }
        Ok(())
    }

    fn queued(&self) -> Option<Duration> {
        self.keeper.present().and_then(Speaker::queued)
    }

    fn period(&self) -> Option<Duration> {
        self.keeper.present().and_then(Speaker::period)
    }
}

/// A camera that may come and go. While there is none no pictures come; while it is paused the device is closed.
pub struct KeptCamera {
    keeper: Keeper<CameraSource>,
}

impl KeptCamera {
    /// Looks for it in the background; `size` in pixels and `fps` are wished for. It is opened for its first picture.
    pub fn new(size: (u32, u32), fps: u32, control: Arc<DeviceControl>, tell: DeviceTell) -> Self {
        Self { keeper: Keeper::new(Arc::new(Cameras { size, fps }), control, tell) }
    }
}

impl VideoSource for KeptCamera {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        let Some(camera) = self.keeper.poll(Instant::now()) else {
            std::thread::sleep(MAX_WAIT);
            return Ok(Next::Nothing);
        };
        match camera.next_frame(frame) {
            Ok(next) => {
                if next == Next::Frame {
                    self.keeper.works();
                }
                Ok(next)
            }
            Err(error) => {
                self.keeper.fail(error, Instant::now());
                Ok(Next::Nothing)
            }
        }
    }

    fn pause(&mut self) {
        if let Some(camera) = self.keeper.device() {
            camera.pause();
        }
    }

    fn resume(&mut self) {
        if let Some(camera) = self.keeper.device() {
            camera.resume();
        }
    }
}

struct Microphones;

impl Shop<Microphone> for Microphones {
    fn open(&self, name: Option<&str>) -> Result<Opened<Microphone>> {
        let device = Microphone::open(name)?;
        let about = device.device().clone();
        Ok(Opened { device, name: about.name, id: about.id })
    }

    fn default_id(&self) -> Option<String> {
        sound::default_microphone_id()
    }
}

struct Speakers {
    underruns: Arc<AtomicU64>,
}

impl Shop<Speaker> for Speakers {
    fn open(&self, name: Option<&str>) -> Result<Opened<Speaker>> {
        let device = Speaker::open_counting(name, self.underruns.clone())?;
        let about = device.device().clone();
        Ok(Opened { device, name: about.name, id: about.id })
    }

    fn default_id(&self) -> Option<String> {
        sound::default_speaker_id()
    }
}

struct Cameras {
    size: (u32, u32),
    fps: u32,
}

impl Shop<CameraSource> for Cameras {
    fn open(&self, name: Option<&str>) -> Result<Opened<CameraSource>> {
        let device = CameraSource::open(name, self.size, self.fps)?;
        let about = device.camera().clone();
        Ok(Opened { device, name: about.name, id: about.id })
    }

    fn default_id(&self) -> Option<String> {
        camera::cameras().ok()?.into_iter().next().map(|first| first.id)
    }
}

fn amplify(frame: &mut AudioFrame, volume: f32) {
    if volume != 1.0 {
        for sample in &mut frame.samples {
            // A cast of a float clips.
            *sample = (f32::from(*sample) * volume) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorCode;
    use crate::device::camera::fakes;
    use crate::device::kept::{DeviceChange, DevicePolicy};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// A camera that stalls after three pictures each time it is opened; every second time another program has it.
    struct Stalling(AtomicUsize);

    impl Shop<CameraSource> for Stalling {
        fn open(&self, _: Option<&str>) -> Result<Opened<CameraSource>> {
            if self.0.fetch_add(1, Relaxed) % 2 == 1 {
                return Err(crate::base::Error::new(ErrorCode::DeviceUnavailable, "another program has taken it"));
            }
            // Longer than a busy machine keeps the camera's thread from its first picture.
            let device = fakes::stalls_after(3, Duration::from_secs(2));
            Ok(Opened { device, name: "Stalling".into(), id: "0".into() })
        }

        fn default_id(&self) -> Option<String> {
            Some("0".into())
        }
    }

    #[test]
    fn a_camera_that_stalls_is_told_and_tried_again_until_it_brings_pictures() {
        let (sender, told) = crossbeam_channel::unbounded();
        let tell = Arc::new(move |change| sender.send(change).unwrap());
        let control = Arc::new(DeviceControl::new(None, DevicePolicy::FallBack));
        let mut camera = KeptCamera { keeper: Keeper::new(Arc::new(Stalling(AtomicUsize::new(0))), control, tell) };
        let (mut changes, start) = (Vec::<DeviceChange>::new(), Instant::now());
        let mut frame = VideoFrame::black(2, 2).unwrap();
        // Not counted in pictures: what comes while this thread is held up is dropped.
        while changes.len() < 3 {
            assert!(start.elapsed() < Duration::from_secs(20), "{changes:?}");
            camera.next_frame(&mut frame).unwrap();
            changes.extend(told.try_iter());
        }
        let [DeviceChange::Using { name }, DeviceChange::Lost { error }, DeviceChange::Using { .. }] = &changes[..3]
        else {
            panic!("{changes:?}");
        };
        assert_eq!((name.as_str(), error.code()), ("Stalling", ErrorCode::DeviceUnavailable));
        assert!(error.message().contains("brings no pictures"), "{error}");
    }

    #[test]
    fn volume_scales_and_clips() {
        let mut frame = AudioFrame::SILENCE;
        frame.samples[..3].copy_from_slice(&[1000, -20_000, 20_000]);
        amplify(&mut frame, 0.5);
        assert_eq!(frame.samples[..3], [500, -10_000, 10_000]);
        amplify(&mut frame, 4.0);
        assert_eq!(frame.samples[..3], [2000, i16::MIN, i16::MAX]);
        amplify(&mut frame, 0.0);
        assert_eq!(frame.samples, AudioFrame::SILENCE.samples);
    }
}
