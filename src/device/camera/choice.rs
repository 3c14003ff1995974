//! Which of a camera's formats serves a wish best.

use super::{CameraFormat, PixelFormat};

/// The format that comes nearest: a smaller picture or a lower rate than wished for is worse than a larger one, and
/// among equals the one that is least work wins.
pub(super) fn best(formats: &[CameraFormat], (width, height): (u32, u32), fps: u32) -> Option<CameraFormat> {
    let usable = formats.iter().filter(|format| format.width > 0 && format.height > 0 && format.fps > 0);
    usable.min_by(|a, b| cost(a, width, height, fps).total_cmp(&cost(b, width, height, fps))).copied()
}

/// In doublings of pixels and rate.
fn cost(format: &CameraFormat, width: u32, height: u32, fps: u32) -> f64 {
    let pixels = |width: u32, height: u32| f64::from(width.max(1)) * f64::from(height.max(1));
    let larger = (pixels(format.width, format.height) / pixels(width, height)).log2();
    let faster = (f64::from(format.fps) / f64::from(fps.max(1))).log2();
    let shape = |width: u32, height: u32| f64::from(width.max(1)) / f64::from(height.max(1));
    let other_shape = (shape(format.width, format.height) / shape(width, height)).log2().abs();
    let work = match format.pixels {
        PixelFormat::Nv12 | PixelFormat::I420 => 0.0,
        PixelFormat::Yuyv => 0.01,
        PixelFormat::Rgb | PixelFormat::Bgr => 0.02,
        // Decoding it costs more than a quarter of what encoding does, and it has lost a little already.
        PixelFormat::Mjpeg => 0.1,
        // A picture without colours only when there is no other.
        PixelFormat::Gray => 10.0,
    };
    let size = if larger < 0.0 { -2.0 * larger } else { larger };
    let rate = if faster < 0.0 { -3.0 * faster } else { 0.2 * faster };
    size + rate + 0.5 * other_shape + work
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(pixels: PixelFormat, width: u32, height: u32, fps: u32) -> CameraFormat {
        CameraFormat { pixels, width, height, fps }
    }

    #[test]
    fn what_is_wished_for_is_taken_when_it_is_there() {
        let formats = [
            format(PixelFormat::Rgb, 1280, 720, 30),
            format(PixelFormat::Yuyv, 1280, 720, 30),
            format(PixelFormat::Gray, 1280, 720, 30),
            format(PixelFormat::Yuyv, 1920, 1080, 30),
            format(PixelFormat::Yuyv, 640, 480, 30),
        ];
        assert_eq!(best(&formats, (1280, 720), 30), Some(formats[1]));
        assert_eq!(best(&formats, (640, 360), 30), Some(formats[4]));
    }

    #[test]
    fn a_smaller_fluent_picture_is_better_than_a_large_one_that_stutters() {
        // What a usual USB 2 camera has uncompressed.
        let formats = [
            format(PixelFormat::Yuyv, 1280, 720, 10),
            format(PixelFormat::Yuyv, 800, 600, 24),
            format(PixelFormat::Yuyv, 640, 480, 30),
            format(PixelFormat::Yuyv, 320, 240, 30),
        ];
        assert_eq!(best(&formats, (1280, 720), 30).map(|best| best.width), Some(800));
    }

    #[test]
    fn jpegs_are_taken_for_what_there_is_not_otherwise() {
        let formats = [
            format(PixelFormat::Yuyv, 1280, 720, 10),
            format(PixelFormat::Yuyv, 640, 480, 30),
            format(PixelFormat::Mjpeg, 1280, 720, 30),
            format(PixelFormat::Mjpeg, 640, 480, 30),
        ];
        assert_eq!(best(&formats, (1280, 720), 30), Some(formats[2]));
        assert_eq!(best(&formats, (640, 480), 30), Some(formats[1]));
    }

    #[test]
    fn nothing_usable_is_nothing() {
        assert_eq!(best(&[], (640, 360), 30), None);
        assert_eq!(best(&[format(PixelFormat::Yuyv, 640, 0, 30)], (640, 360), 30), None);
    }
}
