//! A server, devices, and a clock that only a test moves.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use trill::base::{DeviceId, Error, ErrorCode, GroupId, RequestId, Result, SessionId, Uid, UnixMillis};
use trill::ringing::client::{Client, ClientOutput, ClientSettings, LoginState};
use trill::ringing::service::{CallRecord, ConnectionId, Input, Output, RoomInput, Service, ServiceSettings, may_join};
use trill::ringing::wire::{
    Answer, ClientMessage, Command, Initiate, Query, Reject, RejectReason, Request, Response, ServerMessage, SessionRef,
};
use trill::ringing::{
    Call, CallEvent, CallEventKind, CallStatus, CallType, Callee, EndReason, Group, ParticipantState, User,
};

const PING: Duration = Duration::from_secs(10);

pub struct Scene {
    service: Service,
    settings: ServiceSettings,
    start: Instant,
    now: Duration,
    pub store: BTreeMap<SessionId, CallRecord>,
    users: BTreeMap<Uid, User>,
    groups: BTreeMap<GroupId, Vec<Uid>>,
    devices: Vec<Device>,
    next_connection: u64,
    /// Who was told to be out of which room, in order.
    pub put_out: Vec<(SessionId, Option<Uid>)>,
    answers: BTreeMap<RequestId, Result<Answer>>,
}

struct Device {
    uid: Uid,
    id: DeviceId,
    client: Client,
    connection: Option<ConnectionId>,
    /// Whether it can reach the server.
    online: bool,
    events: VecDeque<CallEvent>,
    logged_out: Option<Error>,
}

/// A device of the scene. Its name is `uid/device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phone(usize);

impl Scene {
    pub fn new() -> Self {
        Self::with(ServiceSettings::default())
    }

    pub fn with(settings: ServiceSettings) -> Self {
        Self {
            service: Service::new(settings.clone(), PING, [7; 32]),
            settings,
            start: Instant::now(),
            now: Duration::from_secs(1),
            store: BTreeMap::new(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            devices: Vec::new(),
            next_connection: 1,
            put_out: Vec::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Logs in the device of that name.
    pub fn phone(&mut self, name: &str) -> Phone {
        self.phone_with(name, false)
    }

    pub fn phone_with(&mut self, name: &str, call_waiting: bool) -> Phone {
        let (uid, id) = (uid(name.split('/').next().unwrap()), DeviceId::new(name).unwrap());
        let seed = self.devices.len() as u64;
        let settings = ClientSettings {
            token: uid.to_string(),
            device_id: id.clone(),
            call_waiting,
            request_timeout: Duration::from_secs(15),
            seed,
        };
        let mut client = Client::new(settings);
        client.start();
        let (events, logged_out) = (VecDeque::new(), None);
        self.devices.push(Device { uid, id, client, connection: None, online: true, events, logged_out });
        self.settle();
        Phone(self.devices.len() - 1)
    }

    pub fn group(&mut self, guid: &str, members: &[&str]) -> GroupId {
        let guid = GroupId::new(guid).unwrap();
        for member in members {
            self.users.entry(uid(member)).or_insert_with(|| User::new(uid(member)));
        }
        self.groups.insert(guid.clone(), members.iter().map(|member| uid(member)).collect());
        guid
    }

    pub fn initiate(&mut self, phone: Phone, initiate: Initiate) -> Result<Call> {
        self.command(phone, Command::Initiate(initiate))
    }

    /// Calls a user, and finds that it was not refused.
    pub fn dial(&mut self, phone: Phone, callee: &str) -> SessionId {
        self.initiate(phone, to_user(callee)).unwrap().session_id
    }

    pub fn dial_group(&mut self, phone: Phone, guid: &GroupId) -> SessionId {
        self.initiate(phone, Initiate::group(guid, CallType::Video)).unwrap().session_id
    }

    pub fn accept(&mut self, phone: Phone, session: &SessionId) -> Result<Call> {
        self.command(phone, Command::Accept(SessionRef { session_id: session.clone() }))
    }

    pub fn reject(&mut self, phone: Phone, session: &SessionId, reason: RejectReason) -> Result<Call> {
        self.command(phone, Command::Reject(Reject { session_id: session.clone(), reason }))
    }

    pub fn end(&mut self, phone: Phone, session: &SessionId) -> Result<Call> {
        self.command(phone, Command::End(SessionRef { session_id: session.clone() }))
    }

    pub fn command(&mut self, phone: Phone, command: Command) -> Result<Call> {
        let now = self.instant();
        let id = self.devices[phone.0].client.request(now, Request::Command(command));
        self.settle();
        match self.answers.remove(&id) {
            Some(Ok(Answer::Call(call))) => Ok(*call),
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(error)) => Err(error),
            None => Err(Error::from(ErrorCode::TimedOut)),
        }
    }

    /// Sends bytes as a device would, past its machine: for what a machine does not do. Returns the response.
    pub fn send_again(&mut self, phone: Phone, id: &str, command: &Command) -> Result<Call> {
        let connection = self.devices[phone.0].connection.expect("a connected device");
        let (id, now) = (RequestId::new(id).unwrap(), self.wall());
        let receiver = self.receiver_of(command);
        self.service.handle(now, Input::Command { connection, id: id.clone(), command: command.clone(), receiver });
        let outputs = self.flush();
        let mut answer = None;
        for output in outputs {
            if let Output::Send { message: ServerMessage::Response(response), .. } = &output
                && response.id == id
            {
                answer = Some(response.clone().into_result());
            }
            self.carry_out(output);
        }
        self.settle();
        match answer.expect("a response")? {
            Answer::Call(call) => Ok(*call),
            other => panic!("{other:?}"),
        }
    }

    pub fn input(&mut self, input: Input) {
        let now = self.wall();
        match &input {
            Input::UserRemoved(uid) => drop(self.users.remove(uid)),
            Input::MemberRemoved { guid, uid } => {
                self.groups.get_mut(guid).unwrap().retain(|member| member != uid);
            }
            Input::MemberAdded { guid, user } => self.groups.get_mut(guid).unwrap().push(user.uid.clone()),
            Input::GroupRemoved(guid) => drop(self.groups.remove(guid)),
            _ => {}
        }
        self.service.handle(now, input);
        self.settle();
    }

    /// Both join, leave and the rest, as the session server tells it.
    pub fn room(&mut self, session: &SessionId, event: RoomInput) {
        self.input(Input::Room { session: session.clone(), event });
    }

    /// Lets virtual time pass, second by second.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = (self.now + Duration::from_secs(1)).min(until);
            let (now, wall) = (self.instant(), self.wall());
            for device in &mut self.devices {
                if device.online && device.connection.is_some() {
                    device.client.heard(now);
                }
                device.client.tick(now);
            }
            self.service.fire_timers(wall);
            self.settle();
        }
    }

