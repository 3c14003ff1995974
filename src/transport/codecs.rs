//! What we can send and receive, and how loss is repaired: codecs, header extensions, interceptors.

use super::estimate::Estimate;
use super::feedback::{FeedbackTap, Feedbacks};
use super::labels::RepairLabels;
use super::nack::NackGenerator;
use super::receive::RemoteTracks;
use super::repair::{Repair, WithRepairs};
use super::resend::ResendLimit;
use super::round_trip::RoundTripAnswers;
use super::stage::Staged;
use crate::session::TrackKind;
use rtc::interceptor::{
    CongestionControlBuilder, NackResponderBuilder, Registry, Slot, TwccReceiverBuilder, TwccSenderBuilder,
};
use rtc::peer_connection::configuration::interceptor_registry::{configure_rtcp_reports, configure_twcc_sender_only};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine};
use rtc::rtp_transceiver::RTCRtpTransceiverDirection;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use std::sync::Arc;
use webrtc::error::Result;

/// The payload types that browsers use, so that captures read as usual.
pub(super) const OPUS_PAYLOAD_TYPE: u8 = crate::media::opus::PAYLOAD_TYPE;
pub(super) const RED_PAYLOAD_TYPE: u8 = 63;
pub(super) const VP8_PAYLOAD_TYPE: u8 = 96;
const RTX_PAYLOAD_TYPE: u8 = 97;

/// RFC 6464.
pub(super) const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// RFC 9143: lets the other side assign packets to tracks before it knows their SSRCs.
pub(super) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// RFC 8852: the simulcast layer that a packet belongs to, and that a retransmission repairs.
pub(super) const RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
pub(super) const REPAIRED_RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const ABS_SEND_TIME_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

pub(super) fn media_engine() -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    engine.register_codec(parameters(opus(), OPUS_PAYLOAD_TYPE), RtpCodecKind::Audio)?;
    engine.register_codec(parameters(red(), RED_PAYLOAD_TYPE), RtpCodecKind::Audio)?;
    engine.register_codec(parameters(vp8(), VP8_PAYLOAD_TYPE), RtpCodecKind::Video)?;
    engine.register_codec(parameters(rtx(), RTX_PAYLOAD_TYPE), RtpCodecKind::Video)?;
    for (uri, kinds) in [
        (AUDIO_LEVEL_URI, &[RtpCodecKind::Audio][..]),
        (MID_URI, &[RtpCodecKind::Audio, RtpCodecKind::Video]),
        (ABS_SEND_TIME_URI, &[RtpCodecKind::Audio, RtpCodecKind::Video]),
    ] {
        for kind in kinds {
            engine.register_header_extension(RTCRtpHeaderExtensionCapability { uri: uri.to_owned() }, *kind, None)?;
        }
    }
    // Layers are sent; what comes in is one of them, chosen by the server.
    for uri in [RID_URI, REPAIRED_RID_URI] {
        let sent = Some(RTCRtpTransceiverDirection::Sendonly);
        let extension = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
        engine.register_header_extension(extension, RtpCodecKind::Video, sent)?;
    }
    Ok(engine)
}

