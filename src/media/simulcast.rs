//! Simulcast: a picture sent in several sizes at a time, so that each receiver in a group gets the one that its connection
//! carries. Which sizes there are, and which of them are sent at a bitrate.
//!
//! The layers are those of LiveKit's clients: a quarter, a half and the whole of the picture's sides, named `q`, `h` and `f`;
//! with two layers it is `q` and `h`, with one there is no name.

use std::time::{Duration, Instant};

/// A picture has so many layers at most.
pub const MAX_LAYERS: usize = 3;

/// What the layers are called on the wire (RFC 8851), lowest first.
pub const RIDS: [&str; MAX_LAYERS] = ["q", "h", "f"];

/// The longer side of a smaller layer has so many pixels at least: 480x270 comes in two layers, 960x540 in three.
const MIN_LAYER_SIDE: u32 = 240;

/// What the layers take of the whole picture's bitrate, highest first, in percent: a quarter of the pixels needs more than a
/// quarter of it.
const RATES: [u64; MAX_LAYERS] = [100, 30, 10];

/// A layer above the lowest is begun when so much of its bitrate is left for it, and given up below the other part.
const BEGIN_PART: f64 = 0.45;
const KEEP_PART: f64 = 0.35;
/// While the next layer does not fit, the one below takes what is left, up to so many times its bitrate: it looks better, and
/// shows whether the path carries more, as no estimate grows far above what is sent.
const STRETCH: f64 = 1.8;
/// A layer that was given up is not begun again for so long: each begin costs a key frame.
const BEGIN_AGAIN: Duration = Duration::from_secs(3);
/// Layers are sent for so long after a group has become a pair: people come back.
const PAIR_AFTER: Duration = Duration::from_secs(10);

/// When a camera's picture is sent in several sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Simulcast {
    /// While there are more than two in the session. Between two the picture comes in one size, which the sender itself fits to
    /// what the other's connection carries: no encoder runs for layers that nobody takes.
    #[default]
    InGroups,
    Always,
    /// In one size, which the narrowest connection of all who watch sets.
    Never,
}

/// One size of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its sides are those of the whole picture divided by this: 1, 2 or 4.
    pub divisor: u32,
    /// What it takes at most, but for the while in which the next one does not fit.
    pub bitrate_bps: u32,
}

impl Layer {
    /// Its size in a picture of that size; both sides even, unless it is the whole picture.
    pub fn size(&self, (width, height): (u32, u32)) -> (u32, u32) {
        let part = |side: u32| (side / self.divisor / 2 * 2).max(2);
        if self.divisor == 1 { (width, height) } else { (part(width), part(height)) }
    }

    fn is_worth_it(&self, full: (u32, u32)) -> bool {
        let (width, height) = self.size(full);
        self.divisor == 1 || width.max(height) >= MIN_LAYER_SIDE
    }
}

/// The layers of a picture whose sides are at most those of `full`, lowest first: one to three, of which the last is the whole
/// picture at `bitrate_bps`.
pub fn layers_of(full: (u32, u32), bitrate_bps: u32) -> Vec<Layer> {
    let layer =
        |step: usize| Layer { divisor: 1 << step, bitrate_bps: (u64::from(bitrate_bps) * RATES[step] / 100) as u32 };
    (0..MAX_LAYERS).rev().map(layer).filter(|layer| layer.is_worth_it(full)).collect()
}

/// Which layers the receivers want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedLayers(u8);

impl WantedLayers {
    pub const ALL: Self = Self(0b111);

    /// Lowest first.
    pub fn new(wanted: [bool; MAX_LAYERS]) -> Self {
        Self(wanted.into_iter().enumerate().fold(0, |bits, (layer, wanted)| bits | u8::from(wanted) << layer))
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// Bits without meaning are left out.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    fn highest(self) -> Option<usize> {
        self.0.checked_ilog2().map(|layer| layer as usize)
    }
}

/// What decides about the layers of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The size of the whole picture.
    pub full: (u32, u32),
    /// What all layers together may take.
    pub bitrate_bps: u32,
    pub wanted: WantedLayers,
    /// Receivers differ: there are several. Otherwise one layer does.
    pub is_group: bool,
    /// So many of the highest layers are left out for want of time to encode them, as far as another one remains
    /// ([`super::effort`]).
    pub fewer_layers: usize,
}

