//! One room: participants, tracks and who gets what. Sans-IO: inputs with their time in, [`Output`]s out.
//!
//! Every input method but [`Room::datagram`] leaves the room settled: each connection that was touched has been drained.
//! After a batch of datagrams the driver settles it. It then takes [`Room::swap_outputs`], and calls [`Room::timeout`] at
//! [`Room::wake`].

mod adapt;
mod info;
mod limit;
mod media;
mod participant;
mod publish;
mod signal;
mod subscribe;
#[cfg(test)]
mod tests;
mod timers;
mod wakes;

pub(super) use participant::Admission;

use super::config::SfuConfig;
use super::metrics::{SfuMetrics, count, shift};
use super::peer::PeerSettings;
use super::speakers::Speakers;
use super::{CloseReason, RoomEvent};
use crate::base::{ErrorCode, ParticipantId, ParticipantIdentity, Result, SessionId, UnixMillis};
use livekit_protocol::{
    DisconnectReason, IceServer, JoinResponse, LeaveRequest, ParticipantInfo, ParticipantUpdate, ReconnectResponse,
    RoomUpdate, SignalTarget, leave_request, signal_response,
};
use participant::Participant;
use publish::PublishedTrack;
use rand::Rng as _;
use rand::distr::Alphanumeric;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use str0m::Event;

/// One signalling connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub u64);

/// A participant within its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ParticipantKey(pub u32);

/// A track within its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TrackKey(u32);

/// What leads a datagram to its room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum RouteKey {
    /// The server's ICE user name fragment, which is in each STUN request.
    Ufrag(String),
    /// An address from which STUN with the right password came.
    Source(SocketAddr),
}

/// What the driver is to do.
#[derive(Debug)]
pub(super) enum Output {
    Transmit {
        source: SocketAddr,
        destination: SocketAddr,
        contents: Vec<u8>,
    },
    Signal {
        connection: ConnectionId,
        message: Box<signal_response::Message>,
    },
    /// Close it, once everything before has been sent.
    Disconnect {
        connection: ConnectionId,
    },
    Bind(RouteKey),
    Unbind(RouteKey),
    Event(RoomEvent),
}

/// What all rooms of a server share.
pub(super) struct RoomSettings {
    pub config: SfuConfig,
    pub peers: PeerSettings,
    pub metrics: Arc<SfuMetrics>,
}

/// See the module's documentation.
pub(super) struct Room {
    name: SessionId,
    sid: String,
    created_at: UnixMillis,
    settings: Arc<RoomSettings>,
    /// Boxed: two connections are 20 KB, and a tree is half empty.
    participants: BTreeMap<ParticipantKey, Box<Participant>>,
    tracks: BTreeMap<TrackKey, PublishedTrack>,
    routes: std::collections::HashMap<RouteKey, (ParticipantKey, SignalTarget)>,
    last_key: u32,
    speakers: Speakers,
    /// Connections that were changed and are still to be drained, each once.
    dirty: VecDeque<(ParticipantKey, SignalTarget)>,
    events: Vec<Event>,
    outputs: VecDeque<Output>,
    timers: timers::Timers,
    wakes: wakes::Wakes,
    closed: Option<CloseReason>,
}

impl Room {
    pub fn new(now: Instant, wall: UnixMillis, name: SessionId, settings: Arc<RoomSettings>) -> Self {
        Self {
            name,
            sid: new_id("RM_"),
            created_at: wall,
            settings,
            participants: BTreeMap::new(),
            tracks: BTreeMap::new(),
            routes: Default::default(),
            last_key: 0,
            speakers: Speakers::default(),
            dirty: VecDeque::new(),
            events: Vec::new(),
            outputs: VecDeque::new(),
            timers: timers::Timers::new(now),
            wakes: wakes::Wakes::default(),
            closed: None,
        }
    }

    /// Set once the room is over; nothing is to be put into it any more.
    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Gives what there is to do, in its order, for an empty list: a busy room asks for no new one each time.
    pub fn swap_outputs(&mut self, empty: &mut VecDeque<Output>) {
        std::mem::swap(&mut self.outputs, empty);
    }

