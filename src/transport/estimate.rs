//! The bandwidth estimation of a connection that sends: from the send history and the receiver's feedback, which the
//! interceptors keep, to what each track may send.

use super::feedback::Feedbacks;
use crate::media::bandwidth::{BandwidthEstimator, EstimatorSettings, PacketOutcome};
use rtc::interceptor::{BandwidthEstimator as EstimatorSlot, PacketReport};
use std::sync::Arc;
use std::time::Instant;

const SETTINGS: EstimatorSettings = EstimatorSettings { min_bps: 60_000, start_bps: 600_000, max_bps: 20_000_000 };
/// What the network adds to RTP: IPv4 20, UDP 8, SRTP 10 bytes.
const OVERHEAD: u32 = 38;

pub(super) struct Estimate {
    estimator: BandwidthEstimator,
    feedbacks: Arc<Feedbacks>,
    outcomes: Vec<PacketOutcome>,
}

impl Estimate {
    pub(super) fn new(feedbacks: Arc<Feedbacks>) -> Self {
        Self { estimator: BandwidthEstimator::new(SETTINGS), feedbacks, outcomes: Vec::new() }
    }
}

impl EstimatorSlot for Estimate {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        self.outcomes.clear();
        self.outcomes.extend(reports.iter().map(|report| PacketOutcome {
            sent: report.departure,
            arrived: report.arrival.filter(|_| report.arrived),
            bytes: report.size as u32 + OVERHEAD,
        }));
        self.estimator.on_feedback(now, &self.outcomes);
        self.feedbacks.set_narrow(self.estimator.is_narrow());
        self.feedbacks.share_out(now, self.estimator.target_bps(), self.estimator.queue_delay());
    }

    fn target_bitrate(&self) -> f64 {
        self.estimator.target_bps().into()
    }
}
