//! What makes several incoming RTP streams one outgoing stream without a seam.
//!
//! A subscriber sees one SSRC whose sequence numbers, timestamps and VP8 picture ids run on, whatever happens at the
//! publisher: mute, a new SSRC, another simulcast layer. A video stream begins, and changes its source, at a key frame
//! only, so that a decoder never sees what it has no reference for.

use super::red::Window;
use std::time::Instant;
use str0m::rtp::{SeqNo, Ssrc, Vp8Descriptor, Vp8Patch};

/// Picture ids are 15 bits wide, or 7 in the short form (RFC 7741, section 4.2).
const PICTURE_ID_MASK: u16 = 0x7fff;
const SHORT_PICTURE_ID_MASK: u16 = 0x7f;

/// The first sequence number sent. Small, as the rollover counter of SRTP starts at 0 (RFC 3711, section 3.3.1).
const FIRST_SEQUENCE: u64 = 1000;

/// The mapping from one publisher's streams to one subscriber's.
#[derive(Debug)]
pub(super) struct Forwarder {
    clock_rate: u32,
    /// Audio may start at any packet.
    needs_key_frame: bool,
    current: Option<Current>,
    last: Option<Last>,
    /// Sound: the numbers that were used. A packet may come twice, itself and from redundancy, and no number may be used
    /// twice with other contents (RFC 3711, section 9.1; RFC 7714, section 8.1).
    sent: Option<Window>,
}

/// A packet of a publisher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    pub ssrc: Ssrc,
    /// Extended by its rollovers.
    pub sequence: SeqNo,
    pub timestamp: u32,
    pub vp8: Option<Vp8Descriptor>,
    pub starts_key_frame: bool,
}

/// The same packet as the subscriber gets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewritten {
    pub sequence: SeqNo,
    pub timestamp: u32,
    pub vp8_patch: Option<Vp8Patch>,
}

/// The stream that is being forwarded, and how its numbers map.
#[derive(Clone, Copy, Debug)]
struct Current {
    ssrc: Ssrc,
    first_in: u64,
    first_out: u64,
    timestamp_offset: u32,
    picture_offset: u16,
    tl0_offset: u8,
}

/// The newest packet sent.
#[derive(Clone, Copy, Debug)]
struct Last {
    sequence: u64,
    timestamp: u32,
    at: Instant,
    picture: u16,
    tl0: u8,
}

impl Forwarder {
    pub fn audio() -> Self {
        Self { clock_rate: 48_000, needs_key_frame: false, current: None, last: None, sent: Some(Window::default()) }
    }

    pub fn video() -> Self {
        Self { clock_rate: 90_000, needs_key_frame: true, current: None, last: None, sent: None }
    }

    /// The stream that is being forwarded now.
    pub fn source(&self) -> Option<Ssrc> {
        self.current.map(|current| current.ssrc)
    }

    /// True while nothing can be forwarded until `wanted` brings a key frame.
    pub fn awaits_key_frame(&self, wanted: Ssrc) -> bool {
        self.needs_key_frame && self.source() != Some(wanted)
    }

    /// What comes next does not follow what went before: muted, paused, or taken away.
    pub fn interrupt(&mut self) {
        self.current = None;
    }

    /// The packet as it is to be sent, or nothing when it is not for this subscriber now. `wanted` is the stream that
    /// the subscriber should be getting; the change to it happens at its next key frame.
    pub fn forward(&mut self, now: Instant, packet: &Incoming, wanted: Ssrc) -> Option<Rewritten> {
        if self.source() != Some(packet.ssrc) {
            let may_start = packet.ssrc == wanted && (!self.needs_key_frame || packet.starts_key_frame);
            if !may_start {
                return None;
            }
            self.current = Some(self.start(now, packet));
        }
        let current = self.current?;
        // Late packets from before the start have no number left for them.
        let ahead = (*packet.sequence).checked_sub(current.first_in)?;
        let sequence = current.first_out + ahead;
        if self.sent.as_mut().is_some_and(|sent| !sent.note(sequence)) {
            return None;
        }
        let timestamp = packet.timestamp.wrapping_add(current.timestamp_offset);
        let (vp8_patch, picture, tl0) = current.rewrite_vp8(packet.vp8.as_ref());
        if self.last.is_none_or(|last| sequence > last.sequence) {
            let before = self.last.map_or((0, 0), |last| (last.picture, last.tl0));
            self.last = Some(Last {
                sequence,
                timestamp,
                at: now,
                picture: picture.unwrap_or(before.0),
                tl0: tl0.unwrap_or(before.1),
            });
        }
        Some(Rewritten { sequence: sequence.into(), timestamp, vp8_patch })
    }

