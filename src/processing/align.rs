//! What was played, by the microphone's clock: two devices' clocks differ by up to some hundred parts of a million, and the
//! canceller takes an echo that comes a little faster or slower than what was played for another one.

use crate::media::frame::{AudioFrame, FRAME_DURATION, FRAME_SAMPLES, SAMPLE_RATE};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Adjustable as _, Async, FixedAsync, PolynomialDegree, Resampler as _};
use std::time::{Duration, Instant};

/// What is to wait after a frame was taken, so that one that comes a little late does no harm; more where they come later.
const LEAST_WAITING: f64 = FRAME_SAMPLES as f64;
const MOST_WAITING: f64 = 3.0 * FRAME_SAMPLES as f64;
/// And less again where more than this has waited at all times, for so many frames (10 s). A wait that is longer than the echo's
/// own delay has the echo come before what was played, and nothing is cancelled: then it is up to a frame less at once.
const SPARE: usize = FRAME_SAMPLES / 4;
const CALM_AFTER: u32 = 500;
/// By so much a second otherwise: the canceller follows that and keeps 45 dB and more of a loud echo down, where twice and a half as
/// much leaves 13, and a jump nothing for a second or two. The 20 ms of a hiccup are made up for within 17 minutes.
const SHRINK: f64 = 20e-6;
/// More than this waits only when nothing was captured for a while: it is old.
const OLD: usize = 10 * FRAME_SAMPLES;
/// After so many frames, a second, it is looked whether more waits all the time than is good.
const LOOK_EVERY: u32 = 50;
/// Between frames, so much of what the speaker has gone on to play is counted.
const BETWEEN: Duration = Duration::from_millis(100);
/// Clocks are not further apart than this.
const MAX_DRIFT: f64 = 1000e-6;

/// What was seen so long ago counts a third, in seconds.
const MEMORY: f64 = 60.0;
/// Drift is not believed at once: at first it is taken for one of some 50 parts of a million, seen through threads that are
/// some 2.4 ms late, in square seconds.
const DOUBT: f64 = (2.4e-3 / 50e-6) * (2.4e-3 / 50e-6);
/// By such a share of what waits too much or too little a second is worked off.
const RETURN: f64 = 0.05;

/// Brings frames from the speaker's clock to that of the microphone.
pub(super) struct Aligner {
    resampler: Async<f32>,
    waiting: Vec<f32>,
    /// When the newest of them came.
    arrived: Option<Instant>,
    wanted: f64,
    running: Option<Run>,
    /// How much faster the speaker's clock is, as far as is known.
    drift: f64,
    made: Vec<f32>,
    /// Of the last frames taken: how many, and what waited at least after one.
    taken: u32,
    least: usize,
    calm: Calm,
}

/// What waited at least since so many frames, and whether less is enough.
#[derive(Default)]
struct Calm {
    frames: u32,
    least: Option<usize>,
    shrinks: bool,
}

/// The line through what the speaker was ahead of the microphone, in seconds, at each frame: the least squares, of which old
/// ones count less and less. Times are before now.
struct Run {
    /// What was to wait, by the level at its beginning.
    level: f64,
    /// How far what was taken is ahead of the microphone.
    taken: f64,
    weight: f64,
    time: f64,
    time_squared: f64,
    ahead: f64,
    time_ahead: f64,
    /// The drift that was known when it began.
    known: f64,
    drift: f64,
}

impl Aligner {
    pub(super) fn new() -> Self {
        let resampler = Async::new_poly(1.0, 1.01, PolynomialDegree::Septic, FRAME_SAMPLES, 1, FixedAsync::Output)
            .expect("the ratio and the size are the library's to have");
        Self {
            resampler,
            waiting: Vec::with_capacity(OLD + FRAME_SAMPLES),
            arrived: None,
            wanted: LEAST_WAITING,
            running: None,
            drift: 0.0,
            made: vec![0.0; FRAME_SAMPLES],
            taken: 0,
            least: usize::MAX,
            calm: Calm::default(),
        }
    }

    /// The speaker was given a frame at `at`.
    pub(super) fn put(&mut self, played: &AudioFrame, at: Instant) {
        if self.waiting.len() >= OLD {
            self.clear();
        }
        self.waiting.extend(played.samples.iter().map(|sample| f32::from(*sample)));
        self.arrived = Some(at);
    }

