//! The time-coded picture: a grid of 16 by 16 cells whose upper six rows are black or white, and texture below.
//!
//! The first row is always the same: it tells black from white in what arrives, whatever the codec did to it. The
//! other five hold 80 bits: capture time (36, in 0.1 ms), number (24), stream (4), and a CRC over them (16). Cells are
//! read by the mean of their middle, so they survive scaling and coarse quantisation; what does not fit the CRC is not
//! read at all.

use crate::base::{Error, ErrorCode, Result};
use crate::media::frame::VideoFrame;
use std::time::Duration;

/// Cells from side to side, and from top to bottom.
const GRID: usize = 16;
/// A cell of fewer pixels across would not survive a codec.
const MIN_CELL: u32 = 4;
/// The first row.
const SYNC: u16 = 0b1011_0010_0111_0001;
/// Rows below it that hold bits.
const DATA_ROWS: usize = 5;
const BLACK: u8 = 40;
const WHITE: u8 = 216;
/// Less between black and white than this, in luma, and nothing is there to read.
const MIN_CONTRAST: i32 = 48;
const TIME_BITS: u32 = 36;
const NUMBER_BITS: u32 = 24;
const STREAM_BITS: u32 = 4;
/// One unit of the time.
const TICK: Duration = Duration::from_micros(100);

/// What a picture says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureMark {
    /// Whose picture it is, 0 to 15.
    pub stream: u8,
    /// Counts the pictures that were captured; begins anew after 2^24.
    pub number: u32,
    /// Begins anew after 79 days: see [`Self::captured`].
    ticks: u64,
}

impl PictureMark {
    /// When it was captured, to 0.1 ms: of all the times that it may mean, the nearest to `near`.
    pub fn captured(&self, near: Duration) -> Duration {
        let round = 1i64 << TIME_BITS;
        let near = (near.as_micros() / TICK.as_micros()).min(1 << 50) as i64;
        let mut off = (self.ticks as i64 - near).rem_euclid(round);
        if off >= round / 2 {
            off -= round;
        }
        Duration::from_micros((near + off).max(0) as u64 * TICK.as_micros() as u64)
    }
}

/// Draws the pictures of one stream.
pub struct Picture {
    width: u32,
    height: u32,
    stream: u8,
    /// Twice as wide as the picture, its right half the same as its left: it moves by taking another part.
    texture: VideoFrame,
}

impl Picture {
    /// `stream`, 0 to 15, tells the receiver whose picture it is. Fails with `invalid_argument` for a side under 64
    /// pixels or over 4096, or another stream.
    pub fn new(width: u32, height: u32, stream: u8) -> Result<Self> {
        let sides = MIN_CELL * GRID as u32..=4096;
        if !sides.contains(&width) || !sides.contains(&height) {
            let (least, most) = (sides.start(), sides.end());
            return Err(refused(format!(
                "a time-coded picture of {width}x{height}: sides are {least} to {most} pixels"
            )));
        }
        if stream >= 1 << STREAM_BITS {
            return Err(refused(format!("stream {stream} of a time-coded picture: it is 0 to 15")));
        }
        Ok(Self { width, height, stream, texture: texture(width, height)? })
    }

    /// Draws picture `number`, captured at `captured`, over whatever `frame` held.
    pub fn draw(&self, number: u32, captured: Duration, frame: &mut VideoFrame) -> Result<()> {
        frame.resize(self.width, self.height)?;
        frame.rotation = Default::default();
        // Even, so that the colours move along.
        let shift = (number as usize * 4) % (self.width as usize & !1);
        let from = self.texture.planes();
        let strides = [self.texture.stride(), self.texture.chroma_stride(), self.texture.chroma_stride()];
        let widths = [frame.stride(), frame.chroma_stride(), frame.chroma_stride()];
        let shifts = [shift, shift / 2, shift / 2];
        for (at, plane) in frame.planes_mut().into_iter().enumerate() {
            for (row, moved) in plane.chunks_exact_mut(widths[at]).zip(from[at].chunks_exact(strides[at])) {
                row.copy_from_slice(&moved[shifts[at]..shifts[at] + row.len()]);
            }
        }
        let bits = encode(self.stream, number, ticks(captured));
        let (width, height) = (self.width as usize, self.height as usize);
        let [luma, u, v] = frame.planes_mut();
        for row in 0..=DATA_ROWS {
            let line = &mut luma[span(row, height).start * width..][..width];
            for column in 0..GRID {
                let white = match row {
                    0 => SYNC >> column & 1 == 1,
                    _ => bits >> ((row - 1) * GRID + column) & 1 == 1,
                };
                line[span(column, width)].fill(if white { WHITE } else { BLACK });
            }
            let rows = span(row, height);
            for below in rows.start + 1..rows.end {
                luma.copy_within(rows.start * width..(rows.start + 1) * width, below * width);
            }
        }
        let coded = span(DATA_ROWS, height).end.div_ceil(2) * widths[1];
        u[..coded].fill(128);
        v[..coded].fill(128);
        Ok(())
    }
}

