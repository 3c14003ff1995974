//! The facade by itself: what an app may do wrong, and how it ends.

use super::*;
use crate::base::DeviceId;
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Instant;
use tokio_tungstenite::tungstenite::{self, Message};

const LONG: Duration = Duration::from_secs(9);

fn session() -> SessionId {
    SessionId::new("s").unwrap()
}

#[test]
fn what_needs_a_login_says_so_without_one() {
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    assert_eq!(engine.accept_call(&session()).wait().unwrap_err().code(), ErrorCode::NotLoggedIn);
    assert_eq!(engine.call_log(LogFilter::default()).wait().unwrap_err().code(), ErrorCode::NotLoggedIn);
    assert_eq!(engine.active_call(), None);
    assert_eq!(engine.log_out().wait(), Ok(()), "what is not logged in is logged out");
}

#[test]
fn what_needs_a_session_says_so_without_one() {
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    let error = engine.set_muted(&session(), TrackSource::Microphone, true).wait().unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionNotFound);
    assert_eq!(engine.end_session(&session()).wait().unwrap_err().code(), ErrorCode::SessionNotFound);
}

#[test]
fn a_failed_login_and_a_failed_start_leave_room_for_the_next() {
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    for _ in 0..2 {
        let error = engine.log_in("http://127.0.0.1:1", "token").wait().unwrap_err();
        assert_eq!(error.code(), ErrorCode::ServerUnreachable);
        let started = engine.start_session(&session(), "ws://127.0.0.1:1", "token", SessionSettings::default());
        assert_eq!(started.wait().unwrap_err().code(), ErrorCode::ServerUnreachable);
    }
}

/// Welcomes everybody, and hears them out. It ends with the test's process.
fn welcoming_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(|stream| stream.ok()) {
            std::thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept(stream) else { return };
                let welcome =
                    r#"{"type":"welcome","version":1,"user":{"uid":"a"},"time":0,"pingIntervalMs":60000,"calls":[]}"#;
                if socket.read().is_ok() && socket.send(Message::text(welcome)).is_ok() {
                    while socket.read().is_ok() {}
                }
            });
        }
    });
    url
}

#[test]
fn a_login_that_begins_when_the_last_one_is_told_to_be_over_is_not_touched_by_the_end_of_that() {
    let (engine, events) = Engine::with_queue(EngineConfig::default()).unwrap();
    let url = welcoming_server();
    engine.log_in(&url, "token").wait().unwrap();
    for _ in 0..50 {
        let logged_out = engine.log_out();
        let began = Instant::now();
        // Without sleep, as who wakes up comes too late to be in its way.
        while !matches!(events.next(Duration::ZERO), Ok(Event::Login(LoginEvent::LoggedOut { .. }))) {
            assert!(began.elapsed() < LONG, "the logout is not told");
        }
        let logged_in = engine.log_in(&url, "token");
        assert_eq!(logged_out.wait(), Ok(()));
        logged_in.wait().unwrap();
        assert!(engine.logged_in_user().is_some());
    }
}

#[test]
fn a_login_that_is_under_way_is_called_off_by_a_logout() {
    let (engine, events) = Engine::with_queue(EngineConfig::default()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let login = engine.log_in(format!("ws://{}", silent.local_addr().unwrap()), "token");
    let (mut connection, _) = silent.accept().unwrap();
    let began = Instant::now();
    assert_eq!(engine.log_out().wait(), Ok(()));
    assert_eq!(login.wait().unwrap_err().code(), ErrorCode::Cancelled);
    // It would take 10 s to give up.
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    // Another one has its place at once.
    engine.log_in(welcoming_server(), "token").wait().unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    connection.read_to_end(&mut Vec::new()).expect("its connection is closed");
    assert!(engine.logged_in_user().is_some());
    assert!(matches!(events.next(LONG), Ok(Event::Login(LoginEvent::LoggedIn { .. }))));
    assert_eq!(events.next(Duration::ZERO).unwrap_err(), NoEvent::TimedOut);
}

#[test]
fn a_session_that_is_starting_can_be_ended() {
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    let started = engine.start_session(&session(), url, "token", SessionSettings::default());
    assert_eq!(engine.end_session(&session()).wait(), Ok(()));
    assert_eq!(started.wait().unwrap_err().code(), ErrorCode::Cancelled);
    assert_eq!(engine.end_session(&session()).wait().unwrap_err().code(), ErrorCode::SessionNotFound);
}

#[test]
fn an_end_is_that_of_the_session_there_was_not_of_the_next_with_its_id() {
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    for _ in 0..20 {
        let nothing = engine.end_session(&session());
        let started = engine.start_session(&session(), &url, "token", SessionSettings::default());
        assert_eq!(nothing.wait().unwrap_err().code(), ErrorCode::SessionNotFound);
        let ended = engine.end_session(&session());
        assert_eq!(ended.wait(), Ok(()));
        assert_eq!(started.wait().unwrap_err().code(), ErrorCode::Cancelled);
    }
}

#[test]
fn wrong_settings_are_refused() {
    for worker_threads in [0, 17] {
        let config = EngineConfig { worker_threads, ..EngineConfig::default() };
        assert_eq!(Engine::with_queue(config).err().map(|e| e.code()), Some(ErrorCode::InvalidArgument));
    }
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    assert_eq!(engine.log_in("not a url", "t").wait().unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn an_engine_is_a_new_device_unless_told_otherwise() {
    assert_ne!(EngineConfig::default().device_id, EngineConfig::default().device_id);
    assert!(DeviceId::new(EngineConfig::default().device_id.as_str()).is_ok());
}

#[test]
fn shutting_down_ends_the_queue_and_fails_what_is_under_way() {
    let (engine, events) = Engine::with_queue(EngineConfig::default()).unwrap();
    // Nobody answers there: a port of ours that accepts connections and stays silent.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let login = engine.log_in(format!("http://{}", silent.local_addr().unwrap()), "t");
    let (_held, _) = silent.accept().unwrap();
    let before = Instant::now();
    engine.shut_down();
    assert!(before.elapsed() < SHUT_DOWN_LIMIT + Duration::from_millis(500));
    assert_eq!(login.wait().unwrap_err().code(), ErrorCode::ShutDown);
    assert_eq!(events.next(Duration::from_secs(1)).unwrap_err(), NoEvent::ShutDown);
}

#[test]
fn an_engine_may_be_dropped_inside_its_own_callback() {
    let (hand_over, engine_here) = mpsc::channel::<Engine>();
    let (told, done) = mpsc::channel();
    let engine = Engine::new(EngineConfig::default(), move |_| {
        let engine = engine_here.recv().unwrap();
        engine.shut_down();
        told.send(()).unwrap();
    })
    .unwrap();
    let events = engine.shared.events.clone();
    let some_event = || Event::Login(LoginEvent::LoggedOut { error: ErrorCode::ShutDown.into() });
    events.send(some_event());
    events.send(some_event());
    hand_over.send(engine).unwrap();
    done.recv_timeout(Duration::from_secs(5)).expect("the callback returns");
    assert!(done.recv_timeout(Duration::from_secs(5)).is_err(), "and is not called again");
}
