//! The C ABI over the engine.
//!
//! Level 4. include/trill.h is written from these files by `scripts/header`, and a test fails when it has drifted: the
//! comments here are the documentation of an app developer. Each file is a group of that header; its first paragraph
//! heads the group.
//!
//! - `boundary`: what every entry passes: panics stop here, pointers become values, results become status codes.
//! - `handle`: engines by number, so that a stale one is an error; callbacks and completions, each when it may run.
//! - `bench`: the boundary without a network, for benches.
//! - all others: one family of types and functions each.

#![allow(non_camel_case_types, reason = "the names of the C header")]
#![allow(clippy::missing_safety_doc, reason = "what a caller owes is in the documentation of the C function")]

mod arena;
#[doc(hidden)]
pub mod bench;
mod boundary;
mod handle;

mod call;
mod call_listener;
mod call_log;
mod device;
mod device_format;
mod engine;
mod event;
mod frame;
mod library;
mod log;
mod login;
mod participant;
mod push;
mod session;
mod session_callbacks;
mod session_settings;
mod statistics;
#[allow(dead_code, reason = "for C; the library itself speaks ErrorCode")]
mod status;
mod voice;
