//! What makes several incoming RTP streams one outgoing stream without a seam.
//!
//! A subscriber sees one SSRC whose sequence numbers, timestamps and VP8 picture ids run on, whatever happens at the
//! publisher: mute, a new SSRC, another simulcast layer. A video stream begins, and changes its source, at a key frame
//! only, so that a decoder never sees what it has no reference for. Of a stream with temporal layers the upper ones may be left out.

use super::red::Window;
use super::thinning::{Passed, Thinning};
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
    pub temporal: Temporal,
}

/// Where a packet's picture stands among those of its stream (RFC 7741, section 4.2: TID and Y). Without layers it is in the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Temporal {
    pub layer: u8,
    /// It refers to the lowest layer alone: from here on its layer can be shown.
    pub sync: bool,
}

/// Of all temporal layers.
pub(super) const ALL_LAYERS: u8 = u8::MAX;

/// The same packet as the subscriber gets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewritten {
    pub sequence: SeqNo,
    pub timestamp: u32,
    pub vp8_patch: Option<Vp8Patch>,
    /// Its contents are not sent.
    pub blank: bool,
}

/// The stream that is being forwarded, and how its numbers map.
#[derive(Debug)]
struct Current {
    ssrc: Ssrc,
    first_in: u64,
    first_out: u64,
    timestamp_offset: u32,
    picture_offset: u16,
    tl0_offset: u8,
    /// The highest temporal layer that is sent.
    highest: u8,
    /// Once something was left out.
    thinning: Option<Box<Thinning>>,
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
        self.current.as_ref().map(|current| current.ssrc)
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
    /// the subscriber should be getting; the change to it happens at its next key frame. Of its temporal layers those up to
    /// `highest` are sent: fewer at once, more when a picture comes that needs nothing of what was left out.
    pub fn forward(&mut self, now: Instant, packet: &Incoming, wanted: Ssrc, highest: u8) -> Option<Rewritten> {
        if self.source() != Some(packet.ssrc) {
            let may_start = packet.ssrc == wanted && (!self.needs_key_frame || packet.starts_key_frame);
            if !may_start {
                return None;
            }
            self.current = Some(self.start(now, packet));
        }
        let current = self.current.as_mut()?;
        // Late packets from before the start have no number left for them.
        let ahead = (*packet.sequence).checked_sub(current.first_in)?;
        // What is on its way out stays as it is.
        let highest = if packet.ssrc == wanted { highest } else { current.highest };
        let (left_out, pictures, blank) = match current.thin(packet, highest, self.last.as_ref()) {
            Passed::Kept { packets, pictures } => (packets, pictures, false),
            Passed::Blank { packets } => (packets, 0, true),
            Passed::LeftOut => return None,
        };
        let sequence = current.first_out + ahead - left_out;
        if self.sent.as_mut().is_some_and(|sent| !sent.note(sequence)) {
            return None;
        }
        let timestamp = packet.timestamp.wrapping_add(current.timestamp_offset);
        if blank {
            // Its number is used, whatever comes next.
            if let Some(last) = self.last.as_mut().filter(|last| sequence > last.sequence) {
                last.sequence = sequence;
            }
            return Some(Rewritten { sequence: sequence.into(), timestamp, vp8_patch: None, blank });
        }
        let (vp8_patch, picture, tl0) = current.rewrite_vp8(packet.vp8.as_ref(), pictures);
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
        Some(Rewritten { sequence: sequence.into(), timestamp, vp8_patch, blank })
    }

