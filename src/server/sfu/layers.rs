//! The simulcast layers of a published track: which exist, which are alive, and which one a subscriber should get.

use livekit_protocol::{UpdateTrackSettings, VideoLayer, VideoQuality};
use std::time::{Duration, Instant};
use str0m::media::Rid;
use str0m::rtp::Ssrc;

/// A layer that sent nothing for this long is not sent at present: the publisher's encoder turns layers off at will.
const ALIVE: Duration = Duration::from_millis(1500);

/// A publisher has at most this many; more SSRCs than that on one track are not looked at.
const MAX_LAYERS: usize = 6;

/// A layer is large enough for a request when it has this share of the wanted width, in percent: sizes are rounded.
const LARGE_ENOUGH: u32 = 90;

/// The streams of one track. Audio and plain video have one.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: Vec<Layer>,
    announced: Vec<VideoLayer>,
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
}

impl Layers {
    /// `announced` are the layers of `add_track`: they tell sizes.
    pub fn new(announced: &[VideoLayer]) -> Self {
        Self { layers: Vec::new(), announced: announced.iter().take(MAX_LAYERS).cloned().collect() }
    }

    /// A packet came in.
    pub fn received(&mut self, now: Instant, rid: Option<Rid>, ssrc: Ssrc) {
        if let Some(layer) = self.layers.iter_mut().find(|layer| layer.rid == rid) {
            (layer.ssrc, layer.last_packet) = (ssrc, now);
        } else if self.layers.len() < MAX_LAYERS {
            let rank = rid.map_or(0, |rid| rank(&rid, self.layers.len()));
            self.layers.push(Layer { rid, ssrc, rank, last_packet: now });
        }
    }

    /// The layer to forward to somebody with that wish: the best one alive that is not above it, else the lowest alive.
    pub fn choose(&self, now: Instant, wish: Wish) -> Option<Ssrc> {
        let alive = || self.layers.iter().filter(|layer| now.saturating_duration_since(layer.last_packet) < ALIVE);
        let ceiling = self.ceiling(wish);
        let within = alive().filter(|layer| layer.rank <= ceiling).max_by_key(|layer| layer.rank);
        within.or_else(|| alive().min_by_key(|layer| layer.rank)).map(|layer| layer.ssrc)
    }

    /// The highest rank that a wish allows.
    fn ceiling(&self, wish: Wish) -> usize {
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
        layers.received(now, Some("f".into()), F.into());
        layers.received(now, Some("q".into()), Q.into());
        layers.received(now, Some("h".into()), H.into());
        layers
    }

    #[test]
    fn the_best_layer_alive_is_chosen() {
        let now = Instant::now();
        let mut layers = simulcast(now);
        assert_eq!(layers.choose(now, Wish::Best), Some(F.into()));
        let later = now + ALIVE;
        assert_eq!(layers.choose(later, Wish::Best), None);
        layers.received(later, Some("q".into()), Q.into());
        assert_eq!(layers.choose(later, Wish::Best), Some(Q.into()));
    }

    #[test]
    fn a_subscriber_gets_no_more_than_it_wants() {
        let now = Instant::now();
        let layers = simulcast(now);
        let size = |width, height| Wish::Size { width, height };
        assert_eq!(layers.choose(now, Wish::AtMost(VideoQuality::Low)), Some(Q.into()));
        assert_eq!(layers.choose(now, size(300, 200)), Some(Q.into()));
        assert_eq!(layers.choose(now, size(360, 640)), Some(H.into()));
        assert_eq!(layers.choose(now, size(4000, 3000)), Some(F.into()));
    }

    #[test]
    fn a_plain_track_has_one_layer_whatever_is_wished() {
        let now = Instant::now();
        let mut layers = Layers::new(&[]);
        layers.received(now, None, F.into());
        assert_eq!(layers.choose(now, Wish::AtMost(VideoQuality::Low)), Some(F.into()));
        layers.received(now, None, H.into());
        assert_eq!(layers.choose(now, Wish::Best), Some(H.into()), "a new SSRC takes the place of the old one");
    }
}
