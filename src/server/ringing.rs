//! The driver of the ringing machine: one task that owns it, batches what comes in, makes it durable, tells the devices.

use super::metrics::Metrics;
use super::rooms::Rooms;
use super::store::Store;
use super::webhook::Webhooks;
use crate::base::{
    DeviceId, Error, ErrorCode, GroupId, ParticipantIdentity, RequestId, Result, SessionId, Uid, UnixMillis,
};
use crate::ringing::service::{CallRecord, ConnectionId, Input, Output, REMEMBER_ENDED, RoomInput, Service, may_join};
use crate::ringing::wire::{Command, Response, ServerMessage};
use crate::ringing::{Callee, ReceiverType, User};
use crate::task::answered;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Inputs that wait for the task; whoever has more waits.
const QUEUE: usize = 1024;

/// The most inputs that share one transaction.
const MAX_BATCH: usize = 256;

/// Messages that wait for one device; a device that reads slower is dropped, and gets the state when it is back.
const OUTBOX: usize = 128;

/// How long after a failure of the store to try again what nobody waits for: timers, room events, the owner's changes.
const RETRY: Duration = Duration::from_secs(1);

/// Room events and changes of the owner kept while the store fails.
const MAX_HELD: usize = 10_000;

/// What goes to the task of one connection.
#[derive(Debug)]
pub(super) enum Outgoing {
    Message(Box<ServerMessage>),
    /// Say why, and close.
    Close(Error),
}

/// How the rest of the server reaches the ringing machine. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ringing {
    to_task: mpsc::Sender<Message>,
    store: Arc<dyn Store>,
    next_connection: Arc<AtomicU64>,
}

/// The machine and its surroundings, to be run with [`Driver::run`].
pub(super) struct Driver {
    from_handles: mpsc::Receiver<Message>,
    service: Service,
    clock: Clock,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    webhooks: Option<Webhooks>,
    outboxes: HashMap<ConnectionId, mpsc::Sender<Outgoing>>,
    /// Connections of which nobody takes the messages any more: their task has ended, and maybe without a word.
    gone: Vec<ConnectionId>,
    /// What no device asked for, of a batch that the store refused.
    held: Vec<Input>,
    /// After a failure of the store: when to try again.
    retry_at: Option<UnixMillis>,
}

enum Message {
    Connect {
        connection: ConnectionId,
        user: User,
        device: DeviceId,
        call_waiting: bool,
        outbox: mpsc::Sender<Outgoing>,
    },
    Disconnect(ConnectionId),
    Command {
        connection: ConnectionId,
        id: RequestId,
        command: Command,
    },
    /// From the session server or the owner.
    Fact(Input),
    MayJoin {
        session: SessionId,
        identity: ParticipantIdentity,
        reply: oneshot::Sender<Option<Result<()>>>,
    },
    Stop,
}

impl Ringing {
    /// Logs a device in. Its messages come through the receiver; when that ends, the device was too slow.
    pub(super) async fn connect(
        &self,
        user: User,
        device: DeviceId,
        call_waiting: bool,
    ) -> Result<(ConnectionId, mpsc::Receiver<Outgoing>)> {
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let (outbox, from_task) = mpsc::channel(OUTBOX);
        self.send(Message::Connect { connection, user, device, call_waiting, outbox }).await?;
        // What comes into the queue as the task ends lies there, and the device would wait for its messages for ever.
        if self.to_task.is_closed() { Err(stopped()) } else { Ok((connection, from_task)) }
    }

    pub(super) async fn disconnect(&self, connection: ConnectionId) {
        // It fails only when the task has stopped, and then nobody is connected.
        self.send(Message::Disconnect(connection)).await.ok();
    }

    /// The response comes through the connection's receiver. Waits when the task is behind.
    pub(super) async fn command(&self, connection: ConnectionId, id: RequestId, command: Command) -> Result<()> {
        self.send(Message::Command { connection, id, command }).await
    }

    /// What the session server says about the room of a call.
    pub(super) async fn room(&self, session: SessionId, event: RoomInput) -> Result<()> {
        self.send(Message::Fact(Input::Room { session, event })).await
    }