/// What each layer is to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// In bits a second, lowest layer first; 0: it is not sent.
    pub bps: [u32; MAX_LAYERS],
    /// What those that are wanted would take together. 0 when none is.
    pub demand_bps: u32,
    /// So many of the highest layers that are wanted are not sent, for whatever reason.
    pub unsent: usize,
    /// So many of those for want of time.
    pub left_out: usize,
}

impl Shares {
    pub fn total_bps(&self) -> u32 {
        self.bps.iter().sum()
    }
}

/// Shares the bitrate of one track out to its layers, from the lowest up.
#[derive(Debug)]
pub struct LayerAllocator {
    layers: Vec<Layer>,
    sent: [bool; MAX_LAYERS],
    /// When a layer was given up for want of bitrate.
    given_up: Option<Instant>,
    last_group: Option<Instant>,
}

impl LayerAllocator {
    /// `layers` are those of [`layers_of`].
    pub fn new(layers: Vec<Layer>) -> Self {
        Self { layers, sent: [false; MAX_LAYERS], given_up: None, last_group: None }
    }

    /// `now` does not go backwards.
    pub fn allocate(&mut self, now: Instant, conditions: &Conditions) -> Shares {
        let mut enabled = self.enabled(now, conditions);
        let left_out = leave_out(&mut enabled, conditions.fewer_layers);
        let rested = self.given_up.is_none_or(|at| now.saturating_duration_since(at) >= BEGIN_AGAIN);
        let mut shares = Shares { left_out, unsent: left_out, ..Shares::default() };
        let mut left = conditions.bitrate_bps;
        // The layer that was given its share last, and whether a higher one is wanted that does not fit.
        let (mut top, mut is_short) = (None, false);
        for (index, layer) in self.layers.iter().enumerate().filter(|(index, _)| enabled[*index]) {
            shares.demand_bps += layer.bitrate_bps;
            let part = if self.sent[index] { KEEP_PART } else { BEGIN_PART };
            let fits = f64::from(left) >= part * f64::from(layer.bitrate_bps) && (self.sent[index] || rested);
            if is_short || (top.is_some() && !fits) {
                if std::mem::take(&mut self.sent[index]) {
                    self.given_up = Some(now);
                }
                is_short = true;
                shares.unsent += 1;
                continue;
            }
            self.sent[index] = true;
            shares.bps[index] = left.min(layer.bitrate_bps).max(1);
            left -= left.min(layer.bitrate_bps);
            top = Some(index);
        }
        for index in (0..MAX_LAYERS).filter(|index| !enabled[*index]) {
            self.sent[index] = false;
        }
        if let Some(top) = top.filter(|_| is_short) {
            let most = f64::from(self.layers[top].bitrate_bps) * STRETCH;
            shares.bps[top] = (shares.bps[top] + left).min(most as u32);
        }
        shares
    }

    /// Those that are wanted, and worth it at that size of the picture. Where any is wanted, one is enabled.
    fn enabled(&mut self, now: Instant, conditions: &Conditions) -> [bool; MAX_LAYERS] {
        let mut enabled = [false; MAX_LAYERS];
        if conditions.is_group {
            self.last_group = Some(now);
        }
        let is_group = self.last_group.is_some_and(|at| now.saturating_duration_since(at) < PAIR_AFTER);
        let Some(highest) = conditions.wanted.highest() else { return enabled };
        let last = self.layers.len() - 1;
        let is_worth_it = |index: usize| self.layers[index].is_worth_it(conditions.full);
        // A quality that there is not is that of the best layer; a layer that is too small, that of the next one.
        let best = (highest.min(last)..=last).find(|index| is_worth_it(*index)).unwrap_or(last);
        enabled[best] = true;
        if is_group {
            let wanted = |index: &usize| conditions.wanted.0 >> index & 1 == 1 && is_worth_it(*index);
            (0..best).filter(wanted).for_each(|index| enabled[index] = true);
        }
        enabled
    }
}

