//! What cameras deliver, into I420.

use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::{MAX_VIDEO_SIDE, VideoFrame};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, bgr_to_yuv420,
    rgb_to_yuv420, yuyv422_to_yuv420,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// How a camera lays out its pixels; rows are tightly packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Y and interleaved UV, 4:2:0.
    Nv12,
    /// Y, U and V, one after the other, 4:2:0.
    I420,
    /// Y0 U Y1 V, 4:2:2.
    Yuyv,
    Rgb,
    Bgr,
    /// Y alone.
    Gray,
    /// Each picture a JPEG: what USB cameras have for large pictures at full rate.
    Mjpeg,
}

impl PixelFormat {
    /// In lower case, for scripts and for C.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nv12 => "nv12",
            Self::I420 => "i420",
            Self::Yuyv => "yuyv",
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
            Self::Gray => "gray",
            Self::Mjpeg => "mjpeg",
        }
    }

    /// Bytes of a picture; of a compressed one, what it has at least.
    fn length(self, width: usize, height: usize) -> usize {
        match self {
            Self::Mjpeg => 1,
            Self::Nv12 | Self::I420 => width * height + width.div_ceil(2) * 2 * height.div_ceil(2),
            Self::Yuyv => width.div_ceil(2) * 4 * height,
            Self::Rgb | Self::Bgr => width * 3 * height,
            Self::Gray => width * height,
        }
    }
}

impl PixelFormat {
    /// Bytes of a row (the first plane's), tightly packed; nothing for what is compressed.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "elsewhere the system packs rows"))]
    pub(super) fn row(self, width: u32) -> Option<u32> {
        match self {
            Self::Nv12 | Self::I420 | Self::Gray => Some(width),
            Self::Yuyv => Some(width.div_ceil(2) * 4),
            Self::Rgb | Self::Bgr => Some(width * 3),
            Self::Mjpeg => None,
        }
    }
}

/// Brings pictures into I420, with memory that is used again.
#[derive(Default)]
pub struct Converter {
    rgb: Vec<u8>,
}

impl Converter {
    /// Writes the picture at the beginning of `data` to `frame`, whose memory is used again; its timestamp stays. A JPEG's
    /// own size counts. Fails with `malformed` when `data` is too short or damaged, with `invalid_argument` for a side of
    /// 0 or over the limit.
    pub fn convert(
        &mut self,
        format: PixelFormat,
        size: (u32, u32),
        data: &[u8],
        frame: &mut VideoFrame,
    ) -> Result<()> {
        if format != PixelFormat::Mjpeg {
            return to_i420(format, size, data, frame);
        }
        // Through RGB: cameras subsample in several ways, and JPEG's full range must become video's.
        let options = DecoderOptions::default()
            .jpeg_set_out_colorspace(ColorSpace::RGB)
            .set_max_width(MAX_VIDEO_SIDE as usize)
            .set_max_height(MAX_VIDEO_SIDE as usize);
        let mut jpeg = JpegDecoder::new_with_options(ZCursor::new(data), options);
        jpeg.decode_headers().map_err(fault)?;
        let (width, height) = jpeg.dimensions().ok_or_else(|| fault("it has no size"))?;
        let bytes = jpeg.output_buffer_size().ok_or_else(|| fault("it has no size"))?;
        // Bounds the memory, before any is taken.
        frame.resize(width as u32, height as u32)?;
        self.rgb.resize(bytes, 0);
        jpeg.decode_into(&mut self.rgb).map_err(fault)?;
        to_i420(PixelFormat::Rgb, (width as u32, height as u32), &self.rgb, frame)
    }
}