/// NACK both ways, reports, transport-wide sequence numbers with feedback, and an estimate from it. No pacer: the
/// crate's own would queue voices behind pictures.
pub(super) fn interceptors(
    engine: &mut MediaEngine,
    feedbacks: Arc<Feedbacks>,
    remote_tracks: RemoteTracks,
) -> Result<Registry> {
    let registry = Registry::new()
        .with(Slot::from(3_400), Staged::new(RoundTripAnswers::default()))
        .with(Slot::from(3_600), Staged::new(ResendLimit::new(feedbacks.clone())))
        // Where what is sent again has come in, and has no number yet.
        .with(Slot::from(3_500), Staged::new(RepairLabels::default()))
        .with(Slot::NackResponder, NackResponderBuilder::new().build())
        // Before repair, which takes padding out: a sender that probes with it would find it all lost.
        .with(Slot::from(6_400), TwccReceiverBuilder::new().build())
        .with(Slot::from(6_500), Staged::new(Repair::default()))
        .with(Slot::NackGenerator, Staged::new(NackGenerator::new()));
    let registry = configure_rtcp_reports(registry);
    // What it enters into the engine is wanted, its numbering is not.
    configure_twcc_sender_only(Registry::new(), engine)?;
    let estimate = CongestionControlBuilder::new(Estimate::new(feedbacks.clone())).build();
    let registry = registry
        .with(Slot::TwccSender, WithRepairs(TwccSenderBuilder::new().build()))
        .with(Slot::CongestionControl, WithRepairs(estimate));
    // Next to the wire: it sees all RTCP that comes in, and the sender reports that go out.
    Ok(registry.with(Slot::from(500), Staged::new(FeedbackTap::new(feedbacks, remote_tracks))))
}

pub(super) fn codec(kind: TrackKind) -> RTCRtpCodec {
    match kind {
        TrackKind::Audio => opus(),
        TrackKind::Video => vp8(),
    }
}

pub(super) fn payload_type(kind: TrackKind) -> u8 {
    match kind {
        TrackKind::Audio => OPUS_PAYLOAD_TYPE,
        TrackKind::Video => VP8_PAYLOAD_TYPE,
    }
}

pub(super) fn clock_rate(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Audio => 48_000,
        TrackKind::Video => 90_000,
    }
}

pub(super) fn codec_kind(kind: TrackKind) -> RtpCodecKind {
    match kind {
        TrackKind::Audio => RtpCodecKind::Audio,
        TrackKind::Video => RtpCodecKind::Video,
    }
}

/// The id under which an SDP maps a header extension (RFC 8285 section 5); the same in all sections of a bundle.
pub(super) fn extension_id(sdp: &str, uri: &str) -> Option<u8> {
    sdp.lines().find_map(|line| {
        let mut fields = line.trim_end().strip_prefix("a=extmap:")?.split_ascii_whitespace();
        let id = fields.next()?.split('/').next()?;
        if fields.next()? == uri { id.parse().ok().filter(|id| (1..=14).contains(id)) } else { None }
    })
}

/// The MID of the section in which a description sends the track of that id.
pub(super) fn mid_of<'a>(sdp: &'a str, track: &str) -> Option<&'a str> {
    let (mut mid, mut is_it) = (None, false);
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            (mid, is_it) = (None, false);
        } else if let Some(value) = line.strip_prefix("a=mid:") {
            mid = Some(value);
        } else if let Some(msid) = line.strip_prefix("a=msid:") {
            is_it |= msid.split_ascii_whitespace().nth(1) == Some(track);
        }
        if is_it && mid.is_some() {
            return mid;
        }
    }
    None
}

/// The payload type that an SDP gives to RED.
pub(super) fn red_payload_type(sdp: &str) -> Option<u8> {
    sdp.lines().find_map(|line| {
        let (payload_type, codec) = line.trim_end().strip_prefix("a=rtpmap:")?.split_once(' ')?;
        codec.eq_ignore_ascii_case("red/48000/2").then_some(payload_type)?.parse().ok()
    })
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        // Always 2 in SDP (RFC 7587 section 7); what is sent is mono.
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

/// RFC 2198, with the payload type of what is in it as its format parameter.
fn red() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/red".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: format!("{OPUS_PAYLOAD_TYPE}/{OPUS_PAYLOAD_TYPE}"),
        rtcp_feedback: Vec::new(),
    }
}

fn vp8() -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    RTCRtpCodec {
        mime_type: MIME_TYPE_VP8.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: vec![
            feedback("ccm", "fir"),
            feedback("nack", ""),
            feedback("nack", "pli"),
            feedback("goog-remb", ""),
        ],
    }
}