    /// The network of a device goes, or comes back; both sides notice at once.
    pub fn set_online(&mut self, phone: Phone, online: bool) {
        let now = self.instant();
        let device = &mut self.devices[phone.0];
        device.online = online;
        if let (false, Some(connection)) = (online, device.connection.take()) {
            device.client.disconnected(now, ErrorCode::ConnectionLost.into());
            self.service.handle(UnixMillis(self.now.as_millis() as u64), Input::Disconnected { connection });
        }
        self.settle();
    }

    /// SIGKILL, and a new start from the store.
    pub fn restart_server(&mut self) {
        self.service = Service::new(self.settings.clone(), PING, [8; 32]);
        self.service.restore(self.store.values().cloned().collect(), self.wall());
        let now = self.instant();
        for device in self.devices.iter_mut().filter(|device| device.connection.is_some()) {
            device.connection = None;
            device.client.disconnected(now, ErrorCode::ConnectionLost.into());
        }
        self.settle();
    }

    pub fn call(&self, session: &SessionId) -> &Call {
        &self.store[session].call
    }

    pub fn status(&self, session: &SessionId) -> (CallStatus, Option<EndReason>) {
        let call = self.call(session);
        (call.status, call.end_reason)
    }

    pub fn state(&self, session: &SessionId, of: &str) -> ParticipantState {
        self.call(session).participant(&uid(of)).unwrap_or_else(|| panic!("{of} is no party")).state
    }

    /// Whether the session server would let this user in.
    pub fn may_join(&self, session: &SessionId, who: &str) -> Result<()> {
        may_join(self.call(session), who)
    }

    pub fn active_call(&self, phone: Phone) -> Option<&Call> {
        self.devices[phone.0].client.active_call()
    }

    pub fn rings(&self, phone: Phone) -> bool {
        self.devices[phone.0].client.incoming_calls().next().is_some()
    }

    pub fn clear_active_call(&mut self, phone: Phone) -> Option<Call> {
        self.devices[phone.0].client.clear_active_call()
    }

    pub fn logged_out(&self, phone: Phone) -> Option<ErrorCode> {
        self.devices[phone.0].logged_out.as_ref().map(Error::code)
    }

    /// What this device was told since it was asked last.
    pub fn events(&mut self, phone: Phone) -> Vec<CallEvent> {
        self.devices[phone.0].events.drain(..).collect()
    }

    pub fn heard(&mut self, phone: Phone) -> Vec<CallEventKind> {
        self.events(phone).into_iter().map(|event| event.kind).collect()
    }

    /// What it was told, and by whom.
    pub fn heard_by(&mut self, phone: Phone) -> Vec<(CallEventKind, String)> {
        let by = |event: &CallEvent| event.by.as_ref().map_or_else(String::new, |by| by.uid.to_string());
        self.events(phone).into_iter().map(|event| (event.kind, by(&event))).collect()
    }

