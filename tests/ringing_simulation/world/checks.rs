//! What must hold, at every moment and in the end.

use super::World;
use trill::base::Uid;
use trill::ringing::wire::{Answer, ServerMessage};
use trill::ringing::{CallStatus, ReceiverType};

impl World {
    /// Whenever something was stored or told.
    pub(super) fn check_always(&self) {
        self.check_tones();
        for record in self.store.values() {
            let call = &record.call;
            let consented = |callee: &Uid| {
                let accepted = self.accepts.contains(&(callee.clone(), call.session_id.clone()));
                // Glare: who calls the one that calls it has said yes.
                let glare = call.receiver_type == ReceiverType::User
                    && self.dialled.contains(&(callee.clone(), call.initiator.uid.to_string()));
                accepted || glare
            };
            let in_it: Vec<&Uid> =
                call.participants[1..].iter().filter(|party| party.is_in_call()).map(|party| &party.uid).collect();
            assert!(in_it.iter().all(|uid| consented(uid)), "in the call without consent: {call:?}");
            if call.started_at.is_some() {
                assert!(
                    call.participants[1..].iter().any(|party| consented(&party.uid)),
                    "accepted by nobody: {call:?}"
                );
            }
        }
        for uid in &self.users {
            let unfinished = self.store.values().map(|record| &record.call).filter(|call| !call.status.is_over());
            let busy = unfinished.filter(|call| call.participant(uid).is_some_and(|p| p.is_in_call())).count();
            assert!(busy <= 1, "{uid} is in {busy} calls");
            let ongoing = self.apps.iter().filter(|app| app.uid == *uid).filter_map(|app| app.client.active_call());
            let mut sessions: Vec<_> =
                ongoing.filter(|call| call.status == CallStatus::Ongoing).map(|call| &call.session_id).collect();
            let devices = sessions.len();
            sessions.sort();
            sessions.dedup();
            assert_eq!(sessions.len(), devices, "two devices of {uid} are in one call");
        }
    }

    /// A command has one effect: what is answered again is answered the same. But for `ringing`, which has no effect
    /// that could happen twice.
    pub(super) fn check_answer(&mut self, message: &ServerMessage) {
        let ServerMessage::Response(response) = message else { return };
        if !self.commands.contains(&response.id) {
            return;
        }
        match (response.clone().into_result(), self.answers.get(&response.id)) {
            (Ok(Answer::Call(call)), None) => drop(self.answers.insert(response.id.clone(), call.session_id)),
            (Ok(Answer::Call(call)), Some(before)) => assert_eq!(*before, call.session_id, "two effects: {response:?}"),
            (answer, Some(before)) => panic!("answered with {before} before, and now {answer:?}"),
            (_, None) => {}
        }
    }

    /// A device that has been connected for a while knows what is over.
    fn check_tones(&self) {
        const KNOWS_WITHIN: u64 = 40_000;
        for app in &self.apps {
            let Some(open) = app.connection.and_then(|connection| self.connections.get(&connection)) else { continue };
            if open.cut_at.is_some() || self.server.is_none() {
                continue;
            }
            let active = app.client.active_call().map(|call| &call.session_id);
            for session in app.ringing.iter().chain(active) {
                let Some(ended) = self.store.get(session).and_then(|record| record.call.ended_at) else { continue };
                let known_since = ended.0.max(open.since);
                assert!(self.now < known_since + KNOWS_WITHIN, "{} still rings or talks: {session}", app.device);
            }
        }
    }

    /// When all has been quiet for long.
    pub(super) fn check_peace(&mut self) {
        for record in self.store.values() {
            let call = &record.call;
            assert!(call.status.is_over(), "never ended: {call:?}");
            assert!(call.ended_at.is_some() && call.end_reason.is_some(), "{call:?}");
            self.totals.calls += 1;
            self.totals.group_calls += usize::from(call.receiver_type == ReceiverType::Group);
            self.totals.shared_by_three += usize::from(call.participants.iter().filter(|p| p.is_in_call()).count() > 2);
            *self.totals.outcomes.entry(call.end_reason.unwrap().to_string()).or_default() += 1;
        }
        for app in &self.apps {
            assert_eq!(app.client.active_call(), None, "{} is in a call that is over", app.device);
            let rings: Vec<_> = app.client.incoming_calls().collect();
            assert!(rings.is_empty(), "{} rings: {rings:?}", app.device);
            assert!(app.ringing.is_empty(), "{} plays its tone for {:?}", app.device, app.ringing);
            for (session, told) in &app.told {
                let call = &self.store[session].call;
                assert_eq!(*told, (call.status, call.end_reason), "{} was told otherwise than the log", app.device);
            }
        }
    }
}
