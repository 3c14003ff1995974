//! Our ends of a session: each is watched, so that the app hears what becomes of it, and the machine's own are kept.

use crate::base::{Error, ErrorCode, Result};
use crate::device::kept::{DeviceChange, DeviceControl, DevicePolicy};
use crate::device::{
    AudioInput, AudioOutput, AudioSink, AudioSource, Both, Next, VideoInput, VideoOutput, VideoSink, VideoSource,
};
use crate::media::frame::{AudioFrame, VideoFrame};
use crate::session::{DeviceState, MediaDevice, SessionEvent};
use std::sync::Arc;
use std::time::Duration;

/// Called on media threads; it must not block.
pub(super) type Tell = Arc<dyn Fn(MediaDevice, DeviceChange) + Send + Sync>;

/// How the machine's own devices of a session are steered. `None` where the session has something else in their place.
#[derive(Clone, Default)]
pub(super) struct Controls {
    pub(super) microphone: Option<Arc<DeviceControl>>,
    pub(super) speaker: Option<Arc<DeviceControl>>,
    pub(super) camera: Option<Arc<DeviceControl>>,
}

impl Controls {
    pub(super) fn of(&self, device: MediaDevice) -> Result<&DeviceControl> {
        let control = match device {
            MediaDevice::Microphone => &self.microphone,
            MediaDevice::Speaker => &self.speaker,
            MediaDevice::Camera => &self.camera,
            MediaDevice::VideoOutput => &None,
        };
        control.as_deref().ok_or_else(|| {
            let problem = format!("the session was started without one of the machine's devices as its {device:?}");
            Error::new(ErrorCode::DeviceUnavailable, problem)
        })
    }
}

pub(super) fn event(device: MediaDevice, change: DeviceChange) -> SessionEvent {
    let (state, name, error) = match change {
        DeviceChange::Using { name } => (DeviceState::InUse, Some(name), None),
        DeviceChange::Lost { error } => (DeviceState::Lost, None, Some(error)),
        DeviceChange::Failed { error } => (DeviceState::Failed, None, Some(error)),
    };
    SessionEvent::DeviceChanged { device, state, name, error }
}

/// Errors: those of files; the machine's own are opened in the background.
pub(super) fn open_microphone(
    input: AudioInput,
    policy: DevicePolicy,
    controls: &mut Controls,
    tell: &Tell,
) -> Result<Option<Box<dyn AudioSource>>> {
    match input {
        #[cfg(feature = "devices")]
        AudioInput::Microphone { name } => {
            let control = controls.microphone.insert(Arc::new(DeviceControl::new(name, policy))).clone();
            let tell = of(tell, MediaDevice::Microphone);
            Ok(Some(Box::new(crate::device::kept::KeptMicrophone::new(control, tell))))
        }
        other => {
            let _ = (policy, controls);
            let watch = |inner| Box::new(Watched::new(inner, MediaDevice::Microphone, tell)) as Box<dyn AudioSource>;
            Ok(other.open()?.map(watch))
        }
    }
}

/// As [`open_microphone`].
pub(super) fn open_speaker(
    output: AudioOutput,
    policy: DevicePolicy,
    controls: &mut Controls,
    tell: &Tell,
) -> Result<Box<dyn AudioSink>> {
    match output {
        #[cfg(feature = "devices")]
        AudioOutput::Speaker { name } => {
            let control = controls.speaker.insert(Arc::new(DeviceControl::new(name, policy))).clone();
            Ok(Box::new(crate::device::kept::KeptSpeaker::new(control, of(tell, MediaDevice::Speaker))))
        }
        AudioOutput::Both(both) => {
            let (first, second) = *both;
            let first = open_speaker(first, policy, controls, tell)?;
            let second = open_speaker(second, policy, controls, tell)?;
            Ok(Box::new(Both::<dyn AudioSink>::new(first, second)))
        }
        other => {
            let _ = (policy, controls);
            Ok(Box::new(Watched::new(other.open()?, MediaDevice::Speaker, tell)))
        }
    }
}

