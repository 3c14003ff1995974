//! What chance makes of a loss that does not change: a window has only so many packets, and bursts make it vary more.

/// Loss of so much more than a path's own says something...
const SUSPICIOUS: f64 = 0.06;
/// ... when it is more than so many standard deviations, too.
const BY_CHANCE: f64 = 3.0;
/// Of what went away with the rate, no more than such a part is put down to bursts.
const EXCUSE: f64 = 0.3;

/// How many times as much a path's loss varies as loss of one packet at a time: about 2n - 1 where it comes in bursts of n.
#[derive(Clone, Copy, Debug)]
pub struct Variation(pub f64);

impl Variation {
    const SINGLE: Self = Self(1.0);

    /// Of bursts of so many packets in the mean.
    pub fn of_bursts(length: f64) -> Self {
        Self(2.0 * length - 1.0)
    }

    /// The standard deviation of the loss of so many packets, where that share is lost in the long run.
    pub fn deviation(self, loss: f64, packets: f64) -> f64 {
        (self.0 * loss * (1.0 - loss) / packets.max(1.0)).sqrt()
    }

    /// So much more than `own` is suspicious. No more than `allowed` is put down to bursts: where little is sent, everything would be.
    pub fn suspicious(self, own: f64, packets: f64, allowed: f64) -> f64 {
        let by_chance = |variation: Self| BY_CHANCE * variation.deviation(own, packets);
        SUSPICIOUS.max(by_chance(self).min(allowed)).max(by_chance(Self::SINGLE))
    }

    /// So much less than `loss` may be the same loss all the same.
    pub fn excuse(self, loss: f64, packets: f64) -> f64 {
        self.deviation(loss, packets).min(EXCUSE * loss).max(Self::SINGLE.deviation(loss, packets))
    }
}
