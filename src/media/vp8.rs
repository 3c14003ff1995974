//! The VP8 payload of RTP (RFC 7741): the descriptor before each piece of a frame, and cutting frames into pieces.

use super::rtp::MAX_PAYLOAD;
use crate::base::{Error, ErrorCode, Result};
use bytes::{BufMut, Bytes, BytesMut};

/// What stands before the piece of a frame in each packet (RFC 7741, section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// No other frame refers to this one.
    pub non_reference: bool,
    /// The piece begins a partition; with `partition` 0, a frame.
    pub start_of_partition: bool,
    pub partition: u8,
    /// 7 or 15 bits, counting frames.
    pub picture_id: Option<u16>,
    pub tl0_pic_idx: Option<u8>,
    pub temporal_layer: Option<u8>,
    pub layer_sync: bool,
    pub key_index: Option<u8>,
}

impl Descriptor {
    /// The descriptor and the piece of the frame after it. Fails with `malformed` when either is cut short.
    pub fn parse(payload: &[u8]) -> Result<(Self, &[u8])> {
        let mut rest = payload;
        let first = take(&mut rest)?;
        let mut descriptor = Self {
            non_reference: first & 0x20 != 0,
            start_of_partition: first & 0x10 != 0,
            partition: first & 0x07,
            ..Self::default()
        };
        if first & 0x80 != 0 {
            let present = take(&mut rest)?;
            if present & 0x80 != 0 {
                let id = take(&mut rest)?;
                descriptor.picture_id = Some(match id & 0x80 {
                    0 => u16::from(id),
                    _ => u16::from(id & 0x7f) << 8 | u16::from(take(&mut rest)?),
                });
            }
            if present & 0x40 != 0 {
                descriptor.tl0_pic_idx = Some(take(&mut rest)?);
            }
            if present & 0x30 != 0 {
                let layer = take(&mut rest)?;
                if present & 0x20 != 0 {
                    descriptor.temporal_layer = Some(layer >> 6);
                    descriptor.layer_sync = layer & 0x20 != 0;
                }
                if present & 0x10 != 0 {
                    descriptor.key_index = Some(layer & 0x1f);
                }
            }
        }
        if rest.is_empty() {
            return Err(Error::new(ErrorCode::Malformed, "a VP8 packet ends before its picture data"));
        }
        Ok((descriptor, rest))
    }

    /// The packet begins a frame.
    pub fn begins_frame(&self) -> bool {
        self.start_of_partition && self.partition == 0
    }
}

fn take(rest: &mut &[u8]) -> Result<u8> {
    let (&first, after) =
        rest.split_first().ok_or_else(|| Error::new(ErrorCode::Malformed, "a VP8 payload descriptor is cut short"))?;
    *rest = after;
    Ok(first)
}

/// The frame whose first bytes these are needs no other to be decoded (RFC 6386, section 9.1).
pub fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}

/// Width and height that a key frame states, in pixels. `None`: not a key frame, or a damaged one.
pub fn key_frame_size(frame: &[u8]) -> Option<(u32, u32)> {
    let header = frame.get(..10)?;
    if !is_key_frame(header) || header[3..6] != [0x9d, 0x01, 0x2a] {
        return None;
    }
    let side = |at: usize| u32::from(u16::from_le_bytes([header[at], header[at + 1]]) & 0x3fff);
    Some((side(6), side(8)))
}

/// Descriptors are sent with a 15-bit picture id: what receivers and SFUs count frames by.
const DESCRIPTOR_LEN: usize = 4;

/// Cuts encoded frames into packets of at most [`MAX_PAYLOAD`] bytes, evenly: no tiny last packet.
#[derive(Clone, Debug)]
pub struct Packetizer {
    picture_id: u16,
    /// Payloads are cut from it; it takes the memory back when the packets before were sent and dropped.
    pool: BytesMut,
}

impl Packetizer {
    /// `first_picture_id` should be random (RFC 7741, section 4.2).
    pub fn new(first_picture_id: u16) -> Self {
        Self { picture_id: first_picture_id & 0x7fff, pool: BytesMut::new() }
    }

    /// Hands over each packet's payload in order, and whether it is the frame's last (its marker).
    pub fn packetize(&mut self, frame: &[u8], mut out: impl FnMut(Bytes, bool)) {
        let most = MAX_PAYLOAD - DESCRIPTOR_LEN;
        let packets = frame.len().div_ceil(most);
        self.pool.reserve(frame.len() + packets * DESCRIPTOR_LEN);
        let mut rest = frame;
        for n in 0..packets {
            let (piece, after) = rest.split_at(rest.len().div_ceil(packets - n));
            rest = after;
            self.pool.put_u8(if n == 0 { 0x90 } else { 0x80 });
            self.pool.put_u8(0x80);
            self.pool.put_u16(0x8000 | self.picture_id);
            self.pool.put_slice(piece);
            out(self.pool.split().freeze(), n + 1 == packets);
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_cut_and_put_together_again_is_the_same() {
        let frame: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
        let mut packetizer = Packetizer::new(0x7fff);
        for id in [0x7fff, 0] {
            let mut pieces = Vec::new();
            packetizer.packetize(&frame, |payload, marker| pieces.push((payload, marker)));
            let sizes: Vec<usize> = pieces.iter().map(|(p, _)| p.len()).collect();
            assert_eq!(sizes.len(), 9);
            assert!(sizes.iter().all(|&s| s <= MAX_PAYLOAD && s > 1100), "{sizes:?}");
            let mut whole = Vec::new();
            for (n, (payload, marker)) in pieces.iter().enumerate() {
                let (descriptor, piece) = Descriptor::parse(payload).unwrap();
                assert_eq!(descriptor.begins_frame(), n == 0);
                assert_eq!(*marker, n == 8);
                assert_eq!(descriptor.picture_id, Some(id));
                whole.extend_from_slice(piece);
            }
            assert_eq!(whole, frame);
        }
    }

    #[test]
    fn every_field_of_a_full_descriptor_is_read() {
        let payload = [0xb1, 0xf0, 0x81, 0x02, 0x33, 0x65, 0xaa];
        let (descriptor, piece) = Descriptor::parse(&payload).unwrap();
        assert_eq!(
            descriptor,
            Descriptor {
                non_reference: true,
                start_of_partition: true,
                partition: 1,
                picture_id: Some(0x102),
                tl0_pic_idx: Some(0x33),
                temporal_layer: Some(1),
                layer_sync: true,
                key_index: Some(5),
            }
        );
        assert_eq!(piece, [0xaa]);
    }

    #[test]
    fn a_7_bit_picture_id_is_read() {
        let (descriptor, _) = Descriptor::parse(&[0x90, 0x80, 0x7f, 1]).unwrap();
        assert_eq!(descriptor.picture_id, Some(0x7f));
    }

    #[test]
    fn a_payload_cut_short_anywhere_is_an_error() {
        let payload = [0xb1, 0xf0, 0x81, 0x02, 0x33, 0x65, 0xaa];
        for len in 0..payload.len() {
            assert_eq!(Descriptor::parse(&payload[..len]).unwrap_err().code(), ErrorCode::Malformed, "{len}");
        }
    }

    #[test]
    fn a_key_frame_states_its_size() {
        let header = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xe0, 0x01];
        assert_eq!(key_frame_size(&header), Some((640, 480)));
        assert_eq!(key_frame_size(&header[..9]), None);
        assert_eq!(key_frame_size(&[0x11, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]), None);
    }
}
