//! What cameras deliver, into I420.

use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::VideoFrame;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, bgr_to_yuv420,
    rgb_to_yuv420, yuyv422_to_yuv420,
};

/// How a camera lays out its pixels; rows are tightly packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Y and interleaved UV, 4:2:0.
    Nv12,
    /// Y0 U Y1 V, 4:2:2.
    Yuyv,
    Rgb,
    Bgr,
    /// Y alone.
    Gray,
}

impl PixelFormat {
    /// Bytes of a picture.
    fn length(self, width: usize, height: usize) -> usize {
        match self {
            Self::Nv12 => width * height + width.div_ceil(2) * 2 * height.div_ceil(2),
            Self::Yuyv => width.div_ceil(2) * 4 * height,
            Self::Rgb | Self::Bgr => width * 3 * height,
            Self::Gray => width * height,
        }
    }
}

/// Writes the picture at the beginning of `data` to `frame`, whose memory is used again; its timestamp stays. Fails with
/// `malformed` when `data` is too short, with `invalid_argument` for a side of 0 or over the limit.
pub(super) fn to_i420(
    format: PixelFormat,
    (width, height): (u32, u32),
    data: &[u8],
    frame: &mut VideoFrame,
) -> Result<()> {
    frame.resize(width, height)?;
    let (columns, rows) = (width as usize, height as usize);
    let expected = format.length(columns, rows);
    let data = data.get(..expected).ok_or_else(|| {
        let short = format!("a picture of {width}x{height} in {format:?} has {expected} bytes, not {}", data.len());
        Error::new(ErrorCode::Malformed, short)
    })?;
    match format {
        PixelFormat::Nv12 => {
            let (luma, chroma) = data.split_at(columns * rows);
            let [y, u, v] = frame.planes_mut();
            y.copy_from_slice(luma);
            for ((u, v), uv) in u.iter_mut().zip(v).zip(chroma.chunks_exact(2)) {
                (*u, *v) = (uv[0], uv[1]);
            }
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

    const ALL: [PixelFormat; 5] =
        [PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Rgb, PixelFormat::Bgr, PixelFormat::Gray];

    /// One colour, as a camera would deliver it: Y, U and V of a strong red in BT.601.
    fn red(format: PixelFormat, width: usize, height: usize) -> Vec<u8> {
        let length = format.length(width, height);
        let pattern: &[u8] = match format {
            PixelFormat::Nv12 => {
                let mut data = vec![81; width * height];
                data.extend([90, 240].iter().cycle().take(length - data.len()));
                return data;
            }
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

    #[test]
    fn a_picture_without_a_size_is_refused() {
        let mut frame = VideoFrame::black(2, 2).unwrap();
        assert!(to_i420(PixelFormat::Yuyv, (0, 4), &[], &mut frame).is_err());
        assert!(to_i420(PixelFormat::Yuyv, (100_000, 100_000), &[], &mut frame).is_err());
    }
}
