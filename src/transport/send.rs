//! Tracks that we send: a task for each of their layers, from the pipeline's packets to the peer connection.

use super::codecs;
use super::feedback::Feedback;
use crate::media::control::SendControl;
use crate::media::pacer::Pacer;
use crate::media::red::Red;
use crate::media::rtp::RtpPacket;
use crate::media::simulcast::RIDS;
use crate::session::TrackKind;
use bytes::{Buf, Bytes};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp::{Packet, header::Header};
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
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
    pub(super) track: Arc<TrackLocalStaticRTP>,
    /// Lowest first.
    pub(super) layers: Vec<Layer>,
    cid: String,
    gate: Arc<Gate>,
}

/// One stream of a track: all of it, or a simulcast layer.
pub(super) struct Layer {
    pub(super) ssrc: u32,
    pub(super) feedback: Arc<Feedback>,
    task: tokio::task::JoinHandle<()>,
}

/// Whether packets can go out, and what became of them.
#[derive(Debug, Default)]
struct Gate {
    /// The track was in an offer that was answered.
    negotiated: AtomicBool,
    /// 0: not negotiated.
    level_extension: AtomicU8,
    /// How layers are told apart, where the other side takes them.
    labels: OnceLock<Labels>,
    /// 0: not negotiated.
    red_payload_type: AtomicU8,
    packets: AtomicU64,
    bytes: AtomicU64,
    unsent: AtomicU64,
}

/// The header extensions that name a layer, by their ids.
#[derive(Debug)]
struct Labels {
    mid_extension: u8,
    rid_extension: u8,
    mid: Bytes,
}

/// What a stream's task knows of it.
struct Stream {
    ssrc: u32,
    kind: TrackKind,
    /// Of a simulcast layer.
    rid: Option<&'static str>,
    /// The best layer is what a receiver that knows no layers gets.
    is_best: bool,
}

impl Sending {
    /// `sources` are those of the track's layers, lowest first.
    pub(super) fn start(
        cid: &str,
        kind: TrackKind,
        sources: Vec<PacketSource>,
        control: &Arc<SendControl>,
        connected: &Arc<AtomicBool>,
    ) -> Self {
        let count = sources.len();
        // Nothing is known of this connection's path.
        control.set_pace(0);
        let streams: Vec<Stream> = (0..count)
            .map(|layer| Stream {
                // Random numbers that differ in more than their last bit, which tells a stream from its retransmissions.
                ssrc: (rand::random::<u32>() & !0b111) | (layer as u32) << 1 | 1,
                kind,
                rid: (count > 1).then(|| RIDS[layer]),
                is_best: layer + 1 == count,
            })
            .collect();
        let encodings = streams.iter().map(Stream::encoding).collect();
        let id = cid.to_owned();
        // The track id in the msid is how the server finds the announcement.
        let track = MediaStreamTrack::new(id.clone(), id.clone(), id, codecs::codec_kind(kind), encodings);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let gate = Arc::new(Gate::default());
        let layers = streams.into_iter().zip(sources).enumerate().map(|(layer, (stream, source))| Layer {
            ssrc: stream.ssrc,
            feedback: Arc::new(Feedback::new(control.clone(), kind, layer)),
            task: tokio::spawn(run(track.clone(), stream, source, control.clone(), gate.clone(), connected.clone())),
        });
        Self { layers: layers.collect(), track, cid: cid.to_owned(), gate }
    }

    /// An offer with the track in it was answered; `answer` says under which ids.
    pub(super) fn negotiated(&self, offer: &str, answer: &str) {
        let id = |uri| codecs::extension_id(answer, uri);
        self.gate.level_extension.store(id(codecs::AUDIO_LEVEL_URI).unwrap_or(0), Relaxed);
        if let (Some(mid), Some(mid_extension), Some(rid_extension)) =
            (codecs::mid_of(offer, &self.cid), id(codecs::MID_URI), id(codecs::RID_URI))
        {
            let mid = Bytes::copy_from_slice(mid.as_bytes());
            // The same as before, when the connection is negotiated anew.
            let _ = self.gate.labels.set(Labels { mid_extension, rid_extension, mid });
        }
        let red = codecs::red_payload_type(answer).unwrap_or(0);
        self.gate.red_payload_type.store(red, Relaxed);
        self.layers.iter().for_each(|layer| layer.feedback.takes_red(red > 0));
        self.gate.negotiated.store(true, Relaxed);
    }

    /// Of all layers together; of what is measured of each, the worst.
    pub(super) fn stats(&self) -> SendStats {
        let feedbacks = || self.layers.iter().map(|layer| &layer.feedback);
        let rtt = feedbacks().map(|feedback| feedback.rtt_micros.load(Relaxed)).max().unwrap_or(0);
        let jitter = feedbacks().map(|feedback| feedback.jitter_micros.load(Relaxed)).max().unwrap_or(0);
        SendStats {
            packets: self.gate.packets.load(Relaxed),
            bytes: self.gate.bytes.load(Relaxed),
            unsent: self.gate.unsent.load(Relaxed),
            packets_lost: feedbacks().map(|feedback| feedback.lost.load(Relaxed)).fold(0, u32::saturating_add),
            loss_percent: feedbacks().map(|feedback| feedback.loss_percent.load(Relaxed)).max().unwrap_or(0),
            jitter: Duration::from_micros(jitter),
            rtt: (rtt > 0).then(|| Duration::from_micros(rtt)),
            key_frame_requests: feedbacks().map(|feedback| feedback.key_frame_requests.load(Relaxed)).sum(),
            packets_nacked: feedbacks().map(|feedback| feedback.nacked.load(Relaxed)).sum(),
        }
    }
}

