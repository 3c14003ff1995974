//! The time limits of a call, and what happens when one is reached.

use super::entry::Entry;
use super::{Actor, REMEMBER_ENDED, Service};
use crate::base::{Result, SessionId, Uid, UnixMillis};
use crate::ringing::{Action, Call, CallStatus, EndReason, Participant, ParticipantState};
use std::collections::{BTreeSet, HashMap};

/// When to look at which call again: one time for each call.
#[derive(Default)]
pub(super) struct Timers {
    order: BTreeSet<(UnixMillis, SessionId)>,
    of: HashMap<SessionId, UnixMillis>,
}

impl Timers {
    fn set(&mut self, session: &SessionId, at: Option<UnixMillis>) {
        if let Some(before) = self.of.remove(session) {
            self.order.remove(&(before, session.clone()));
        }
        if let Some(at) = at {
            self.of.insert(session.clone(), at);
            self.order.insert((at, session.clone()));
        }
    }

    fn next(&self) -> Option<(UnixMillis, SessionId)> {
        self.order.first().cloned()
    }
}

/// The limits of a call. Each has one time at which it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Limit {
    /// When it has rung for long enough.
    Ring,
    /// When the initiator's device has been gone for too long while it rings.
    CallerGone,
    /// When a party's device has been gone for too long from the ongoing call.
    PartyGone(Uid),
    /// When it has been over for long enough to be forgotten.
    Forget,
}

impl Service {
    /// When [`Self::fire_timers`] is to be called next. May change with every input, commit and rollback.
    pub fn next_wake(&self) -> Option<UnixMillis> {
        self.timers.next().map(|(at, _)| at)
    }

    /// Acts on every limit that is reached at `now`. An input like any other: it is part of the batch.
    pub fn fire_timers(&mut self, now: UnixMillis) {
        while let Some((at, session)) = self.timers.next().filter(|(at, _)| *at <= now) {
            let limit = self.calls.get(&session).and_then(|entry| self.limit_of(entry)).filter(|(due, _)| *due <= now);
            match limit {
                Some((_, Limit::Ring)) => self.limit_reached(&session, None, |call| call.time_out(now)),
                Some((_, Limit::CallerGone)) => self.finish(now, &session, EndReason::CallerGone, None),
                Some((_, Limit::PartyGone(uid))) => {
                    let by = Actor { uid: uid.clone(), device_id: None };
                    self.limit_reached(&session, Some(&by), |call| call.leave(&uid, EndReason::ConnectionLost, now))
                }
                Some((_, Limit::Forget)) => drop(self.take(&session)),
                None => tracing::debug!(%session, %at, "a timer of a call was set without need"),
            }
            self.reschedule(&session);
        }
    }

    /// Ends a call for `reason` without anybody asking, and tells everyone to whom it matters.
    pub(super) fn finish(&mut self, now: UnixMillis, session: &SessionId, reason: EndReason, by: Option<Actor>) {
        let action = match reason {
            EndReason::CallerGone => Action::Cancel,
            EndReason::Failed | EndReason::Removed => Action::Fail,
            _ => Action::End,
        };
        let uid = by.as_ref().map(|by| by.uid.clone());
        self.limit_reached(session, by.as_ref(), |call| call.over(action, reason, uid.as_ref(), now));
    }

    fn limit_reached(&mut self, session: &SessionId, by: Option<&Actor>, change: impl FnOnce(&mut Call) -> Result<()>) {
        if let Err(error) = self.step(session, by, change) {
            tracing::error!(%session, %error, "a limit of a call was reached in the wrong status");
        }
    }

    /// Brings the call's timer up to date with its state and that of its devices.
    pub(super) fn reschedule(&mut self, session: &SessionId) {
        let at = self.calls.get(session).and_then(|entry| self.limit_of(entry)).map(|(at, _)| at);
        self.timers.set(session, at);
    }

    /// [`Self::reschedule`] for each call that a user's device may matter to.
    pub(super) fn reschedule_user(&mut self, uid: &Uid) {
        for session in self.calls_of(uid) {
            self.reschedule(&session);
        }
    }

    /// The limit of the call that is reached first.
    fn limit_of(&self, entry: &Entry) -> Option<(UnixMillis, Limit)> {
        let call = entry.call();
        match call.status {
            CallStatus::Initiated => {
                let ring = (entry.record.rings_until, Limit::Ring);
                let gone = self.lost_at(call, &call.initiator.uid);
                let gone = gone.map(|lost| (lost + self.settings.caller_grace, Limit::CallerGone));
                Some(gone.filter(|(at, _)| *at < ring.0).unwrap_or(ring))
            }
            CallStatus::Ongoing => {
                let outside = call.participants.iter().filter(|p| p.is_in_call() && !entry.in_room.contains(&p.uid));
                let gone = outside.filter_map(|p| {
                    // Who left the session has the time from there; who is in it needs no connection here.
                    let left = p.left_at.filter(|_| p.state == ParticipantState::Left).unwrap_or_default();
                    let since = self.lost_at(call, &p.uid)?.max(left);
                    Some((since + self.settings.call_grace, Limit::PartyGone(p.uid.clone())))
                });
                // Of a group's call: it rings on for those who have not answered yet.
                let rings = call.participants.iter().any(Participant::is_rung);
                let ring = rings.then_some((entry.record.rings_until, Limit::Ring));
                gone.chain(ring).min_by_key(|(at, _)| *at)
            }
            _ => call.ended_at.map(|at| (at + REMEMBER_ENDED, Limit::Forget)),
        }
    }

    /// Since when the user's device in this call is gone; `None` while it is there.
    fn lost_at(&self, call: &Call, uid: &Uid) -> Option<UnixMillis> {
        let device = call.participant(uid)?.device_id.as_ref()?;
        let device = self.users.get(uid)?.devices.get(device)?;
        device.connection.is_none().then_some(device.lost_at)
    }
}
