//! What HTTP and WebSocket both do: read calls, mint session tokens.

use super::config::{LimitConfig, ProxyNet};
use super::metrics::Metrics;
use super::rates::Rates;
use super::ringing::Ringing;
use super::sfu::SfuMetrics;
use super::store::Store;
use crate::base::{DeviceId, Error, ErrorCode, ParticipantIdentity, Result, SessionId, Uid, UnixMillis};
use crate::identity::{KeyRing, SessionToken};
use crate::ringing::Call;
use crate::ringing::service::may_join;
use crate::ringing::wire::SessionAccess;
use std::sync::Arc;
use std::time::Duration;

/// What every request handler has at hand. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) keys: Arc<KeyRing>,
    pub(super) store: Arc<dyn Store>,
    pub(super) ringing: Ringing,
    pub(super) metrics: Arc<Metrics>,
    pub(super) sfu_metrics: Arc<SfuMetrics>,
    pub(super) session_url: Option<Arc<str>>,
    pub(super) session_token_ttl: Duration,
    pub(super) ping_interval: Duration,
    pub(super) trusted_proxies: Arc<[ProxyNet]>,
    pub(super) limits: Arc<LimitConfig>,
    pub(super) rates: Arc<Rates>,
}

impl Api {
    /// A call, if `party` (or an owner: `None`) may see it. Errors: `call_not_found`, `not_a_party`, `store_failed`.
    pub(super) async fn call(&self, session: &SessionId, party: Option<&Uid>) -> Result<Call> {
        let call = self.store.call(session).await?.ok_or(ErrorCode::CallNotFound)?.call;
        match party {
            Some(uid) if call.participant(uid).is_none() => Err(ErrorCode::NotAParty.into()),
            _ => Ok(call),
        }
    }
}

/// A session token for a party to an ongoing call, as the store has it: so never before an accept is durable.
///
/// `device`: when known, it must be the one that dialled or accepted. `host`: this server as the asker reached it.
/// Errors: `not_yet_accepted`, `not_a_party`, `already_ended`, `configuration`.
pub(super) async fn mint_session_token(
    api: &Api,
    call: &Call,
    uid: &Uid,
    device: Option<&DeviceId>,
    host: Option<&str>,
) -> Result<SessionAccess> {
    may_join(call, uid.as_str()).map_err(|error| match error.code() {
        ErrorCode::RoomClosed => Error::new(ErrorCode::AlreadyEnded, error.message()),
        _ => error,
    })?;
    if device.is_some_and(|device| !call.has_device(uid, device)) {
        return Err(Error::new(ErrorCode::NotAParty, "another device of yours is in this call"));
    }
    let url = api.session_url.as_deref().or(host).ok_or_else(|| {
        Error::new(ErrorCode::Configuration, "the request named no host and the server has no session_url")
    })?;
    let name = match call.is_initiator(uid) {
        true => call.initiator.name.clone(),
        // Of a group it is the group's.
        false if call.is_for_group() => api.store.user(uid).await?.and_then(|user| user.name),
        false => call.receiver.name.clone(),
    };
    let identity = ParticipantIdentity::new(uid.as_str())?;
    let now = UnixMillis::now();
    let token = SessionToken::for_call(identity, name.unwrap_or_default(), &call.session_id).mint(
        api.keys.minting(),
        now,
        api.session_token_ttl,
    );
    Ok(SessionAccess { url: url.to_owned(), token, expires_at: now + api.session_token_ttl })
}
