//! Runs a room: a task that feeds it signalling, datagrams and time, and carries out what it puts out.
//!
//! A fault in a room, or in a library under it, ends that room only: the task catches it, tells the participants, and
//! leaves. Nothing of a room is shared with another.

use super::metrics::{count, shift};
use super::room::{Admission, ConnectionId, Output, Room, RouteKey};
use super::udp::{Datagram, Outbox};
use super::{CloseReason, Inner, RoomEvent};
use crate::base::{ErrorCode, ParticipantId, ParticipantIdentity, Result, SessionId, UnixMillis};
use livekit_protocol::{DisconnectReason, LeaveRequest, signal_request, signal_response};
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Signalling messages that wait for a room. A connection that would put more waits itself.
const COMMANDS: usize = 256;

/// Datagrams that wait for a room: about 50 ms of a large one. More are dropped.
const DATAGRAMS: usize = 2048;

/// Datagrams fed to a room before it looks at signalling again.
const BATCH: usize = 64;

/// Connections that are drained before what came out of them is sent: the first of a hundred subscribers should not wait
/// for the last.
const PART: usize = 8;

/// Messages that wait for a client. One that falls further behind is cut off; it may resume.
const MESSAGES: usize = 1024;

/// What a connection is told to do.
pub(super) enum ToClient {
    Message(Box<signal_response::Message>),
    Close,
}

/// What a room is asked.
pub(super) enum Command {
    Join {
        admission: Box<Admission>,
        client: mpsc::Sender<ToClient>,
        reply: oneshot::Sender<Result<ParticipantId>>,
    },
    Resume {
        id: String,
        identity: ParticipantIdentity,
        connection: ConnectionId,
        client: mpsc::Sender<ToClient>,
        reply: oneshot::Sender<Result<ParticipantId>>,
    },
    Signal {
        connection: ConnectionId,
        message: Box<signal_request::Message>,
    },
    Lost {
        connection: ConnectionId,
    },
    Failed {
        connection: ConnectionId,
    },
    Remove {
        identity: ParticipantIdentity,
        reply: oneshot::Sender<Result<()>>,
    },
    Close {
        reason: CloseReason,
    },
    /// What a bug would do.
    #[cfg(test)]
    Panic,
}

/// A room's letter box.
pub(super) type RoomHandle = mpsc::Sender<Command>;

/// The letter box of a connection.
pub(super) fn client_channel() -> (mpsc::Sender<ToClient>, mpsc::Receiver<ToClient>) {
    mpsc::channel(MESSAGES)
}

/// Starts a room.
pub(super) fn spawn(name: SessionId, inner: Arc<Inner>) -> RoomHandle {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (datagrams, media) = mpsc::channel(DATAGRAMS);
    shift(&inner.settings.metrics.rooms, 1);
    let outbox = Outbox::new(inner.socket.clone());
    let driver = Driver {
        room: Room::new(Instant::now(), UnixMillis::now(), name.clone(), inner.settings.clone()),
        name,
        inner,
        clients: HashMap::new(),
        bound: HashSet::new(),
        outputs: VecDeque::new(),
        outbox,
        datagrams,
        handle: commands.downgrade(),
    };
    tokio::spawn(driver.run(inbox, media));
    commands
}

