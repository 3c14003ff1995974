//! How much a path carries, estimated by its sender: from when each packet left, whether and when it arrived
//! (transport-wide congestion control feedback, draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Three measurements and one decision. [`queue`] sees how long packets wait in the bottleneck's queue, [`delivery`]
//! how much comes out of it, [`loss`] whether loss has to do with the rate. The estimate grows while the queue is
//! empty, and falls below what comes out when there is one, by more the longer it is. It does not grow far over what
//! is really sent: a path that was not tried is not known.

mod chance;
mod delivery;
mod loss;
mod queue;
mod share;

pub use chance::Variation;
pub use share::{Demand, share_out};

use delivery::Delivery;
use loss::{LossJudge, Verdict};
use queue::Queue;
use std::time::{Duration, Instant};

/// What is sent, of what is delivered, when a queue builds up: less by so much for each second of queue, so that a long one
/// is gone soon, and never less than that.
const BACK_OFF: f64 = 0.87;
const BACK_OFF_BY_QUEUE: f64 = 1.8;
const BACK_OFF_MOST: f64 = 0.12;
/// Decreases are so far apart at least, as the effect of one is seen a round trip and a feedback interval later...
const DECREASE_INTERVAL: Duration = Duration::from_millis(250);
/// ... unless the queue has become so much longer since.
const WORSE: Duration = Duration::from_millis(30);
/// A path that empties its queue at so many times of what it seemed to carry had stood still for a moment, and was not full.
const REFUTED: f64 = 1.5;
/// It is found out so seldom at most: a queue that comes again at once is one.
const RECONSIDER_INTERVAL: Duration = Duration::from_secs(2);
/// Once drained, the estimate stands so far below what the path was seen to carry.
const AFTER_DRAIN: f64 = 0.92;
/// Growth a second: before the first queue, far from the known capacity, and close to it.
const GROWTH_START: f64 = 2.5;
const GROWTH_FAR: f64 = 1.5;
const GROWTH_NEAR: f64 = 1.04;
/// Close to the capacity is from and to these parts of it; when more is sent, it is taken to have changed.
const NEAR: std::ops::Range<f64> = 0.85..1.06;
/// Beyond so many times the capacity that was seen, that is not so any more.
const NARROW: f64 = 1.2;
/// Less than this part of it is far from it.
const NEARLY: f64 = 0.5;
/// So far ahead of what is sent it grows slowly, as an encoder follows a second later; until that is so many times the capacity.
const AHEAD: f64 = 1.2;
const WIDER: f64 = 1.5;
/// The estimate's bound, by what is sent: so many times it, and so much more, in bit/s.
const UNTRIED_FACTOR: f64 = 1.5;
const UNTRIED_BPS: f64 = 50_000.0;
/// After so long without feedback nothing is known of the path any more, and half of the estimate is taken.
const SILENCE: Duration = Duration::from_secs(1);

/// One packet that the receiver has reported on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketOutcome {
    pub sent: Instant,
    /// On the receiver's clock, whose zero is its own. `None`: lost.
    pub arrived: Option<Duration>,
    /// As the network counts them, headers included.
    pub bytes: u32,
}

/// Bounds of the estimate, in bit/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimatorSettings {
    pub min_bps: u32,
    pub start_bps: u32,
    pub max_bps: u32,
}

/// The run loop: [`Self::on_feedback`] for each report of the receiver, in the order in which they come; then
/// [`Self::target_bps`] says what may be sent.
#[derive(Debug)]
pub struct BandwidthEstimator {
    settings: EstimatorSettings,
    target: f64,
    queue: Queue,
    delivery: Delivery,
    loss: LossJudge,
    /// What the path was seen to carry when a queue built up, in bit/s.
    capacity: Option<f64>,
    /// A queue was found, and is not gone yet.
    draining: bool,
    /// The estimate when it was found, and when the last packet had arrived, on the receiver's clock.
    before: f64,
    found: Duration,
    /// When such a find was last taken back.
    last_reconsidered: Option<Instant>,
    last_feedback: Option<Instant>,
    /// When, and how long the queue was.
    last_decrease: Option<(Instant, Duration)>,
}

impl BandwidthEstimator {
    pub fn new(settings: EstimatorSettings) -> Self {
        Self {
            settings,
            target: f64::from(settings.start_bps),
            queue: Queue::default(),
            delivery: Delivery::default(),
            loss: LossJudge::default(),
            capacity: None,
            draining: false,
            before: 0.0,
            found: Duration::ZERO,
            last_reconsidered: None,
            last_feedback: None,
            last_decrease: None,
        }
    }

    /// All that may be sent in bit/s: media, repairs and headers.
    pub fn target_bps(&self) -> u32 {
        self.target as u32
    }

    /// What is sent comes close to what the path was seen to carry.
    pub fn is_narrow(&self) -> bool {
        let is_close = |capacity| self.target < NARROW * capacity && self.delivery.highest_bps() > NEARLY * capacity;
        self.capacity.is_some_and(is_close)
    }

    /// How long packets wait in the bottleneck's queue.
    pub fn queue_delay(&self) -> Duration {
        self.queue.delay()
    }

