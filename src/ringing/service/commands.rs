//! What devices ask for.

use super::entry::{AppliedRequest, CallRecord};
use super::{Actor, Asker, Output, Service};
use crate::base::{DeviceId, Error, ErrorCode, Result, SessionId, Uid, UnixMillis};
use crate::ringing::call::Participant;
use crate::ringing::wire::{Command, Initiate, Reject, RejectReason};
use crate::ringing::{Action, Call, CallStatus, Callee, EndReason, ParticipantState, Receiver, ReceiverType, User};
use rand::Rng;
use std::time::Duration;

impl Service {
    /// Does it once: a request that had its effect is answered with the call as it is now.
    pub(super) fn command(
        &mut self,
        now: UnixMillis,
        asker: &Asker,
        command: Command,
        receiver: Option<Callee>,
    ) -> Result<Call> {
        if let Some(call) = self.applied_before(asker, command.method())? {
            return Ok(call);
        }
        let method = command.method();
        let session = match command {
            Command::Initiate(initiate) => self.initiate(now, asker, initiate, receiver)?,
            Command::Ringing(call) => self.ringing(asker, call.session_id)?,
            Command::Accept(call) => self.accept(now, asker, call.session_id)?,
            Command::Reject(reject) => self.reject(now, asker, reject)?,
            Command::End(call) => self.end(now, asker, call.session_id)?,
        };
        if method != "ringing" {
            let (uid, device_id) = (asker.uid.clone(), asker.device.clone());
            let request = AppliedRequest { uid, device_id, id: asker.request.clone(), method: method.to_owned() };
            self.change(&session, |entry| entry.record.requests.push(request));
        }
        self.known(&session).cloned()
    }

