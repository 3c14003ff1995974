//! The simulcast layers of a published track: which exist, which are alive, and which one a subscriber should get.

use super::forward::ALL_LAYERS;
use livekit_protocol::{UpdateTrackSettings, VideoLayer, VideoQuality};
use std::time::{Duration, Instant};
use str0m::media::Rid;
use str0m::rtp::Ssrc;

/// A layer that sent nothing for this long is not sent at present: the publisher's encoder turns layers off at will.
const ALIVE: Duration = Duration::from_millis(1500);

/// The same where others of the track go on: it is no matter of the network. Who watches it stands still meanwhile.
const ALIVE_BESIDE: Duration = Duration::from_millis(700);

/// A publisher has at most this many; more SSRCs than that on one track are not looked at.
const MAX_LAYERS: usize = 6;

/// A layer is large enough for a request when it has this share of the wanted width, or of the pictures a second, in percent: sizes
/// are rounded.
const LARGE_ENOUGH: u32 = 90;

/// Over how long a layer's rate is measured.
const RATE_WINDOW: Duration = Duration::from_millis(400);

/// Temporal layers of a stream; what is above counts as the highest.
const TEMPORAL_LAYERS: usize = 3;

/// What RTP, SRTP, UDP and IP add to a payload, in bytes.
const OVERHEAD: usize = 60;

/// The rates that are assumed of layers until they are measured, lowest first, in bits a second.
const ASSUMED_RATES: [u64; 3] = [150_000, 500_000, 1_700_000];

/// The streams of one track. Audio and plain video have one.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// Lowest first.
    layers: Vec<Layer>,
    announced: Vec<VideoLayer>,
}

/// See [`Layers::picks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picks([Option<Ssrc>; MAX_LAYERS]);

impl Picks {
    pub fn up_to(&self, rank: usize) -> Option<Ssrc> {
        self.0.get(rank).or(self.0.last()).copied().flatten()
    }
}

/// What a subscriber wants of a video track at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wish {
    #[default]
    Best,
    AtMost(VideoQuality),
    Size {
        width: u32,
        height: u32,
    },
}

#[derive(Debug)]
struct Layer {
    rid: Option<Rid>,
    ssrc: Ssrc,
    rank: usize,
    last_packet: Instant,
    /// Bits.
    rate: Rate,
    pictures: Rate,
    /// Bits of the temporal layers up to each, but for the highest.
    below: [Rate; TEMPORAL_LAYERS - 1],
    /// When each temporal layer brought something.
    seen: [Option<Instant>; TEMPORAL_LAYERS],
}

/// A packet of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    /// Of its payload.
    pub bytes: usize,
    /// The temporal layer of its picture.
    pub layer: u8,
    pub begins_picture: bool,
}

/// A layer that is sent at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    pub ssrc: Ssrc,
    pub rank: usize,
    /// The highest temporal layer that is wanted of it.
    pub temporal: u8,
    /// Bits a second.
    pub rate: u64,
}

/// What comes in a second: the mean of the last two windows or so.
#[derive(Clone, Copy, Debug)]
struct Rate {
    since: Instant,
    amount: usize,
    measured: Option<u64>,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { since: now, amount: 0, measured: None }
    }

    fn received(&mut self, now: Instant, amount: usize) {
        let passed = now.saturating_duration_since(self.since);
        if passed >= RATE_WINDOW {
            let rate = (self.amount as f64 / passed.as_secs_f64()) as u64;
            // After a gap the old figure says nothing.
            let before = self.measured.filter(|_| passed < ALIVE);
            *self = Self { since: now, amount: 0, measured: Some(before.map_or(rate, |before| before.midpoint(rate))) };
        }
        self.amount += amount;
    }
}

impl Layers {
    /// `announced` are the layers of `add_track`: they tell sizes.
    pub fn new(announced: &[VideoLayer]) -> Self {
        Self { layers: Vec::new(), announced: announced.iter().take(MAX_LAYERS).cloned().collect() }
    }

