//! Pictures of upper temporal layers left out of a stream, so that no receiver sees a gap: not in its sequence numbers, which it would ask
//! for again, nor in its picture ids.
//!
//! A picture is left out with all its packets. What comes late, repaired, has a number that is kept for it; if its picture was left
//! out meanwhile, that number is used up by a packet without contents.

use std::collections::VecDeque;

/// Packets remembered, which may still come late: a second and more of a good picture.
const PACKETS: u64 = 512;
const WORDS: usize = PACKETS as usize / 64;

/// Pictures remembered.
const PICTURES: usize = 64;

/// What was left out of one incoming stream.
#[derive(Debug)]
pub(super) struct Thinning {
    /// The newest packet, by its extended number.
    newest: u64,
    /// All that were left out.
    packets: u64,
    pictures: u16,
    /// A bit for each packet that was left out, the newest first.
    left_out: [u64; WORDS],
    recent: VecDeque<Picture>,
}

#[derive(Clone, Copy, Debug)]
struct Picture {
    /// The first of its packets that came.
    first: u64,
    timestamp: u32,
    kept: bool,
    /// Pictures left out before it.
    before: u16,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// So many packets and pictures were left out before it.
    Kept {
        packets: u64,
        pictures: u16,
    },
    /// Its number is used, its contents are not sent.
    Blank {
        packets: u64,
    },
    LeftOut,
}

impl Thinning {
    /// From here on: `newest` was the last packet, of the picture with that timestamp, which is sent to its end.
    pub fn new(newest: u64, being_sent: Option<u32>) -> Self {
        let mut recent = VecDeque::with_capacity(PICTURES);
        recent.extend(being_sent.map(|timestamp| Picture { first: newest, timestamp, kept: true, before: 0 }));
        Self { newest, packets: 0, pictures: 0, left_out: [0; WORDS], recent }
    }

    /// A packet of the picture with that timestamp; `keeps` is asked of a picture of which none came before, and told whether it
    /// comes late.
    pub fn pass(&mut self, sequence: u64, timestamp: u32, keeps: impl FnOnce(bool) -> bool) -> Passed {
        let Some(ahead) = sequence.checked_sub(self.newest).filter(|ahead| *ahead > 0) else {
            return self.pass_late(sequence, timestamp, || keeps(true));
        };
        self.newest = sequence;
        self.shift(ahead);
        let same = self.recent.back().copied().filter(|picture| picture.timestamp == timestamp);
        let picture = same.unwrap_or_else(|| self.begin(sequence, timestamp, keeps(false)));
        if picture.kept {
            return Passed::Kept { packets: self.packets, pictures: picture.before };
        }
        // What is missing between two packets of a picture is of that picture.
        let packets = if same.is_some() { ahead } else { 1 };
        (0..packets.min(PACKETS)).for_each(|behind| self.left_out[word(behind)] |= 1 << (behind % 64));
        self.packets += packets;
        Passed::LeftOut
    }

    fn begin(&mut self, first: u64, timestamp: u32, kept: bool) -> Picture {
        let picture = Picture { first, timestamp, kept, before: self.pictures };
        self.pictures = self.pictures.wrapping_add(u16::from(!kept));
        if self.recent.len() == PICTURES {
            self.recent.pop_front();
        }
        self.recent.push_back(picture);
        picture
    }

    fn pass_late(&self, sequence: u64, timestamp: u32, keeps: impl FnOnce() -> bool) -> Passed {
        let behind = self.newest - sequence;
        if behind >= PACKETS && self.packets == 0 {
            return Passed::Kept { packets: 0, pictures: 0 };
        }
        if behind >= PACKETS || self.left_out[word(behind)] >> (behind % 64) & 1 == 1 {
            return Passed::LeftOut;
        }
        let packets = self.packets - self.left_out_after(behind);
        let known = self.recent.iter().rev().find(|picture| picture.timestamp == timestamp);
        let (kept, pictures) = known.map_or_else(
            || {
                // All of it was missing.
                let before = self.recent.iter().rev().find(|picture| picture.first < sequence);
                (keeps(), before.map_or(0, |before| before.before.wrapping_add(u16::from(!before.kept))))
            },
            |picture| (picture.kept, picture.before),
        );
        if kept { Passed::Kept { packets, pictures } } else { Passed::Blank { packets } }
    }

    /// How many of the packets were left out that are less far behind.
    fn left_out_after(&self, behind: u64) -> u64 {
        let (whole, rest) = (word(behind), behind % 64);
        let ones: u32 = self.left_out[..whole].iter().map(|bits| bits.count_ones()).sum();
        u64::from(ones + (self.left_out[whole] & ((1 << rest) - 1)).count_ones())
    }

