//! What a session measures, of the network and of the pipelines, merged by track.

use crate::base::{ParticipantIdentity, TrackId};
use crate::engine::pipeline::{
    AudioReceiverReport, AudioSenderReport, VideoLayerReport, VideoReceiverReport, VideoSenderReport,
};
use crate::session::TrackSource;
use crate::transport::{PathStats, ReceiveStats, SendStats};
use serde::Serialize;

/// A session at one moment; after its end, at its last.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SessionStats {
    pub timings: SessionTimings,
    /// Round trip of the latest ping over signalling, in milliseconds; 0 before the first.
    pub signal_rtt_ms: u64,
    /// The connection that we send on, and the one that we receive on.
    pub publisher: PathStats,
    pub subscriber: PathStats,
    /// How often one of the machine's speakers ran out of sound: each run of silence counts once.
    pub playback_underruns: u64,
    pub sent: Vec<SentTrack>,
    pub received: Vec<ReceivedTrack>,
}

/// When things first happened, in milliseconds since the session was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SessionTimings {
    pub joined_ms: Option<f64>,
    pub connected_ms: Option<f64>,
    pub first_audio_ms: Option<f64>,
    pub first_video_ms: Option<f64>,
}

/// One track of ours.
#[derive(Clone, Debug, Serialize)]
pub struct SentTrack {
    pub source: TrackSource,
    pub muted: bool,
    pub network: SendStats,
    /// Nothing before the first connection.
    pub audio: Option<AudioSenderReport>,
    pub video: Option<VideoSenderReport>,
    /// Those of a picture that can be sent in several sizes, lowest first.
    pub layers: Vec<SentLayer>,
}

/// One simulcast layer of a track of ours.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SentLayer {
    /// Its name on the wire.
    pub rid: &'static str,
    #[serde(flatten)]
    pub video: VideoLayerReport,
}

/// One track that we are subscribed to.
#[derive(Clone, Debug, Serialize)]
pub struct ReceivedTrack {
    pub participant: ParticipantIdentity,
    pub track: TrackId,
    pub source: TrackSource,
    pub network: ReceiveStats,
    pub audio: Option<AudioReceiverReport>,
    pub video: Option<VideoReceiverReport>,
}
