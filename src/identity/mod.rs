//! Who may do what: user, admin and session tokens (JWT, HS256), minted and verified.
//!
//! Level 1, pure: the time is an argument. A token is checked for its algorithm, key, time, and then for what it
//! grants; each refusal has a code of its own.
//!
//! - A *user token* logs a user in to ringing. The app's own backend mints it, or `trill token user`.
//! - An *admin token* is for the owner's backend: users, groups and the whole log.
//! - A *wake token* is what a push carries to a device that is not connected; it logs nobody in.
//! - A *session token* is a LiveKit access token: it lets one identity into one room, with grants.

mod jwt;
mod session;
mod user;
mod wake;
mod webhook;

pub use jwt::{ApiKey, KeyRing, LEEWAY};
pub use session::{SessionGrants, SessionToken, VideoGrant};
pub use user::{AdminToken, UserToken};
pub use wake::WakeToken;
pub use webhook::WebhookSigner;

#[cfg(test)]
mod tests;
