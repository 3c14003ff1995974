//! Trill: a calling engine that an app links in, and the server its owner hosts.
//!
//! # The modules
//!
//! | level | module | what it is for |
//! | --- | --- | --- |
//! | 0 | [`base`] | identifiers, time, errors: what every layer speaks |
//! | 1 | `identity` | user, admin and session tokens: minted and verified, the time passed in |
//! | 1 | [`ringing`] | who calls whom: the call, its messages, a machine for each side |
//! | 1 | [`session`] | LiveKit signalling as a client machine, the roster, what apps see of both |
//! | 1 | [`media`] | frames, RTP payloads, jitter buffers, the mixer: everything pure about media |
//! | 2 | [`codec`] | Opus and VP8 behind two small traits each |
//! | 2 | [`device`] | where media comes from and goes to: files, tones, callbacks, microphone and speaker |
//! | 2 | [`processing`] | echo, noise and rumble out of a captured voice, and its level right |
//! | 2 | [`transport`] | WebRTC peer connections, behind one seam |
//! | 2 | [`testkit`] | bad networks from a seed, and media that tells its own delay and loss: pure as well |
//! | 4 | [`capi`] | the C ABI over the engine: include/trill.h is written from it |
//! | 4 | `server` | the server its owner hosts: HTTP, ringing, the call store, sessions |
//!
//! Imports go only downward (`tests/layering.rs`). Level 1 reads no clock and owns no thread or socket.

pub mod base;
pub mod capi;
pub mod codec;
pub mod device;
pub mod engine;
#[cfg(feature = "server")]
pub mod identity;
pub mod media;
pub mod processing;
pub mod ringing;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
pub mod testkit;
pub mod transport;
