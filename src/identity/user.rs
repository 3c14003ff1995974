//! User and admin tokens: who calls, and who owns the server.

use super::jwt::{ApiKey, KeyRing, LEEWAY};
use crate::base::{Error, ErrorCode, Result, Uid, UnixMillis};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What `use` says in either kind of token, so that one is never taken for the other, nor for a session token.
const USER: &str = "user";
const ADMIN: &str = "admin";

/// Logs one user in to ringing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserToken {
    #[serde(rename = "sub")]
    pub uid: Uid,
    /// Shown to others; a login with a name updates the stored one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An https URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
}

impl UserToken {
    pub fn new(uid: Uid) -> Self {
        Self { uid, name: None, avatar: None }
    }

    pub fn mint(&self, key: &ApiKey, now: UnixMillis, ttl: Duration) -> String {
        key.sign(&Used { kind: USER.into(), claims: self }, now, ttl)
    }

    /// Errors: every `token_*` code but `token_wrong_room`.
    pub fn verify(keys: &KeyRing, token: &str, now: UnixMillis) -> Result<Self> {
        Used::verify(keys, token, now, USER)
    }

    /// Like [`Self::verify`], and tells until when the token holds, the leeway for clocks included.
    pub fn verify_until(keys: &KeyRing, token: &str, now: UnixMillis) -> Result<(Self, UnixMillis)> {
        let user = Self::verify(keys, token, now)?;
        let Expiry { exp } = keys.verify(token, now)?;
        // A float as cast saturates: a token for ever holds for ever.
        Ok((user, UnixMillis((exp * 1000.0) as u64) + LEEWAY))
    }
}

/// Lets the owner's backend manage the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminToken {
    /// Who it was made for: it stands in the server's log beside what was done with it.
    #[serde(rename = "sub")]
    pub name: String,
}

impl AdminToken {
    pub fn mint(&self, key: &ApiKey, now: UnixMillis, ttl: Duration) -> String {
        key.sign(&Used { kind: ADMIN.into(), claims: self }, now, ttl)
    }

    /// Errors: every `token_*` code but `token_wrong_room`.
    pub fn verify(keys: &KeyRing, token: &str, now: UnixMillis) -> Result<Self> {
        Used::verify(keys, token, now, ADMIN)
    }
}

#[derive(Deserialize)]
struct Expiry {
    exp: f64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Used<C> {
    #[serde(rename = "use", default)]
    pub(super) kind: String,
    #[serde(flatten)]
    pub(super) claims: C,
}

impl<C: serde::de::DeserializeOwned> Used<C> {
    pub(super) fn verify(keys: &KeyRing, token: &str, now: UnixMillis, kind: &str) -> Result<C> {
        // First the use alone: a session token in the wrong place is a missing grant, not a malformed token.
        let used: Used<serde::de::IgnoredAny> = keys.verify(token, now)?;
        if used.kind != kind {
            return Err(Error::new(ErrorCode::TokenMissingGrant, format!("this is not a {kind} token")));
        }
        keys.verify::<Used<C>>(token, now).map(|used| used.claims)
    }
}
