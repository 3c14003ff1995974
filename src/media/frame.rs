//! Uncompressed media: what sources give, sinks take, and codecs stand between.

use crate::base::{Error, ErrorCode, Result};
use std::time::Duration;

/// The engine's one audio rate, in Hz: Opus's own. Sources and sinks of other rates are resampled at the edge.
pub const SAMPLE_RATE: u32 = 48_000;

/// One frame of audio lasts 20 ms, everywhere.
pub const FRAME_DURATION: Duration = Duration::from_millis(20);

/// Samples of one channel in one frame.
pub const FRAME_SAMPLES: usize = 960;

/// The largest picture side accepted from anywhere, in pixels.
pub const MAX_VIDEO_SIDE: u32 = 8192;

/// 20 ms of 48 kHz mono signed 16-bit audio.
///
/// Calls are mono: a stereo source is mixed down at the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    pub samples: [i16; FRAME_SAMPLES],
}

impl AudioFrame {
    pub const SILENCE: Self = Self { samples: [0; FRAME_SAMPLES] };
}

impl Default for AudioFrame {
    fn default() -> Self {
        Self::SILENCE
    }
}

/// How a receiver turns the picture before it shows it, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    #[default]
    None,
    Clockwise90,
    Clockwise180,
    Clockwise270,
}

/// One I420 picture: 8-bit planes Y, U, V, tightly packed; U and V have half the width and height, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    width: u32,
    height: u32,
    data: Vec<u8>,
    pub rotation: Rotation,
    /// When it was captured (sending) or is to be shown (receiving), on the track's own clock.
    pub timestamp: Duration,
}

impl VideoFrame {
    /// A black picture. Fails with `invalid_argument` when a side is 0 or over [`MAX_VIDEO_SIDE`].
    pub fn black(width: u32, height: u32) -> Result<Self> {
        let [y, u, v] = plane_sizes(width, height)?;
        let mut data = vec![16; y];
        data.resize(y + u + v, 128);
        Ok(Self { width, height, data, rotation: Rotation::None, timestamp: Duration::ZERO })
    }

    /// Takes planes Y, U, V, tightly packed one after the other. Fails with `invalid_argument` when `data` is not
    /// exactly as long as the size asks for.
    pub fn from_i420(width: u32, height: u32, data: Vec<u8>, timestamp: Duration) -> Result<Self> {
        let expected: usize = plane_sizes(width, height)?.iter().sum();
        if data.len() != expected {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("an I420 picture of {width}x{height} has {expected} bytes, not {}", data.len()),
            ));
        }
        Ok(Self { width, height, data, rotation: Rotation::None, timestamp })
    }

    /// Makes it a picture of another size, of undefined content, and keeps its memory where that is enough. Fails as
    /// [`Self::black`] does and changes nothing then.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = plane_sizes(width, height)?.iter().sum();
        self.data.resize(size, 0);
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Becomes a copy of `other`, without a new allocation where its memory is enough.
    pub fn copy_from(&mut self, other: &Self) {
        self.data.clear();
        self.data.extend_from_slice(&other.data);
        (self.width, self.height) = (other.width, other.height);
        (self.rotation, self.timestamp) = (other.rotation, other.timestamp);
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one row to the next in Y; U and V have [`Self::chroma_stride`].
    pub fn stride(&self) -> usize {
        self.width as usize
    }

    pub fn chroma_stride(&self) -> usize {
        self.width.div_ceil(2) as usize
    }

    /// Planes Y, U, V.
    pub fn planes(&self) -> [&[u8]; 3] {
        let (y, rest) = self.data.split_at(self.luma_len());
        let (u, v) = rest.split_at(rest.len() / 2);
        [y, u, v]
    }

    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let luma = self.luma_len();
        let (y, rest) = self.data.split_at_mut(luma);
        let half = rest.len() / 2;
        let (u, v) = rest.split_at_mut(half);
        [y, u, v]
    }

    /// All three planes, one after the other.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    fn luma_len(&self) -> usize {
        self.width as usize * self.height as usize
    }
}

fn plane_sizes(width: u32, height: u32) -> Result<[usize; 3]> {
    let ok = 1..=MAX_VIDEO_SIDE;
    if !ok.contains(&width) || !ok.contains(&height) {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("a picture of {width}x{height}: each side must be from 1 to {MAX_VIDEO_SIDE} pixels"),
        ));
    }
    let chroma = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
    Ok([width as usize * height as usize, chroma, chroma])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_sized_picture_rounds_its_chroma_up() {
        let frame = VideoFrame::black(5, 3).unwrap();
        let [y, u, v] = frame.planes();
        assert_eq!((y.len(), u.len(), v.len()), (15, 6, 6));
        assert_eq!(frame.chroma_stride(), 3);
    }

    #[test]
    fn a_picture_of_the_wrong_length_is_refused() {
        assert!(VideoFrame::from_i420(4, 4, vec![0; 23], Duration::ZERO).is_err());
        assert!(VideoFrame::black(0, 4).is_err());
        assert!(VideoFrame::black(4, MAX_VIDEO_SIDE + 1).is_err());
    }
}
