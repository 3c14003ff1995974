//! The network, the store, the session server and the crashes between two real machines.

mod checks;
mod network;
mod owner;
mod totals;
mod trace;

pub use totals::Totals;

use super::app::App;
use network::{Connection, question};
use owner::Directory;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};
use trill::base::{DeviceId, Error, ErrorCode, RequestId, SessionId, Uid, UnixMillis};
use trill::ringing::client::{ClientOutput, LoginState};
use trill::ringing::service::{
    CallRecord, ConnectionId, Input, Output, REMEMBER_ENDED, RoomInput, Service, ServiceSettings,
};
use trill::ringing::wire::{Answer, ClientMessage, Command, MAX_MESSAGE, Query, Request, Response, ServerMessage};
use trill::ringing::{CallStatus, User};

/// Until then the world is kind: everyone logs in. A first login that fails is not tried again, and not tried here.
const KIND: u64 = 2_000;

/// Until then people and networks misbehave, in virtual milliseconds; after it there is peace.
const CHAOS: u64 = 90_000;

/// By then every call must be over.
const END: u64 = CHAOS + 400_000;

const PING: u64 = 10_000;

/// How long the server gathers what it stores together, and how long a read of the store takes.
const LONGEST_BATCH: u64 = 30;
const LONGEST_READ: u64 = 100;

/// What happens at some time.
#[derive(Debug)]
enum Happening {
    ToServer {
        connection: ConnectionId,
        text: String,
    },
    ToDevice {
        connection: ConnectionId,
        text: Option<String>,
    },
    /// The server has read something from the store for a device.
    Read {
        connection: ConnectionId,
        text: String,
    },
    ServerSeesEnd(ConnectionId),
    DeviceSeesEnd(ConnectionId),
    /// An attempt to connect comes to its end.
    Attempted {
        device: usize,
    },
    /// What the server has gathered is stored and told.
    Flush,
    PersonActs {
        device: usize,
    },
    RoomActs,
    NetworkActs,
    OwnerActs,
    Crash,
    ServerStarts,
    ServerTimer,
    DeviceTimer {
        device: usize,
    },
    Ping,
}

pub struct World {
    rng: StdRng,
    trace: bool,
    /// How slowly people act: some races need haste, some time-outs patience.
    patience: u64,
    now: u64,
    start: Instant,
    sequence: u64,
    happenings: BTreeMap<(u64, u64), Happening>,
    server: Option<Service>,
    /// When the running server started.
    up_since: Option<u64>,
    flush_planned: bool,
    /// What the batch holds that no device asked for, and what is to be fed again after a failure of the store.
    facts: Vec<Input>,
    held: Vec<Input>,
    store: BTreeMap<SessionId, CallRecord>,
    rooms: BTreeMap<SessionId, BTreeSet<Uid>>,
    connections: HashMap<ConnectionId, Connection>,
    next_connection: u64,
    apps: Vec<App>,
    users: Vec<Uid>,
    directory: Directory,
    /// Who asked to accept what, and who called whom: consent is one of these.
    accepts: BTreeSet<(Uid, SessionId)>,
    /// Which call a command was answered with.
    answers: BTreeMap<RequestId, SessionId>,
    commands: BTreeSet<RequestId>,
    dialled: BTreeSet<(Uid, String)>,
    /// Since when two devices of a user take themselves to be in one call.
    doubled: BTreeMap<Uid, u64>,
    /// What the latest transaction changed.
    stored: Vec<SessionId>,
    /// Since when all is over and everyone knows.
    quiet_since: Option<u64>,
    totals: Totals,
}

