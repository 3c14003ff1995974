//! A tone and a moving picture, for calls without files or devices.

use super::pace::Pacer;
use super::{AudioSource, Next, VideoSource};
use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::{AudioFrame, SAMPLE_RATE, VideoFrame};
use std::time::Duration;

/// 12 dB below overload.
const TONE_AMPLITUDE: f32 = 8231.0;

/// A sine tone.
pub struct Tone {
    /// In turns, 0 to 1.
    phase: f32,
    step: f32,
    pacer: Pacer,
}

impl Tone {
    /// `hz` from 20 to 20,000. Fails with `invalid_argument`.
    pub fn new(hz: f32) -> Result<Self> {
        if !(20.0..=20_000.0).contains(&hz) {
            return Err(Error::new(ErrorCode::InvalidArgument, format!("a tone of {hz} Hz: 20 to 20000 can be heard")));
        }
        Ok(Self { phase: 0.0, step: hz / SAMPLE_RATE as f32, pacer: Pacer::new(50, 1) })
    }
}

impl AudioSource for Tone {
    fn next_frame(&mut self, frame: &mut AudioFrame) -> Result<Next> {
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        for sample in &mut frame.samples {
            *sample = (TONE_AMPLITUDE * (self.phase * std::f32::consts::TAU).sin()) as i16;
            self.phase = (self.phase + self.step).fract();
        }
        Ok(Next::Frame)
    }

    fn resume(&mut self) {
        self.pacer.restart();
    }
}

/// How far the background repeats, in pixels.
const REPEAT: usize = 512;
/// The frame number is shown in so many bars, across the upper sixteenth of the picture.
const NUMBER_BITS: u32 = 16;

/// A textured background that scrolls, a disc that moves across it, and the frame's number in black and white bars.
pub struct TestPicture {
    width: u32,
    height: u32,
    fps: u32,
    number: u64,
    /// Rows of `width + REPEAT` bytes: each frame shows a section of it.
    background: Vec<u8>,
    pacer: Pacer,
}

impl TestPicture {
    /// Sides of 64 pixels or more; `fps` from 1 to 120. Fails with `invalid_argument`.
    pub fn new(width: u32, height: u32, fps: u32) -> Result<Self> {
        if width < 64 || height < 64 || !(1..=120).contains(&fps) {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("a test picture of {width}x{height} at {fps} fps: it has 64x64 or more at 1 to 120 fps"),
            ));
        }
        VideoFrame::black(width, height)?;
        let row = width as usize + REPEAT;
        let background = (0..row * height as usize).map(|at| texture(at % row % REPEAT, at / row)).collect();
        Ok(Self { width, height, fps, number: 0, background, pacer: Pacer::new(fps, 1) })
    }

    /// Draws frame `number`: the same number is the same picture.
    pub fn draw(&self, number: u64, frame: &mut VideoFrame) -> Result<()> {
        frame.resize(self.width, self.height)?;
        frame.timestamp = Duration::from_micros(number * 1_000_000 / u64::from(self.fps));
        let (width, height) = (self.width as usize, self.height as usize);
        let scrolled = (number as usize * 3) % REPEAT;
        let chroma_width = frame.chroma_stride();
        let [y, u, v] = frame.planes_mut();
        for (row, line) in y.chunks_exact_mut(width).enumerate() {
            let from = row * (width + REPEAT) + scrolled;
            line.copy_from_slice(&self.background[from..from + width]);
        }
        for (row, (u, v)) in u.chunks_exact_mut(chroma_width).zip(v.chunks_exact_mut(chroma_width)).enumerate() {
            u.fill(96 + (row * 64 / height) as u8);
            v.fill(160 - (row * 48 / height) as u8);
        }
        let radius = height / 8;
        let centre = (radius + (number as usize * 5) % (width - 2 * radius), height / 2);
        for row in centre.1 - radius..centre.1 + radius {
            let half = ((radius * radius - row.abs_diff(centre.1).pow(2)) as f64).sqrt() as usize;
            y[row * width + centre.0 - half..row * width + centre.0 + half].fill(210);
        }
        for line in y.chunks_exact_mut(width).take(height / 16) {
            for bit in 0..NUMBER_BITS {
                let (from, to) = bar(bit, width);
                line[from..to].fill(if number >> bit & 1 == 1 { 235 } else { 16 });
            }
        }
        Ok(())
    }
}

