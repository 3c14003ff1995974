//! What becomes of a call between two users, and what each of their devices hears.

use crate::support::*;
use std::time::Duration;
use trill::base::{DeviceId, ErrorCode, SessionId};
use trill::engine::RingSettings;
use trill::ringing::wire::{Initiate, RejectReason};
use trill::ringing::{CallEventKind, CallStatus, EndReason, LogFilter, ParticipantState, ReceiverType};

#[tokio::test]
async fn a_call_is_rung_accepted_ended_and_stands_in_both_logs() {
    let server = TestServer::start().await;
    let alice = server.log_in("alice", "phone").await;
    let bob = server.log_in("bob", "laptop").await;

    let metadata = Some(serde_json::json!({ "topic": "tea" }));
    let call = alice.client.initiate(Initiate { metadata: metadata.clone(), ..call_to("bob") }).await.unwrap();
    assert_eq!(call.status, CallStatus::Initiated);
    assert_eq!(call.receiver.name.as_deref(), Some("BOB"));
    let session = call.session_id.clone();

    let incoming = bob.expect(CallEventKind::IncomingReceived).await;
    assert_eq!(incoming.call.initiator.name.as_deref(), Some("ALICE"));
    assert_eq!(incoming.call.metadata, metadata);
    alice.expect(CallEventKind::OutgoingRinging).await;

    // Consent: no token for either before the callee accepts.
    assert_eq!(code(alice.client.session_token(&session).await), ErrorCode::NotYetAccepted);
    assert_eq!(code(bob.client.session_token(&session).await), ErrorCode::NotYetAccepted);

    let accepted = bob.client.accept(&session).await.unwrap();
    assert_eq!(accepted.status, CallStatus::Ongoing);
    let event = alice.expect(CallEventKind::OutgoingAccepted).await;
    assert_eq!(event.by.unwrap().uid, uid("bob"));
    assert_eq!(alice.client.active_call().unwrap().session_id, session);

    let access = alice.client.session_token(&session).await.unwrap();
    assert_eq!(access.url, format!("ws://{}", server.server.http_addr()));
    bob.client.session_token(&session).await.unwrap();

    let ended = alice.client.end(&session).await.unwrap();
    assert_eq!((ended.status, ended.end_reason), (CallStatus::Ended, Some(EndReason::HungUp)));
    assert_eq!(ended.ended_by, Some(uid("alice")));
    alice.expect(CallEventKind::Ended).await;
    bob.expect(CallEventKind::Ended).await;
    assert_eq!(code(bob.client.session_token(&session).await), ErrorCode::AlreadyEnded);

    for device in [&alice, &bob] {
        let page = device.client.log(LogFilter::default()).await.unwrap();
        assert_eq!(page.calls, std::slice::from_ref(&ended));
        assert_eq!(device.client.active_call(), None);
        device.expect_nothing_more().await;
    }
    server.server.shutdown().await;
}

#[tokio::test]
async fn a_rejected_call_says_so_to_the_caller_and_stands_in_the_log() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;

    let rejected = bob.client.reject(&session, RejectReason::Rejected).await.unwrap();
    assert_eq!((rejected.status, rejected.end_reason), (CallStatus::Rejected, Some(EndReason::Rejected)));
    let event = alice.expect(CallEventKind::OutgoingRejected).await;
    assert_eq!(event.call, rejected);
    assert_eq!(event.by.unwrap().uid, uid("bob"));
    assert_eq!(alice.client.call(&session).await.unwrap(), rejected);
    assert_eq!(code(bob.client.accept(&session).await), ErrorCode::AlreadyEnded);
    assert_eq!(code(alice.client.session_token(&session).await), ErrorCode::AlreadyEnded);
    alice.expect_nothing_more().await;
    bob.expect_nothing_more().await;
}