    /// Whether `identity` may be in that room now. A room that never was a call's is free.
    pub(super) async fn may_join(&self, session: &SessionId, identity: &ParticipantIdentity) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::MayJoin { session: session.clone(), identity: identity.clone(), reply }).await?;
        if let Some(known) = answered(&self.to_task, answer).await.ok_or_else(stopped)? {
            return known;
        }
        match self.store.call(session).await? {
            Some(record) => may_join(&record.call, identity.as_str()),
            None => Ok(()),
        }
    }

    /// Tells every device that the server goes away, and ends the task. Calls stay in the store.
    pub(super) async fn stop(&self) {
        self.send(Message::Stop).await.ok();
    }

    /// Returns when the task has ended.
    pub(super) async fn stopped(&self) {
        self.to_task.closed().await;
    }

    async fn send(&self, message: Message) -> Result<()> {
        self.to_task.send(message).await.map_err(|_| stopped())
    }
}

/// What the owner's changes of users and groups mean for calls. Each returns when the machine will know of it; when the
/// server is killed before, its next run finds out by itself.
impl Ringing {
    /// After the store has forgotten the user: out of its calls at once, its devices logged out.
    pub(super) async fn remove_user(&self, uid: Uid) -> Result<()> {
        self.send(Message::Fact(Input::UserRemoved(uid))).await
    }

    /// After the store has taken the user out of the group: out of the group's calls at once.
    pub(super) async fn remove_member(&self, guid: GroupId, uid: Uid) -> Result<()> {
        self.send(Message::Fact(Input::MemberRemoved { guid, uid })).await
    }

    /// After the store has put the user into the group: it may join the group's calls.
    pub(super) async fn add_member(&self, guid: GroupId, user: User) -> Result<()> {
        self.send(Message::Fact(Input::MemberAdded { guid, user })).await
    }

    /// After the store has forgotten the group: its calls are over.
    pub(super) async fn remove_group(&self, guid: GroupId) -> Result<()> {
        self.send(Message::Fact(Input::GroupRemoved(guid))).await
    }
}

impl Driver {
    /// Takes up the calls that the store has from earlier runs.
    pub(super) async fn new(
        mut service: Service,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        webhooks: Option<Webhooks>,
    ) -> Result<(Ringing, Self)> {
        let clock = Clock::new();
        let now = clock.now();
        let since = UnixMillis(now.0.saturating_sub(REMEMBER_ENDED.as_millis() as u64));
        let records = store.recent(since).await?;
        tracing::info!(calls = records.len(), "took up the calls in the store");
        let held = owner_acted_before(store.as_ref(), &records).await?;
        service.restore(records, now);
        let (to_task, from_handles) = mpsc::channel(QUEUE);
        let next_connection = Arc::new(AtomicU64::new(1));
        let handle = Ringing { to_task, store: store.clone(), next_connection };
        let driver = Self {
            from_handles,
            service,
            clock,
            store,
            metrics,
            webhooks,
            outboxes: HashMap::new(),
            gone: Vec::new(),
            held,
            retry_at: None,
        };
        Ok((handle, driver))
    }

    /// Runs until [`Ringing::stop`]. `rooms` is told who is to be out of which.
    pub(super) async fn run(mut self, rooms: Rooms) {
        let mut inbox = Vec::with_capacity(MAX_BATCH);
        self.batch(&mut inbox, &rooms).await;
        loop {
            let wake = tokio::time::sleep(self.until_next_wake());
            tokio::select! {
                received = self.from_handles.recv_many(&mut inbox, MAX_BATCH) => if received == 0 { return },
                () = wake => {}
            }
            let stop = inbox.iter().any(|message| matches!(message, Message::Stop));
            self.batch(&mut inbox, &rooms).await;
            if stop {
                return self.say_goodbye();
            }
        }
    }

    /// One round of the machine's run loop: inputs, one transaction, outputs.
    async fn batch(&mut self, inbox: &mut Vec<Message>, rooms: &Rooms) {
        let mut questions = Vec::new();
        let mut facts = Vec::new();
        if self.retry_at.is_none_or(|at| at <= self.clock.now()) {
            self.retry_at = None;
            facts.append(&mut self.held);
        }
        for message in inbox.drain(..) {
            match message {
                Message::Fact(input) => facts.push(input),
                Message::MayJoin { session, identity, reply } => questions.push((session, identity, reply)),
                other => self.feed(other).await,
            }
        }
        let now = self.clock.now();
        if self.retry_at.is_none() {
            for input in facts.iter().cloned() {
                self.service.handle(now, input);
            }
            self.service.fire_timers(now);
            self.persist(facts, rooms).await;
        } else {
            self.hold(facts);
            self.persist(Vec::new(), rooms).await;
        }
        while !self.gone.is_empty() {
            let now = self.clock.now();
            for connection in std::mem::take(&mut self.gone) {
                self.service.handle(now, Input::Disconnected { connection });
            }
            self.persist(Vec::new(), rooms).await;
        }
        for (session, identity, reply) in questions {
            // Who asked may have gone.
            reply.send(self.service.may_join(&session, identity.as_str())).ok();
        }
        self.metrics.active_calls(self.service.active_calls());
    }

