//! WebRTC peer connections, behind one seam: [`PeerConnection`] and the notices it gives.
//!
//! Level 2. Nothing of the `webrtc` crate is visible outside this module: it can be exchanged. The vocabulary of the seam
//! (sides, states, peer events) is the session machine's own.
//!
//! A frame's way out: the pipeline's packets wait in a [`PacketSource`]; a task for each, one per layer of a track, adds SSRC,
//! payload type and header extensions and hands them to the peer connection. Its way in: a task per remote track drains the peer
//! connection's queue (which drops when full) into the sink attached under the track's id.
#![allow(clippy::disallowed_methods, reason = "packets are stamped with their time of arrival here")]

mod codecs;
mod estimate;
mod feedback;
mod handshake;
mod labels;
mod nack;
mod network;
mod peer;
mod receive;
mod repair;
mod resend;
mod round_trip;
mod send;
mod stage;
#[cfg(test)]
mod tests;

pub use network::local_addresses;
pub use peer::{Notice, NoticeSender, PathStats, PeerConfig, PeerConnection};
pub use receive::{PacketSink, ReceiveStats, RemoteTracks};
pub use send::{PacketSource, SendStats};
