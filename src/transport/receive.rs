//! Tracks of others: a task each drains the peer connection's queue into whatever sink is attached under the track's id.

use super::codecs;
use crate::base::TrackId;
use crate::media::rtp::{AudioLevel, ReceivedPacket, RtpPacket};
use crate::media::sync::SenderReports;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

/// More than any room we could play.
const MAX_TRACKS: usize = 512;

/// What came in of one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReceiveStats {
    pub packets: u64,
    /// RTP payload.
    pub bytes: u64,
    /// Packets for which no pipeline was there, or whose pipeline had ended.
    pub dropped: u64,
}

/// Takes one packet; must not block. False when it is not taken.
pub type PacketSink = Box<dyn Fn(ReceivedPacket) -> bool + Send>;

/// The sinks of the remote tracks, by track id. A sink may be attached before the track's first packet. Cheap to clone.
#[derive(Clone, Default)]
pub struct RemoteTracks(Arc<Mutex<HashMap<TrackId, Arc<Slot>>>>);

/// What the offer says of the numbers in packets. 0: not agreed on.
#[derive(Debug, Default)]
pub(super) struct Negotiated {
    level_extension: AtomicU8,
    red_payload_type: AtomicU8,
}

impl Negotiated {
    pub(super) fn read(&self, offer: &str) {
        self.level_extension.store(codecs::extension_id(offer, codecs::AUDIO_LEVEL_URI).unwrap_or(0), Relaxed);
        self.red_payload_type.store(codecs::red_payload_type(offer).unwrap_or(0), Relaxed);
    }
}

#[derive(Default)]
struct Slot {
    sink: Mutex<Option<PacketSink>>,
    /// Where requests to its sender go; there from the first packet on.
    remote: Mutex<Option<Arc<dyn TrackRemote>>>,
    ssrc: AtomicU32,
    reports: Arc<SenderReports>,
    packets: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

impl RemoteTracks {
    /// From now on the track's packets go there. A packet without payload is padding, sent to
    /// probe the network: nothing to decode, but its sequence number counts.
    pub fn attach(&self, id: &TrackId, sink: PacketSink) {
        if let Some(slot) = self.slot(id) {
            *lock(&slot.sink) = Some(sink);
        }
    }

    /// From now on the track's packets are dropped.
    pub fn detach(&self, id: &TrackId) {
        if let Some(slot) = lock(&self.0).get(id) {
            *lock(&slot.sink) = None;
        }
    }

    pub fn stats(&self, id: &TrackId) -> Option<ReceiveStats> {
        let slot = lock(&self.0).get(id)?.clone();
        Some(ReceiveStats {
            packets: slot.packets.load(Relaxed),
            bytes: slot.bytes.load(Relaxed),
            dropped: slot.dropped.load(Relaxed),
        })
    }

    /// Where the sender reports of a track arrive.
    pub fn sender_reports(&self, id: &TrackId) -> Arc<SenderReports> {
        self.slot(id).map(|slot| slot.reports.clone()).unwrap_or_default()
    }

    /// A sender report has come in.
    pub(super) fn reported(&self, ssrc: u32, ntp: u64, rtp: u32) {
        if let Some(slot) = lock(&self.0).values().find(|slot| slot.ssrc.load(Relaxed) == ssrc) {
            slot.reports.note(ntp, rtp);
        }
    }

    /// Asks the track's sender for a key frame (PLI, RFC 4585 section 6.3.1). Without effect before its first packet.
    pub async fn request_key_frame(&self, id: &TrackId) {
        let Some(slot) = lock(&self.0).get(id).cloned() else { return };
        let remote = lock(&slot.remote).clone();
        if let Some(remote) = remote {
            let pli = PictureLossIndication { sender_ssrc: 0, media_ssrc: slot.ssrc.load(Relaxed) };
            if let Err(error) = remote.write_rtcp(vec![Box::new(pli)]).await {
                tracing::debug!(%error, "key frame request not sent");
            }
        }
    }

    /// Until the track or its connection ends.
    pub(super) async fn drain(self, remote: Arc<dyn TrackRemote>, negotiated: Arc<Negotiated>) {
        let Ok(id) = TrackId::new(remote.track_id().await) else { return };
        let Some(slot) = self.slot(&id) else { return };
        *lock(&slot.remote) = Some(remote.clone());
        while let Some(event) = remote.poll().await {
            match event {
                TrackRemoteEvent::OnRtpPacket(packet) => {
                    slot.ssrc.store(packet.header.ssrc, Relaxed);
                    slot.take(packet, &negotiated);
                }
                TrackRemoteEvent::OnEnded | TrackRemoteEvent::OnError => break,
                _ => {}
            }
        }
        *lock(&slot.remote) = None;
    }