    async fn feed(&mut self, message: Message) {
        let now = self.clock.now();
        match message {
            Message::Connect { connection, user, device, call_waiting, outbox } => {
                self.outboxes.insert(connection, outbox);
                self.service.handle(now, Input::Connected { connection, user, device, call_waiting });
            }
            Message::Disconnect(connection) => {
                self.outboxes.remove(&connection);
                self.service.handle(now, Input::Disconnected { connection });
            }
            Message::Command { connection, id, command } => match self.receiver_of(&command).await {
                Ok(receiver) => self.service.handle(now, Input::Command { connection, id, command, receiver }),
                Err(error) => {
                    let response = ServerMessage::Response(Response::new(id, Err(error)));
                    self.deliver(connection, Outgoing::Message(Box::new(response)));
                }
            },
            Message::Fact(_) | Message::MayJoin { .. } | Message::Stop => {}
        }
    }

    /// For initiate: the receiving user or group as stored.
    async fn receiver_of(&self, command: &Command) -> Result<Option<Callee>> {
        let Command::Initiate(initiate) = command else { return Ok(None) };
        match initiate.receiver_type {
            ReceiverType::User => {
                let Ok(uid) = initiate.receiver.parse() else { return Ok(None) };
                let user = match self.service.profile(&uid) {
                    Some(user) => Some(user.clone()),
                    None => self.store.user(&uid).await?,
                };
                Ok(user.map(Callee::User))
            }
            ReceiverType::Group => {
                let Ok(guid) = initiate.receiver.parse() else { return Ok(None) };
                let Some(group) = self.store.group(&guid).await? else { return Ok(None) };
                Ok(Some(Callee::Group { group, members: self.store.group_members(&guid).await? }))
            }
        }
    }

    async fn persist(&mut self, facts: Vec<Input>, rooms: &Rooms) {
        let records = self.service.unsaved();
        let notices = match &self.webhooks {
            Some(webhooks) => webhooks.entries(&self.service.changes(), self.clock.now()),
            None => Vec::new(),
        };
        let outputs = if records.is_empty() && notices.is_empty() {
            self.service.commit()
        } else {
            let started = Instant::now();
            let saved = self.store.save(&records, &notices).await;
            self.metrics.committed(started.elapsed(), &saved);
            match saved {
                Ok(()) => {
                    self.notify(notices.len());
                    self.service.commit()
                }
                Err(error) => {
                    let now = self.clock.now();
                    self.retry_at = Some(now + RETRY);
                    self.hold(facts);
                    self.service.rollback(now, &error)
                }
            }
        };
        for output in outputs {
            match output {
                Output::Send { connection, message } => self.deliver(connection, Outgoing::Message(Box::new(message))),
                Output::Close { connection, error } => {
                    self.deliver(connection, Outgoing::Close(error));
                    self.outboxes.remove(&connection);
                }
                Output::CloseRoom { session, reason } => {
                    self.metrics.call_ended(reason);
                    tracing::info!(%session, %reason, "call over");
                    rooms.close(&session);
                }
                Output::LeaveRoom { session, uid } => rooms.put_out(&session, &uid),
            }
        }
    }

    fn notify(&self, notices: usize) {
        if let Some(webhooks) = self.webhooks.as_ref().filter(|_| notices > 0) {
            self.metrics.webhooks_stored(notices);
            webhooks.stored();
        }
    }

    fn hold(&mut self, mut facts: Vec<Input>) {
        let room = MAX_HELD.saturating_sub(self.held.len());
        if facts.len() > room {
            tracing::error!(lost = facts.len() - room, "the store has failed for too long: room events are lost");
            facts.truncate(room);
        }
        self.held.append(&mut facts);
    }

