//! Finds the time marks in what was heard, and what became of the pilot tone.
//!
//! The sound is mixed down to 0 Hz at each pitch and summed over blocks of 2.5 ms; a filter that matches the shape of a
//! mark runs over these. A mark is where the loudest pitch has its peak and holds most of the energy there.

use super::tone::{self, MARK_PERIOD, MARK_SAMPLES, PILOT_AMPLITUDE, PILOT_HZ, PITCHES};
use crate::media::frame::{AudioFrame, FRAME_SAMPLES, SAMPLE_RATE};
use std::collections::VecDeque;
use std::f32::consts::TAU;
use std::time::Duration;

/// Samples in a block.
const BLOCK: usize = 120;
const BLOCKS_A_FRAME: usize = FRAME_SAMPLES / BLOCK;
/// Blocks in a mark.
const MARK_BLOCKS: usize = MARK_SAMPLES as usize / BLOCK;
/// A peak is one when nothing within so many blocks on either side is higher.
const PEAK_REACH: usize = 10;
/// Blocks kept: a mark, and the filter's answers on both sides of its peak.
const HISTORY: usize = MARK_BLOCKS + 2 * PEAK_REACH + 1;
/// The mixers: the pitches, and the pilot.
const MIXERS: usize = PITCHES + 1;
const PILOT: usize = PITCHES;
/// The least amplitude of a mark, of full scale.
const MIN_AMPLITUDE: f32 = 0.01;
/// The least share of the energy around it that is a mark's own.
const MIN_PURITY: f32 = 0.5;
/// A pilot of less than this share of its loudest is not heard.
const MIN_PILOT: f32 = 0.25;
/// A frame with less than this share of the pilot's amplitude, of whatever sound, is silent. What Opus recovers from its
/// in-band FEC is noisy, and about a third as loud as the tone was.
const SILENT: f32 = 0.125;
/// From one frame to the next, in turns: a frame left out is 0.2.
const JUMP: f32 = 0.1;
/// How early a mark may seem to come: clocks of two machines differ.
const MAX_EARLY: Duration = Duration::from_secs(1);

/// A time mark that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardMark {
    /// Counts the marks from the epoch on.
    pub number: u64,
    /// When its middle was captured.
    pub captured: Duration,
    /// When its middle was heard.
    pub arrival: Duration,
}

/// What became of the pilot in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pilot {
    Heard,
    /// Heard, but not where the frame before had left it: something was left out, repeated or stretched.
    Jumped,
    /// There is sound, and the pilot is not to be made out in it.
    Covered,
    Silent,
}

/// How much of the loudest pilot one frame of 20 ms leaves: half of it after 0.7 s.
const FORGET_PILOT: f32 = 0.98;

/// Listens to one track. About 2 million multiplications a second of sound.
pub struct ToneReader {
    /// `e^-jwn` for a block, of each mixer.
    oscillators: Box<[[(f32, f32); BLOCK]; MIXERS]>,
    /// The shape of a mark, by blocks.
    shape: [f32; MARK_BLOCKS],
    blocks: VecDeque<Block>,
    /// Blocks so far.
    count: u64,
    /// `(first sample, arrival)` of the last frames.
    arrivals: VecDeque<(u64, Duration)>,
    loudest_pilot: f32,
    pilot_phase: Option<f32>,
}

#[derive(Clone, Copy)]
struct Block {
    mixed: [(f32, f32); MIXERS],
    energy: f32,
    /// The filter's answer for the mark that ends with this block, and its pitch.
    answer: f32,
    pitch: usize,
}

impl Default for ToneReader {
    fn default() -> Self {
        let mut oscillators = Box::new([[(0.0, 0.0); BLOCK]; MIXERS]);
        for (mixer, table) in oscillators.iter_mut().enumerate() {
            for (n, value) in table.iter_mut().enumerate() {
                let angle = -TAU * (n as f32 * hz(mixer) as f32 / SAMPLE_RATE as f32);
                *value = (angle.cos(), angle.sin());
            }
        }
        let shape = std::array::from_fn(|at| hann(at, MARK_BLOCKS));
        Self {
            oscillators,
            shape,
            blocks: VecDeque::with_capacity(HISTORY),
            count: 0,
            arrivals: VecDeque::with_capacity(8),
            loudest_pilot: PILOT_AMPLITUDE as f32 / 2.0,
            pilot_phase: None,
        }
    }
}

