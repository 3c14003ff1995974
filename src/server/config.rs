//! What an owner sets. The server reads neither files nor the environment: `trill serve` does, or the app around it.

mod limits;
mod log;
mod proxy;

pub use limits::LimitConfig;
pub use log::LogConfig;
pub use proxy::ProxyNet;

use super::sfu::IceServer;
use super::store::Database;
use super::webhook::WebhookConfig;
use crate::base::{Error, ErrorCode, Result};
use crate::identity::{ApiKey, KeyRing};
use crate::ringing::service::ServiceSettings;
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The whole configuration of a server. Every field but the keys has a default; in a file, times are in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where HTTP and WebSocket listen. Port 0 takes a free one. Default `0.0.0.0:7880`.
    pub http: SocketAddr,
    /// Where media comes in: one UDP port. Port 0 takes a free one. Default `0.0.0.0:7882`.
    pub udp: SocketAddr,
    /// The addresses that clients are told to send media to. Default: those of the interfaces `udp` covers. Behind a
    /// one-to-one NAT this is the public address.
    pub advertised_ips: Vec<IpAddr>,
    /// STUN and TURN servers that clients are told of. Default: none; clients reach the UDP port directly.
    pub ice_servers: Vec<IceServer>,
    /// The session server that parties to a call are sent to, `wss://...`: this server as seen from outside, or a
    /// LiveKit server that has the same key. Default: the address that the client itself used.
    pub session_url: Option<String>,
    /// The API keys whose tokens are accepted. The first one mints. At least one.
    pub api_keys: Vec<ApiKeyConfig>,
    /// The SQLite file of users and calls, as a path or a `sqlite:` URL. Default `trill.db`.
    pub database: String,
    /// The proxies, as addresses or networks, whose `X-Forwarded-For` tells a client's address. Default: none; the
    /// address is that of the connection.
    pub trusted_proxies: Vec<ProxyNet>,
    pub calls: CallConfig,
    pub log: LogConfig,
    pub limits: LimitConfig,
    pub webhooks: WebhookConfig,
    /// How often a device's connection is pinged; one that misses two pings is given up. Default 10.
    #[serde(with = "seconds")]
    pub ping_interval: Duration,
    /// How long a session token is valid. It is of use only while its call is ongoing. Default 21600 (6 h).
    #[serde(with = "seconds")]
    pub session_token_ttl: Duration,
}

/// An API key: a public id, and a secret of at least 32 bytes.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyConfig {
    pub id: String,
    pub secret: String,
}

/// Time limits of calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallConfig {
    /// How long a call rings when its initiator does not say. Default 45.
    #[serde(with = "seconds")]
    pub ring_timeout: Duration,
    /// The shortest ringing that may be asked for. Default 5.
    #[serde(with = "seconds")]
    pub ring_timeout_min: Duration,
    /// The longest ringing that may be asked for. Default 180.
    #[serde(with = "seconds")]
    pub ring_timeout_max: Duration,
    /// How long the initiator's device may be gone while it rings. Default 10.
    #[serde(with = "seconds")]
    pub caller_grace: Duration,
    /// How long a device may be gone from an ongoing call. Default 60.
    #[serde(with = "seconds")]
    pub call_grace: Duration,
    /// How long one party may be alone in a session. Default 180.
    #[serde(with = "seconds")]
    pub left_alone: Duration,
    /// How long a session lives with nobody in it. Default 20.
    #[serde(with = "seconds")]
    pub empty_session: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([0, 0, 0, 0], 7880)),
            udp: SocketAddr::from(([0, 0, 0, 0], 7882)),
            advertised_ips: Vec::new(),
            ice_servers: Vec::new(),
            session_url: None,
            api_keys: Vec::new(),
            database: "trill.db".into(),
            trusted_proxies: Vec::new(),
            calls: CallConfig::default(),
            log: LogConfig::default(),
            limits: LimitConfig::default(),
            webhooks: WebhookConfig::default(),
            ping_interval: Duration::from_secs(10),
            session_token_ttl: Duration::from_secs(6 * 3600),
        }
    }
}

impl Default for CallConfig {
    fn default() -> Self {
        let service = ServiceSettings::default();
        Self {
            ring_timeout: service.ring_timeout,
            ring_timeout_min: service.ring_timeout_range.0,
            ring_timeout_max: service.ring_timeout_range.1,
            caller_grace: service.caller_grace,
            call_grace: service.call_grace,
            left_alone: Duration::from_secs(180),
            empty_session: Duration::from_secs(20),
        }
    }
}

