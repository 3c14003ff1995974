//! What outsiders may make the server hold or do.

use super::{fault, seconds};
use crate::base::Result;
use serde::Deserialize;
use std::time::Duration;

/// Sizes are in bytes. A rate allows five seconds' worth at once; 0 is no limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Devices connected for ringing at a time. Default 10000.
    pub connections: usize,
    /// Devices of one user logged in at a time. Default 16.
    pub devices_per_user: usize,
    /// Calls of one user that ring or are ongoing at a time. Default 16.
    pub open_calls_per_user: usize,
    /// Members of one group, `participants` at most: all of them may be in its call. Default 100.
    pub group_size: usize,
    /// Participants in one session. Default 100.
    pub participants: usize,
    /// A message of a device over the ringing WebSocket. Default 65536.
    pub message_size: usize,
    /// The body of an HTTP request. Default 262144.
    pub body_size: usize,
    /// The metadata of a call, a user or a group, as JSON. Default 4096.
    pub metadata_size: usize,
    /// Requests a second of one device. Default 20.
    pub requests_per_second: u32,
    /// Requests a second of one user: of all its devices, and over HTTP. Default 50.
    pub user_requests_per_second: u32,
    /// HTTP requests a second from one address, or one IPv6 network of 64 bits. Default 200.
    pub address_requests_per_second: u32,
    /// Openings of a WebSocket, for ringing or a session, a second from one address. Default 50.
    pub address_logins_per_second: u32,
    /// How long a client may take for the head of a request; also how long a connection may idle. Default 30.
    #[serde(with = "seconds")]
    pub header_timeout: Duration,
    /// How long a request may take, its body included. Default 30.
    #[serde(with = "seconds")]
    pub request_timeout: Duration,
    /// How long a device, or another client over HTTP, may take nothing of what is sent to it before it is dropped. Default 10.
    #[serde(with = "seconds")]
    pub write_timeout: Duration,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            connections: 10_000,
            devices_per_user: 16,
            open_calls_per_user: 16,
            group_size: 100,
            participants: 100,
            message_size: 64 * 1024,
            body_size: 256 * 1024,
            metadata_size: 4 * 1024,
            requests_per_second: 20,
            user_requests_per_second: 50,
            address_requests_per_second: 200,
            address_logins_per_second: 50,
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
        }
    }
}

impl LimitConfig {
    pub(super) fn check(&self) -> Result<()> {
        let counts = [
            ("connections", self.connections),
            ("devices_per_user", self.devices_per_user),
            ("open_calls_per_user", self.open_calls_per_user),
            ("group_size", self.group_size),
            ("participants", self.participants),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(fault(format!("limits.{name} is 0")));
        }
        if self.group_size > self.participants {
            let text = format!(
                "limits.group_size is {} and limits.participants is {}: a group so large could not be called; lower the \
                 one or raise the other",
                self.group_size, self.participants
            );
            return Err(fault(text));
        }
        // Below, the protocol's own messages do not fit; above, one client could have too much memory.
        let sizes = [("message_size", self.message_size), ("body_size", self.body_size)];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| !(4096..=16 << 20).contains(size)) {
            return Err(fault(format!("limits.{name} is {size}; it must be from 4096 to 16777216 bytes")));
        }
        if self.metadata_size > self.message_size.min(self.body_size) {
            return Err(fault("limits.metadata_size is over limits.message_size or limits.body_size"));
        }
        let times = [
            ("header_timeout", self.header_timeout),
            ("request_timeout", self.request_timeout),
            ("write_timeout", self.write_timeout),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| *time < Duration::from_millis(100)) {
            return Err(fault(format!("limits.{name} is under 0.1 s")));
        }
        Ok(())
    }
}
