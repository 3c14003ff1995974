//! Our own media: opened at the start, encoded from the first connection on.

use super::devices::{self, Controls, Tell};
use super::settings::SessionSettings;
use super::stats::SentLayer;
use crate::base::{Error, ErrorCode, Result};
use crate::device::kept::DeviceChange;
use crate::device::{AudioSink, AudioSource, VideoSource};
use crate::engine::pipeline::{
    AudioSender, AudioSenderReport, PACKET_QUEUE, PacketSender, VideoSender, VideoSenderReport, VideoSenderSettings,
    process_voice,
};
use crate::media::control::SendControl;
use crate::media::simulcast::{Layer, RIDS, Simulcast, WantedLayers, layers_of};
use crate::processing::{VoiceControl, VoiceProcessing};
use crate::session::{LocalLayer, LocalTrack, TrackKind, TrackSource};
use crate::transport::PacketSource;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// One track of ours, through all the peer connections that it goes over in a session.
pub(super) struct Local {
    pub(super) track: LocalTrack,
    pub(super) control: Arc<SendControl>,
    /// Of each layer, lowest first.
    pub(super) packets: Vec<PacketSource>,
    simulcast: Simulcast,
    pipeline: Pipeline,
}

enum Pipeline {
    /// Opened; nothing is encoded, so that a file starts when someone can hear it.
    Audio(Box<dyn AudioSource>, PacketSender),
    Video(Box<dyn VideoSource>, VideoSenderSettings, Vec<(Layer, PacketSender)>),
    RunningAudio(AudioSender),
    RunningVideo(VideoSender),
    /// It could not be started.
    None,
}

/// Our ends, opened.
pub(super) struct Opened {
    pub(super) speaker: Box<dyn AudioSink>,
    pub(super) voice: Arc<VoiceControl>,
    pub(super) controls: Controls,
    pub(super) locals: Vec<Local>,
}

/// Opens everything, with the voice processed between microphone and speaker. Errors: those of files, `invalid_argument`
/// for a bitrate, size or rate out of range. The machine's own devices are opened in the background, and what becomes of them is told.
pub(super) fn open(settings: &mut SessionSettings, tell: &Tell) -> Result<Opened> {
    in_range("audio_bitrate_bps", settings.audio_bitrate_bps, 6_000, 510_000)?;
    in_range("video_bitrate_bps", settings.video_bitrate_bps, 30_000, 20_000_000)?;
    settings.video.check()?;
    let automatic = if settings.microphone.is_microphone() { VoiceProcessing::ALL } else { VoiceProcessing::NONE };
    let voice = Arc::new(VoiceControl::new(settings.voice.unwrap_or(automatic)));
    let tell = {
        // Another device hears and plays a little earlier or later.
        let (tell, voice) = (tell.clone(), voice.clone());
        Arc::new(move |device, change: DeviceChange| {
            if matches!(change, DeviceChange::Using { .. }) {
                voice.relearn_echo();
            }
            tell(device, change);
        }) as Tell
    };
    let (policy, mut controls) = (settings.device_policy, Controls::default());
    let mut speaker = devices::open_speaker(std::mem::take(&mut settings.speaker), policy, &mut controls, &tell)?;
    let mut locals = Vec::new();
    let microphone = std::mem::take(&mut settings.microphone);
    if let Some(source) = devices::open_microphone(microphone, policy, &mut controls, &tell)? {
        let (mut source, tapped) = process_voice(source, speaker, voice.clone());
        speaker = tapped;
        if settings.microphone_muted {
            source.pause();
        }
        let mut track = track(TrackSource::Microphone, settings.microphone_muted, (0, 0), settings.audio_bitrate_bps);
        track.dtx = settings.audio_dtx;
        let (out, packets) = queue();
        locals.push(Local::new(track, Simulcast::Never, vec![packets], Pipeline::Audio(source, out)));
    }
    let camera = std::mem::take(&mut settings.camera);
    if let Some(source) = devices::open_camera(camera, policy, &mut controls, &tell)? {
        let video = settings.video;
        let size = (video.max_width, video.max_height);
        let mut track = track(TrackSource::Camera, settings.camera_muted, size, settings.video_bitrate_bps);
        let mut layers = layers_of(size, track.bitrate_bps);
        if settings.simulcast == Simulcast::Never {
            layers.drain(..layers.len() - 1);
        }
        track.layers = layers.iter().map(|layer| announced(layer, size)).collect();
        let (outs, packets): (Vec<_>, Vec<_>) = layers.iter().map(|_| queue()).unzip();
        let layers = layers.into_iter().zip(outs).collect();
        locals.push(Local::new(track, settings.simulcast, packets, Pipeline::Video(source, video, layers)));
    }
    Ok(Opened { speaker, voice, controls, locals })
}

