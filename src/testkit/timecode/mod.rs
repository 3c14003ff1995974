//! Media that tells when it was made: a moving picture with its capture time and number, and a tone with time marks.
//!
//! A sender shows a [`Picture`] and plays a [`ToneTrack`]; a receiver gives what it saw and heard, with when, to an
//! [`Analyser`], whose [`Report`] says what the user noticed: delay, lip sync, lost pictures, freezes, holes in the
//! sound, media that goes one way only.
//!
//! All times are [`Duration`](std::time::Duration)s since an epoch that both sides share: any instant within one
//! process, 1970-01-01 UTC between machines. Between machines the delays hold the difference of the two clocks; the sum
//! of both directions does not.

mod analyser;
mod listen;
mod picture;
mod report;
mod tone;

pub use analyser::Analyser;
pub use listen::{HeardMark, ToneReader};
pub use picture::{Picture, PictureMark, read};
pub use report::{AudioReport, OneWay, Report, Spread, VideoReport, one_way};
pub use tone::ToneTrack;

#[cfg(test)]
mod tests;
