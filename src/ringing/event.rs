//! What an app is told about a call.

use super::call::{Call, CallStatus, ParticipantState, named};
use crate::base::{DeviceId, Uid};
use serde::{Deserialize, Serialize};

named! {
    /// What happened, from the point of view of the device that is told.
    CallEventKind {
        /// Somebody calls this user: ring.
        IncomingReceived = "incoming_received",
        /// A first device of the callee rings.
        OutgoingRinging = "outgoing_ringing",
        /// The callee accepted: join the session.
        OutgoingAccepted = "outgoing_accepted",
        OutgoingRejected = "outgoing_rejected",
        OutgoingBusy = "outgoing_busy",
        OutgoingUnanswered = "outgoing_unanswered",
        /// The initiator gave up, or nobody answered in time: stop ringing.
        IncomingCancelled = "incoming_cancelled",
        /// Another device of this user accepted: stop ringing.
        AnsweredElsewhere = "answered_elsewhere",
        /// Another device of this user rejected: stop ringing.
        RejectedElsewhere = "rejected_elsewhere",
        /// The call that this device was in, or dialled, is over.
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
    /// What the state of `call` means to one device of one user; `None` when it means nothing new to it.
    ///
    /// The server tells devices so; a device that was away works out the same from the state it gets on its return.
    pub fn seen_by(uid: &Uid, device: &DeviceId, call: &Call) -> Option<Self> {
        if call.is_initiator(uid) {
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
        match call.status {
            CallStatus::Initiated => Some(Self::IncomingReceived),
            CallStatus::Ongoing if call.has_device(uid, device) => None,
            CallStatus::Ended if call.has_device(uid, device) => Some(Self::Ended),
            CallStatus::Ongoing | CallStatus::Ended => Some(Self::AnsweredElsewhere),
            CallStatus::Rejected | CallStatus::Busy => {
                let here = call.participant(uid).is_some_and(|p| p.device_id.as_ref() == Some(device));
                (!here).then_some(Self::RejectedElsewhere)
            }
            CallStatus::Cancelled | CallStatus::Unanswered | CallStatus::Failed => Some(Self::IncomingCancelled),
        }
    }
}