/// Takes out so many of the highest, but not the last. How many there were.
fn leave_out(enabled: &mut [bool; MAX_LAYERS], most: usize) -> usize {
    let count = enabled.iter().filter(|enabled| **enabled).count();
    let left_out = most.min(count.saturating_sub(1));
    enabled.iter_mut().rev().filter(|enabled| **enabled).take(left_out).for_each(|enabled| *enabled = false);
    left_out
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    const HD: (u32, u32) = (1280, 720);
    const FULL_BPS: u32 = 1_500_000;
    const SECOND: Duration = Duration::from_secs(1);

    fn hd() -> LayerAllocator {
        LayerAllocator::new(layers_of(HD, FULL_BPS))
    }

    fn group(bitrate_bps: u32) -> Conditions {
        Conditions { full: HD, bitrate_bps, wanted: WantedLayers::ALL, is_group: true, fewer_layers: 0 }
    }

    fn wanted(low: bool, medium: bool, high: bool) -> WantedLayers {
        WantedLayers::new([low, medium, high])
    }

    #[test]
    fn small_pictures_have_fewer_layers_and_all_but_the_whole_have_even_sides() {
        let sizes = |full| layers_of(full, FULL_BPS).iter().map(|layer| layer.size(full)).collect::<Vec<_>>();
        assert_eq!(sizes(HD), [(320, 180), (640, 360), (1280, 720)]);
        assert_eq!(sizes((720, 1280)), [(180, 320), (360, 640), (720, 1280)], "a telephone held upright");
        assert_eq!(sizes((1918, 1079)), [(478, 268), (958, 538), (1918, 1079)]);
        assert_eq!(sizes((640, 360)), [(320, 180), (640, 360)]);
        assert_eq!(sizes((480, 270)), [(240, 134), (480, 270)]);
        assert_eq!(sizes((320, 180)), [(320, 180)]);
        let rates: Vec<u32> = layers_of(HD, FULL_BPS).iter().map(|layer| layer.bitrate_bps).collect();
        assert_eq!(rates, [150_000, 450_000, 1_500_000]);
    }

    #[test]
    fn the_bitrate_goes_to_the_lowest_layer_first_and_what_does_not_fit_is_not_sent() {
        let at = |bps| hd().allocate(Instant::now(), &group(bps)).bps;
        assert_eq!(at(3_000_000), [150_000, 450_000, 1_500_000]);
        assert_eq!(at(1_400_000), [150_000, 450_000, 800_000]);
        assert_eq!(at(1_200_000), [150_000, 810_000, 0], "and no more than what a layer of that size is worth");
        assert_eq!(at(500_000), [150_000, 350_000, 0]);
        assert_eq!(at(200_000), [200_000, 0, 0]);
        assert_eq!(at(20_000), [20_000, 0, 0]);
        assert_eq!(hd().allocate(Instant::now(), &group(0)).demand_bps, 2_100_000);
    }

    #[test]
    fn while_a_layer_does_not_fit_what_is_sent_lets_the_estimate_grow_until_it_does() {
        // As `bandwidth` bounds it: half as much again as is sent.
        let (mut allocator, start, mut bitrate) = (hd(), Instant::now(), 100_000);
        for tick in 0..100 {
            let shares = allocator.allocate(start + SECOND * tick / 5, &group(bitrate));
            bitrate = (f64::from(shares.total_bps()) * 1.45) as u32;
        }
        assert_eq!(allocator.allocate(start + SECOND * 21, &group(bitrate)).bps, [150_000, 450_000, 1_500_000]);
    }

    #[test]
    fn a_bitrate_that_goes_up_and_down_does_not_turn_a_layer_on_and_off() {
        let (mut allocator, start) = (hd(), Instant::now());
        let mut sends = |ms, bps| allocator.allocate(start + Duration::from_millis(ms), &group(bps)).bps[2] > 0;
        assert!(sends(0, 1_300_000));
        assert!(sends(100, 1_150_000), "it is sent already");
        assert!(!sends(200, 1_100_000));
        assert!(!sends(300, 1_250_000) && !sends(3000, 2_100_000), "it was just given up");
        assert!(sends(3200, 1_300_000));
    }

    #[test]
    fn between_two_one_layer_is_sent_and_a_group_that_became_a_pair_is_believed_after_a_while() {
        let (mut allocator, start) = (hd(), Instant::now());
        let pair = Conditions { is_group: false, ..group(2_000_000) };
        let mut at = |second, conditions: &Conditions| allocator.allocate(start + SECOND * second, conditions);
        assert_eq!(at(0, &pair), Shares { bps: [0, 0, FULL_BPS], demand_bps: FULL_BPS, ..Shares::default() });
        assert_eq!(at(1, &Conditions { wanted: wanted(true, false, false), ..pair }).bps, [150_000, 0, 0]);
        assert_eq!(at(2, &Conditions { wanted: wanted(true, true, false), ..pair }).bps, [0, 450_000, 0]);
        assert_eq!(at(3, &group(2_000_000)).bps, [150_000, 450_000, 1_400_000]);
        assert_eq!(at(12, &pair).bps, [150_000, 450_000, 1_400_000]);
        assert_eq!(at(13, &pair).bps, [0, 0, FULL_BPS]);
        assert_eq!(at(14, &Conditions { bitrate_bps: 60_000, ..pair }).bps, [0, 0, 60_000], "it gets smaller itself");
    }

    #[test]
    fn for_want_of_time_the_highest_layers_are_left_out_and_one_remains() {
        let at = |fewer_layers, conditions| hd().allocate(Instant::now(), &Conditions { fewer_layers, ..conditions });
        let less = at(1, group(3_000_000));
        assert_eq!((less.bps, less.demand_bps, less.left_out), ([150_000, 450_000, 0], 600_000, 1));
        assert_eq!(at(2, group(3_000_000)).bps, [150_000, 0, 0]);
        assert_eq!(at(9, group(3_000_000)).bps, [150_000, 0, 0]);
        let pair = at(1, Conditions { is_group: false, ..group(3_000_000) });
        assert_eq!((pair.bps, pair.left_out), ([0, 0, FULL_BPS], 0));
        assert_eq!((at(0, group(500_000)).unsent, at(1, group(200_000)).unsent), (1, 2));
    }

    #[test]
    fn nobody_gets_nothing_and_layers_that_nobody_wants_are_not_sent() {
        let shares = |wanted| hd().allocate(Instant::now(), &Conditions { wanted, ..group(3_000_000) });
        assert_eq!(shares(wanted(false, false, false)), Shares::default());
        assert_eq!(shares(wanted(true, true, false)).bps, [150_000, 450_000, 0]);
        assert_eq!(
            shares(wanted(true, false, true)),
            Shares { bps: [150_000, 0, FULL_BPS], demand_bps: 1_650_000, ..Shares::default() }
        );
        let mut plain = LayerAllocator::new(layers_of((320, 180), 300_000));
        let mut is_sent = |wanted| plain.allocate(Instant::now(), &Conditions { wanted, ..group(300_000) }).bps[0] > 0;
        assert!(is_sent(wanted(false, false, true)) && is_sent(wanted(true, false, false)));
        assert!(!is_sent(wanted(false, false, false)));
    }

    #[test]
    fn a_source_that_is_smaller_than_was_announced_leaves_out_the_layers_that_are_too_small() {
        let at = |full| hd().allocate(Instant::now(), &Conditions { full, ..group(3_000_000) }).bps.map(|bps| bps > 0);
        assert_eq!(at((640, 360)), [false, true, true]);
        assert_eq!(at((320, 180)), [false, false, true]);
        let low = Conditions { full: (320, 180), wanted: wanted(true, false, false), ..group(3_000_000) };
        assert_eq!(hd().allocate(Instant::now(), &low).bps.map(|bps| bps > 0), [false, false, true]);
    }

    #[test]
    fn whatever_happens_the_shares_keep_to_the_bitrate_and_the_lowest_wanted_layer_is_sent() {
        let seed = std::env::var("TRILL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        println!("TRILL_SEED={seed}");
        let (mut rng, mut allocator, start) = (StdRng::seed_from_u64(seed), hd(), Instant::now());
        let (mut conditions, mut begins, mut before) = (group(0), 0, [0; MAX_LAYERS]);
        for tick in 0..50_000u32 {
            if rng.random_bool(0.01) {
                conditions.wanted = WantedLayers::from_bits(rng.random());
            }
            if rng.random_bool(0.001) {
                conditions.full = [HD, (640, 360), (320, 180), (2, 2), (720, 1280)][rng.random_range(0..5)];
            }
            conditions.bitrate_bps = rng.random_range(0..2_500_000);
            let shares = allocator.allocate(start + Duration::from_millis(33) * tick, &conditions);
            let sent = shares.bps.iter().filter(|bps| **bps > 0).count();
            assert_eq!(sent > 0, conditions.wanted.bits() != 0, "{conditions:?} {shares:?}");
            assert!(shares.total_bps() <= conditions.bitrate_bps.max(1), "{conditions:?} {shares:?}");
            assert!(shares.demand_bps <= 2_100_000);
            begins += u32::from(shares.bps[2] > 0 && before[2] == 0);
            before = shares.bps;
        }
        // The wishes alone change some 500 times in these 27 minutes.
        assert!(begins < 1000, "{begins}");
    }
}
