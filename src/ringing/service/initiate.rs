//! How a call begins: who is asked for, who rings, and who is busy.

use super::entry::CallRecord;
use super::{Actor, Asker, Service};
use crate::base::{Error, ErrorCode, Result, SessionId, Uid, UnixMillis};
use crate::ringing::call::Participant;
use crate::ringing::wire::Initiate;
use crate::ringing::{Action, Call, CallStatus, Callee, ParticipantState, Receiver, ReceiverType, User};
use rand::Rng;
use std::time::Duration;

impl Service {
    pub(super) fn initiate(
        &mut self,
        now: UnixMillis,
        asker: &Asker,
        initiate: Initiate,
        receiver: Option<Callee>,
    ) -> Result<SessionId> {
        let rings_for = self.check(&initiate)?;
        let is_user = initiate.receiver_type == ReceiverType::User;
        if is_user && initiate.receiver == asker.uid.as_str() {
            return Err(ErrorCode::CallingSelf.into());
        }
        let receiver = receiver.filter(|callee| callee.id() == initiate.receiver);
        let (receiver, callees) = match receiver {
            Some(Callee::User(user)) if is_user => {
                // Glare: the one I call calls me. The call that came first is the one call, and this answers it.
                if let Some(session) = self.call_from(&user.uid, &asker.uid) {
                    return self.accept(now, asker, session);
                }
                let open = self.calls_of(&user.uid).len();
                if open >= self.settings.max_open_calls {
                    let text = format!("{} has {open} calls that ring or are ongoing, as many as may be", user.uid);
                    return Err(Error::new(ErrorCode::TooManyRequests, text));
                }
                let shown = Receiver { id: user.uid.to_string(), name: user.name.clone(), avatar: user.avatar.clone() };
                (shown, vec![user])
            }
            Some(Callee::Group { group, members }) if !is_user => {
                let shown = Receiver { id: group.guid.into(), name: Some(group.name), avatar: group.avatar };
                (shown, self.others(&asker.uid, members)?)
            }
            _ if is_user => {
                let text = format!("no user {:?} has ever logged in here", initiate.receiver);
                return Err(Error::new(ErrorCode::UserUnknown, text));
            }
            _ => {
                let text = format!("there is no group {:?}", initiate.receiver);
                return Err(Error::new(ErrorCode::GroupUnknown, text));
            }
        };
        if self.is_busy(&asker.uid, None) {
            return Err(ErrorCode::BusySelf.into());
        }
        let initiator = self.profile(&asker.uid).cloned().ok_or(ErrorCode::NotLoggedIn)?;
        let call = self.new_call(now, asker, initiator, receiver, &callees, initiate);
        let session = call.session_id.clone();
        self.add(CallRecord::new(call, now + rings_for));
        for callee in &callees {
            self.ring_or_busy(now, &session, &callee.uid)?;
        }
        self.reschedule(&session);
        Ok(session)
    }

    /// Rings the devices of `callee`. In another call it is busy, unless a device takes a second one: an app chooses
    /// busy (the default) or call waiting.
    pub(super) fn ring_or_busy(&mut self, now: UnixMillis, session: &SessionId, callee: &Uid) -> Result<()> {
        let in_a_call = self.is_busy(callee, Some(session));
        if in_a_call {
            self.change(session, |entry| entry.record.call_waiting.push(callee.clone()));
        }
        let ringing_calls = self.calls_of(callee).iter().filter(|other| *other != session).count();
        let entry = self.calls.get(session).ok_or(ErrorCode::CallNotFound)?;
        let waits = self.devices_of(callee).iter().any(|(uid, device)| self.rings_on(entry, uid, device));
        if (in_a_call && !waits) || ringing_calls >= self.settings.max_open_calls {
            let auto = Actor { uid: callee.clone(), device_id: None };
            // Of a group whose other members were busy before it, this may be the last one.
            return self.step(session, Some(&auto), |call| call.refuse(callee, None, Action::Busy, now));
        }
        self.ring_at(session, callee);
        Ok(())
    }

    /// The members of a group whom `initiator` calls. Errors: `not_a_member`, `empty_group`, `too_large`.
    fn others(&self, initiator: &Uid, mut members: Vec<User>) -> Result<Vec<User>> {
        let (all, max) = (members.len(), self.settings.max_participants);
        members.retain(|member| member.uid != *initiator);
        if members.len() == all {
            return Err(ErrorCode::NotAMember.into());
        }
        if members.is_empty() {
            return Err(ErrorCode::EmptyGroup.into());
        }
        if all > max {
            let text = format!("the group has {all} members; a call takes {max} at the most");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        Ok(members)
    }

    fn check(&self, initiate: &Initiate) -> Result<Duration> {
        let metadata = initiate.metadata.as_ref().map_or(0, |value| value.to_string().len());
        let most = self.settings.max_metadata;
        if metadata > most {
            let text = format!("the metadata has {metadata} bytes of JSON; {most} are the most");
            return Err(Error::new(ErrorCode::TooLarge, text));
        }
        let (min, max) = self.settings.ring_timeout_range;
        match initiate.timeout.map(|secs| Duration::from_secs(secs.into())) {
            None => Ok(self.settings.ring_timeout),
            Some(timeout) if (min..=max).contains(&timeout) => Ok(timeout),
            Some(timeout) => Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "the timeout is {} s; it must be from {} to {}",
                    timeout.as_secs(),
                    min.as_secs_f32(),
                    max.as_secs_f32()
                ),
            )),
        }
    }

    fn new_call(
        &mut self,
        now: UnixMillis,
        asker: &Asker,
        initiator: User,
        receiver: Receiver,
        callees: &[User],
        ask: Initiate,
    ) -> Call {
        let session_id = loop {
            let id: u128 = self.rng.random();
            match SessionId::new(format!("{id:032x}")) {
                Ok(session) if !self.calls.contains_key(&session) => break session,
                _ => continue,
            }
        };
        let caller = Participant::new(asker.uid.clone(), Some(asker.device.clone()), ParticipantState::Accepted);
        let invited = |user: &User| Participant::new(user.uid.clone(), None, ParticipantState::Invited);
        Call {
            session_id,
            revision: 1,
            initiator: User { metadata: None, ..initiator },
            receiver,
            receiver_type: ask.receiver_type,
            call_type: ask.call_type,
            category: ask.category,
            status: CallStatus::Initiated,
            initiated_at: now,
            started_at: None,
            ended_at: None,
            ended_by: None,
            end_reason: None,
            duration_ms: 0,
            participants: std::iter::once(caller).chain(callees.iter().map(invited)).collect(),
            metadata: ask.metadata,
        }
    }

    /// A call that rings from one user to another.
    fn call_from(&self, initiator: &Uid, callee: &Uid) -> Option<SessionId> {
        self.calls_of(callee).into_iter().find(|session| {
            self.calls.get(session).map(|entry| entry.call()).is_some_and(|call| {
                call.status == CallStatus::Initiated
                    && call.is_initiator(initiator)
                    && call.receiver_type == ReceiverType::User
            })
        })
    }
}
