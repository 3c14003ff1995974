//! The others' media: a pipeline for each subscribed track, between the transport and what plays it.

use super::devices::{self, Tell};
use super::settings::{AudioTaps, VideoOutputs};
use super::stats::ReceivedTrack;
use crate::base::{ParticipantIdentity, Result, TrackId};
use crate::device::kept::DeviceChange;
use crate::engine::pipeline::{AudioReceiver, Feedback, Playout, Timing, VideoReceiver};
use crate::media::sync::LipSync;
use crate::session::{MediaDevice, Track, TrackKind, TrackSource};
use crate::transport::RemoteTracks;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// The receiving side of a session.
pub(super) struct Remotes {
    tracks: RemoteTracks,
    playout: Option<Playout>,
    video_outputs: VideoOutputs,
    audio_taps: Option<AudioTaps>,
    receivers: BTreeMap<TrackId, Remote>,
    happened: mpsc::UnboundedSender<RemoteEvent>,
    tell: Tell,
}

/// What a pipeline tells, from its own thread.
pub(super) enum RemoteEvent {
    FirstMedia(TrackId),
    KeyFrameNeeded(TrackId),
    Device(MediaDevice, DeviceChange),
    /// A media thread panicked.
    Fault,
}

struct Remote {
    participant: ParticipantIdentity,
    source: TrackSource,
    receiver: Receiver,
    sync: Option<Arc<LipSync>>,
}

enum Receiver {
    Audio(AudioReceiver),
    Video(VideoReceiver),
}

/// Pipelines that are over: dropping them joins their threads and finishes their files.
pub(super) struct Finished {
    _receivers: Vec<Remote>,
    _playout: Option<Playout>,
}

impl Remotes {
    pub(super) fn new(
        playout: Playout,
        video_outputs: VideoOutputs,
        audio_taps: Option<AudioTaps>,
        happened: mpsc::UnboundedSender<RemoteEvent>,
        tell: Tell,
    ) -> Self {
        let this = Self {
            tracks: RemoteTracks::default(),
            playout: Some(playout),
            video_outputs,
            audio_taps,
            receivers: BTreeMap::new(),
            happened,
            tell,
        };
        this.playout.iter().for_each(|playout| playout.on_fault(this.fault()));
        this
    }

    /// To be called by a media thread that panics.
    pub(super) fn fault(&self) -> impl FnOnce() + Send + 'static {
        let happened = self.happened.clone();
        // The session may be over by then.
        move || drop(happened.send(RemoteEvent::Fault))
    }

    /// What the peer connections put packets into.
    pub(super) fn tracks(&self) -> RemoteTracks {
        self.tracks.clone()
    }

    /// Starts playing a track. Errors: those of its output, and `codec`.
    pub(super) fn start(&mut self, participant: &ParticipantIdentity, track: &Track) -> Result<()> {
        let first = {
            let (happened, id) = (self.happened.clone(), track.id.clone());
            // The session may be over by then.
            Box::new(move || drop(happened.send(RemoteEvent::FirstMedia(id))))
        };
        let sync = self.sync_for(participant, track.source);
        let timing = sync.clone().map(|sync| Timing { reports: self.tracks.sender_reports(&track.id), sync });
        let receiver = match track.kind {
            TrackKind::Audio => {
                let Some(playout) = &self.playout else { return Ok(()) };
                let tap = self.audio_taps.as_ref().and_then(|tap| tap(participant, &track.id));
                let receiver = playout.add(tap, first, timing)?;
                let input = receiver.input();
                self.tracks.attach(&track.id, Box::new(move |packet| input.push(packet)));
                Receiver::Audio(receiver)
            }
            TrackKind::Video => {
                let output = (self.video_outputs)(participant, &track.id, track.source);
                let sink = devices::open_video_output(output, &self.tell)?;
                let (happened, id) = (self.happened.clone(), track.id.clone());
                let feedback = Arc::new(move |feedback| match feedback {
                    Feedback::KeyFrameNeeded => drop(happened.send(RemoteEvent::KeyFrameNeeded(id.clone()))),
                });
                let receiver = VideoReceiver::start(sink, feedback, first, timing)?;
                receiver.on_fault(self.fault());
                let input = receiver.input();
                self.tracks.attach(&track.id, Box::new(move |packet| input.push(packet)));
                Receiver::Video(receiver)
            }
        };
        let remote = Remote { participant: participant.clone(), source: track.source, receiver, sync };
        self.receivers.insert(track.id.clone(), remote);
        Ok(())
    }

    /// Microphone and camera of one participant belong together, and its screen with the screen's sound.
    fn sync_for(&self, participant: &ParticipantIdentity, source: TrackSource) -> Option<Arc<LipSync>> {
        let partner = match source {
            TrackSource::Microphone => TrackSource::Camera,
            TrackSource::Camera => TrackSource::Microphone,
            TrackSource::ScreenShare => TrackSource::ScreenShareAudio,
            TrackSource::ScreenShareAudio => TrackSource::ScreenShare,
            _ => return None,
        };
        let mut others = self.receivers.values();
        let shared = others.find(|other| other.participant == *participant && other.source == partner);
        let shared = shared.and_then(|other| other.sync.clone());
        Some(shared.unwrap_or_else(|| Arc::new(LipSync::new(Instant::now()))))
    }

    /// Stops playing a track; what is returned is to be dropped where waiting does no harm.
    pub(super) fn stop(&mut self, id: &TrackId) -> Finished {
        self.tracks.detach(id);
        Finished { _receivers: self.receivers.remove(id).into_iter().collect(), _playout: None }
    }

    pub(super) fn stop_all(&mut self) -> Finished {
        for id in self.receivers.keys() {
            self.tracks.detach(id);
        }
        let _receivers = std::mem::take(&mut self.receivers).into_values().collect();
        Finished { _receivers, _playout: self.playout.take() }
    }

    pub(super) fn participant(&self, id: &TrackId) -> Option<&ParticipantIdentity> {
        self.receivers.get(id).map(|remote| &remote.participant)
    }

    /// Width and height of the latest picture, in pixels; nothing for audio.
    pub(super) fn picture_size(&self, id: &TrackId) -> Option<(u32, u32)> {
        match &self.receivers.get(id)?.receiver {
            Receiver::Audio(_) => None,
            Receiver::Video(video) => {
                let report = video.stats().report();
                Some((report.width as u32, report.height as u32))
            }
        }
    }

    pub(super) fn stats(&self) -> Vec<ReceivedTrack> {
        let stats = self.receivers.iter().map(|(id, remote)| {
            let (audio, video) = match &remote.receiver {
                Receiver::Audio(audio) => (Some(audio.stats().report()), None),
                Receiver::Video(video) => (None, Some(video.stats().report())),
            };
            ReceivedTrack {
                participant: remote.participant.clone(),
                track: id.clone(),
                source: remote.source,
                network: self.tracks.stats(id).unwrap_or_default(),
                audio,
                video,
            }
        });
        stats.collect()
    }
}