    /// A packet came in.
    pub fn received(&mut self, now: Instant, rid: Option<Rid>, ssrc: Ssrc, packet: Received) {
        let known = self.layers.iter().position(|layer| layer.rid == rid);
        let index = known.or_else(|| {
            (self.layers.len() < MAX_LAYERS).then(|| {
                let rank = rid.map_or(0, |rid| rank(&rid, self.layers.len()));
                self.layers.push(Layer::new(now, rid, ssrc, rank));
                self.layers.sort_by_key(|layer| layer.rank);
                self.layers.iter().position(|layer| layer.rid == rid).unwrap_or(0)
            })
        });
        if let Some(layer) = index.and_then(|index| self.layers.get_mut(index)) {
            layer.ssrc = ssrc;
            layer.received(now, packet);
        }
    }

    /// It comes in one size, which its publisher makes smaller when it is told to: without simulcast, or with the whole picture
    /// as the only layer, as our engine sends it between two. A browser on a narrow network sends small layers alone, not that.
    /// While nothing comes, it is what it was: a limit that stands must not be taken back because a network stalls.
    pub fn is_single(&self) -> bool {
        let best = self.announced.iter().map(|layer| layer.quality.max(0) as usize).max();
        let latest = self.layers.iter().map(|layer| layer.last_packet).max();
        let is_present = |layer: &&Layer| latest.is_some_and(|at| at.duration_since(layer.last_packet) < ALIVE);
        let is_whole = |layer: &Layer| layer.rid.is_none() || Some(layer.rank) == best;
        let mut present = self.layers.iter().filter(is_present);
        present.next().is_none_or(is_whole) && present.next().is_none()
    }

    /// A stream of it, the one that is plain if there is one, and one that is sent now rather than another.
    pub fn any_stream(&self, now: Instant) -> Option<Ssrc> {
        let is_silent = |layer: &Layer| now.saturating_duration_since(layer.last_packet) >= ALIVE;
        self.layers.iter().min_by_key(|layer| (layer.rid.is_some(), is_silent(layer))).map(|layer| layer.ssrc)
    }

    /// What comes in of it now, in bits a second.
    pub fn rate(&self, now: Instant) -> u64 {
        self.alive(now).filter_map(|layer| layer.rate.measured).sum()
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = &Layer> {
        let latest = self.layers.iter().map(|layer| layer.last_packet).max();
        self.layers.iter().filter(move |layer| {
            let beside = latest.map_or(Duration::ZERO, |latest| latest.duration_since(layer.last_packet));
            now.saturating_duration_since(layer.last_packet) < ALIVE && beside < ALIVE_BESIDE
        })
    }

    /// The stream to forward to somebody who is to get no more than each rank: the best one alive that is not above it,
    /// else the lowest alive. Ranks above the last are as the last.
    pub fn picks(&self, now: Instant) -> Picks {
        let mut picks = [None; MAX_LAYERS];
        for layer in self.alive(now) {
            for (rank, pick) in picks.iter_mut().enumerate() {
                if pick.is_none() || layer.rank <= rank {
                    *pick = Some(layer.ssrc);
                }
            }
        }
        Picks(picks)
    }

    /// The layers alive that somebody with that wish may get, lowest first. `fps` is how many pictures a second are wanted, or 0.
    pub fn rungs(&self, now: Instant, wish: Wish, fps: u32) -> Vec<Rung> {
        let ceiling = self.ceiling(wish);
        let rung =
            |(index, layer): (usize, &Layer)| layer.rung(now, ASSUMED_RATES[index.min(ASSUMED_RATES.len() - 1)], fps);
        let all: Vec<Rung> = self.alive(now).enumerate().map(rung).collect();
        let within = all.iter().filter(|rung| rung.rank <= ceiling).count().max(1);
        all.into_iter().take(within).collect()
    }

    /// The highest rank that a wish allows.
    pub fn ceiling(&self, wish: Wish) -> usize {
        match wish {
            Wish::Best => usize::MAX,
            Wish::AtMost(quality) => quality as usize,
            Wish::Size { width, height } => {
                // Compared by the longer side: a phone turns its picture.
                let wanted = width.max(height);
                let large_enough = |layer: &&VideoLayer| {
                    u64::from(layer.width.max(layer.height)) * 100 >= u64::from(wanted) * u64::from(LARGE_ENOUGH)
                };
                let ranks = self.announced.iter().filter(large_enough).map(|layer| layer.quality.max(0) as usize);
                ranks.min().unwrap_or(usize::MAX)
            }
        }
    }
}

impl Layer {
    fn new(now: Instant, rid: Option<Rid>, ssrc: Ssrc, rank: usize) -> Self {
        let rate = Rate::new(now);
        let (below, seen) = ([rate; TEMPORAL_LAYERS - 1], [None; TEMPORAL_LAYERS]);
        Self { rid, ssrc, rank, last_packet: now, rate, pictures: rate, below, seen }
    }

