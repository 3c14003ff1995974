//! What must hold, at every moment and in the end.

use super::network::LONGEST_DELAY;
use super::{CHAOS, LONGEST_BATCH, LONGEST_READ, World};
use crate::app::App;
use trill::base::Uid;
use trill::ringing::service::{CallRecord, ConnectionId};
use trill::ringing::wire::{Answer, ServerMessage};
use trill::ringing::{Call, CallStatus, ReceiverType};

/// How soon all devices that are connected have heard of what one of them, or the server, did.
const HEARD_WITHIN: u64 = LONGEST_BATCH + LONGEST_DELAY;

/// How late a time limit may be kept: as after a failure of the store.
const LATE: u64 = 2_000;

/// How soon a question is answered.
const ANSWERED_WITHIN: u64 = 2 * LONGEST_DELAY + LONGEST_READ;

/// How soon a device that connects knows how its calls stand: hello and welcome, a question and its answer.
const SETTLED_AFTER: u64 = 2 * LONGEST_DELAY + LONGEST_BATCH + ANSWERED_WITHIN;

impl World {
    /// Whenever a transaction is done.
    pub(super) fn check_stored(&mut self) {
        for session in std::mem::take(&mut self.stored) {
            let call = &self.store[&session].call;
            let consented = |callee: &Uid| {
                let accepted = self.accepts.contains(&(callee.clone(), session.clone()));
                // Glare: who calls the one that calls it has said yes.
                let glare = call.receiver_type == ReceiverType::User
                    && self.dialled.contains(&(callee.clone(), call.initiator.uid.to_string()));
                accepted || glare
            };
            let mut in_it = call.participants[1..].iter().filter(|party| party.is_in_call());
            let consent = in_it.all(|party| consented(&party.uid))
                && (call.started_at.is_none() || call.participants[1..].iter().any(|party| consented(&party.uid)));
            assert!(consent, "rule `nobody is in a call without consent`: {call:?}");
        }
        for uid in &self.users {
            let calls = self.store.values().map(|record| &record.call).filter(|call| !call.status.is_over());
            let busy = calls.filter(|call| call.participant(uid).is_some_and(|p| p.is_in_call())).count();
            assert!(busy <= 1, "rule `a user is in one call`: {uid} is in {busy}");
        }
        self.check_removed();
    }

    /// Whenever something was told.
    pub(super) fn check_devices(&mut self) {
        self.check_tones();
        self.check_one_device();
        self.check_time_limits();
    }

    /// There is peace, every call has been over for a while, and no device is in one: nothing more will come.
    pub(super) fn is_quiet(&mut self) -> bool {
        let is_out = |app: &App| {
            app.is_logged_out()
                || app.client.active_call().is_none()
                    && app.client.incoming_calls().next().is_none()
                    && app.connection.is_some_and(|connection| self.is_settled(connection))
        };
        let over = self.store.values().all(|record| record.call.status.is_over());
        if self.now < CHAOS || !over || !self.apps.iter().all(is_out) {
            self.quiet_since = None;
            return false;
        }
        self.now > *self.quiet_since.get_or_insert(self.now) + SETTLED_AFTER
    }

    /// Two devices of a user may both take themselves to be in a call for as long as one has not heard yet that it is
    /// out.
    fn check_one_device(&mut self) {
        for uid in &self.users {
            let mut sessions: Vec<_> = self
                .apps
                .iter()
                .filter(|app| app.uid == *uid && app.connection.is_some_and(|connection| self.is_settled(connection)))
                .filter_map(|app| app.client.active_call())
                .filter(|call| call.status == CallStatus::Ongoing)
                .map(|call| &call.session_id)
                .collect();
            let devices = sessions.len();
            sessions.sort();
            sessions.dedup();
            if sessions.len() == devices {
                self.doubled.remove(uid);
                continue;
            }
            let since = *self.doubled.entry(uid.clone()).or_insert(self.now);
            let within = self.now < since + HEARD_WITHIN;
            assert!(within, "rule `one device of a user in a call`: {uid} is in {sessions:?} with {devices}");
        }
    }

    /// The connection carries messages, and has for so long that its device is logged in and has heard of all.
    fn is_settled(&self, connection: ConnectionId) -> bool {
        let open = self.connections.get(&connection);
        self.server.is_some() && open.is_some_and(|open| open.cut_at.is_none() && self.now > open.since + SETTLED_AFTER)
    }

    /// A command has one effect: what is answered again is answered the same. But for `ringing`, which has no effect
    /// that could happen twice.
    pub(super) fn check_answer(&mut self, message: &ServerMessage) {
        if let ServerMessage::Event(event) = message {
            self.check_is_stored(&event.call);
        }
        let ServerMessage::Response(response) = message else { return };
        if let Ok(Answer::Call(call)) = response.clone().into_result() {
            self.check_is_stored(&call);
        }
        if !self.commands.contains(&response.id) {
            return;
        }
        match (response.clone().into_result(), self.answers.get(&response.id)) {
            (Ok(Answer::Call(call)), None) => drop(self.answers.insert(response.id.clone(), call.session_id)),
            (Ok(Answer::Call(call)), Some(before)) => {
                assert_eq!(*before, call.session_id, "rule `nothing happens twice`: {response:?}")
            }
            (answer, Some(before)) => {
                panic!("rule `nothing happens twice`: answered with {before} before, and now {answer:?}")
            }
            (_, None) => {}
        }
    }

