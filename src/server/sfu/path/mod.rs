//! What a subscriber's connection carries, seen from what arrives of what is sent to it.
//!
//! str0m's estimator is made for senders that follow it at once. We forward what publishers send, and when that is too much,
//! they learn of it by way of the server and follow a second later, or not at all; the estimate falls far below what
//! the connection carries then, and stays there. So the limit is found here from two measurements that mean the same
//! whoever sets the rate: the share that was lost, and how long packets wait in a queue. What comes out of a full
//! bottleneck is what it carries.
//!
//! Loss alone need not mean that too much was sent: on a radio link it comes by itself. It is put to the test: if it
//! stays when less is sent, it is the connection's own, and the limit is lifted (as `media::bandwidth` does it for what
//! our engine sends).

mod queue;

use crate::media::bandwidth::Variation;
use queue::Queue;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use str0m::media::Mid;
use str0m::rtp::SeqNo;

/// Reports are looked at over this time; str0m counts losses of so long.
const WINDOW: Duration = Duration::from_secs(1);
/// Of what was sent longer ago nothing is remembered.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Below that, in bits a second, loss says nothing; and a limit is never lower than this.
const LEAST_JUDGED: f64 = 20_000.0;
const LEAST_BPS: f64 = 30_000.0;

/// A packet of media, in bits: only to tell chance.
const PACKET_BITS: f64 = 8_000.0;
/// How much loss varies is measured, from that of bursts of four on, with that weight for each report, and up to bursts of eight.
const BURSTS_AT_FIRST: f64 = 4.0;
const VARIATION_LEARNT: f64 = 0.05;
const VARIATION_MOST: f64 = 15.0;
/// No more than so much is put down to bursts.
const BURSTS_ALLOWED: f64 = 0.2;
/// With so much lost and a queue, transport-wide feedback of some receivers tells of little or nothing of the loss, and receiver
/// reports count; but those of before a publisher followed come late.
const HOPELESS: f64 = 0.6;

/// When no more than so many times the limit is sent, and loss is still more than this part of what it was, it was not
/// congestion.
const FOLLOWED: f64 = 1.3;
const STAYS: f64 = 0.6;
/// A publisher that was told to send less has followed in this time, or does not know how to. A window of it is that of
/// the measurement.
const FOLLOWED_AFTER: Duration = Duration::from_millis(2500);
/// Then as many packets are looked at as would lose so many if it stayed, or until so long after the test's beginning.
const TEST_LOSSES: f64 = 2.0;
const TEST_ENDS: Duration = Duration::from_secs(6);
/// By such a part of the difference a connection's own loss is taken for more, and for less, with each report.
const OWN_GROWS: f64 = 0.1;
const OWN_SHRINKS: f64 = 0.25;
/// More than so many times the limit is sent: nobody follows.
const OVERRUN: f64 = 1.6;

/// Of what arrives, so much is sent while there is a queue, less the longer it is; and this much once it is gone.
const BACK_OFF: f64 = 0.87;
const BACK_OFF_BY_QUEUE: f64 = 0.5;
const BACK_OFF_MOST: f64 = 0.5;
const AFTER_DRAIN: f64 = 0.92;
/// What comes out of a full bottleneck is the same as the last time from and to these parts of it.
const SAME: std::ops::Range<f64> = 0.75..1.3;
/// Growth a second: close to what the connection was seen to carry, a wider range the more often it was; elsewhere, more by
/// this factor from second to second; and while the picture is paused, so that nothing shows whether more would arrive.
/// None while packets wait longer than they did, or longer and longer.
const NEAR_BELOW: f64 = 0.85;
const NEAR_ABOVE: f64 = 1.06;
const NEAR_ABOVE_EACH: f64 = 0.03;
const NEAR_ABOVE_MOST: f64 = 1.12;
const GROWTH_NEAR: f64 = 1.05;
const GROWTH_FAR: f64 = 1.32;
const GROWTH_MOST: f64 = 2.0;
const GROWTH_PAUSED: f64 = 1.1;
/// A limit is not above so many times what is sent, and so much more, in bits a second; and it is over when it has stood there
/// for some time.
const UNUSED_FACTOR: f64 = 1.5;
const UNUSED_BPS: f64 = 50_000.0;
const UNUSED_FOR: Duration = Duration::from_secs(4);
/// Nobody needs more than this: a limit above it is none.
const MOST_BPS: f64 = 20e6;

