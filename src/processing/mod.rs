//! What makes a voice fit for a call: echo, noise and rumble out of it, and its level right.
//!
//! Level 2. A [`VoiceProcessor`] works on what a microphone hears, frame by frame; its [`PlaybackReference`] brings it
//! what the speaker is given, so that it knows an echo when it hears one. [`VoiceControl`] switches all of it at any
//! time, from any thread. The work itself is that of WebRTC's audio processing, in its Rust port `sonora`; only the canceller has
//! settings of our own (`echo.rs`).

mod align;
mod control;
mod echo;
mod reference;
mod voice;

pub use control::{VoiceControl, VoiceProcessing};
pub use reference::{PlaybackReference, PlaybackTap, playback_reference};
pub use voice::VoiceProcessor;
