//! What the server's owner changes: users, groups and members that come or go take effect in their calls at once.

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
            self.put_out(now, &session, uid);
        }
    }

    pub(super) fn member_added(&mut self, now: UnixMillis, guid: &GroupId, user: &User) {
        for session in self.calls_of_group(guid) {
            let Some(entry) = self.calls.get(&session) else { continue };
            let (rings, is_full) =
                (now < entry.record.rings_until, entry.call().participants.len() >= self.settings.max_participants);
            if entry.call().participant(&user.uid).is_some() {
                self.change(&session, |entry| entry.record.removed.retain(|uid| *uid != user.uid));
                continue;
            }
            if is_full {
                tracing::warn!(%session, uid = %user.uid, "the group's call is full: its new member cannot join it");
                continue;
            }
            let invited = self.step(&session, None, |call| {
                call.invite(user, rings);
                Ok(())
            });
            if let Err(error) = invited.and_then(|()| match rings {
                true => self.ring_or_busy(now, &session, &user.uid),
                false => Ok(()),
            }) {
                tracing::error!(%session, %error, "a new member of the group was not invited to its call");
            }
        }
    }

    pub(super) fn group_removed(&mut self, now: UnixMillis, guid: &GroupId) {
        for session in self.calls_of_group(guid) {
            self.finish(now, &session, EndReason::Removed, None);
        }
    }

    /// A party is out of a call, whatever its part in it, and cannot come back.
    fn put_out(&mut self, now: UnixMillis, session: &SessionId, uid: &Uid) {
        if self.known(session).is_ok_and(|call| call.participant(uid).is_none()) {
            return;
        }
        self.change(session, |entry| entry.record.removed.push(uid.clone()));
        if let Err(error) = self.step(session, None, |call| call.put_out(uid, now)) {
            tracing::error!(%session, %uid, %error, "a removed user is still in a call");
        }
    }

    /// The group's calls that are not over.
    fn calls_of_group(&self, guid: &GroupId) -> Vec<SessionId> {
        let calls = self.calls.values().map(|entry| entry.call());
        let mut sessions: Vec<SessionId> = calls
            .filter(|call| !call.status.is_over())
            .filter(|call| call.receiver_type == ReceiverType::Group && call.receiver.id == guid.as_str())
            .map(|call| call.session_id.clone())
            .collect();
        // A seed is to mean one run, and the map's order is not part of it.
        sessions.sort();
        sessions
    }
}
