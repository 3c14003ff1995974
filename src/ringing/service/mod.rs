//! The server's machine: every unfinished call, the devices that are there, and the time limits.
//!
//! # The run loop
//!
//! 1. Feed any number of inputs with [`Service::handle`], and [`Service::fire_timers`] when [`Service::next_wake`] is
//!    reached. Each changes the machine at once; what there is to tell is held back.
//! 2. Persist every record of [`Service::unsaved`], and what there is to tell others of [`Service::changes`], in one
//!    transaction.
//! 3. When that is done, [`Service::commit`] releases the outputs. When it failed, [`Service::rollback`] undoes the
//!    changes and answers each request of the batch with `store_failed`. Inputs of the batch that no device asked for
//!    ([`Input::Room`] and the owner's) are to be fed again.
//!
//! So nobody is told anything that a crash could take back, and one transaction carries many changes.
//!
//! After a restart the machine is rebuilt from the stored records with [`Service::restore`]. Ring time-outs are
//! absolute and go on; a device has its whole grace time again, since it was the server that was away.

mod changes;
mod commands;
mod entry;
mod initiate;
mod owner;
mod tell;
mod timers;

pub use entry::{AppliedRequest, CallRecord};

use super::call::{Callee, ParticipantState, User};
use super::event::Actor;
use super::wire::{Answer, Command, Response, ServerMessage};
use super::{Call, CallStatus, EndReason};
use crate::base::{DeviceId, Error, ErrorCode, GroupId, RequestId, Result, SessionId, Uid, UnixMillis};
use entry::Entry;
use rand::{SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use timers::Timers;

/// The time limits and sizes. All from the owner's configuration.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// How long a call rings when its initiator does not say.
    pub ring_timeout: Duration,
    /// The shortest and longest ringing an initiator may ask for.
    pub ring_timeout_range: (Duration, Duration),
    /// How long the initiator's device may be gone while it rings.
    pub caller_grace: Duration,
    /// How long a device may be gone from an ongoing call, with neither its connection nor its session there.
    pub call_grace: Duration,
    /// Devices of one user that may be logged in at a time.
    pub max_devices: usize,
    /// Calls of one user that may ring or be ongoing at a time: who calls it then is refused, and as a member of a
    /// group that is called it is busy.
    pub max_open_calls: usize,
    /// Bytes of JSON that a call's metadata may have.
    pub max_metadata: usize,
    /// Parties to one call: a group with more members cannot be called.
    pub max_participants: usize,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            ring_timeout: Duration::from_secs(45),
            ring_timeout_range: (Duration::from_secs(5), Duration::from_secs(180)),
            caller_grace: Duration::from_secs(10),
            call_grace: Duration::from_secs(60),
            max_devices: 16,
            max_open_calls: 16,
            max_metadata: super::MAX_METADATA,
            max_participants: 100,
        }
    }
}

/// How long a call that is over is remembered, so that a request sent again finds its effect.
pub const REMEMBER_ENDED: Duration = Duration::from_secs(600);

/// One connection of a device, as the driver numbers them. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What comes in.
#[derive(Clone, Debug)]
pub enum Input {
    /// A device's token was accepted; `user` is as stored.
    Connected { connection: ConnectionId, user: User, device: DeviceId, call_waiting: bool },
    /// A connection is gone.
    Disconnected { connection: ConnectionId },
    /// `receiver`: for initiate, the receiving user or group as stored, if there is one.
    Command { connection: ConnectionId, id: RequestId, command: Command, receiver: Option<Callee> },
    /// What the session server says about the room of a call. Other rooms are passed over.
    Room { session: SessionId, event: RoomInput },
    /// The owner removed a user, and the store knows it no more: it is out of its calls at once, its devices are logged
    /// out.
    UserRemoved(Uid),
    /// The owner took a user out of a group: it is out of that group's calls at once, and cannot join them any more.
    MemberRemoved { guid: GroupId, uid: Uid },
    /// The owner put a user into a group: it may join the group's calls, and rings for those that ring.
    MemberAdded { guid: GroupId, user: User },
    /// The owner removed a group: its calls are over.
    GroupRemoved(GroupId),
}

/// What happened in the room of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomInput {
    Joined(Uid),
    Left(Uid),
    /// One party has been alone for too long.
    LeftAlone,
    /// Nobody is left in it.
    Closed,
    /// The session server cannot go on with it.
    Failed,
}