    /// [`Room::swap_outputs`] for whoever does not mind.
    #[cfg(test)]
    pub fn take_outputs(&mut self) -> VecDeque<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Lets a participant in. One of the same identity is put out first. Fails with `room_full` or `room_closed`.
    pub fn join(&mut self, now: Instant, wall: UnixMillis, admission: Admission) -> Result<ParticipantId> {
        if self.closed.is_some() {
            return Err(ErrorCode::RoomClosed.into());
        }
        let identity = admission.token.identity.clone();
        if let Some(key) = self.by_identity(&identity) {
            self.expel(now, key, DisconnectReason::DuplicateIdentity, leave_request::Action::Disconnect);
        } else if self.participants.len() >= self.settings.config.limits.participants {
            return Err(ErrorCode::RoomFull.into());
        }
        let id = ParticipantId::new(new_id("PA_")).expect("letters and digits make an id");
        self.last_key += 1;
        let key = ParticipantKey(self.last_key);
        let participant = Participant::new(now, id.clone(), wall, admission, &self.settings.peers);
        self.participants.insert(key, Box::new(participant));
        count(&self.settings.metrics.joins_total, 1);
        shift(&self.settings.metrics.participants, 1);
        self.timers.occupied(now, self.participants.len());

        self.welcome(key);
        let event =
            RoomEvent::ParticipantJoined { room: self.name.clone(), identity: identity.clone(), id: id.clone() };
        self.outputs.push_back(Output::Event(event));
        self.tell_of(key, false);
        self.tell_room();
        for target in [SignalTarget::Publisher, SignalTarget::Subscriber] {
            self.change_peer(key, target, |participant, outputs| {
                participant.peer(target).bind_credentials(outputs);
            });
        }
        self.reconcile(now, key);
        self.settle(now);
        Ok(id)
    }

    /// Lets a participant come back whose signalling broke: the connections stay, ICE starts anew.
    /// Fails with `participant_not_found` when it is not (or no longer) here.
    pub fn resume(
        &mut self,
        now: Instant,
        id: &str,
        identity: &ParticipantIdentity,
        connection: ConnectionId,
    ) -> Result<ParticipantId> {
        let found = self.participants.iter().find(|(_, p)| p.id.as_str() == id && p.identity == *identity);
        let Some(key) = found.map(|(key, _)| *key).filter(|_| self.closed.is_none()) else {
            return Err(ErrorCode::ParticipantNotFound.into());
        };
        let Some(participant) = self.participants.get_mut(&key) else {
            return Err(ErrorCode::ParticipantNotFound.into());
        };
        if let Some(old) = participant.connection.replace(connection) {
            self.outputs.push_back(Output::Disconnect { connection: old });
        }
        participant.lost_at = None;
        participant.peers().into_iter().for_each(|peer| peer.expect_again(now));
        let (id, last_message_seq) = (participant.id.clone(), participant.last_data_sequence);
        count(&self.settings.metrics.resumes_total, 1);
        let response = ReconnectResponse {
            ice_servers: self.ice_servers(),
            server_info: Some(info::server()),
            last_message_seq,
            ..Default::default()
        };
        self.signal(key, signal_response::Message::Reconnect(response));
        let mut everyone = self.others(key);
        everyone.extend(self.participants.get(&key).map(|p| self.info(p)));
        self.signal(key, signal_response::Message::Update(ParticipantUpdate { participants: everyone }));
        self.signal(key, signal_response::Message::RoomUpdate(RoomUpdate { room: Some(self.room_info()) }));
        self.roll_back_offer(key);
        self.negotiate(now, key);
        self.settle(now);
        Ok(id)
    }

    /// The signalling connection is gone without a word. The participant may resume for a while.
    pub fn connection_lost(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(participant) = self.participants.values_mut().find(|p| p.connection == Some(connection)) {
            participant.connection = None;
            participant.lost_at = Some(now);
        }
        self.settle(now);
    }