    /// What belongs to a frame that was captured at `now`. `None`: nothing is played, or not for long enough.
    /// `cancelled`: the echo is, by now.
    pub(super) fn take(&mut self, now: Instant, cancelled: bool) -> Option<AudioFrame> {
        let needed = self.resampler.input_frames_next();
        if self.waiting.len() < needed {
            if self.running.is_some() {
                self.end_run();
                self.wanted = (self.wanted + FRAME_SAMPLES as f64).min(MOST_WAITING);
            }
            return None;
        }
        if self.running.is_none() {
            // From before the microphone stood still.
            if self.arrived.is_some_and(|at| now.saturating_duration_since(at) > BETWEEN) {
                self.waiting.clear();
            }
            let enough = self.wanted.round() as usize + needed;
            if self.waiting.len() < enough {
                return None;
            }
            // More would only come later than the echo of it.
            self.waiting.drain(..self.waiting.len() - enough);
            self.resampler.reset();
        }
        let before = self.waiting.len();
        let mut frame = AudioFrame::SILENCE;
        self.resample(&mut frame)?;
        let taken = before - self.waiting.len();
        // A frame may have come after the moment of capturing.
        let since = |at: Instant| match now.checked_duration_since(at) {
            Some(since) => since.min(BETWEEN).as_secs_f64(),
            None => -at.saturating_duration_since(now).min(BETWEEN).as_secs_f64(),
        };
        let level = seconds(self.waiting.len()) + self.arrived.map_or(0.0, since);
        let known = self.drift;
        let ratio = self.running.get_or_insert_with(|| Run::new(level, known)).follow(level, seconds(taken));
        let set = self.resampler.set_resample_ratio(ratio, true);
        debug_assert!(set.is_ok(), "{ratio} is within the bounds");
        self.drop_what_always_waits();
        self.want_less_when_calm(cancelled);
        Some(frame)
    }

    fn want_less_when_calm(&mut self, cancelled: bool) {
        let waiting = self.waiting.len();
        self.calm.frames += 1;
        self.calm.least = Some(self.calm.least.map_or(waiting, |least| least.min(waiting)));
        let too_much = self.wanted - LEAST_WAITING;
        if self.calm.frames == CALM_AFTER {
            let spare = self.calm.least.unwrap_or(0).saturating_sub(SPARE).min(FRAME_SAMPLES) as f64;
            let shrinks = spare > 0.0 && too_much > 0.0;
            if shrinks && !cancelled {
                self.wanted -= spare.min(too_much);
                return self.end_run();
            }
            self.calm = Calm { shrinks, ..Calm::default() };
        }
        if self.calm.shrinks
            && let Some(run) = &mut self.running
        {
            let less = (FRAME_SAMPLES as f64 * SHRINK).min(too_much);
            self.wanted -= less;
            run.level -= less / f64::from(SAMPLE_RATE);
        }
    }

    /// Frames of the microphone were lost: the drift would take a minute to make up for that.
    fn drop_what_always_waits(&mut self) {
        self.least = self.least.min(self.waiting.len());
        self.taken += 1;
        if self.taken == LOOK_EVERY {
            let wanted = self.wanted.round() as usize;
            if self.least > wanted + 2 * FRAME_SAMPLES {
                self.waiting.drain(..self.least - wanted);
                self.end_run();
            }
            (self.taken, self.least) = (0, usize::MAX);
        }
    }

    fn end_run(&mut self) {
        if let Some(run) = self.running.take() {
            self.drift = run.drift;
        }
        self.calm = Calm::default();
    }

    /// What waits is from before.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.end_run();
        self.wanted = LEAST_WAITING;
    }

    fn resample(&mut self, frame: &mut AudioFrame) -> Option<()> {
        let input = InterleavedSlice::new(&self.waiting, 1, self.waiting.len()).ok()?;
        let mut output = InterleavedSlice::new_mut(&mut self.made, 1, FRAME_SAMPLES).ok()?;
        let (read, _) = self.resampler.process_into_buffer(&input, &mut output, None).ok()?;
        self.waiting.drain(..read);
        // A cast of a float clips.
        frame.samples.iter_mut().zip(&self.made).for_each(|(to, from)| *to = from.round() as i16);
        Some(())
    }
}

impl Run {
    fn new(level: f64, known: f64) -> Self {
        let (weight, time, time_squared, ahead, time_ahead) = (0.0, 0.0, 0.0, 0.0, 0.0);
        Self { level, taken: 0.0, weight, time, time_squared, ahead, time_ahead, known, drift: known }
    }