    fn deliver(&mut self, connection: ConnectionId, outgoing: Outgoing) {
        let Some(outbox) = self.outboxes.get(&connection) else { return };
        let Err(lost) = outbox.try_send(outgoing) else { return };
        self.outboxes.remove(&connection);
        match lost {
            // Its task sees the end of its receiver, and closes the connection.
            mpsc::error::TrySendError::Full(_) => self.metrics.slow_reader(),
            mpsc::error::TrySendError::Closed(_) => self.gone.push(connection),
        }
    }

    fn say_goodbye(&mut self) {
        let connections: Vec<ConnectionId> = self.outboxes.keys().copied().collect();
        for connection in connections {
            let error = Error::new(ErrorCode::ServerUnavailable, "the server is being stopped; connect again");
            self.deliver(connection, Outgoing::Close(error));
        }
    }

    fn until_next_wake(&self) -> Duration {
        let next = match (self.service.next_wake(), self.retry_at) {
            (Some(wake), Some(retry)) => wake.max(retry),
            (None, Some(retry)) => retry,
            (Some(wake), None) => wake,
            (None, None) => return Duration::from_secs(3600),
        };
        next.since(self.clock.now())
    }
}

/// What the owner changed, and an earlier run was killed before its calls heard of it.
async fn owner_acted_before(store: &dyn Store, records: &[CallRecord]) -> Result<Vec<Input>> {
    let mut facts = Vec::new();
    for record in records.iter().filter(|record| !record.call.status.is_over()) {
        let group = match record.call.receiver_type {
            ReceiverType::User => None,
            ReceiverType::Group => record.call.receiver.id.parse::<GroupId>().ok(),
        };
        if let Some(guid) = &group
            && store.group(guid).await?.is_none()
        {
            facts.push(Input::GroupRemoved(guid.clone()));
            continue;
        }
        for uid in record.call.participants.iter().map(|p| &p.uid).filter(|uid| !record.removed.contains(uid)) {
            if store.is_removed(uid).await? {
                facts.push(Input::UserRemoved(uid.clone()));
            } else if let Some(guid) = &group
                && !store.is_member(guid, uid).await?
            {
                facts.push(Input::MemberRemoved { guid: guid.clone(), uid: uid.clone() });
            }
        }
    }
    Ok(facts)
}

/// Wall-clock time that runs evenly: a step of the machine's clock neither ends nor prolongs a call.
pub(super) struct Clock {
    wall: UnixMillis,
    started: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { wall: UnixMillis::now(), started: Instant::now() }
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.wall + self.started.elapsed()
    }
}

fn stopped() -> Error {
    Error::new(ErrorCode::ServerUnavailable, "the server is being stopped; try again later")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringing::wire::SessionRef;
    use crate::server::{ApiKeyConfig, LimitConfig, Server, ServerConfig};

    #[tokio::test]
    async fn a_device_whose_connection_ended_without_a_word_is_gone_when_it_is_to_be_told_something() {
        let folder = tempfile::tempdir().unwrap();
        let secret = "a secret of the ringing tests, of 32 bytes and more".into();
        let server = Server::start(ServerConfig {
            http: "127.0.0.1:0".parse().unwrap(),
            udp: "127.0.0.1:0".parse().unwrap(),
            api_keys: vec![ApiKeyConfig { id: "key".into(), secret }],
            database: folder.path().join("calls.db").to_str().unwrap().into(),
            limits: LimitConfig { devices_per_user: 1, ..LimitConfig::default() },
            ..ServerConfig::default()
        })
        .await
        .unwrap();
        let (session_id, identity) = (SessionId::new("none").unwrap(), ParticipantIdentity::new("bob").unwrap());
        let connect = async |device: &str| {
            let (user, device) = (User::new("bob".parse().unwrap()), DeviceId::new(device).unwrap());
            server.ringing.connect(user, device, false).await.unwrap()
        };
        let (old, messages) = connect("old").await;
        drop(messages);
        let command = Command::Accept(SessionRef { session_id: session_id.clone() });
        server.ringing.command(old, RequestId::new("1").unwrap(), command).await.unwrap();
        // It is answered after all that came before it.
        server.ringing.may_join(&session_id, &identity).await.unwrap();
        let (_, mut messages) = connect("new").await;
        let first = tokio::time::timeout(Duration::from_secs(10), messages.recv()).await.expect("a word in time");
        let welcomed = matches!(&first, Some(Outgoing::Message(word)) if matches!(**word, ServerMessage::Welcome(_)));
        assert!(welcomed, "as if the old one were there: {first:?}");
        server.shutdown().await;
    }
}