impl ServerConfig {
    /// Errors: `configuration`, naming the field.
    pub(super) fn check(&self) -> Result<()> {
        let calls = &self.calls;
        if !(calls.ring_timeout_min..=calls.ring_timeout_max).contains(&calls.ring_timeout) {
            return Err(fault("calls.ring_timeout is not between calls.ring_timeout_min and calls.ring_timeout_max"));
        }
        if self.ping_interval < Duration::from_millis(100) {
            return Err(fault("ping_interval is under 0.1 s"));
        }
        if self.session_token_ttl < Duration::from_secs(1) {
            return Err(fault("session_token_ttl is under 1 s"));
        }
        self.webhooks.check()?;
        self.limits.check()?;
        self.log.check()?;
        if let Some(url) = &self.session_url {
            let url = url::Url::parse(url).map_err(|e| fault(format!("session_url is not a URL: {e}")))?;
            if !matches!(url.scheme(), "ws" | "wss") {
                return Err(fault("session_url must begin with ws:// or wss://"));
            }
        }
        Ok(())
    }

    /// Errors: `configuration` when there is none, or one is not valid.
    pub(super) fn keys(&self) -> Result<KeyRing> {
        let keys: Vec<ApiKey> =
            self.api_keys.iter().map(|key| ApiKey::new(&key.id, &key.secret)).collect::<Result<_>>()?;
        let mut keys = keys.into_iter();
        let mut ring = KeyRing::new(keys.next().ok_or_else(|| fault("api_keys is empty; the server needs one"))?);
        keys.for_each(|key| ring.add(key));
        Ok(ring)
    }

    /// Errors: `configuration` when it is of a kind that this version does not have.
    pub(super) fn database(&self) -> Result<Database> {
        Database::parse(&self.database)
    }

    pub(super) fn service(&self) -> ServiceSettings {
        ServiceSettings {
            ring_timeout: self.calls.ring_timeout,
            ring_timeout_range: (self.calls.ring_timeout_min, self.calls.ring_timeout_max),
            caller_grace: self.calls.caller_grace,
            call_grace: self.calls.call_grace,
            max_devices: self.limits.devices_per_user,
            max_open_calls: self.limits.open_calls_per_user,
            max_metadata: self.limits.metadata_size,
            max_participants: self.limits.participants,
        }
    }
}

impl fmt::Debug for ApiKeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyConfig").field("id", &self.id).finish_non_exhaustive()
    }
}

pub(super) fn fault(what: impl Into<String>) -> Error {
    Error::new(ErrorCode::Configuration, what)
}

/// Durations as seconds, whole or with a fraction.
pub(super) mod seconds {
    use serde::{Deserialize, Deserializer, de::Error};
    use std::time::Duration;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|d| *d <= Duration::from_secs(365 * 86_400))
            .ok_or_else(|| D::Error::custom(format!("{seconds} is not a time in seconds, from 0 to a year")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key() -> ServerConfig {
        let secret = "s".repeat(32);
        ServerConfig { api_keys: vec![ApiKeyConfig { id: "k".into(), secret }], ..ServerConfig::default() }
    }

    #[test]
    fn the_defaults_and_a_key_are_a_configuration() {
        with_key().check().unwrap();
        assert_eq!(with_key().keys().unwrap().minting().id(), "k");
    }

    #[test]
    fn a_bad_field_is_refused_by_name() {
        let no_key = ServerConfig::default().keys().unwrap_err();
        assert!(no_key.message().contains("api_keys"), "{no_key}");
        let http = ServerConfig { session_url: Some("http://x".into()), ..with_key() }.check().unwrap_err();
        assert!(http.message().contains("session_url"), "{http}");
        let groups = LimitConfig { group_size: 101, ..LimitConfig::default() };
        let groups = ServerConfig { limits: groups, ..with_key() }.check().unwrap_err();
        assert!(groups.message().contains("limits.group_size is 101"), "{groups}");
        let postgres = ServerConfig { database: "postgres://db/trill".into(), ..with_key() }.database().unwrap_err();
        assert_eq!(postgres.code(), ErrorCode::Configuration);
    }

    #[test]
    fn times_are_seconds_and_unknown_fields_are_refused() {
        let config: ServerConfig = serde_json::from_str(r#"{"calls":{"ring_timeout":7.5}}"#).unwrap();
        assert_eq!(config.calls.ring_timeout, Duration::from_millis(7500));
        assert!(serde_json::from_str::<ServerConfig>(r#"{"calls":{"ring_timout":7}}"#).is_err());
        assert!(serde_json::from_str::<ServerConfig>(r#"{"calls":{"ring_timeout":-1}}"#).is_err());
    }

    #[test]
    fn the_secret_does_not_show_in_debug_output() {
        assert!(!format!("{:?}", with_key()).contains("ssss"));
    }
}
