//! What LiveKit's messages say of rooms, participants and tracks.

use super::participant::Participant;
use crate::identity::SessionGrants;
use livekit_protocol::participant_info::State;
use livekit_protocol::{
    AddTrackRequest, Codec, DisconnectReason, ParticipantInfo, ParticipantPermission, ServerInfo, SimulcastCodecInfo,
    TrackInfo, TrackSource, TrackType,
};

/// The version of LiveKit's protocol that is spoken. 18 changes data channels.
const PROTOCOL: i32 = 17;

/// The codecs of a room, in the order in which publishers should prefer them. RED is around Opus, and a codec to LiveKit.
pub(super) fn codecs() -> Vec<Codec> {
    ["audio/opus", "audio/red", "video/vp8"].map(|mime| Codec { mime: mime.into(), fmtp_line: String::new() }).into()
}

pub(super) fn server() -> ServerInfo {
    ServerInfo { version: env!("CARGO_PKG_VERSION").into(), protocol: PROTOCOL, ..Default::default() }
}

/// A participant as others see it.
pub(super) fn participant(participant: &Participant, tracks: Vec<TrackInfo>) -> ParticipantInfo {
    ParticipantInfo {
        sid: participant.id.to_string(),
        identity: participant.identity.to_string(),
        state: participant.state as i32,
        is_publisher: !tracks.is_empty(),
        tracks,
        metadata: participant.metadata.clone(),
        joined_at: participant.joined_at.as_secs() as i64,
        joined_at_ms: participant.joined_at.0 as i64,
        name: participant.name.clone(),
        version: participant.version,
        permission: Some(permission(&participant.grants)),
        attributes: participant.attributes.clone().into_iter().collect(),
        client_protocol: participant.client_protocol,
        ..Default::default()
    }
}

/// A participant that has gone.
pub(super) fn departed(participant: &Participant, reason: DisconnectReason) -> ParticipantInfo {
    ParticipantInfo {
        state: State::Disconnected as i32,
        disconnect_reason: reason as i32,
        version: participant.version + 1,
        ..self::participant(participant, Vec::new())
    }
}

fn permission(grants: &SessionGrants) -> ParticipantPermission {
    ParticipantPermission {
        can_subscribe: grants.subscribe,
        can_publish: grants.publish,
        can_publish_data: grants.publish_data,
        can_publish_sources: grants.publish_sources.iter().filter_map(|s| source_of(s)).map(|s| s as i32).collect(),
        hidden: grants.hidden,
        can_update_metadata: grants.update_own_metadata,
        ..Default::default()
    }
}

/// What others are told of a new track.
#[allow(deprecated, reason = "older clients read the deprecated fields, and LiveKit's own server fills them")]
pub(super) fn track(sid: String, request: &AddTrackRequest) -> TrackInfo {
    let mime = if request.r#type() == TrackType::Audio { "audio/opus" } else { "video/vp8" };
    let codec = SimulcastCodecInfo {
        mime_type: mime.into(),
        cid: request.cid.clone(),
        layers: request.layers.clone(),
        ..Default::default()
    };
    TrackInfo {
        sid,
        r#type: request.r#type,
        name: request.name.clone(),
        muted: request.muted,
        width: request.width,
        height: request.height,
        simulcast: request.layers.len() > 1,
        disable_dtx: request.disable_dtx,
        source: request.source,
        layers: request.layers.clone(),
        mime_type: mime.into(),
        codecs: vec![codec],
        stereo: request.stereo,
        disable_red: request.disable_red,
        encryption: request.encryption,
        stream: stream_of(request),
        audio_features: request.audio_features.clone(),
        ..Default::default()
    }
}

/// Tracks of one stream are played in sync: a camera goes with its microphone, a screen with its sound.
fn stream_of(request: &AddTrackRequest) -> String {
    if !request.stream.is_empty() {
        return request.stream.clone();
    }
    match request.source() {
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen_share".into(),
        TrackSource::Camera | TrackSource::Microphone | TrackSource::Unknown => "camera".into(),
    }
}

/// A source in the spelling of a token's `canPublishSources`.
pub(super) fn source_name(source: TrackSource) -> &'static str {
    match source {
        TrackSource::Camera => "camera",
        TrackSource::Microphone => "microphone",
        TrackSource::ScreenShare => "screen_share",
        TrackSource::ScreenShareAudio => "screen_share_audio",
        TrackSource::Unknown => "unknown",
    }
}

fn source_of(name: &str) -> Option<TrackSource> {
    let all = [TrackSource::Camera, TrackSource::Microphone, TrackSource::ScreenShare, TrackSource::ScreenShareAudio];
    all.into_iter().find(|source| source_name(*source) == name)
}
