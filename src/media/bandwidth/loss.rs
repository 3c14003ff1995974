//! Whether loss has to do with the rate.
//!
//! Where a queue is short, loss is all that is seen of congestion; on a radio link it comes by itself, and whoever sends
//! less because of it only has less. So loss is put to the test: the rate is lowered, and when the loss stays what it was,
//! it is the path's own, and the rate is given back.

use super::PacketOutcome;
use super::chance::Variation;
use std::time::{Duration, Instant};

/// Loss is judged over so long at least, and so many packets.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_PACKETS: u32 = 30;
/// What is lost, and in how many pieces, before anything was: bursts of two. Each window the older ones count for so much less.
const BURSTS_AT_FIRST: Bursts = Bursts { lost: 4.0, pieces: 2.0 };
/// No more than so much is put down to them: where little is sent, everything would be.
const BURSTS_ALLOWED: f64 = 0.12;
const BURSTS_FADE: f64 = 0.8;
/// When less than this part of it stays at the lower rate, it was congestion.
const STAYS: f64 = 0.6;
/// What is taken from the rate for the test, or all that is lost where that is more: then a path that is full is not any more.
const TEST_CUT: f64 = 0.3;

/// What follows for the estimate, in bit/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Free,
    Reduce {
        to: f64,
    },
    Restore {
        to: f64,
    },
    /// The loss has gone down with the rate: the path carries so much.
    Congested {
        capacity: f64,
    },
    /// A test is under way.
    Wait,
}

#[derive(Debug, Default)]
pub(super) struct LossJudge {
    began: Option<Instant>,
    packets: u32,
    lost: u32,
    bursts: Bursts,
    /// The last packet was lost.
    in_burst: bool,
    /// The path's own loss, 0 to 1.
    own: f64,
    /// The latest window's.
    latest: f64,
    test: Option<Test>,
}

/// How many packets are lost in a row.
#[derive(Clone, Copy, Debug)]
struct Bursts {
    lost: f64,
    pieces: f64,
}

impl Default for Bursts {
    fn default() -> Self {
        BURSTS_AT_FIRST
    }
}

impl Bursts {
    /// What was before counts for less from now on.
    fn fade(&mut self) {
        let fade = |seen: f64, first: f64| seen * BURSTS_FADE + first * (1.0 - BURSTS_FADE);
        self.lost = fade(self.lost, BURSTS_AT_FIRST.lost);
        self.pieces = fade(self.pieces, BURSTS_AT_FIRST.pieces);
    }

    fn variation(self) -> Variation {
        Variation::of_bursts(self.lost / self.pieces)
    }
}

#[derive(Debug)]
struct Test {
    rate: f64,
    loss: f64,
    /// The first window still has packets of before.
    settled: bool,
}

impl LossJudge {
    /// Of late, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.latest
    }

    /// What was lost until now has another reason, which was found.
    pub(super) fn is_explained(&mut self) -> Verdict {
        (self.test, self.began, self.packets, self.lost) = (None, None, 0, 0);
        Verdict::Free
    }

    pub(super) fn judge(&mut self, now: Instant, outcomes: &[PacketOutcome], rate: f64) -> Verdict {
        let began = *self.began.get_or_insert(now);
        self.packets += outcomes.len() as u32;
        for outcome in outcomes {
            let is_lost = outcome.arrived.is_none();
            if is_lost {
                self.lost += 1;
                self.bursts.lost += 1.0;
                self.bursts.pieces += if self.in_burst { 0.0 } else { 1.0 };
            }
            self.in_burst = is_lost;
        }
        if now.saturating_duration_since(began) < WINDOW || self.packets < WINDOW_PACKETS {
            return if self.test.is_some() { Verdict::Wait } else { Verdict::Free };
        }
        let loss = f64::from(self.lost) / f64::from(self.packets);
        let packets = f64::from(self.packets);
        let variation = self.bursts.variation();
        let suspicious = variation.suspicious(self.own, packets, BURSTS_ALLOWED);
        self.bursts.fade();
        (self.began, self.packets, self.lost, self.latest) = (Some(now), 0, 0, loss);
        match &mut self.test {
            Some(test) if !test.settled => {
                test.settled = true;
                Verdict::Wait
            }
            Some(test) => {
                let (before, stays) = (test.rate, loss > STAYS * test.loss - variation.excuse(test.loss, packets));
                let capacity = before * (1.0 - test.loss);
                self.test = None;
                // Whatever is lost when little enough is sent is the path's own.
                self.own = loss;
                if stays { Verdict::Restore { to: before } } else { Verdict::Congested { capacity } }
            }
            None if loss > self.own + suspicious => {
                self.test = Some(Test { rate, loss, settled: false });
                Verdict::Reduce { to: rate * (1.0 - TEST_CUT.max(loss)) }
            }
            None => {
                // Less soon, more slowly: congestion that creeps in is not the path's own.
                self.own += (loss - self.own) * if loss < self.own { 0.5 } else { 0.1 };
                Verdict::Free
            }
        }
    }
}