/// What the picture says about itself, at whatever size it arrived; `None` when that cannot be read for sure.
pub fn read(frame: &VideoFrame) -> Option<PictureMark> {
    if frame.width().min(frame.height()) < GRID as u32 {
        return None;
    }
    let mut cells = [[0i32; GRID]; DATA_ROWS + 1];
    for (row, cells) in cells.iter_mut().enumerate() {
        for (column, cell) in cells.iter_mut().enumerate() {
            *cell = mean(frame, row, column);
        }
    }
    let level = |white: bool| {
        let of = (0..GRID).filter(|column| (SYNC >> column & 1 == 1) == white).map(|column| cells[0][column]);
        let (count, sum) = of.fold((0, 0), |(count, sum), cell| (count + 1, sum + cell));
        sum / count
    };
    let (white, black) = (level(true), level(false));
    if white - black < MIN_CONTRAST {
        return None;
    }
    let threshold = (white + black) / 2;
    let word = |row: usize| (0..GRID).fold(0u128, |word, at| word | u128::from(cells[row][at] > threshold) << at);
    if word(0) != u128::from(SYNC) {
        return None;
    }
    decode((1..=DATA_ROWS).fold(0, |bits, row| bits | word(row) << ((row - 1) * GRID)))
}

/// The mean luma of the middle half of a cell.
fn mean(frame: &VideoFrame, row: usize, column: usize) -> i32 {
    let middle = |cell: std::ops::Range<usize>| {
        let margin = cell.len() / 4;
        cell.start + margin..cell.end - margin
    };
    let columns = middle(span(column, frame.width() as usize));
    let rows = middle(span(row, frame.height() as usize));
    let luma = frame.planes()[0];
    let sum: u64 = rows
        .clone()
        .map(|y| luma[y * frame.stride()..][columns.clone()].iter().map(|&value| u64::from(value)).sum::<u64>())
        .sum();
    (sum / (rows.len() * columns.len()) as u64) as i32
}

/// The pixels of a cell on one axis.
fn span(cell: usize, side: usize) -> std::ops::Range<usize> {
    cell * side / GRID..(cell + 1) * side / GRID
}

fn ticks(time: Duration) -> u64 {
    (time.as_micros() / TICK.as_micros()) as u64 & ((1 << TIME_BITS) - 1)
}

fn encode(stream: u8, number: u32, ticks: u64) -> u128 {
    let number = u128::from(number & ((1 << NUMBER_BITS) - 1));
    let payload = u128::from(ticks) | number << TIME_BITS | u128::from(stream & 15) << (TIME_BITS + NUMBER_BITS);
    payload | u128::from(crc16(payload as u64)) << 64
}

fn decode(bits: u128) -> Option<PictureMark> {
    let payload = bits as u64;
    if crc16(payload) != (bits >> 64) as u16 {
        return None;
    }
    Some(PictureMark {
        stream: (payload >> (TIME_BITS + NUMBER_BITS)) as u8,
        number: (payload >> TIME_BITS) as u32 & ((1 << NUMBER_BITS) - 1),
        ticks: payload & ((1 << TIME_BITS) - 1),
    })
}

/// CRC-16/IBM-3740 (polynomial 0x1021, start 0xffff).
fn crc16(payload: u64) -> u16 {
    payload.to_be_bytes().into_iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 })
    })
}

/// Waves of several sizes, which repeat after the picture's width.
fn texture(width: u32, height: u32) -> Result<VideoFrame> {
    let mut texture = VideoFrame::black(2 * (width & !1), height)?;
    let (period, stride, chroma_stride) = ((width & !1) as usize, texture.stride(), texture.chroma_stride());
    let turn = std::f32::consts::TAU / period as f32;
    let slope = std::f32::consts::TAU / height as f32;
    let [luma, u, v] = texture.planes_mut();
    for (y, row) in luma.chunks_exact_mut(stride).enumerate() {
        let down = y as f32 * slope;
        let (left, right) = row.split_at_mut(period);
        for (x, pixel) in left.iter_mut().enumerate() {
            let across = x as f32 * turn;
            let waves = 40.0 * (3.0 * across + 2.0 * down).sin()
                + 25.0 * (11.0 * across - 5.0 * down).sin()
                + 15.0 * (37.0 * across + 23.0 * down).sin();
            *pixel = (128.0 + waves) as u8;
        }
        right.copy_from_slice(left);
    }
    for (plane, waves) in [(u, 2.0), (v, 3.0)] {
        for (y, row) in plane.chunks_exact_mut(chroma_stride).enumerate() {
            let (left, right) = row.split_at_mut(period / 2);
            for (x, pixel) in left.iter_mut().enumerate() {
                *pixel = (128.0 + 40.0 * (waves * 2.0 * x as f32 * turn + 2.0 * y as f32 * slope).sin()) as u8;
            }
            right.copy_from_slice(left);
        }
    }
    Ok(texture)
}