impl VideoSource for TestPicture {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        if !self.pacer.wait() {
            return Ok(Next::Nothing);
        }
        self.draw(self.number, frame)?;
        self.number += 1;
        Ok(Next::Frame)
    }

    fn resume(&mut self) {
        self.pacer.restart();
    }
}

/// The number of a frame of [`TestPicture`], modulo 65536, also after coding and scaling. What it reads from another
/// picture means nothing.
pub fn frame_number(frame: &VideoFrame) -> u16 {
    let width = frame.width() as usize;
    let [y, ..] = frame.planes();
    let row = (frame.height() as usize / 32) * width;
    (0..NUMBER_BITS)
        .filter(|&bit| {
            let (from, to) = bar(bit, width);
            y.get(row + (from + to) / 2).is_some_and(|value| *value > 125)
        })
        .fold(0, |number, bit| number | 1 << bit)
}

fn bar(bit: u32, width: usize) -> (usize, usize) {
    (width * bit as usize / NUMBER_BITS as usize, width * (bit as usize + 1) / NUMBER_BITS as usize)
}

/// Edges, fine grain and smooth shades, the same at x and x + REPEAT.
fn texture(x: usize, y: usize) -> u8 {
    let shade = ((x as f32 / REPEAT as f32 * std::f32::consts::TAU).sin() * 40.0 + 110.0) as usize + y % 64 / 4;
    let tile = if (x / 32 + y / 32).is_multiple_of(4) { 30 } else { 0 };
    let grain = ((x * 31) ^ (y * 17)) % 12;
    (shade + tile + grain).min(235) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::scale::Scaler;

    #[test]
    fn a_tone_has_its_pitch() {
        let mut tone = Tone::new(1000.0).unwrap();
        let mut frame = AudioFrame::SILENCE;
        let mut samples = Vec::new();
        for _ in 0..5 {
            while tone.next_frame(&mut frame).unwrap() != Next::Frame {}
            samples.extend_from_slice(&frame.samples);
        }
        let rises = samples.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        assert!((99..=100).contains(&rises), "{rises} in 100 ms");
        assert!(Tone::new(5.0).is_err() && Tone::new(f32::NAN).is_err());
    }

    #[test]
    fn a_frame_number_is_read_back_also_from_a_scaled_picture() {
        let picture = TestPicture::new(640, 360, 30).unwrap();
        let mut frame = VideoFrame::black(2, 2).unwrap();
        let mut small = VideoFrame::black(320, 180).unwrap();
        for number in [0u64, 1, 2, 12_345, 65_535] {
            picture.draw(number, &mut frame).unwrap();
            assert_eq!(frame_number(&frame), number as u16);
            Scaler::default().scale(&frame, &mut small).unwrap();
            assert_eq!(frame_number(&small), number as u16);
        }
    }

    #[test]
    fn the_picture_moves_and_has_detail() {
        let picture = TestPicture::new(320, 180, 30).unwrap();
        let (mut one, mut two) = (VideoFrame::black(2, 2).unwrap(), VideoFrame::black(2, 2).unwrap());
        picture.draw(10, &mut one).unwrap();
        picture.draw(11, &mut two).unwrap();
        let changed = one.planes()[0].iter().zip(two.planes()[0]).filter(|(a, b)| a != b).count();
        assert!(changed > 320 * 180 / 2, "{changed} pixels");
        assert!(TestPicture::new(32, 32, 30).is_err() && TestPicture::new(320, 180, 0).is_err());
    }
}