    fn shift(&mut self, by: u64) {
        if by >= PACKETS {
            self.left_out = [0; WORDS];
            return;
        }
        let (words, bits) = (word(by), by % 64);
        for index in (0..WORDS).rev() {
            let at = |back: usize| index.checked_sub(words + back).map_or(0, |from| self.left_out[from]);
            self.left_out[index] = at(0) << bits | if bits > 0 { at(1) >> (64 - bits) } else { 0 };
        }
    }
}

fn word(behind: u64) -> usize {
    behind as usize / 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
    use std::collections::BTreeMap;

    fn kept(packets: u64, pictures: u16) -> Passed {
        Passed::Kept { packets, pictures }
    }

    #[test]
    fn what_is_left_out_leaves_no_gap_and_what_is_lost_leaves_one() {
        let mut thinning = Thinning::new(9, None);
        assert_eq!(thinning.pass(10, 1, |_| true), kept(0, 0));
        assert_eq!(thinning.pass(11, 2, |_| false), Passed::LeftOut);
        assert_eq!(thinning.pass(12, 2, |_| true), Passed::LeftOut, "with all its packets");
        assert_eq!(thinning.pass(14, 3, |_| true), kept(2, 1));
        assert_eq!(thinning.pass(13, 3, |_| false), kept(2, 1), "late, of the same picture");
        assert_eq!(thinning.pass(12, 2, |_| true), Passed::LeftOut, "twice");
        assert_eq!(thinning.pass(20, 4, |_| false), Passed::LeftOut);
        assert_eq!(thinning.pass(23, 4, |_| false), Passed::LeftOut, "and all between");
        assert_eq!(thinning.pass(24, 5, |_| true), kept(6, 2));
        assert_eq!(thinning.pass(19, 4, |_| false), Passed::Blank { packets: 2 }, "its number was kept for it");
        assert_eq!(thinning.pass(17, 3, |_| false), kept(2, 1));
        assert_eq!(thinning.pass(9, 0, |_| true), kept(0, 0));
        assert_eq!(thinning.pass(1024, 6, |_| true), kept(6, 2));
        assert_eq!(thinning.pass(20, 4, |_| true), Passed::LeftOut, "too old to tell");
    }

    #[test]
    fn a_picture_that_is_being_sent_is_sent_to_its_end() {
        let mut thinning = Thinning::new(9, Some(7));
        assert_eq!(thinning.pass(10, 7, |_| false), kept(0, 0));
        assert_eq!(thinning.pass(11, 8, |_| false), Passed::LeftOut);
        assert_eq!(thinning.pass(12, 9, |_| true), kept(1, 1));
    }

    #[test]
    fn whatever_is_lost_and_late_numbers_are_used_once_and_have_no_gaps() {
        let seed = std::env::var("TRILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        println!("TRILL_SEED={seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0..200 {
            // Number, timestamp, whether it is wanted; each comes once, some of them late.
            let (mut packets, mut number) = (Vec::new(), 1000u64);
            for picture in 0..60u32 {
                let wanted = picture % 2 == 0 || rng.random_bool(0.2);
                for _ in 0..rng.random_range(1..6) {
                    packets.push((number, picture, wanted));
                    number += 1;
                }
            }
            let disorder = rng.random_range(1..40);
            packets[1..].chunks_mut(disorder).for_each(|chunk| chunk.shuffle(&mut rng));
            let (mut thinning, mut sent) = (Thinning::new(999, None), BTreeMap::new());
            for (sequence, timestamp, wanted) in packets {
                let (number, picture) = match thinning.pass(sequence, timestamp, |_| wanted) {
                    Passed::Kept { packets, pictures } => (sequence - packets, Some(timestamp as u16 - pictures)),
                    Passed::Blank { packets } => (sequence - packets, None),
                    Passed::LeftOut => continue,
                };
                assert!(picture.is_none() || wanted);
                assert!(sent.insert(number, (picture, timestamp)).is_none(), "round {round}: {number} twice");
            }
            let numbers: Vec<u64> = sent.keys().copied().collect();
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "round {round}: {numbers:?}");
            let pictures: Vec<_> =
                sent.values().filter_map(|(picture, timestamp)| Some((*picture.as_ref()?, *timestamp))).collect();
            assert!(pictures.is_sorted(), "round {round}: in their order, each with one id: {pictures:?}");
        }
    }
}
