//! The facade by itself: what an app may do wrong, and how it ends.

use super::*;
use crate::base::DeviceId;
use std::sync::mpsc;
use std::time::Instant;

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

#[test]
fn a_session_that_is_starting_can_be_ended() {
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    let started = engine.start_session(&session(), url, "token", SessionSettings::default());
    assert_eq!(engine.end_session(&session()).wait(), Ok(()));
    assert_eq!(started.wait().unwrap_err().code(), ErrorCode::Cancelled);
    assert_eq!(engine.end_session(&session()).wait().unwrap_err().code(), ErrorCode::SessionNotFound);
}

#[test]
fn an_end_is_that_of_the_session_there_was_not_of_the_next_with_its_id() {
    let (engine, _events) = Engine::with_queue(EngineConfig::default()).unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
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
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
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
