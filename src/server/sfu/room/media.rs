//! What comes out of the connections: RTP to forward, key frames to ask for, data to hand on, losses to note.

use super::participant::Direction;
use super::subscribe::{Allowed, State};
use super::{ParticipantKey, Room, TrackKey};
use crate::media::clock::RtpClock;
use crate::media::opus;
use crate::media::red::Red;
use crate::media::vp8::Descriptor;
use crate::server::sfu::data::Routed;
use crate::server::sfu::forward::{Incoming, Temporal};
use crate::server::sfu::layers::Received;
use crate::server::sfu::metrics::count;
use crate::server::sfu::path::Report;
use livekit_protocol::SignalTarget;
use livekit_protocol::participant_info::State as Presence;
use std::sync::Arc;
use std::time::Instant;
use str0m::Event;
use str0m::bwe::BweKind;
use str0m::channel::ChannelData;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, SeqNo, Vp8Descriptor};

impl Room {
    pub(super) fn peer_event(&mut self, now: Instant, key: ParticipantKey, target: SignalTarget, event: Event) {
        match event {
            Event::Connected => self.connected(key, target),
            Event::RtpPacket(packet) if target == SignalTarget::Publisher => self.forward(now, key, &packet),
            Event::KeyframeRequest(request) if target == SignalTarget::Subscriber => {
                count(&self.settings.metrics.plis_in_total, 1);
                self.key_frame_wanted(now, key, request.mid);
            }
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, can_probe }) => {
                self.estimated(now, key, can_probe.then_some(estimate.as_u64()));
            }
            Event::ChannelData(data) => self.data(key, target, &data),
            Event::MediaIngressStats(stats) => {
                self.note_nacks(key, Direction::In, stats.mid, stats.rid, stats.nacks);
                if let (Some(participant), Some(loss)) = (self.participants.get_mut(&key), stats.loss) {
                    participant.quality.lost_up(loss);
                }
            }
            Event::MediaEgressStats(stats) => {
                self.note_nacks(key, Direction::Out, stats.mid, stats.rid, stats.nacks);
                if let (Some(participant), Some(loss)) = (self.participants.get_mut(&key), stats.loss) {
                    participant.quality.lost_down(loss);
                    if let Some(remote) = stats.remote.filter(|_| !participant.peer(target).is_audio(stats.mid)) {
                        participant.path.picture_reported(stats.mid, remote.maximum_sequence_number, loss);
                    }
                }
            }
            Event::PeerStats(stats) if target == SignalTarget::Subscriber => {
                let report =
                    Report { sent: stats.peer_bytes_tx, loss: stats.egress_loss_fraction, round_trip: stats.rtt };
                self.path_reported(now, key, report);
            }
            _ => {}
        }
    }

    fn connected(&mut self, key: ParticipantKey, target: SignalTarget) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if participant.primary() == target && participant.state != Presence::Active {
            participant.state = Presence::Active;
            participant.version += 1;
            self.tell_of(key, true);
        }
    }

    fn forward(&mut self, now: Instant, key: ParticipantKey, packet: &RtpPacket) {
        let ssrc = packet.header.ssrc;
        let Some(publisher) = self.participants.get_mut(&key) else { return };
        let Some((mid, rid)) = publisher.stream(ssrc) else { return };
        let Some(track_key) = publisher.sections.get(&mid).copied() else { return };
        let Some(track) = self.tracks.get_mut(&track_key) else { return };
        if track.info.muted {
            return;
        }
        if track.kind == MediaKind::Audio {
            track.layers.received(now, rid, ssrc, Received { bytes: packet.payload.len(), ..Received::default() });
            let red = publisher.publisher.red_payload_type().filter(|red| *red == packet.header.payload_type);
            if let Some(level) = packet.header.ext_vals.audio_level {
                self.speakers.heard(key, level);
            }
            return self.forward_sound(now, track_key, packet, red.is_some());
        }
        // Anything else than VP8 cannot be followed from key frame to key frame.
        let descriptors = Vp8Descriptor::parse(&packet.payload).ok().zip(Descriptor::parse(&packet.payload).ok());
        let Some((vp8, (descriptor, _))) = descriptors else {
            track.layers.received(now, rid, ssrc, Received { bytes: packet.payload.len(), ..Received::default() });
            return count(&self.settings.metrics.packets_malformed_total, 1);
        };
        let layer = descriptor.temporal_layer.unwrap_or(0);
        let begins_picture = descriptor.begins_frame();
        track.layers.received(now, rid, ssrc, Received { bytes: packet.payload.len(), layer, begins_picture });
        let starts_key_frame = vp8.starts_keyframe(&packet.payload);
        if starts_key_frame {
            track.key_frames.arrived(ssrc);
        }
        let (sequence, timestamp, vp8) = (packet.seq_no, packet.header.timestamp, Some(vp8));
        let temporal = Temporal { layer, sync: descriptor.layer_sync };
        let incoming = Incoming { ssrc, sequence, timestamp, vp8, starts_key_frame, temporal };
        self.send_on(now, track_key, &Outgoing::new(incoming, packet));
        if self.tracks.get(&track_key).is_some_and(|track| track.key_frames.is_wanted()) {
            self.ask_key_frames(now, key);
        }
    }

    /// With RED, what was lost on its way here goes before it.
    fn forward_sound(&mut self, now: Instant, track_key: TrackKey, packet: &RtpPacket, is_red: bool) {
        // Without a payload it is padding.
        let is_red = is_red && !packet.payload.is_empty();
        let (ssrc, sequence, payload) = (packet.header.ssrc, packet.seq_no, &packet.payload);
        let red = if is_red { Red::parse(payload) } else { None };
        if is_red && red.is_none() {
            return count(&self.settings.metrics.packets_malformed_total, 1);
        }
        let primary = red.map(|red| red.primary());
        // What the sender reports of its subscribers are made from: when capturing began, as near as is known here. A
        // packet of sound cannot leave before its last sample.
        let samples = opus::packet_samples(&payload[primary.unwrap_or_default()..]).unwrap_or_default();
        let before = |samples: usize| {
            let length = RtpClock::OPUS.duration(samples as i64);
            packet.timestamp.checked_sub(length).unwrap_or(packet.timestamp)
        };
        let incoming = |sequence: SeqNo, timestamp| Incoming {
            ssrc,
            sequence,
            timestamp,
            vp8: None,
            starts_key_frame: false,
            temporal: Temporal::default(),
        };
        let Some(track) = self.tracks.get_mut(&track_key) else { return };
        if !track.seen.note(ssrc, *sequence) {
            // It was sent on already: it was late, and came with a later one.
            return;
        }
        for block in red.iter().flat_map(Red::blocks) {
            let Some(track) = self.tracks.get_mut(&track_key) else { return };
            let Some(lost) = sequence.checked_sub(u64::from(block.back)).filter(|lost| track.seen.note(ssrc, *lost))
            else {
                continue;
            };
            let outgoing = Outgoing {
                incoming: incoming(lost.into(), packet.header.timestamp.wrapping_sub(block.offset)),
                captured: before(samples + block.offset as usize),
                marker: false,
                extensions: ExtensionValues::default(),
                payload: payload[block.range].into(),
                red: None,
            };
            self.send_on(now, track_key, &outgoing);
            count(&self.settings.metrics.packets_recovered_total, 1);
        }
        let red = red.map(|red| InRed { primary: red.primary(), opus: red.payload_type() });
        let mut outgoing = Outgoing::new(incoming(sequence, packet.header.timestamp), packet);
        (outgoing.captured, outgoing.red) = (before(samples), red);
        self.send_on(now, track_key, &outgoing);
    }

    /// To all subscribers that are to get it now.
    fn send_on(&mut self, now: Instant, track_key: TrackKey, outgoing: &Outgoing) {
        let Some(track) = self.tracks.get_mut(&track_key) else { return };
        let picks = track.layers.picks(now);
        let mut forwarded = 0;
        // Made for the first subscriber that does not take RED.
        let mut without_red = None;
        // Without contents, for whoever does not get the picture of a late packet.
        let mut blank: Option<Arc<[u8]>> = None;
        for subscriber_key in &track.subscribers {
            let Some(subscriber) = self.participants.get_mut(subscriber_key) else { continue };
            let Some(subscription) = subscriber.subscriptions.get_mut(&track_key) else { continue };
            let State::Active { payload_type, red, ssrc, .. } = subscription.state else { continue };
            if subscription.disabled || !subscriber.subscriber.takes_media() {
                continue;
            }
            let Allowed::UpTo { rank, temporal } = subscription.allowed else { continue };
            let Some(wanted) = picks.up_to(rank) else { continue };
            let rewritten = subscription.forwarder.forward(now, &outgoing.incoming, wanted, temporal);
            if subscription.forwarder.awaits_key_frame(wanted) {
                track.key_frames.want(wanted);
            }
            let Some(rewritten) = rewritten else { continue };
            let (payload_type, payload) = match (outgoing.red, red) {
                _ if rewritten.blank => (payload_type, &*blank.get_or_insert_with(|| [].into())),
                (None, _) => (payload_type, &outgoing.payload),
                // Its blocks say of which payload type they are: that has to be the same there.
                (Some(in_red), Some(red)) if in_red.opus == *payload_type => (red, &outgoing.payload),
                (Some(in_red), _) => {
                    (payload_type, &*without_red.get_or_insert_with(|| outgoing.payload[in_red.primary..].into()))
                }
            };
            let mut write = RtpWrite::new(
                payload_type,
                rewritten.sequence,
                rewritten.timestamp,
                outgoing.captured,
                payload.clone(),
            )
            .marker(outgoing.marker && !rewritten.blank)
            .ext_vals(outgoing.extensions.clone())
            .nackable(track.kind == MediaKind::Video);
            if let Some(patch) = rewritten.vp8_patch {
                write = write.vp8_patch(patch);
            }
            if !subscriber.subscriber.write(ssrc, write) {
                continue;
            }
            forwarded += 1;
            if subscriber.subscriber.queue_written() {
                self.dirty.push_back((*subscriber_key, SignalTarget::Subscriber));
            }
        }
        count(&self.settings.metrics.packets_forwarded_total, forwarded);
    }

    /// A subscriber cannot decode. Its publisher is asked, unless it just was.
    fn key_frame_wanted(&mut self, now: Instant, key: ParticipantKey, mid: Mid) {
        let Some(subscriber) = self.participants.get(&key) else { return };
        let held = subscriber.subscriptions.iter().find(|(_, held)| held.state.mid() == Some(mid));
        let Some((track, source)) = held.and_then(|(track, held)| Some((*track, held.forwarder.source()?))) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(&track) else { return };
        track.key_frames.want(source);
        let publisher = track.publisher;
        self.ask_key_frames(now, publisher);
    }

    /// Sends the requests of a publisher's tracks that are due.
    pub(super) fn ask_key_frames(&mut self, now: Instant, key: ParticipantKey) {
        for track in self.tracks.values_mut().filter(|track| track.publisher == key) {
            for ssrc in track.key_frames.due(now) {
                let Some(publisher) = self.participants.get_mut(&key) else { continue };
                if let Some(stream) = publisher.publisher.rtc().direct_api().stream_rx(&ssrc) {
                    stream.request_keyframe(KeyframeRequestKind::Pli);
                    count(&self.settings.metrics.plis_out_total, 1);
                    if publisher.publisher.queue() {
                        self.dirty.push_back((key, SignalTarget::Publisher));
                    }
                }
            }
        }
    }

    fn data(&mut self, key: ParticipantKey, target: SignalTarget, data: &ChannelData) {
        let metrics = self.settings.metrics.clone();
        let Some(sender) = self.participants.get_mut(&key) else { return };
        let Some(channel) = sender.peer(target).channel(data.id) else { return };
        if !sender.grants.publish_data || data.data.len() > self.settings.config.limits.data_bytes {
            return count(&metrics.data_dropped_total, 1);
        }
        let routed = match Routed::read(&data.data, channel, &sender.id, &sender.identity) {
            Ok(routed) => routed,
            Err(error) => {
                tracing::debug!(room = %self.name, %error, "a data message was dropped");
                return count(&metrics.data_dropped_total, 1);
            }
        };
        sender.last_data_sequence = sender.last_data_sequence.max(routed.sequence);
        for (other, receiver) in self.participants.iter_mut().filter(|(other, _)| **other != key) {
            if !routed.is_for(&receiver.id, &receiver.identity) {
                continue;
            }
            // A participant that may not subscribe has its channels on the publisher connection only.
            let through = match receiver.subscriber.has_channel(channel) {
                true => SignalTarget::Subscriber,
                false => SignalTarget::Publisher,
            };
            let sent = receiver.peer(through).send(channel, &routed.bytes);
            count(if sent { &metrics.data_messages_total } else { &metrics.data_dropped_total }, 1);
            if receiver.peer(through).queue() {
                self.dirty.push_back((*other, through));
            }
        }
    }

    /// str0m counts from the start of each stream; the metrics want what is new.
    fn note_nacks(&mut self, key: ParticipantKey, direction: Direction, mid: Mid, rid: Option<Rid>, nacks: u64) {
        let metrics = &self.settings.metrics;
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let before = participant.nacks.insert((direction, mid, rid), nacks).unwrap_or(0);
        let counter = match direction {
            Direction::In => &metrics.nacks_out_total,
            Direction::Out => &metrics.nacks_in_total,
        };
        count(counter, nacks.saturating_sub(before));
    }
}

/// A packet on its way to the subscribers.
struct Outgoing {
    incoming: Incoming,
    captured: Instant,
    marker: bool,
    extensions: ExtensionValues,
    payload: Arc<[u8]>,
    /// The payload is RED.
    red: Option<InRed>,
}

#[derive(Clone, Copy)]
struct InRed {
    /// Where the packet's own Opus begins.
    primary: usize,
    /// The payload type of Opus at the publisher.
    opus: u8,
}

impl Outgoing {
    fn new(incoming: Incoming, packet: &RtpPacket) -> Self {
        Self {
            incoming,
            captured: packet.timestamp,
            marker: packet.header.marker,
            extensions: passed_on(&packet.header.ext_vals),
            payload: packet.payload.clone(),
            red: None,
        }
    }
}

/// The header extensions that belong to the media; the others belong to one connection.
fn passed_on(from: &ExtensionValues) -> ExtensionValues {
    ExtensionValues {
        audio_level: from.audio_level,
        voice_activity: from.voice_activity,
        video_orientation: from.video_orientation,
        ..Default::default()
    }
}