    fn applied_before(&self, asker: &Asker, method: &str) -> Result<Option<Call>> {
        let key = (asker.uid.clone(), asker.device.clone(), asker.request.clone());
        let Some(entry) = self.applied.get(&key).and_then(|session| self.calls.get(session)) else { return Ok(None) };
        let same =
            entry.record.requests.iter().any(|r| {
                r.uid == asker.uid && r.device_id == asker.device && r.id == asker.request && r.method == method
            });
        if !same {
            let text = format!("request id {} was used for another request already", asker.request);
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        Ok(Some(entry.call().clone()))
    }

    fn initiate(
        &mut self,
        now: UnixMillis,
        asker: &Asker,
        initiate: Initiate,
        receiver: Option<Callee>,
    ) -> Result<SessionId> {
        let rings_for = self.check_initiate(&initiate)?;
        if initiate.receiver == asker.uid.as_str() {
            return Err(ErrorCode::CallingSelf.into());
        }
        let Some(Callee::User(receiver)) = receiver.filter(|callee| callee.id() == initiate.receiver) else {
            let text = format!("no user {:?} has ever logged in here", initiate.receiver);
            return Err(Error::new(ErrorCode::UserUnknown, text));
        };
        // Glare: the one I call calls me. The call that came first is the one call, and this answers it.
        if let Some(session) = self.call_from(&receiver.uid, &asker.uid) {
            return self.accept(now, asker, session);
        }
        if self.is_busy(&asker.uid, None) {
            return Err(ErrorCode::BusySelf.into());
        }
        let open = self.users.get(&receiver.uid).map_or(0, |user| user.calls.len());
        if open >= self.settings.max_open_calls {
            let text = format!("{} has {open} calls that ring or are ongoing, as many as may be", receiver.uid);
            return Err(Error::new(ErrorCode::TooManyRequests, text));
        }
        let initiator = self.profile(&asker.uid).cloned().ok_or(ErrorCode::NotLoggedIn)?;
        let call = self.new_call(now, asker, initiator, receiver, initiate);
        let (session, callee) = (call.session_id.clone(), callee_of(&call));
        // An app chooses busy (the default) or call waiting.
        let waiting_only = self.is_busy(&callee, None);
        self.add(CallRecord { call, rings_until: now + rings_for, waiting_only, requests: Vec::new() });
        self.ring_or_busy(now, &session, &callee)?;
        self.reschedule(&session);
        Ok(session)
    }

    fn check_initiate(&self, initiate: &Initiate) -> Result<Duration> {
        if initiate.receiver_type == ReceiverType::Group {
            let text = format!("there is no group {:?}", initiate.receiver);
            return Err(Error::new(ErrorCode::GroupUnknown, text));
        }
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

    fn new_call(&mut self, now: UnixMillis, asker: &Asker, initiator: User, receiver: User, ask: Initiate) -> Call {
        let session_id = loop {
            let id: u128 = self.rng.random();
            match SessionId::new(format!("{id:032x}")) {
                Ok(session) if !self.calls.contains_key(&session) => break session,
                _ => continue,
            }
        };
        let caller = Participant::new(asker.uid.clone(), Some(asker.device.clone()), ParticipantState::Accepted);
        let callee = Participant::new(receiver.uid.clone(), None, ParticipantState::Invited);
        Call {
            session_id,
            initiator,
            receiver: Receiver { id: receiver.uid.into(), name: receiver.name, avatar: receiver.avatar },
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
            participants: vec![caller, callee],
            metadata: ask.metadata,
        }
    }

    /// Rings the callee's devices; when the callee is in another call and no device takes a second one, it is busy.
    fn ring_or_busy(&mut self, now: UnixMillis, session: &SessionId, callee: &Uid) -> Result<()> {
        let entry = self.calls.get(session).ok_or(ErrorCode::CallNotFound)?;
        let (call, waiting_only) = (entry.call().clone(), entry.record.waiting_only);
        let devices = self.devices_of(callee).into_iter();
        let ringing: Vec<(Uid, DeviceId)> = devices.filter(|(uid, device)| self.rings_on(entry, uid, device)).collect();
        if ringing.is_empty() && waiting_only {
            return self.answer_no(now, session, callee, Action::Busy, None);
        }
        self.change(session, |entry| entry.rung.extend(ringing.iter().cloned()));
        self.tell(&call, ringing, Some(&Actor { uid: call.initiator.uid.clone(), device_id: None }));
        Ok(())
    }

    fn ringing(&mut self, asker: &Asker, session: SessionId) -> Result<SessionId> {
        let call = self.party_to(&session, &asker.uid)?;
        Action::Ring.from(call.status)?;
        match call.participant(&asker.uid).map(|p| p.state) {
            Some(ParticipantState::Invited) => {}
            // Not the first device that rings: nothing new.
            Some(ParticipantState::Ringing) => return Ok(session),
            _ => {
                return Err(Error::new(
                    ErrorCode::NotAllowedInState,
                    "a call rings at its callee, not at its initiator",
                ));
            }
        }
        let caller = call.participant(&call.initiator.uid).and_then(|p| Some((p.uid.clone(), p.device_id.clone()?)));
        self.change(&session, |entry| {
            if let Some(participant) = entry.record.call.participant_mut(&asker.uid) {
                participant.state = ParticipantState::Ringing;
            }
        });
        let call = self.known(&session)?.clone();
        self.tell(&call, caller, Some(&asker.actor()));
        Ok(session)
    }

    fn accept(&mut self, now: UnixMillis, asker: &Asker, session: SessionId) -> Result<SessionId> {
        let call = self.party_to(&session, &asker.uid)?;
        if call.is_initiator(&asker.uid) {
            return Err(Error::new(ErrorCode::NotAllowedInState, "the callee accepts a call, not its initiator"));
        }
        if call.status == CallStatus::Ongoing && call.has_device(&asker.uid, &asker.device) {
            return Err(ErrorCode::AlreadyJoined.into());
        }
        if call.status == CallStatus::Ongoing {
            return Err(Error::new(ErrorCode::NotAllowedInState, "the call is ongoing: another device accepted it"));
        }
        Action::Accept.from(call.status)?;
        if self.is_busy(&asker.uid, Some(&session)) {
            return Err(ErrorCode::BusySelf.into());
        }
        self.change(&session, |entry| {
            if let Some(participant) = entry.record.call.participant_mut(&asker.uid) {
                participant.state = ParticipantState::Accepted;
                participant.device_id = Some(asker.device.clone());
            }
        });
        self.act(now, &session, Action::Accept, EndReason::HungUp, Some(&asker.actor()))?;
        Ok(session)
    }

    fn reject(&mut self, now: UnixMillis, asker: &Asker, reject: Reject) -> Result<SessionId> {
        let session = reject.session_id;
        let call = self.party_to(&session, &asker.uid)?;
        let by_initiator = call.is_initiator(&asker.uid);
        let actor = asker.actor();
        match reject.reason {
            RejectReason::Cancelled if by_initiator => {
                self.act(now, &session, Action::Cancel, EndReason::Cancelled, Some(&actor))?;
            }
            RejectReason::Rejected if !by_initiator => {
                self.answer_no(now, &session, &asker.uid, Action::Reject, Some(&actor))?;
            }
            RejectReason::Busy if !by_initiator => {
                self.answer_no(now, &session, &asker.uid, Action::Busy, Some(&actor))?;
            }
            reason => {
                let who = if by_initiator { "the initiator" } else { "the callee" };
                let text = format!("{who} cannot reject with {reason}; the initiator cancels, the callee rejects");
                return Err(Error::new(ErrorCode::InvalidArgument, text));
            }
        }
        Ok(session)
    }

    /// The callee does not take the call; `by` is absent when the server says so for it.
    fn answer_no(
        &mut self,
        now: UnixMillis,
        session: &SessionId,
        callee: &Uid,
        action: Action,
        by: Option<&Actor>,
    ) -> Result<()> {
        action.from(self.known(session)?.status)?;
        let (state, reason) = match action {
            Action::Busy => (ParticipantState::Busy, EndReason::Busy),
            _ => (ParticipantState::Rejected, EndReason::Rejected),
        };
        self.change(session, |entry| {
            if let Some(participant) = entry.record.call.participant_mut(callee) {
                participant.state = state;
                participant.device_id = by.and_then(|by| by.device_id.clone());
            }
        });
        let auto = Actor { uid: callee.clone(), device_id: None };
        self.act(now, session, action, reason, Some(by.unwrap_or(&auto)))
    }

    fn end(&mut self, now: UnixMillis, asker: &Asker, session: SessionId) -> Result<SessionId> {
        self.party_to(&session, &asker.uid)?;
        self.act(now, &session, Action::End, EndReason::HungUp, Some(&asker.actor()))?;
        Ok(session)
    }

    /// Moves the call along the table and tells everyone to whom that matters.
    pub(super) fn act(
        &mut self,
        now: UnixMillis,
        session: &SessionId,
        action: Action,
        reason: EndReason,
        by: Option<&Actor>,
    ) -> Result<()> {
        let before = self.known(session)?.clone();
        // On a copy first: a refused move changes nothing.
        let mut call = before.clone();
        call.apply(action, reason, by.map(|by| &by.uid), now)?;
        let rung = self.calls.get(session).map(|entry| entry.rung.clone()).unwrap_or_default();
        self.change(session, |entry| entry.record.call = call.clone());
        self.reschedule(session);
        let dialled = call.participants.iter().filter(|p| p.is_in_call());
        let mut audience: Vec<(Uid, DeviceId)> =
            dialled.filter_map(|p| Some((p.uid.clone(), p.device_id.clone()?))).collect();
        if before.status == CallStatus::Initiated {
            audience.extend(rung);
            // Its other devices hear of the outcome too.
            if CallStatus::Cancelled != call.status {
                audience.extend(self.devices_of(&call.initiator.uid));
            }
        }
        audience.sort();
        audience.dedup();
        self.tell(&call, audience, by);
        if call.status.is_over() {
            self.batch.idle.extend(call.participants.iter().map(|p| p.uid.clone()));
            if before.status == CallStatus::Ongoing {
                self.batch.outputs.push(Output::CloseRoom { session: session.clone(), reason });
            }
        }
        Ok(())
    }

    fn known(&self, session: &SessionId) -> Result<&Call> {
        self.calls.get(session).map(|entry| entry.call()).ok_or_else(|| ErrorCode::CallNotFound.into())
    }

    fn party_to(&self, session: &SessionId, uid: &Uid) -> Result<Call> {
        let call = self.known(session)?;
        call.participant(uid).ok_or(ErrorCode::NotAParty)?;
        Ok(call.clone())
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

fn callee_of(call: &Call) -> Uid {
    call.participants.last().map_or_else(|| call.initiator.uid.clone(), |p| p.uid.clone())
}