impl Local {
    fn new(track: LocalTrack, simulcast: Simulcast, packets: Vec<PacketSource>, pipeline: Pipeline) -> Self {
        let control = Arc::new(SendControl::new(track.bitrate_bps));
        control.set_muted(track.muted);
        control.set_dtx(track.dtx);
        let local = Self { track, control, packets, simulcast, pipeline };
        local.others_present(0);
        local
    }

    /// So many others are in the session.
    pub(super) fn others_present(&self, others: usize) {
        self.control.set_group(match self.simulcast {
            Simulcast::InGroups => others > 1,
            Simulcast::Always => true,
            Simulcast::Never => false,
        });
    }

    /// The server says which layers anybody wants.
    pub(super) fn set_wanted(&self, wanted: [bool; 3]) {
        self.control.set_wanted(WantedLayers::new(wanted));
    }

    /// There is a connection to send on; `fault` is called when the track's thread panics. Without effect when it runs
    /// already.
    pub(super) fn start(&mut self, fault: impl FnOnce() + Send + 'static) -> Result<()> {
        let control = self.control.clone();
        self.pipeline = match std::mem::replace(&mut self.pipeline, Pipeline::None) {
            Pipeline::Audio(source, out) => {
                let sender = AudioSender::start(source, control, out)?;
                sender.on_fault(fault);
                Pipeline::RunningAudio(sender)
            }
            Pipeline::Video(source, settings, layers) => {
                let sender = VideoSender::start_layers(source, settings, control, layers)?;
                sender.on_fault(fault);
                Pipeline::RunningVideo(sender)
            }
            running => running,
        };
        Ok(())
    }

    pub(super) fn reports(&self) -> (Option<AudioSenderReport>, Option<VideoSenderReport>) {
        match &self.pipeline {
            Pipeline::RunningAudio(audio) => (Some(audio.stats().report()), None),
            Pipeline::RunningVideo(video) => (None, Some(video.stats().report())),
            _ => (None, None),
        }
    }

    /// Of the layers, lowest first; none where the picture comes in one size, as [`Self::reports`] tells all of that.
    pub(super) fn layer_reports(&self) -> Vec<SentLayer> {
        match &self.pipeline {
            Pipeline::RunningVideo(video) if video.layer_stats().len() > 1 => {
                let layers = video.layer_stats().iter().zip(RIDS);
                layers.map(|(stats, rid)| SentLayer { rid, video: stats.report() }).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn queue() -> (PacketSender, PacketSource) {
    let (out, packets) = mpsc::channel(PACKET_QUEUE);
    (out, Arc::new(Mutex::new(packets)))
}

fn announced(layer: &Layer, full: (u32, u32)) -> LocalLayer {
    let (width, height) = layer.size(full);
    LocalLayer { width, height, bitrate_bps: layer.bitrate_bps }
}

fn track(source: TrackSource, muted: bool, (width, height): (u32, u32), bitrate_bps: u32) -> LocalTrack {
    let (kind, name) = match source {
        TrackSource::Camera => (TrackKind::Video, "camera"),
        _ => (TrackKind::Audio, "microphone"),
    };
    let cid = format!("{name}-{:016x}", rand::random::<u64>());
    let (name, dtx, layers) = (name.to_owned(), false, Vec::new());
    LocalTrack { cid, kind, source, name, muted, width, height, bitrate_bps, dtx, layers }
}

fn in_range(name: &str, value: u32, min: u32, max: u32) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::InvalidArgument, format!("{name} is {value}; it goes from {min} to {max}")))
}
