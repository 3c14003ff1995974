//! The session machine: LiveKit's v0 signalling as a client speaks it, the roster, and what apps see of both.
//!
//! Level 1, sans-IO. [`SessionMachine`] is handed the time, what the server said and what the peer connections did; it
//! queues what is to be sent, done and told. It reads no clock and owns no socket, so whole sessions, with lost
//! connections and resumes, are tested in virtual time. The driver is `engine::session`.
//!
//! The run loop of a driver: *mutate* (one `handle_*` or command), *drain* [`SessionMachine::poll_output`] until it
//! gives nothing, wait until [`SessionMachine::poll_timeout`] or the next happening, and *mutate* again.

mod data;
mod event;
mod machine;
mod roster;
mod sdp;
mod settings;

pub use data::{DataMessage, MAX_DATA_PAYLOAD, OutgoingData};
pub use event::{DeviceState, MediaDevice, SessionEndReason, SessionEvent, Speaker};
pub use machine::{
    ConnectRequest, ConnectionState, IceServer, Output, PeerCommand, PeerEvent, ResumeRequest, SessionMachine, Side,
};
pub use roster::{ConnectionQuality, Participant, Roster, Track, TrackKind, TrackSource};
pub use settings::{LocalLayer, LocalTrack, MachineSettings};