/// What str0m's statistics tell of a connection at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// All that was sent until now, in bytes.
    pub sent: u64,
    /// The share of the last second that was lost, 0 to 1; `None`: nothing is reported of that second.
    pub loss: Option<f32>,
    pub round_trip: Option<Duration>,
}

/// One subscriber's connection.
#[derive(Debug, Default)]
pub(super) struct Path {
    reports: VecDeque<(Instant, Report)>,
    /// What new receiver reports said since the last look: the share of pictures' packets that was lost, the highest.
    pictures_lost: Option<f64>,
    reported: HashMap<Mid, SeqNo>,
    queue: Queue,
    /// Sent in the last second, in bits a second, and what of it arrived.
    rate: f64,
    arrived: f64,
    /// The share that is lost whatever is sent.
    own_loss: f64,
    /// How much that varies; `None`: nothing was learnt of it.
    variation: Option<Variation>,
    test: Option<Test>,
    limit: Option<Limit>,
    /// Nothing was reported for a while: the connection was gone. What is reported next is about that time.
    silent: bool,
    ignore_until: Option<Instant>,
    /// What is reported lost until then was lost where the queue was full.
    explained_until: Option<Instant>,
    is_free: bool,
    /// Since when more than [`OVERRUN`] times the limit is sent.
    overrun_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    bps: f64,
    /// What came out of the full bottleneck.
    capacity: f64,
    /// How many times in a row that was seen.
    seen: u32,
    draining: bool,
    growth: f64,
    unused_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Test {
    began: Instant,
    loss: f64,
    before: Option<Limit>,
    /// Since less was sent, as many as chance allows for.
    packets: f64,
    lost: f64,
}

impl Limit {
    fn new(bps: f64, arrived: f64) -> Self {
        let capacity = arrived.max(LEAST_BPS);
        Self { bps, capacity, seen: 0, draining: true, growth: 1.0, unused_since: None }
    }

    fn is_near(&self) -> bool {
        let above = (NEAR_ABOVE + NEAR_ABOVE_EACH * f64::from(self.seen)).min(NEAR_ABOVE_MOST);
        (NEAR_BELOW..above).contains(&(self.bps / self.capacity))
    }
}

impl Path {
    /// What it carries, in bits a second, without the headers of UDP and IP; `None`: nothing has shown a limit.
    pub fn limit_bps(&self) -> Option<u64> {
        self.limit.map(|limit| limit.bps as u64)
    }

    /// What arrives, in bits a second, while nothing shows a limit: it carries this at least.
    pub fn arrives_bps(&self) -> Option<u64> {
        self.is_free.then_some(self.arrived as u64)
    }

    /// Far more than the limit has been sent for so long that nobody seems to follow it.
    pub fn is_overrun(&self, now: Instant) -> bool {
        self.overrun_since.is_some_and(|since| now.saturating_duration_since(since) >= FOLLOWED_AFTER)
    }

    /// The newest receiver report of a picture (RFC 3550, section 6.4.1): up to which sequence number, and the share that
    /// was lost, 0 to 1. The same one may be told again.
    pub fn picture_reported(&mut self, mid: Mid, up_to: SeqNo, lost: f32) {
        if self.reported.insert(mid, up_to) != Some(up_to) {
            self.pictures_lost = Some(self.pictures_lost.map_or(lost.into(), |before| before.max(lost.into())));
        }
    }

