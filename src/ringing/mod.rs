//! Who calls whom, and what becomes of it: the call, its messages, and a machine for each side.
//!
//! Level 1, sans-IO: `(now, input) -> outputs`. No clock, no thread, no socket, no store.
