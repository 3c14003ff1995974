//! The table of operations: who may do what, and what comes of it.

use crate::scene::*;
use trill::base::{ErrorCode, SessionId};
use trill::ringing::service::RoomInput;
use trill::ringing::wire::{Command, Initiate, RejectReason, SessionRef};
use trill::ringing::{
    CallEventKind as Kind, CallStatus, CallType, Category, EndReason, ParticipantState, ReceiverType,
};

#[test]
fn initiate_makes_a_call_with_a_new_session_id_and_every_field() {
    let mut scene = Scene::new();
    let (alice, _bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let metadata = Some(serde_json::json!({ "topic": "tea" }));
    let ask = Initiate { timeout: Some(30), metadata: metadata.clone(), category: Category::Meet, ..to_user("bob") };
    let call = scene.initiate(alice, ask).unwrap();
    assert_eq!((call.initiator.uid.as_str(), call.receiver.id.as_str()), ("alice", "bob"));
    assert_eq!(
        (call.receiver_type, call.call_type, call.category),
        (ReceiverType::User, CallType::Video, Category::Meet)
    );
    assert_eq!((call.status, call.initiated_at, call.metadata), (CallStatus::Initiated, scene.wall(), metadata));
    assert_eq!(
        (call.started_at, call.ended_at, call.ended_by, call.end_reason, call.duration_ms),
        (None, None, None, None, 0)
    );
    let devices: Vec<_> = call.participants.iter().map(|p| (p.uid.as_str(), p.device_id.is_some())).collect();
    assert_eq!(devices, [("alice", true), ("bob", false)]);
    scene.reject(alice, &call.session_id, RejectReason::Cancelled).unwrap();
    assert_ne!(scene.dial(alice, "bob"), call.session_id);
}

#[test]
fn accept_by_a_callees_device_makes_the_call_ongoing() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.pass(secs(3));
    let call = scene.accept(bob, &session).unwrap();
    assert_eq!((call.status, call.started_at), (CallStatus::Ongoing, Some(scene.wall())));
    assert_eq!(call.participants[1].device_id.as_ref(), Some(scene.device_id(bob)));
    assert_eq!(scene.heard_by(alice), [(Kind::OutgoingRinging, "bob".into()), (Kind::OutgoingAccepted, "bob".into())]);
    assert_eq!(code(scene.accept(bob, &session)), ErrorCode::AlreadyJoined);
    assert_eq!(code(scene.accept(alice, &session)), ErrorCode::NotAllowedInState);
}

#[test]
fn reject_with_rejected_or_busy_by_a_callees_device_ends_the_ringing() {
    for (reason, status, told) in [
        (RejectReason::Rejected, CallStatus::Rejected, Kind::OutgoingRejected),
        (RejectReason::Busy, CallStatus::Busy, Kind::OutgoingBusy),
    ] {
        let mut scene = Scene::new();
        let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
        let session = scene.dial(alice, "bob");
        assert_eq!(scene.reject(bob, &session, reason).unwrap().status, status);
        assert_eq!(scene.heard_by(alice), [(Kind::OutgoingRinging, "bob".into()), (told, "bob".into())]);
        assert_eq!(scene.heard(bob), [Kind::IncomingReceived]);
    }
}

#[test]
fn cancel_is_reject_with_cancelled_by_the_initiator_before_an_answer() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    assert_eq!(code(scene.reject(bob, &session, RejectReason::Cancelled)), ErrorCode::InvalidArgument);
    assert_eq!(code(scene.reject(alice, &session, RejectReason::Rejected)), ErrorCode::InvalidArgument);
    let call = scene.reject(alice, &session, RejectReason::Cancelled).unwrap();
    assert_eq!((call.status, call.ended_by), (CallStatus::Cancelled, Some(uid("alice"))));
    assert_eq!(scene.heard(bob), [Kind::IncomingReceived, Kind::IncomingCancelled]);
    let session = scene.dial(alice, "bob");
    scene.accept(bob, &session).unwrap();
    assert_eq!(code(scene.reject(alice, &session, RejectReason::Cancelled)), ErrorCode::NotAllowedInState);
}

