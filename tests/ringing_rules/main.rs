//! The rules of ringing, each shown by a test named after it: the real machines of the server and of the devices, in
//! virtual time, on a network without delay or fault. The faults are the business of `ringing_simulation`.
#![allow(clippy::disallowed_methods, reason = "a start for the devices' virtual clocks is all that is read")]

mod devices;
mod errors;
mod groups;
mod operations;
mod owner;
mod rules;
mod scene;
