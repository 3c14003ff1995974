//! What devices ask for of a call that is there.

use super::entry::AppliedRequest;
use super::{Actor, Asker, Service};
use crate::base::{DeviceId, Error, ErrorCode, RequestId, Result, SessionId, Uid, UnixMillis};
use crate::ringing::wire::{Command, Reject, RejectReason};
use crate::ringing::{Action, Call, Callee, EndReason};

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
            self.change(&session, |entry| entry.record.remember(request));
        }
        self.known(&session).cloned()
    }

    /// The call that a request of this device made or changed.
    pub(super) fn applied_as(&self, uid: &Uid, device: &DeviceId, request: &RequestId) -> Option<&Call> {
        let session = self.applied.get(&(uid.clone(), device.clone(), request.clone()))?;
        self.calls.get(session).map(|entry| entry.call())
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

    fn ringing(&mut self, asker: &Asker, session: SessionId) -> Result<SessionId> {
        // On a copy first: a second device that rings changes nothing, and nothing is stored for it.
        if self.known(&session)?.clone().ring(&asker.uid)? {
            self.step(&session, Some(&asker.actor()), |call| call.ring(&asker.uid).map(drop))?;
        }
        Ok(session)
    }

    pub(super) fn accept(&mut self, now: UnixMillis, asker: &Asker, session: SessionId) -> Result<SessionId> {
        self.known(&session)?.clone().accept(&asker.uid, &asker.device, now)?;
        if self.is_busy(&asker.uid, Some(&session)) {
            return Err(ErrorCode::BusySelf.into());
        }
        if self.calls.get(&session).is_some_and(|entry| entry.record.removed.contains(&asker.uid)) {
            return Err(Error::new(ErrorCode::NotAMember, "you are not a member of the called group any more"));
        }
        self.step(&session, Some(&asker.actor()), |call| call.accept(&asker.uid, &asker.device, now))?;
        Ok(session)
    }

    fn reject(&mut self, now: UnixMillis, asker: &Asker, reject: Reject) -> Result<SessionId> {
        let session = reject.session_id;
        let call = self.known(&session)?;
        call.participant(&asker.uid).ok_or(ErrorCode::NotAParty)?;
        let by_initiator = call.is_initiator(&asker.uid);
        let action = match reject.reason {
            RejectReason::Cancelled if by_initiator => Action::Cancel,
            RejectReason::Rejected if !by_initiator => Action::Reject,
            RejectReason::Busy if !by_initiator => Action::Busy,
            reason => {
                let who = if by_initiator { "the initiator" } else { "the callee" };
                let text = format!("{who} cannot reject with {reason}; the initiator cancels, the callee rejects");
                return Err(Error::new(ErrorCode::InvalidArgument, text));
            }
        };
        let (uid, device) = (&asker.uid, Some(&asker.device));
        self.step(&session, Some(&asker.actor()), |call| match action {
            Action::Cancel => call.over(action, EndReason::Cancelled, Some(uid), now),
            _ => call.refuse(uid, device, action, now),
        })?;
        Ok(session)
    }

    fn end(&mut self, now: UnixMillis, asker: &Asker, session: SessionId) -> Result<SessionId> {
        let call = self.known(&session)?;
        call.participant(&asker.uid).ok_or(ErrorCode::NotAParty)?;
        let reason = if call.is_for_group() { EndReason::EveryoneLeft } else { EndReason::HungUp };
        self.step(&session, Some(&asker.actor()), |call| {
            Action::End.from(call.receiver_type, call.status)?;
            call.leave(&asker.uid, reason, now)
        })?;
        Ok(session)
    }

    /// One change of a call: made on a copy, so that a refused one changes nothing, kept, and told to everyone to whom
    /// it matters.
    pub(super) fn step(
        &mut self,
        session: &SessionId,
        by: Option<&Actor>,
        change: impl FnOnce(&mut Call) -> Result<()>,
    ) -> Result<()> {
        let before = self.known(session)?.clone();
        let mut call = before.clone();
        change(&mut call)?;
        call.revision += 1;
        self.change(session, |entry| entry.record.call = call.clone());
        self.reschedule(session);
        self.announce(&before, &call, by);
        self.settle(&before, &call);
        Ok(())
    }

    pub(super) fn known(&self, session: &SessionId) -> Result<&Call> {
        self.calls.get(session).map(|entry| entry.call()).ok_or_else(|| ErrorCode::CallNotFound.into())
    }
}