/// What goes out.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "short-lived, and most of them are the large one")]
pub enum Output {
    Send {
        connection: ConnectionId,
        message: ServerMessage,
    },
    /// Tell the device why and close its connection.
    Close {
        connection: ConnectionId,
        error: Error,
    },
    /// The call is over: nobody is to be in its room any more.
    CloseRoom {
        session: SessionId,
        reason: EndReason,
    },
    /// This user is out of a call that goes on: it is not to be in the room any more.
    LeaveRoom {
        session: SessionId,
        uid: Uid,
    },
}

pub struct Service {
    settings: ServiceSettings,
    ping_interval: Duration,
    rng: StdRng,
    users: HashMap<Uid, UserEntry>,
    connections: HashMap<ConnectionId, (Uid, DeviceId)>,
    calls: HashMap<SessionId, Entry>,
    /// How many of them are not over: those that are, are remembered for a while, and may be very many.
    active: usize,
    /// Which call a request made or changed.
    applied: HashMap<AppliedKey, SessionId>,
    timers: Timers,
    batch: Batch,
}

type AppliedKey = (Uid, DeviceId, RequestId);

/// What a rollback needs, and what a commit releases.
#[derive(Default)]
struct Batch {
    /// Each changed call as it was before the batch; `None` when it was not there.
    before: BTreeMap<SessionId, Option<Entry>>,
    /// The calls among them whose record changed.
    unsaved: BTreeSet<SessionId>,
    outputs: Vec<Output>,
    requests: Vec<(ConnectionId, RequestId)>,
    /// The device whose request is being done.
    asking: Option<(Uid, DeviceId)>,
    connected: Vec<ConnectionId>,
    /// Users of whom something may be forgotten when the batch is done.
    idle: BTreeSet<Uid>,
}

#[derive(Default)]
struct UserEntry {
    /// As of the latest login.
    profile: Option<User>,
    devices: BTreeMap<DeviceId, Device>,
    /// Calls of this user that are not over.
    calls: BTreeSet<SessionId>,
}

struct Device {
    connection: Option<ConnectionId>,
    call_waiting: bool,
    lost_at: UnixMillis,
}

impl Service {
    /// `seed` is 32 bytes from the system's random source: session ids come from it.
    pub fn new(settings: ServiceSettings, ping_interval: Duration, seed: [u8; 32]) -> Self {
        Self {
            settings,
            ping_interval,
            rng: StdRng::from_seed(seed),
            users: HashMap::new(),
            connections: HashMap::new(),
            calls: HashMap::new(),
            active: 0,
            applied: HashMap::new(),
            timers: Timers::default(),
            batch: Batch::default(),
        }
    }

    /// Takes back what an earlier run stored: the calls that are not over, and those that ended within
    /// [`REMEMBER_ENDED`].
    pub fn restore(&mut self, records: Vec<CallRecord>, now: UnixMillis) {
        for mut record in records {
            let session = record.call.session_id.clone();
            // The clock may have been set back since: a call rings no longer than any may.
            record.rings_until = record.rings_until.min(now + self.settings.ring_timeout_range.1);
            if !record.call.status.is_over() {
                for participant in record.call.participants.iter().filter(|p| p.is_in_call()) {
                    let Some(device) = participant.device_id.clone() else { continue };
                    let gone = Device { connection: None, call_waiting: false, lost_at: now };
                    self.users.entry(participant.uid.clone()).or_default().devices.insert(device, gone);
                }
            }
            self.put(Entry::new(record));
            self.reschedule(&session);
        }
    }

    /// Changes the machine; see the run loop in the module's text.
    pub fn handle(&mut self, now: UnixMillis, input: Input) {
        match input {
            Input::Connected { connection, user, device, call_waiting } => {
                self.connected(now, connection, user, device, call_waiting)
            }
            Input::Disconnected { connection } => self.disconnected(now, connection),
            Input::Command { connection, id, command, receiver } => {
                // A connection that was closed meanwhile has nobody to answer.
                let Some((uid, device)) = self.connections.get(&connection).cloned() else { return };
                self.batch.requests.push((connection, id.clone()));
                let asker = Asker { uid, device, request: id.clone() };
                self.batch.asking = Some((asker.uid.clone(), asker.device.clone()));
                let result = self.command(now, &asker, command, receiver);
                self.batch.asking = None;
                let answer = result.map(|call| Answer::Call(Box::new(call)));
                self.send(connection, ServerMessage::Response(Response::new(id, answer)));
            }
            Input::Room { session, event } => self.room(now, &session, event),
            Input::UserRemoved(uid) => self.user_removed(now, &uid),
            Input::MemberRemoved { guid, uid } => self.member_removed(now, &guid, &uid),
            Input::MemberAdded { guid, user } => self.member_added(now, &guid, &user),
            Input::GroupRemoved(guid) => self.group_removed(now, &guid),
        }
    }

