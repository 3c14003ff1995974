//! Sessions from the inside: ended in each of their callbacks, and with faults planted in the engine.

use super::{Host, SECRET, compile, run, user_token};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use trill::base::{ParticipantIdentity, SessionId, Uid, UnixMillis};
use trill::engine::{Engine, EngineConfig, EventQueue};
use trill::identity::{ApiKey, SessionToken, VideoGrant};
use trill::ringing::CallType;
use trill::ringing::wire::Initiate;

/// A call that is going on, with nobody in its session yet.
struct Call {
    url: String,
    session: SessionId,
    parties: [String; 2],
    _phones: [(Engine, EventQueue); 2],
}

impl Call {
    fn begin(host: &Host, parties: [String; 2]) -> Self {
        let phones = parties.each_ref().map(|uid| {
            let (engine, events) = Engine::with_queue(EngineConfig::default()).unwrap();
            engine.log_in(host.url.as_str(), user_token(uid)).wait().unwrap();
            (engine, events)
        });
        let receiver = Uid::new(parties[1].as_str()).unwrap();
        let call = phones[0].0.initiate_call(Initiate::user(&receiver, CallType::Video)).wait().unwrap();
        phones[1].0.accept_call(&call.session_id).wait().unwrap();
        let url = phones[0].0.session_token(&call.session_id).wait().unwrap().url;
        Self { url, session: call.session_id, parties, _phones: phones }
    }

    fn token(&self, party: usize, may_publish: bool) -> String {
        token(&self.session, &self.parties[party], |grant| grant.can_publish = Some(may_publish))
    }
}

pub fn token(room: &SessionId, identity: &str, change: impl FnOnce(&mut VideoGrant)) -> String {
    let identity = ParticipantIdentity::new(identity).unwrap();
    let mut token = SessionToken::for_call(identity, String::new(), room);
    change(&mut token.video);
    token.mint(&ApiKey::new("test", SECRET).unwrap(), UnixMillis::now(), Duration::from_secs(600))
}

/// Somebody in a room who changes his metadata all the time, as LiveKit's clients let people do and our engine does not.
async fn change_oneself(server: String, token: String) {
    let url = format!("{}/rtc?protocol=16", server.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    for number in 0.. {
        let update = proto::UpdateParticipantMetadata { metadata: format!("{number}"), ..Default::default() };
        let update = proto::signal_request::Message::UpdateMetadata(update);
        let ping = proto::signal_request::Message::Ping(0);
        for message in [update, ping] {
            let request = proto::SignalRequest { message: Some(message) };
            socket.send(Message::binary(request.encode_to_vec())).await.unwrap();
        }
        // What comes in is taken off, and of no interest.
        let reading = async { while socket.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_millis(300), reading).await.ok();
    }
}

/// So many bytes of the server's are past its answer to a join: that and the upgrade before it are smaller, and the
/// description of the media after it is larger.
const ANSWER: usize = 1024;

/// Leads to the server, and cuts each connection `after` the server had answered on it: however long that takes on a
/// busy machine, it is a session that is cut, not the way into it. Gives its URL.
fn cutting_relay(url: &str, after: Duration) -> String {
    let server = url.split_once("://").unwrap().1.trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = format!("ws://{}", listener.local_addr().unwrap());
    // It ends with the test's process.
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = TcpStream::connect(&server).unwrap();
            let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || forward(&from, &to, usize::MAX));
            std::thread::spawn(move || {
                forward(&far, &near, ANSWER);
                let ends = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                std::thread::spawn(move || {
                    std::thread::sleep(after);
                    for end in ends {
                        end.shutdown(Shutdown::Both).ok();
                    }
                });
                forward(&far, &near, usize::MAX);
            });
        }
    });
    relay
}

/// Until one of them is closed, or more than so many bytes have passed.
fn forward(mut from: &TcpStream, mut to: &TcpStream, bytes: usize) {
    let mut buffer = [0; 16 * 1024];
    let mut passed = 0;
    while passed <= bytes
        && let Ok(read @ 1..) = from.read(&mut buffer)
    {
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
        passed += read;
    }
}

