//! Which layer a retransmission repairs: simulcast streams are told apart by header extensions (RFC 8852), and those that repair
//! them need the like, which the `rtc` crate's retransmissions lack.
//!
//! Labels are learnt from the packets that pass: a layer's own carry its MID and RID.

use super::codecs::{MID_URI, REPAIRED_RID_URI, RID_URI};
use super::stage::Stage;
use bytes::Bytes;
use rtc::interceptor::{Packet, StreamInfo, TaggedPacket};
use rtc::rtp::header::Header;
use std::collections::HashMap;

/// Between the NACK responder and the wire.
#[derive(Default)]
pub(super) struct RepairLabels {
    /// By the SSRC of the layer.
    layers: HashMap<u32, Layer>,
    /// By the SSRC of its retransmissions.
    repairs: HashMap<u32, Label>,
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
    fn label(&mut self, header: &mut Header) {
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

impl Stage for RepairLabels {
    fn write(&mut self, packet: &mut TaggedPacket) {
        if let Packet::Rtp(packet) = &mut packet.message.packet {
            self.label(&mut packet.header);
        }
    }

    fn bind_local(&mut self, info: &StreamInfo) {
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

    fn unbind_local(&mut self, info: &StreamInfo) {
        self.layers.remove(&info.ssrc);
        if let Some(repair) = info.ssrc_rtx {
            self.repairs.remove(&repair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Staged;
    use super::*;
    use rtc::interceptor::Interceptor;
    use rtc::interceptor::{AttributedPacket, RTPHeaderExtension};
    use rtc::rtp;
    use rtc::sansio::Protocol;
    use std::time::Instant;

    fn labels() -> Staged<RepairLabels> {
        let mut labels = Staged::new(RepairLabels::default());
        let extension = |(uri, id): (&str, u16)| RTPHeaderExtension { uri: uri.to_owned(), id };
        labels.bind_local_stream(&StreamInfo {
            ssrc: 7,
            ssrc_rtx: Some(8),
            rtp_header_extensions: [(MID_URI, 1), (RID_URI, 2), (REPAIRED_RID_URI, 3)].map(extension).into(),
            ..Default::default()
        });
        labels
    }

    fn through(labels: &mut Staged<RepairLabels>, header: Header) -> Header {
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
