//! What a batch changed, for those outside who are told of calls; and whom only a push can reach.

use super::{ParticipantState, Service};
use crate::base::Uid;
use crate::ringing::Call;
use crate::ringing::webhook::CallChange;
use std::collections::BTreeSet;

impl Service {
    /// What this batch made of each call that it changed. To be stored together with [`Service::unsaved`]; there may be
    /// changes without it: a callee that lost its last device, and needs a push to hear of a call.
    pub fn changes(&self) -> Vec<CallChange<'_>> {
        let changed = self.batch.before.iter().filter_map(|(session, before)| {
            let (entry, before) = (self.calls.get(session)?, before.as_ref());
            let woken_before = before.map(|before| &before.woken);
            let new = |uid: &&Uid| woken_before.is_none_or(|before| !before.contains(*uid));
            let unreached: Vec<Uid> =
                entry.woken.iter().filter(new).filter(|uid| entry.call().rings_for(uid)).cloned().collect();
            let told = !unreached.is_empty() || self.batch.unsaved.contains(session);
            told.then(|| CallChange {
                before: before.map(|before| before.call()),
                after: entry.call(),
                rings_until: entry.record.rings_until,
                unreached,
            })
        });
        changed.collect()
    }

    /// The callees of a new call that have no connected device.
    pub(super) fn unreached(&self, call: &Call) -> BTreeSet<Uid> {
        let invited = call.participants.iter().filter(|p| p.state == ParticipantState::Invited);
        invited.filter(|p| !self.is_connected(&p.uid)).map(|p| p.uid.clone()).collect()
    }

    /// A device of the user is gone. When it was the last one, a push is to go on with what rings there: an app that
    /// its system put to sleep is noticed only when it does not answer pings. Once for each call.
    pub(super) fn wake_for_calls(&mut self, uid: &Uid) {
        if self.is_connected(uid) {
            return;
        }
        for session in self.calls_of(uid) {
            if self.calls.get(&session).is_some_and(|entry| entry.call().rings_for(uid)) {
                self.touch(&session);
                if let Some(entry) = self.calls.get_mut(&session) {
                    entry.woken.insert(uid.clone());
                }
            }
        }
    }

    fn is_connected(&self, uid: &Uid) -> bool {
        self.users.get(uid).is_some_and(|user| user.devices.values().any(|device| device.connection.is_some()))
    }
}
