//! Redundant audio (RED, RFC 2198): a packet carries its own Opus packet, the primary block, and before it those of the
//! packets before it, so that one that was lost comes with the next.
//!
//! What browsers and LiveKit make of it is narrower than the RFC: all blocks are Opus, and the redundant ones are, oldest
//! first and without a gap, the packets with the sequence numbers just before the primary's.

use super::rtp::MAX_PAYLOAD;
use bytes::{BufMut, BytesMut};
use std::ops::Range;

/// Redundant blocks of a packet that is taken: browsers send one or two, and can be made to send nine.
const MAX_REDUNDANT: usize = 16;
/// A redundant block's header, and the primary's.
const HEADER: usize = 4;
const LAST_HEADER: usize = 1;
/// The length of a redundant block has 10 bits, and how much older it is 14: up to 341 ms at 48 kHz.
const MAX_BLOCK: usize = 0x3ff;
const MAX_OFFSET: u32 = 0x3fff;
/// The bit that says that another header follows.
const MORE: u8 = 0x80;

/// From so much loss on, in percent, two packets are lost together often enough to be heard.
const MUCH_LOSS: u8 = 5;

/// The most redundant blocks that are sent.
pub const MAX_SENT: usize = 2;

/// A RED payload whose headers fit what is there.
#[derive(Clone, Copy, Debug)]
pub struct Red<'a> {
    payload: &'a [u8],
    redundant: usize,
    primary: usize,
}

/// One redundant block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// How many packets before the primary.
    pub back: u16,
    /// How much older than the primary, in samples at 48 kHz.
    pub offset: u32,
    /// Where it is in the payload.
    pub range: Range<usize>,
}

impl<'a> Red<'a> {
    /// `None`: the headers do not fit the payload, there is no primary block, or there are more blocks than anybody sends.
    pub fn parse(payload: &'a [u8]) -> Option<Self> {
        let (mut redundant, mut length) = (0, 0);
        while payload.get(redundant * HEADER)? & MORE != 0 {
            if redundant == MAX_REDUNDANT {
                return None;
            }
            length += block_length(payload.get(redundant * HEADER..)?.first_chunk()?);
            redundant += 1;
        }
        let primary = redundant * HEADER + LAST_HEADER + length;
        (primary < payload.len()).then_some(Self { payload, redundant, primary })
    }

    /// Where the packet's own block begins. It goes up to the payload's end.
    pub fn primary(&self) -> usize {
        self.primary
    }

    /// The primary block's.
    pub fn payload_type(&self) -> u8 {
        self.payload[self.redundant * HEADER]
    }

    /// Oldest first. Left out is what holds nothing, is of another payload type than the primary block, or claims not to
    /// be older.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + 'a {
        let (payload, redundant, payload_type) = (self.payload, self.redundant, self.payload_type());
        let mut begin = redundant * HEADER + LAST_HEADER;
        let headers = payload.chunks_exact(HEADER).take(redundant).enumerate();
        headers.filter_map(move |(n, header)| {
            let header = header.first_chunk()?;
            let range = begin..begin + block_length(header);
            begin = range.end;
            let offset = (u32::from(header[1]) << 6) | u32::from(header[2] >> 2);
            let block = Block { back: (redundant - n) as u16, offset, range };
            (header[0] & !MORE == payload_type && offset > 0 && !block.range.is_empty()).then_some(block)
        })
    }
}

fn block_length(header: &[u8; HEADER]) -> usize {
    (usize::from(header[2] & 3) << 8) | usize::from(header[3])
}

/// How many of the packets before it a packet is to repeat, with so much loss.
pub(super) fn redundancy(loss_percent: u8) -> usize {
    if loss_percent >= MUCH_LOSS { 2 } else { 1 }
}

/// Writes RED payloads: keeps the packets that were sent last.
#[derive(Debug, Default)]
pub struct RedWriter {
    /// Newest first.
    past: [Past; MAX_SENT],
}

#[derive(Debug)]
struct Past {
    timestamp: u32,
    /// 0: nothing.
    length: usize,
    bytes: Box<[u8; MAX_BLOCK]>,
}

impl Default for Past {
    fn default() -> Self {
        Self { timestamp: 0, length: 0, bytes: Box::new([0; MAX_BLOCK]) }
    }
}

impl RedWriter {
    /// Appends a payload to `out`: `packet` with up to `redundant` of the packets before it. It must come with each packet
    /// that is sent in RED, in the order of their sequence numbers. A packet that is too old, too large or would make the
    /// payload too large is left out, with all before it.
    pub fn write(&mut self, payload_type: u8, redundant: usize, timestamp: u32, packet: &[u8], out: &mut BytesMut) {
        let mut size = LAST_HEADER + packet.len();
        let fits = |past: &&Past| {
            size += HEADER + past.length;
            past.length > 0 && timestamp.wrapping_sub(past.timestamp) <= MAX_OFFSET && size <= MAX_PAYLOAD
        };
        let count = self.past.iter().take(redundant).take_while(fits).count();
        let blocks = || self.past[..count].iter().rev();
        for past in blocks() {
            let header = (timestamp.wrapping_sub(past.timestamp) << 10) | past.length as u32;
            out.put_u32((u32::from(MORE | payload_type) << 24) | header);
        }
        out.put_u8(payload_type);
        blocks().for_each(|past| out.put_slice(&past.bytes[..past.length]));
        out.put_slice(packet);
        self.sent(timestamp, packet);
    }

