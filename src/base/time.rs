//! Wall-clock time as the durable and the wire formats hold it.
//!
//! Pure code never reads a clock: it is handed a `UnixMillis` (wall clock, for what is stored or sent) or a
//! [`std::time::Instant`] (monotonic, for what happens within one process).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The machine's clock. For drivers only: the pure layers may not call it (clippy holds them to that).
    pub fn now() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one place where wall-clock time enters")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_millis() as u64)
    }

    pub fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Whole seconds, as JWT claims hold them.
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Zero when `earlier` is later: clocks jump.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for UnixMillis {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.as_millis() as u64))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
