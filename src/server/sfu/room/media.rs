//! What comes out of the connections: RTP to forward, key frames to ask for, data to hand on, losses to note.

use super::participant::Direction;
use super::subscribe::{Allowed, State};
use super::{ParticipantKey, Room};
use crate::media::clock::RtpClock;
use crate::media::opus;
use crate::server::sfu::data::Routed;
use crate::server::sfu::forward::Incoming;
use crate::server::sfu::metrics::count;
use crate::server::sfu::path::Report;
use livekit_protocol::SignalTarget;
use livekit_protocol::participant_info::State as Presence;
use std::time::Instant;
use str0m::Event;
use str0m::bwe::BweKind;
use str0m::channel::ChannelData;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Vp8Descriptor};

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
        track.layers.received(now, rid, ssrc, packet.payload.len());
        let picks = track.layers.picks(now);
        let vp8 = match track.kind {
            MediaKind::Audio => {
                if let Some(level) = packet.header.ext_vals.audio_level {
                    self.speakers.heard(key, level);
                }
                None
            }
            // Anything else than VP8 cannot be followed from key frame to key frame.
            MediaKind::Video => match Vp8Descriptor::parse(&packet.payload) {
                Ok(descriptor) => Some(descriptor),
                Err(_) => return count(&self.settings.metrics.packets_malformed_total, 1),
            },
        };
        // What the sender reports of its subscribers are made from: when capturing began, as near as is known here. A
        // packet of sound cannot leave before its last sample.
        let samples = if vp8.is_none() { opus::packet_samples(&packet.payload) } else { None };
        let length = RtpClock::OPUS.duration(samples.unwrap_or_default() as i64);
        let captured = packet.timestamp.checked_sub(length).unwrap_or(packet.timestamp);
        let starts_key_frame = vp8.is_some_and(|vp8| vp8.starts_keyframe(&packet.payload));
        if starts_key_frame {
            track.key_frames.arrived(ssrc);
        }
        let incoming =
            Incoming { ssrc, sequence: packet.seq_no, timestamp: packet.header.timestamp, vp8, starts_key_frame };
        let mut forwarded = 0;
        for subscriber_key in &track.subscribers {
            let Some(subscriber) = self.participants.get_mut(subscriber_key) else { continue };
            let Some(subscription) = subscriber.subscriptions.get_mut(&track_key) else { continue };
            let State::Active { payload_type, ssrc: outgoing, .. } = subscription.state else { continue };
            if subscription.disabled || !subscriber.subscriber.is_connected() {
                continue;
            }
            let Allowed::UpTo(rank) = subscription.allowed else { continue };
            let Some(wanted) = picks.up_to(rank) else { continue };
            let rewritten = subscription.forwarder.forward(now, &incoming, wanted);
            if subscription.forwarder.awaits_key_frame(wanted) {
                track.key_frames.want(wanted);
            }
            let Some(rewritten) = rewritten else { continue };
            let mut write =
                RtpWrite::new(payload_type, rewritten.sequence, rewritten.timestamp, captured, packet.payload.clone())
                    .marker(packet.header.marker)
                    .ext_vals(passed_on(&packet.header.ext_vals))
                    .nackable(track.kind == MediaKind::Video);
            if let Some(patch) = rewritten.vp8_patch {
                write = write.vp8_patch(patch);
            }
            if !subscriber.subscriber.write(outgoing, write) {
                continue;
            }
            forwarded += 1;
            if subscriber.subscriber.queue() {
                self.dirty.push_back((*subscriber_key, SignalTarget::Subscriber));
            }
        }
        count(&self.settings.metrics.packets_forwarded_total, forwarded);
        if track.key_frames.is_wanted() {
            self.ask_key_frames(now, key);
        }
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

/// The header extensions that belong to the media; the others belong to one connection.
fn passed_on(from: &ExtensionValues) -> ExtensionValues {
    ExtensionValues {
        audio_level: from.audio_level,
        voice_activity: from.voice_activity,
        video_orientation: from.video_orientation,
        ..Default::default()
    }
}
