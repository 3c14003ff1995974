//! How much is sent again. A receiver asks by what it knows of the round trip, which is old news while a queue builds up: each
//! lost packet would go out several times, and on a narrow path that displaces more than was lost.
//!
//! Requests are thinned out before they reach the responder: a packet that left a moment ago is still on its way, and all
//! of them together take a part of the estimate.

use super::feedback::Feedbacks;
use super::stage::Stage;
use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{TransportLayerNack, nack_pairs_from_sequence_numbers};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of the estimate, and for so long at once.
const SHARE: f64 = 0.4;
const BURST: Duration = Duration::from_millis(500);
/// Where no feedback has come yet.
const UNKNOWN_BPS: u32 = 1_000_000;
/// A packet sent again is on its way for a round trip; and where that is not known, for this long.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// With its headers, in bits: sizes are not looked up.
const PACKET_BITS: f64 = 9_600.0;
/// So many are remembered.
const REMEMBERED: usize = 512;

pub(super) struct ResendLimit {
    feedbacks: Arc<Feedbacks>,
    /// What was sent again, the newest last.
    sent: VecDeque<(Instant, u32, u16)>,
    /// How many bits may be sent again at once, and since when.
    budget: Option<(Instant, f64)>,
}

impl ResendLimit {
    pub(super) fn new(feedbacks: Arc<Feedbacks>) -> Self {
        Self { feedbacks, sent: VecDeque::with_capacity(REMEMBERED), budget: None }
    }

    /// What of the request is to be answered.
    fn thin(&mut self, now: Instant, nack: &TransportLayerNack) -> TransportLayerNack {
        let ssrc = nack.media_ssrc;
        let wait = self.feedbacks.round_trip(ssrc).unwrap_or_default().max(self.queue() + ROUND_TRIP);
        while self.sent.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) >= wait) {
            self.sent.pop_front();
        }
        let asked = nack.nacks.iter().flat_map(|pair| pair.packet_list());
        let mut answered = Vec::new();
        for sequence in asked {
            let is_on_its_way = self.sent.iter().any(|(_, s, n)| (*s, *n) == (ssrc, sequence));
            if is_on_its_way {
                continue;
            }
            if self.sent.len() == REMEMBERED || !self.take(now) {
                break;
            }
            self.sent.push_back((now, ssrc, sequence));
            answered.push(sequence);
        }
        TransportLayerNack { nacks: nack_pairs_from_sequence_numbers(&answered), ..nack.clone() }
    }

    /// Whether there is room for one more.
    fn take(&mut self, now: Instant) -> bool {
        let estimate = self.feedbacks.path().map_or(UNKNOWN_BPS, |(estimate, _)| estimate);
        let rate = SHARE * f64::from(estimate);
        let most = (rate * BURST.as_secs_f64()).max(PACKET_BITS);
        let (since, left) = self.budget.unwrap_or((now, most));
        let left = (left + rate * now.saturating_duration_since(since).as_secs_f64()).min(most);
        let fits = left >= PACKET_BITS;
        self.budget = Some((now, if fits { left - PACKET_BITS } else { left }));
        fits
    }

    fn queue(&self) -> Duration {
        self.feedbacks.path().map_or(Duration::ZERO, |(_, queue)| queue)
    }
}

impl Stage for ResendLimit {
    fn read(&mut self, packet: &mut TaggedPacket, _: &mut VecDeque<TaggedPacket>) -> bool {
        let now = packet.now;
        if let Packet::Rtcp(packets) = &mut packet.message.packet {
            for packet in packets.iter_mut() {
                if let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>() {
                    let thinned = self.thin(now, nack);
                    *packet = Box::new(thinned);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Staged;
    use super::*;
    use rtc::interceptor::AttributedPacket;
    use rtc::sansio::Protocol;

    fn ask(limit: &mut Staged<ResendLimit>, now: Instant, sequences: &[u16]) -> Vec<u16> {
        let nacks = nack_pairs_from_sequence_numbers(sequences);
        let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc: 7, nacks };
        let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(nack)]));
        limit.handle_read(TaggedPacket { now, transport: Default::default(), message }).unwrap();
        let Some(Packet::Rtcp(packets)) = limit.poll_read().map(|read| read.message.packet) else { panic!() };
        let nack = packets[0].as_any().downcast_ref::<TransportLayerNack>().unwrap();
        nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect()
    }

    #[test]
    fn what_is_on_its_way_is_not_sent_again_until_the_queue_lets_it_arrive() {
        let (feedbacks, start) = (Arc::new(Feedbacks::default()), Instant::now());
        let mut limit = Staged::new(ResendLimit::new(feedbacks.clone()));
        feedbacks.share_out(start, 10_000_000, Duration::from_millis(200));
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(ask(&mut limit, at(0), &[1, 2]), [1, 2]);
        assert_eq!(ask(&mut limit, at(50), &[1, 2, 3]), [3]);
        assert_eq!(ask(&mut limit, at(200), &[1]), [0; 0]);
        assert_eq!(ask(&mut limit, at(245), &[1, 3]), [1]);
    }

    #[test]
    fn repairs_take_two_fifths_of_a_narrow_path() {
        let (feedbacks, start) = (Arc::new(Feedbacks::default()), Instant::now());
        let mut limit = Staged::new(ResendLimit::new(feedbacks.clone()));
        feedbacks.share_out(start, 300_000, Duration::ZERO);
        let (mut sent, mut sequence) = (0, 0);
        for n in 0..50u64 {
            let asked: Vec<u16> = (sequence..sequence + 20).collect();
            sequence += 20;
            sent += ask(&mut limit, start + Duration::from_millis(100 * n), &asked).len();
        }
        // 5 s, and the burst at the beginning.
        let possible = 300_000.0 * SHARE * 5.5 / PACKET_BITS;
        assert!((possible * 0.8..=possible + 1.0).contains(&(sent as f64)), "{sent} of {possible}");
    }

    #[test]
    fn a_flood_before_there_is_any_feedback_is_bounded_too() {
        let mut limit = Staged::new(ResendLimit::new(Arc::new(Feedbacks::default())));
        let start = Instant::now();
        let all: Vec<u16> = (0..6_000).collect();
        let sent: usize = (0..100).map(|n| ask(&mut limit, start + Duration::from_millis(10 * n), &all).len()).sum();
        assert!((20..=65).contains(&sent), "{sent}");
    }
}
