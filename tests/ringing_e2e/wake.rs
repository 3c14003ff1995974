//! Pushes: from a callee that is not connected, by the owner's webhook, to its telephone that rings.

use crate::receiver::Receiver;
use crate::support::*;
use std::time::Duration;
use trill::base::{DeviceId, ErrorCode, SessionId, UnixMillis};
use trill::engine::{Engine, EngineConfig, Event, EventQueue};
use trill::identity::{ApiKey, WakeToken};
use trill::ringing::webhook::{NoticeKind, Wake};
use trill::ringing::wire::{Initiate, RejectReason};
use trill::ringing::{CallEventKind, CallStatus, EndReason, PushOutcome, WakePayload};

/// A server whose owner gets the pushes to carry, Alice's telephone, and Bob known but not there.
struct Setting {
    server: TestServer,
    receiver: Receiver,
    alice: Device,
}

impl Setting {
    async fn new() -> Self {
        let receiver = Receiver::start().await;
        let url = receiver.url();
        let server = TestServer::start_with(|config| {
            config.webhooks.urls = vec![url];
            config.webhooks.events = vec![NoticeKind::Wake];
        })
        .await;
        let alice = server.log_in("alice", "phone").await;
        server.log_in("bob", "laptop").await.client.log_out().await;
        Self { server, receiver, alice }
    }

    async fn call_bob(&mut self) -> (SessionId, Wake) {
        let call = self.alice.client.initiate(call_to("bob")).await.unwrap();
        let notice = self.receiver.expect(NoticeKind::Wake).await.notice;
        assert_eq!(notice.call.session_id, call.session_id);
        (call.session_id, notice.wake.unwrap())
    }

    /// Bob's app is started by the push.
    fn bobs_app(&self, device: &str) -> (Engine, EventQueue) {
        let device_id = DeviceId::new(device).unwrap();
        Engine::with_queue(EngineConfig { device_id, worker_threads: 1, ..EngineConfig::default() }).unwrap()
    }
}

