//! Call listeners, told of an event that no server has sent.

use super::*;
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock, Weak};

const LONG: Duration = Duration::from_secs(5);

fn some_event() -> Event {
    let event = r#"{"event":"incoming_received","by":{"uid":"alice"},"call":{"sessionId":"s","revision":1,
        "initiator":{"uid":"alice"},"receiver":{"id":"bob"},"receiverType":"USER","type":"AUDIO","category":"call",
        "status":"initiated","initiatedAt":1,"durationMs":0,"participants":[]}}"#;
    Event::Call(serde_json::from_str(event).unwrap())
}

/// An engine that its own listeners can reach, and tells of each event that has come to its end.
fn engine() -> (Arc<Engine>, Weak<Engine>, mpsc::Receiver<()>) {
    let (told, came) = mpsc::channel();
    let engine = Arc::new(Engine::new(EngineConfig::default(), move |_| told.send(()).unwrap()).unwrap());
    let weak = Arc::downgrade(&engine);
    (engine, weak, came)
}

#[test]
fn a_listener_is_told_of_calls_and_of_nothing_else_where_events_are_taken() {
    let (engine, events) = Engine::with_queue(EngineConfig::default()).unwrap();
    let (told, heard) = mpsc::channel();
    let listener = move |event: &CallEvent| told.send((event.kind, std::thread::current().id())).unwrap();
    engine.add_call_listener("screen", listener).unwrap();
    engine.tell(Event::Login(LoginEvent::LoggedOut { error: ErrorCode::UserRemoved.into() }));
    engine.tell(some_event());
    assert!(matches!(events.next(LONG), Ok(Event::Login(_))));
    assert!(heard.try_recv().is_err());
    assert!(matches!(events.next(LONG), Ok(Event::Call(_))));
    let here = std::thread::current().id();
    assert_eq!(heard.try_recv(), Ok((crate::ringing::CallEventKind::IncomingReceived, here)));
    engine.tell(some_event());
    engine.shut_down();
    assert!(events.next(LONG).is_ok());
    assert!(heard.try_recv().is_err(), "none is told after the shut-down");
}

#[test]
fn a_listener_of_the_same_id_replaces_the_earlier_one() {
    let (engine, _, came) = engine();
    let (told, heard) = mpsc::channel();
    for name in ["earlier", "later"] {
        let told = told.clone();
        engine.add_call_listener("screen", move |_| told.send(name).unwrap()).unwrap();
    }
    engine.add_call_listener("tone", move |_| told.send("tone").unwrap()).unwrap();
    engine.tell(some_event());
    came.recv_timeout(LONG).unwrap();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["later", "tone"]);
}

#[test]
fn a_listener_that_removes_itself_and_the_next_one_inside_its_own_callback_is_the_last_that_is_told() {
    let (engine, weak, came) = engine();
    let (told, heard) = mpsc::channel();
    let tell = told.clone();
    let first = move |_: &CallEvent| {
        let engine = weak.upgrade().unwrap();
        engine.remove_call_listener("first").unwrap();
        engine.remove_call_listener("second").unwrap();
        assert_eq!(engine.remove_call_listener("first").unwrap_err().code(), ErrorCode::InvalidArgument);
        tell.send("first").unwrap();
    };
    engine.add_call_listener("first", first).unwrap();
    engine.add_call_listener("second", move |_| told.send("second").unwrap()).unwrap();
    for _ in 0..2 {
        engine.tell(some_event());
        came.recv_timeout(LONG).unwrap();
    }
    assert_eq!(heard.iter().collect::<Vec<_>>(), ["first"], "and both were dropped with all that they held");
}

#[test]
fn who_removes_a_listener_that_runs_waits_until_it_has_returned() {
    let (engine, _, came) = engine();
    let (entered, inside) = mpsc::channel();
    let (go_on, may_return) = mpsc::channel::<()>();
    let may_return = Mutex::new(may_return);
    let returned = Arc::new(OnceLock::new());
    let done = returned.clone();
    let listener = move |_: &CallEvent| {
        entered.send(()).unwrap();
        may_return.lock().unwrap().recv_timeout(LONG).unwrap();
        done.set(()).unwrap();
    };
    engine.add_call_listener("slow", listener).unwrap();
    engine.tell(some_event());
    inside.recv_timeout(LONG).unwrap();
    let (removed, is_removed) = mpsc::channel();
    let remover = std::thread::spawn(move || {
        engine.remove_call_listener("slow").unwrap();
        removed.send(returned.get().is_some()).unwrap();
    });
    assert!(is_removed.recv_timeout(Duration::from_millis(100)).is_err(), "it still runs");
    go_on.send(()).unwrap();
    assert_eq!(is_removed.recv_timeout(LONG), Ok(true));
    remover.join().unwrap();
    came.recv_timeout(LONG).unwrap();
}

#[test]
fn a_listener_that_panics_harms_no_other_and_too_many_are_refused() {
    let (engine, _, came) = engine();
    let (told, heard) = mpsc::channel();
    engine.add_call_listener("faulty", |_| panic!("the app's fault")).unwrap();
    engine.add_call_listener("sound", move |_| told.send(()).unwrap()).unwrap();
    engine.tell(some_event());
    came.recv_timeout(LONG).unwrap();
    assert!(heard.try_recv().is_ok());
    let refused = (0..256).find_map(|n| engine.add_call_listener(n.to_string(), |_| ()).err()).unwrap();
    assert_eq!(refused.code(), ErrorCode::TooManyRequests);
    engine.add_call_listener("sound", |_| ()).unwrap();
    engine.remove_call_listener("faulty").unwrap();
    engine.add_call_listener("one more", |_| ()).unwrap();
}
