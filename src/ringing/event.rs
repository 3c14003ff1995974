//! What an app is told about a call.

use super::call::{Call, CallStatus, Participant, ParticipantState, named};
use crate::base::{DeviceId, Uid};
use serde::{Deserialize, Serialize};

named! {
    /// What happened, from the point of view of the device that is told.
    CallEventKind {
        /// Somebody calls this user: ring.
        IncomingReceived = "incoming_received",
        /// A first device of the callee rings.
        OutgoingRinging = "outgoing_ringing",
        /// The callee accepted: join the session. A call to a group has one for each member that comes in.
        OutgoingAccepted = "outgoing_accepted",
        /// The callee rejected. A member of a group did when the call is not over.
        OutgoingRejected = "outgoing_rejected",
        /// The callee is busy. A member of a group is when the call is not over.
        OutgoingBusy = "outgoing_busy",
        OutgoingUnanswered = "outgoing_unanswered",
        /// The initiator gave up, or this user did not answer in time: stop ringing. A group's call may be ongoing.
        IncomingCancelled = "incoming_cancelled",
        /// Another device of this user accepted: stop ringing.
        AnsweredElsewhere = "answered_elsewhere",
        /// Another device of this user rejected: stop ringing.
        RejectedElsewhere = "rejected_elsewhere",
        /// The call that this device was in, or dialled, is over; a group's call may go on without it.
        Ended = "ended",
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    pub uid: Uid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
}

/// Something happened to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallEvent {
    #[serde(rename = "event")]
    pub kind: CallEventKind,
    /// The call, as it is after what happened.
    pub call: Call,
    /// Absent when nobody did it, as with a time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
}

impl CallEventKind {
    /// What became of a call, from `before` (nothing: it was not known) to `call`, for one device of one user. In the
    /// order in which it is to be told; an actor stands where the change itself says who did it.
    ///
    /// The server tells devices so; a device that was away works out the same from the state it gets on its return.
    pub fn news(uid: &Uid, device: &DeviceId, before: Option<&Call>, call: &Call) -> Vec<(Self, Option<Actor>)> {
        let out = !call.status.is_over() && !call.has_device(uid, device);
        if out && before.is_some_and(|before| before.has_device(uid, device)) {
            // The call goes on without this device.
            return vec![(Self::Ended, None)];
        }
        if call.is_for_group() && call.is_initiator(uid) && !call.status.is_over() {
            return Self::of_members(uid, before, call);
        }
        let kind = Self::seen_by(uid, device, call);
        let news = kind != before.and_then(|before| Self::seen_by(uid, device, before));
        kind.filter(|_| news).map(|kind| (kind, None)).into_iter().collect()
    }

    /// What the initiator of a group's call hears of each member, for as long as it is in the call itself.
    fn of_members(uid: &Uid, before: Option<&Call>, call: &Call) -> Vec<(Self, Option<Actor>)> {
        let in_call = |call: &Call| call.participant(uid).is_some_and(Participant::is_in_call);
        let mut news = Vec::new();
        if !in_call(call) {
            return news;
        }
        let rings = |call: &Call| call.participants.iter().any(|p| p.state == ParticipantState::Ringing);
        let heard_of = |call: &Call| call.participants.iter().any(|p| p.uid != *uid && p.answers());
        if call.status == CallStatus::Initiated && rings(call) && !before.is_some_and(heard_of) {
            news.push((Self::OutgoingRinging, None));
        }
        for member in call.participants.iter().filter(|p| p.uid != *uid) {
            let kind = Self::answer_of(member);
            let known = before.and_then(|before| before.participant(&member.uid)).and_then(Self::answer_of);
            if let Some(kind) = kind.filter(|_| kind != known) {
                let actor = Actor { uid: member.uid.clone(), device_id: member.device_id.clone() };
                news.push((kind, Some(actor)));
            }
        }
        news
    }

    fn answer_of(member: &Participant) -> Option<Self> {
        match member.state {
            _ if member.is_in_call() => Some(Self::OutgoingAccepted),
            ParticipantState::Rejected => Some(Self::OutgoingRejected),
            ParticipantState::Busy => Some(Self::OutgoingBusy),
            _ => None,
        }
    }

    /// What the state of `call` means to one device of one user; `None` when it means nothing new to it.
    pub(super) fn seen_by(uid: &Uid, device: &DeviceId, call: &Call) -> Option<Self> {
        if call.is_initiator(uid) && (!call.is_for_group() || call.status.is_over()) {
            return match call.status {
                CallStatus::Initiated => {
                    let rings = call.participants.iter().any(|p| p.state == ParticipantState::Ringing);
                    rings.then_some(Self::OutgoingRinging)
                }
                CallStatus::Ongoing => Some(Self::OutgoingAccepted),
                CallStatus::Rejected => Some(Self::OutgoingRejected),
                CallStatus::Busy => Some(Self::OutgoingBusy),
                CallStatus::Unanswered => Some(Self::OutgoingUnanswered),
                CallStatus::Cancelled | CallStatus::Failed | CallStatus::Ended => Some(Self::Ended),
            };
        }
        let participant = call.participant(uid)?;
        match participant.state {
            ParticipantState::Invited | ParticipantState::Ringing => Some(Self::IncomingReceived),
            ParticipantState::Missed => Some(Self::IncomingCancelled),
            ParticipantState::Rejected | ParticipantState::Busy => {
                (participant.device_id.as_ref() != Some(device)).then_some(Self::RejectedElsewhere)
            }
            _ if !call.has_device(uid, device) => Some(Self::AnsweredElsewhere),
            _ => call.status.is_over().then_some(Self::Ended),
        }
    }
}