    /// `paused`: pictures are held back, as there is no room for them.
    pub fn reported(&mut self, now: Instant, report: Report, paused: bool) {
        let (before, before_that) = self.reports.back().copied().unzip();
        self.reports.push_back((now, report));
        while self.reports.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW + LONGEST_WAIT) {
            self.reports.pop_front();
        }
        if let Some(round_trip) = report.round_trip {
            self.queue.measured(now, round_trip);
        }
        let Some(rate) = self.rate_until(now) else { return };
        self.rate = rate;
        let is_overrun = self.limit.is_some_and(|limit| rate > limit.bps * OVERRUN);
        self.overrun_since = self.overrun_since.or(Some(now)).filter(|_| is_overrun);
        let is_queued = self.queue.is_standing();
        // With feedback as late as that nothing is known of the loss of the last second, and all the more of the queue. (What is
        // told again is no news.)
        let is_late = report.round_trip.is_some_and(|round_trip| {
            round_trip >= WINDOW && before_that.is_none_or(|before| before.round_trip != Some(round_trip))
        });
        let Some(loss) = self.loss_to_judge(now, report.loss.or(is_late.then_some(0.0)), is_queued) else {
            self.is_free = false;
            return;
        };
        // What has arrived was sent a round trip ago.
        let sent =
            report.round_trip.and_then(|round_trip| self.rate_until(now.checked_sub(round_trip)?)).unwrap_or(rate);
        self.arrived = sent * (1.0 - loss) * if is_queued { 1.0 - self.queue.growth() } else { 1.0 };
        let since = before.map_or(Duration::ZERO, |before| now.saturating_duration_since(before));
        self.is_free = false;
        if is_queued {
            self.explained_until = Some(now + WINDOW + WINDOW / 2);
            self.test = None;
            let part = (BACK_OFF - BACK_OFF_BY_QUEUE * self.queue.standing().as_secs_f64()).max(BACK_OFF_MOST);
            self.lower(part);
        } else if let Some(test) = self.test {
            self.judge(now, since, test, loss);
        } else if self.explained_until.is_some_and(|until| now < until) {
            self.raise(now, since, paused);
        } else if loss > self.own_loss + self.suspicious(self.own_loss) {
            self.test = Some(Test { began: now, loss, before: self.limit, packets: 0.0, lost: 0.0 });
            self.lower(BACK_OFF);
        } else {
            // Less soon, more slowly: congestion that creeps in is not the connection's own.
            let more = if loss > self.own_loss { OWN_GROWS } else { OWN_SHRINKS };
            self.learn_variation(loss);
            self.own_loss += (loss - self.own_loss) * more;
            self.is_free = true;
            self.raise(now, since, paused);
        }
    }

    /// What was sent in the second until then, in bits a second.
    fn rate_until(&self, end: Instant) -> Option<f64> {
        let at = |time: Instant| self.reports.iter().rev().find(|(at, _)| *at <= time);
        let (ended, last) = at(end)?;
        let (began, first) = at(ended.checked_sub(WINDOW)?)?;
        let span = ended.saturating_duration_since(*began).as_secs_f64();
        Some(last.sent.saturating_sub(first.sent) as f64 * 8.0 / span)
    }

    /// The loss of the last second, when there is anything to be told from it.
    fn loss_to_judge(&mut self, now: Instant, loss: Option<f32>, is_queued: bool) -> Option<f64> {
        let reported = self.pictures_lost.take();
        let Some(loss) = loss else {
            self.silent |= self.rate >= LEAST_JUDGED;
            return None;
        };
        if std::mem::take(&mut self.silent) {
            self.ignore_until = Some(now + WINDOW + WINDOW / 2);
        }
        if self.ignore_until.is_some_and(|until| now < until) || self.rate < LEAST_JUDGED {
            return None;
        }
        let loss = f64::from(loss).clamp(0.0, 1.0);
        let is_followed = self.limit.is_some_and(|limit| self.rate < limit.bps * FOLLOWED);
        let counts = |reported: &f64| is_queued && !is_followed && *reported > HOPELESS.max(2.0 * loss);
        Some(reported.filter(counts).unwrap_or(loss))
    }

    /// More than chance makes of that loss in a second.
    fn suspicious(&self, loss: f64) -> f64 {
        self.variation().suspicious(loss, self.rate / PACKET_BITS, BURSTS_ALLOWED)
    }

