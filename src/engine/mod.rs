//! The engine: the one place where clocks, threads, sockets, the machines, codecs and devices meet.
#![allow(clippy::disallowed_methods, reason = "a driver: this is where time enters")]

mod completion;
mod connect;
pub mod pipeline;
mod ringing;
pub mod session;

pub use completion::Completion;
pub use ringing::{RingClient, RingEvent, RingSettings};