/// The call events that have come so far.
fn call_events(events: &EventQueue) -> Vec<CallEventKind> {
    let next = || events.next(Duration::from_millis(300)).ok();
    std::iter::from_fn(next)
        .filter_map(|event| match event {
            Event::Call(event) => Some(event.kind),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_wakes_an_app_that_rings_once_and_accepts() {
    let mut setting = Setting::new().await;
    let (session, wake) = setting.call_bob().await;
    assert_eq!(wake.uid, uid("bob"));
    let (shown, _) = WakePayload::read(wake.payload.as_bytes()).unwrap();
    assert_eq!((shown.from.name.as_deref(), &shown.session_id), (Some("ALICE"), &session));

    let (bob, events) = setting.bobs_app("phone");
    // Not waited for: the push waits for the login.
    let login = bob.log_in(setting.server.url(), user_token("bob"));
    let pushed = bob.call_from_push(wake.payload.clone()).await.unwrap();
    login.await.unwrap();
    assert_eq!((pushed.outcome, &pushed.call.session_id), (PushOutcome::Ringing, &session));
    // The push service brings it twice.
    assert_eq!(bob.call_from_push(wake.payload.clone()).await.unwrap().outcome, PushOutcome::Ringing);
    assert_eq!(call_events(&events), [CallEventKind::IncomingReceived]);
    setting.alice.expect(CallEventKind::OutgoingRinging).await;

    bob.accept_call(&session).await.unwrap();
    setting.alice.expect(CallEventKind::OutgoingAccepted).await;
    assert_eq!(bob.call_from_push(wake.payload).await.unwrap().outcome, PushOutcome::InCall);
    setting.receiver.expect_nothing_more();
    tokio::task::spawn_blocking(move || bob.shut_down()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_for_a_call_that_went_on_meanwhile_says_how() {
    let mut setting = Setting::new().await;

    let (session, wake) = setting.call_bob().await;
    setting.alice.client.reject(&session, RejectReason::Cancelled).await.unwrap();
    let (bob, events) = setting.bobs_app("phone");
    bob.log_in(setting.server.url(), user_token("bob")).await.unwrap();
    let cancelled = bob.call_from_push(wake.payload).await.unwrap();
    assert_eq!((cancelled.outcome, cancelled.call.end_reason), (PushOutcome::Over, Some(EndReason::Cancelled)));
    bob.log_out().await.unwrap();
    assert_eq!(call_events(&events), [], "a call that never rang here does not stop ringing");

    for (outcome, status) in
        [(PushOutcome::AnsweredElsewhere, CallStatus::Ongoing), (PushOutcome::RejectedElsewhere, CallStatus::Rejected)]
    {
        let (session, wake) = setting.call_bob().await;
        let tablet = setting.server.log_in("bob", "tablet").await;
        tablet.expect(CallEventKind::IncomingReceived).await;
        match outcome {
            PushOutcome::AnsweredElsewhere => tablet.client.accept(&session).await.unwrap(),
            _ => tablet.client.reject(&session, RejectReason::Rejected).await.unwrap(),
        };
        bob.log_in(setting.server.url(), user_token("bob")).await.unwrap();
        let pushed = bob.call_from_push(wake.payload).await.unwrap();
        assert_eq!((pushed.outcome, pushed.call.status), (outcome, status));
        bob.log_out().await.unwrap();
        // Nothing rings on.
        if status == CallStatus::Ongoing {
            tablet.client.end(&session).await.unwrap();
        }
        tablet.client.log_out().await;
    }
    tokio::task::spawn_blocking(move || bob.shut_down()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_no_good_is_refused_with_its_own_error() {
    let mut setting = Setting::new().await;
    let (session, wake) = setting.call_bob().await;
    let (bob, events) = setting.bobs_app("phone");
    let refused = async |payload: &str| code(bob.call_from_push(payload).await);

    assert_eq!(refused(&wake.payload).await, ErrorCode::NotLoggedIn);
    bob.log_in(setting.server.url(), user_token("bob")).await.unwrap();
    for garbage in ["", "hello", "a.b.c", &user_token("bob"), &wake.payload[1..wake.payload.len() / 2]] {
        assert_eq!(refused(garbage).await, ErrorCode::Malformed, "{garbage:?}");
    }
    assert_eq!(refused(&"x".repeat(5000)).await, ErrorCode::TooLarge);

    let call = bob.call(&session).await.unwrap();
    let mint = |key: &ApiKey, name: &str, at: UnixMillis| {
        WakeToken(WakePayload::new(uid(name), &call)).mint(key, at, Duration::from_secs(45))
    };
    let now = UnixMillis::now();
    assert_eq!(refused(&mint(&key(), "carol", now)).await, ErrorCode::NotAParty);
    assert_eq!(refused(&mint(&key(), "bob", UnixMillis(now.0 - 50_000))).await, ErrorCode::TokenExpired);
    let forger = ApiKey::new(KEY_ID, "not the secret, though it is as long as one").unwrap();
    assert_eq!(refused(&mint(&forger, "bob", now)).await, ErrorCode::TokenWrongKey);

    // None of that has harmed the call.
    assert_eq!(bob.call_from_push(wake.payload).await.unwrap().outcome, PushOutcome::Ringing);
    assert_eq!(call_events(&events), [CallEventKind::IncomingReceived]);
    tokio::task::spawn_blocking(move || bob.shut_down()).await.unwrap();
}

#[tokio::test]
async fn a_callee_whose_device_is_there_needs_no_push_until_it_is_gone() {
    let mut setting = Setting::new().await;
    let bob = setting.server.log_in("bob", "phone").await;
    let session = setting.alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    setting.alice.expect(CallEventKind::OutgoingRinging).await;
    setting.receiver.expect_nothing_more();

    // Its system puts the app to sleep.
    bob.client.log_out().await;
    let notice = setting.receiver.expect(NoticeKind::Wake).await.notice;
    assert_eq!((notice.call.session_id, notice.wake.unwrap().uid), (session, uid("bob")));
}

#[tokio::test]
async fn a_push_for_a_call_that_rings_no_more_is_not_delivered() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    drop(receiver);
    let server = TestServer::start_with(|config| {
        config.webhooks.urls = vec![format!("http://{address}/")];
    })
    .await;
    let alice = server.log_in("alice", "phone").await;
    server.log_in("bob", "laptop").await.client.log_out().await;
    alice.client.initiate(Initiate { timeout: Some(1), ..call_to("bob") }).await.unwrap();
    alice.expect(CallEventKind::OutgoingUnanswered).await;
    let mut receiver = Receiver::at(address, |_| crate::receiver::Reply::Status(200)).await;
    receiver.expect(NoticeKind::CallInitiated).await;
    receiver.expect(NoticeKind::CallEnded).await;
    server.server.shutdown().await;
    receiver.expect_nothing_more();
}
