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