    fn start(&self, now: Instant, packet: &Incoming) -> Current {
        let fresh = Current {
            ssrc: packet.ssrc,
            first_in: *packet.sequence,
            first_out: FIRST_SEQUENCE,
            timestamp_offset: 0,
            picture_offset: 0,
            tl0_offset: 0,
            highest: ALL_LAYERS,
            thinning: None,
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
    /// What becomes of a packet where temporal layers up to `highest` are wanted.
    fn thin(&mut self, packet: &Incoming, highest: u8, last: Option<&Last>) -> Passed {
        if self.thinning.is_none() && self.highest == ALL_LAYERS && highest == ALL_LAYERS {
            return Passed::Kept { packets: 0, pictures: 0 };
        }
        let (sequence, timestamp) = (*packet.sequence, packet.timestamp);
        let thinning = self.thinning.get_or_insert_with(|| {
            let being_sent = last.map(|last| last.timestamp.wrapping_sub(self.timestamp_offset));
            // At the stream's start it is the number before its first.
            let newest = last.map_or(self.first_out, |last| last.sequence + 1) + self.first_in;
            Box::new(Thinning::new(newest.saturating_sub(self.first_out + 1), being_sent))
        });
        let now = &mut self.highest;
        thinning.pass(sequence, timestamp, |is_late| {
            let Temporal { layer, sync } = packet.temporal;
            let is_next = sync && layer == now.saturating_add(1) && layer <= highest;
            // What comes late changes nothing: later pictures were sent, or left out, without it.
            if !is_late && (highest < *now || packet.starts_key_frame) {
                *now = highest;
            } else if !is_late && is_next {
                *now = layer;
            }
            layer <= *now
        })
    }

    /// The patch, and the picture id and TL0PICIDX that go out, where so many pictures were left out.
    fn rewrite_vp8(&self, vp8: Option<&Vp8Descriptor>, left_out: u16) -> (Option<Vp8Patch>, Option<u16>, Option<u8>) {
        let Some(vp8) = vp8 else { return (None, None, None) };
        let offset = self.picture_offset.wrapping_sub(left_out);
        let picture = vp8.picture_id().map(|id| id.wrapping_add(offset) & PICTURE_ID_MASK);
        let tl0 = vp8.tl0_pic_idx().map(|index| index.wrapping_add(self.tl0_offset));
        if offset & PICTURE_ID_MASK == 0 && self.tl0_offset == 0 {
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
        Incoming {
            ssrc: ssrc.into(),
            sequence: sequence.into(),
            timestamp,
            vp8: None,
            starts_key_frame: false,
            temporal: Temporal::default(),
        }
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
        assert!(forwarder.forward(now, &packet(LOW, 50, 9000), LOW.into(), ALL_LAYERS).is_none());

        let first = forwarder.forward(now, &key(packet(LOW, 51, 12000)), LOW.into(), ALL_LAYERS).unwrap();
        assert!(!forwarder.awaits_key_frame(LOW.into()));
        let lost_one = forwarder.forward(now, &packet(LOW, 53, 15000), LOW.into(), ALL_LAYERS).unwrap();
        assert_eq!(*lost_one.sequence, *first.sequence + 2, "a loss stays visible, so that it is asked for again");
        let late = forwarder.forward(now, &packet(LOW, 52, 12000), LOW.into(), ALL_LAYERS).unwrap();
        assert_eq!(*late.sequence, *first.sequence + 1);
        assert!(
            forwarder.forward(now, &packet(LOW, 50, 9000), LOW.into(), ALL_LAYERS).is_none(),
            "from before the start"
        );
    }

    #[test]
    fn another_layer_takes_over_at_its_key_frame_with_running_numbers() {
        let (mut forwarder, now) = (Forwarder::video(), Instant::now());
        let (start, _) = vp8(key(packet(LOW, 7, 1000)), 100, 5);
        let low = forwarder.forward(now, &start, LOW.into(), ALL_LAYERS).unwrap();
        assert!(low.vp8_patch.is_none(), "nothing to rewrite on the first stream");

        assert!(forwarder.forward(now, &packet(HIGH, 900, 77), HIGH.into(), ALL_LAYERS).is_none(), "no key frame yet");
        assert!(
            forwarder.forward(now, &packet(LOW, 8, 1000), HIGH.into(), ALL_LAYERS).is_some(),
            "the old layer runs until then"
        );

        let later = now + Duration::from_millis(100);
        let (switch, _) = vp8(key(packet(HIGH, 901, 77)), 3000, 250);
        let high = forwarder.forward(later, &switch, HIGH.into(), ALL_LAYERS).unwrap();
        assert_eq!(*high.sequence, *low.sequence + 2);
        assert_eq!(high.timestamp, low.timestamp + 9000, "100 ms at 90 kHz");
        let expected = switch.vp8.unwrap().patch().picture_id(101).tl0_pic_idx(6).build().unwrap();
        assert_eq!(high.vp8_patch, Some(expected));
        assert!(forwarder.forward(later, &packet(LOW, 9, 4000), HIGH.into(), ALL_LAYERS).is_none());
    }

    #[test]
    fn an_interrupted_stream_goes_on_without_a_gap() {
        let (mut forwarder, now) = (Forwarder::audio(), Instant::now());
        let before = forwarder.forward(now, &packet(LOW, 10, 960), LOW.into(), ALL_LAYERS).unwrap();
        forwarder.interrupt();
        let later = now + Duration::from_secs(1);
        let after = forwarder.forward(later, &packet(LOW, 60, 48_960), LOW.into(), ALL_LAYERS).unwrap();
        assert_eq!(*after.sequence, *before.sequence + 1);
        assert_eq!(after.timestamp, before.timestamp + 48_000);
    }

    #[test]
    fn sound_is_sent_on_once_under_each_number() {
        let (mut forwarder, now) = (Forwarder::audio(), Instant::now());
        let mut sent =
            |ssrc, sequence| forwarder.forward(now, &packet(ssrc, sequence, 0), ssrc.into(), ALL_LAYERS).is_some();
        assert_eq!([10, 12, 11, 12, 11].map(|sequence| sent(LOW, sequence)), [true, true, true, false, false]);
        assert!(sent(HIGH, 11), "another stream has numbers of its own");
    }

    /// A picture of one packet in a temporal layer.
    fn layered(sequence: u64, (layer, sync): (u8, bool)) -> Incoming {
        let picture = sequence as u16;
        let (incoming, _) = vp8(packet(LOW, sequence, 3000 * sequence as u32), picture, (picture / 4) as u8);
        Incoming { temporal: Temporal { layer, sync }, ..incoming }
    }

    #[test]
    fn upper_temporal_layers_go_at_once_without_a_trace_and_come_back_where_nothing_is_missing() {
        let (mut forwarder, now) = (Forwarder::video(), Instant::now());
        // Three layers; the upper two begin anew in every eighth picture only.
        let pattern = [0, 2, 1, 2, 0, 2, 1, 2].into_iter().zip([false, true, true, true, false, false, false, false]);
        let pattern: Vec<(u8, bool)> = pattern.collect();
        let mut sent = Vec::new();
        for n in 0..64u64 {
            let highest = if (18..36).contains(&n) { 0 } else { ALL_LAYERS };
            let incoming = Incoming { starts_key_frame: n == 0, ..layered(n, pattern[n as usize % 8]) };
            let rewritten = forwarder.forward(now, &incoming, LOW.into(), highest);
            sent.extend(rewritten.map(|rewritten| (n, rewritten)));
        }
        let pictures: Vec<u64> = sent.iter().map(|(n, _)| *n).collect();
        let left_out: Vec<u64> = (0..64).filter(|n| !pictures.contains(n)).collect();
        assert_eq!(left_out, [18, 19, 21, 22, 23, 25, 26, 27, 29, 30, 31, 33, 34, 35, 37, 38, 39, 41]);
        for (index, (n, rewritten)) in sent.iter().enumerate() {
            assert_eq!(*rewritten.sequence, *sent[0].1.sequence + index as u64, "no gap in numbers");
            assert_eq!(rewritten.timestamp, 3000 * *n as u32);
            let expected = layered(*n, (0, false)).vp8.unwrap().patch().picture_id(index as u16);
            let expected = expected.tl0_pic_idx((*n / 4) as u8).build().unwrap();
            assert_eq!(rewritten.vp8_patch.unwrap_or(expected), expected, "nor in picture ids");
        }
        assert_eq!(forwarder.current.unwrap().highest, 2);
    }

    #[test]
    fn a_key_frame_brings_all_that_is_wanted_and_what_is_late_of_another_layer_is_blank() {
        let (mut forwarder, now) = (Forwarder::video(), Instant::now());
        let mut forward = |incoming: Incoming, highest| forwarder.forward(now, &incoming, LOW.into(), highest);
        let first = forward(key(layered(0, (0, false))), 0).unwrap();
        assert!(forward(layered(1, (1, false)), 0).is_none());
        let third = forward(layered(4, (0, false)), 0).unwrap();
        assert_eq!(*third.sequence, *first.sequence + 3, "two are missing");
        let late = forward(layered(3, (1, false)), 0).unwrap();
        assert!(late.blank && *late.sequence == *first.sequence + 2);
        let late = forward(layered(2, (0, false)), 0).unwrap();
        assert!(!late.blank && *late.sequence == *first.sequence + 1);
        assert!(forward(layered(5, (1, false)), ALL_LAYERS).is_none(), "it may need what was left out");
        assert!(forward(key(layered(6, (0, false))), ALL_LAYERS).is_some());
        assert!(forward(layered(7, (2, false)), ALL_LAYERS).is_some());
    }

    #[test]
    fn a_short_picture_id_stays_short() {
        let (mut forwarder, now) = (Forwarder::video(), Instant::now());
        let (first, _) = vp8(key(packet(LOW, 1, 0)), 500, 0);
        forwarder.forward(now, &first, LOW.into(), ALL_LAYERS).unwrap();
        let payload = [0x90u8, 0x80, 0x05, 0, 0];
        let short = Incoming { vp8: Vp8Descriptor::parse(&payload).ok(), ..key(packet(HIGH, 1, 0)) };
        let sent = forwarder.forward(now, &short, HIGH.into(), ALL_LAYERS).unwrap();
        let expected = short.vp8.unwrap().patch().picture_id(501 & 0x7f).build().unwrap();
        assert_eq!(sent.vp8_patch, Some(expected));
    }
}
