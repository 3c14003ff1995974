//! Pictures turned upright.

use super::frame::{Rotation, VideoFrame};
use crate::base::Result;

/// Writes `from`, turned as its rotation says, to `to`, whose memory is used again; that one's rotation is none.
pub fn turn(from: &VideoFrame, to: &mut VideoFrame) -> Result<()> {
    let (width, height) = (from.width(), from.height());
    let rotation = from.rotation;
    let lies = matches!(rotation, Rotation::Clockwise90 | Rotation::Clockwise270);
    let (turned_width, turned_height) = if lies { (height, width) } else { (width, height) };
    to.resize(turned_width, turned_height)?;
    (to.rotation, to.timestamp) = (Rotation::None, from.timestamp);
    let rows = [from.stride(), from.chroma_stride(), from.chroma_stride()];
    let turned_rows = [to.stride(), to.chroma_stride(), to.chroma_stride()];
    for (at, (plane, turned)) in from.planes().into_iter().zip(to.planes_mut()).enumerate() {
        let row = rows[at];
        match rotation {
            Rotation::None => turned.copy_from_slice(plane),
            Rotation::Clockwise180 => turned.iter_mut().zip(plane.iter().rev()).for_each(|(to, from)| *to = *from),
            // A column upwards, or downwards, becomes a row.
            Rotation::Clockwise90 => {
                for (x, out) in turned.chunks_exact_mut(turned_rows[at]).enumerate() {
                    let column = plane[x..].iter().step_by(row);
                    out.iter_mut().rev().zip(column).for_each(|(to, from)| *to = *from);
                }
            }
            Rotation::Clockwise270 => {
                for (x, out) in turned.chunks_exact_mut(turned_rows[at]).enumerate() {
                    let column = plane[row - 1 - x..].iter().step_by(row);
                    out.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(from: &VideoFrame, rotation: Rotation) -> VideoFrame {
        let mut from = from.clone();
        from.rotation = rotation;
        let mut to = VideoFrame::black(9, 9).unwrap();
        turn(&from, &mut to).unwrap();
        to
    }

    #[test]
    fn what_was_at_the_top_left_is_where_it_belongs() {
        let mut from = VideoFrame::black(3, 2).unwrap();
        from.planes_mut()[0].copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        for (rotation, size, luma) in [
            (Rotation::None, (3, 2), [1, 2, 3, 4, 5, 6]),
            (Rotation::Clockwise90, (2, 3), [4, 1, 5, 2, 6, 3]),
            (Rotation::Clockwise180, (3, 2), [6, 5, 4, 3, 2, 1]),
            (Rotation::Clockwise270, (2, 3), [3, 6, 2, 5, 1, 4]),
        ] {
            let to = turned(&from, rotation);
            assert_eq!(((to.width(), to.height()), to.planes()[0]), (size, &luma[..]), "{rotation:?}");
            assert_eq!(to.rotation, Rotation::None);
        }
    }

    #[test]
    fn four_quarter_turns_are_none_at_even_and_odd_sizes() {
        for (width, height) in [(64, 48), (63, 47), (1, 5), (2, 2)] {
            let mut from = VideoFrame::black(width, height).unwrap();
            for plane in from.planes_mut() {
                plane.iter_mut().enumerate().for_each(|(at, value)| *value = (at * 7 % 251) as u8);
            }
            for rotation in [Rotation::Clockwise90, Rotation::Clockwise270] {
                let mut round = from.clone();
                for _ in 0..4 {
                    round = turned(&round, rotation);
                }
                assert_eq!(round, from, "{width}x{height} {rotation:?}");
            }
        }
    }
}
