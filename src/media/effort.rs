//! How much of its pictures a machine has the time to encode.
//!
//! Where a picture takes longer to encode than the next one takes to come, pictures are lost and the rest stutters. Then less is
//! encoded: the highest simulcast layer is left out; where there is one layer, it gets smaller; at last there are fewer pictures.
//! It is taken back when there is room, and each attempt that fails puts off the next. Time comes in as arguments.

use super::ladder::{STEPS, scaled};
use std::time::{Duration, Instant};

/// How often it is looked at what pictures take.
const WINDOW: Duration = Duration::from_millis(500);
/// An encoder that has nothing to do for so long was paused, and what was before says nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// It is too much when so much of the time is spent encoding in two windows in a row.
const BUSY: f64 = 0.85;
/// Or so much, and a source that waits for the encoder falls behind: only this part of its pictures comes.
const HALF_BUSY: f64 = 0.5;
const BEHIND: f64 = 0.8;
/// Far too much is what one window shows: so much more work than time.
const FAR: f64 = 2.0;

/// So much of the time is to be taken after a step down.
const DOWN_TO: f64 = 0.7;
/// A step is taken back when no more than so much of the time would be taken then.
const UP_TO: f64 = 0.6;

/// How long a step stands at least. Twice as long each time that the attempt before failed, up to the second.
const HOLD: Duration = Duration::from_secs(5);
const MAX_HOLD: Duration = Duration::from_secs(120);
/// An attempt that lasted so long has not failed.
const PROVEN: Duration = Duration::from_secs(30);
/// After so many times as long what a step saves may have changed: it is tried whether it fits.
const STALE: u32 = 12;
const IDLE: f64 = 0.5;

/// The longer side of a picture stays that long, in pixels, and pictures are no further apart.
const MIN_SIDE: u32 = 320;
const MAX_APART: Duration = Duration::from_millis(150);

/// What is done for each picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// So many of the highest layers are left out, as far as another one remains.
    pub fewer_layers: usize,
    /// How often the picture was made smaller.
    smaller: usize,
    /// How many pictures of each encoded one are left out.
    skipped: u32,
}

impl Effort {
    /// The size in which a layer of that size is sent.
    pub fn size(&self, layer: (u32, u32)) -> (u32, u32) {
        if self.smaller == 0 { layer } else { scaled(layer, self.smaller) }
    }

    /// It is less than was asked for, where so many layers are left out.
    pub fn is_limited(&self, layers_left_out: usize) -> bool {
        layers_left_out > 0 || self.smaller > 0 || self.skipped > 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Layer(usize),
    Size,
    Rate,
}

/// A step down that stands.
#[derive(Clone, Copy, Debug)]
struct Taken {
    step: Step,
    /// The work before it, in that after it.
    saves: f64,
}

/// What went on since `begun`.
#[derive(Clone, Copy, Debug)]
struct Window {
    begun: Instant,
    /// On the source's clock.
    media: Duration,
    pictures: u32,
    took: Duration,
    /// The least that two pictures were apart on the source's clock.
    interval: Option<Duration>,
}

/// The picture before.
#[derive(Clone, Copy, Debug)]
struct Before {
    begun: Instant,
    media: Duration,
    took: Duration,
}

/// See the module's text. One for each track.
#[derive(Debug)]
pub struct EffortLadder {
    effort: Effort,
    taken: Vec<Taken>,
    min_interval: Duration,
    /// Between the source's pictures, as far as they are wanted.
    interval: Duration,
    window: Option<Window>,
    before: Option<Before>,
    /// Sizes of the layers that were sent last, lowest first, before they were made smaller.
    layers: Vec<(u32, u32)>,
    /// Layers above those.
    unsent: usize,
    /// Windows since the last change; the first has key frames in it.
    windows: u32,
    /// Windows in a row that were too much.
    busy_windows: u32,
    /// The part of the time that encoding takes, smoothed.
    usual: Option<f64>,
    /// What a picture's part of the time was before the last steps down, and how many they were.
    to_learn: Option<(f64, usize)>,
    changed: Option<Instant>,
    raised: Option<Instant>,
    hold: Duration,
}

impl EffortLadder {
    /// `max_fps` is what is sent at most.
    pub fn new(max_fps: u32) -> Self {
        let interval = Duration::from_secs(1) / max_fps.max(1);
        Self {
            effort: Effort::default(),
            taken: Vec::new(),
            min_interval: interval,
            interval,
            window: None,
            before: None,
            layers: Vec::new(),
            unsent: 0,
            windows: 0,
            busy_windows: 0,
            usual: None,
            to_learn: None,
            changed: None,
            raised: None,
            hold: HOLD,
        }
    }

