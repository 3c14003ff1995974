//! Puts retransmitted packets back into the streams that they repair (RFC 4588), before the NACK generator.
//!
//! The `rtc` crate does that only on the application's side of its interceptors: there the generator never learns that
//! a packet has come after all, and asks for it again and again, as long as its log reaches back.
//!
//! And has retransmissions that are sent counted: the crate binds its interceptors to a track's own stream only.

use super::stage::Stage;
use bytes::Buf;
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// What a stream of retransmissions repairs, by its SSRC.
#[derive(Default)]
pub(super) struct Repair {
    streams: HashMap<u32, Primary>,
}

/// What [`Repair`] has put back.
pub(super) fn is_retransmission(packet: &TaggedPacket) -> bool {
    packet.message.has(&Attribute::Retransmission)
}

struct Primary {
    ssrc: u32,
    payload_type: u8,
}

impl Primary {
    /// False when it is no retransmission after all: padding has no original sequence number in it.
    fn restore(&self, packet: &mut rtp::Packet) -> bool {
        if packet.payload.len() <= 2 {
            return false;
        }
        packet.header.sequence_number = packet.payload.get_u16();
        packet.header.ssrc = self.ssrc;
        packet.header.payload_type = self.payload_type;
        packet.header.padding = false;
        true
    }
}

impl Stage for Repair {
    fn read(&mut self, packet: &mut TaggedPacket, _: &mut VecDeque<TaggedPacket>) -> bool {
        if let Packet::Rtp(rtp) = &mut packet.message.packet
            && let Some(primary) = self.streams.get(&rtp.header.ssrc)
        {
            if !primary.restore(rtp) {
                return false;
            }
            packet.message.add(Attribute::Retransmission);
        }
        true
    }

    fn bind_remote(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.streams.insert(rtx, Primary { ssrc: info.ssrc, payload_type: info.payload_type });
        }
    }

    fn unbind_remote(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.streams.remove(&rtx);
        }
    }
}

/// An interceptor that sees the retransmissions of what we send as streams of their own: without a transport-wide number nobody
/// reports on them, and the queue that they make is taken for a path that carries little.
pub(super) struct WithRepairs<I>(pub I);

impl<I: Interceptor> Protocol<TaggedPacket, TaggedPacket, ()> for WithRepairs<I> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.0.handle_read(message)
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.0.poll_read()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.0.handle_write(message)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.0.poll_write()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.0.handle_timeout(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

impl<I: Interceptor> Interceptor for WithRepairs<I> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.0.bind_local_stream(info);
        if let Some(repairs) = repairs_of(info) {
            self.0.bind_local_stream(&repairs);
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.0.unbind_local_stream(info);
        if let Some(repairs) = repairs_of(info) {
            self.0.unbind_local_stream(&repairs);
        }
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.0.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.0.unbind_remote_stream(info);
    }
}

fn repairs_of(info: &StreamInfo) -> Option<StreamInfo> {
    Some(StreamInfo { ssrc: info.ssrc_rtx?, ssrc_rtx: None, ..info.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::stage::Staged;
    use super::*;
    use bytes::Bytes;
    use rtc::interceptor::AttributedPacket;

    fn rtp(ssrc: u32, sequence_number: u16, payload: &'static [u8]) -> TaggedPacket {
        let header = rtp::header::Header { ssrc, sequence_number, payload_type: 97, ..Default::default() };
        let packet = rtp::Packet { header, payload: Bytes::from_static(payload) };
        let message = AttributedPacket::new(Packet::Rtp(packet));
        TaggedPacket { now: Instant::now(), transport: Default::default(), message }
    }

    fn repair() -> Staged<Repair> {
        let mut repair = Staged::new(Repair::default());
        repair.bind_remote_stream(&StreamInfo { ssrc: 7, payload_type: 96, ssrc_rtx: Some(8), ..Default::default() });
        repair
    }

    #[test]
    fn a_retransmission_comes_out_as_the_packet_that_was_lost() {
        let mut repair = repair();
        repair.handle_read(rtp(8, 1, &[0x12, 0x34, b'v', b'p'])).unwrap();
        let Some(Packet::Rtp(packet)) = repair.poll_read().map(|read| read.message.packet) else { panic!() };
        assert_eq!((packet.header.ssrc, packet.header.payload_type), (7, 96));
        assert_eq!((packet.header.sequence_number, &packet.payload[..]), (0x1234, &b"vp"[..]));
    }

    #[test]
    fn other_streams_pass_untouched_and_padding_is_dropped() {
        let mut repair = repair();
        repair.handle_read(rtp(9, 1, &[1, 2, 3])).unwrap();
        assert_eq!(repair.poll_read().unwrap().message.packet, rtp(9, 1, &[1, 2, 3]).message.packet);
        repair.handle_read(rtp(8, 2, &[])).unwrap();
        assert!(repair.poll_read().is_none());
    }
}