#[tokio::test]
async fn a_cancelled_call_stops_ringing_on_every_device_of_the_callee() {
    let server = TestServer::start().await;
    let alice = server.log_in("alice", "phone").await;
    let (laptop, tablet) = (server.log_in("bob", "laptop").await, server.log_in("bob", "tablet").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    laptop.expect(CallEventKind::IncomingReceived).await;
    tablet.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;
    // Only the initiator cancels, and only the callee rejects.
    assert_eq!(code(laptop.client.reject(&session, RejectReason::Cancelled).await), ErrorCode::InvalidArgument);
    assert_eq!(code(alice.client.reject(&session, RejectReason::Rejected).await), ErrorCode::InvalidArgument);

    let cancelled = alice.client.reject(&session, RejectReason::Cancelled).await.unwrap();
    assert_eq!((cancelled.status, cancelled.end_reason), (CallStatus::Cancelled, Some(EndReason::Cancelled)));
    for device in [&laptop, &tablet] {
        assert_eq!(device.expect(CallEventKind::IncomingCancelled).await.call, cancelled);
        assert!(device.client.incoming_calls().is_empty());
        device.expect_nothing_more().await;
    }
    alice.expect_nothing_more().await;
}

#[tokio::test]
async fn the_first_device_that_accepts_is_in_and_the_others_stop_ringing() {
    let server = TestServer::start().await;
    let alice = server.log_in("alice", "phone").await;
    let (laptop, tablet) = (server.log_in("bob", "laptop").await, server.log_in("bob", "tablet").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    laptop.expect(CallEventKind::IncomingReceived).await;
    tablet.expect(CallEventKind::IncomingReceived).await;

    let (first, second) = tokio::join!(laptop.client.accept(&session), tablet.client.accept(&session));
    let (winner, loser, won, lost) =
        if first.is_ok() { (&laptop, &tablet, first, second) } else { (&tablet, &laptop, second, first) };
    assert_eq!(won.unwrap().status, CallStatus::Ongoing);
    assert_eq!(code(lost), ErrorCode::NotAllowedInState);
    loser.expect(CallEventKind::AnsweredElsewhere).await;
    winner.client.session_token(&session).await.unwrap();
    assert_eq!(code(loser.client.session_token(&session).await), ErrorCode::NotAParty);
    assert_eq!(loser.client.active_call(), None);
    loser.expect_nothing_more().await;
}

#[tokio::test]
async fn a_callee_in_another_call_is_busy_without_a_ring_unless_a_device_takes_waiting_calls() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let carol = server.log_in("carol", "phone").await;
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();

    let busy = carol.client.initiate(call_to("bob")).await.unwrap();
    assert_eq!((busy.status, busy.end_reason), (CallStatus::Busy, Some(EndReason::Busy)));
    carol.expect(CallEventKind::OutgoingBusy).await;
    bob.expect_nothing_more().await;

    let settings = RingSettings::new(server.url(), user_token("bob"), DeviceId::new("waiting").unwrap());
    let waiting = Device::log_in_with(RingSettings { call_waiting: true, ..settings }).await.unwrap();
    let second = carol.client.initiate(call_to("bob")).await.unwrap();
    assert_eq!(second.status, CallStatus::Initiated);
    waiting.expect(CallEventKind::IncomingReceived).await;
    // The app decides: here it says busy by itself.
    waiting.client.reject(&second.session_id, RejectReason::Busy).await.unwrap();
    carol.expect(CallEventKind::OutgoingRinging).await;
    carol.expect(CallEventKind::OutgoingBusy).await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends_by_itself_for_both() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    // Long enough for a slow machine to ring before it is over.
    let call = alice.client.initiate(Initiate { timeout: Some(3), ..call_to("bob") }).await.unwrap();
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;
    let event = alice.expect(CallEventKind::OutgoingUnanswered).await;
    assert_eq!((event.call.status, event.call.end_reason), (CallStatus::Unanswered, Some(EndReason::Unanswered)));
    assert_eq!(event.call.participant(&uid("bob")).unwrap().state, ParticipantState::Missed);
    let rang = event.call.ended_at.unwrap().since(call.initiated_at);
    assert!((Duration::from_secs(3)..Duration::from_secs(20)).contains(&rang), "{rang:?}");
    bob.expect(CallEventKind::IncomingCancelled).await;
}

#[tokio::test]
async fn a_device_that_logs_in_while_the_call_rings_rings_too() {
    let server = TestServer::start().await;
    let alice = server.log_in("alice", "phone").await;
    // Known, but not there.
    server.log_in("bob", "laptop").await.client.log_out().await;
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    let bob = server.log_in("bob", "tablet").await;
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;
    bob.client.accept(&session).await.unwrap();
    alice.expect(CallEventKind::OutgoingAccepted).await;
}

#[tokio::test]
async fn two_users_who_call_each_other_are_in_one_call() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let (first, second) = tokio::join!(alice.client.initiate(call_to("bob")), bob.client.initiate(call_to("alice")));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.session_id, second.session_id);
    let later = if first.status == CallStatus::Ongoing { &first } else { &second };
    assert_eq!(later.status, CallStatus::Ongoing);
    let page = alice.client.log(LogFilter::default()).await.unwrap();
    assert_eq!(page.calls.len(), 1);
}

