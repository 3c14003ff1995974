//! Answers a receiver that asks how long the way to us and back is (RFC 3611, sections 4.4 and 4.5). Who only receives has no
//! other way to know, and asks for lost packets again by a guess: our server's is 100 ms.

use super::stage::Stage;
use rtc::interceptor::{AttributedPacket, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock};
use std::collections::VecDeque;

/// The answer goes out at once. 0 would mean that nobody asked.
const DELAY: u32 = 1;

#[derive(Default)]
pub(super) struct RoundTripAnswers {
    /// One of our streams, in whose name the answer is.
    ours: Vec<u32>,
}

impl RoundTripAnswers {
    fn answer(&self, asked: &ExtendedReport) -> Option<ExtendedReport> {
        let time = asked.reports.iter().find_map(|block| {
            block.as_any().downcast_ref::<ReceiverReferenceTimeReportBlock>().map(|block| block.ntp_timestamp)
        })?;
        let last_rr = (time >> 16) as u32;
        let reports = vec![DLRRReport { ssrc: asked.sender_ssrc, last_rr, dlrr: DELAY }];
        let sender_ssrc = *self.ours.first()?;
        Some(ExtendedReport { sender_ssrc, reports: vec![Box::new(DLRRReportBlock { reports })] })
    }
}

impl Stage for RoundTripAnswers {
    fn read(&mut self, packet: &mut TaggedPacket, sent: &mut VecDeque<TaggedPacket>) -> bool {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            let asked = packets.iter().find_map(|packet| packet.as_any().downcast_ref::<ExtendedReport>());
            if let Some(answer) = asked.and_then(|asked| self.answer(asked)) {
                let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(answer)]));
                sent.push_back(TaggedPacket { now: packet.now, transport: Default::default(), message });
            }
        }
        true
    }

    fn bind_local(&mut self, info: &StreamInfo) {
        self.ours.push(info.ssrc);
    }

    fn unbind_local(&mut self, info: &StreamInfo) {
        self.ours.retain(|ssrc| *ssrc != info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Staged;
    use super::*;
    use rtc::interceptor::Interceptor;
    use rtc::sansio::Protocol;
    use std::time::Instant;

    #[test]
    fn a_receivers_time_comes_back_to_it() {
        let mut answers = Staged::new(RoundTripAnswers::default());
        answers.bind_local_stream(&StreamInfo { ssrc: 7, ..Default::default() });
        let time = ReceiverReferenceTimeReportBlock { ntp_timestamp: 0x0123_4567_89ab_cdef };
        let ask = |reports: Vec<Box<dyn rtc::rtcp::Packet>>| {
            let asked = ExtendedReport { sender_ssrc: 99, reports };
            let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(asked)]));
            TaggedPacket { now: Instant::now(), transport: Default::default(), message }
        };
        answers.handle_read(ask(vec![])).unwrap();
        assert!(answers.poll_write().is_none());
        answers.handle_read(ask(vec![Box::new(time)])).unwrap();
        let Some(Packet::Rtcp(packets)) = answers.poll_write().map(|written| written.message.packet) else { panic!() };
        let answer = packets[0].as_any().downcast_ref::<ExtendedReport>().unwrap();
        let block = answer.reports[0].as_any().downcast_ref::<DLRRReportBlock>().unwrap();
        assert_eq!(block.reports, [DLRRReport { ssrc: 99, last_rr: 0x4567_89ab, dlrr: 1 }]);
        assert_eq!(answer.sender_ssrc, 7);
    }
}
