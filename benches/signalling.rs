//! What the server's decisions cost, without network or store: a call's transitions, a request's text, a token.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use trill::base::{DeviceId, RequestId, SessionId, Uid, UnixMillis};
use trill::identity::{ApiKey, KeyRing, SessionToken, UserToken};
use trill::ringing::service::{ConnectionId, Input, Output, Service, ServiceSettings};
use trill::ringing::wire::{
    Answer, ClientMessage, Command, Initiate, Request, RequestMessage, ServerMessage, SessionRef,
};
use trill::ringing::{CallType, Callee, User};

const CALLER: ConnectionId = ConnectionId(1);
const CALLEE: ConnectionId = ConnectionId(2);

/// The server's machine with two devices on it.
struct Scene {
    service: Service,
    now: UnixMillis,
    requests: u64,
}

impl Scene {
    fn new() -> Self {
        let service = Service::new(ServiceSettings::default(), Duration::from_secs(10), [7; 32]);
        let mut this = Self { service, now: UnixMillis(1_000_000), requests: 0 };
        for (connection, name) in [(CALLER, "alice"), (CALLEE, "bob")] {
            let (user, device) = (User::new(Uid::new(name).unwrap()), DeviceId::new(name).unwrap());
            this.handle(Input::Connected { connection, user, device, call_waiting: false });
        }
        this
    }

    /// As the driver does, but for the store.
    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.service.handle(self.now, input);
        assert!(self.service.unsaved().len() < 2);
        self.service.commit()
    }

    fn command(&mut self, connection: ConnectionId, command: Command, receiver: Option<Callee>) -> Vec<Output> {
        self.requests += 1;
        let id = RequestId::new(self.requests.to_string()).unwrap();
        self.handle(Input::Command { connection, id, command, receiver })
    }

    /// A call from its beginning to its end.
    fn call(&mut self, initiate: &Initiate, callee: &User) -> usize {
        let mut told = 0;
        let outputs = self.command(CALLER, Command::Initiate(initiate.clone()), Some(Callee::User(callee.clone())));
        told += outputs.len();
        let session_id = session(&outputs);
        for (from, command) in
            [(CALLEE, Command::Ringing as fn(SessionRef) -> Command), (CALLEE, Command::Accept), (CALLER, Command::End)]
        {
            told += self.command(from, command(SessionRef { session_id: session_id.clone() }), None).len();
        }
        // Calls that are over are forgotten after a while; so there are always as many.
        self.now = self.now + Duration::from_secs(1);
        self.service.fire_timers(self.now);
        told + self.service.commit().len()
    }
}

fn session(outputs: &[Output]) -> SessionId {
    let answer = outputs.iter().find_map(|output| match output {
        Output::Send { connection: CALLER, message: ServerMessage::Response(response) } => Some(response.clone()),
        _ => None,
    });
    match answer.expect("an answer").into_result() {
        Ok(Answer::Call(call)) => call.session_id,
        other => panic!("{other:?}"),
    }
}

fn ringing(c: &mut Criterion) {
    let callee = User::new(Uid::new("bob").unwrap());
    let initiate = Initiate::user(&callee.uid, CallType::Audio);
    let mut scene = Scene::new();
    let mut group = c.benchmark_group("ringing");
    group.throughput(Throughput::Elements(4));
    group.bench_function("a call: initiate, ringing, accept, end", |b| {
        b.iter(|| {
            let told = scene.call(&initiate, &callee);
            assert!(told > 4, "both are told");
            told
        })
    });
    group.throughput(Throughput::Elements(1));
    let id = RequestId::new("request-1").unwrap();
    let text =
        ClientMessage::Request(RequestMessage::new(id, &Request::Command(Command::Initiate(initiate)))).to_json();
    group.bench_function("a request read", |b| {
        b.iter(|| match ClientMessage::parse(&text, 10_000).unwrap() {
            ClientMessage::Request(message) => message.parse().unwrap(),
            other => panic!("{other:?}"),
        })
    });
    group.finish();
}

fn tokens(c: &mut Criterion) {
    let key = ApiKey::new("key", "a secret of the benches, 32 bytes or more").unwrap();
    let keys = KeyRing::new(key.clone());
    let (now, ttl) = (UnixMillis(1_700_000_000_000), Duration::from_secs(3600));
    let user = UserToken::new(Uid::new("alice").unwrap()).mint(&key, now, ttl);
    let room = SessionId::new("v1.room").unwrap();
    let session = SessionToken::for_call("alice".parse().unwrap(), "Alice".into(), &room).mint(&key, now, ttl);
    let mut group = c.benchmark_group("token");
    group.bench_function("user token verified", |b| b.iter(|| UserToken::verify(&keys, &user, now).unwrap()));
    group.bench_function("session token verified", |b| b.iter(|| SessionToken::verify(&keys, &session, now).unwrap()));
    group.bench_function("session token minted", |b| {
        b.iter(|| SessionToken::for_call("alice".parse().unwrap(), "Alice".into(), &room).mint(&key, now, ttl))
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = ringing, tokens
}
criterion_main!(benches);