/// [`Converter::convert`] for pictures that are not compressed.
fn to_i420(format: PixelFormat, (width, height): (u32, u32), data: &[u8], frame: &mut VideoFrame) -> Result<()> {
    frame.resize(width, height)?;
    let (columns, rows) = (width as usize, height as usize);
    let expected = format.length(columns, rows);
    let data = data.get(..expected).ok_or_else(|| {
        let short = format!("a picture of {width}x{height} in {format:?} has {expected} bytes, not {}", data.len());
        Error::new(ErrorCode::Malformed, short)
    })?;
    match format {
        PixelFormat::Mjpeg => Err(fault("it is compressed")),
        PixelFormat::Nv12 => {
            let (luma, chroma) = data.split_at(columns * rows);
            let [y, u, v] = frame.planes_mut();
            y.copy_from_slice(luma);
            for ((u, v), uv) in u.iter_mut().zip(v).zip(chroma.chunks_exact(2)) {
                (*u, *v) = (uv[0], uv[1]);
            }
            Ok(())
        }
        PixelFormat::I420 => {
            let [y, u, v] = frame.planes_mut();
            let (luma, chroma) = data.split_at(columns * rows);
            y.copy_from_slice(luma);
            let (first, second) = chroma.split_at(chroma.len() / 2);
            u.copy_from_slice(first);
            v.copy_from_slice(second);
            Ok(())
        }
        PixelFormat::Gray => {
            let [y, u, v] = frame.planes_mut();
            y.copy_from_slice(data);
            u.fill(128);
            v.fill(128);
            Ok(())
        }
        PixelFormat::Yuyv => {
            let packed = YuvPackedImage { yuy: data, yuy_stride: width.div_ceil(2) * 4, width, height };
            yuyv422_to_yuv420(&mut planar(frame), &packed).map_err(fault)?;
            if rows % 2 == 1 {
                last_yuyv_row(data, frame);
            }
            Ok(())
        }
        PixelFormat::Rgb => {
            let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt601, YuvConversionMode::Balanced);
            rgb_to_yuv420(&mut planar(frame), data, width * 3, range, matrix, mode).map_err(fault)
        }
        PixelFormat::Bgr => {
            let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt601, YuvConversionMode::Balanced);
            bgr_to_yuv420(&mut planar(frame), data, width * 3, range, matrix, mode).map_err(fault)
        }
    }
}

/// The library leaves out the last row of an odd number.
fn last_yuyv_row(data: &[u8], frame: &mut VideoFrame) {
    let (stride, chroma) = (frame.stride(), frame.chroma_stride());
    let row = data.rchunks_exact(chroma * 4).next().unwrap_or_default();
    let [y, u, v] = frame.planes_mut();
    let at = y.len().saturating_sub(stride);
    y[at..].iter_mut().zip(row.chunks_exact(2)).for_each(|(y, pair)| *y = pair[0]);
    let at = u.len().saturating_sub(chroma);
    for ((u, v), four) in u[at..].iter_mut().zip(&mut v[at..]).zip(row.chunks_exact(4)) {
        (*u, *v) = (four[1], four[3]);
    }
}

fn planar(frame: &mut VideoFrame) -> YuvPlanarImageMut<'_, u8> {
    let (width, height) = (frame.width(), frame.height());
    let (stride, chroma) = (frame.stride() as u32, frame.chroma_stride() as u32);
    let [y, u, v] = frame.planes_mut();
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: stride,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma,
        width,
        height,
    }
}