    fn check_is_stored(&self, call: &Call) {
        let stored = self.store.get(&call.session_id).map(|record| record.call.revision);
        let is_stored = stored >= Some(call.revision);
        assert!(is_stored, "rule `nobody is told what is not stored`: {stored:?} is, and told is {call:?}");
    }

    /// A call rings for no longer than it may, but for the time in which the server was down.
    fn check_time_limits(&self) {
        let Some(up_since) = self.up_since.filter(|_| self.server.is_some()) else { return };
        for record in self.store.values().filter(|record| record.call.status == CallStatus::Initiated) {
            let until = record.rings_until.0.max(up_since) + LATE;
            assert!(self.now < until, "rule `every call ends`: it rings for too long: {:?}", record.call);
        }
    }

    /// A device knows what is over as soon as what the server sent it at that moment has arrived. One that was not
    /// logged in then has to log in; and what went on without it while it was away, it has to ask for.
    fn check_tones(&self) {
        for app in &self.apps {
            let open = app.connection.and_then(|connection| self.connections.get(&connection));
            let Some(open) = open.filter(|open| open.cut_at.is_none()) else { continue };
            let active = app.client.active_call().map(|call| &call.session_id);
            for session in app.ringing.iter().chain(active) {
                let over = self.store.get(session).is_some_and(|record| record.call.status.is_over());
                let told = open.told_by.get(session).copied().unwrap_or(open.since + SETTLED_AFTER);
                let known = open.asked.get(session).map_or(told, |asked| told.max(asked + ANSWERED_WITHIN));
                let in_time = !over || self.now <= known;
                assert!(
                    in_time,
                    "rule `nobody rings for a call that is over`: {} knows of {session} since {known}",
                    app.device
                );
            }
        }
    }

    /// Who was removed is out of what was stored since: of every call, or of the group's.
    fn check_removed(&self) {
        if self.flush_planned || self.server.is_none() {
            return;
        }
        let unfinished = self.store.values().map(|record| &record.call).filter(|call| !call.status.is_over());
        for call in unfinished {
            let group = call.receiver_type == ReceiverType::Group;
            for party in call.participants.iter().filter(|party| party.is_in_call() || call.rings_for(&party.uid)) {
                let out = self.directory.is_removed(&party.uid) || group && !self.directory.is_member(&party.uid);
                assert!(!out, "rule `who is removed is out at once`: {} in {call:?}", party.uid);
            }
        }
    }

    /// When all has been quiet for long.
    pub(super) fn check_peace(&mut self) {
        for record in self.store.values() {
            let call = &record.call;
            assert!(call.status.is_over(), "rule `every call ends`: {call:?}");
            assert!(call.ended_at.is_some() && call.end_reason.is_some(), "rule `every call ends`: {call:?}");
            self.totals.calls += 1;
            self.totals.group_calls += usize::from(call.receiver_type == ReceiverType::Group);
            self.totals.shared_by_three += usize::from(call.participants.iter().filter(|p| p.is_in_call()).count() > 2);
            *self.totals.outcomes.entry(call.end_reason.unwrap().to_string()).or_default() += 1;
        }
        for app in &self.apps {
            let device = &app.device;
            if !app.is_logged_out() {
                let calls: Vec<_> = app.client.active_call().into_iter().chain(app.client.incoming_calls()).collect();
                let quiet = calls.is_empty() && app.ringing.is_empty();
                assert!(quiet, "rule `nobody rings for a call that is over`: {device} {:?} {calls:?}", app.ringing);
            }
            for (session, told) in &app.told {
                let stored = self.store.get(session).map(|record| (record.call.status, record.call.end_reason));
                assert_eq!(Some(*told), stored, "rule `all agree`: {device} of {session}, and the log");
            }
        }
    }
}

/// What was just stored of a call, after what was stored before.
pub(super) fn check_change(before: Option<&CallRecord>, now: &CallRecord) {
    let Some(before) = before else { return };
    assert!(!before.call.status.is_over(), "rule `a call that is over stays as it is`: {now:?}");
    for was in before.call.participants.iter().filter(|party| party.is_in_call()) {
        let Some(is) = now.call.participant(&was.uid).filter(|party| party.is_in_call()) else { continue };
        let ends =
            |record: &CallRecord| record.requests.iter().filter(|r| r.uid == was.uid && r.method == "end").count();
        let same = was.device_id == is.device_id || ends(now) > ends(before);
        assert!(same, "rule `the first accept wins`: {} was in it on {:?}: {now:?}", was.uid, was.device_id);
    }
}
