//! The Opus payload of RTP (RFC 7587): one Opus packet as it is. Only its first bytes are looked at.

/// The payload type that browsers give to it, so that captures read as usual. RED says it of each of its blocks.
pub const PAYLOAD_TYPE: u8 = 111;

/// The longest Opus packet there is, in samples at 48 kHz: 120 ms.
pub const MAX_PACKET_SAMPLES: usize = 5760;

/// The largest Opus packet taken from the network, in bytes. An encoder makes at most 1275 bytes a frame.
pub const MAX_PACKET_BYTES: usize = 1500;

/// How long a packet plays, in samples at 48 kHz (RFC 6716, section 3.1). `None`: not an Opus packet.
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    let (&toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    // In samples of 48 kHz: SILK 10, 20, 40, 60 ms; hybrid 10, 20 ms; CELT 2.5, 5, 10, 20 ms.
    let frame = match config {
        0..12 => match config % 4 {
            0 => 480,
            1 => 960,
            2 => 1920,
            _ => 2880,
        },
        12..16 => 480 << (config % 2),
        _ => 120 << (config % 4),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(rest.first()? & 0x3f),
    };
    let samples = frame * frames;
    (1..=MAX_PACKET_SAMPLES).contains(&samples).then_some(samples)
}

/// Discontinuous transmission sends packets of one or two bytes, then nothing, until there is a voice again.
pub fn is_silence(packet: &[u8]) -> bool {
    packet.len() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_packet_is_read_from_its_first_bytes() {
        assert_eq!(packet_samples(&[1 << 3]), Some(960), "SILK 20 ms");
        assert_eq!(packet_samples(&[3 << 3]), Some(2880), "SILK 60 ms");
        assert_eq!(packet_samples(&[15 << 3]), Some(960), "hybrid 20 ms");
        assert_eq!(packet_samples(&[16 << 3]), Some(120), "CELT 2.5 ms");
        assert_eq!(packet_samples(&[(31 << 3) | 1]), Some(1920), "two of CELT 20 ms");
        assert_eq!(packet_samples(&[(31 << 3) | 3, 6]), Some(5760), "six of CELT 20 ms");
    }

    #[test]
    fn what_cannot_be_opus_is_told() {
        assert_eq!(packet_samples(&[]), None);
        assert_eq!(packet_samples(&[3]), None, "the count of frames is missing");
        assert_eq!(packet_samples(&[(31 << 3) | 3, 0]), None, "no frame");
        assert_eq!(packet_samples(&[(31 << 3) | 3, 7]), None, "over 120 ms");
    }
}
