//! Session tokens: LiveKit access tokens, so that any LiveKit client can use ours and our engine can use theirs.

use super::jwt::{ApiKey, KeyRing};
use crate::base::{Error, ErrorCode, ParticipantIdentity, Result, SessionId, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Lets one identity into one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionToken {
    #[serde(rename = "sub")]
    pub identity: ParticipantIdentity,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    pub video: VideoGrant,
}

impl SessionToken {
    /// What a party to a call gets: this room, publish, subscribe, data.
    pub fn for_call(identity: ParticipantIdentity, name: String, session: &SessionId) -> Self {
        let video = VideoGrant { room_join: true, room: session.to_string(), ..VideoGrant::default() };
        Self { identity, name, metadata: String::new(), attributes: BTreeMap::new(), video }
    }

    pub fn mint(&self, key: &ApiKey, now: UnixMillis, ttl: Duration) -> String {
        key.sign(self, now, ttl)
    }

    /// Errors: every `token_*` code but `token_wrong_room`. The room is the token's own; see [`Self::verify_for`].
    pub fn verify(keys: &KeyRing, token: &str, now: UnixMillis) -> Result<Self> {
        let claims: serde_json::Value = keys.verify(token, now)?;
        // A user token in the wrong place has no video claim at all: that is a missing grant, not a malformed token.
        if claims.get("video").is_none() {
            return Err(Error::new(ErrorCode::TokenMissingGrant, "the token has no video grant"));
        }
        let token: Self = serde_json::from_value(claims)
            .map_err(|e| super::jwt::malformed(format!("a claim is missing or of the wrong type: {e}")))?;
        if !token.video.room_join {
            return Err(Error::new(ErrorCode::TokenMissingGrant, "the token does not grant roomJoin"));
        }
        if token.video.room.is_empty() {
            return Err(Error::new(ErrorCode::TokenMissingGrant, "the token grants no room"));
        }
        Ok(token)
    }

    /// [`Self::verify`], and the token is for `room`. Errors: every `token_*` code.
    pub fn verify_for(keys: &KeyRing, token: &str, room: &SessionId, now: UnixMillis) -> Result<Self> {
        let token = Self::verify(keys, token, now)?;
        if token.video.room != room.as_str() {
            return Err(ErrorCode::TokenWrongRoom.into());
        }
        Ok(token)
    }

    pub fn grants(&self) -> SessionGrants {
        let can = |grant: Option<bool>| grant.unwrap_or(true);
        SessionGrants {
            publish: can(self.video.can_publish),
            subscribe: can(self.video.can_subscribe),
            publish_data: can(self.video.can_publish_data),
            publish_sources: self.video.can_publish_sources.clone(),
            update_own_metadata: self.video.can_update_own_metadata.unwrap_or(false),
            hidden: self.video.hidden,
        }
    }
}

/// The `video` claim as it is on the wire: an absent `can*` means allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrant {
    pub room_join: bool,
    pub room: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// `camera`, `microphone`, `screen_share`, `screen_share_audio`; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_publish_sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_admin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_create: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_list: bool,
}

/// What a participant may do, with the defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrants {
    pub publish: bool,
    pub subscribe: bool,
    pub publish_data: bool,
    /// Empty means every source.
    pub publish_sources: Vec<String>,
    pub update_own_metadata: bool,
    pub hidden: bool,
}

impl SessionGrants {
    /// `source` in the claim's spelling, such as `microphone`.
    pub fn may_publish(&self, source: &str) -> bool {
        self.publish && (self.publish_sources.is_empty() || self.publish_sources.iter().any(|s| s == source))
    }
}
