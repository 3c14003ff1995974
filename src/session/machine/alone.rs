//! How long we may be the only one in the session.
//!
//! Alone is alone: whether the others have left or nobody has come yet, as the server counts it for calls. Who is there is
//! not known while the connection is broken; once it is restored the time begins anew.

use super::{Phase, SessionMachine};
use crate::session::SessionEndReason;
use std::time::Instant;

impl SessionMachine {
    /// To be called after whatever may have changed who is there, and when time has passed.
    pub(super) fn watch_company(&mut self, now: Instant) {
        let alone = matches!(self.phase, Phase::Active { .. }) && self.roster.others().next().is_none();
        self.alone_since = alone.then(|| self.alone_since.unwrap_or(now));
        if self.alone_deadline().is_some_and(|deadline| deadline <= now) {
            self.end(SessionEndReason::LeftAlone, None);
        }
    }

    pub(super) fn alone_deadline(&self) -> Option<Instant> {
        Some(self.alone_since? + self.settings.left_alone_timeout?)
    }
}
