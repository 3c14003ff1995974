//! The server: ringing, the call store and the SFU.

pub mod sfu;
