//! Video frame assembly: packets in any order in, whole frames in their order out.
//!
//! A frame is given out when all its packets are there and every frame before it was given out, so the decoder never
//! sees a frame whose reference is missing. A hole is left open in case the packet is repaired (NACK, RFC 4585); after a while
//! the assembler asks for a key frame as well, and goes on with what comes first. Where the stream has temporal layers and nothing of the
//! lowest is missing, it goes on without what was lost, and asks for nothing. Time comes in as arguments.

use super::clock::{RtpClock, SequenceUnwrapper, TimestampUnwrapper};
use super::rtp::ReceivedPacket;
use super::vp8::{self, Descriptor};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Packets held at most. The largest key frames of 1080p have some hundred.
const CAPACITY: usize = 2048;
/// Payloads of more bytes cannot come from a packet of this network.
const MAX_PACKET_BYTES: usize = 1500;
/// After so long without a repair a key frame is asked for. Until it is there a repair is still welcome: on two legs that lose a
/// tenth each, one packet in three hundred takes longer than 200 ms, and a key frame takes three times as long.
const REPAIR_WAIT: Duration = Duration::from_millis(300);
/// A hole that is longer than this, and of so many packets, comes from an outage: nobody keeps packets for so long.
const REPAIRABLE: Duration = Duration::from_millis(800);
const OUTAGE: i64 = 16;
/// Frames of the lowest temporal layer are counted to 256: 60 a second, which is 4 s.
const LOWEST_REPEATS: Duration = Duration::from_secs(2);
/// At most one request for a key frame in this time: more often it would not come sooner.
const REQUEST_INTERVAL: Duration = Duration::from_millis(500);

/// A whole encoded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedPicture<'a> {
    pub data: &'a [u8],
    pub key: bool,
    /// Media time on the sender's clock, from an arbitrary start.
    pub timestamp: Duration,
    pub rtp_timestamp: u32,
    /// When its last missing packet came.
    pub complete: Instant,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblyStats {
    pub packets: u64,
    /// Packets that never came, or after they were given up.
    pub lost: u64,
    pub late: u64,
    pub duplicate: u64,
    pub invalid: u64,
    pub frames: u64,
    pub key_frames: u64,
    /// Times that the picture stood until a key frame came.
    pub freezes: u64,
}

struct Slot {
    sequence: i64,
    time: i64,
    key: bool,
    /// Where the frame stands that it begins, in a stream with temporal layers.
    layer: Option<Layer>,
    marker: bool,
    arrival: Instant,
    /// The piece of the frame; empty for padding.
    piece: Bytes,
}

/// A frame's temporal layer (RFC 7741, section 4.2).
#[derive(Clone, Copy)]
struct Layer {
    /// 0 is the lowest. No frame refers to one of a layer above its own.
    id: u8,
    /// It refers to the lowest layer alone.
    sync: bool,
    /// Counts the frames of the lowest layer (TL0PICIDX).
    lowest: u8,
}

/// See the module's text.
pub struct FrameAssembler {
    slots: Box<[Option<Slot>]>,
    sequences: SequenceUnwrapper,
    times: TimestampUnwrapper,
    first_time: Option<i64>,
    /// Of the frame that was given out last.
    last_time: Option<i64>,
    /// Where the next frame begins. `None`: wherever the next key frame does.
    next: Option<i64>,
    /// The packets before this one, from `next`, are all there and hold no end of a frame.
    scanned: i64,
    newest: Option<i64>,
    hole_since: Option<Instant>,
    /// The hole was not repaired in time.
    stands: bool,
    /// TL0PICIDX of the last frame.
    lowest: Option<u8>,
    /// The highest temporal layer of which nothing is missing that its next frames may refer to.
    intact: u8,
    last_request: Option<Instant>,
    /// Packets up to this one were given up.
    abandoned: i64,
    frame: Vec<u8>,
    stats: AssemblyStats,
}

impl Default for FrameAssembler {
    fn default() -> Self {
        Self {
            slots: std::iter::repeat_with(|| None).take(CAPACITY).collect(),
            sequences: SequenceUnwrapper::default(),
            times: TimestampUnwrapper::default(),
            first_time: None,
            last_time: None,
            next: None,
            scanned: 0,
            newest: None,
            hole_since: None,
            stands: false,
            lowest: None,
            intact: u8::MAX,
            last_request: None,
            abandoned: i64::MIN,
            frame: Vec::new(),
            stats: AssemblyStats::default(),
        }
    }
}

