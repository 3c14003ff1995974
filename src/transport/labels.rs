//! Which layer a retransmission repairs: simulcast streams are told apart by header extensions (RFC 8852), and those that repair
//! them need the like, which the `rtc` crate's retransmissions lack.
//!
//! Labels are learnt from the packets that pass: a layer's own carry its MID and RID.

use super::codecs::{MID_URI, REPAIRED_RID_URI, RID_URI};
use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp::header::Header;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Between the NACK responder and the wire.
#[derive(Default)]
pub(super) struct RepairLabels {
    /// By the SSRC of the layer.
    layers: HashMap<u32, Layer>,
    /// By the SSRC of its retransmissions.
    repairs: HashMap<u32, Label>,
    reading: VecDeque<TaggedPacket>,
    writing: VecDeque<TaggedPacket>,
}

/// One whose label is still to be learnt.
struct Layer {
    repair_ssrc: u32,
    mid_id: u8,
    rid_id: u8,
    repaired_rid_id: u8,
}

struct Label {
    mid: (u8, Bytes),
    repaired_rid: (u8, Bytes),
}

impl RepairLabels {
    fn write(&mut self, header: &mut Header) {
        if let Some(label) = self.repairs.get(&header.ssrc) {
            for (id, value) in [&label.mid, &label.repaired_rid] {
                // Cannot fail: it came in an extension of that form.
                let _ = header.set_extension(*id, value.clone());
            }
        } else if let Some(layer) = self.layers.get(&header.ssrc)
            && let (Some(mid), Some(rid)) = (header.get_extension(layer.mid_id), header.get_extension(layer.rid_id))
        {
            let label = Label { mid: (layer.mid_id, mid), repaired_rid: (layer.repaired_rid_id, rid) };
            self.repairs.insert(layer.repair_ssrc, label);
            self.layers.remove(&header.ssrc);
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RepairLabels {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.reading.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reading.pop_front()
    }

    fn handle_write(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut message.message.packet {
            self.write(&mut packet.header);
        }
        self.writing.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writing.pop_front()
    }
}

impl Interceptor for RepairLabels {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let id = |uri: &str| {
            let extension = info.rtp_header_extensions.iter().find(|extension| extension.uri == uri)?;
            u8::try_from(extension.id).ok()
        };
        if let (Some(repair_ssrc), Some(mid_id), Some(rid_id), Some(repaired_rid_id)) =
            (info.ssrc_rtx, id(MID_URI), id(RID_URI), id(REPAIRED_RID_URI))
        {
            self.layers.insert(info.ssrc, Layer { repair_ssrc, mid_id, rid_id, repaired_rid_id });
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.layers.remove(&info.ssrc);
        if let Some(repair) = info.ssrc_rtx {
            self.repairs.remove(&repair);
        }
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::interceptor::{AttributedPacket, RTPHeaderExtension};
    use rtc::rtp;

    fn labels() -> RepairLabels {
        let mut labels = RepairLabels::default();
        let extension = |(uri, id): (&str, u16)| RTPHeaderExtension { uri: uri.to_owned(), id };
        labels.bind_local_stream(&StreamInfo {
            ssrc: 7,
            ssrc_rtx: Some(8),
            rtp_header_extensions: [(MID_URI, 1), (RID_URI, 2), (REPAIRED_RID_URI, 3)].map(extension).into(),
            ..Default::default()
        });
        labels
    }

    fn through(labels: &mut RepairLabels, header: Header) -> Header {
        let packet = rtp::Packet { header, payload: Bytes::from_static(b"vp8") };
        let message = AttributedPacket::new(Packet::Rtp(packet));
        labels.handle_write(TaggedPacket { now: Instant::now(), transport: Default::default(), message }).unwrap();
        let Some(Packet::Rtp(packet)) = labels.poll_write().map(|sent| sent.message.packet) else { panic!() };
        packet.header
    }

    #[test]
    fn a_retransmission_says_which_layer_it_repairs() {
        let mut labels = labels();
        let mut first = Header { ssrc: 7, ..Default::default() };
        first.set_extension(1, Bytes::from_static(b"0")).unwrap();
        first.set_extension(2, Bytes::from_static(b"h")).unwrap();
        through(&mut labels, first);
        let repair = through(&mut labels, Header { ssrc: 8, ..Default::default() });
        assert_eq!(repair.get_extension(1).unwrap()[..], b"0"[..]);
        assert_eq!(repair.get_extension(3).unwrap()[..], b"h"[..]);
        assert_eq!(repair.get_extension(2), None, "that is for the layer itself");
    }

    #[test]
    fn a_stream_without_layers_is_left_alone() {
        let mut labels = labels();
        assert!(through(&mut labels, Header { ssrc: 7, ..Default::default() }).extensions.is_empty());
        assert!(through(&mut labels, Header { ssrc: 8, ..Default::default() }).extensions.is_empty());
    }
}
