//! Who is told what: each device what a change means to it, and the session server who is out.

use super::{Actor, Output, Service};
use crate::base::{DeviceId, SessionId, Uid};
use crate::ringing::wire::ServerMessage;
use crate::ringing::{Call, CallEvent, CallEventKind, CallStatus};

impl Service {
    /// Tells each device what became of a call, if that is news to it.
    pub(super) fn announce(&mut self, before: &Call, call: &Call, by: Option<&Actor>) {
        let parties = call.participants.iter();
        let devices: Vec<(Uid, DeviceId)> = parties.flat_map(|party| self.devices_of(&party.uid)).collect();
        for (uid, device) in devices {
            for (kind, actor) in CallEventKind::news(&uid, &device, Some(before), call) {
                if self.is_for(kind, &uid, &device, before, call) {
                    self.tell(&uid, &device, kind, call, actor.as_ref().or(by));
                }
            }
        }
    }

    /// Begins to ring on each device of `callee` on which the call is to ring.
    pub(super) fn ring_at(&mut self, session: &SessionId, callee: &Uid) {
        let Some(entry) = self.calls.get(session) else { return };
        let devices = self.devices_of(callee).into_iter();
        let ringing: Vec<(Uid, DeviceId)> = devices.filter(|(uid, device)| self.rings_on(entry, uid, device)).collect();
        let call = entry.call().clone();
        let by = Actor { uid: call.initiator.uid.clone(), device_id: None };
        self.touch(session);
        if let Some(entry) = self.calls.get_mut(session) {
            entry.rung.extend(ringing.iter().cloned());
        }
        for (uid, device) in ringing {
            self.tell(&uid, &device, CallEventKind::IncomingReceived, &call, Some(&by));
        }
    }

    /// What follows from a change outside of ringing.
    pub(super) fn settle(&mut self, before: &Call, call: &Call) {
        let session = &call.session_id;
        if call.status.is_over() {
            self.batch.idle.extend(call.participants.iter().map(|p| p.uid.clone()));
            if let (CallStatus::Ongoing, Some(reason)) = (before.status, call.end_reason) {
                self.batch.outputs.push(Output::CloseRoom { session: session.clone(), reason });
            }
            return;
        }
        let out = before.participants.iter().filter(|p| p.is_in_call());
        let out: Vec<Uid> = out
            .filter(|p| call.participant(&p.uid).is_none_or(|now| !now.is_in_call()))
            .map(|p| p.uid.clone())
            .collect();
        for uid in out {
            self.batch.idle.insert(uid.clone());
            self.change(session, |entry| {
                entry.in_room.remove(&uid);
            });
            self.batch.outputs.push(Output::LeaveRoom { session: session.clone(), uid });
        }
    }

    /// Whether a device is among those to whom news of that kind goes.
    fn is_for(&mut self, kind: CallEventKind, uid: &Uid, device: &DeviceId, before: &Call, call: &Call) -> bool {
        match kind {
            // [`Self::ring_at`] tells these.
            CallEventKind::IncomingReceived => false,
            CallEventKind::OutgoingRinging | CallEventKind::Ended => {
                call.has_device(uid, device) || before.has_device(uid, device)
            }
            CallEventKind::OutgoingAccepted
            | CallEventKind::OutgoingRejected
            | CallEventKind::OutgoingBusy
            | CallEventKind::OutgoingUnanswered => true,
            CallEventKind::IncomingCancelled | CallEventKind::AnsweredElsewhere | CallEventKind::RejectedElsewhere => {
                self.touch(&call.session_id);
                let entry = self.calls.get_mut(&call.session_id);
                entry.is_some_and(|entry| entry.rung.remove(&(uid.clone(), device.clone())))
            }
        }
    }

    fn tell(&mut self, uid: &Uid, device: &DeviceId, kind: CallEventKind, call: &Call, by: Option<&Actor>) {
        // Who asks for it learns it from the answer.
        if self.batch.asking.as_ref().is_some_and(|(asking, on)| asking == uid && on == device) {
            return;
        }
        let Some(connection) = self.connection_of(uid, device) else { return };
        let event = CallEvent { kind, call: call.clone(), by: by.cloned() };
        self.send(connection, ServerMessage::Event(event));
    }
}