fn rtx() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!("apt={VP8_PAYLOAD_TYPE}"),
        rtcp_feedback: Vec::new(),
    }
}

fn parameters(rtp_codec: RTCRtpCodec, payload_type: u8) -> RTCRtpCodecParameters {
    RTCRtpCodecParameters { rtp_codec, payload_type }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use rtc::interceptor::RTCPFeedback as InterceptorFeedback;
    use rtc::interceptor::{AttributedPacket, Interceptor, Packet, RTPHeaderExtension, StreamInfo, TaggedPacket};
    use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
        NackPair, TransportLayerNack, nack_pairs_from_sequence_numbers,
    };
    use rtc::rtp;
    use rtc::sansio::Protocol;
    use std::time::{Duration, Instant};

    const TWCC_URI: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

    #[test]
    fn padding_that_came_is_not_reported_as_lost() {
        let registry = interceptors(&mut media_engine().unwrap(), Arc::default(), RemoteTracks::default()).unwrap();
        let mut chain = registry.build();
        let extension = RTPHeaderExtension { uri: TWCC_URI.to_owned(), id: 3 };
        chain.bind_remote_stream(&StreamInfo {
            ssrc: 7,
            payload_type: VP8_PAYLOAD_TYPE,
            ssrc_rtx: Some(8),
            payload_type_rtx: Some(RTX_PAYLOAD_TYPE),
            rtp_header_extensions: vec![extension],
            ..Default::default()
        });
        let start = Instant::now();
        // A picture, padding on the stream of retransmissions, and a picture.
        for (sequence, ssrc, payload) in [(0, 7, &b"vp8"[..]), (1, 8, &b""[..]), (2, 8, &b""[..]), (3, 7, &b"vp8"[..])]
        {
            let mut header = rtp::header::Header { ssrc, sequence_number: sequence, ..Default::default() };
            header.set_extension(3, Bytes::copy_from_slice(&sequence.to_be_bytes())).unwrap();
            let packet = rtp::Packet { header, payload: Bytes::from_static(payload) };
            let message = AttributedPacket::new(Packet::Rtp(packet));
            let tagged = TaggedPacket { now: start, transport: Default::default(), message };
            chain.handle_read(tagged).unwrap();
        }
        chain.handle_timeout(start + Duration::from_secs(1)).unwrap();
        let sent = std::iter::from_fn(|| chain.poll_write());
        let reported = sent.flat_map(|tagged| match tagged.message.packet {
            Packet::Rtcp(packets) => packets,
            _ => Vec::new(),
        });
        let arrived: Vec<usize> = reported
            .filter_map(|packet| packet.as_any().downcast_ref::<TransportLayerCc>().map(|cc| cc.recv_deltas.len()))
            .collect();
        assert_eq!(arrived, [4]);
    }

    #[test]
    fn what_is_sent_again_has_a_number_of_its_own_to_be_reported_by() {
        let registry = interceptors(&mut media_engine().unwrap(), Arc::default(), RemoteTracks::default()).unwrap();
        let mut chain = registry.build();
        chain.bind_local_stream(&StreamInfo {
            ssrc: 7,
            payload_type: VP8_PAYLOAD_TYPE,
            ssrc_rtx: Some(8),
            payload_type_rtx: Some(RTX_PAYLOAD_TYPE),
            rtp_header_extensions: vec![RTPHeaderExtension { uri: TWCC_URI.to_owned(), id: 3 }],
            rtcp_feedback: vec![InterceptorFeedback { typ: "nack".into(), parameter: String::new() }],
            ..Default::default()
        });
        let tagged = |packet| {
            let message = AttributedPacket::new(packet);
            TaggedPacket { now: Instant::now(), transport: Default::default(), message }
        };
        for sequence_number in [20, 21] {
            let header = rtp::header::Header { ssrc: 7, sequence_number, ..Default::default() };
            let packet = rtp::Packet { header, payload: Bytes::from_static(b"vp8") };
            chain.handle_write(tagged(Packet::Rtp(packet))).unwrap();
        }
        let nacks = nack_pairs_from_sequence_numbers(&[20]);
        let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks };
        chain.handle_read(tagged(Packet::Rtcp(vec![Box::new(nack)]))).unwrap();
        let sent = std::iter::from_fn(|| chain.poll_write()).filter_map(|tagged| match tagged.message.packet {
            Packet::Rtp(packet) => Some((packet.header.ssrc, packet.header.get_extension(3)?.to_vec())),
            _ => None,
        });
        assert_eq!(sent.collect::<Vec<_>>(), [(7, vec![0, 0]), (7, vec![0, 1]), (8, vec![0, 2])]);
    }

    #[test]
    fn feedback_for_packets_that_were_never_sent_has_no_effect() {
        let registry = interceptors(&mut media_engine().unwrap(), Arc::default(), RemoteTracks::default()).unwrap();
        let mut chain = registry.build();
        let nack = InterceptorFeedback { typ: "nack".into(), parameter: String::new() };
        chain.bind_local_stream(&StreamInfo {
            ssrc: 7,
            payload_type: VP8_PAYLOAD_TYPE,
            ssrc_rtx: Some(8),
            payload_type_rtx: Some(RTX_PAYLOAD_TYPE),
            rtcp_feedback: vec![nack],
            ..Default::default()
        });
        let start = Instant::now();
        for n in 0..5000u16 {
            let now = start + Duration::from_millis(1) * n.into();
            let nacks = vec![NackPair { packet_id: n, lost_packets: 0xffff }];
            for media_ssrc in [7, n.into()] {
                let nacked = TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks: nacks.clone() };
                let lost = PictureLossIndication { sender_ssrc: 1, media_ssrc };
                let arrived = TransportLayerCc {
                    media_ssrc,
                    base_sequence_number: n.wrapping_mul(97),
                    packet_status_count: u16::MAX,
                    ..Default::default()
                };
                let packets = vec![Box::new(nacked) as _, Box::new(lost) as _, Box::new(arrived) as _];
                let message = AttributedPacket::new(Packet::Rtcp(packets));
                chain.handle_read(TaggedPacket { now, transport: Default::default(), message }).unwrap();
            }
        }
        let sent = std::iter::from_fn(|| chain.poll_write());
        assert_eq!(sent.filter(|tagged| matches!(tagged.message.packet, Packet::Rtp(_))).count(), 0);
    }

    #[test]
    fn a_tracks_section_is_found_by_its_msid() {
        let sdp =
            "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=msid:mic mic\r\nm=video 9 X 96\r\na=msid:s cam\r\na=mid:1\r\n";
        assert_eq!((mid_of(sdp, "mic"), mid_of(sdp, "cam"), mid_of(sdp, "s")), (Some("0"), Some("1"), None));
    }

    #[test]
    fn the_payload_type_of_red_is_read() {
        let sdp = "m=audio 9 X 111 63\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n";
        assert_eq!(red_payload_type(sdp), Some(RED_PAYLOAD_TYPE));
        assert_eq!(red_payload_type("m=video 9 X 98\r\na=rtpmap:98 red/90000\r\na=rtpmap:x red/48000/2\r\n"), None);
    }

    #[test]
    fn an_extension_id_is_read_with_and_without_a_direction() {
        let sdp = format!("m=audio 9 X 111\r\na=extmap:1/sendonly {MID_URI}\r\na=extmap:3 {AUDIO_LEVEL_URI}\r\n");
        assert_eq!(extension_id(&sdp, AUDIO_LEVEL_URI), Some(3));
        assert_eq!(extension_id(&sdp, MID_URI), Some(1));
        assert_eq!(extension_id("a=extmap:99 x\na=extmap:", "x"), None);
    }
}