    /// A new connection has tracks of its own; ids of the last one may come again.
    pub(super) fn forget_remotes(&self) {
        lock(&self.0).values().for_each(|slot| *lock(&slot.remote) = None);
    }

    fn slot(&self, id: &TrackId) -> Option<Arc<Slot>> {
        let mut slots = lock(&self.0);
        if slots.len() >= MAX_TRACKS && !slots.contains_key(id) {
            // Those of tracks that are over make room.
            slots.retain(|_, slot| lock(&slot.sink).is_some());
            if slots.len() >= MAX_TRACKS {
                return None;
            }
        }
        Some(slots.entry(id.clone()).or_default().clone())
    }
}

impl Slot {
    fn take(&self, packet: rtc::rtp::Packet, negotiated: &Negotiated) {
        self.packets.fetch_add(1, Relaxed);
        self.bytes.fetch_add(packet.payload.len() as u64, Relaxed);
        let level = packet.header.get_extension(negotiated.level_extension.load(Relaxed));
        let level = level.and_then(|bytes| bytes.first().copied());
        let red = negotiated.red_payload_type.load(Relaxed);
        let packet = RtpPacket {
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload: packet.payload,
            red: red > 0 && packet.header.payload_type == red,
            audio_level: level.map(|byte| AudioLevel { voice: byte & 0x80 != 0, minus_dbov: byte & 0x7f }),
        };
        let packet = ReceivedPacket { packet, arrival: Instant::now() };
        let taken = lock(&self.sink).as_ref().is_some_and(|sink| sink(packet));
        if !taken {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use rtc::shared::marshal::Unmarshal;

    fn packet(sequence_number: u16) -> rtc::rtp::Packet {
        let header = rtc::rtp::header::Header { sequence_number, ..Default::default() };
        rtc::rtp::Packet { header, payload: bytes::Bytes::from_static(b"x") }
    }

    /// What the connection reads packets with, before anything of ours sees them.
    #[test]
    fn packets_that_lie_about_their_lengths_are_refused_and_random_ones_do_no_harm() {
        let parse = |bytes: &[u8]| rtc::rtp::Packet::unmarshal(&mut bytes::Bytes::copy_from_slice(bytes));
        let header = |first: u8| [&[first, 111, 0, 1][..], &[0; 8]].concat();
        assert_eq!(&parse(&[&header(0x80)[..], b"whole"].concat()).unwrap().payload[..], b"whole");
        assert_eq!(&parse(&[&header(0xa0)[..], b"whole", &[0, 2]].concat()).unwrap().payload[..], b"whole");
        for (what, packet) in [
            ("padding longer than the packet", [&header(0xa0)[..], &[1, 2, 200]].concat()),
            ("padding without a length", header(0xa0)),
            ("an extension that goes on past the end", [&header(0x90)[..], &[0xbe, 0xde, 0, 200, 0x10, 1]].concat()),
            ("an element that goes on past the end", [&header(0x90)[..], &[0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3]].concat()),
            ("fewer contributing sources than it says", header(0x8f)),
            ("a header cut short", header(0x80)[..11].to_vec()),
        ] {
            assert!(parse(&packet).is_err(), "{what}");
        }
        let mut random = StdRng::seed_from_u64(11);
        for _ in 0..100_000 {
            let mut bytes: Vec<u8> = (0..random.random_range(0..60)).map(|_| random.random()).collect();
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | *first & 0x3f;
            }
            if let Some(profile) = bytes.get_mut(12..14) {
                profile.copy_from_slice(if random.random() { &[0xbe, 0xde] } else { &[0x10, 0] });
            }
            if let Ok(packet) = parse(&bytes) {
                assert!(packet.payload.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn packets_go_to_the_attached_sink_and_what_it_does_not_take_is_counted() {
        let tracks = RemoteTracks::default();
        let id = TrackId::new("TR_1").unwrap();
        let (sink, packets) = crossbeam_channel::bounded(1);
        tracks.attach(&id, Box::new(move |packet| sink.try_send(packet).is_ok()));
        let slot = tracks.slot(&id).unwrap();
        slot.take(packet(1), &Negotiated::default());
        slot.take(packet(2), &Negotiated::default());
        assert_eq!(packets.try_recv().unwrap().packet.sequence, 1);
        tracks.detach(&id);
        slot.take(packet(3), &Negotiated::default());
        assert_eq!(tracks.stats(&id), Some(ReceiveStats { packets: 3, bytes: 3, dropped: 2 }));
    }
}
