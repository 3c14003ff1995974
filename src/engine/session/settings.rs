//! What an app chooses for a session.

use crate::base::{ParticipantIdentity, TrackId};
use crate::device::kept::DevicePolicy;
use crate::device::{AudioInput, AudioOutput, AudioSink, VideoInput, VideoOutput};
use crate::engine::pipeline::VideoSenderSettings;
use crate::media::simulcast::Simulcast;
use crate::processing::VoiceProcessing;
use crate::session::{MachineSettings, TrackSource};
use std::time::Duration;

/// Where each participant's picture goes to. Called on a thread of the engine's, once for each subscribed video track; it must not wait
/// for anything, least of all for an operation of this engine.
pub type VideoOutputs = Box<dyn Fn(&ParticipantIdentity, &TrackId, TrackSource) -> VideoOutput + Send + Sync>;

/// Gets what each participant says, alone, beside the mix. Called as [`VideoOutputs`].
pub type AudioTaps = Box<dyn Fn(&ParticipantIdentity, &TrackId) -> Option<Box<dyn AudioSink>> + Send + Sync>;

/// What is sent, where what comes in goes to, and limits.
pub struct SessionSettings {
    /// [`AudioInput::None`] publishes no audio.
    pub microphone: AudioInput,
    pub microphone_muted: bool,
    /// What is done to the voice before it is sent. `None`: everything for one of the machine's microphones, nothing for
    /// all else. It can be changed in the session: see [`SessionHandle::set_voice_processing`](super::SessionHandle).
    pub voice: Option<VoiceProcessing>,
    /// [`VideoInput::None`] publishes no video.
    pub camera: VideoInput,
    pub camera_muted: bool,
    /// The mix of all the others.
    pub speaker: AudioOutput,
    /// What is done when one of the machine's own devices is not there, fails, or is not the default one any more.
    pub device_policy: DevicePolicy,
    pub video_outputs: VideoOutputs,
    pub audio_taps: Option<AudioTaps>,
    /// At most; a narrow path gets less. 6,000 to 510,000.
    pub audio_bitrate_bps: u32,
    /// Discontinuous transmission: while nobody talks, next to nothing is sent of the microphone, and the others hear the noise of the
    /// room as it was. For voices: music and tones may be taken for noise.
    pub audio_dtx: bool,
    /// At most; a narrow path gets less, and smaller pictures. 30,000 to 20,000,000. Where the picture is sent in several sizes,
    /// that of the largest; the others take 40 % of it together.
    pub video_bitrate_bps: u32,
    pub video: VideoSenderSettings,
    /// Whether the picture is sent in several sizes at a time, so that each of the others gets the one that its connection
    /// carries and that it shows.
    pub simulcast: Simulcast,
    /// How often it is told what is measured, from 100 ms to an hour. `None`: only when it is asked for.
    pub statistics_interval: Option<Duration>,
    pub machine: MachineSettings,
}

impl Default for SessionSettings {
    /// Sends nothing, plays to nowhere, shows nothing.
    fn default() -> Self {
        Self {
            microphone: AudioInput::None,
            microphone_muted: false,
            voice: None,
            camera: VideoInput::None,
            camera_muted: false,
            speaker: AudioOutput::None,
            device_policy: DevicePolicy::default(),
            video_outputs: Box::new(|_, _, _| VideoOutput::None),
            audio_taps: None,
            audio_bitrate_bps: 32_000,
            audio_dtx: false,
            video_bitrate_bps: 1_500_000,
            video: VideoSenderSettings::default(),
            simulcast: Simulcast::default(),
            statistics_interval: None,
            machine: MachineSettings::default(),
        }
    }
}