fn refused(message: String) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    const NOW: Duration = Duration::new(1_795_000_000, 123_400_000);

    fn drawn(width: u32, height: u32, number: u32) -> VideoFrame {
        let mut frame = VideoFrame::black(2, 2).unwrap();
        Picture::new(width, height, 5).unwrap().draw(number, NOW, &mut frame).unwrap();
        frame
    }

    /// Each pixel the mean of a square of the larger picture.
    fn half(frame: &VideoFrame) -> VideoFrame {
        let mut small = VideoFrame::black(frame.width() / 2, frame.height() / 2).unwrap();
        let (from, stride, width) = (frame.planes()[0], frame.stride(), small.stride());
        for (at, pixel) in small.planes_mut()[0].iter_mut().enumerate() {
            let (x, y) = (at % width * 2, at / width * 2);
            let sum: u32 = [(0, 0), (1, 0), (0, 1), (1, 1)]
                .iter()
                .map(|(dx, dy)| u32::from(from[(y + dy) * stride + x + dx]))
                .sum();
            *pixel = (sum / 4) as u8;
        }
        small
    }

    #[test]
    fn a_picture_tells_its_stream_number_and_time_at_any_size() {
        for (width, height) in [(1280, 720), (640, 360), (320, 180), (321, 181), (64, 64), (97, 127)] {
            let frame = drawn(width, height, 123_456);
            assert_eq!((frame.width(), frame.height()), (width, height));
            let mark = read(&frame).unwrap_or_else(|| panic!("{width}x{height}"));
            assert_eq!((mark.stream, mark.number), (5, 123_456));
            assert_eq!(mark.captured(NOW + Duration::from_secs(3600)), NOW);
        }
    }

    #[test]
    fn a_picture_reads_after_scaling_to_a_half_and_again() {
        let mut frame = drawn(640, 360, 77);
        for _ in 0..2 {
            frame = half(&frame);
            assert_eq!(read(&frame).unwrap().number, 77, "{}x{}", frame.width(), frame.height());
        }
    }

    #[test]
    fn a_picture_reads_through_noise_and_low_contrast() {
        let mut rng = StdRng::seed_from_u64(1);
        for number in 0..50 {
            let mut frame = drawn(320, 180, number);
            for pixel in frame.planes_mut()[0].iter_mut() {
                let faint = 90 + i32::from(*pixel) / 2;
                *pixel = (faint + rng.random_range(-60..=60)).clamp(0, 255) as u8;
            }
            assert_eq!(read(&frame).map(|mark| mark.number), Some(number));
        }
    }

    #[test]
    fn what_is_not_such_a_picture_or_two_of_them_mixed_is_not_read() {
        let mut rng = StdRng::seed_from_u64(2);
        assert_eq!(read(&VideoFrame::black(320, 180).unwrap()), None);
        assert_eq!(read(&VideoFrame::black(3, 3).unwrap()), None);
        for number in 0..200 {
            let mut noise = VideoFrame::black(320, 180).unwrap();
            rng.fill(&mut *noise.planes_mut()[0]);
            assert_eq!(read(&noise), None);

            // A torn picture: the lower half of the code is of another one.
            let (mut torn, other) = (drawn(320, 180, number), drawn(320, 180, number + 1000));
            let at = span(4, 180).start * 320;
            torn.planes_mut()[0][at..].copy_from_slice(&other.planes()[0][at..]);
            assert_eq!(read(&torn), None, "{number}");
        }
    }

    #[test]
    fn one_wrong_cell_anywhere_is_noticed() {
        let frame = drawn(128, 128, 9);
        for row in 0..=DATA_ROWS {
            for column in 0..GRID {
                let mut wrong = frame.clone();
                for y in span(row, 128) {
                    for x in span(column, 128) {
                        let pixel = &mut wrong.planes_mut()[0][y * 128 + x];
                        *pixel = if *pixel == WHITE { BLACK } else { WHITE };
                    }
                }
                assert_eq!(read(&wrong), None, "row {row}, column {column}");
            }
        }
    }

    #[test]
    fn the_time_is_the_nearest_one_over_the_wrap() {
        let round = TICK * (1 << 30) * 64;
        let before = round - Duration::from_millis(5);
        let mark = decode(encode(0, 0, ticks(before))).unwrap();
        assert_eq!(mark.captured(round + Duration::from_millis(20)), before);
        let mark = decode(encode(0, 0, ticks(round + Duration::from_millis(5)))).unwrap();
        assert_eq!(mark.captured(before), round + Duration::from_millis(5));
    }

    #[test]
    fn the_picture_moves() {
        let (first, second) = (drawn(320, 180, 0), drawn(320, 180, 1));
        let below = span(DATA_ROWS, 180).end * 320;
        let changed = first.planes()[0][below..].iter().zip(&second.planes()[0][below..]).filter(|(a, b)| a != b);
        assert!(changed.count() > 320 * 60);
    }

    #[test]
    fn sizes_and_streams_out_of_range_are_refused() {
        assert!(Picture::new(63, 360, 0).is_err());
        assert!(Picture::new(640, 5000, 0).is_err());
        assert!(Picture::new(640, 360, 16).is_err());
    }
}
