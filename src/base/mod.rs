//! What every layer speaks: identifiers, time, errors.
//!
//! Level 0: imports nothing from the crate.

mod error;
mod id;
mod time;

pub use error::{Error, ErrorCode, Result};
pub use id::{DeviceId, GroupId, ParticipantId, ParticipantIdentity, RequestId, SessionId, TrackId, Uid};
pub use time::UnixMillis;
