//! What the owner's backend is told of calls: notices, worked out from each call as it was and as it is.
//!
//! Pure: a batch of the machine changed a call from one record to another, and the notices say what happened between.
//! They are stored with the record, in one transaction, and delivered from there. docs/webhooks.md.

use super::call::{Call, Participant, ParticipantState, named};
use crate::base::{Uid, UnixMillis};
use serde::{Deserialize, Serialize};

named! {
    /// What a notice tells.
    NoticeKind {
        /// A user calls.
        CallInitiated = "call_initiated",
        /// A first device of a callee rings: `participant`.
        CallRinging = "call_ringing",
        /// A callee accepted: the call is ongoing.
        CallStarted = "call_started",
        /// `participant` is in the session.
        ParticipantJoined = "participant_joined",
        /// `participant` left the session, or lost it. The end of a call says so of everyone by itself.
        ParticipantLeft = "participant_left",
        /// The call is over: `call.status` and `call.endReason` say how.
        CallEnded = "call_ended",
        /// A callee has no connected device: `wake` is for your push service.
        Wake = "wake",
    }
}

/// The body of one webhook request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Unique to this notice and the same in each attempt to deliver it: the idempotency key.
    pub id: String,
    #[serde(rename = "event")]
    pub kind: NoticeKind,
    /// When it happened.
    pub at: UnixMillis,
    /// The call, as it was stored then.
    pub call: Call,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<Participant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Wake>,
}

/// What a push service is to carry to the devices of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wake {
    pub uid: Uid,
    /// To be handed to `call from push` on the device, byte by byte. [`WakePayload`](super::WakePayload).
    pub payload: String,
    /// When the call rings no more: a push that comes later is of no use.
    pub expires_at: UnixMillis,
}

/// What a batch made of one call.
#[derive(Clone, Debug)]
pub struct CallChange<'a> {
    /// Before the batch; `None` when the call is new.
    pub before: Option<&'a Call>,
    pub after: &'a Call,
    /// When the ringing ends by itself.
    pub rings_until: UnixMillis,
    /// Callees that are to ring and have no connected device to ring on.
    pub unreached: Vec<Uid>,
}

/// Something that happened to a call, not yet dressed as a [`Notice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    pub kind: NoticeKind,
    pub at: UnixMillis,
    pub participant: Option<Participant>,
}

impl CallChange<'_> {
    /// What happened, in the order in which it did. `now` is when the batch was.
    pub fn happenings(&self, now: UnixMillis) -> Vec<Happening> {
        let (before, after) = (self.before, self.after);
        let mut all = Vec::new();
        let mut tell = |kind, at: Option<UnixMillis>, participant: Option<&Participant>| {
            all.push(Happening { kind, at: at.unwrap_or(now), participant: participant.cloned() });
        };
        if before.is_none() {
            tell(NoticeKind::CallInitiated, Some(after.initiated_at), None);
        }
        for participant in &after.participants {
            let was = before.and_then(|before| before.participant(&participant.uid)).map(|p| p.state);
            if participant.state == ParticipantState::Ringing && was != Some(ParticipantState::Ringing) {
                tell(NoticeKind::CallRinging, None, Some(participant));
            }
        }
        if after.started_at.is_some() && before.is_none_or(|before| before.started_at.is_none()) {
            tell(NoticeKind::CallStarted, after.started_at, None);
        }
        for participant in &after.participants {
            let was = before.and_then(|before| before.participant(&participant.uid));
            for (kind, at) in moves(was, participant) {
                tell(kind, at, Some(participant));
            }
        }
        if after.status.is_over() && before.is_none_or(|before| !before.status.is_over()) {
            tell(NoticeKind::CallEnded, after.ended_at, None);
        }
        all
    }

    /// Whom a push is to wake: nobody when the call is over.
    pub fn to_wake(&self) -> &[Uid] {
        if self.after.status.is_over() { &[] } else { &self.unreached }
    }
}

