//! What the owner's backend is told: signed, in order, once it can be reached, and never lost.

use crate::receiver::{Receiver, Reply};
use crate::support::*;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use trill::ringing::webhook::NoticeKind::{self, *};
use trill::ringing::wire::{Initiate, RejectReason};
use trill::ringing::{CallEventKind, CallStatus, EndReason};
use trill::server::ServerConfig;

fn to(receiver: &Receiver) -> impl FnOnce(&mut ServerConfig) {
    let url = receiver.url();
    move |config| {
        config.webhooks.urls = vec![url];
        config.webhooks.timeout = Duration::from_secs(2);
    }
}

/// Two devices, and a call between them from its beginning to its end.
async fn talk(server: &TestServer, callee: &str) -> (Device, Device) {
    let alice = server.log_in("alice", "phone").await;
    let bob = server.log_in(callee, "laptop").await;
    let session = alice.client.initiate(call_to(callee)).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;
    bob.client.accept(&session).await.unwrap();
    bob.client.end(&session).await.unwrap();
    (alice, bob)
}

const WHOLE_CALL: [NoticeKind; 4] = [CallInitiated, CallRinging, CallStarted, CallEnded];

#[tokio::test]
async fn each_step_of_a_call_is_posted_signed_and_in_order() {
    let mut receiver = Receiver::start().await;
    let server = TestServer::start_with(to(&receiver)).await;
    let (alice, _bob) = talk(&server, "bob").await;
    let call = alice.client.log(Default::default()).await.unwrap().calls.remove(0);
    let mut ids = Vec::new();
    for kind in WHOLE_CALL {
        let delivered = receiver.expect(kind).await;
        assert!(delivered.is_signed_with(SECRET.as_bytes()), "{:?}", delivered.headers);
        assert!(!delivered.is_signed_with(b"another secret"));
        assert_eq!(delivered.header("content-type"), "application/json");
        assert_eq!(delivered.header("webhook-id"), delivered.notice.id);
        assert_eq!(delivered.notice.call.session_id, call.session_id);
        if kind == CallRinging {
            assert_eq!(delivered.notice.participant.as_ref().unwrap().uid, uid("bob"));
        }
        if kind == CallEnded {
            assert_eq!(delivered.notice.call, call);
            assert_eq!(delivered.notice.call.end_reason, Some(EndReason::HungUp));
        }
        ids.push(delivered.notice.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 4, "each notice has a key of its own");
    server.server.shutdown().await;
    receiver.expect_nothing_more();
}

#[tokio::test]
async fn a_secret_of_its_own_signs_and_only_the_events_asked_for_are_posted() {
    let mut receiver = Receiver::start().await;
    let server = TestServer::start_with(|config| {
        to(&receiver)(config);
        config.webhooks.secret = Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        config.webhooks.events = vec![CallEnded];
    })
    .await;
    let (alice, _bob) = talk(&server, "bob").await;
    let busy = alice.client.initiate(Initiate { timeout: Some(1), ..call_to("bob") }).await.unwrap();
    for status in [CallStatus::Ended, CallStatus::Unanswered] {
        let delivered = receiver.expect(CallEnded).await;
        assert_eq!(delivered.notice.call.status, status);
        assert!(!delivered.is_signed_with(SECRET.as_bytes()));
        use base64::Engine as _;
        let secret = base64::engine::general_purpose::STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert!(delivered.is_signed_with(&secret));
    }
    assert_eq!(busy.status, CallStatus::Initiated);
}

#[tokio::test]
async fn what_is_answered_with_500_is_posted_again_with_the_same_key_and_the_rest_of_the_call_waits_for_it() {
    let mut refusals = 0;
    let mut receiver = Receiver::answering(move |delivered| {
        if delivered.notice.kind == CallRinging && refusals < 2 {
            refusals += 1;
            return if refusals == 1 { Reply::Status(500) } else { Reply::Long(1 << 20) };
        }
        Reply::Status(204)
    })
    .await;
    let server = TestServer::start_with(to(&receiver)).await;
    let (alice, _bob) = talk(&server, "bob").await;
    receiver.expect(CallInitiated).await;
    let first = receiver.expect(CallRinging).await;
    for _ in 0..2 {
        let again = receiver.expect(CallRinging).await;
        assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
        assert!(again.is_signed_with(SECRET.as_bytes()), "signed anew, for the time of the attempt");
    }
    receiver.expect(CallStarted).await;
    receiver.expect(CallEnded).await;
    let metrics = http(&server, "GET", "/metrics", &[]).await.body;
    for line in [
        r#"trill_webhooks_total{event="call_ringing",result="failed"} 2"#,
        r#"trill_webhooks_total{event="call_ringing",result="delivered"} 1"#,
    ] {
        assert!(metrics.contains(line), "no {line:?} in\n{metrics}");
    }
    alice.client.log_out().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_is_asked_again_and_holds_up_no_call() {
    let mut late = true;
    let mut receiver = Receiver::answering(move |_| match std::mem::take(&mut late) {
        true => Reply::Late(Duration::from_secs(60)),
        false => Reply::Status(200),
    })
    .await;
    let server = TestServer::start_with(|config| {
        to(&receiver)(config);
        config.webhooks.timeout = Duration::from_millis(300);
    })
    .await;
    talk(&server, "bob").await;
    let first = receiver.expect(CallInitiated).await;
    let again = receiver.expect(CallInitiated).await;
    assert_eq!(again.notice, first.notice);
    // On a slow machine a good answer may be late too: a copy of what has come is no fault.
    let mut seen = HashSet::from([first.notice.id]);
    for kind in &WHOLE_CALL[1..] {
        let mut delivered = receiver.next().await;
        while seen.contains(delivered.header("webhook-id")) {
            delivered = receiver.next().await;
        }
        assert_eq!(delivered.notice.kind, *kind, "{}", delivered.body);
        seen.insert(delivered.notice.id);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Receiver::start().await;
    let to_elsewhere = elsewhere.url();
    let mut redirect = true;
    let mut receiver = Receiver::answering(move |_| match std::mem::take(&mut redirect) {
        true => Reply::Redirect(to_elsewhere.clone()),
        false => Reply::Status(200),
    })
    .await;
    let server = TestServer::start_with(to(&receiver)).await;
    talk(&server, "bob").await;
    let first = receiver.expect(CallInitiated).await;
    assert_eq!(receiver.expect(CallInitiated).await.notice, first.notice);
    for kind in &WHOLE_CALL[1..] {
        receiver.expect(*kind).await;
    }
    elsewhere.expect_nothing_more();
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_everything_in_order_for_each_call() {
    // A port where nobody listens, until later.
    let address = Receiver::start().await.address;
    let server = TestServer::start_with(|config| {
        config.webhooks.urls = vec![format!("http://{address}/hook")];
    })
    .await;
    let calls = 5;
    for n in 0..calls {
        let (alice, bob) = talk(&server, &format!("bob{n}")).await;
        alice.client.log_out().await;
        bob.client.log_out().await;
    }
    let server = server.restart().await;
    let mut receiver = Receiver::at(address, |_| Reply::Status(200)).await;
    let mut told: HashMap<_, Vec<NoticeKind>> = HashMap::new();
    for _ in 0..calls * WHOLE_CALL.len() {
        let notice = receiver.next().await.notice;
        told.entry(notice.call.session_id).or_default().push(notice.kind);
    }
    assert_eq!(told.len(), calls);
    assert!(told.values().all(|kinds| *kinds == WHOLE_CALL), "{told:?}");
    server.server.shutdown().await;
    receiver.expect_nothing_more();
}

#[tokio::test]
async fn a_call_that_is_cancelled_or_rejected_ends_with_its_reason() {
    let mut receiver = Receiver::start().await;
    let server = TestServer::start_with(|config| {
        to(&receiver)(config);
        config.webhooks.events = vec![CallEnded];
    })
    .await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    for reason in [EndReason::Cancelled, EndReason::Rejected] {
        let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
        bob.until(CallEventKind::IncomingReceived).await;
        match reason {
            EndReason::Cancelled => alice.client.reject(&session, RejectReason::Cancelled).await.unwrap(),
            _ => bob.client.reject(&session, RejectReason::Rejected).await.unwrap(),
        };
        let notice = receiver.expect(CallEnded).await.notice;
        assert_eq!((notice.call.session_id, notice.call.end_reason), (session, Some(reason)));
    }
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn webhooks_that_were_stored_survive_a_kill_of_the_server() {
    use crate::process::{DEV_KEY, Process};
    let dir = tempfile::TempDir::new().unwrap();
    let address = Receiver::start().await.address;
    let start = |http: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trill"));
        command.env("TRILL_WEBHOOKS__URLS", format!("[\"http://{address}/hook\"]"));
        Process::run(command, dir.path(), http)
    };
    let server = start("127.0.0.1:0");
    let (alice, bob) = (server.log_in("alice").await, server.log_in("bob").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;
    bob.client.accept(&session).await.unwrap();
    // Killed the moment the end is answered: stored, and not delivered, for there is nobody to deliver to.
    bob.client.end(&session).await.unwrap();
    let http = server.kill();
    let _server = start(&http.to_string());
    let mut receiver = Receiver::at(address, |_| Reply::Status(200)).await;
    for kind in WHOLE_CALL {
        let delivered = receiver.expect(kind).await;
        assert_eq!(delivered.notice.call.session_id, session);
        assert!(delivered.is_signed_with(DEV_KEY.1.as_bytes()));
    }
}