#[tokio::test]
async fn a_caller_whose_device_is_gone_stops_ringing_the_callee() {
    let server = TestServer::start_with(|config| config.calls.caller_grace = Duration::from_millis(300)).await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    alice.client.initiate(call_to("bob")).await.unwrap();
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.client.log_out().await;
    let event = bob.expect(CallEventKind::IncomingCancelled).await;
    assert_eq!((event.call.status, event.call.end_reason), (CallStatus::Cancelled, Some(EndReason::CallerGone)));
}

#[tokio::test]
async fn a_device_that_never_comes_back_ends_the_call_for_the_other() {
    let server = TestServer::start_with(|config| config.calls.call_grace = Duration::from_millis(300)).await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    bob.client.accept(&session).await.unwrap();
    alice.client.log_out().await;
    let event = bob.expect(CallEventKind::Ended).await;
    assert_eq!(event.call.end_reason, Some(EndReason::ConnectionLost));
    assert_eq!(event.call.ended_by, Some(uid("alice")));
}

#[tokio::test]
async fn what_cannot_be_called_is_refused_with_its_own_error_and_rings_nowhere() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let refused = async |initiate: Initiate| code(alice.client.initiate(initiate).await);
    assert_eq!(refused(call_to("alice")).await, ErrorCode::CallingSelf);
    assert_eq!(refused(call_to("nobody")).await, ErrorCode::UserUnknown);
    let group = Initiate { receiver_type: ReceiverType::Group, ..call_to("team") };
    assert_eq!(refused(group).await, ErrorCode::GroupUnknown);
    assert_eq!(refused(Initiate { timeout: Some(0), ..call_to("bob") }).await, ErrorCode::InvalidArgument);
    assert_eq!(refused(Initiate { timeout: Some(181), ..call_to("bob") }).await, ErrorCode::InvalidArgument);
    let metadata = |len| Some(serde_json::Value::from("x".repeat(len)));
    assert_eq!(refused(Initiate { metadata: metadata(4095), ..call_to("bob") }).await, ErrorCode::TooLarge);
    assert_eq!(refused(Initiate { metadata: metadata(70_000), ..call_to("bob") }).await, ErrorCode::TooLarge);

    server.log_in("carol", "phone").await;
    alice.client.initiate(Initiate { metadata: metadata(4094), ..call_to("carol") }).await.unwrap();
    assert_eq!(refused(call_to("bob")).await, ErrorCode::BusySelf);
    let unknown = SessionId::new("no-such-call").unwrap();
    assert_eq!(code(bob.client.accept(&unknown).await), ErrorCode::CallNotFound);
    let carols = alice.client.active_call().unwrap().session_id;
    assert_eq!(code(bob.client.accept(&carols).await), ErrorCode::NotAParty);
    assert_eq!(code(bob.client.call(&carols).await), ErrorCode::NotAParty);
    assert_eq!(code(alice.client.end(&carols).await), ErrorCode::NotAllowedInState);
    bob.expect_nothing_more().await;
}

#[tokio::test]
async fn a_restart_in_good_order_is_not_noticed_by_a_call() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.log_in("alice", "phone").await, server.log_in("bob", "laptop").await);
    let session = alice.client.initiate(call_to("bob")).await.unwrap().session_id;
    bob.expect(CallEventKind::IncomingReceived).await;
    alice.expect(CallEventKind::OutgoingRinging).await;
    let server = server.restart().await;
    alice.until_back().await;
    bob.until_back().await;
    bob.client.accept(&session).await.unwrap();
    alice.expect(CallEventKind::OutgoingAccepted).await;
    let server = server.restart().await;
    // A request that is made while the server is away has its answer when it is back.
    alice.client.end(&session).await.unwrap();
    bob.expect(CallEventKind::Ended).await;
    alice.expect(CallEventKind::Ended).await;
    alice.expect_nothing_more().await;
    bob.expect_nothing_more().await;
    server.server.shutdown().await;
}
