//! What comes between devices and server: delay, order, loss, and messages that arrive twice.

use super::{CHAOS, Happening, World, pick};
use rand::Rng;
use std::collections::BTreeMap;
use trill::base::{Error, SessionId};
use trill::ringing::service::ConnectionId;
use trill::ringing::wire::{ClientMessage, Query, Request, ServerMessage};

/// How long a message may be under way. It never waits longer for one before it, which was sent earlier.
pub(super) const LONGEST_DELAY: u64 = 4_000;

pub(super) struct Connection {
    pub(super) device: usize,
    /// Nothing gets through any more from this time on.
    pub(super) cut_at: Option<u64>,
    pub(super) since: u64,
    /// The server has taken its hello.
    pub(super) greeted: bool,
    /// The batch with that hello is told: of every later one this device hears.
    pub(super) known: bool,
    /// When what is under way to the device tells it that a call is over.
    pub(super) told_by: BTreeMap<SessionId, u64>,
    /// When the device asked last how a call stands.
    pub(super) asked: BTreeMap<SessionId, u64>,
    /// When the latest message of each direction arrives: a connection keeps the order.
    pub(super) to_server: u64,
    pub(super) to_device: u64,
}

impl Connection {
    pub(super) fn new(device: usize, now: u64) -> Self {
        Self {
            device,
            cut_at: None,
            since: now,
            greeted: false,
            known: false,
            told_by: BTreeMap::new(),
            asked: BTreeMap::new(),
            to_server: now,
            to_device: now,
        }
    }
}

impl World {
    pub(super) fn network_acts(&mut self) {
        if self.now >= CHAOS {
            return;
        }
        self.plan_next(1_000..20_000, Happening::NetworkActs);
        let mut connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        connections.sort();
        if let Some(connection) = pick(&mut self.rng, &connections) {
            self.totals.broken_connections += 1;
            if self.rng.random_bool(0.3) {
                // The device itself is away: out of reach, or its battery empty.
                let shortest = if self.patience == 8 { 90_000 } else { 1_000 };
                let away = self.now + self.rng.random_range(shortest..150_000);
                let device = self.connections[&connection].device;
                self.apps[device].away_until = away;
            }
            self.cut(connection, 20_000, true);
        }
    }

    /// Nothing gets through from now on; each side notices at a time of its own.
    pub(super) fn cut(&mut self, connection: ConnectionId, notice: u64, server_notices: bool) {
        let now = self.now;
        let Some(open) = self.connections.get_mut(&connection).filter(|open| open.cut_at.is_none()) else { return };
        // What is under way may still arrive when it was the server that closed in good order.
        open.cut_at = Some(if server_notices { now } else { open.to_device.max(now) + 1 });
        let at = self.rng.random_range(0..notice) + open.to_device.saturating_sub(now) + 1;
        self.plan(at, Happening::DeviceSeesEnd(connection));
        if server_notices {
            let at = self.rng.random_range(0..notice);
            self.plan(at, Happening::ServerSeesEnd(connection));
        }
    }

    pub(super) fn send_to_device(&mut self, connection: ConnectionId, text: Option<String>) {
        let delay = self.delay();
        let Some(open) = self.connections.get_mut(&connection) else { return };
        open.to_device = open.to_device.max(self.now + delay);
        let wait = open.to_device - self.now;
        self.plan(wait, Happening::ToDevice { connection, text });
    }

    /// Whether a message arrives twice: as after a reconnect, when what was not answered is sent again.
    pub(super) fn duplicates(&mut self) -> bool {
        let twice = self.is_chaos() && self.rng.random_bool(0.02);
        self.totals.duplicated_messages += usize::from(twice);
        twice
    }

    /// The server ends a connection in good order.
    pub(super) fn say_goodbye(&mut self, connection: ConnectionId, error: Error) {
        self.send_to_device(connection, Some(ServerMessage::bye(error).to_json()));
        self.cut(connection, 1_000, false);
    }

    /// The device of a connection on which something can arrive now.
    pub(super) fn open(&self, connection: ConnectionId) -> Option<usize> {
        let open = self.connections.get(&connection)?;
        open.cut_at.is_none_or(|at| self.now < at).then_some(open.device)
    }

    /// A batch is stored, and what there is to tell is under way: a device that the server knew before hears with it of
    /// each call that is over now. One whose hello is in the batch may have been welcomed just before that.
    pub(super) fn note_who_is_told(&mut self) {
        let over: Vec<_> = self.stored.iter().filter(|session| self.store[session].call.status.is_over()).collect();
        for open in self.connections.values_mut() {
            if open.known {
                open.told_by.extend(over.iter().map(|session| (SessionId::clone(session), open.to_device)));
            }
            open.known = open.greeted;
        }
    }

    pub(super) fn delay(&mut self) -> u64 {
        if self.is_chaos() && self.rng.random_bool(0.05) {
            self.rng.random_range(100..LONGEST_DELAY)
        } else {
            self.rng.random_range(1..80)
        }
    }
}

/// The call that a device asks about.
pub(super) fn question(message: &ClientMessage) -> Option<SessionId> {
    let ClientMessage::Request(request) = message else { return None };
    match request.parse() {
        Ok(Request::Query(Query::Call(asked))) => Some(asked.session_id),
        _ => None,
    }
}