fn fault(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Malformed, format!("a camera's picture cannot be converted: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [PixelFormat; 6] = [
        PixelFormat::I420,
        PixelFormat::Nv12,
        PixelFormat::Yuyv,
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Gray,
    ];

    /// One colour, as a camera would deliver it: Y, U and V of a strong red in BT.601.
    fn red(format: PixelFormat, width: usize, height: usize) -> Vec<u8> {
        let length = format.length(width, height);
        let pattern: &[u8] = match format {
            PixelFormat::Nv12 => {
                let mut data = vec![81; width * height];
                data.extend([90, 240].iter().cycle().take(length - data.len()));
                return data;
            }
            PixelFormat::I420 => {
                let chroma = width.div_ceil(2) * height.div_ceil(2);
                return [vec![81; width * height], vec![90; chroma], vec![240; chroma]].concat();
            }
            PixelFormat::Mjpeg => unreachable!("compressed"),
            PixelFormat::Yuyv => &[81, 90, 81, 240],
            PixelFormat::Rgb => &[255, 0, 0],
            PixelFormat::Bgr => &[0, 0, 255],
            PixelFormat::Gray => &[81],
        };
        pattern.iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn every_layout_gives_the_same_colour_at_even_and_odd_sizes() {
        for format in ALL {
            for (width, height) in [(64, 48), (63, 48), (64, 47), (33, 31), (2, 2), (1, 1)] {
                let mut frame = VideoFrame::black(8, 8).unwrap();
                let data = red(format, width, height);
                to_i420(format, (width as u32, height as u32), &data, &mut frame).unwrap();
                assert_eq!((frame.width() as usize, frame.height() as usize), (width, height));
                let wanted = if format == PixelFormat::Gray { [81, 128, 128] } else { [81, 90, 240] };
                for (plane, wanted) in frame.planes().into_iter().zip(wanted) {
                    let off = plane.iter().map(|value| value.abs_diff(wanted)).max().unwrap();
                    assert!(off <= 2, "{format:?} {width}x{height}: {off} off {wanted}");
                }
            }
        }
    }

    #[test]
    fn a_picture_that_is_cut_off_is_an_error_and_one_with_more_behind_it_is_not() {
        for format in ALL {
            let mut frame = VideoFrame::black(2, 2).unwrap();
            let mut data = red(format, 31, 17);
            data.extend([7; 100]);
            to_i420(format, (31, 17), &data, &mut frame).unwrap();
            let short = &data[..format.length(31, 17) - 1];
            assert_eq!(to_i420(format, (31, 17), short, &mut frame).unwrap_err().code(), ErrorCode::Malformed);
            assert_eq!(to_i420(format, (31, 17), &[], &mut frame).unwrap_err().code(), ErrorCode::Malformed);
        }
    }

    /// A JPEG as a camera makes it, of the left half red and the right half green.
    fn jpeg(width: usize, height: usize, sampling: jpeg_encoder::SamplingFactor) -> Vec<u8> {
        let pixel = |x: usize| if x < width / 2 { [255, 0, 0] } else { [0, 255, 0] };
        let pixels: Vec<u8> = (0..width * height).flat_map(|n| pixel(n % width)).collect();
        let mut out = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut out, 95);
        encoder.set_sampling_factor(sampling);
        encoder.encode(&pixels, width as u16, height as u16, jpeg_encoder::ColorType::Rgb).unwrap();
        out
    }

    #[test]
    fn a_jpeg_gives_its_colours_however_its_chroma_is_sampled() {
        use jpeg_encoder::SamplingFactor;
        let mut converter = Converter::default();
        for sampling in [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2] {
            for (width, height) in [(64, 48), (63, 47)] {
                let mut frame = VideoFrame::black(2, 2).unwrap();
                // The size that was asked for is not always the one that comes.
                converter
                    .convert(PixelFormat::Mjpeg, (1280, 720), &jpeg(width, height, sampling), &mut frame)
                    .unwrap_or_else(|e| panic!("{e}"));
                assert_eq!((frame.width() as usize, frame.height() as usize), (width, height));
                let row = height / 2 * width;
                let chroma = (height / 4) * width.div_ceil(2);
                let [y, u, v] = frame.planes();
                for (at, wanted) in [(4, [81, 90, 240]), (width - 5, [145, 54, 34])] {
                    let found = [y[row + at], u[chroma + at / 2], v[chroma + at / 2]];
                    let off = found.iter().zip(wanted).map(|(a, b): (&u8, u8)| a.abs_diff(b)).max().unwrap();
                    assert!(off <= 6, "{sampling:?} {width}x{height}: {found:?}, not {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_jpeg_is_an_error_or_a_picture_and_never_a_crash() {
        let whole = jpeg(64, 48, jpeg_encoder::SamplingFactor::F_2_1);
        let mut converter = Converter::default();
        let mut frame = VideoFrame::black(2, 2).unwrap();
        for cut in [0, 1, 2, 20, 100, whole.len() / 2] {
            let _ = converter.convert(PixelFormat::Mjpeg, (64, 48), &whole[..cut], &mut frame);
        }
        assert!(converter.convert(PixelFormat::Mjpeg, (64, 48), &[], &mut frame).is_err());
        assert!(converter.convert(PixelFormat::Mjpeg, (64, 48), &whole[..20], &mut frame).is_err());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5a;
            if converter.convert(PixelFormat::Mjpeg, (64, 48), &damaged, &mut frame).is_err() {
                continue;
            }
        }
        converter.convert(PixelFormat::Mjpeg, (64, 48), &whole, &mut frame).unwrap_or_else(|e| panic!("{e}"));
    }

    #[test]
    fn a_picture_without_a_size_is_refused() {
        let mut frame = VideoFrame::black(2, 2).unwrap();
        assert!(to_i420(PixelFormat::Yuyv, (0, 4), &[], &mut frame).is_err());
        assert!(to_i420(PixelFormat::Yuyv, (100_000, 100_000), &[], &mut frame).is_err());
    }
}