    pub fn wall(&self) -> UnixMillis {
        UnixMillis(self.now.as_millis() as u64)
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    /// Until nobody has anything to say any more.
    fn settle(&mut self) {
        loop {
            let outputs = self.flush();
            let mut quiet = outputs.is_empty();
            for output in outputs {
                self.carry_out(output);
            }
            for at in 0..self.devices.len() {
                while let Some(output) = self.devices[at].client.poll_output() {
                    quiet = false;
                    self.device_does(at, output);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn flush(&mut self) -> Vec<Output> {
        for record in self.service.unsaved() {
            let session = record.call.session_id.clone();
            if let Some(before) = self.store.get(&session) {
                assert!(before.call.revision <= record.call.revision, "a revision went back: {record:?}");
            }
            self.store.insert(session, record.clone());
        }
        self.service.commit()
    }

    fn carry_out(&mut self, output: Output) {
        let now = self.instant();
        match output {
            Output::Send { connection, message } => {
                if let Some(device) = self.devices.iter_mut().find(|device| device.connection == Some(connection)) {
                    device.client.received(now, &message.to_json());
                }
            }
            Output::Close { connection, error } => {
                if let Some(device) = self.devices.iter_mut().find(|device| device.connection == Some(connection)) {
                    device.client.received(now, &ServerMessage::bye(error).to_json());
                }
            }
            Output::CloseRoom { session, .. } => self.put_out.push((session, None)),
            Output::LeaveRoom { session, uid } => self.put_out.push((session, Some(uid))),
        }
    }

    fn device_does(&mut self, at: usize, output: ClientOutput) {
        let (now, wall) = (self.instant(), self.wall());
        match output {
            ClientOutput::Connect => {
                let device = &mut self.devices[at];
                if !device.online {
                    return device.client.disconnected(now, ErrorCode::ServerUnreachable.into());
                }
                device.connection = Some(ConnectionId(self.next_connection));
                self.next_connection += 1;
                device.client.connected(now);
            }
            ClientOutput::Disconnect => {
                if let Some(connection) = self.devices[at].connection.take() {
                    self.service.handle(wall, Input::Disconnected { connection });
                }
            }
            ClientOutput::Send(message) => self.server_receives(at, message),
            ClientOutput::Event(event) => self.devices[at].events.push_back(event),
            ClientOutput::Answer { id, result } => drop(self.answers.insert(id, result)),
            ClientOutput::Login(LoginState::LoggedOut(error)) => self.devices[at].logged_out = Some(error),
            ClientOutput::Login(_) => {}
        }
    }

    fn server_receives(&mut self, at: usize, message: ClientMessage) {
        let Some(connection) = self.devices[at].connection else { return };
        let wall = self.wall();
        match message {
            ClientMessage::Hello(hello) => {
                let user = self.users.entry(self.devices[at].uid.clone());
                let user = user.or_insert_with_key(|uid| User::new(uid.clone())).clone();
                let (device, call_waiting) = (hello.device_id, hello.call_waiting);
                self.service.handle(wall, Input::Connected { connection, user, device, call_waiting });
            }
            ClientMessage::Request(request) => match request.parse().unwrap() {
                Request::Command(command) => {
                    let receiver = self.receiver_of(&command);
                    self.service.handle(wall, Input::Command { connection, id: request.id, command, receiver });
                }
                Request::Query(Query::Call(asked)) => {
                    let call = self.store.get(&asked.session_id).map(|record| Box::new(record.call.clone()));
                    let answer = call.map(Answer::Call).ok_or_else(|| ErrorCode::CallNotFound.into());
                    let response = ServerMessage::Response(Response::new(request.id, answer));
                    self.carry_out(Output::Send { connection, message: response });
                }
                Request::Query(other) => panic!("{other:?}"),
            },
        }
    }

    fn receiver_of(&self, command: &Command) -> Option<Callee> {
        let Command::Initiate(initiate) = command else { return None };
        let user = Uid::new(&*initiate.receiver).ok().and_then(|uid| self.users.get(&uid).cloned());
        let group = GroupId::new(&*initiate.receiver).ok().and_then(|guid| self.groups.get_key_value(&guid));
        match initiate.receiver_type {
            trill::ringing::ReceiverType::User => user.map(Callee::User),
            trill::ringing::ReceiverType::Group => group.map(|(guid, members)| Callee::Group {
                group: Group { guid: guid.clone(), name: guid.to_string(), avatar: None, metadata: None },
                members: members.iter().filter_map(|uid| self.users.get(uid).cloned()).collect(),
            }),
        }
    }
}

impl Scene {
    pub fn device_id(&self, phone: Phone) -> &DeviceId {
        &self.devices[phone.0].id
    }
}

pub fn uid(uid: &str) -> Uid {
    Uid::new(uid).unwrap()
}

pub fn to_user(callee: &str) -> Initiate {
    Initiate::user(&uid(callee), CallType::Video)
}

pub fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.expect_err("it should have been refused").code()
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
