//! The calls in memory: how they are kept, indexed, changed and put back.

use super::{CallStatus, Service};
use crate::base::{DeviceId, RequestId, SessionId, Uid, UnixMillis};
use crate::ringing::Call;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is stored of a call: all that a restarted server needs to go on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    pub call: Call,
    /// When it becomes unanswered.
    pub rings_until: UnixMillis,
    /// Callees who were in another call when it came: only devices with call waiting ring, and no others later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub call_waiting: Vec<Uid>,
    /// Who was removed from the called group, or as a user: they cannot join it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Uid>,
    /// The requests that made and changed it.
    pub requests: Vec<AppliedRequest>,
}

/// A device sends again what was not answered; so many of its latest requests are remembered. A group's call may last
/// for days, and its members come and go.
const REQUESTS_OF_A_DEVICE: usize = 16;

impl CallRecord {
    pub(super) fn new(call: Call, rings_until: UnixMillis) -> Self {
        Self { call, rings_until, call_waiting: Vec::new(), removed: Vec::new(), requests: Vec::new() }
    }

    pub(super) fn remember(&mut self, request: AppliedRequest) {
        let of_device = |r: &AppliedRequest| r.uid == request.uid && r.device_id == request.device_id;
        if self.requests.iter().filter(|r| of_device(r)).count() >= REQUESTS_OF_A_DEVICE
            && let Some(oldest) = self.requests.iter().position(of_device)
        {
            self.requests.remove(oldest);
        }
        self.requests.push(request);
    }
}

/// A request that had its effect. Sent again, it has none, and the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedRequest {
    pub uid: Uid,
    pub device_id: DeviceId,
    pub id: RequestId,
    pub method: String,
}

/// A call in memory.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) record: CallRecord,
    /// The devices that were told to ring: each of them is told when to stop.
    pub(super) rung: BTreeSet<(Uid, DeviceId)>,
    /// Who is in the session now.
    pub(super) in_room: BTreeSet<Uid>,
    /// The callees that have no connected device and are to be woken by a push, once.
    pub(super) woken: BTreeSet<Uid>,
}

impl Entry {
    pub(super) fn new(record: CallRecord) -> Self {
        Self { record, rung: BTreeSet::new(), in_room: BTreeSet::new(), woken: BTreeSet::new() }
    }

    pub(super) fn call(&self) -> &Call {
        &self.record.call
    }
}

impl Service {
    /// Keeps the call as it is now for a rollback, once for each batch.
    pub(super) fn touch(&mut self, session: &SessionId) {
        if !self.batch.before.contains_key(session) {
            self.batch.before.insert(session.clone(), self.calls.get(session).cloned());
        }
    }

    /// Changes the record of a call; it is to be saved.
    pub(super) fn change(&mut self, session: &SessionId, change: impl FnOnce(&mut Entry)) {
        self.touch(session);
        if let Some(mut entry) = self.take(session) {
            change(&mut entry);
            self.put(entry);
            self.batch.unsaved.insert(session.clone());
        }
    }

    /// A new call, to be saved.
    pub(super) fn add(&mut self, record: CallRecord) {
        let session = record.call.session_id.clone();
        self.touch(&session);
        let woken = self.unreached(&record.call);
        self.put(Entry { woken, ..Entry::new(record) });
        self.batch.unsaved.insert(session);
    }

    /// Into all indexes.
    pub(super) fn put(&mut self, entry: Entry) {
        let session = entry.call().session_id.clone();
        for request in &entry.record.requests {
            let key = (request.uid.clone(), request.device_id.clone(), request.id.clone());
            self.applied.insert(key, session.clone());
        }
        if !entry.call().status.is_over() {
            self.active += 1;
            for participant in &entry.record.call.participants {
                self.users.entry(participant.uid.clone()).or_default().calls.insert(session.clone());
            }
        }
        self.calls.insert(session, entry);
    }

    /// Out of all indexes but that of the timers, which [`Service::reschedule`] brings up to date.
    pub(super) fn take(&mut self, session: &SessionId) -> Option<Entry> {
        let entry = self.calls.remove(session)?;
        self.active -= usize::from(!entry.call().status.is_over());
        for request in &entry.record.requests {
            self.applied.remove(&(request.uid.clone(), request.device_id.clone(), request.id.clone()));
        }
        for participant in &entry.record.call.participants {
            if let Some(user) = self.users.get_mut(&participant.uid) {
                user.calls.remove(session);
            }
        }
        Some(entry)
    }

    /// Lets go of devices that are gone and in no call, and of users of whom nothing is left.
    pub(super) fn forget_idle(&mut self, uid: &Uid) {
        let Some(user) = self.users.get(uid) else { return };
        let needed: BTreeSet<DeviceId> = user
            .calls
            .iter()
            .filter_map(|session| self.calls.get(session))
            .filter(|entry| matches!(entry.call().status, CallStatus::Initiated | CallStatus::Ongoing))
            .filter_map(|entry| entry.call().participant(uid))
            .filter(|participant| participant.is_in_call())
            .filter_map(|participant| participant.device_id.clone())
            .collect();
        let Some(user) = self.users.get_mut(uid) else { return };
        user.devices.retain(|id, device| device.connection.is_some() || needed.contains(id));
        if user.devices.is_empty() && user.calls.is_empty() {
            self.users.remove(uid);
        }
    }
}