    /// The records to persist before [`Self::commit`]; empty when this batch changed none.
    pub fn unsaved(&self) -> Vec<&CallRecord> {
        self.batch.unsaved.iter().filter_map(|session| self.calls.get(session)).map(|entry| &entry.record).collect()
    }

    /// The batch is durable: it is done, and this is what there is to tell.
    pub fn commit(&mut self) -> Vec<Output> {
        let batch = std::mem::take(&mut self.batch);
        for uid in &batch.idle {
            self.forget_idle(uid);
        }
        batch.outputs
    }

    /// The store refused the batch: calls are as they were before it, and each request of it fails with `error`.
    /// Devices that came and went in it stay so.
    pub fn rollback(&mut self, now: UnixMillis, error: &Error) -> Vec<Output> {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch.idle = std::mem::take(&mut batch.idle);
        for (session, before) in batch.before {
            self.take(&session);
            if let Some(entry) = before {
                self.put(entry);
            }
            self.reschedule(&session);
        }
        for output in batch.outputs {
            if matches!(output, Output::Close { .. }) {
                self.batch.outputs.push(output);
            }
        }
        for connection in batch.connected {
            self.welcome(now, connection);
        }
        for (connection, id) in batch.requests {
            // Sent again, it had its effect in an earlier batch: that stands.
            let call = self.connections.get(&connection).and_then(|(uid, device)| self.applied_as(uid, device, &id));
            let answer = call.map(|call| Answer::Call(Box::new(call.clone()))).ok_or_else(|| error.clone());
            self.send(connection, ServerMessage::Response(Response::new(id, answer)));
        }
        self.commit()
    }

    /// Whether `identity` may be in the room of that call now; `None` when no call that is known here has that room.
    ///
    /// Consent: before the callee accepts nobody may, so nothing is forwarded.
    pub fn may_join(&self, session: &SessionId, identity: &str) -> Option<Result<()>> {
        self.calls.get(session).map(|entry| may_join(&entry.record.call, identity))
    }

    /// The profile of a user who is logged in or in a call since this server started.
    pub fn profile(&self, uid: &Uid) -> Option<&User> {
        self.users.get(uid)?.profile.as_ref()
    }

    /// Calls that are not over.
    pub fn active_calls(&self) -> usize {
        self.active
    }

    fn connected(
        &mut self,
        now: UnixMillis,
        connection: ConnectionId,
        user: User,
        device: DeviceId,
        call_waiting: bool,
    ) {
        let uid = user.uid.clone();
        let entry = self.users.entry(uid.clone()).or_default();
        entry.profile = Some(user);
        if !entry.devices.contains_key(&device) && entry.devices.len() >= self.settings.max_devices {
            let text = format!("{uid} is logged in on {} devices, as many as may be", entry.devices.len());
            let error = Error::new(ErrorCode::TooManyRequests, text);
            return self.batch.outputs.push(Output::Close { connection, error });
        }
        let here = Device { connection: Some(connection), call_waiting, lost_at: now };
        let replaced = entry.devices.insert(device.clone(), here).and_then(|before| before.connection);
        if let Some(old) = replaced {
            self.connections.remove(&old);
            self.batch.outputs.push(Output::Close { connection: old, error: ErrorCode::DeviceReplaced.into() });
        }
        self.connections.insert(connection, (uid.clone(), device));
        self.batch.connected.push(connection);
        self.welcome(now, connection);
        self.reschedule_user(&uid);
    }

    /// Tells a device who it is and which calls concern it, as they are now.
    fn welcome(&mut self, now: UnixMillis, connection: ConnectionId) {
        let Some((uid, device)) = self.connections.get(&connection).cloned() else { return };
        let Some(user) = self.profile(&uid).cloned() else { return };
        let mut calls = Vec::new();
        for session in self.calls_of(&uid) {
            let Some(entry) = self.calls.get(&session) else { continue };
            let rings = self.rings_on(entry, &uid, &device);
            if rings || entry.call().has_device(&uid, &device) {
                calls.push(entry.call().clone());
            }
            if rings {
                self.touch(&session);
                if let Some(entry) = self.calls.get_mut(&session) {
                    entry.rung.insert((uid.clone(), device.clone()));
                }
            }
        }
        let ping_interval_ms = self.ping_interval.as_millis() as u64;
        let welcome = super::wire::Welcome { version: super::wire::VERSION, user, time: now, ping_interval_ms, calls };
        self.send(connection, ServerMessage::Welcome(welcome));
    }

