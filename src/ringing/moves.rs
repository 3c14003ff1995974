//! What each move does to a call. Every one of them moves along the table, or fails and changes nothing that is kept:
//! the machine makes it on a copy.

use super::call::{Call, CallStatus, EndReason, Participant, ParticipantState, User};
use super::transition::Action;
use crate::base::{DeviceId, Error, ErrorCode, Result, Uid, UnixMillis};

impl Call {
    /// A device of `uid` rings. False when one did already: nothing new.
    pub(super) fn ring(&mut self, uid: &Uid) -> Result<bool> {
        self.step(Action::Ring)?;
        let participant = self.party(uid)?;
        match participant.state {
            ParticipantState::Invited => {
                participant.state = ParticipantState::Ringing;
                Ok(true)
            }
            ParticipantState::Ringing => Ok(false),
            _ => Err(not_allowed("it does not ring for this user")),
        }
    }

    /// `uid` takes the call on `device`: answers it, or, of a group's, joins it or comes back to it.
    pub(super) fn accept(&mut self, uid: &Uid, device: &DeviceId, now: UnixMillis) -> Result<()> {
        let (dials, here) = (self.is_initiator(uid), self.has_device(uid, device));
        let in_call = self.party(uid)?.is_in_call();
        if dials && (in_call || !self.is_for_group()) {
            return Err(not_allowed("the callee accepts a call, not its initiator"));
        }
        if self.status == CallStatus::Ongoing && in_call {
            return match here {
                true => Err(ErrorCode::AlreadyJoined.into()),
                false => Err(not_allowed("the call is ongoing: another device accepted it")),
            };
        }
        self.step(Action::Accept)?;
        self.started_at.get_or_insert(now);
        let participant = self.party(uid)?;
        participant.state = ParticipantState::Accepted;
        participant.device_id = Some(device.clone());
        Ok(())
    }

    /// `uid` does not take the call: [`Action::Reject`] or [`Action::Busy`]. A group's call goes on without it, until
    /// nobody is left who may answer. `device` is absent when the server says so for it.
    pub(super) fn refuse(
        &mut self,
        uid: &Uid,
        device: Option<&DeviceId>,
        action: Action,
        now: UnixMillis,
    ) -> Result<()> {
        action.from(self.receiver_type, self.status)?;
        let group = self.is_for_group();
        let participant = self.party(uid)?;
        if group && !participant.is_rung() {
            let text = format!("the call does not ring for {uid} any more: {}", participant.state);
            return Err(Error::new(ErrorCode::NotAllowedInState, text));
        }
        let (state, reason) = match action {
            Action::Busy => (ParticipantState::Busy, EndReason::Busy),
            _ => (ParticipantState::Rejected, EndReason::Rejected),
        };
        participant.state = state;
        participant.device_id = device.cloned();
        if !group {
            return self.over(action, reason, Some(uid), now);
        }
        self.step(action)?;
        self.end_if_refused(now, Some(uid))
    }

    /// `uid` is in the call no more. Between two users that ends it, and so does the last one in a group's.
    pub(super) fn leave(&mut self, uid: &Uid, reason: EndReason, now: UnixMillis) -> Result<()> {
        let last = !self.participants.iter().any(|p| p.uid != *uid && p.is_in_call());
        if !self.is_for_group() || last {
            // Who was removed has not done it.
            let by = (reason != EndReason::Removed).then_some(uid);
            return self.over(Action::End, reason, by, now);
        }
        self.step(Action::Leave)?;
        let participant = self.party(uid)?;
        if !participant.is_in_call() {
            return Err(not_allowed("you are not in the call; it goes on without you"));
        }
        participant.left_at = participant.joined.then_some(now);
        participant.state = ParticipantState::Left;
        participant.device_id = None;
        Ok(())
    }

    /// It has rung for long enough: over when nobody is in it; otherwise who still rings has missed it.
    pub(super) fn time_out(&mut self, now: UnixMillis) -> Result<()> {
        if Action::TimeOut.from(self.receiver_type, self.status)?.is_over() {
            return self.over(Action::TimeOut, EndReason::Unanswered, None, now);
        }
        self.stop_ringing();
        Ok(())
    }

    /// `uid` is no user or no member any more: out of the call, whatever its part in it.
    pub(super) fn put_out(&mut self, uid: &Uid, now: UnixMillis) -> Result<()> {
        let decides = !self.is_for_group() || (self.is_initiator(uid) && self.status == CallStatus::Initiated);
        if decides {
            return self.over(Action::Fail, EndReason::Removed, None, now);
        }
        let participant = self.party(uid)?;
        if participant.is_in_call() {
            return self.leave(uid, EndReason::Removed, now);
        }
        if participant.is_rung() {
            participant.state = ParticipantState::Missed;
            return self.end_if_refused(now, None);
        }
        Ok(())
    }

    /// `user` is a member of the called group now. `rings`: not for too long yet.
    pub(super) fn invite(&mut self, user: &User, rings: bool) {
        let state = if rings { ParticipantState::Invited } else { ParticipantState::Missed };
        self.participants.push(Participant::new(user.uid.clone(), None, state));
    }

    /// Moves the call to its end.
    ///
    /// `reason` and `by` are kept with it. Those for whom it still rings have missed it.
    pub(super) fn over(&mut self, action: Action, reason: EndReason, by: Option<&Uid>, now: UnixMillis) -> Result<()> {
        self.step(action)?;
        self.ended_at = Some(now);
        self.ended_by = by.cloned();
        self.end_reason = Some(reason);
        self.duration_ms = self.started_at.map_or(0, |start| now.since(start).as_millis() as u64);
        self.stop_ringing();
        Ok(())
    }

    /// A group's call that nobody took and nobody can answer any more is over.
    fn end_if_refused(&mut self, now: UnixMillis, by: Option<&Uid>) -> Result<()> {
        if self.status != CallStatus::Initiated || self.participants.iter().any(Participant::is_rung) {
            return Ok(());
        }
        let is = |state| self.participants.iter().any(|p| p.state == state);
        let (action, reason) = if is(ParticipantState::Rejected) {
            (Action::AllRejected, EndReason::Rejected)
        } else if is(ParticipantState::Busy) {
            (Action::AllBusy, EndReason::Busy)
        } else {
            (Action::Fail, EndReason::Removed)
        };
        self.over(action, reason, by, now)
    }

    fn stop_ringing(&mut self) {
        for participant in self.participants.iter_mut().filter(|p| p.is_rung()) {
            participant.state = ParticipantState::Missed;
        }
    }

    /// Errors, each naming both states: `already_ended`, `not_allowed_in_state`.
    fn step(&mut self, action: Action) -> Result<()> {
        self.status = action.from(self.receiver_type, self.status)?;
        Ok(())
    }

    /// Errors: `not_a_party`.
    fn party(&mut self, uid: &Uid) -> Result<&mut Participant> {
        self.participant_mut(uid).ok_or_else(|| ErrorCode::NotAParty.into())
    }
}

fn not_allowed(text: &str) -> Error {
    Error::new(ErrorCode::NotAllowedInState, text)
}