    /// How far apart pictures are at least; `None` when each is encoded.
    pub fn apart(&self) -> Option<Duration> {
        (self.effort.skipped > 0).then(|| self.interval * self.effort.skipped + self.interval / 2)
    }

    /// A picture is about to be encoded, which was made at `media` on its source's clock. `now` does not go backwards.
    pub fn begin(&mut self, now: Instant, media: Duration) -> Effort {
        let idle = self.before.map(|before| now.saturating_duration_since(before.begun).saturating_sub(before.took));
        if idle.is_none_or(|idle| idle >= PAUSE) {
            self.window = None;
        }
        let window = self.window.get_or_insert(Window::new(now, media));
        let passed = self.before.and_then(|before| media.checked_sub(before.media)).filter(|passed| !passed.is_zero());
        if window.pictures > 0 {
            window.interval = window.interval.into_iter().chain(passed).min();
        }
        let window = *window;
        if window.pictures > 0 && now.saturating_duration_since(window.begun) >= WINDOW {
            self.judge(now, media, &window);
            self.window = Some(Window::new(now, media));
        }
        self.before = Some(Before { begun: now, media, took: Duration::ZERO });
        self.effort
    }

    /// It took so long. `layers` are the sizes of those that were encoded, lowest first, before [`Effort::size`]; above them so
    /// many are wanted that are not sent, for whatever reason.
    pub fn encoded(&mut self, took: Duration, unsent: usize, layers: impl IntoIterator<Item = (u32, u32)>) {
        let (Some(window), Some(before)) = (&mut self.window, &mut self.before) else { return };
        window.pictures += 1;
        window.took += took;
        before.took = took;
        self.unsent = unsent;
        self.layers.clear();
        self.layers.extend(layers);
    }

    fn judge(&mut self, now: Instant, media: Duration, window: &Window) {
        let passed = now.saturating_duration_since(window.begun).as_secs_f64();
        let busy = window.took.as_secs_f64() / passed;
        // Of a camera's pictures many are lost while the encoder is busy: they are not further apart for that.
        let is_news = |interval: &Duration| self.effort.skipped == 0 && (*interval < self.interval || busy < DOWN_TO);
        if let Some(interval) = window.interval.filter(is_news) {
            self.interval = interval.max(self.min_interval);
        }
        let each = window.took.as_secs_f64() / f64::from(window.pictures);
        let load = each / (self.interval * (self.effort.skipped + 1)).as_secs_f64();
        let advanced = media.checked_sub(window.media).map_or(0.0, |advanced| advanced.as_secs_f64());
        let is_behind = advanced > 0.0 && advanced < BEHIND * passed;
        self.windows += 1;
        if self.windows == 1 {
            return;
        }
        self.learn(load);
        let is_far = busy >= DOWN_TO && load >= FAR;
        let is_much = busy >= BUSY || (is_behind && busy >= HALF_BUSY);
        self.busy_windows = if is_much { self.busy_windows + 1 } else { 0 };
        self.usual = Some(self.usual.map_or(busy, |usual| (usual * 3.0 + busy) / 4.0));
        if is_far || self.busy_windows >= 2 {
            self.fall(now, load);
        } else {
            self.rise(now);
        }
    }

