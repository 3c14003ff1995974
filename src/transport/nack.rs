//! Asks for packets that are missing (generic NACK, RFC 4585, section 6.2.1), as often as the path's round trip allows.
//!
//! The `rtc` crate's own generator asks at a fixed interval: where the round trip is longer, in a full queue above all, each
//! packet is sent several times before the first of them can arrive, and where it is shorter, time is lost.

use super::repair::is_retransmission;
use super::stage::Stage;
use rtc::interceptor::{AttributedPacket, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A packet that others overtook comes within this, on most paths.
const REORDER_WAIT: Duration = Duration::from_millis(10);
/// So often a packet is asked for at most, and for so long: servers keep about a second.
const TRIES: u8 = 10;
const MAX_AGE: Duration = Duration::from_secs(1);
/// So many are asked for at most. Who lost more sees a key frame sooner than all of them.
const MAX_MISSING: usize = 512;
const MAX_ANSWERED: usize = 16;
/// Before the first answer.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
const LEAST_RETRY: Duration = Duration::from_millis(20);
const MOST_RETRY: Duration = Duration::from_millis(500);

/// See the module's text.
pub(super) struct NackGenerator {
    sender_ssrc: u32,
    streams: HashMap<u32, Stream>,
    round_trip: RoundTrip,
    /// When something is to be asked for, or earlier.
    next: Option<Instant>,
}

#[derive(Default)]
struct Stream {
    newest: Option<u16>,
    /// In their order.
    missing: VecDeque<Missing>,
    /// Asked for more than once and answered: how long after the first time. The newest first.
    answered: VecDeque<(u16, Duration)>,
}

struct Missing {
    sequence: u16,
    since: Instant,
    first_asked: Option<Instant>,
    asked: Option<Instant>,
    tries: u8,
}

/// From asking to the answer, with its spread, as in RFC 6298.
struct RoundTrip {
    mean: Option<Duration>,
    spread: Duration,
}

impl NackGenerator {
    pub(super) fn new() -> Self {
        Self {
            sender_ssrc: rand::random(),
            streams: HashMap::new(),
            round_trip: RoundTrip { mean: None, spread: Duration::ZERO },
            next: None,
        }
    }

    fn arrives(&mut self, ssrc: u32, sequence: u16, again: bool, now: Instant) {
        let Some(stream) = self.streams.get_mut(&ssrc) else { return };
        match stream.arrives(sequence, now) {
            Arrival::InOrder => {}
            Arrival::AfterGap => {
                let due = now + REORDER_WAIT;
                self.next = Some(self.next.map_or(due, |next| next.min(due)));
            }
            Arrival::Filled(missing) => {
                let Some(asked) = missing.first_asked.filter(|_| again) else { return };
                let took = now.saturating_duration_since(asked);
                // Which of several it answers is not known.
                if missing.tries == 1 {
                    self.round_trip.takes(took);
                } else {
                    stream.answered.truncate(MAX_ANSWERED - 1);
                    stream.answered.push_front((sequence, took));
                }
            }
            // A second answer: so it was asked too soon again, and the first answer was one to the first.
            Arrival::Duplicate if again => {
                let found = stream.answered.iter().position(|(answered, _)| *answered == sequence);
                if let Some((_, took)) = found.and_then(|at| stream.answered.remove(at)) {
                    self.round_trip.takes(took);
                }
            }
            Arrival::Duplicate => {}
        }
    }

    fn ask(&mut self, now: Instant, sent: &mut VecDeque<TaggedPacket>) {
        let retry = self.round_trip.retry();
        self.next = None;
        for (&media_ssrc, stream) in &mut self.streams {
            let (due, next) = stream.due(now, retry);
            self.next = [self.next, next].into_iter().flatten().min();
            if due.is_empty() {
                continue;
            }
            let nacks = nack_pairs_from_sequence_numbers(&due);
            let nack = TransportLayerNack { sender_ssrc: self.sender_ssrc, media_ssrc, nacks };
            let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(nack)]));
            sent.push_back(TaggedPacket { now, transport: Default::default(), message });
        }
    }
}

enum Arrival {
    InOrder,
    AfterGap,
    Filled(Missing),
    Duplicate,
}