    /// `outcomes` in the order in which they were sent. `now` does not go backwards.
    pub fn on_feedback(&mut self, now: Instant, outcomes: &[PacketOutcome]) {
        if outcomes.is_empty() {
            return;
        }
        let since = self.last_feedback.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last_feedback = Some(now);
        if since > SILENCE {
            self.begin_anew();
            return;
        }
        for outcome in outcomes {
            if let Some(arrived) = outcome.arrived {
                let waited = self.queue.packet(outcome.sent, arrived);
                self.delivery.packet(arrived, outcome.bytes, waited);
            }
        }
        self.queue.judge();
        let verdict = match self.draining {
            // It was lost where a queue was full, which tells more than loss does.
            true => self.loss.is_explained(),
            false => self.loss.judge(now, outcomes, self.target),
        };
        self.reconsider(now);
        let delivered = self.delivery.rate_bps();
        match (delivered, verdict) {
            (Some(_), _) if self.queue.is_building() => self.back_off(now),
            (_, Verdict::Reduce { to }) => self.target = to,
            (_, Verdict::Restore { to }) => self.target = self.target.max(to),
            (_, Verdict::Congested { capacity }) => {
                // It has carried that of late.
                let capacity = capacity.max(AFTER_DRAIN * self.delivery.highest_bps());
                self.capacity = Some(capacity);
                self.target = AFTER_DRAIN * capacity;
            }
            (_, Verdict::Wait) => {}
            (Some(_), Verdict::Free) => self.grow(since),
            (None, Verdict::Free) => {}
        }
        self.bound();
    }

    fn back_off(&mut self, now: Instant) {
        // What comes out of a full bottleneck is even, and little of it tells the rate.
        let delivered = self.delivery.rate_of_late_bps();
        if !std::mem::replace(&mut self.draining, true) {
            (self.before, self.found) = (self.target, self.delivery.last());
        }
        let queue = self.queue.delay();
        let too_soon = |(last, before): (Instant, Duration)| {
            now.saturating_duration_since(last) < DECREASE_INTERVAL && queue < before + WORSE
        };
        if self.last_decrease.is_some_and(too_soon) {
            return;
        }
        self.last_decrease = Some((now, queue));
        self.capacity = Some(match self.capacity {
            // It is the capacity; one sight of it is not exact.
            Some(known) if NEAR.contains(&(delivered / known)) => known + (delivered - known) * 0.3,
            _ => delivered,
        });
        let part = (BACK_OFF - BACK_OFF_BY_QUEUE * queue.as_secs_f64()).max(BACK_OFF_MOST);
        self.target = self.target.min(part * delivered);
        tracing::debug!(?queue, delivered, capacity = self.capacity, target = self.target, "queue builds up");
    }

    /// While a queue is emptied, the path shows what it carries.
    fn reconsider(&mut self, now: Instant) {
        let is_late = |last| now.saturating_duration_since(last) >= RECONSIDER_INTERVAL;
        if self.draining
            && self.last_reconsidered.is_none_or(is_late)
            && let (Some(released), Some(capacity)) = (self.delivery.released_bps(self.found), self.capacity)
            && released > REFUTED * capacity
        {
            // Behind a jitter that bunches packets even a narrow path seems to carry anything: but not for long.
            self.last_reconsidered = Some(now);
            self.draining = false;
            let capacity = released.min(self.delivery.highest_bps());
            self.capacity = Some(capacity);
            self.target = self.target.max(self.before.min(AFTER_DRAIN * capacity));
        }
    }

    fn grow(&mut self, since: Duration) {
        if !self.queue.is_empty() {
            return;
        }
        if std::mem::take(&mut self.draining)
            && let Some(capacity) = self.capacity
        {
            self.target = self.target.max(AFTER_DRAIN * capacity);
            return;
        }
        let sent = self.delivery.highest_bps() / (1.0 - self.loss.share()).max(0.3);
        let growth = match self.capacity {
            Some(capacity) if NEAR.contains(&(self.target / capacity)) => GROWTH_NEAR,
            // Nobody has tried yet whether it has changed.
            Some(capacity) if self.target > capacity && sent < NEAR.end * capacity => GROWTH_NEAR,
            // An encoder follows a second later.
            Some(capacity) if self.target > AHEAD * sent && sent < WIDER * capacity => GROWTH_NEAR,
            _ if self.last_decrease.is_some() => GROWTH_FAR,
            _ => GROWTH_START,
        };
        let tried = UNTRIED_FACTOR * sent + UNTRIED_BPS;
        let grown = self.target * growth.powf(since.as_secs_f64());
        // What the app does not use is kept, and not increased.
        self.target = grown.min(tried).max(self.target);
    }

    /// The path was silent: what was measured before says little about it now.
    fn begin_anew(&mut self) {
        self.queue.forget_recent();
        self.delivery = Delivery::default();
        self.loss = LossJudge::default();
        self.draining = false;
        self.target *= 0.5;
        self.bound();
    }

    fn bound(&mut self) {
        self.target = self.target.clamp(self.settings.min_bps.into(), self.settings.max_bps.into());
    }
}
