//! What is sent in place of pictures: VP8 to the eye of a server, with a stamp at its end.

use std::time::Duration;

/// The first packet of a picture begins its partition; a picture id of 15 bits follows (RFC 7741, section 4.2).
const FIRST: u8 = 0x90;
const OTHER: u8 = 0x80;
const LONG_PICTURE_ID: u8 = 0x80;

/// How a key frame begins: a frame tag, the start code, 640x360 (RFC 6386, section 9.1).
const KEY_FRAME: [u8; 10] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
const DELTA_FRAME: u8 = 0x01;

const MAGIC: [u8; 4] = *b"TrLd";
const STAMP: usize = 24;

/// The shortest payload: descriptor, head of a key frame, stamp.
pub const SHORTEST: usize = 4 + KEY_FRAME.len() + STAMP;

/// What the publisher says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// In its room.
    pub publisher: u16,
    /// It counts.
    pub measured: bool,
    /// Of those of this publisher that count, from 0.
    pub number: u64,
    /// Since the Unix epoch.
    pub sent: Duration,
}

impl Stamp {
    /// The stamp of a payload that came through a server; `None` for what is not of this load.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let stamp = payload.last_chunk::<STAMP>()?;
        let [m0, m1, m2, m3, p0, p1, measured, _, rest @ ..] = stamp;
        let (number, sent) = rest.split_first_chunk::<8>()?;
        let sent = sent.first_chunk::<8>()?;
        ([*m0, *m1, *m2, *m3] == MAGIC).then(|| Self {
            publisher: u16::from_be_bytes([*p0, *p1]),
            measured: *measured == 1,
            number: u64::from_be_bytes(*number),
            sent: Duration::from_nanos(u64::from_be_bytes(*sent)),
        })
    }
}

/// Fills `payload`, which is at least [`SHORTEST`] long.
pub fn write(payload: &mut [u8], picture: u16, first: bool, key: bool, stamp: &Stamp) {
    payload.fill(0x5a);
    let [high, low] = (picture & 0x7fff).to_be_bytes();
    payload[..4].copy_from_slice(&[if first { FIRST } else { OTHER }, 0x80, LONG_PICTURE_ID | high, low]);
    match (first, key) {
        (true, true) => payload[4..4 + KEY_FRAME.len()].copy_from_slice(&KEY_FRAME),
        (true, false) => payload[4] = DELTA_FRAME,
        (false, _) => {}
    }
    let at = payload.len() - STAMP;
    let tail = &mut payload[at..];
    tail[..4].copy_from_slice(&MAGIC);
    tail[4..6].copy_from_slice(&stamp.publisher.to_be_bytes());
    tail[6..8].copy_from_slice(&[u8::from(stamp.measured), 0]);
    tail[8..16].copy_from_slice(&stamp.number.to_be_bytes());
    tail[16..].copy_from_slice(&(stamp.sent.as_nanos() as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use trill::media::vp8::{Descriptor, is_key_frame};

    #[test]
    fn a_stamp_comes_back_from_a_payload_that_is_vp8() {
        let stamp = Stamp { publisher: 300, measured: true, number: 1 << 40, sent: Duration::from_nanos(123_456_789) };
        let mut payload = [0; SHORTEST];
        for (first, key) in [(true, true), (true, false), (false, true)] {
            write(&mut payload, 0x1234, first, key, &stamp);
            assert_eq!(Stamp::read(&payload), Some(stamp));
            let (descriptor, frame) = Descriptor::parse(&payload).unwrap();
            assert_eq!(descriptor.begins_frame(), first);
            assert_eq!(first && is_key_frame(frame), first && key, "a key frame");
        }
    }

    #[test]
    fn what_is_not_of_this_load_has_no_stamp() {
        assert_eq!(Stamp::read(&[]), None);
        assert_eq!(Stamp::read(&[0; STAMP - 1]), None);
        assert_eq!(Stamp::read(&[0; 900]), None);
    }
}