#[test]
fn end_by_a_party_to_an_ongoing_call_ends_it_for_everyone_in_it() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    assert_eq!(code(scene.end(alice, &session)), ErrorCode::NotAllowedInState);
    scene.accept(bob, &session).unwrap();
    scene.heard(alice);
    scene.pass(secs(60));
    let call = scene.end(bob, &session).unwrap();
    assert_eq!((call.status, call.end_reason), (CallStatus::Ended, Some(EndReason::HungUp)));
    assert_eq!((call.ended_by, call.duration_ms), (Some(uid("bob")), 60_000));
    let told = scene.events(alice).pop().unwrap();
    assert_eq!(
        (told.kind, told.call.end_reason, told.call.duration_ms),
        (Kind::Ended, Some(EndReason::HungUp), 60_000)
    );
    assert_eq!(scene.put_out, [(session, None)], "its room is closed");
}

#[test]
fn the_active_call_is_known_to_a_device_and_cleared_by_it_alone() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    assert_eq!(scene.active_call(alice).unwrap().session_id, session);
    assert_eq!(scene.active_call(bob), None);
    scene.accept(bob, &session).unwrap();
    assert_eq!(scene.active_call(bob).unwrap().session_id, session);
    assert_eq!(scene.clear_active_call(alice).unwrap().session_id, session);
    assert_eq!(scene.active_call(alice), None);
    assert_eq!(scene.call(&session).status, CallStatus::Ongoing, "nobody else is told");
    scene.heard(alice);
    scene.end(bob, &session).unwrap();
    assert_eq!(scene.heard(alice), [], "it is heard of no more");
}

#[test]
fn a_session_token_is_for_a_party_and_only_while_the_call_is_ongoing() {
    let mut scene = Scene::new();
    let (alice, bob, _carol) = (scene.phone("alice/1"), scene.phone("bob/1"), scene.phone("carol/1"));
    let session = scene.dial(alice, "bob");
    for who in ["alice", "bob"] {
        assert_eq!(code(scene.may_join(&session, who)), ErrorCode::NotYetAccepted);
    }
    scene.accept(bob, &session).unwrap();
    scene.may_join(&session, "alice").unwrap();
    scene.may_join(&session, "bob").unwrap();
    assert_eq!(code(scene.may_join(&session, "carol")), ErrorCode::NotAParty);
    scene.end(alice, &session).unwrap();
    assert_eq!(code(scene.may_join(&session, "alice")), ErrorCode::RoomClosed);
}

#[test]
fn who_joins_and_leaves_the_session_stands_in_the_call() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let session = scene.dial(alice, "bob");
    scene.accept(bob, &session).unwrap();
    assert_eq!(scene.state(&session, "bob"), ParticipantState::Accepted);
    scene.room(&session, RoomInput::Joined(uid("bob")));
    let joined_at = scene.wall();
    scene.pass(secs(5));
    scene.room(&session, RoomInput::Left(uid("bob")));
    let bob = scene.call(&session).participant(&uid("bob")).unwrap();
    assert_eq!((bob.state, bob.joined, bob.joined_at), (ParticipantState::Left, true, Some(joined_at)));
    assert_eq!(bob.left_at, Some(scene.wall()));
    scene.room(&session, RoomInput::Closed);
    assert_eq!(scene.status(&session), (CallStatus::Ended, Some(EndReason::EveryoneLeft)));
}

#[test]
fn the_same_request_sent_twice_has_one_effect_and_one_answer() {
    let mut scene = Scene::new();
    let (alice, bob) = (scene.phone("alice/1"), scene.phone("bob/1"));
    let dial = Command::Initiate(to_user("bob"));
    let first = scene.send_again(alice, "r1", &dial).unwrap();
    assert_eq!(scene.send_again(alice, "r1", &dial).unwrap().session_id, first.session_id);
    assert_eq!(scene.heard(bob), [Kind::IncomingReceived], "it rings once");
    let end = Command::End(SessionRef { session_id: first.session_id.clone() });
    assert_eq!(code(scene.send_again(alice, "r1", &end)), ErrorCode::InvalidArgument, "an id is for one request");
    let accept = Command::Accept(SessionRef { session_id: first.session_id.clone() });
    scene.send_again(bob, "r2", &accept).unwrap();
    scene.send_again(bob, "r3", &end).unwrap();
    scene.restart_server();
    scene.pass(secs(1));
    assert_eq!(scene.send_again(bob, "r3", &end).unwrap().status, CallStatus::Ended, "also after a restart");
    assert_eq!(scene.send_again(bob, "r2", &accept).unwrap().status, CallStatus::Ended, "the call as it is now");
    let unknown = Command::End(SessionRef { session_id: SessionId::new("no-such-call").unwrap() });
    assert_eq!(code(scene.send_again(bob, "r4", &unknown)), ErrorCode::CallNotFound);
}