    fn received(&mut self, now: Instant, packet: Received) {
        let (bits, layer) = ((packet.bytes + OVERHEAD) * 8, usize::from(packet.layer).min(TEMPORAL_LAYERS - 1));
        self.last_packet = now;
        self.seen[layer] = Some(now);
        self.rate.received(now, bits);
        self.pictures.received(now, usize::from(packet.begins_picture));
        self.below.iter_mut().skip(layer).for_each(|rate| rate.received(now, bits));
    }

    /// With no more temporal layers than so many pictures a second need: each doubles them. 0: with all.
    fn rung(&self, now: Instant, assumed: u64, fps: u32) -> Rung {
        let rate = self.rate.measured.unwrap_or(assumed);
        let all = Rung { ssrc: self.ssrc, rank: self.rank, temporal: ALL_LAYERS, rate };
        let is_present = |at: &Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < ALIVE);
        let highest = self.seen.iter().rposition(is_present).unwrap_or(0);
        let Some(pictures) = self.pictures.measured.filter(|_| fps > 0) else { return all };
        let is_enough =
            |temporal: &usize| (pictures >> (highest - temporal)) * 100 >= u64::from(fps) * u64::from(LARGE_ENOUGH);
        let enough = (0..highest).find(is_enough);
        let fewer = enough.and_then(|temporal| Some((temporal, self.below.get(temporal)?.measured?)));
        fewer.map_or(all, |(temporal, rate)| Rung { temporal: temporal as u8, rate, ..all })
    }
}

impl Wish {
    /// A size counts before a quality, as in LiveKit.
    pub fn of(settings: &UpdateTrackSettings) -> Self {
        if settings.width > 0 && settings.height > 0 {
            return Self::Size { width: settings.width, height: settings.height };
        }
        match settings.quality() {
            VideoQuality::Low => Self::AtMost(VideoQuality::Low),
            VideoQuality::Medium => Self::AtMost(VideoQuality::Medium),
            VideoQuality::High | VideoQuality::Off => Self::Best,
        }
    }
}