/// How a participant came into the session and left it, from one state to another.
fn moves(was: Option<&Participant>, is: &Participant) -> Vec<(NoticeKind, Option<UnixMillis>)> {
    let joined = |participant: &Participant| participant.state == ParticipantState::Joined;
    let inside_before = was.is_some_and(joined);
    let left = is.left_at != was.and_then(|was| was.left_at);
    let first_join = is.joined_at.filter(|_| was.is_none_or(|was| was.joined_at.is_none()));
    let mut moves = Vec::new();
    if !inside_before && (joined(is) || left) {
        moves.push((NoticeKind::ParticipantJoined, first_join));
    }
    if left {
        moves.push((NoticeKind::ParticipantLeft, is.left_at));
        if joined(is) {
            moves.push((NoticeKind::ParticipantJoined, None));
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringing::transition::Action;
    use crate::ringing::{CallStatus, EndReason};
    use NoticeKind::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn call() -> Call {
        serde_json::from_value(serde_json::json!({
            "sessionId": "s", "initiator": {"uid": "alice"}, "receiver": {"id": "bob"}, "receiverType": "USER",
            "type": "AUDIO", "category": "call", "status": "initiated", "initiatedAt": 5, "durationMs": 0,
            "participants": [{"uid": "alice", "deviceId": "a", "state": "accepted", "joined": false},
                             {"uid": "bob", "state": "invited", "joined": false}]}))
        .unwrap()
    }

    fn kinds(before: Option<&Call>, after: &Call) -> Vec<NoticeKind> {
        let change = CallChange { before, after, rings_until: NOW, unreached: Vec::new() };
        change.happenings(NOW).into_iter().map(|happening| happening.kind).collect()
    }

    fn with(call: &Call, uid: &str, change: impl FnOnce(&mut Participant)) -> Call {
        let mut call = call.clone();
        change(call.participant_mut(&Uid::new(uid).unwrap()).unwrap());
        call
    }

    fn acted(call: &Call, action: Action, at: u64) -> Call {
        let mut call = call.clone();
        let at = UnixMillis(at);
        match action {
            Action::Accept => (call.status, call.started_at) = (CallStatus::Ongoing, Some(at)),
            _ => call.over(action, EndReason::HungUp, None, at).unwrap(),
        }
        call
    }

    #[test]
    fn each_step_of_a_call_is_one_notice() {
        let initiated = call();
        assert_eq!(kinds(None, &initiated), [CallInitiated]);
        let ringing = with(&initiated, "bob", |bob| bob.state = ParticipantState::Ringing);
        assert_eq!(kinds(Some(&initiated), &ringing), [CallRinging]);
        assert_eq!(kinds(Some(&ringing), &ringing), []);
        let accepted = acted(&with(&ringing, "bob", |bob| bob.state = ParticipantState::Accepted), Action::Accept, 9);
        assert_eq!(kinds(Some(&ringing), &accepted), [CallStarted]);
        let joined = with(&accepted, "bob", |bob| {
            (bob.state, bob.joined, bob.joined_at) = (ParticipantState::Joined, true, Some(UnixMillis(12)))
        });
        assert_eq!(kinds(Some(&accepted), &joined), [ParticipantJoined]);
        let left =
            with(&joined, "bob", |bob| (bob.state, bob.left_at) = (ParticipantState::Left, Some(UnixMillis(20))));
        assert_eq!(kinds(Some(&joined), &left), [ParticipantLeft]);
        let back = with(&left, "bob", |bob| bob.state = ParticipantState::Joined);
        assert_eq!(kinds(Some(&left), &back), [ParticipantJoined]);
        let ended = acted(&back, Action::End, 30);
        assert_eq!(kinds(Some(&back), &ended), [CallEnded]);
        assert_eq!(kinds(Some(&ended), &ended), []);
    }

    #[test]
    fn what_happened_in_one_batch_is_told_in_its_order() {
        let over = acted(&call(), Action::Cancel, 7);
        assert_eq!(kinds(None, &over), [CallInitiated, CallEnded]);
        let ongoing = acted(&call(), Action::Accept, 7);
        let hasty = with(&ongoing, "bob", |bob| {
            (bob.state, bob.joined_at, bob.left_at) =
                (ParticipantState::Left, Some(UnixMillis(8)), Some(UnixMillis(9)));
        });
        let ended = acted(&hasty, Action::End, 10);
        assert_eq!(kinds(Some(&call()), &ended), [CallStarted, ParticipantJoined, ParticipantLeft, CallEnded]);
        let joined = with(&ongoing, "bob", |bob| {
            (bob.state, bob.joined_at) = (ParticipantState::Joined, Some(UnixMillis(8)));
        });
        let blinked = with(&joined, "bob", |bob| bob.left_at = Some(UnixMillis(9)));
        assert_eq!(kinds(Some(&joined), &blinked), [ParticipantLeft, ParticipantJoined]);
    }

    #[test]
    fn a_happening_carries_its_own_time_where_the_call_has_one() {
        let after = acted(&call(), Action::Cancel, 7);
        let change = CallChange { before: None, after: &after, rings_until: NOW, unreached: Vec::new() };
        let times: Vec<u64> = change.happenings(NOW).iter().map(|happening| happening.at.0).collect();
        assert_eq!(times, [5, 7]);
    }

    #[test]
    fn nobody_is_woken_for_a_call_that_is_over_already() {
        let bob = vec![Uid::new("bob").unwrap()];
        let (rings, over) = (call(), acted(&call(), Action::Cancel, 7));
        let change = |after| CallChange { before: None, after, rings_until: NOW, unreached: bob.clone() };
        assert_eq!(change(&rings).to_wake(), bob);
        assert_eq!(change(&over).to_wake(), []);
    }
}