    /// So much waits after so much was taken, in seconds; at which ratio to go on.
    fn follow(&mut self, level: f64, taken: f64) -> f64 {
        let frame = FRAME_DURATION.as_secs_f64();
        self.taken += taken - frame;
        let came = level + self.taken;
        // Everything is a frame longer ago.
        self.time_squared += frame * (frame * self.weight - 2.0 * self.time);
        self.time_ahead -= frame * self.ahead;
        self.time -= frame * self.weight;
        let faded = 1.0 - frame / MEMORY;
        for sum in [&mut self.weight, &mut self.time, &mut self.time_squared, &mut self.ahead, &mut self.time_ahead] {
            *sum *= faded;
        }
        self.weight += 1.0;
        self.ahead += came;

        let spread = self.time_squared - self.time * self.time / self.weight;
        let together = self.time_ahead - self.time * self.ahead / self.weight;
        let drift = self.known + (together - self.known * spread) / (spread + DOUBT);
        self.drift = drift.clamp(-MAX_DRIFT, MAX_DRIFT);
        let now = (self.ahead - self.drift * self.time) / self.weight;
        let excess = now - self.taken - self.level;
        1.0 / (1.0 + (self.drift + RETURN * excess).clamp(-2.0 * MAX_DRIFT, 2.0 * MAX_DRIFT))
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an arbitrary start of virtual time")]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// Plays and captures for so many seconds, by clocks so far apart and woken up so unevenly; the frames that came out late or
    /// not at all in the last half, and the drift that was found, in parts of a million.
    fn run(ppm: f64, uneven_ms: f64, seconds: u32) -> (u32, f64) {
        let (start, mut random) = (Instant::now(), StdRng::seed_from_u64(1));
        let mut aligner = Aligner::new();
        let (mut played, mut missing) = (0u32, 0);
        for captured in 1..=seconds * 50 {
            let now = f64::from(captured) * 0.02;
            while f64::from(played) * 0.02 / (1.0 + ppm / 1e6) <= now {
                let at = f64::from(played) * 0.02 / (1.0 + ppm / 1e6) + random.random_range(0.0..=uneven_ms) / 1e3;
                aligner.put(&AudioFrame::SILENCE, start + Duration::from_secs_f64(at));
                played += 1;
            }
            let late = random.random_range(0.0..=uneven_ms) / 1e3;
            let none = aligner.take(start + Duration::from_secs_f64(now + late), true).is_none();
            missing += u32::from(none && captured > seconds * 25);
        }
        (missing, aligner.running.map_or(f64::NAN, |run| run.drift * 1e6))
    }

    #[test]
    fn clocks_that_differ_are_followed_and_nothing_is_missing() {
        for ppm in [-300.0, 300.0] {
            let (missing, drift) = run(ppm, 6.0, 600);
            assert_eq!(missing, 0, "{ppm}");
            assert!((drift - ppm).abs() < 15.0, "{drift}, not {ppm}");
        }
    }

    #[test]
    fn within_half_a_minute_the_difference_is_known() {
        for ppm in [-300.0, 0.0, 100.0] {
            let (_, drift) = run(ppm, 6.0, 30);
            assert!((drift - ppm).abs() < 25.0, "{drift}, not {ppm}");
        }
    }

    #[test]
    fn after_the_microphone_lost_sound_what_was_played_meanwhile_is_left_out() {
        let (start, mut aligner) = (Instant::now(), Aligner::new());
        for n in 0..200u32 {
            let now = start + FRAME_DURATION * n;
            aligner.put(&AudioFrame::SILENCE, now);
            // Six frames are lost.
            if !(50..56).contains(&n) {
                aligner.take(now, true);
            }
        }
        assert!(aligner.running.is_some() && aligner.waiting.len() < 3 * FRAME_SAMPLES, "{}", aligner.waiting.len());
    }

    #[test]
    fn when_a_hiccup_is_over_the_wait_is_short_again_within_18_minutes() {
        let (start, mut aligner) = (Instant::now(), Aligner::new());
        let mut late = Vec::new();
        let mut taken = |aligner: &mut Aligner, frames: std::ops::Range<u32>, hiccup: &dyn Fn(u32) -> bool| {
            let mut missing = 0;
            for n in frames {
                let now = start + FRAME_DURATION * n;
                late.push(AudioFrame::SILENCE);
                if !hiccup(n) {
                    late.drain(..).for_each(|frame| aligner.put(&frame, now));
                }
                missing += u32::from(aligner.take(now, true).is_none());
            }
            missing
        };
        // Once the speaker's thread stands still for 100 ms.
        let missing = taken(&mut aligner, 0..500, &|n| (490..495).contains(&n));
        assert!(missing > 2 && aligner.wanted == 2.0 * LEAST_WAITING, "{missing} missing, {}", aligner.wanted);
        let missing = taken(&mut aligner, 500..500 + 18 * 60 * 50, &|_| false);
        assert_eq!((missing, aligner.wanted), (0, LEAST_WAITING));
        let most = 2 * FRAME_SAMPLES;
        assert!(aligner.waiting.len() <= most, "{} samples wait", aligner.waiting.len());
    }

    #[test]
    fn while_frames_come_late_the_wait_stays_long() {
        let (missing, _) = run(0.0, 35.0, 600);
        assert_eq!(missing, 0);
    }

    #[test]
    fn what_waited_while_nothing_was_captured_is_left_out() {
        let (start, mut aligner) = (Instant::now(), Aligner::new());
        for n in 0..100u32 {
            aligner.put(&AudioFrame::SILENCE, start + FRAME_DURATION * n);
        }
        assert!(aligner.waiting.len() <= OLD);
    }
}