impl Stream {
    fn encoding(&self) -> RTCRtpEncodingParameters {
        let rtx = (self.kind == TrackKind::Video).then_some(RTCRtpRtxParameters { ssrc: self.ssrc & !1 });
        let coding = RTCRtpCodingParameters {
            rid: self.rid.unwrap_or_default().to_owned(),
            ssrc: Some(self.ssrc),
            rtx,
            ..Default::default()
        };
        RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            active: true,
            codec: codecs::codec(self.kind),
            ..Default::default()
        }
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    track: Arc<TrackLocalStaticRTP>,
    stream: Stream,
    source: PacketSource,
    control: Arc<SendControl>,
    gate: Arc<Gate>,
    connected: Arc<AtomicBool>,
) {
    let payload_type = codecs::payload_type(stream.kind);
    let mut pacer = Pacer::default();
    let mut source = source.lock().await;
    while let Some(packet) = source.recv().await {
        let labels = gate.labels.get();
        let is_taken = stream.rid.is_none() || stream.is_best || labels.is_some();
        if !connected.load(Relaxed) || !gate.negotiated.load(Relaxed) || !is_taken {
            gate.unsent.fetch_add(1, Relaxed);
            continue;
        }
        let bytes = packet.payload.len() as u64;
        let level = gate.level_extension.load(Relaxed);
        let mut packet = match gate.red_payload_type.load(Relaxed) {
            red @ 1.. if packet.red => wire_packet(packet, stream.ssrc, red, level),
            _ => wire_packet(without_red(packet), stream.ssrc, payload_type, level),
        };
        if let (Some(rid), Some(labels)) = (stream.rid, labels) {
            labels.put(&mut packet.header, rid);
        }
        if let Err(error) = track.write_rtp(packet).await {
            tracing::debug!(%error, "packet not sent");
            gate.unsent.fetch_add(1, Relaxed);
            continue;
        }
        gate.packets.fetch_add(1, Relaxed);
        gate.bytes.fetch_add(bytes, Relaxed);
        let is_paced = stream.kind == TrackKind::Video;
        if let Some(next) =
            pacer.sent(Instant::now(), bytes as usize, source.len(), control.pace_bps()).filter(|_| is_paced)
        {
            tokio::time::sleep_until(next.into()).await;
        }
    }
}

impl Labels {
    fn put(&self, header: &mut Header, rid: &'static str) {
        // Cannot fail: the ids were checked when they were read, and a MID and RID of a few letters fit every form.
        let _ = header.set_extension(self.mid_extension, self.mid.clone());
        let _ = header.set_extension(self.rid_extension, Bytes::from_static(rid.as_bytes()));
    }
}

/// For a connection that did not agree on it: packets that waited for another one have it.
fn without_red(mut packet: RtpPacket) -> RtpPacket {
    if packet.red {
        let primary = Red::parse(&packet.payload).map_or(packet.payload.len(), |red| red.primary());
        packet.payload.advance(primary);
        packet.red = false;
    }
    packet
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
        let payload = Bytes::from_static(b"x");
        let packet = RtpPacket { sequence: 1, timestamp: 2, marker: true, payload, red: false, audio_level };
        let sent = wire_packet(packet.clone(), 7, 111, 3);
        assert_eq!(sent.header.get_extension(3).unwrap()[..], [0x80 | 30]);
        assert!(sent.header.marker);
        assert!(wire_packet(packet, 7, 111, 0).header.extensions.is_empty());
    }

    #[test]
    fn a_layers_packet_names_its_section_and_its_layer() {
        let labels = Labels { mid_extension: 4, rid_extension: 5, mid: Bytes::from_static(b"1") };
        let mut header = Header::default();
        labels.put(&mut header, RIDS[1]);
        assert_eq!(header.get_extension(4).unwrap()[..], b"1"[..]);
        assert_eq!(header.get_extension(5).unwrap()[..], b"h"[..]);
    }

    #[test]
    fn where_red_was_not_agreed_on_the_packet_itself_is_sent() {
        let payload = Bytes::from_static(&[0x80 | 111, 0x0f, 0, 2, 111, b'a', b'b', b'c']);
        let packet = RtpPacket { sequence: 1, timestamp: 2, marker: false, payload, red: true, audio_level: None };
        let plain = without_red(packet);
        assert_eq!((&plain.payload[..], plain.red), (&b"c"[..], false));
        assert_eq!(without_red(plain.clone()), plain);
    }
}