impl Stream {
    fn arrives(&mut self, sequence: u16, now: Instant) -> Arrival {
        let Some(newest) = self.newest.replace(sequence) else { return Arrival::InOrder };
        let ahead = sequence.wrapping_sub(newest);
        if ahead == 0 || ahead > i16::MAX as u16 {
            self.newest = Some(newest);
            let found = self.missing.iter().position(|missing| missing.sequence == sequence);
            return found.and_then(|at| self.missing.remove(at)).map_or(Arrival::Duplicate, Arrival::Filled);
        }
        let gap = usize::from(ahead - 1);
        if gap == 0 {
            return Arrival::InOrder;
        }
        let kept = MAX_MISSING.saturating_sub(gap);
        self.missing.drain(..self.missing.len().saturating_sub(kept));
        let asked_for = gap.min(MAX_MISSING) as u16;
        let missing = (1..=asked_for).rev().map(|before| sequence.wrapping_sub(before));
        self.missing.extend(missing.map(|sequence| Missing {
            sequence,
            since: now,
            first_asked: None,
            asked: None,
            tries: 0,
        }));
        Arrival::AfterGap
    }

    /// What is to be asked for now, and when there will be more.
    fn due(&mut self, now: Instant, retry: Duration) -> (Vec<u16>, Option<Instant>) {
        self.missing.retain(|missing| now.saturating_duration_since(missing.since) < MAX_AGE);
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for missing in self.missing.iter_mut().filter(|missing| missing.tries < TRIES) {
            let mut at = missing.asked.map_or(missing.since + REORDER_WAIT, |asked| asked + retry);
            if at <= now {
                due.push(missing.sequence);
                missing.first_asked.get_or_insert(now);
                (missing.asked, at) = (Some(now), now + retry);
                missing.tries += 1;
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        (due, next)
    }
}

impl RoundTrip {
    fn takes(&mut self, sample: Duration) {
        // Padding may be a packet that is missing, sent again without being asked for.
        if self.mean.is_some_and(|mean| sample < mean / 3) {
            return;
        }
        match self.mean {
            None => (self.mean, self.spread) = (Some(sample), sample / 2),
            Some(mean) => {
                self.spread = (3 * self.spread + mean.abs_diff(sample)) / 4;
                self.mean = Some((7 * mean + sample) / 8);
            }
        }
    }

    fn retry(&self) -> Duration {
        let retry = self.mean.map_or(FIRST_ROUND_TRIP, |mean| mean + (2 * self.spread).max(LEAST_RETRY / 4));
        retry.clamp(LEAST_RETRY, MOST_RETRY)
    }
}

impl Stage for NackGenerator {
    fn read(&mut self, packet: &mut TaggedPacket, _: &mut VecDeque<TaggedPacket>) -> bool {
        let again = is_retransmission(packet);
        if let Packet::Rtp(rtp) = &packet.message.packet {
            self.arrives(rtp.header.ssrc, rtp.header.sequence_number, again, packet.now);
        }
        true
    }

    fn timeout(&mut self, now: Instant, sent: &mut VecDeque<TaggedPacket>) {
        if self.next.is_some_and(|next| next <= now) {
            self.ask(now, sent);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn bind_remote(&mut self, info: &StreamInfo) {
        if info.rtcp_feedback.iter().any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty()) {
            self.streams.insert(info.ssrc, Stream::default());
        }
    }

    fn unbind_remote(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Staged;
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use rtc::interceptor::Interceptor;
    use rtc::interceptor::{Attribute, RTCPFeedback};
    use rtc::rtp;
    use rtc::sansio::Protocol;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn generator() -> Staged<NackGenerator> {
        let mut generator = Staged::new(NackGenerator::new());
        let feedback = RTCPFeedback { typ: "nack".into(), parameter: String::new() };
        generator.bind_remote_stream(&StreamInfo { ssrc: 7, rtcp_feedback: vec![feedback], ..Default::default() });
        generator
    }

    fn packet(sequence_number: u16, now: Instant, again: bool) -> TaggedPacket {
        let header = rtp::header::Header { ssrc: 7, sequence_number, ..Default::default() };
        let mut message = AttributedPacket::new(Packet::Rtp(rtp::Packet { header, payload: Default::default() }));
        if again {
            message.add(Attribute::Retransmission);
        }
        TaggedPacket { now, transport: Default::default(), message }
    }

    /// Lets the time until `end` pass; what was asked for, and when.
    fn pass(generator: &mut Staged<NackGenerator>, end: Instant) -> Vec<(Instant, Vec<u16>)> {
        let mut asked = Vec::new();
        while let Some(at) = generator.poll_timeout().filter(|at| *at <= end) {
            generator.handle_timeout(at).unwrap();
            while let Some(TaggedPacket { message, .. }) = generator.poll_write() {
                let Packet::Rtcp(packets) = &message.packet else { panic!("only NACKs are written") };
                let nack = packets[0].as_any().downcast_ref::<TransportLayerNack>().unwrap();
                let pairs = nack.nacks.iter().flat_map(|pair| {
                    let lost = pair.lost_packets;
                    let followers = (0..16).filter(move |bit| lost & (1 << bit) != 0);
                    std::iter::once(pair.packet_id).chain(followers.map(|bit| pair.packet_id.wrapping_add(bit + 1)))
                });
                asked.push((at, pairs.collect()));
            }
        }
        asked
    }

    #[test]
    fn what_is_missing_is_asked_for_and_what_was_only_overtaken_is_not() {
        let (mut generator, start) = (generator(), Instant::now());
        for sequence in [65_533, 65_534, 1, 2] {
            generator.handle_read(packet(sequence, start, false)).unwrap();
        }
        generator.handle_read(packet(0, start + ms(5), false)).unwrap();
        assert_eq!(pass(&mut generator, start + ms(50)), [(start + ms(10), vec![65_535])]);
        generator.handle_read(packet(65_535, start + ms(60), true)).unwrap();
        assert!(pass(&mut generator, start + ms(5000)).is_empty(), "it is there");
        assert!(generator.poll_timeout().is_none(), "and nothing wakes anybody up");
    }

    #[test]
    fn it_is_asked_again_after_a_round_trip_and_no_sooner_however_long_that_is() {
        for round_trip in [ms(30), ms(300)] {
            let (mut generator, mut now, mut sequence) = (generator(), Instant::now(), 0u16);
            let mut asks = Vec::new();
            for _ in 0..30 {
                generator.handle_read(packet(sequence, now, false)).unwrap();
                generator.handle_read(packet(sequence.wrapping_add(2), now, false)).unwrap();
                let lost = sequence.wrapping_add(1);
                // Each time it is asked for, it comes a round trip later.
                let mut asked = pass(&mut generator, now + REORDER_WAIT + round_trip);
                let first = asked[0].0 + round_trip;
                generator.handle_read(packet(lost, first, true)).unwrap();
                for (at, _) in asked.iter().skip(1) {
                    generator.handle_read(packet(lost, *at + round_trip, true)).unwrap();
                }
                asked.extend(pass(&mut generator, first + ms(1000)));
                asks.push(asked.len());
                (now, sequence) = (first + ms(1000), sequence.wrapping_add(3));
            }
            // One that never comes is asked for with that in between, and not for ever.
            generator.handle_read(packet(sequence.wrapping_add(1), now, false)).unwrap();
            let asked: Vec<_> = pass(&mut generator, now + ms(5000)).into_iter().map(|(at, _)| at).collect();
            let between: Vec<_> = asked.windows(2).map(|two| two[1] - two[0]).collect();
            assert!(between.iter().all(|time| (round_trip..round_trip + ms(40)).contains(time)), "{between:?}");
            assert!((3..=10).contains(&asked.len()), "{asked:?}");
            assert!(*asked.last().unwrap() < now + MAX_AGE);
        }
    }

    #[test]
    fn after_an_outage_only_the_newest_are_asked_for_and_a_stream_that_jumps_costs_nothing_more() {
        let (mut generator, start) = (generator(), Instant::now());
        let mut random = StdRng::seed_from_u64(5);
        generator.handle_read(packet(0, start, false)).unwrap();
        generator.handle_read(packet(3_000, start, false)).unwrap();
        let asked: Vec<u16> = pass(&mut generator, start + ms(20)).into_iter().flat_map(|(_, asked)| asked).collect();
        assert_eq!(asked, (3_000 - MAX_MISSING as u16..3_000).collect::<Vec<_>>());
        for _ in 0..10_000 {
            generator.handle_read(packet(random.random(), start + ms(30), random.random())).unwrap();
            assert!(generator.stage.streams[&7].missing.len() <= MAX_MISSING);
        }
    }
}