    fn fall(&mut self, now: Instant, load: f64) {
        let count = self.taken.len();
        let mut expected = load;
        while let Some(taken) = self.next_step() {
            self.take(taken);
            expected /= taken.saves;
            if expected <= DOWN_TO {
                break;
            }
        }
        let steps = self.taken.len() - count;
        if steps == 0 {
            return;
        }
        let has_failed = self.raised.is_some_and(|at| now.saturating_duration_since(at) < PROVEN.max(self.hold));
        self.hold = if has_failed { (self.hold * 2).min(MAX_HOLD) } else { HOLD };
        self.raised = None;
        self.to_learn = Some((load, steps));
        self.change(now);
    }

    fn rise(&mut self, now: Instant) {
        let (Some(last), Some(changed), Some(usual)) = (self.taken.last().copied(), self.changed, self.usual) else {
            return;
        };
        let since = now.saturating_duration_since(changed);
        let fits = usual * last.saves <= UP_TO && since >= self.hold;
        if fits || (usual <= IDLE && since >= self.hold * STALE) {
            // A layer that the network took when the step was made comes back by itself: one at a time.
            let fewer = self.effort.fewer_layers.saturating_sub(1);
            if !matches!(last.step, Step::Layer(before) if fewer > before) {
                self.taken.pop();
            }
            match last.step {
                Step::Layer(_) => self.effort.fewer_layers = fewer,
                Step::Size => self.effort.smaller -= 1,
                Step::Rate => self.effort.skipped -= 1,
            }
            self.raised = Some(now);
            self.change(now);
        }
    }

    fn change(&mut self, now: Instant) {
        (self.windows, self.busy_windows, self.usual) = (0, 0, None);
        self.changed = Some(now);
        tracing::debug!(effort = ?self.effort, "what is encoded of pictures follows the machine");
    }

    /// The step down from here, with what it saves by the number of pixels.
    fn next_step(&self) -> Option<Taken> {
        let pixels = |layers: &[(u32, u32)]| layers.iter().map(|(w, h)| f64::from(*w) * f64::from(*h)).sum::<f64>();
        if let [rest @ .., _] = &*self.layers
            && !rest.is_empty()
        {
            let saves = pixels(&self.layers) / pixels(rest);
            return Some(Taken { step: Step::Layer(self.effort.fewer_layers), saves });
        }
        let smaller = self.effort.smaller + 1;
        let fits = |layer: &&(u32, u32)| {
            let (width, height) = scaled(**layer, smaller);
            width.max(height) >= MIN_SIDE
        };
        if smaller < STEPS.len() && self.layers.last().filter(fits).is_some() {
            let saves = (STEPS[smaller - 1] / STEPS[smaller]).powi(2);
            return Some(Taken { step: Step::Size, saves });
        }
        let skipped = self.effort.skipped + 1;
        let saves = f64::from(skipped + 1) / f64::from(skipped);
        (self.interval * (skipped + 1) <= MAX_APART).then_some(Taken { step: Step::Rate, saves })
    }

    fn take(&mut self, taken: Taken) {
        match taken.step {
            Step::Layer(_) => {
                self.unsent += 1;
                self.effort.fewer_layers = self.unsent;
                self.layers.pop();
            }
            Step::Size => self.effort.smaller += 1,
            Step::Rate => self.effort.skipped += 1,
        }
        self.taken.push(taken);
    }

    /// What the last steps saved, now that it is known. No more than by their pixels, as a small picture takes more for each: what
    /// goes beyond that was not of their doing.
    fn learn(&mut self, load: f64) {
        let Some((before, steps)) = self.to_learn.take() else { return };
        let from = self.taken.len().saturating_sub(steps);
        let expected: f64 = self.taken[from..].iter().map(|taken| taken.saves).product();
        let saved = (before / load.max(f64::EPSILON)).clamp(1.0, expected);
        let share = (saved / expected).powf(1.0 / steps as f64);
        self.taken[from..].iter_mut().for_each(|taken| taken.saves *= share);
    }
}

impl Window {
    fn new(begun: Instant, media: Duration) -> Self {
        Self { begun, media, pictures: 0, took: Duration::ZERO, interval: None }
    }
}

#[cfg(test)]
mod tests;