impl FrameAssembler {
    /// Takes a packet. What is malformed, a duplicate or too late is counted and dropped.
    pub fn insert(&mut self, received: ReceivedPacket) {
        let ReceivedPacket { packet, arrival } = received;
        self.stats.packets += 1;
        let Some((descriptor, piece)) = parse(&packet.payload) else {
            self.stats.invalid += 1;
            return;
        };
        let sequence = self.sequences.unwrap(packet.sequence);
        let time = self.times.unwrap(packet.timestamp);
        if self.newest.is_some_and(|newest| (sequence - newest).unsigned_abs() >= CAPACITY as u64) {
            // The stream began anew, or a hole is longer than the buffer.
            self.slots.iter_mut().for_each(|slot| *slot = None);
            self.newest = None;
            self.freeze();
            self.abandoned = i64::MIN;
        }
        if sequence < self.next.unwrap_or(self.abandoned) {
            self.stats.late += 1;
            return;
        }
        let begins = descriptor.begins_frame() && !piece.is_empty();
        let key = begins && vp8::is_key_frame(&piece);
        let layer = descriptor.temporal_layer.zip(descriptor.tl0_pic_idx).filter(|_| begins);
        let layer = layer.map(|(id, lowest)| Layer { id, sync: descriptor.layer_sync, lowest });
        let slot = Slot { sequence, time, key, layer, marker: packet.marker, arrival, piece };
        if self.slot(sequence).is_some() {
            self.stats.duplicate += 1;
            return;
        }
        self.slots[index(sequence)] = Some(slot);
        self.newest = Some(self.newest.map_or(sequence, |newest| newest.max(sequence)));
    }

