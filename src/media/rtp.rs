//! RTP as the pipelines see it (RFC 3550): what the transport adds (SSRC, payload type, MID, TWCC) is left out.

use bytes::Bytes;
use std::time::Instant;

/// The largest RTP payload sent, in bytes: fits 1200-byte packets after header, extensions and SRTP tag.
pub const MAX_PAYLOAD: usize = 1120;

/// A packet of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    pub sequence: u16,
    /// In the codec's clock: 48 kHz for Opus, 90 kHz for VP8.
    pub timestamp: u32,
    /// Audio: first after silence. Video: last of a frame.
    pub marker: bool,
    pub payload: Bytes,
    /// The payload is not an Opus packet as it is, but RED ([`super::red`]) with Opus in it.
    pub red: bool,
    /// RFC 6464; sent and read with audio.
    pub audio_level: Option<AudioLevel>,
}

/// A packet, with when it came in.
#[derive(Clone, Debug)]
pub struct ReceivedPacket {
    pub packet: RtpPacket,
    pub arrival: Instant,
}

/// How loud a packet is (RFC 6464).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    pub voice: bool,
    /// 0 is the loudest, 127 silence: the negative of dBov.
    pub minus_dbov: u8,
}