/// In three programs side by side: most of the time they wait.
#[test]
fn a_session_can_be_ended_inside_each_of_its_callbacks() {
    const PARTS: usize = 3;
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let program = compile(folder.path(), "inside.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
    std::thread::scope(|scope| {
        for part in 0..PARTS {
            let (host, program) = (&host, &program);
            scope.spawn(move || {
                let call = Call::begin(host, [format!("alice{part}"), format!("bob{part}")]);
                let relay = cutting_relay(&call.url, Duration::from_millis(1500));
                let meeting = SessionId::new(format!("meeting {part}")).unwrap();
                let restless = token(&meeting, "carol", |grant| grant.can_update_own_metadata = Some(true));
                let restless = host.runtime.spawn(change_oneself(host.url.clone(), restless));
                let output = run(Command::new(program)
                    .args([&part.to_string(), &PARTS.to_string(), &call.url, &relay])
                    .args([call.token(0, true), call.token(0, false), call.token(1, true)])
                    .arg(token(&meeting, "alice", |_| {})));
                assert!(!restless.is_finished(), "nobody changed in the meeting any more");
                restless.abort();
                assert_eq!(String::from_utf8_lossy(&output.stdout), "ended\n");
            });
        }
    });
}

#[test]
fn who_is_left_alone_for_as_long_as_the_settings_say_is_out_with_that_reason() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let program = compile(folder.path(), "alone.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
    let room = SessionId::new("room").unwrap();
    let attributes = [("desk", "4"), ("mood", "")].map(|(name, value)| (name.into(), value.into()));
    let tokens = ["alice", "bob"].map(|who| {
        let who = ParticipantIdentity::new(who).unwrap();
        let token =
            SessionToken { attributes: attributes.clone().into(), ..SessionToken::for_call(who, String::new(), &room) };
        token.mint(&ApiKey::new("test", SECRET).unwrap(), UnixMillis::now(), Duration::from_secs(600))
    });
    let output = run(Command::new(program).arg(&host.url).args(tokens));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alone\n");
}

#[test]
fn the_next_session_of_an_id_can_begin_in_each_function_that_is_told_of_the_end_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "again.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
    let output = run(&mut Command::new(program));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "again\n");
}

#[test]
fn silence_is_left_out_when_the_settings_ask_for_it_and_never_of_an_older_program() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let program = compile(folder.path(), "silence.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
    let room = SessionId::new("room").unwrap();
    let tokens = ["alice", "bob"].map(|who| token(&room, who, |_| {}));
    let output = run(Command::new(program).arg(&host.url).args(tokens));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "left out\n");
}

#[test]
fn a_listener_can_remove_itself_and_log_out_inside_each_of_its_functions() {
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let program = compile(folder.path(), "listeners.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
    let tokens = (0..10).flat_map(|at| [user_token(&format!("caller{at}")), user_token(&format!("callee{at}"))]);
    let output = run(Command::new(program).arg(&host.url).args(tokens));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "heard\n");
}

/// `cargo test --features planted-faults --test c_abi planted`; scripts/test does it in its step "faults".
#[cfg(feature = "planted-faults")]
#[test]
fn a_planted_panic_is_a_status_and_an_event_and_harms_nothing_else() {
    let library = std::fs::read(super::library()).unwrap();
    assert!(
        library.windows(14).any(|bytes| bytes == b"planted fault:"),
        "libtrill.so was built without planted-faults since; touch src/engine/planted.rs"
    );
    let (folder, host) = (tempfile::tempdir().unwrap(), Host::start());
    let sanitized = &["-fsanitize=address,undefined", "-fno-sanitize-recover"][..];
    for (options, callee) in [(&[][..], "bob"), (sanitized, "carol")] {
        let program = compile(folder.path(), "fault.c", options);
        let call = Call::begin(&host, [format!("{callee}'s caller"), callee.into()]);
        let output = run(Command::new(program).args([&call.url, &call.token(0, true), &call.token(1, true)]));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "contained\n");
    }
}
