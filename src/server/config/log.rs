//! How long calls stay in the log.

use super::fault;
use crate::base::Result;
use serde::Deserialize;
use std::time::Duration;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Calls that ended more days ago than this are removed. Default: none, and calls stay for ever.
    pub retention_days: Option<u32>,
}

impl LogConfig {
    pub(super) fn check(&self) -> Result<()> {
        match self.retention_days {
            Some(0) => Err(fault("log.retention_days is 0; leave it out to keep calls for ever")),
            _ => Ok(()),
        }
    }

    pub(in crate::server) fn retention(&self) -> Option<Duration> {
        self.retention_days.map(|days| Duration::from_secs(u64::from(days) * 86_400))
    }
}