    fn disconnected(&mut self, now: UnixMillis, connection: ConnectionId) {
        let Some((uid, device)) = self.connections.remove(&connection) else { return };
        let Some(entry) = self.users.get_mut(&uid) else { return };
        if let Some(device) = entry.devices.get_mut(&device) {
            device.connection = None;
            device.lost_at = now;
        }
        self.wake_for_calls(&uid);
        self.reschedule_user(&uid);
        self.batch.idle.insert(uid);
    }

    fn room(&mut self, now: UnixMillis, session: &SessionId, event: RoomInput) {
        if self.calls.get(session).is_none_or(|entry| entry.call().status != CallStatus::Ongoing) {
            return;
        }
        match event {
            RoomInput::Joined(uid) => self.in_room(now, session, &uid, true),
            RoomInput::Left(uid) => self.in_room(now, session, &uid, false),
            RoomInput::LeftAlone => self.finish(now, session, EndReason::LeftAlone, None),
            RoomInput::Closed => self.finish(now, session, EndReason::EveryoneLeft, None),
            RoomInput::Failed => self.finish(now, session, EndReason::Failed, None),
        }
    }

    fn in_room(&mut self, now: UnixMillis, session: &SessionId, uid: &Uid, inside: bool) {
        if !self.known(session).is_ok_and(|call| call.participant(uid).is_some_and(|p| p.is_in_call())) {
            return;
        }
        self.change(session, |entry| {
            entry.record.call.revision += 1;
            let Some(participant) = entry.record.call.participant_mut(uid) else { return };
            if inside {
                participant.state = ParticipantState::Joined;
                participant.joined = true;
                participant.joined_at.get_or_insert(now);
                entry.in_room.insert(uid.clone());
            } else {
                participant.state = ParticipantState::Left;
                participant.left_at = Some(now);
                entry.in_room.remove(uid);
            }
        });
        self.reschedule(session);
    }

    fn send(&mut self, connection: ConnectionId, message: ServerMessage) {
        self.batch.outputs.push(Output::Send { connection, message });
    }

    fn connection_of(&self, uid: &Uid, device: &DeviceId) -> Option<ConnectionId> {
        self.users.get(uid)?.devices.get(device)?.connection
    }

    fn devices_of(&self, uid: &Uid) -> Vec<(Uid, DeviceId)> {
        let devices = self.users.get(uid).map(|user| user.devices.keys()).into_iter().flatten();
        devices.map(|device| (uid.clone(), device.clone())).collect()
    }

    fn calls_of(&self, uid: &Uid) -> Vec<SessionId> {
        self.users.get(uid).map(|user| user.calls.iter().cloned().collect()).unwrap_or_default()
    }

    /// The user dials, or is in an ongoing call, other than `except`.
    fn is_busy(&self, uid: &Uid, except: Option<&SessionId>) -> bool {
        let calls = self.users.get(uid).map(|user| user.calls.iter()).into_iter().flatten();
        calls
            .filter(|session| Some(*session) != except)
            .filter_map(|session| self.calls.get(session))
            .any(|entry| entry.call().participant(uid).is_some_and(|participant| participant.is_in_call()))
    }

    /// Whether this device rings for that call. What was so when the call came stays so while it rings.
    fn rings_on(&self, entry: &Entry, uid: &Uid, device: &DeviceId) -> bool {
        let waiting = || self.users.get(uid).and_then(|u| u.devices.get(device)).is_some_and(|d| d.call_waiting);
        entry.call().rings_for(uid) && (!entry.record.call_waiting.contains(uid) || waiting())
    }
}

/// Whether `identity` may be in the room of `call`. Errors: `not_yet_accepted`, `room_closed`, `not_a_party`.
pub fn may_join(call: &Call, identity: &str) -> Result<()> {
    match call.status {
        CallStatus::Initiated => return Err(ErrorCode::NotYetAccepted.into()),
        CallStatus::Ongoing => {}
        status => return Err(Error::new(ErrorCode::RoomClosed, format!("the call is over ({status})"))),
    }
    let party = call.participants.iter().any(|p| p.uid.as_str() == identity && p.is_in_call());
    party.then_some(()).ok_or_else(|| ErrorCode::NotAParty.into())
}

/// Who asks for something, and as which request.
struct Asker {
    uid: Uid,
    device: DeviceId,
    request: RequestId,
}

impl Asker {
    fn actor(&self) -> Actor {
        Actor { uid: self.uid.clone(), device_id: Some(self.device.clone()) }
    }
}
