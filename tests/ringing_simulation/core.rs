//! The ringing core and nothing else of Trill: the same files, compiled alone, so that it is optimised in seconds.
#![allow(dead_code, reason = "the rest of Trill uses what the simulation does not")]

#[path = "../../src/base/mod.rs"]
pub mod base;
#[path = "../../src/ringing/mod.rs"]
pub mod ringing;
