//! Answers a receiver that asks how long the way to us and back is (RFC 3611, sections 4.4 and 4.5). Who only receives has no
//! other way to know, and asks for lost packets again by a guess: our server's is 100 ms.

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::extended_report::{DLRRReport, DLRRReportBlock, ExtendedReport, ReceiverReferenceTimeReportBlock};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::time::Instant;

/// The answer goes out at once. 0 would mean that nobody asked.
const DELAY: u32 = 1;

#[derive(Default)]
pub(super) struct RoundTripAnswers {
    /// One of our streams, in whose name the answer is.
    ours: Vec<u32>,
    reading: VecDeque<TaggedPacket>,
    writing: VecDeque<TaggedPacket>,
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

impl Protocol<TaggedPacket, TaggedPacket, ()> for RoundTripAnswers {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, read: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &read.message.packet {
            let asked = packets.iter().find_map(|packet| packet.as_any().downcast_ref::<ExtendedReport>());
            if let Some(answer) = asked.and_then(|asked| self.answer(asked)) {
                let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(answer)]));
                self.writing.push_back(TaggedPacket { now: read.now, transport: Default::default(), message });
            }
        }
        self.reading.push_back(read);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reading.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writing.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writing.pop_front()
    }
}

impl Interceptor for RoundTripAnswers {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.ours.push(info.ssrc);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.ours.retain(|ssrc| *ssrc != info.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receivers_time_comes_back_to_it() {
        let mut answers = RoundTripAnswers::default();
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
