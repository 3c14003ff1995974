//! Trill: a calling engine that an app links in, and the server its owner hosts.

pub mod base;
#[cfg(feature = "server")]
pub mod identity;
pub mod media;
pub mod ringing;
