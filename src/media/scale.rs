//! Pictures of one size into another.

use super::frame::VideoFrame;
use crate::base::{Error, ErrorCode, Result};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

/// Scales pictures; it keeps its working memory from one to the next.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// Scales `from` to fill `to`, whose size says what is wanted. The proportions are the caller's affair.
    pub fn scale(&mut self, from: &VideoFrame, to: &mut VideoFrame) -> Result<()> {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        let (from_sizes, to_sizes) = (plane_sizes(from), plane_sizes(to));
        for (at, plane) in to.planes_mut().into_iter().enumerate() {
            let ((from_width, from_height), (to_width, to_height)) = (from_sizes[at], to_sizes[at]);
            if (from_width, from_height) == (to_width * 2, to_height * 2) {
                halve(from.planes()[at], plane, to_width as usize);
                continue;
            }
            // Typed: chosen at run time, every pixel format of the crate would be linked in, 2.6 MB of them.
            let source = TypedImageRef::<U8>::from_buffer(from_width, from_height, from.planes()[at]).map_err(error)?;
            let mut target = TypedImage::<U8>::from_buffer(to_width, to_height, plane).map_err(error)?;
            self.resizer.resize_typed(&source, &mut target, &options).map_err(error)?;
        }
        to.timestamp = from.timestamp;
        to.rotation = from.rotation;
        Ok(())
    }
}

/// The largest size of the same proportions within `most`, both sides even; never larger than `size`.
pub fn fit_within(size: (u32, u32), most: (u32, u32)) -> (u32, u32) {
    let (width, height) = size;
    if width <= most.0 && height <= most.1 || width == 0 || height == 0 {
        return size;
    }
    let ratio = (f64::from(most.0) / f64::from(width)).min(f64::from(most.1) / f64::from(height));
    let even = |side: u32, most: u32| (((f64::from(side) * ratio / 2.0).round() as u32) * 2).clamp(2, most.max(2));
    (even(width, most.0), even(height, most.1))
}

/// Each pixel is the mean of four: what simulcast does with every picture. The library is generic, so a debug build compiles it
/// without optimisation: 640x360 then takes it 44 ms, and this 4 ms.
fn halve(from: &[u8], to: &mut [u8], to_width: usize) {
    for (row, rows) in to.chunks_exact_mut(to_width).zip(from.chunks_exact(to_width * 4)) {
        let (upper, lower) = rows.split_at(to_width * 2);
        for (pixel, (above, below)) in row.iter_mut().zip(upper.chunks_exact(2).zip(lower.chunks_exact(2))) {
            let sum = u16::from(above[0]) + u16::from(above[1]) + u16::from(below[0]) + u16::from(below[1]);
            *pixel = ((sum + 2) / 4) as u8;
        }
    }
}

fn plane_sizes(frame: &VideoFrame) -> [(u32, u32); 3] {
    let chroma = (frame.width().div_ceil(2), frame.height().div_ceil(2));
    [(frame.width(), frame.height()), chroma, chroma]
}

fn error(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Internal, format!("scaling a picture: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_fitted_with_its_proportions_and_never_enlarged() {
        assert_eq!(fit_within((1920, 1080), (1280, 720)), (1280, 720));
        assert_eq!(fit_within((1080, 1920), (1280, 720)), (406, 720));
        assert_eq!(fit_within((640, 360), (1280, 720)), (640, 360));
        assert_eq!(fit_within((8000, 2), (1280, 720)), (1280, 2));
    }

    #[test]
    fn a_pixel_of_a_picture_of_half_the_size_is_the_mean_of_four() {
        let from: Vec<u8> = (0..64 * 48).map(|at| ((at % 64) * 3 + (at / 64) * 2) as u8).collect();
        let mut to = vec![0; 32 * 24];
        halve(&from, &mut to, 32);
        for (at, pixel) in to.iter().enumerate() {
            let (x, y) = (at % 32 * 2, at / 32 * 2);
            let four = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| u32::from(from[y * 64 + x]));
            assert_eq!(u32::from(*pixel), (four.iter().sum::<u32>() + 2) / 4, "at {x}, {y}");
        }
    }

    #[test]
    fn a_scaled_picture_keeps_what_it_shows() {
        let mut from = VideoFrame::black(64, 48).unwrap();
        let [y, u, _] = from.planes_mut();
        y.iter_mut().enumerate().for_each(|(at, value)| *value = if at % 64 < 32 { 200 } else { 40 });
        u.fill(90);
        let mut to = VideoFrame::black(33, 25).unwrap();
        Scaler::default().scale(&from, &mut to).unwrap();
        let [y, u, v] = to.planes();
        assert_eq!((y[2], y[30], u[5], v[5]), (200, 40, 90, 128));
    }
}