struct Driver {
    name: SessionId,
    room: Room,
    inner: Arc<Inner>,
    clients: HashMap<ConnectionId, mpsc::Sender<ToClient>>,
    bound: HashSet<RouteKey>,
    /// Empty between steps.
    outputs: VecDeque<Output>,
    outbox: Outbox,
    datagrams: mpsc::Sender<Datagram>,
    handle: mpsc::WeakSender<Command>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, mut media: mpsc::Receiver<Datagram>) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.room.closed().is_none() {
            let wake = tokio::time::Instant::from_std(self.room.wake());
            let fed = tokio::select! {
                biased;
                command = inbox.recv() => match command {
                    Some(command) => self.contained(|driver| driver.command(command)),
                    // The server has let go of the room.
                    None => self.contained(|driver| driver.room.close(Instant::now(), CloseReason::Shutdown)),
                },
                _ = media.recv_many(&mut batch, BATCH) => self.contained(|driver| driver.receive(&mut batch)),
                () = tokio::time::sleep_until(wake) => self.contained(|_| ()),
            };
            batch.clear();
            // Also after input: a busy room has timers too.
            let timed = fed
                && self.contained(|driver| {
                    let now = Instant::now();
                    if now >= driver.room.wake() {
                        driver.room.timeout(now);
                    }
                });
            if !(fed && timed) {
                self.abandon();
                break;
            }
        }
        self.finish(&mut inbox);
    }

    /// Runs `step` and carries out what it leads to. False when it panicked.
    fn contained(&mut self, step: impl FnOnce(&mut Self)) -> bool {
        let done = catch_unwind(AssertUnwindSafe(|| {
            step(self);
            self.carry_out();
        }));
        done.is_ok()
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Join { admission, client, reply } => {
                let connection = admission.connection;
                self.clients.insert(connection, client);
                let joined = self.room.join(now, UnixMillis::now(), *admission);
                self.answer(connection, joined, reply);
            }
            Command::Resume { id, identity, connection, client, reply } => {
                self.clients.insert(connection, client);
                let resumed = self.room.resume(now, &id, &identity, connection);
                self.answer(connection, resumed, reply);
            }
            Command::Signal { connection, message } => self.room.signal_received(now, connection, *message),
            Command::Lost { connection } => {
                self.clients.remove(&connection);
                self.room.connection_lost(now, connection);
            }
            Command::Failed { connection } => self.room.connection_failed(now, connection),
            // Whoever asked may have gone meanwhile.
            Command::Remove { identity, reply } => drop(reply.send(self.room.remove(now, &identity))),
            Command::Close { reason } => self.room.close(now, reason),
            #[cfg(test)]
            Command::Panic => panic!("a bug, for a test"),
        }
    }

    fn answer(
        &mut self,
        connection: ConnectionId,
        result: Result<ParticipantId>,
        reply: oneshot::Sender<Result<ParticipantId>>,
    ) {
        if result.is_err() {
            self.clients.remove(&connection);
        }
        if reply.send(result).is_err() {
            // The client went away while it was being let in.
            self.room.connection_lost(Instant::now(), connection);
        }
    }

    fn receive(&mut self, batch: &mut Vec<Datagram>) {
        for datagram in batch.drain(..) {
            let Datagram { at, source, destination, ufrag, bytes } = datagram;
            self.room.datagram(at, source, destination, ufrag.as_deref(), &bytes);
        }
        while self.room.settle_some(Instant::now(), PART) {
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        self.room.swap_outputs(&mut self.outputs);
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Transmit { source, destination, contents } => {
                    self.outbox.push(source, destination, contents);
                }
                Output::Signal { connection, message } => self.tell(connection, message),
                Output::Disconnect { connection } => {
                    if let Some(client) = self.clients.remove(&connection) {
                        // Without room for the word, the end of the channel says it.
                        let _ = client.try_send(ToClient::Close);
                    }
                }
                Output::Bind(key) => {
                    self.bound.insert(key.clone());
                    self.inner.routes.bind(key, self.datagrams.clone());
                }
                Output::Unbind(key) => {
                    self.bound.remove(&key);
                    self.inner.routes.unbind(&key, &self.datagrams);
                }
                Output::Event(event) => self.inner.publish(&event),
            }
        }
        self.outputs = outputs;
        self.outbox.flush();
    }

    fn tell(&mut self, connection: ConnectionId, message: Box<signal_response::Message>) {
        let Some(client) = self.clients.get(&connection) else { return };
        if client.try_send(ToClient::Message(message)).is_err() {
            tracing::info!(room = %self.name, "a client does not read its signalling; it is cut off");
            self.clients.remove(&connection);
        }
    }

    /// After a panic: the room's state is not to be trusted, and not touched.
    fn abandon(&mut self) {
        tracing::error!(room = %self.name, "a fault inside the server ended this room; please report it");
        count(&self.inner.settings.metrics.room_failures_total, 1);
        for client in self.clients.values() {
            let leave = LeaveRequest { reason: DisconnectReason::UnknownReason as i32, ..Default::default() };
            let _ = client.try_send(ToClient::Message(Box::new(signal_response::Message::Leave(leave))));
            let _ = client.try_send(ToClient::Close);
        }
        let event = RoomEvent::Closed { room: self.name.clone(), reason: CloseReason::Fault };
        self.inner.publish(&event);
    }

    fn finish(self, inbox: &mut mpsc::Receiver<Command>) {
        if let Some(handle) = self.handle.upgrade() {
            self.inner.closed(&self.name, &handle);
        }
        for key in &self.bound {
            self.inner.routes.unbind(key, &self.datagrams);
        }
        shift(&self.inner.settings.metrics.rooms, -1);
        // What was on its way is told that it came too late.
        inbox.close();
        while let Ok(command) = inbox.try_recv() {
            match command {
                Command::Join { reply, .. } | Command::Resume { reply, .. } => {
                    drop(reply.send(Err(ErrorCode::RoomClosed.into())));
                }
                Command::Remove { reply, .. } => drop(reply.send(Err(ErrorCode::SessionNotFound.into()))),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{ApiKey, KeyRing, SessionToken};
    use crate::server::sfu::{OpenGate, Sfu, SfuConfig};

    async fn join(sfu: &Sfu, room: &SessionId) -> (RoomHandle, mpsc::Receiver<ToClient>) {
        let handle = sfu.inner.open(room).unwrap();
        let (client, messages) = client_channel();
        let admission = Box::new(Admission {
            token: SessionToken::for_call("anna".parse().unwrap(), String::new(), room),
            connection: sfu.inner.next_connection(),
            auto_subscribe: true,
            client_protocol: 0,
            track_in_stream_id: false,
        });
        let (reply, answer) = oneshot::channel();
        assert!(handle.send(Command::Join { admission, client, reply }).await.is_ok());
        answer.await.unwrap().unwrap();
        (handle, messages)
    }

    #[tokio::test]
    async fn a_fault_ends_one_room_with_a_reason_and_leaves_the_others_alone() {
        let key = ApiKey::new("key", "a secret of the driver tests, 32+ bytes").unwrap();
        let config = SfuConfig::new("127.0.0.1:0".parse().unwrap(), KeyRing::new(key));
        let sfu = Sfu::start(config, Arc::new(OpenGate)).unwrap();
        let mut events = sfu.events();
        let (faulty, sound) = (SessionId::new("faulty").unwrap(), SessionId::new("sound").unwrap());
        let (handle, mut messages) = join(&sfu, &faulty).await;
        let (others, _their_messages) = join(&sfu, &sound).await;

        assert!(handle.send(Command::Panic).await.is_ok());
        let mut farewell = false;
        while let ToClient::Message(message) = messages.recv().await.expect("the client is told before its end") {
            farewell |= matches!(*message, signal_response::Message::Leave(_));
        }
        assert!(farewell);
        let closed = RoomEvent::Closed { room: faulty.clone(), reason: CloseReason::Fault };
        while events.recv().await.unwrap() != closed {}

        handle.closed().await;
        assert!(!others.is_closed());
        join(&sfu, &sound).await;
        join(&sfu, &faulty).await;
        let value = |name| sfu.metrics().samples().into_iter().find(|s| s.name == name).unwrap().value;
        assert_eq!(value("trill_sfu_room_failures_total"), 1);
        assert_eq!((value("trill_sfu_rooms"), value("trill_sfu_participants")), (2, 2));
    }
}
