//! Ringing over real sockets: devices and a server with its store, on the loopback.
#![cfg(feature = "server")]
#![allow(clippy::disallowed_methods, reason = "real time, real sockets")]

mod bare;
mod calls;
mod conference;
mod directory;
mod faults;
mod limits;
#[cfg(feature = "cli")]
mod process;
mod receiver;
mod rest;
mod support;
mod wake;
mod webhooks;
