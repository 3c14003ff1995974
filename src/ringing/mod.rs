//! Who calls whom, and what becomes of it: the call, its messages, and a machine for each side.
//!
//! Level 1, sans-IO: `(now, input) -> outputs`. No clock, no thread, no socket, no store.
//!
//! - `call`, `transition`, `moves`: what a call is, the one table of how it moves, and what each move does to it.
//! - `event`: what an app is told about a call.
//! - `wire`, `log`: the JSON messages both ways, and the pages of the call log.
//! - `wake`, [`webhook`]: what the owner's backend is told, and what a push carries to a device that is not there.
//! - [`service`]: the server's machine. It owns every unfinished call and its timers.
//! - [`client`]: a device's machine: login, requests that survive a reconnect, events without duplicates.

mod call;
pub mod client;
mod event;
mod log;
mod moves;
pub mod service;
mod transition;
mod wake;
pub mod webhook;
pub mod wire;

pub use call::{
    Call, CallStatus, CallType, Callee, Category, EndReason, Group, Participant, ParticipantState, Receiver,
    ReceiverType, User,
};
pub use event::{Actor, CallEvent, CallEventKind};
pub use log::{Direction, LogFilter, LogPage};
pub use transition::{Action, table_as_markdown};
pub use wake::{MAX_WAKE_PAYLOAD, PushOutcome, PushedCall, WakePayload};

/// The largest metadata of a call unless the server's owner says otherwise, in bytes of its JSON.
pub const MAX_METADATA: usize = 4 * 1024;