impl ToneReader {
    /// The next 20 ms of the track, whose first sample was heard at `arrival`. Marks come out about 50 ms after
    /// their middle.
    pub fn push(&mut self, frame: &AudioFrame, arrival: Duration) -> Option<HeardMark> {
        if self.arrivals.len() == 8 {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back((self.count * BLOCK as u64, arrival));
        let mut mark = None;
        for samples in frame.samples.chunks_exact(BLOCK) {
            self.push_block(samples);
            mark = mark.or_else(|| self.find());
        }
        mark
    }

    /// What the last frame held of the pilot tone.
    pub(super) fn pilot(&mut self) -> Pilot {
        let (mut re, mut im) = (0.0, 0.0);
        for (at, block) in self.blocks.iter().rev().take(BLOCKS_A_FRAME).enumerate() {
            let weight = hann(at, BLOCKS_A_FRAME);
            re += weight * block.mixed[PILOT].0;
            im += weight * block.mixed[PILOT].1;
        }
        // The window's weights add up to a half of its length.
        let amplitude = 2.0 * re.hypot(im) / (0.5 * FRAME_SAMPLES as f32);
        // What is made up for lost packets can be louder for a moment: that is not the measure for ever.
        self.loudest_pilot = (self.loudest_pilot * FORGET_PILOT).max(PILOT_AMPLITUDE as f32 / 2.0).max(amplitude);
        if amplitude < MIN_PILOT * self.loudest_pilot {
            self.pilot_phase = None;
            let energy: f32 = self.blocks.iter().rev().take(BLOCKS_A_FRAME).map(|block| block.energy).sum();
            let sound = (2.0 * energy / FRAME_SAMPLES as f32).sqrt();
            return if sound < SILENT * self.loudest_pilot { Pilot::Silent } else { Pilot::Covered };
        }
        let phase = im.atan2(re) / TAU;
        let jump = self.pilot_phase.replace(phase).map_or(0.0, |last| (phase - last + 1.5).rem_euclid(1.0) - 0.5);
        if jump.abs() > JUMP { Pilot::Jumped } else { Pilot::Heard }
    }

    fn push_block(&mut self, samples: &[i16]) {
        let mut mixed = [(0.0, 0.0); MIXERS];
        let first = self.count * BLOCK as u64;
        for (mixer, sum) in mixed.iter_mut().enumerate() {
            let (mut re, mut im) = (0.0, 0.0);
            for (&sample, (cos, sin)) in samples.iter().zip(&self.oscillators[mixer]) {
                re += f32::from(sample) * cos;
                im += f32::from(sample) * sin;
            }
            let rate = u64::from(SAMPLE_RATE);
            let angle = -TAU * ((first % rate * hz(mixer) % rate) as f32 / rate as f32);
            *sum = (re * angle.cos() - im * angle.sin(), re * angle.sin() + im * angle.cos());
        }
        let energy = samples.iter().map(|&sample| f32::from(sample).powi(2)).sum();
        if self.blocks.len() == HISTORY {
            self.blocks.pop_front();
        }
        self.blocks.push_back(Block { mixed, energy, answer: 0.0, pitch: 0 });
        self.count += 1;
        let at = self.blocks.len() - 1;
        let (pitch, answer) = self.loudest(at);
        (self.blocks[at].pitch, self.blocks[at].answer) = (pitch, answer);
    }

    /// The loudest pitch, and its amplitude, in the mark that would end with block `at`.
    fn loudest(&self, at: usize) -> (usize, f32) {
        (0..PITCHES)
            .map(|pitch| (pitch, self.answer(at, pitch)))
            .fold((0, 0.0), |best, this| if this.1 > best.1 { this } else { best })
    }

    fn answer(&self, at: usize, pitch: usize) -> f32 {
        if at + 1 < MARK_BLOCKS {
            return 0.0;
        }
        let (mut re, mut im) = (0.0, 0.0);
        for (weight, block) in self.shape.iter().zip(self.blocks.range(at + 1 - MARK_BLOCKS..=at)) {
            re += weight * block.mixed[pitch].0;
            im += weight * block.mixed[pitch].1;
        }
        // A mark's own window and this one: their product adds up to 3/8 of the length.
        2.0 * re.hypot(im) / (0.375 * MARK_SAMPLES as f32)
    }

    /// A peak of the filter's answer, now that enough came behind it.
    fn find(&self) -> Option<HeardMark> {
        let at = self.blocks.len().checked_sub(PEAK_REACH + 1).filter(|&at| at >= PEAK_REACH + MARK_BLOCKS - 1)?;
        let peak = self.blocks[at];
        let around = self.blocks.range(at - PEAK_REACH..=at + PEAK_REACH).enumerate();
        let is_peak = around.into_iter().all(|(n, other)| match n < PEAK_REACH {
            true => other.answer < peak.answer,
            false => other.answer <= peak.answer,
        });
        if !is_peak || peak.answer < MIN_AMPLITUDE * 32_768.0 {
            return None;
        }
        let heard: f32 = self.blocks.range(at + 1 - MARK_BLOCKS..=at).map(|block| block.energy).sum();
        let own = peak.answer.powi(2) / 2.0 * 0.375 * MARK_SAMPLES as f32;
        if own < MIN_PURITY * heard {
            return None;
        }
        // The peak lies between blocks: a parabola through it and its neighbours.
        let (before, after) = (self.answer(at - 1, peak.pitch), self.answer(at + 1, peak.pitch));
        let curve = before - 2.0 * peak.answer + after;
        let off = if curve < 0.0 { (0.5 * (before - after) / curve).clamp(-0.5, 0.5) } else { 0.0 };
        let end = (self.count - PEAK_REACH as u64) as f64 * BLOCK as f64;
        let middle = end - MARK_SAMPLES as f64 / 2.0 + f64::from(off) * BLOCK as f64;
        let arrival = self.arrival(middle)?;
        let number = number(peak.pitch, arrival)?;
        Some(HeardMark { number, captured: tone::time(number * MARK_PERIOD + MARK_SAMPLES / 2), arrival })
    }

    /// When a sample of this track was heard.
    fn arrival(&self, sample: f64) -> Option<Duration> {
        let (first, arrival) = self.arrivals.iter().rev().find(|(first, _)| *first as f64 <= sample)?;
        Some(*arrival + Duration::from_secs_f64((sample - *first as f64) / f64::from(SAMPLE_RATE)))
    }
}

/// The last mark of that pitch that can have been heard at `arrival`.
fn number(pitch: usize, arrival: Duration) -> Option<u64> {
    let latest = (tone::samples(arrival + MAX_EARLY) / MARK_PERIOD) as i64;
    let back = (latest - pitch as i64).rem_euclid(PITCHES as i64);
    u64::try_from(latest - back).ok()
}

fn hz(mixer: usize) -> u64 {
    if mixer == PILOT { PILOT_HZ } else { tone::pitch(mixer) }
}

fn hann(at: usize, length: usize) -> f32 {
    0.5 - 0.5 * (TAU * (at as f32 + 0.5) / length as f32).cos()
}