impl World {
    /// With `trace`, what happens is printed.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let users: Vec<Uid> = ["alice", "bob", "carol"].map(|uid| Uid::new(uid).unwrap()).into();
        let mut apps = Vec::new();
        for uid in &users {
            for device in 0..rng.random_range(1..=2) {
                let device = DeviceId::new(format!("{uid}-{device}")).unwrap();
                apps.push(App::new(uid.clone(), device, rng.random_bool(0.2), rng.random()));
            }
        }
        let patience = [1, 1, 2, 8][rng.random_range(0..4)];
        let mut world = Self {
            rng,
            trace,
            patience,
            now: 0,
            start: Instant::now(),
            sequence: 0,
            happenings: BTreeMap::new(),
            server: None,
            up_since: None,
            flush_planned: false,
            facts: Vec::new(),
            held: Vec::new(),
            store: BTreeMap::new(),
            rooms: BTreeMap::new(),
            connections: HashMap::new(),
            next_connection: 1,
            directory: Directory::new(&users),
            apps,
            users,
            accepts: BTreeSet::new(),
            answers: BTreeMap::new(),
            commands: BTreeSet::new(),
            dialled: BTreeSet::new(),
            doubled: BTreeMap::new(),
            stored: Vec::new(),
            quiet_since: None,
            totals: Totals::default(),
        };
        world.plan(0, Happening::ServerStarts);
        world.plan(PING, Happening::Ping);
        for device in 0..world.apps.len() {
            world.apps[device].client.start();
            let at = world.rng.random_range(1_000..5_000);
            world.plan(at, Happening::PersonActs { device });
        }
        let mut happenings = vec![Happening::RoomActs, Happening::NetworkActs];
        if world.rng.random_bool(0.7) {
            happenings.push(Happening::Crash);
        }
        if world.rng.random_bool(0.25) {
            happenings.push(Happening::OwnerActs);
        }
        for happening in happenings {
            let at = world.rng.random_range(KIND..30_000);
            world.plan(at, happening);
        }
        world
    }

    pub fn run(mut self) -> Totals {
        while let Some(((at, _), happening)) = self.happenings.pop_first() {
            if at > END {
                break;
            }
            self.now = at;
            let told = matches!(happening, Happening::ToDevice { text: Some(_), .. });
            let (stored, pings) = (matches!(happening, Happening::Flush), matches!(happening, Happening::Ping));
            self.happen(happening);
            self.devices_carry_out();
            if stored {
                self.check_stored();
            }
            if stored || told || pings {
                self.check_devices();
            }
            if pings && self.is_quiet() {
                break;
            }
        }
        self.check_peace();
        self.totals
    }

    fn happen(&mut self, happening: Happening) {
        if self.trace {
            self.trace_happening(&happening);
        }
        match happening {
            Happening::ToServer { connection, text } => self.server_receives(connection, &text),
            Happening::ToDevice { connection, text } => self.device_receives(connection, text),
            Happening::Read { connection, text } => self.send_to_device(connection, Some(text)),
            Happening::ServerSeesEnd(connection) => self.server_input(Input::Disconnected { connection }),
            Happening::DeviceSeesEnd(connection) => self.device_sees_end(connection),
            Happening::Attempted { device } => self.attempted(device),
            Happening::Flush => self.flush(),
            Happening::PersonActs { device } => self.person_acts(device),
            Happening::RoomActs => self.room_acts(),
            Happening::NetworkActs => self.network_acts(),
            Happening::OwnerActs => self.owner_acts(),
            Happening::Crash => {
                if self.now < CHAOS {
                    self.crash();
                    let again = self.rng.random_range(10_000..60_000);
                    self.plan(again, Happening::Crash);
                }
            }
            Happening::ServerStarts => self.server_starts(),
            Happening::ServerTimer => {
                let now = UnixMillis(self.now);
                if let Some(server) =
                    self.server.as_mut().filter(|server| server.next_wake().is_some_and(|at| at <= now))
                {
                    server.fire_timers(now);
                    self.plan_flush();
                }
            }
            Happening::DeviceTimer { device } => {
                let now = self.instant();
                self.apps[device].timer_at = None;
                self.apps[device].client.tick(now);
            }
            Happening::Ping => {
                let mut connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
                connections.sort();
                if self.server.is_some() {
                    connections.into_iter().for_each(|connection| self.send_to_device(connection, None));
                }
                self.plan(PING, Happening::Ping);
            }
        }
    }

    // The server's side.

    fn server_starts(&mut self) {
        let mut server = Service::new(ServiceSettings::default(), Duration::from_millis(PING), self.rng.random());
        let since = UnixMillis(self.now.saturating_sub(REMEMBER_ENDED.as_millis() as u64));
        let records = self.store.values().filter(|record| record.call.ended_at.is_none_or(|at| at >= since));
        server.restore(records.cloned().collect(), UnixMillis(self.now));
        self.server = Some(server);
        self.up_since = Some(self.now);
        self.plan_flush();
        self.owner_acted_before();
    }

    /// SIGKILL: what was not stored is gone, and so is every connection.
    fn crash(&mut self) {
        if self.server.take().is_none() {
            return;
        }
        self.totals.crashes += 1;
        self.rooms.clear();
        self.facts.clear();
        self.held.clear();
        let mut connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        connections.sort();
        for connection in connections {
            self.cut(connection, 3_000, false);
        }
        let back = self.rng.random_range(50..15_000);
        self.plan(back, Happening::ServerStarts);
    }

    fn server_receives(&mut self, connection: ConnectionId, text: &str) {
        let Some(device) = self.open(connection) else { return };
        let input = match ClientMessage::parse(text, MAX_MESSAGE).unwrap() {
            ClientMessage::Hello(_) if self.directory.is_removed(&self.apps[device].uid) => {
                return self.say_goodbye(connection, ErrorCode::UserRemoved.into());
            }
            ClientMessage::Hello(hello) => {
                let user = User::new(self.apps[device].uid.clone());
                let call_waiting = hello.call_waiting;
                if let Some(open) = self.connections.get_mut(&connection) {
                    open.greeted = true;
                }
                Input::Connected { connection, user, device: hello.device_id, call_waiting }
            }
            ClientMessage::Request(message) => match message.parse().unwrap() {
                Request::Command(command) => {
                    let receiver = match &command {
                        Command::Initiate(initiate) => self.callee(&initiate.receiver),
                        _ => None,
                    };
                    if !matches!(command, Command::Ringing(_)) {
                        self.commands.insert(message.id.clone());
                    }
                    Input::Command { connection, id: message.id, command, receiver }
                }
                Request::Query(query) => {
                    let Query::Call(asked) = query else { panic!("{query:?}") };
                    let stored = self.store.get(&asked.session_id).map(|record| record.call.clone());
                    let answer = stored.map(|call| Answer::Call(Box::new(call)));
                    let answer = answer.ok_or_else(|| Error::from(ErrorCode::CallNotFound));
                    let response = Response::new(message.id, answer);
                    // What was read may be old by the time it is sent.
                    let wait = self.rng.random_range(0..LONGEST_READ);
                    let text = ServerMessage::Response(response).to_json();
                    return self.plan(wait, Happening::Read { connection, text });
                }
            },
        };
        self.server_input(input);
    }

    fn server_input(&mut self, input: Input) {
        let now = UnixMillis(self.now);
        if self.server.is_none() {
            return;
        }
        if !matches!(input, Input::Connected { .. } | Input::Disconnected { .. } | Input::Command { .. }) {
            self.trace_fact(&input);
            self.facts.push(input.clone());
        }
        if let Some(server) = &mut self.server {
            server.handle(now, input);
        }
        self.plan_flush();
    }

    fn plan_flush(&mut self) {
        if !self.flush_planned {
            self.flush_planned = true;
            let later = if self.rng.random_bool(0.5) { 0 } else { self.rng.random_range(0..LONGEST_BATCH) };
            self.plan(later, Happening::Flush);
        }
    }

    /// The end of a batch, as the server's driver does it: store, then tell. Either may fail, and so may the server.
    fn flush(&mut self) {
        self.flush_planned = false;
        let chaos = self.is_chaos();
        let now = UnixMillis(self.now);
        let Some(server) = &mut self.server else { return };
        let unsaved: Vec<CallRecord> = server.unsaved().into_iter().cloned().collect();
        let facts = std::mem::take(&mut self.facts);
        let outputs = if !unsaved.is_empty() && chaos && self.rng.random_bool(0.03) {
            self.totals.store_failures += 1;
            self.held.extend(facts);
            server.rollback(now, &Error::from(ErrorCode::StoreFailed))
        } else {
            for record in &unsaved {
                let before = self.store.insert(record.call.session_id.clone(), record.clone());
                checks::check_change(before.as_ref(), record);
                self.stored.push(record.call.session_id.clone());
            }
            if !unsaved.is_empty() && chaos && self.rng.random_bool(0.01) {
                self.totals.crashes_between_store_and_answer += 1;
                return self.crash();
            }
            server.commit()
        };
        for output in outputs {
            match output {
                Output::Send { connection, message } => {
                    self.check_answer(&message);
                    let text = message.to_json();
                    if !matches!(message, ServerMessage::Welcome(_)) && self.duplicates() {
                        self.send_to_device(connection, Some(text.clone()));
                    }
                    self.send_to_device(connection, Some(text));
                }
                Output::Close { connection, error } => self.say_goodbye(connection, error),
                Output::CloseRoom { session, .. } => drop(self.rooms.remove(&session)),
                Output::LeaveRoom { session, uid } => {
                    self.rooms.entry(session).or_default().remove(&uid);
                }
            }
        }
        self.note_who_is_told();
        for fact in std::mem::take(&mut self.held) {
            self.server_input(fact);
        }
        if let Some(at) = self.server.as_ref().and_then(Service::next_wake) {
            self.plan(at.0.saturating_sub(self.now), Happening::ServerTimer);
        }
    }

    // The session server: whoever may join does, now and then, and leaves.

    fn room_acts(&mut self) {
        self.plan_next(300..4_000, Happening::RoomActs);
        // The gate speaks of what is stored: the driver asks between batches.
        if self.server.is_none() || self.flush_planned {
            return;
        }
        let ongoing: Vec<SessionId> = self.sessions(CallStatus::Ongoing);
        let ringing = self.sessions(CallStatus::Initiated);
        for session in &ringing {
            for uid in self.users.clone() {
                let answer = self.server.as_ref().and_then(|server| server.may_join(session, uid.as_str()));
                assert!(
                    !matches!(answer, Some(Ok(()))),
                    "rule `no session token before an accept`: {uid} may join {session}"
                );
            }
        }
        let Some(session) = pick(&mut self.rng, &ongoing) else { return };
        let uid = self.users[self.rng.random_range(0..self.users.len())].clone();
        let inside = self.rooms.get(&session).is_some_and(|room| room.contains(&uid));
        let participant = self.store[&session].call.participant(&uid).and_then(|p| p.device_id.clone());
        let away = self.apps.iter().any(|app| Some(&app.device) == participant.as_ref() && app.away_until > self.now);
        let event = match self.rng.random_range(0..20) {
            0 if self.rooms.get(&session).is_some_and(|room| room.len() == 1) => RoomInput::LeftAlone,
            1 if self.rooms.get(&session).is_some_and(BTreeSet::is_empty) => RoomInput::Closed,
            _ if away && !inside => return,
            0..5 if inside && !away => return,
            _ if inside => {
                self.rooms.entry(session.clone()).or_default().remove(&uid);
                RoomInput::Left(uid)
            }
            _ => {
                let answer = self.server.as_ref().and_then(|server| server.may_join(&session, uid.as_str()));
                if !matches!(answer, Some(Ok(()))) {
                    return;
                }
                self.rooms.entry(session.clone()).or_default().insert(uid.clone());
                RoomInput::Joined(uid)
            }
        };
        self.server_input(Input::Room { session, event });
    }

    // The devices' side.

    fn device_receives(&mut self, connection: ConnectionId, text: Option<String>) {
        let Some(device) = self.open(connection) else { return };
        if self.apps[device].connection != Some(connection) {
            return;
        }
        let now = self.instant();
        match text {
            Some(text) => self.apps[device].client.received(now, &text),
            None => self.apps[device].client.heard(now),
        }
    }

    fn device_sees_end(&mut self, connection: ConnectionId) {
        let Some(device) = self.connections.get(&connection).map(|open| open.device) else { return };
        if self.apps[device].connection == Some(connection) {
            self.apps[device].connection = None;
            let now = self.instant();
            self.apps[device].client.disconnected(now, Error::from(ErrorCode::ConnectionLost));
        }
        self.connections.remove(&connection);
    }

    fn attempted(&mut self, device: usize) {
        let now = self.instant();
        let away = self.now < self.apps[device].away_until;
        let refused = away || self.server.is_none() || (self.is_chaos() && self.rng.random_bool(0.1));
        if refused {
            return self.apps[device].client.disconnected(now, Error::from(ErrorCode::ServerUnreachable));
        }
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(connection, Connection::new(device, self.now));
        self.apps[device].connection = Some(connection);
        self.apps[device].client.connected(now);
    }

    fn person_acts(&mut self, device: usize) {
        let calm = self.now >= CHAOS;
        let patience = self.patience;
        let wait = match (calm, patience) {
            (false, 8) => 10_000..150_000,
            (false, _) => 500 * patience..12_000 * patience,
            // So long that a lost connection ends a call before a person does.
            (true, 8) if self.now < CHAOS + 100_000 => 150_000..250_000,
            (true, _) => 5_000..60_000,
        };
        self.plan_next(wait, Happening::PersonActs { device });
        let others: Vec<Uid> = self.users.iter().filter(|uid| **uid != self.apps[device].uid).cloned().collect();
        let now = self.instant();
        let app = &mut self.apps[device];
        if app.is_logged_out() {
            return;
        }
        let command = app.act(now, &mut self.rng, &others, calm);
        let uid = app.uid.clone();
        match command {
            Some(Command::Accept(call)) => drop(self.accepts.insert((uid, call.session_id))),
            Some(Command::Initiate(initiate)) => drop(self.dialled.insert((uid, initiate.receiver))),
            _ => {}
        }
    }

    fn devices_carry_out(&mut self) {
        for device in 0..self.apps.len() {
            while let Some(output) = self.apps[device].client.poll_output() {
                if self.trace {
                    self.trace_output(device, &output);
                }
                match output {
                    ClientOutput::Connect => {
                        let delay = self.delay();
                        self.plan(delay, Happening::Attempted { device });
                    }
                    ClientOutput::Disconnect => {
                        if let Some(connection) = self.apps[device].connection.take() {
                            self.connections.remove(&connection);
                            let notice = self.rng.random_range(1..20_000);
                            self.plan(notice, Happening::ServerSeesEnd(connection));
                        }
                    }
                    ClientOutput::Send(message) => {
                        let delay = self.delay();
                        let connection = self.apps[device].connection;
                        let Some(connection) = connection else { continue };
                        let Some(open) = self.connections.get_mut(&connection) else { continue };
                        open.asked.extend(question(&message).map(|session| (session, self.now)));
                        open.to_server = open.to_server.max(self.now + delay);
                        let wait = open.to_server - self.now;
                        let text = message.to_json();
                        if matches!(message, ClientMessage::Request(_)) && self.duplicates() {
                            self.plan(wait, Happening::ToServer { connection, text: text.clone() });
                        }
                        self.plan(wait, Happening::ToServer { connection, text });
                    }
                    ClientOutput::Event(event) => self.apps[device].told(event),
                    ClientOutput::Answer { id, result } => self.apps[device].answered(&id, result),
                    ClientOutput::Login(LoginState::LoggedOut(_)) => self.apps[device].logged_out(),
                    ClientOutput::Login(_) => {}
                }
            }
            if let Some(at) = self.apps[device].client.next_wake() {
                let at = at.saturating_duration_since(self.start).as_millis() as u64;
                let at = (at + 1).max(self.now);
                // Only the nearest matters: a later one is planned when that is reached.
                if self.apps[device].timer_at.is_none_or(|planned| at < planned) {
                    self.apps[device].timer_at = Some(at);
                    self.plan(at - self.now, Happening::DeviceTimer { device });
                }
            }
        }
    }

    fn is_chaos(&self) -> bool {
        (KIND..CHAOS).contains(&self.now)
    }

    fn sessions(&self, status: CallStatus) -> Vec<SessionId> {
        let calls = self.store.values().map(|record| &record.call);
        calls.filter(|call| call.status == status).map(|call| call.session_id.clone()).collect()
    }

    fn plan_next(&mut self, wait: std::ops::Range<u64>, happening: Happening) {
        let wait = self.rng.random_range(wait);
        self.plan(wait, happening);
    }

    fn plan(&mut self, wait: u64, happening: Happening) {
        self.sequence += 1;
        self.happenings.insert((self.now + wait, self.sequence), happening);
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }
}

fn pick<T: Clone>(rng: &mut StdRng, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| from[rng.random_range(0..from.len())].clone())
}