/// As [`open_microphone`].
pub(super) fn open_camera(
    input: VideoInput,
    policy: DevicePolicy,
    controls: &mut Controls,
    tell: &Tell,
) -> Result<Option<Box<dyn VideoSource>>> {
    match input {
        #[cfg(feature = "devices")]
        VideoInput::Camera { name, width, height, fps } => {
            let control = controls.camera.insert(Arc::new(DeviceControl::new(name, policy))).clone();
            let tell = of(tell, MediaDevice::Camera);
            Ok(Some(Box::new(crate::device::kept::KeptCamera::new((width, height), fps, control, tell))))
        }
        other => {
            let _ = (policy, controls);
            let watch = |inner| Box::new(Watched::new(inner, MediaDevice::Camera, tell)) as Box<dyn VideoSource>;
            Ok(other.open()?.map(watch))
        }
    }
}

/// Errors: those of files; of two outputs, one that cannot be opened is left out, and told.
pub(super) fn open_video_output(output: VideoOutput, tell: &Tell) -> Result<Box<dyn VideoSink>> {
    let VideoOutput::Both(both) = output else {
        return Ok(Box::new(Watched::new(output.open()?, MediaDevice::VideoOutput, tell)));
    };
    let (first, second) = (open_video_output(both.0, tell), open_video_output(both.1, tell));
    match (first, second) {
        (Ok(first), Ok(second)) => Ok(Box::new(Both::<dyn VideoSink>::new(first, second))),
        (Ok(works), Err(error)) | (Err(error), Ok(works)) => {
            tell(MediaDevice::VideoOutput, DeviceChange::Failed { error });
            Ok(works)
        }
        (Err(error), Err(_)) => Err(error),
    }
}

#[cfg(feature = "devices")]
fn of(tell: &Tell, device: MediaDevice) -> crate::device::kept::DeviceTell {
    let tell = tell.clone();
    Arc::new(move |change| tell(device, change))
}

/// A source or sink whose failure, after which it is not used any more, is told.
struct Watched<T> {
    inner: T,
    device: MediaDevice,
    tell: Tell,
}

impl<T> Watched<T> {
    fn new(inner: T, device: MediaDevice, tell: &Tell) -> Self {
        Self { inner, device, tell: tell.clone() }
    }

    fn told<R>(&self, result: Result<R>) -> Result<R> {
        if let Err(error) = &result {
            (self.tell)(self.device, DeviceChange::Failed { error: error.clone() });
        }
        result
    }
}

impl AudioSource for Watched<Box<dyn AudioSource>> {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        let next = self.inner.next_frame(frame);
        self.told(next)
    }

    fn pause(&mut self) {
        self.inner.pause();
    }

    fn resume(&mut self) {
        self.inner.resume();
    }
}

impl AudioSink for Watched<Box<dyn AudioSink>> {
    fn play(&mut self, frame: &AudioFrame) -> Result<()> {
        let played = self.inner.play(frame);
        self.told(played)
    }

    fn queued(&self) -> Option<Duration> {
        self.inner.queued()
    }

    fn period(&self) -> Option<Duration> {
        self.inner.period()
    }
}

impl VideoSource for Watched<Box<dyn VideoSource>> {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        let next = self.inner.next_frame(frame);
        self.told(next)
    }

    fn pause(&mut self) {
        self.inner.pause();
    }

    fn resume(&mut self) {
        self.inner.resume();
    }
}

impl VideoSink for Watched<Box<dyn VideoSink>> {
    fn show(&mut self, frame: &VideoFrame) -> Result<()> {
        let shown = self.inner.show(frame);
        self.told(shown)
    }
}

#[cfg(all(test, feature = "devices"))]
mod tests {
    use super::*;

    #[test]
    fn a_speaker_beside_an_apps_own_output_is_kept_too() {
        let both = (AudioOutput::Callback(Box::new(|_| {})), AudioOutput::Speaker { name: Some("no such".into()) });
        let (mut controls, tell) = (Controls::default(), Arc::new(|_, _| {}) as Tell);
        let mut sink =
            open_speaker(AudioOutput::Both(Box::new(both)), DevicePolicy::Keep, &mut controls, &tell).unwrap();
        sink.play(&AudioFrame::SILENCE).unwrap();
        assert!(controls.of(MediaDevice::Speaker).is_ok(), "it can be chosen anew");
    }
}
