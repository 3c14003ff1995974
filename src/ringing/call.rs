//! What a call is: the record that caller, callee, other devices, log and webhooks all see.

use crate::base::{DeviceId, GroupId, SessionId, Uid, UnixMillis};
use serde::{Deserialize, Serialize};

/// A user as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub uid: Uid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An https URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// The owner's own. Told to the user itself and to the owner; calls do not carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

impl User {
    /// Of whom nothing but the id is known.
    pub fn new(uid: Uid) -> Self {
        Self { uid, name: None, avatar: None, metadata: None }
    }
}

/// Users who are called together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub guid: GroupId,
    pub name: String,
    /// An https URL of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// The owner's own. Told to the owner; calls do not carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

/// Whom an initiate is for, as stored: what [`Receiver`] shows, and who is to ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    User(User),
    /// With all its members, the initiator among them if it is one.
    Group {
        group: Group,
        members: Vec<User>,
    },
}

impl Callee {
    /// Its uid or guid.
    pub fn id(&self) -> &str {
        match self {
            Self::User(user) => user.uid.as_str(),
            Self::Group { group, .. } => group.guid.as_str(),
        }
    }
}

/// Whom a call is for: its `receiverType` says whether `id` is a uid or a guid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receiver {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
}

/// Makes an enum whose variants have one name each, in JSON, in the store and in documents.
macro_rules! named {
    ($( $(#[$doc:meta])* $enum:ident { $( $(#[$variant_doc:meta])* $variant:ident = $name:literal, )* } )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $enum { $( $(#[$variant_doc])* #[serde(rename = $name)] $variant, )* }

        impl $enum {
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            /// The name in JSON, in the store and in documents.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    )* };
}
pub(super) use named;

named! {
    ReceiverType {
        User = "USER",
        Group = "GROUP",
    }

    CallType {
        Audio = "AUDIO",
        Video = "VIDEO",
    }

    /// What the call was made for.
    Category {
        /// Somebody is rung.
        Call = "call",
        /// A meeting that was agreed on beforehand.
        Meet = "meet",
    }

    /// Where a call stands. How it moves is in [`Action`] and docs/transitions.md.
    CallStatus {
        /// It rings, or will once a device of the callee is there.
        Initiated = "initiated",
        /// Accepted: the parties may join the session.
        Ongoing = "ongoing",
        Ended = "ended",
        Rejected = "rejected",
        Busy = "busy",
        Cancelled = "cancelled",
        Unanswered = "unanswered",
        Failed = "failed",
    }

    /// Why a call is over: one list for caller, callee, other devices, log and webhook.
    EndReason {
        /// A party ended the ongoing call.
        HungUp = "hung_up",
        /// The callee did not want it.
        Rejected = "rejected",
        /// The callee is in another call.
        Busy = "busy",
        /// The initiator gave up before an answer.
        Cancelled = "cancelled",
        /// Nobody answered in time.
        Unanswered = "unanswered",
        /// The initiator's device lost its connection while ringing and did not come back.
        CallerGone = "caller_gone",
        /// A party's device lost its connection in the call and did not come back.
        ConnectionLost = "connection_lost",
        /// One party was alone in the session for too long.
        LeftAlone = "left_alone",
        /// The last party left the session, or the last one in it the group's call.
        EveryoneLeft = "everyone_left",
        /// The server could not carry the call.
        Failed = "failed",
        /// The owner removed the user or the group.
        Removed = "removed",
    }

    /// Where one party of a call stands.
    ParticipantState {
        /// The call is for this user; no device has said yet that it rings.
        Invited = "invited",
        /// A device of this user rings.
        Ringing = "ringing",
        /// In the call, not yet in its session. The initiator is this from the start.
        Accepted = "accepted",
        /// In the session.
        Joined = "joined",
        /// Was in the session or in a group call, and left it or lost it. Who still has a device may come back; who has
        /// none has left the call, and may join it again.
        Left = "left",
        Rejected = "rejected",
        Busy = "busy",
        /// The ringing ended without an answer. A member of a group may still join while the call is ongoing.
        Missed = "missed",
    }
}

impl CallStatus {
    /// No way leads on from here.
    pub fn is_over(self) -> bool {
        !matches!(self, CallStatus::Initiated | CallStatus::Ongoing)
    }
}

/// One call, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The call's id, and the name of the LiveKit room of its media.
    pub session_id: SessionId,
    /// Grows with each change: of two states of one call the one with the greater is the later.
    #[serde(default)]
    pub revision: u64,
    pub initiator: User,
    pub receiver: Receiver,
    pub receiver_type: ReceiverType,
    #[serde(rename = "type")]
    pub call_type: CallType,
    pub category: Category,
    pub status: CallStatus,
    pub initiated_at: UnixMillis,
    /// When it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<UnixMillis>,
    /// Who ended it; absent when nobody did, as with a time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<Uid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
    /// From the first accept to the end, in milliseconds; 0 until it ended, and when it was never accepted.
    pub duration_ms: u64,
    /// The initiator first.
    pub participants: Vec<Participant>,
    /// The app's own, as given with initiate; at most 4 KiB of JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
}

/// One party of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    pub uid: Uid,
    /// The one device of this user that is in the call, or that answered it with a reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    pub state: ParticipantState,
    /// Was in the session at some time.
    pub joined: bool,
    /// When it first joined the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<UnixMillis>,
    /// When it last left the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<UnixMillis>,
}

impl Participant {
    pub(super) fn new(uid: Uid, device_id: Option<DeviceId>, state: ParticipantState) -> Self {
        Self { uid, device_id, state, joined: false, joined_at: None, left_at: None }
    }

    /// This user dialled or accepted the call and has not left it; it may join the session while the call is ongoing.
    pub fn is_in_call(&self) -> bool {
        matches!(self.state, ParticipantState::Accepted | ParticipantState::Joined | ParticipantState::Left)
            && self.device_id.is_some()
    }

    /// A device of this user has rung or answered.
    pub(super) fn answers(&self) -> bool {
        match self.state {
            ParticipantState::Invited | ParticipantState::Missed => false,
            ParticipantState::Busy => self.device_id.is_some(),
            _ => true,
        }
    }

    /// The call rings for this user, or will once a device is there.
    pub fn is_rung(&self) -> bool {
        matches!(self.state, ParticipantState::Invited | ParticipantState::Ringing)
    }
}

impl Call {
    pub fn participant(&self, uid: &Uid) -> Option<&Participant> {
        self.participants.iter().find(|p| p.uid == *uid)
    }

    pub(super) fn participant_mut(&mut self, uid: &Uid) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|p| p.uid == *uid)
    }

    pub fn is_initiator(&self, uid: &Uid) -> bool {
        self.initiator.uid == *uid
    }

    /// Whether this device of this user is the one that dialled or accepted.
    pub fn has_device(&self, uid: &Uid, device: &DeviceId) -> bool {
        self.participant(uid).is_some_and(|p| p.is_in_call() && p.device_id.as_ref() == Some(device))
    }

    pub fn is_for_group(&self) -> bool {
        self.receiver_type == ReceiverType::Group
    }

    /// It rings for this user.
    pub fn rings_for(&self, uid: &Uid) -> bool {
        !self.status.is_over() && self.participant(uid).is_some_and(Participant::is_rung)
    }
}
