//! The signature of wake payloads: what the server hands to the owner's push service, and gets back from a device.

use super::jwt::{ApiKey, KeyRing};
use super::user::Used;
use crate::base::{Result, UnixMillis};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// What `use` says in a wake payload.
const WAKE: &str = "wake";

/// Claims that this server signed for a device to bring back. They log nobody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeToken<C>(pub C);

impl<C: Serialize> WakeToken<C> {
    pub fn mint(&self, key: &ApiKey, now: UnixMillis, ttl: Duration) -> String {
        key.sign(&Used { kind: WAKE.into(), claims: &self.0 }, now, ttl)
    }
}

impl<C: DeserializeOwned> WakeToken<C> {
    /// Errors: every `token_*` code but `token_wrong_room`.
    pub fn verify(keys: &KeyRing, token: &str, now: UnixMillis) -> Result<Self> {
        Used::verify(keys, token, now, WAKE).map(Self)
    }
}