    /// The next whole frame, if there is one. Call it after each packet, and at [`Self::next_timeout`], until it
    /// gives nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<EncodedPicture<'_>> {
        loop {
            let (first, last) = match self.next {
                Some(next) => match self.whole_from(next) {
                    Some(last) => (next, last),
                    None => self.bridge(next, now)?,
                },
                None => self.whole_key_frame()?,
            };
            if self.is_decodable(first, last) {
                return Some(self.give(first, last, now));
            }
            (first..=last).for_each(|at| self.slots[index(at)] = None);
            self.go_on(last + 1);
        }
    }

    /// True when a key frame should be asked for now: at the start, and when a hole was not repaired in time. Then
    /// false for half a second.
    pub fn take_key_frame_request(&mut self, now: Instant) -> bool {
        let wanted = (self.next.is_none() || self.stands) && self.newest.is_some() && !self.key_frame_is_coming(now);
        let recently = self.last_request.is_some_and(|last| now.saturating_duration_since(last) < REQUEST_INTERVAL);
        if !wanted || recently {
            return false;
        }
        self.last_request = Some(now);
        true
    }

    /// The decoder could not use a frame: nothing more comes out until a key frame.
    pub fn reset(&mut self) {
        self.freeze();
    }

    /// When [`Self::poll`] and [`Self::take_key_frame_request`] may answer differently although no packet came.
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.next {
            Some(_) if !self.stands => self.hole_since.map(|since| since + REPAIR_WAIT),
            _ => {
                let again = self.newest.and(self.last_request).map(|last| last + REQUEST_INTERVAL);
                // While one is coming, none is asked for.
                again.max(self.coming_key_frame().map(|arrival| arrival + REPAIR_WAIT))
            }
        }
    }

    pub fn stats(&self) -> AssemblyStats {
        self.stats
    }

    /// The last packet of the frame that begins at `first`, if all of them are there.
    fn whole_from(&mut self, first: i64) -> Option<i64> {
        let mut at = self.scanned.max(first);
        loop {
            let slot = self.slots[index(at)].as_ref().filter(|slot| slot.sequence == at)?;
            if slot.marker && !slot.piece.is_empty() {
                return Some(at);
            }
            at += 1;
            self.scanned = at;
        }
    }

    /// A packet of the frame that begins at `next` is missing: a whole key frame behind the hole, if there is one.
    fn bridge(&mut self, next: i64, now: Instant) -> Option<(i64, i64)> {
        let newest = self.newest?;
        if newest < self.scanned {
            self.hole_since = None;
            return None;
        }
        if let Some(found) = self.whole_key_frame() {
            return Some(found);
        }
        let since = *self.hole_since.get_or_insert(now);
        let waited = now.saturating_duration_since(since) >= REPAIR_WAIT;
        let is_given_up = self.stands || waited || self.is_outage();
        if is_given_up && let Some(found) = self.whole_next_lowest() {
            self.intact = 0;
            return Some(found);
        }
        if is_given_up && !self.stands {
            tracing::debug!(first = next, newest, "a hole in the video was not repaired");
            self.stands = true;
            self.stats.freezes += 1;
        }
        None
    }

    /// The hole takes so many packets and so much of the pictures' time that nobody has them any more. (One picture a second leaves
    /// as much time between any two.)
    fn is_outage(&self) -> bool {
        let newest = self.newest.unwrap_or(self.scanned);
        let Some(after) = (self.scanned..=newest).find_map(|at| self.slot(at)) else { return false };
        after.sequence - self.scanned >= OUTAGE
            && self.last_time.is_some_and(|before| self.since(before, after.time) > REPAIRABLE)
    }

    fn since(&self, before: i64, after: i64) -> Duration {
        RtpClock::VIDEO.duration((after - before).max(0))
    }

    /// The oldest whole key frame held.
    fn whole_key_frame(&self) -> Option<(i64, i64)> {
        self.whole(|slot| slot.key)
    }

    /// The frame of the lowest temporal layer after the last one of it: it refers to nothing later.
    fn whole_next_lowest(&self) -> Option<(i64, i64)> {
        let (next, before) = (self.lowest?.wrapping_add(1), self.last_time?);
        // The count begins anew after 256 of them.
        let is_near = |slot: &Slot| self.since(before, slot.time) < LOWEST_REPEATS;
        self.whole(|slot| slot.layer.is_some_and(|layer| layer.id == 0 && layer.lowest == next) && is_near(slot))
    }

    /// The oldest whole frame held whose first packet is like that.
    fn whole(&self, begins: impl Fn(&Slot) -> bool) -> Option<(i64, i64)> {
        let newest = self.newest?;
        let from = self.next.unwrap_or(self.abandoned).max(newest - CAPACITY as i64 + 1);
        (from..=newest).filter(|&at| self.slot(at).is_some_and(&begins)).find_map(|first| {
            let time = self.slot(first)?.time;
            (first..=newest)
                .map_while(|at| self.slot(at).filter(|slot| slot.time == time))
                .find(|slot| slot.marker)
                .map(|slot| (first, slot.sequence))
        })
    }

    /// The beginning of a key frame is there, and the rest of it may still come.
    fn key_frame_is_coming(&self, now: Instant) -> bool {
        self.coming_key_frame().is_some_and(|arrival| now.saturating_duration_since(arrival) < REPAIR_WAIT)
    }

    /// When the beginning of the newest key frame held came.
    fn coming_key_frame(&self) -> Option<Instant> {
        let newest = self.newest?;
        let from = self.next.unwrap_or(self.abandoned).max(newest - CAPACITY as i64 + 1);
        (from..=newest).rev().filter_map(|at| self.slot(at)).find(|slot| slot.key).map(|slot| slot.arrival)
    }

    fn give(&mut self, first: i64, last: i64, now: Instant) -> EncodedPicture<'_> {
        let from = self.next.unwrap_or(if self.abandoned == i64::MIN { first } else { self.abandoned });
        for at in from.max(first - CAPACITY as i64)..first {
            if self.slots[index(at)].take_if(|slot| slot.sequence == at).is_none() {
                self.stats.lost += 1;
            }
        }
        self.frame.clear();
        let mut picture = (false, 0, None);
        for at in first..=last {
            if let Some(slot) = self.slots[index(at)].take_if(|slot| slot.sequence == at) {
                self.frame.extend_from_slice(&slot.piece);
                picture = (picture.0 || slot.key, slot.time, picture.2.max(Some(slot.arrival)));
            }
        }
        let (key, time, complete) = picture;
        self.go_on(last + 1);
        self.last_time = Some(time);
        self.stats.frames += 1;
        self.stats.key_frames += u64::from(key);
        let first_time = *self.first_time.get_or_insert(time);
        EncodedPicture {
            data: &self.frame,
            key,
            timestamp: RtpClock::VIDEO.duration(time - first_time),
            rtp_timestamp: time as u32,
            complete: complete.unwrap_or(now),
        }
    }

    fn go_on(&mut self, next: i64) {
        self.next = Some(next);
        self.scanned = next;
        self.hole_since = None;
        self.stands = false;
    }

    /// Nothing that a whole frame refers to was lost. Those of an upper temporal layer after a loss in it are left out until one refers
    /// to the lowest alone.
    fn is_decodable(&mut self, first: i64, last: i64) -> bool {
        let mut slots = (first..=last).filter_map(|at| self.slot(at));
        let Some(begin) = slots.find(|slot| slot.key || slot.layer.is_some()) else { return true };
        let (key, layer) = (begin.key, begin.layer);
        if key {
            self.intact = u8::MAX;
        }
        self.lowest = layer.map(|layer| layer.lowest);
        let Some(layer) = layer else { return true };
        if layer.sync && layer.id == self.intact.saturating_add(1) {
            self.intact = layer.id;
        }
        layer.id <= self.intact
    }

    fn freeze(&mut self) {
        if let Some(next) = self.next.take() {
            self.stats.freezes += u64::from(!self.stands);
            self.abandoned = self.abandoned.max(next);
        }
        self.hole_since = None;
        self.stands = false;
        self.scanned = i64::MIN;
    }

    fn slot(&self, sequence: i64) -> Option<&Slot> {
        self.slots[index(sequence)].as_ref().filter(|slot| slot.sequence == sequence)
    }
}

fn index(sequence: i64) -> usize {
    sequence.rem_euclid(CAPACITY as i64) as usize
}

/// Padding has no payload; its number must not look lost.
fn parse(payload: &Bytes) -> Option<(Descriptor, Bytes)> {
    if payload.is_empty() {
        return Some((Descriptor::default(), Bytes::new()));
    }
    if payload.len() > MAX_PACKET_BYTES {
        return None;
    }
    let (descriptor, piece) = Descriptor::parse(payload).ok()?;
    Some((descriptor, payload.slice_ref(piece)))
}

#[cfg(test)]
mod tests;
