//! Tracks that we send: a task each, from the pipeline's packets to the peer connection.

use super::codecs;
use super::feedback::Feedback;
use crate::media::rtp::RtpPacket;
use crate::session::TrackKind;
use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp::{Packet, header::Header};
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

/// Where a pipeline's packets wait. Outlives the peer connection: after a rejoin the next one takes them up.
pub type PacketSource = Arc<Mutex<mpsc::Receiver<RtpPacket>>>;

/// What was sent of one track, and what its receiver (the SFU) reports of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct SendStats {
    pub packets: u64,
    /// RTP payload.
    pub bytes: u64,
    /// Packets that came before there was a connection to send them on.
    pub unsent: u64,
    /// By the receiver's count, since the start; repaired ones may be in it.
    pub packets_lost: u32,
    /// Smoothed over the latest reports, 0-100.
    pub loss_percent: u8,
    #[serde(with = "millis")]
    pub jitter: Duration,
    /// Nothing until the first receiver report.
    #[serde(with = "optional_millis")]
    pub rtt: Option<Duration>,
    pub key_frame_requests: u64,
    /// Packets that the receiver asked for again.
    pub packets_nacked: u64,
}

/// One track of ours on one peer connection.
pub(super) struct Sending {
    pub(super) ssrc: u32,
    pub(super) track: Arc<TrackLocalStaticRTP>,
    pub(super) feedback: Arc<Feedback>,
    gate: Arc<Gate>,
    task: tokio::task::JoinHandle<()>,
}

/// Whether packets can go out, and what became of them.
#[derive(Debug, Default)]
struct Gate {
    /// The track was in an offer that was answered.
    negotiated: AtomicBool,
    /// 0: not negotiated.
    level_extension: AtomicU8,
    packets: AtomicU64,
    bytes: AtomicU64,
    unsent: AtomicU64,
}

impl Sending {
    pub(super) fn start(
        cid: &str,
        kind: TrackKind,
        source: PacketSource,
        feedback: Arc<Feedback>,
        connected: Arc<AtomicBool>,
    ) -> Self {
        // Two random numbers that differ: the stream's and that of its retransmissions.
        let ssrc = rand::random::<u32>() | 1;
        let rtx = (kind == TrackKind::Video).then_some(RTCRtpRtxParameters { ssrc: ssrc & !1 });
        let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..Default::default() };
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            active: true,
            codec: codecs::codec(kind),
            ..Default::default()
        };
        let id = cid.to_owned();
        // The track id in the msid is how the server finds the announcement.
        let track = MediaStreamTrack::new(id.clone(), id.clone(), id, codecs::codec_kind(kind), vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let gate = Arc::new(Gate::default());
        let task = tokio::spawn(run(track.clone(), ssrc, kind, source, gate.clone(), connected));
        Self { ssrc, track, feedback, gate, task }
    }

    /// An offer with the track in it was answered; `answer` says under which ids.
    pub(super) fn negotiated(&self, answer: &str) {
        let id = codecs::extension_id(answer, codecs::AUDIO_LEVEL_URI).unwrap_or(0);
        self.gate.level_extension.store(id, Relaxed);
        self.gate.negotiated.store(true, Relaxed);
    }

    pub(super) fn stats(&self) -> SendStats {
        let rtt = self.feedback.rtt_micros.load(Relaxed);
        SendStats {
            packets: self.gate.packets.load(Relaxed),
            bytes: self.gate.bytes.load(Relaxed),
            unsent: self.gate.unsent.load(Relaxed),
            packets_lost: self.feedback.lost.load(Relaxed),
            loss_percent: self.feedback.loss_percent.load(Relaxed),
            jitter: Duration::from_micros(self.feedback.jitter_micros.load(Relaxed)),
            rtt: (rtt > 0).then(|| Duration::from_micros(rtt)),
            key_frame_requests: self.feedback.key_frame_requests.load(Relaxed),
            packets_nacked: self.feedback.nacked.load(Relaxed),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    kind: TrackKind,
    source: PacketSource,
    gate: Arc<Gate>,
    connected: Arc<AtomicBool>,
) {
    let payload_type = codecs::payload_type(kind);
    let mut source = source.lock().await;
    while let Some(packet) = source.recv().await {
        if !connected.load(Relaxed) || !gate.negotiated.load(Relaxed) {
            gate.unsent.fetch_add(1, Relaxed);
            continue;
        }
        let bytes = packet.payload.len() as u64;
        let packet = wire_packet(packet, ssrc, payload_type, gate.level_extension.load(Relaxed));
        if let Err(error) = track.write_rtp(packet).await {
            tracing::debug!(%error, "packet not sent");
            gate.unsent.fetch_add(1, Relaxed);
            continue;
        }
        gate.packets.fetch_add(1, Relaxed);
        gate.bytes.fetch_add(bytes, Relaxed);
    }
}

fn wire_packet(packet: RtpPacket, ssrc: u32, payload_type: u8, level_extension: u8) -> Packet {
    let mut header = Header {
        version: 2,
        marker: packet.marker,
        payload_type,
        sequence_number: packet.sequence,
        timestamp: packet.timestamp,
        ssrc,
        ..Default::default()
    };
    if let (Some(level), 1..) = (packet.audio_level, level_extension) {
        let byte = (u8::from(level.voice) << 7) | level.minus_dbov.min(127);
        // Cannot fail: the id was checked when it was read, and one byte fits every form.
        let _ = header.set_extension(level_extension, Bytes::copy_from_slice(&[byte]));
    }
    Packet { header, payload: packet.payload }
}

mod millis {
    use std::time::Duration;

    pub fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64() * 1000.0)
    }
}

mod optional_millis {
    use std::time::Duration;

    pub fn serialize<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&(duration.as_secs_f64() * 1000.0)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rtp::AudioLevel;

    #[test]
    fn the_audio_level_goes_out_in_its_header_extension_when_one_was_negotiated() {
        let audio_level = Some(AudioLevel { voice: true, minus_dbov: 30 });
        let packet =
            RtpPacket { sequence: 1, timestamp: 2, marker: true, payload: Bytes::from_static(b"x"), audio_level };
        let sent = wire_packet(packet.clone(), 7, 111, 3);
        assert_eq!(sent.header.get_extension(3).unwrap()[..], [0x80 | 30]);
        assert!(sent.header.marker);
        assert!(wire_packet(packet, 7, 111, 0).header.extensions.is_empty());
    }
}
