//! Trill: a calling engine that an app links in, and the server its owner hosts.
//!
//! # The modules
//!
//! | level | module | what it is for |
//! | --- | --- | --- |
//! | 0 | [`base`] | identifiers, time, errors: what every layer speaks |
//! | 0 | `task` | the answer of a task that may end at any moment |
//! | 1 | `identity` | user, admin and session tokens: minted and verified, the time passed in |
//! | 1 | [`ringing`] | who calls whom: the call, its messages, a machine for each side |
//! | 1 | [`session`] | LiveKit signalling as a client machine, the roster, what apps see of both |
//! | 1 | [`media`] | frames, RTP payloads, jitter buffers, the mixer: everything pure about media |
//! | 2 | [`codec`] | Opus and VP8 behind two small traits each |
//! | 2 | [`device`] | where media comes from and goes to: files, tones, callbacks, microphone and speaker |
//! | 2 | [`processing`] | echo, noise and rumble out of a captured voice, and its level right |
//! | 2 | [`testkit`] | bad networks from a seed, and media that tells its own delay and loss: pure as well |
//! | 2 | [`transport`] | WebRTC peer connections, behind one seam |
//! | 3 | [`engine`] | one device of one user: where all of the above meets clocks, threads and sockets |
//! | 4 | [`capi`] | the C ABI over the engine: include/trill.h is written from it |
//! | 4 | `server` | what its owner hosts: HTTP, ringing, the call store, LiveKit signalling and the SFU |
//! | 5 | `bin/trill` | the command: `serve`, `call`, `answer`, `logs`, `token` and tools |
//!
//! Imports go only downward (`tests/layering.rs`). Level 1 reads no clock and owns no thread or socket.
//!
//! # The way of a frame
//!
//! A source of [`device`] gives 20 ms of audio or a picture. A sender of [`engine::pipeline`] encodes it with [`codec`]
//! and cuts it into RTP payloads with [`media`]. [`transport`] adds header extensions and SRTP and sends it. The
//! server's `sfu` decrypts it, and writes it to each subscriber with that subscriber's sequence numbers. There
//! [`transport`] hands it to a receiver of [`engine::pipeline`], in which the jitter buffer or the frame assembler of
//! [`media`] brings order and [`codec`] decodes; the session's mixer adds up who talks, and a sink of [`device`] plays,
//! writes or shows it. docs/architecture.md tells it with the files' names.

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
mod task;
pub mod testkit;
pub mod transport;