    /// The signalling connection broke a rule. The participant is put out.
    pub fn connection_failed(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(key) = self.by_connection(connection) {
            self.expel(now, key, DisconnectReason::UnknownReason, leave_request::Action::Disconnect);
        }
        self.settle(now);
    }

    /// Puts a participant out.
    pub fn remove(&mut self, now: Instant, identity: &ParticipantIdentity) -> Result<()> {
        let key = self.by_identity(identity).ok_or(ErrorCode::ParticipantNotFound)?;
        self.expel(now, key, DisconnectReason::ParticipantRemoved, leave_request::Action::Disconnect);
        self.settle(now);
        Ok(())
    }

    /// Ends the room for everybody.
    pub fn close(&mut self, now: Instant, reason: CloseReason) {
        if self.closed.is_some() {
            return;
        }
        let keys: Vec<_> = self.participants.keys().copied().collect();
        for key in keys {
            self.expel(now, key, reason.into(), leave_request::Action::Disconnect);
        }
        self.settle(now);
        self.closed = Some(reason);
        self.outputs.push_back(Output::Event(RoomEvent::Closed { room: self.name.clone(), reason }));
    }

    /// A datagram that came in at `destination`, which is one of the candidates. Not settled: what it leads to is
    /// written, and goes out with [`Room::settle`], so that what came in together goes out together.
    pub fn datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        ufrag: Option<&str>,
        datagram: &[u8],
    ) {
        let by_ufrag = ufrag.and_then(|ufrag| self.routes.get(&RouteKey::Ufrag(ufrag.into())));
        let by_name = by_ufrag.is_some();
        let found = by_ufrag.or_else(|| self.routes.get(&RouteKey::Source(source))).copied();
        let taken = found.is_some_and(|(key, target)| {
            let mut taken = false;
            self.change_peer(key, target, |participant, outputs| {
                match participant.peer(target).receive(now, (source, destination), by_name, datagram, outputs) {
                    Ok(accepted) => taken = accepted,
                    Err(error) => tracing::debug!(%error, "a datagram was refused"),
                }
            });
            taken
        });
        if !taken {
            count(&self.settings.metrics.packets_dropped_total, 1);
        }
        // str0m holds one received packet at a time.
        if let Some((key, target)) = found {
            self.drain(now, key, target);
        }
    }

    /// Changes a connection, records the routes that this binds, and leaves it to be drained.
    fn change_peer(
        &mut self,
        key: ParticipantKey,
        target: SignalTarget,
        change: impl FnOnce(&mut Participant, &mut VecDeque<Output>),
    ) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        let before = self.outputs.len();
        change(participant, &mut self.outputs);
        let bound = if self.outputs.len() > before { self.outputs.split_off(before) } else { VecDeque::new() };
        for output in bound {
            match &output {
                Output::Bind(route) => drop(self.routes.insert(route.clone(), (key, target))),
                // Another connection has it by now.
                Output::Unbind(route) if self.routes.get(route) != Some(&(key, target)) => continue,
                Output::Unbind(route) => drop(self.routes.remove(route)),
                _ => {}
            }
            self.outputs.push_back(output);
        }
        self.touched(key, target);
    }

    /// A connection was changed: it is to be drained.
    fn touched(&mut self, key: ParticipantKey, target: SignalTarget) {
        if self.participants.get_mut(&key).is_some_and(|participant| participant.peer(target).queue()) {
            self.dirty.push_back((key, target));
        }
    }

    /// Drains every connection that was touched, and those that this touches in turn.
    pub fn settle(&mut self, now: Instant) {
        while self.settle_some(now, usize::MAX) {}
    }

    /// Drains so many of them at most. True while more are left: what came out may go out before.
    pub fn settle_some(&mut self, now: Instant, most: usize) -> bool {
        for _ in 0..most {
            let Some((key, target)) = self.dirty.pop_front() else { break };
            self.drain(now, key, target);
        }
        !self.dirty.is_empty()
    }

    /// Drains one connection, if it was changed. What that writes to others is left to [`Room::settle`].
    fn drain(&mut self, now: Instant, key: ParticipantKey, target: SignalTarget) {
        let Some(participant) = self.participants.get_mut(&key) else { return };
        if !participant.peer(target).unqueue() {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        let peer = participant.peer(target);
        let drained = peer.drive(now, &mut self.outputs, &mut events);
        self.wakes.book(key, target, peer);
        for event in events.drain(..) {
            self.peer_event(now, key, target, event);
        }
        self.events = events;
        if let Err(error) = drained {
            tracing::info!(room = %self.name, %error, "a participant's media connection is given up");
            self.expel(now, key, DisconnectReason::MediaFailure, leave_request::Action::Reconnect);
        }
    }

    fn welcome(&mut self, key: ParticipantKey) {
        let Some(participant) = self.participants.get(&key) else { return };
        let join = JoinResponse {
            room: Some(self.room_info()),
            participant: Some(self.info(participant)),
            other_participants: self.others(key),
            server_version: env!("CARGO_PKG_VERSION").into(),
            ice_servers: self.ice_servers(),
            subscriber_primary: participant.grants.subscribe,
            ping_timeout: self.settings.config.ping_timeout.as_secs() as i32,
            ping_interval: self.settings.config.ping_interval.as_secs() as i32,
            server_info: Some(info::server()),
            enabled_publish_codecs: info::codecs(),
            fast_publish: true,
            ..Default::default()
        };
        self.signal(key, signal_response::Message::Join(join));
        let speakers = self.speakers.active();
        self.tell_speakers(key, &speakers);
    }

    /// Says farewell and forgets. The others learn of it.
    fn expel(&mut self, now: Instant, key: ParticipantKey, reason: DisconnectReason, action: leave_request::Action) {
        let leave = LeaveRequest {
            can_reconnect: action != leave_request::Action::Disconnect,
            reason: reason as i32,
            action: action as i32,
            ..Default::default()
        };
        self.signal(key, signal_response::Message::Leave(leave));
        self.depart(now, key, reason);
    }

    /// Forgets a participant. The others learn of it.
    fn depart(&mut self, now: Instant, key: ParticipantKey, reason: DisconnectReason) {
        let published: Vec<_> =
            self.participants.get(&key).into_iter().flat_map(|p| p.sections.values()).copied().collect();
        for track in published {
            self.unpublish(now, key, track);
        }
        let Some(mut participant) = self.participants.remove(&key) else { return };
        for target in [SignalTarget::Publisher, SignalTarget::Subscriber] {
            let peer = participant.peer(target);
            self.wakes.forget(key, target, peer);
            for route in peer.routes() {
                if self.routes.get(route).is_some_and(|(owner, _)| *owner == key) {
                    self.routes.remove(route);
                    self.outputs.push_back(Output::Unbind(route.clone()));
                }
            }
        }
        for track in participant.subscriptions.keys() {
            if let Some(track) = self.tracks.get_mut(track) {
                track.subscribers.retain(|subscriber| *subscriber != key);
            }
        }
        shift(&self.settings.metrics.subscriptions, -(participant.subscriptions.len() as i64));
        shift(&self.settings.metrics.participants, -1);
        self.speakers.left(key);
        if let Some(connection) = participant.connection {
            self.outputs.push_back(Output::Disconnect { connection });
        }
        let gone = info::departed(&participant, reason);
        if !participant.grants.hidden {
            self.signal_others(key, &signal_response::Message::Update(ParticipantUpdate { participants: vec![gone] }));
        }
        self.timers.occupied(now, self.participants.len());
        self.tell_room();
        self.outputs.push_back(Output::Event(RoomEvent::ParticipantLeft {
            room: self.name.clone(),
            identity: participant.identity,
            id: participant.id,
            reason,
        }));
    }

    fn by_identity(&self, identity: &ParticipantIdentity) -> Option<ParticipantKey> {
        self.participants.iter().find(|(_, p)| p.identity == *identity).map(|(key, _)| *key)
    }

    fn by_connection(&self, connection: ConnectionId) -> Option<ParticipantKey> {
        self.participants.iter().find(|(_, p)| p.connection == Some(connection)).map(|(key, _)| *key)
    }

    fn signal(&mut self, to: ParticipantKey, message: signal_response::Message) {
        if let Some(connection) = self.participants.get(&to).and_then(|p| p.connection) {
            self.outputs.push_back(Output::Signal { connection, message: Box::new(message) });
        }
    }

    fn signal_others(&mut self, from: ParticipantKey, message: &signal_response::Message) {
        let others = self.participants.iter().filter(|(key, _)| **key != from);
        let connections = others.filter_map(|(_, p)| p.connection);
        self.outputs
            .extend(connections.map(|connection| Output::Signal { connection, message: Box::new(message.clone()) }));
    }

    /// Tells the others, and itself if `also_itself`, what a participant is now.
    fn tell_of(&mut self, key: ParticipantKey, also_itself: bool) {
        let Some(participant) = self.participants.get(&key) else { return };
        let hidden = participant.grants.hidden;
        let update = ParticipantUpdate { participants: vec![self.info(participant)] };
        let message = signal_response::Message::Update(update);
        if also_itself {
            self.signal(key, message.clone());
        }
        if !hidden {
            self.signal_others(key, &message);
        }
    }

    /// Tells everybody of the room: its counts changed.
    fn tell_room(&mut self) {
        let room = self.room_info();
        let connections: Vec<_> = self.participants.values().filter_map(|p| p.connection).collect();
        for connection in connections {
            let message = signal_response::Message::RoomUpdate(RoomUpdate { room: Some(room.clone()) });
            self.outputs.push_back(Output::Signal { connection, message: Box::new(message) });
        }
    }

    fn info(&self, participant: &Participant) -> ParticipantInfo {
        let tracks = participant.sections.values().filter_map(|track| self.tracks.get(track));
        info::participant(participant, tracks.map(|track| track.info.clone()).collect())
    }

    fn others(&self, key: ParticipantKey) -> Vec<ParticipantInfo> {
        let others = self.participants.iter().filter(|(other, p)| **other != key && !p.grants.hidden);
        others.map(|(_, participant)| self.info(participant)).collect()
    }

    fn room_info(&self) -> livekit_protocol::Room {
        let seen = || self.participants.values().filter(|p| !p.grants.hidden);
        livekit_protocol::Room {
            sid: self.sid.clone(),
            name: self.name.to_string(),
            empty_timeout: self.settings.config.empty_timeout.as_secs() as u32,
            departure_timeout: self.settings.config.empty_timeout.as_secs() as u32,
            max_participants: self.settings.config.limits.participants as u32,
            creation_time: self.created_at.as_secs() as i64,
            creation_time_ms: self.created_at.0 as i64,
            enabled_codecs: info::codecs(),
            num_participants: seen().count() as u32,
            num_publishers: seen().filter(|p| !p.sections.is_empty()).count() as u32,
            ..Default::default()
        }
    }

    fn ice_servers(&self) -> Vec<IceServer> {
        let servers = self.settings.config.ice_servers.iter().cloned();
        servers.map(|s| IceServer { urls: s.urls, username: s.username, credential: s.credential }).collect()
    }
}

impl Drop for Room {
    /// After a fault the gauges still hold what nobody took back.
    fn drop(&mut self) {
        let metrics = &self.settings.metrics;
        let subscriptions: usize = self.participants.values().map(|p| p.subscriptions.len()).sum();
        shift(&metrics.participants, -(self.participants.len() as i64));
        shift(&metrics.tracks, -(self.tracks.len() as i64));
        shift(&metrics.subscriptions, -(subscriptions as i64));
    }
}

/// A new id in LiveKit's form: a prefix and twelve letters and digits.
fn new_id(prefix: &str) -> String {
    let tail = rand::rng().sample_iter(Alphanumeric).take(12).map(char::from);
    prefix.chars().chain(tail).collect()
}
