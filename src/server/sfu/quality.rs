//! How good a participant's connection is, from what both sides report as lost (RFC 3550 receiver reports).

use livekit_protocol::{ConnectionQuality, ConnectionQualityInfo};

/// Above this share of lost packets a connection is no longer excellent, and above the other no longer good.
const GOOD_LOSS: f32 = 0.02;
const POOR_LOSS: f32 = 0.06;

/// How much of the last judgement stays in this one.
const SMOOTHING: f32 = 0.5;

/// One participant's losses, both ways.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quality {
    up: f32,
    down: f32,
    told: Option<ConnectionQuality>,
}

impl Quality {
    /// The share lost of what the participant sent, 0 to 1.
    pub fn lost_up(&mut self, share: f32) {
        self.up = self.up * SMOOTHING + share.clamp(0.0, 1.0) * (1.0 - SMOOTHING);
    }

    /// The share lost of what was sent to it, 0 to 1.
    pub fn lost_down(&mut self, share: f32) {
        self.down = self.down * SMOOTHING + share.clamp(0.0, 1.0) * (1.0 - SMOOTHING);
    }

    /// What to tell of it, and whether that is new.
    pub fn judge(&mut self, sid: &str, connected: bool) -> (ConnectionQualityInfo, bool) {
        let loss = self.up.max(self.down);
        let quality = match loss {
            _ if !connected => ConnectionQuality::Lost,
            loss if loss > POOR_LOSS => ConnectionQuality::Poor,
            loss if loss > GOOD_LOSS => ConnectionQuality::Good,
            _ => ConnectionQuality::Excellent,
        };
        let is_new = self.told.replace(quality) != Some(quality);
        // LiveKit's scale: 0 to 5, as a mean opinion score.
        let score = if connected { (5.0 - loss * 25.0).clamp(1.0, 5.0) } else { 0.0 };
        (ConnectionQualityInfo { participant_sid: sid.into(), quality: quality as i32, score }, is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_in_either_direction_lowers_the_quality() {
        let mut quality = Quality::default();
        assert_eq!(quality.judge("PA_x", true).0.quality(), ConnectionQuality::Excellent);
        quality.lost_down(0.08);
        assert_eq!(quality.judge("PA_x", true).0.quality(), ConnectionQuality::Good);
        quality.lost_up(0.2);
        assert_eq!(quality.judge("PA_x", true).0.quality(), ConnectionQuality::Poor);
        assert_eq!(quality.judge("PA_x", false).0.quality(), ConnectionQuality::Lost);
    }

    #[test]
    fn the_same_quality_is_new_only_once() {
        let mut quality = Quality::default();
        assert!(quality.judge("PA_x", true).1);
        assert!(!quality.judge("PA_x", true).1);
    }
}