    fn start(&self, now: Instant, packet: &Incoming) -> Current {
        let fresh = Current {
            ssrc: packet.ssrc,
            first_in: *packet.sequence,
            first_out: FIRST_SEQUENCE,
            timestamp_offset: 0,
            picture_offset: 0,
            tl0_offset: 0,
        };
        let Some(last) = self.last else { return fresh };
        let elapsed = (now.saturating_duration_since(last.at).as_secs_f64() * f64::from(self.clock_rate)) as u64 as u32;
        // Two frames never share a timestamp: at least 10 ms lie between them.
        let timestamp = last.timestamp.wrapping_add(elapsed.max(self.clock_rate / 100));
        let picture = packet.vp8.and_then(|vp8| vp8.picture_id()).unwrap_or(0);
        let tl0 = packet.vp8.and_then(|vp8| vp8.tl0_pic_idx()).unwrap_or(0);
        Current {
            first_out: last.sequence + 1,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
            picture_offset: last.picture.wrapping_add(1).wrapping_sub(picture),
            tl0_offset: last.tl0.wrapping_add(1).wrapping_sub(tl0),
            ..fresh
        }
    }
}

impl Current {
    /// The patch, and the picture id and TL0PICIDX that go out.
    fn rewrite_vp8(&self, vp8: Option<&Vp8Descriptor>) -> (Option<Vp8Patch>, Option<u16>, Option<u8>) {
        let Some(vp8) = vp8 else { return (None, None, None) };
        let picture = vp8.picture_id().map(|id| id.wrapping_add(self.picture_offset) & PICTURE_ID_MASK);
        let tl0 = vp8.tl0_pic_idx().map(|index| index.wrapping_add(self.tl0_offset));
        if self.picture_offset & PICTURE_ID_MASK == 0 && self.tl0_offset == 0 {
            return (None, picture, tl0);
        }
        let patch = |picture: Option<u16>| {
            let mut patch = vp8.patch();
            if let Some(picture) = picture {
                patch = patch.picture_id(picture);
            }
            if let Some(tl0) = tl0 {
                patch = patch.tl0_pic_idx(tl0);
            }
            patch.build()
        };
        // A short picture id has no room for a long one: it wraps sooner.
        match patch(picture) {
            Ok(patch) => (Some(patch), picture, tl0),
            Err(_) => {
                let short = picture.map(|id| id & SHORT_PICTURE_ID_MASK);
                (patch(short).ok(), short, tl0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LOW: u32 = 10;
    const HIGH: u32 = 20;

    fn packet(ssrc: u32, sequence: u64, timestamp: u32) -> Incoming {
        Incoming { ssrc: ssrc.into(), sequence: sequence.into(), timestamp, vp8: None, starts_key_frame: false }
    }

    fn key(packet: Incoming) -> Incoming {
        Incoming { starts_key_frame: true, ..packet }
    }

    /// A VP8 packet with a 15-bit picture id, TL0PICIDX and TID.
    fn vp8(packet: Incoming, picture: u16, tl0: u8) -> (Incoming, Vec<u8>) {
        let payload = vec![0x90, 0xe0, 0x80 | (picture >> 8) as u8, picture as u8, tl0, 0, 0, 0];
        (Incoming { vp8: Vp8Descriptor::parse(&payload).ok(), ..packet }, payload)
    }

    #[test]
    fn video_starts_at_a_key_frame_and_keeps_its_gaps() {
        let (mut forwarder, now) = (Forwarder::video(), Instant::now());
        assert!(forwarder.awaits_key_frame(LOW.into()));
        assert!(forwarder.forward(now, &packet(LOW, 50, 9000), LOW.into()).is_none());

        let first = forwarder.forward(now, &key(packet(LOW, 51, 12000)), LOW.into()).unwrap();
        assert!(!forwarder.awaits_key_frame(LOW.into()));
        let lost_one = forwarder.forward(now, &packet(LOW, 53, 15000), LOW.into()).unwrap();
        assert_eq!(*lost_one.sequence, *first.sequence + 2, "a loss stays visible, so that it is asked for again");
        let late = forwarder.forward(now, &packet(LOW, 52, 12000), LOW.into()).unwrap();
        assert_eq!(*late.sequence, *first.sequence + 1);
        assert!(forwarder.forward(now, &packet(LOW, 50, 9000), LOW.into()).is_none(), "from before the start");
    }

    #[test]
    fn another_layer_takes_over_at_its_key_frame_with_running_numbers() {
        let (mut forwarder, now) = (Forwarder::video(), Instant::now());
        let (start, _) = vp8(key(packet(LOW, 7, 1000)), 100, 5);
        let low = forwarder.forward(now, &start, LOW.into()).unwrap();
        assert!(low.vp8_patch.is_none(), "nothing to rewrite on the first stream");

        assert!(forwarder.forward(now, &packet(HIGH, 900, 77), HIGH.into()).is_none(), "no key frame yet");
        assert!(forwarder.forward(now, &packet(LOW, 8, 1000), HIGH.into()).is_some(), "the old layer runs until then");

        let later = now + Duration::from_millis(100);
        let (switch, _) = vp8(key(packet(HIGH, 901, 77)), 3000, 250);
        let high = forwarder.forward(later, &switch, HIGH.into()).unwrap();
        assert_eq!(*high.sequence, *low.sequence + 2);
        assert_eq!(high.timestamp, low.timestamp + 9000, "100 ms at 90 kHz");
        let expected = switch.vp8.unwrap().patch().picture_id(101).tl0_pic_idx(6).build().unwrap();
        assert_eq!(high.vp8_patch, Some(expected));
        assert!(forwarder.forward(later, &packet(LOW, 9, 4000), HIGH.into()).is_none());
    }

    #[test]
    fn an_interrupted_stream_goes_on_without_a_gap() {
        let (mut forwarder, now) = (Forwarder::audio(), Instant::now());
        let before = forwarder.forward(now, &packet(LOW, 10, 960), LOW.into()).unwrap();
        forwarder.interrupt();
        let later = now + Duration::from_secs(1);
        let after = forwarder.forward(later, &packet(LOW, 60, 48_960), LOW.into()).unwrap();
        assert_eq!(*after.sequence, *before.sequence + 1);
        assert_eq!(after.timestamp, before.timestamp + 48_000);
    }

    #[test]
    fn sound_is_sent_on_once_under_each_number() {
        let (mut forwarder, now) = (Forwarder::audio(), Instant::now());
        let mut sent = |ssrc, sequence| forwarder.forward(now, &packet(ssrc, sequence, 0), ssrc.into()).is_some();
        assert_eq!([10, 12, 11, 12, 11].map(|sequence| sent(LOW, sequence)), [true, true, true, false, false]);
        assert!(sent(HIGH, 11), "another stream has numbers of its own");
    }

    #[test]
    fn a_short_picture_id_stays_short() {
        let (mut forwarder, now) = (Forwarder::video(), Instant::now());
        let (first, _) = vp8(key(packet(LOW, 1, 0)), 500, 0);
        forwarder.forward(now, &first, LOW.into()).unwrap();
        let payload = [0x90u8, 0x80, 0x05, 0, 0];
        let short = Incoming { vp8: Vp8Descriptor::parse(&payload).ok(), ..key(packet(HIGH, 1, 0)) };
        let sent = forwarder.forward(now, &short, HIGH.into()).unwrap();
        let expected = short.vp8.unwrap().patch().picture_id(501 & 0x7f).build().unwrap();
        assert_eq!(sent.vp8_patch, Some(expected));
    }
}