    /// What comes next does not follow what went before.
    pub fn forget(&mut self) {
        self.past.iter_mut().for_each(|past| past.length = 0);
    }

    fn sent(&mut self, timestamp: u32, packet: &[u8]) {
        self.past.rotate_right(1);
        let newest = &mut self.past[0];
        newest.timestamp = timestamp;
        // One that is too large for a block separates what is before from what comes after.
        newest.length = if packet.len() <= MAX_BLOCK { packet.len() } else { 0 };
        newest.bytes[..newest.length].copy_from_slice(&packet[..newest.length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    const OPUS: u8 = 111;

    fn write(writer: &mut RedWriter, redundant: usize, timestamp: u32, packet: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        writer.write(OPUS, redundant, timestamp, packet, &mut out);
        out.to_vec()
    }

    /// How many packets back, how much older, and what.
    type Repeated<'a> = (u16, u32, &'a [u8]);

    fn read(payload: &[u8]) -> (Vec<Repeated<'_>>, &[u8]) {
        let red = Red::parse(payload).unwrap();
        let blocks = red.blocks().map(|block| (block.back, block.offset, &payload[block.range]));
        (blocks.collect(), &payload[red.primary()..])
    }

    #[test]
    fn a_payload_is_laid_out_as_the_rfc_says() {
        let mut writer = RedWriter::default();
        assert_eq!(write(&mut writer, 1, 1000, b"ab"), [111, b'a', b'b'], "nothing went before");
        let payload = write(&mut writer, 1, 1960, b"c");
        // F and payload type, 14 bits of offset (960), 10 bits of length (2), then the primary's header.
        assert_eq!(payload, [0x80 | 111, 0x0f, 0, 2, 111, b'a', b'b', b'c']);
    }

    #[test]
    fn what_was_sent_before_comes_again_oldest_first() {
        let mut writer = RedWriter::default();
        // The timestamps wrap.
        let times = [0u32, 1, 2, 3].map(|n| (u32::MAX - 1000).wrapping_add(n * 960));
        write(&mut writer, 2, times[0], b"first");
        assert_eq!(read(&write(&mut writer, 2, times[1], b"second")), (vec![(1, 960, &b"first"[..])], &b"second"[..]));
        let third = write(&mut writer, 2, times[2], b"third");
        assert_eq!(read(&third), (vec![(2, 1920, &b"first"[..]), (1, 960, b"second")], &b"third"[..]));
        let one = write(&mut writer, 1, times[3], b"fourth");
        assert_eq!(read(&one), (vec![(1, 960, &b"third"[..])], &b"fourth"[..]));
        writer.forget();
        assert_eq!(read(&write(&mut writer, 2, times[3], b"x")), (vec![], &b"x"[..]));
    }

    #[test]
    fn what_does_not_fit_is_left_out_with_all_before_it() {
        let mut writer = RedWriter::default();
        write(&mut writer, 2, 0, b"old");
        assert!(read(&write(&mut writer, 2, MAX_OFFSET + 1, b"later")).0.is_empty(), "too old");
        write(&mut writer, 2, MAX_OFFSET + 961, &[7; MAX_BLOCK + 1]);
        assert!(read(&write(&mut writer, 2, MAX_OFFSET + 1921, b"after")).0.is_empty(), "too large for a block");
        let mut writer = RedWriter::default();
        for n in 0..5 {
            let payload = write(&mut writer, 2, n * 960, &[n as u8; 500]);
            assert!(payload.len() <= MAX_PAYLOAD && read(&payload).0.len() == usize::from(n > 0), "{}", payload.len());
        }
    }

    #[test]
    fn hostile_payloads_are_refused_or_stay_within_themselves() {
        for refused in [
            &[][..],
            &[111],
            &[0x80 | 111],
            &[0x80 | 111, 0, 0, 5, 111, 1, 2, 3, 4, 5],
            &[0x80 | 111, 0, 0],
            &[0xff; 1200],
        ] {
            assert!(Red::parse(refused).is_none(), "{refused:?}");
        }
        let other = [0x80 | 8, 0x0f, 0, 1, 0x80 | 111, 0, 0, 1, 0x80 | 111, 0x0f, 0, 0, 111, 1, 2, 3];
        assert_eq!(read(&other), (vec![], &[3][..]), "another type, not older, empty");
        let mut random = StdRng::seed_from_u64(3);
        let mut taken = 0;
        for _ in 0..100_000 {
            let payload: Vec<u8> = (0..random.random_range(0..80)).map(|_| random.random()).collect();
            let Some(red) = Red::parse(&payload) else { continue };
            taken += 1;
            let mut end = 0;
            for block in red.blocks() {
                assert!(block.range.start >= end && (1..=MAX_REDUNDANT as u16).contains(&block.back));
                end = block.range.end;
            }
            assert!(end <= red.primary() && red.primary() < payload.len());
        }
        assert!(taken > 1000, "{taken}");
    }
}
