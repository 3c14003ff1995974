//! The test kit: media that can be measured, and networks that are bad on purpose.
//!
//! Level 2, and pure: it reads no clock and owns no thread or socket. [`impair`] is a network from a seed, used in
//! virtual time by tests and in real time by `trill impair`; [`timecode`] is media from which a receiver tells what a
//! user noticed; [`speech`] is a voice from a seed.

pub mod impair;
pub mod speech;
pub mod timecode;