    fn variation(&self) -> Variation {
        self.variation.unwrap_or(Variation::of_bursts(BURSTS_AT_FIRST))
    }

    /// So much was lost in a second, where the connection's own loss was to be expected.
    fn learn_variation(&mut self, loss: f64) {
        let packets = self.rate / PACKET_BITS;
        // Too few losses tell nothing.
        if self.own_loss * packets >= 1.0 && self.own_loss < 1.0 {
            let seen = ((loss - self.own_loss) / Variation(1.0).deviation(self.own_loss, packets)).powi(2);
            let known = self.variation().0;
            let learnt = known + (seen.min(2.0 * VARIATION_MOST) - known) * VARIATION_LEARNT;
            self.variation = Some(Variation(learnt.clamp(1.0, VARIATION_MOST)));
        }
    }

    fn judge(&mut self, now: Instant, since: Duration, mut test: Test, loss: f64) {
        let passed = now.saturating_duration_since(test.began);
        // The first look had packets of before in it.
        let more = if passed < WINDOW { 0.0 } else { self.suspicious(test.loss) };
        if loss > test.loss + more {
            self.test = Some(Test { loss, packets: 0.0, lost: 0.0, ..test });
            self.lower(BACK_OFF);
            return;
        }
        if passed < FOLLOWED_AFTER {
            return;
        }
        let has_followed = self.limit.is_some_and(|limit| self.rate < limit.bps * FOLLOWED);
        let packets = self.rate * since.as_secs_f64() / PACKET_BITS;
        (test.packets, test.lost) = (test.packets + packets, test.lost + loss * packets);
        let mean = test.lost / test.packets.max(f64::MIN_POSITIVE);
        let stays = mean > test.loss * STAYS - self.variation().excuse(test.loss, test.packets);
        self.test = Some(test);
        if stays && !has_followed || test.loss * test.packets < TEST_LOSSES && passed < TEST_ENDS {
            return;
        }
        self.test = None;
        // Whatever is lost when little enough is sent is the connection's own.
        self.own_loss = mean;
        if stays {
            self.limit = test.before;
        }
    }

    /// To that part of what arrives.
    fn lower(&mut self, part: f64) {
        let bps = (part * self.arrived).max(LEAST_BPS);
        self.limit = Some(match self.limit {
            None => Limit::new(bps, self.arrived),
            Some(limit) => {
                let is_same = SAME.contains(&(self.arrived / limit.capacity));
                let seen = match limit.draining {
                    true => limit.seen,
                    false if is_same => limit.seen + 1,
                    false => 0,
                };
                Limit { seen, ..Limit::new(bps.min(limit.bps), self.arrived) }
            }
        });
    }

    fn raise(&mut self, now: Instant, since: Duration, paused: bool) {
        let Some(limit) = &mut self.limit else { return };
        // The way is filling up, or full.
        if self.queue.is_suspected() {
            limit.growth = 1.0;
            return;
        }
        limit.growth = match limit.is_near() {
            _ if paused => GROWTH_PAUSED,
            true => GROWTH_NEAR,
            false => (limit.growth * GROWTH_FAR.powf(since.as_secs_f64())).min(GROWTH_MOST),
        };
        if std::mem::take(&mut limit.draining) {
            limit.bps = limit.bps.max(AFTER_DRAIN * limit.capacity);
        }
        let grown = limit.bps * limit.growth.powf(since.as_secs_f64());
        let most = if paused { f64::INFINITY } else { UNUSED_FACTOR * self.rate + UNUSED_BPS };
        if grown < most {
            (limit.bps, limit.unused_since) = (grown, None);
            if grown > MOST_BPS {
                self.limit = None;
            }
            return;
        }
        limit.bps = limit.bps.max(most);
        let unused = *limit.unused_since.get_or_insert(now);
        if now.saturating_duration_since(unused) >= UNUSED_FOR {
            self.limit = None;
        }
    }
}

#[cfg(test)]
mod tests;
