//! Frames, RTP payloads, jitter buffers, the mixer and clocks: everything about media that is pure.
//!
//! Level 1: no clock, no thread, no socket, no codec.

pub mod assembly;
pub mod bandwidth;
pub mod clock;
pub mod control;
pub mod effort;
pub mod frame;
pub mod jitter;
pub mod ladder;
pub mod level;
pub mod mixer;
pub mod opus;
pub mod pacer;
pub mod red;
pub mod rtp;
pub mod scale;
pub mod simulcast;
pub mod stretch;
pub mod sync;
pub mod turn;
pub mod vp8;
