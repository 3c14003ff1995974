//! What the server's owner changes: users and groups that are gone take effect in their calls at once.

use super::{Output, Service};
use crate::base::{ErrorCode, GroupId, SessionId, Uid, UnixMillis};
use crate::ringing::{EndReason, ReceiverType, User};

impl Service {
    pub(super) fn user_removed(&mut self, now: UnixMillis, uid: &Uid) {
        for session in self.calls_of(uid) {
            self.put_out(now, &session, uid);
        }
        let Some(user) = self.users.get_mut(uid) else { return };
        user.profile = None;
        let connections: Vec<_> = user.devices.values_mut().filter_map(|device| device.connection.take()).collect();
        for connection in connections {
            self.connections.remove(&connection);
            self.batch.outputs.push(Output::Close { connection, error: ErrorCode::UserRemoved.into() });
        }
        self.batch.idle.insert(uid.clone());
    }

    pub(super) fn member_removed(&mut self, now: UnixMillis, guid: &GroupId, uid: &Uid) {
        for session in self.calls_of_group(guid) {
            if self.calls.get(&session).is_some_and(|entry| entry.call().participant(uid).is_some()) {
                self.put_out(now, &session, uid);
            }
        }
    }

    pub(super) fn member_added(&mut self, _now: UnixMillis, _guid: &GroupId, _user: &User) {}

    pub(super) fn group_removed(&mut self, now: UnixMillis, guid: &GroupId) {
        for session in self.calls_of_group(guid) {
            self.finish(now, &session, EndReason::Removed, None);
        }
    }

    /// A party is out of a call, whatever its part in it.
    fn put_out(&mut self, now: UnixMillis, session: &SessionId, _uid: &Uid) {
        self.finish(now, session, EndReason::Removed, None);
    }

    /// The group's calls that are not over.
    fn calls_of_group(&self, guid: &GroupId) -> Vec<SessionId> {
        let calls = self.calls.values().map(|entry| entry.call());
        calls
            .filter(|call| !call.status.is_over())
            .filter(|call| call.receiver_type == ReceiverType::Group && call.receiver.id == guid.as_str())
            .map(|call| call.session_id.clone())
            .collect()
    }
}