/// LiveKit's clients name their layers q, h, f (quarter, half, full); others follow in the order in which they appear.
fn rank(rid: &Rid, seen: usize) -> usize {
    match &**rid {
        "q" => 0,
        "h" => 1,
        "f" => 2,
        _ => seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: u32 = 1;
    const H: u32 = 2;
    const F: u32 = 3;

    fn packet(bytes: usize) -> Received {
        Received { bytes, layer: 0, begins_picture: true }
    }

    fn simulcast(now: Instant) -> Layers {
        let layer = |quality: VideoQuality, width, height| VideoLayer {
            quality: quality as i32,
            width,
            height,
            ..Default::default()
        };
        let mut layers = Layers::new(&[
            layer(VideoQuality::Low, 320, 180),
            layer(VideoQuality::Medium, 640, 360),
            layer(VideoQuality::High, 1280, 720),
        ]);
        layers.received(now, Some("f".into()), F.into(), packet(1000));
        layers.received(now, Some("q".into()), Q.into(), packet(1000));
        layers.received(now, Some("h".into()), H.into(), packet(1000));
        layers
    }

    /// What somebody gets whose connection carries everything.
    fn choose(layers: &Layers, now: Instant, wish: Wish) -> Option<Ssrc> {
        layers.picks(now).up_to(layers.rungs(now, wish, 0).last().map_or(0, |rung| rung.rank))
    }

    #[test]
    fn a_layers_rate_is_measured() {
        let start = Instant::now();
        let mut layers = simulcast(start);
        assert_eq!(layers.rungs(start, Wish::Best, 0).iter().map(|rung| rung.rate).collect::<Vec<_>>(), ASSUMED_RATES);
        for n in 1..200u32 {
            layers.received(start + Duration::from_millis(10) * n, Some("h".into()), H.into(), packet(1000 - OVERHEAD));
        }
        let rung = layers.rungs(start + Duration::from_secs(2), Wish::Best, 0)[0];
        assert_eq!((rung.ssrc, rung.rank), (H.into(), 1), "the others are not sent any more");
        assert!(rung.rate.abs_diff(800_000) < 30_000, "{}", rung.rate);
    }

    #[test]
    fn who_wants_few_pictures_gets_the_temporal_layers_that_have_them() {
        let start = Instant::now();
        let mut layers = simulcast(start);
        for picture in 1..100u32 {
            let at = start + Duration::from_micros(33_333) * picture;
            layers.received(at, Some("q".into()), Q.into(), packet(500 - OVERHEAD));
            let layer = [0, 2, 1, 2][picture as usize % 4];
            let bytes = if layer == 0 { 4000 } else { 1000 } - OVERHEAD;
            layers.received(at, Some("h".into()), H.into(), Received { bytes, layer, begins_picture: true });
        }
        let now = start + Duration::from_micros(3_300_000);
        let best = |fps| layers.rungs(now, Wish::Best, fps)[1];
        let temporal = |fps| best(fps).temporal;
        assert_eq!([0, 30, 17, 15, 8, 7, 1].map(temporal), [ALL_LAYERS, ALL_LAYERS, ALL_LAYERS, 1, 1, 0, 0]);
        for (fps, kbps) in [(0, 420u64), (15, 300), (7, 240)] {
            assert!(best(fps).rate.abs_diff(kbps * 1000) < 30_000, "{:?}", best(fps));
        }
        assert_eq!(layers.rungs(now, Wish::Best, 15)[0].temporal, ALL_LAYERS, "it has no temporal layers");
        assert_eq!(layers.rungs(now, Wish::Best, u32::MAX)[1].temporal, ALL_LAYERS);
    }

    #[test]
    fn the_best_layer_alive_is_chosen() {
        let now = Instant::now();
        let mut layers = simulcast(now);
        assert_eq!(choose(&layers, now, Wish::Best), Some(F.into()));
        let later = now + ALIVE;
        assert_eq!(choose(&layers, later, Wish::Best), None);
        layers.received(later, Some("q".into()), Q.into(), packet(1000));
        assert_eq!(choose(&layers, later, Wish::Best), Some(Q.into()));
    }

    #[test]
    fn a_subscriber_gets_no_more_than_it_wants() {
        let now = Instant::now();
        let layers = simulcast(now);
        let size = |width, height| Wish::Size { width, height };
        assert_eq!(choose(&layers, now, Wish::AtMost(VideoQuality::Low)), Some(Q.into()));
        assert_eq!(choose(&layers, now, size(300, 200)), Some(Q.into()));
        assert_eq!(choose(&layers, now, size(360, 640)), Some(H.into()));
        assert_eq!(choose(&layers, now, size(4000, 3000)), Some(F.into()));
    }

    #[test]
    fn the_whole_picture_alone_is_one_size_and_a_small_layer_alone_is_not() {
        let start = Instant::now();
        let mut layers = simulcast(start);
        assert!(!layers.is_single());
        let later = start + ALIVE;
        layers.received(later, Some("f".into()), F.into(), packet(1000));
        assert!(layers.is_single());
        assert!(layers.picks(later + ALIVE).up_to(2).is_none() && layers.is_single(), "nothing comes at present");
        assert_eq!(layers.any_stream(later), Some(F.into()));
        layers.received(later, Some("q".into()), Q.into(), packet(1000));
        assert!(!layers.is_single());
        let mut small = simulcast(start);
        small.received(later, Some("q".into()), Q.into(), packet(1000));
        assert!(!small.is_single());
        assert!(Layers::new(&[]).is_single(), "nothing is known of it yet");
    }

    #[test]
    fn a_plain_track_has_one_layer_whatever_is_wished() {
        let now = Instant::now();
        let mut layers = Layers::new(&[]);
        layers.received(now, None, F.into(), packet(1000));
        assert_eq!(choose(&layers, now, Wish::AtMost(VideoQuality::Low)), Some(F.into()));
        layers.received(now, None, H.into(), packet(1000));
        assert_eq!(choose(&layers, now, Wish::Best), Some(H.into()), "a new SSRC takes the place of the old one");
    }
}
